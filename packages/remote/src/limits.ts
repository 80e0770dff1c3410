/** Every bound of this package: unit, default, effect. All are constants: what an owner may change stands with the guard. */

// ---------------------------------------------------------------- what a request may say

/** Most steps of one request. More are `invalid_argument`. */
export const MAX_STEPS = 16
/** Most fields of one step's input. More are `invalid_argument`. */
export const MAX_INPUT_FIELDS = 16
/** Deepest nesting of lists and maps in one field. Deeper is `invalid_argument`. */
export const MAX_INPUT_DEPTH = 4
/** Most values in one step's input, nested ones included. More are `invalid_argument`. */
export const MAX_INPUT_VALUES = 1024
/** Longest text in an input, in characters: 16 segments of a path and a version fit. Longer is `invalid_argument`. */
export const MAX_INPUT_TEXT = 2048
/** Longest reason, in characters. A longer one is a `RangeError` here and `invalid_argument` there. */
export const MAX_REASON_LENGTH = 256
/** Longest name by which the other side says that it knows us, in characters. Longer is no answer. */
export const MAX_NAME_LENGTH = 64
/** Longest deadline, in milliseconds: 24 h. A longer one is a `RangeError` here and `invalid_argument` there. */
export const MAX_TIMEOUT_MS: number = 24 * 3_600_000
/** Most ids that one message acknowledges. More are `invalid_argument`; the asker spreads them over several. */
export const MAX_ACKNOWLEDGED = 64
/** Longest that one call waits for a request that is pending, in milliseconds. A longer wish is cut. */
export const MAX_HOLD_MS = 60_000
/** Signatures of heads that are remembered as right, so that receipts of one transaction are not verified one by one. */
export const MAX_VERIFIED = 64
/** Longest pattern to list by, in characters: the longest path has 1,039. Longer is `invalid_argument`. */
export const MAX_PATTERN_LENGTH = 1100

// ---------------------------------------------------------------- what an answer may say

/** Longest message of a failure, in characters. A longer one is no answer. */
export const MAX_MESSAGE_LENGTH = 512
/** Longest head, in bytes. A longer one is no answer. */
export const MAX_HEAD_BYTES = 1024
/** Longest receipt, in bytes. A longer one is no answer. */
export const MAX_RECEIPT_BYTES: number = 512 * 1024
/** Most records in one message of a listing; the rest is asked for with the next. */
export const MAX_LISTED = 1000
/** Most records that one listing gives in all. More are `resource_exhausted`. */
export const MAX_LISTED_TOTAL = 100_000
/** Most uses of one record that a listing tells. More are no answer. */
export const MAX_USES = 128

// ---------------------------------------------------------------- the server's memory

/** Peers remembered as known, so that not every request asks twice; the least recent is asked about again. */
export const MAX_KNOWN_PEERS = 4096
/** How long the connections of a peer that lost its standing still take what was answered to it then, in milliseconds. */
export const CUT_AFTER_MS = 100
/** Longest text about a connection that the guard is told, in characters. A longer one is cut. */
export const MAX_CONNECTION_LENGTH = 256

// ---------------------------------------------------------------- the requester's patience

/** How long a request may take where nobody says, in milliseconds: 10 minutes, as a person may be asked. */
export const DEFAULT_TIMEOUT_MS = 600_000
/** Longest that one call may take besides what it waits for a person, in milliseconds. Then it is sent again. */
export const CALL_TIMEOUT_MS = 30_000
/** How long past its deadline an answer is still waited for, in milliseconds: the other side's clock decides. */
export const DEADLINE_GRACE_MS = 5000
/** First pause before a request is sent again, in milliseconds; it doubles. */
export const MIN_RETRY_MS = 100
/** Longest such pause, in milliseconds. */
export const MAX_RETRY_MS = 5000
/** How long a call that was never answered is made again after its connection broke, in milliseconds. */
export const MAX_LOST_MS = 20_000
/** The same where each connection is closed before the other side has said anything, in milliseconds. */
export const MAX_SHUT_MS = 3000
/** Longest an acknowledgement waits for a message to go along with, in milliseconds. */
export const ACKNOWLEDGE_AFTER_MS = 1000
/** Most acknowledgements that wait. What comes on top is not sent: the other side forgets by itself. */
export const MAX_UNACKNOWLEDGED = 4096
/** A message to sign in SSHSIG that is longer, in bytes, is hashed here and sent as its digest. */
export const DIGEST_ABOVE_BYTES: number = 64 * 1024
/** Vaults whose highest head one connection remembers: a peer serves one, and one more after it is replaced. */
export const MAX_VAULTS_PER_PEER = 16

// ---------------------------------------------------------------- meeting

/** Most addresses that a ticket carries. More are left out, or no ticket. */
export const MAX_TICKET_ADDRESSES = 4
/** Longest address in a ticket, in characters. A longer one is left out, or no ticket. */
export const MAX_TICKET_ADDRESS_LENGTH = 120
/** Longest ticket, in characters: past it, the checksum of bech32m proves little. A longer one is no ticket. */
export const MAX_TICKET_LENGTH = 1023
/** Pairings whose answer is kept for a joiner that lost its connection; the oldest is forgotten. */
export const MAX_KEPT_PAIRINGS = 16
/** How long such an answer is kept, in milliseconds. */
export const KEEP_PAIRING_MS = 60_000
/** Longest that joining takes, in milliseconds, where nobody says. */
export const JOIN_TIMEOUT_MS = 30_000

// ---------------------------------------------------------------- synchronisation

/** Longest sealed message of a run, in bytes: what a guard takes. A longer one is no message. */
export const MAX_SEALED_BYTES: number = 512 * 1024 + 48
/** Longest certificate of a sync key, in bytes. A longer one is no answer. */
export const MAX_CERTIFICATE_BYTES = 1024
/** Longest that one message of a run may take, in milliseconds, where nobody says. */
export const SYNC_CALL_TIMEOUT_MS = 120_000
