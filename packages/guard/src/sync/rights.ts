/** How rules name synchronisation: a procedure for rules alone, which nobody can ask for as one (`docs/sync.md §1`). Pure words. */

/** The procedure. */
export const SYNC_PROCEDURE = 'sync'

/** What a partner may have: a record that leaves, one that arrives, one that is taken away because it was there. */
export const SYNC_ROLES = ['send', 'receive', 'remove'] as const

/** One of them. */
export type SyncRole = (typeof SYNC_ROLES)[number]
