/** Every bound of this package: unit, default, effect. */

/** Most rules of one vault. One more is refused when the list is made. */
export const MAX_RULES = 1024
/** Most peers, procedures, paths or formats that one rule names, and most limits. */
export const MAX_RULE_LIST = 64
/** Longest note of a rule, in characters. */
export const MAX_NOTE_LENGTH = 256
/** Most uses that one limit of a rule may allow per window. */
export const MAX_LIMIT_COUNT = 1_000_000
/** Longest window of a limit, in milliseconds: 366 days. */
export const MAX_WINDOW_MS: number = 366 * 86_400_000

/** Longest remote text that is shown, in characters. A longer one is cut. */
export const MAX_REASON_SHOWN = 256

/** What a guard holds for peers, and how long. An owner may change it. */
export interface GuardLimits {
  /** Requests of one peer that a person is being asked about. The next is `resource_exhausted`. Default 16. */
  maxPendingPerPeer: number
  /** The same of all peers. Default 256. */
  maxPendingTotal: number
  /** Requests of one peer that are kept, answered ones until acknowledged. The next is `resource_exhausted`. Default 1,024. */
  maxKeptPerPeer: number
  /** Bytes of these, inputs and outputs. With more the next is `resource_exhausted`. Default 64 MiB. */
  maxKeptBytesPerPeer: number
  /** Longest a peer may wait for a person, in milliseconds. A longer wish is cut. Default 24 h. */
  maxTimeoutMs: number
  /** How long after its deadline a request is remembered, in milliseconds. Default 5 minutes. */
  keepAfterDeadlineMs: number
  /** Longest reason that is taken, in characters. A longer one is cut. Default 256. */
  maxReasonLength: number
  /** Requests of one peer that wait for the vault to be unlocked. The next is `resource_exhausted`. Default 16. */
  maxIntakePerPeer: number
  /** The same of all peers. Default 256. */
  maxIntakeTotal: number
  /** Longest request that waits so, in bytes. A longer one is `resource_exhausted`. Default 256 KiB. */
  maxIntakeRequestBytes: number
  /** Pieces of work that may wait for the end of a turn. One more is `resource_exhausted`. Default 8,192. */
  maxQueued: number
  /** Calls that may wait for an answer at a time. One more is `resource_exhausted`. Default 8,192. */
  maxWaiting: number
  /** Strangers that are remembered, the oldest forgotten. Default 256. */
  maxKnocks: number
  /** Peers that an owner may know. One more is refused. Default 4,096. */
  maxPeers: number
  /** Tickets open at a time. One more is refused. Default 16. */
  maxTickets: number
  /** Wrong proofs after which a ticket closes. Default 10. */
  maxWrongProofs: number
  /** Wrong proofs of who approves, one of which is forgiven a minute. One more is `resource_exhausted`. Default 5. */
  maxWrongConfirms: number
  /** Approvals of one peer that are remembered. With one more nothing is remembered, and the approval counts once. Default 256. */
  maxGrantsPerPeer: number
  /** The same of all peers. Default 4,096. */
  maxGrants: number
  /** Longest an approval is remembered, in milliseconds. A longer wish is cut. Default 24 h. */
  maxGrantMs: number
  /** Changes of rules that are remembered, the oldest forgotten. Default 4,096. */
  maxRuleHistory: number
  /** Audit bytes past which nothing but locking, denying, revoking and draining is done. Default 4 GiB. */
  maxAuditBytes: number
  /** Of these, bytes kept for that; answers asked for again take half of them at most. Default 64 MiB. */
  reservedAuditBytes: number
  /** Audit entries after which a checkpoint is written, up to which they may be cut. Default 65,536. */
  maxEntriesPerCheckpoint: number
}

/** The defaults. */
export const DEFAULT_GUARD_LIMITS: Readonly<GuardLimits> = Object.freeze({
  maxPendingPerPeer: 16,
  maxPendingTotal: 256,
  maxKeptPerPeer: 1024,
  maxKeptBytesPerPeer: 64 * 1024 ** 2,
  maxTimeoutMs: 24 * 3_600_000,
  keepAfterDeadlineMs: 300_000,
  maxReasonLength: 256,
  maxIntakePerPeer: 16,
  maxIntakeTotal: 256,
  maxIntakeRequestBytes: 256 * 1024,
  maxQueued: 8192,
  maxWaiting: 8192,
  maxKnocks: 256,
  maxPeers: 4096,
  maxTickets: 16,
  maxWrongProofs: 10,
  maxWrongConfirms: 5,
  maxGrantsPerPeer: 256,
  maxGrants: 4096,
  maxGrantMs: 24 * 3_600_000,
  maxRuleHistory: 4096,
  maxAuditBytes: 4 * 1024 ** 3,
  reservedAuditBytes: 64 * 1024 ** 2,
  maxEntriesPerCheckpoint: 65_536,
})
/** Fewest characters of an id that name it, behind its letter. Fewer are a `SyntaxError`. */
export const MIN_ID_PREFIX = 4

/** Longest audit entry, in bytes, a constant: 16 steps with 16 records each fit. A longer one is a `RangeError`. */
export const MAX_AUDIT_ENTRY_BYTES: number = 512 * 1024
/** Longest text in an audit entry, in characters, a constant: the longest path and its version fit. A longer one is a `TypeError`. */
export const MAX_AUDIT_TEXT_LENGTH = 1100
/** Most records or formats that an audit entry names, a constant. More are a `TypeError`. */
export const MAX_AUDIT_LIST = 512
/** Denials of one known peer that are written one by one in a row, a constant; what comes on top is counted. */
export const DENIAL_BURST = 30
/** How many of these a peer gets back in a minute, a constant. */
export const DENIALS_PER_MINUTE = 10
/** Least time between two summaries of what was counted, in milliseconds, a constant. */
export const SUMMARY_INTERVAL_MS = 60_000
/** Bytes of requests that ran at once past which another row of them is begun, a constant. */
export const MAX_KEPT_ROW_BYTES: number = 1024 * 1024
/** Longest signed head, in bytes, a constant: it has some 350. A longer one is a `RangeError`. */
export const MAX_HEAD_BYTES = 1024
/** Longest receipt, in bytes, a constant: one about 16 steps with 16 records each fits. A longer one is a `RangeError`. */
export const MAX_RECEIPT_BYTES: number = 512 * 1024
/** Longest path in a Merkle tree of receipts, in hashes, a constant: 2³² leaves. A longer one leads nowhere. */
export const MAX_MERKLE_PATH = 32
/** Characters after which a page of an export ends, a constant; its last line may go beyond. */
export const MAX_AUDIT_PAGE_LENGTH: number = 2 * 1024 ** 2
/** Characters after which a page of what waits for a person ends, a constant; its last prompt may go beyond. */
export const MAX_APPROVAL_PAGE_LENGTH: number = 256 * 1024
/** Most checkpoints of an audit that are remembered, a constant; the oldest is forgotten, and nothing is cut up to it. */
export const MAX_CHECKPOINTS = 1024
/** Most faults of an audit that are told, a constant; what comes after them is not. */
export const MAX_AUDIT_FAULTS = 100
/** Most buckets in which the uses of one window of a limit are counted, a constant: more exact, and longer rows. */
export const MAX_USAGE_BUCKETS = 64

/** What a keeper takes from the thread beside it and at its socket. An owner may change it. */
export interface KeeperLimits {
  /** Calls of one port without an answer, waits apart. The next is `resource_exhausted`. Default 4,096. */
  maxCalls: number
  /** Waits for a person on one port. The next is `resource_exhausted`. Default 8,192. */
  maxWaits: number
  /** Bytes of all calls of one port without an answer. A call past it is `resource_exhausted`. Default 64 MiB. */
  maxCallBytes: number
  /** Longest body of a call at the socket, in bytes. A longer one is `resource_exhausted`, before it is all there. Default 4 MiB. */
  maxBodyBytes: number
  /** Longest head of a call at the socket, in bytes. A longer one ends its connection. Default 8 KiB. */
  maxHeaderBytes: number
  /** Header fields of a call at the socket. One more is `resource_exhausted`. Default 32. */
  maxHeaders: number
  /** Connections at the socket at a time. One more is closed at once. Default 64. */
  maxConnections: number
  /** Calls at the socket that run at a time. One more is `resource_exhausted`. Default 64. */
  maxOwnerCalls: number
  /** How long a call at the socket may take to arrive, in milliseconds. A slower one ends its connection. Default 10 s. */
  arrivalTimeoutMs: number
}

/** The defaults. */
export const DEFAULT_KEEPER_LIMITS: Readonly<KeeperLimits> = Object.freeze({
  maxCalls: 4096,
  maxWaits: 8192,
  maxCallBytes: 64 * 1024 ** 2,
  maxBodyBytes: 4 * 1024 ** 2,
  maxHeaderBytes: 8192,
  maxHeaders: 32,
  maxConnections: 64,
  maxOwnerCalls: 64,
  arrivalTimeoutMs: 10_000,
})
/** Longest message between a keeper and the thread beside it, in bytes, a constant: 16 steps of the largest fields fit. */
export const MAX_KEEPER_MESSAGE_BYTES: number = 8 * 1024 ** 2
/** Longest answer at the owner's socket, and item of a stream, in bytes, a constant. A longer one is `resource_exhausted`. */
export const MAX_OWNER_ANSWER_BYTES: number = 64 * 1024 ** 2
/** Longest path of a socket, in bytes, a constant: what Linux and macOS both take. A longer one is a `RangeError`. */
export const MAX_SOCKET_PATH_BYTES = 103

// ---------------------------------------------------------------- synchronisation (`docs/sync.md §10`), constants

/** Entries in one bucket on average, as the number of buckets is chosen. */
export const SYNC_BUCKET_ENTRIES = 32
/** Most bits of an id that name its bucket: 4,096 buckets, 64 KiB of hashes, as a relay carries them. More are no list. */
export const MAX_SYNC_BITS = 12
/** Longest sealed message, in bytes. A longer one is `invalid_argument`, before it is opened. */
export const MAX_SYNC_MESSAGE_BYTES: number = 512 * 1024
/** The same with an encapsulated key and a tag. */
export const MAX_SYNC_SEALED_BYTES: number = MAX_SYNC_MESSAGE_BYTES + 48
/** Most records in one message. More are no message. */
export const MAX_SYNC_RECORDS = 256
/** One record with its secrets, in bytes. A larger one stays where it is, and the report says so. */
export const MAX_SYNC_RECORD_BYTES: number = 384 * 1024
/** Bytes of records after which a message is full. */
export const SYNC_FILL_BYTES: number = 96 * 1024
/** Bytes of entries in one message, as a relay carries them; the rest follows. */
export const SYNC_ENTRIES_BYTES: number = 96 * 1024
/** Most entries that one side may list. More end the run. */
export const MAX_SYNC_ENTRIES = 1_000_000
/** How long a run may stand still, in milliseconds. Then it is forgotten. */
export const SYNC_IDLE_MS = 120_000
/** Most partnerships of one vault. One more is refused. */
export const MAX_PARTNERSHIPS = 64
/** Most patterns of one partnership, and most pairs of its mapping. More are refused. */
export const MAX_SYNC_PATHS = 32
/** Conflicts of one partnership that are remembered. What comes on top is counted and shows again with a later run. */
export const MAX_SYNC_CONFLICTS = 10_000
/** Changes that a report names. The rest is counted. */
export const MAX_SYNC_CHANGES = 10_000
/** How long a partner may be out of step before its removals are no longer waited for, in milliseconds: 180 days. */
export const SYNC_UNSEEN_MS: number = 180 * 86_400_000
/** Records whose digests are computed in one turn of the event loop. */
export const SYNC_DIGEST_TURN = 256

// ---------------------------------------------------------------- listings, constants

/** Most records in one page of what a peer may use. The rest is asked for with the next. */
export const MAX_USABLE_PAGE = 1000

// ---------------------------------------------------------------- backups, constants

/** Files of backups that are remembered. The oldest are forgotten. */
export const MAX_BACKUP_NOTES = 64
/** Records that a comparison or a drill names, of each sort. The rest is counted. */
export const MAX_BACKUP_NAMES = 1000
/** Records of a backup that are compared with a vault in one turn, so that nobody waits for all of them. */
export const BACKUP_COMPARE_TURN = 64
/** Most recipients of one backup. More are `invalid_argument`. */
export const MAX_BACKUP_RECIPIENTS = 64

// ---------------------------------------------------------------- what is written again and again, constants

/** Forms of audit entries, and of requests, that are remembered to write the next like them. The oldest are forgotten. */
export const MAX_MOLDS = 256
/** Longest such form, in bytes. A longer one is written anew each time. */
export const MAX_MOLD_BYTES = 4096
