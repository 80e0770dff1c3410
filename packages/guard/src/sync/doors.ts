/**
 * What synchronisation adds to the two doors of a guard (`docs/sync.md`): plain values in, plain values out. No secret and no
 * key but public ones is in any of them; what is sealed stays sealed here.
 */
import type { StatusCode } from '@stronghold/core'

import type { Asker } from '../doors.ts'

/** Which way records go, seen from this side. */
export type SyncMode = 'two-way' | 'push' | 'pull'
/** What may be done to a record that stands. */
export type SyncMerge = 'keep-old' | 'newest-version' | 'replace'
/** What a run is for: to change both sides, to see what would change, or to compare everything from the rows again. */
export type SyncPurpose = 'run' | 'preview' | 'verify'
/** Why two sides differ about a record so that a person has to decide. */
export type SyncConflictKind = 'version' | 'path' | 'type' | 'removed'
/** What came of one record. */
export type SyncOutcome =
  | 'written'
  | 'removed'
  | 'same'
  | 'kept'
  | 'conflict'
  | 'denied'
  | 'path'
  | 'label'
  | 'forged'
  | 'full'

/** What stands below `from` at the sender stands below `to` at the receiver. Both are paths. */
export interface SyncMapping {
  readonly from: string
  readonly to: string
}

/** A partnership to be made. */
export interface SyncInit {
  /** A word like the name of a peer. */
  readonly name: string
  /** A known peer, by id or name. */
  readonly peer: string
  /** The partner's vault, 16 bytes, and sync key, 32 bytes, as its `key` told them. */
  readonly vault: Uint8Array
  readonly key: Uint8Array
  /** Patterns over this side's paths. Default everything. */
  readonly paths?: readonly string[]
  /** Only with `push` and `pull`. */
  readonly maps?: readonly SyncMapping[]
  /** Default `two-way`. */
  readonly mode?: SyncMode
  /** Default `newest-version`; `replace` only with `push` and `pull`. */
  readonly merge?: SyncMerge
  /** How often the program runs it, in milliseconds. Default never by itself. */
  readonly everyMs?: number
  /** Whether the program runs it after changes. Default false. */
  readonly onChange?: boolean
}

/** Where a partnership stands. */
export type SyncState =
  /** Nothing was exchanged yet. */
  | 'new'
  | 'in-step'
  /** The last run left something to do. */
  | 'behind'
  /** A person has to decide: see `why`. */
  | 'conflict'

/** A partnership as its owner sees it. */
export interface SyncPartnership {
  readonly name: string
  readonly peer: string
  readonly peerName: string
  readonly vault: Uint8Array
  /** Of the pinned key: `SHA256:…`. */
  readonly fingerprint: string
  readonly paths: readonly string[]
  readonly maps: readonly SyncMapping[]
  readonly mode: SyncMode
  readonly merge: SyncMerge
  readonly everyMs?: number
  readonly onChange: boolean
  readonly paused: boolean
  readonly addedAtMs: number
  readonly state: SyncState
  /** `rolled-back`, `unseen`: `syncResolve` with `accept`. `key`: `syncPin`. `records`: `syncConflicts`. */
  readonly why?: 'rolled-back' | 'unseen' | 'key' | 'records'
  /** What was decided, until both are in step again. */
  readonly accept?: 'older' | 'newer'
  readonly lastRunAtMs?: number
  readonly inStepAtMs?: number
  /** How far the partner had come when it was last seen. */
  readonly seen?: { readonly epoch: number; readonly generation: number }
  readonly conflicts: number
}

/** One side of a conflict. Metadata only. */
export interface SyncSide {
  readonly state: 'stands' | 'removed'
  readonly path: string
  /** The newest, or that which was removed. */
  readonly version: number
  readonly atMs: number
  readonly publicKey?: Uint8Array
}

/** A record about which two sides differ. */
export interface SyncConflict {
  readonly name: string
  /** Of the record as the partner has it, 16 bytes. */
  readonly id: Uint8Array
  /** On this side. */
  readonly path: string
  readonly kind: SyncConflictKind
  readonly ours: SyncSide
  readonly theirs: SyncSide
  readonly sinceMs: number
  /** What was decided; the next run carries it out. */
  readonly keep?: 'ours' | 'theirs'
}

/** What is decided about a partner that fell behind, or about one record. */
export type SyncDecision =
  | { readonly accept: 'older' | 'newer' }
  /** The record by its path, or by its id, 16 bytes. */
  | { readonly record: string | Uint8Array; readonly keep: 'ours' | 'theirs' }

/** One record that a run changed, or would. */
export interface SyncChange {
  readonly path: string
  readonly id: Uint8Array
  readonly where: 'here' | 'there'
  readonly change: 'added' | 'changed' | 'gone' | 'conflict' | 'refused'
  /** In a word: the kind of conflict, or why it was refused. */
  readonly why?: string
}

/** What a run came to. */
export interface SyncReport {
  readonly name: string
  readonly purpose: SyncPurpose
  /** Whether both sides have the same now; of a preview and a verification, whether they had. */
  readonly inStep: boolean
  /** Set where nothing was exchanged because a person has to decide first. */
  readonly stopped?: 'rolled-back' | 'unseen' | 'key' | 'partner-stopped'
  /** Records compared on this side. */
  readonly compared: number
  readonly received: number
  readonly sent: number
  readonly removedHere: number
  readonly removedThere: number
  readonly conflicts: number
  readonly refused: number
  /** Messages, and bytes sealed, both ways. */
  readonly roundTrips: number
  readonly bytes: number
  /** The first 10,000, in the order of paths. */
  readonly changes: readonly SyncChange[]
}

/** What is to be said to the partner next, or what it all came to. */
export type SyncTurn =
  | {
      readonly done: false
      readonly session: Uint8Array
      /** To whom. */
      readonly peer: string
      readonly say: SyncMessage
      /** Records settled so far, of how many that differ; 0 of 0 while they are compared. */
      readonly progress: { readonly settled: number; readonly of: number }
    }
  | { readonly done: true; readonly report: SyncReport }

/** What an asker says (`sync.md §5`). */
export type SyncMessage =
  | { readonly kind: 'key' }
  | { readonly kind: 'begin'; readonly nonce: Uint8Array }
  | { readonly kind: 'step'; readonly session: Uint8Array; readonly sealed: Uint8Array }

/** What an answerer says (`sync.md §5`). */
export type SyncReply =
  | {
      readonly state: 'key'
      readonly vault: Uint8Array
      readonly key: Uint8Array
      readonly certificate?: Uint8Array
    }
  | {
      readonly state: 'begun'
      readonly session: Uint8Array
      readonly vault: Uint8Array
      readonly key: Uint8Array
      readonly nonce: Uint8Array
      readonly sealed: Uint8Array
    }
  | { readonly state: 'step'; readonly sealed: Uint8Array }
  | {
      readonly state: 'failed'
      readonly code: StatusCode
      readonly reason?: string
      readonly message: string
    }

/** What the owner may ask about synchronisation. An admin only; every change is audited. */
export interface SyncOwnerDoor {
  /** This vault's id and sync key, as partners see them, with its fingerprint. */
  syncOwnKey(): Promise<{ vault: Uint8Array; key: Uint8Array; fingerprint: string }>
  /** @throws `VaultError` `invalid_argument`, `not_found` (the peer), `failed_precondition` (`conflict`), `resource_exhausted` */
  syncAdd(init: SyncInit): Promise<SyncPartnership>
  /** In the order of names. */
  syncList(): Promise<readonly SyncPartnership[]>
  /** Pins another key, and another vault. */
  syncPin(name: string, vault: Uint8Array, key: Uint8Array): Promise<SyncPartnership>
  syncPause(name: string, paused: boolean): Promise<SyncPartnership>
  /** Its conflicts go, too, and its tombstones are released. Records stay on both sides. */
  syncRemove(name: string): Promise<void>
  syncConflicts(name?: string): Promise<readonly SyncConflict[]>
  /** The next run carries it out. @throws `VaultError` `not_found`, `failed_precondition` where nothing is to be decided */
  syncResolve(name: string, decision: SyncDecision): Promise<SyncPartnership>
  /**
   * Begins a run, as the asker; what it says is to be carried to the partner, and the reply to `syncNext`, until it is done.
   * Ends another run of this partnership that was begun here.
   */
  syncBegin(name: string, purpose?: SyncPurpose): Promise<SyncTurn>
  /** @throws `VaultError` with the partner's code where it refuses, `unauthenticated` for what was not sealed by it */
  syncNext(session: Uint8Array, reply: SyncReply): Promise<SyncTurn>
  /** Gives a run up; where it stands, the next one goes on. */
  syncEnd(session: Uint8Array): Promise<void>
}

/** What a partner may ask. */
export interface SyncNetworkDoor {
  /** Answers one message of a known peer; anybody else is denied. */
  sync(asker: Asker, message: SyncMessage): Promise<SyncReply>
}
