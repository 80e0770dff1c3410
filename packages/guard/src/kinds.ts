/** Which rows of a vault are whose in the guard. */

/** Kinds of rows that are the guard's (`vault-format.md §2`). */
export const KINDS = {
  rules: 16,
  ruleHistory: 17,
  peer: 18,
  request: 19,
  grant: 20,
  usage: 21,
  ticket: 22,
  key: 23,
  bucket: 24,
  kept: 25,
  partnership: 32,
  syncConflict: 33,
  backups: 34,
} as const

/** Kinds of readable rows that are the guard's (`vault-format.md §2.1`). Those below 16 are checked at unlock. */
export const READABLE_KINDS = {
  box: 1,
  waiter: 2,
  intake: 16,
} as const
