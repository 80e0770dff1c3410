/** Every bound of the program: unit, effect. What a vault or a guard bounds itself stands there. */

/** Most peers in a book. One more is refused. */
export const MAX_BOOK_PEERS = 4096
/** Most addresses of one peer. Of more the oldest go; more at once are refused. */
export const MAX_BOOK_ADDRESSES = 64
/** How long another process may keep the vault to itself before we give up, in milliseconds. */
export const MAX_HELD_MS = 5000
/** Longest input of one request, in bytes, as the vault takes it. A longer one is refused, or hashed where that is enough. */
export const MAX_INPUT_BYTES: number = 64 * 1024
/** Longest passphrase, in bytes. */
export const MAX_PASSPHRASE_BYTES = 1024
/** Longest secret that is taken, in bytes. */
export const MAX_SECRET_BYTES: number = 64 * 1024
/** Longest signature that is read, in bytes. */
export const MAX_SIGNATURE_BYTES: number = 2 * 1024 * 1024
/** Longest public key that is read from a file, in bytes. */
export const MAX_PUBLIC_KEY_BYTES: number = 16 * 1024
/** Longest file of a receipt or of a head, in bytes: a receipt of 512 KiB as base64. */
export const MAX_RECEIPT_FILE_BYTES: number = 1024 * 1024
/** Longest rules file, in bytes. */
export const MAX_RULES_BYTES: number = 1024 * 1024
/** Longest line of an exported audit, in bytes, twice what an entry can have: bytes of it stand there in two forms. */
export const MAX_AUDIT_LINE_BYTES: number = 4 * 1024 * 1024
/** Longest value, in bytes, as the vault takes it. */
export const MAX_VALUE_BYTES: number = 1024 * 1024
/** Most steps of a chain, as the vault takes it. */
export const MAX_STEPS = 16
/** Longest path of a unix socket that every system takes, in bytes. */
export const MAX_SOCKET_PATH_BYTES = 103
/** Most approvals that a live view holds. What is more appears when there is room. */
export const MAX_WATCHED = 256
/** Longest that an approval is remembered, in milliseconds, as the guard has it. */
export const MAX_APPROVED_MS: number = 24 * 3_600_000
/** Fewest columns for a table of what waits. With fewer, each takes two lines. */
export const NARROW_COLUMNS = 60
/** Most of what has ended that a live view remembers. The oldest is forgotten. */
export const MAX_WATCHED_ENDED = 64
/** How long something has to be on the screen before it can be decided, in milliseconds. A key that comes sooner is told so. */
export const MIN_SHOWN_MS = 500
/** Least time between two screens of a live view, in milliseconds. What changes meanwhile is in the next one. */
export const WATCH_FRAME_MS = 40
/** Programs of approvals.notify that run at a time. For one more request, none is run. */
export const MAX_NOTIFIERS = 4
/** How often such a program is run at most: so many in a row. */
export const MAX_NOTIFIED_AT_ONCE = 10
/** And so many a minute after that. */
export const MAX_NOTIFIED_PER_MINUTE = 20
/** How long such a program may run, in milliseconds. Then it is ended. */
export const NOTIFIER_TIMEOUT_MS = 30_000
/** How often a live view reads what stands, beside hearing of it, in milliseconds. */
export const WATCH_REFRESH_MS = 2000
/** How long a Stronghold that ends takes to let go of everything, in milliseconds. Then it ends all the same. */
export const CLOSE_TIMEOUT_MS = 4000
/** How long `down` waits for that, and `up --detach` for a start, in milliseconds. */
export const MAX_START_MS = 30_000
/** Longest ticket that is taken, in characters, as pairing prints them at most, with blanks around it. */
export const MAX_TICKET_TEXT = 2048
/** Peers whose vaults one node uses at a time, in use or not. One more takes the place of one that is not, or is refused. */
export const MAX_ASKED_PEERS = 64
/** Peers whose vaults' heads are kept; the one heard of longest ago is forgotten. */
export const MAX_HEADS = 1024
/** Most requests to others that are remembered. For one more, one that is over is forgotten; with none, it is refused. */
export const MAX_REQUESTS = 256
/** Longest command that is remembered with a request, in characters. A longer one is told in words. */
export const MAX_AGAIN_LENGTH = 4096
/** How long past its deadline a request is remembered, in milliseconds: as long as the other side remembers it. */
export const KEEP_REQUEST_MS = 300_000
/** Longest a request to others may wait, in milliseconds: 24 h, as the other side takes it. */
export const MAX_WAIT_MS: number = 24 * 3_600_000
/** Longest reason, in characters, as the other side takes it. */
export const MAX_REASON_LENGTH = 256
/** How long it is tried to tell that an answer has arrived, in milliseconds. Then the other side forgets it by itself. */
export const ACKNOWLEDGE_MS = 2000
/** Most peers that a relay allows, denies, or gives a quota by name. One more is refused. */
export const MAX_RELAY_PEERS = 4096
/** Peers of which it is remembered what they say of themselves. The oldest is forgotten. */
export const MAX_HEARD_PEERS = 256
/** Addresses of this machine that peers told. The oldest is forgotten. */
export const MAX_HEARD_ADDRESSES = 64
/** Most round trips that one call measures. */
export const MAX_PINGS = 10_000
/** Longest search for peers, in milliseconds. */
export const MAX_FIND_MS: number = 24 * 3_600_000
/** How long one command of the tour may take, in milliseconds. Then it is ended, and the tour with it. */
export const TOUR_COMMAND_MS = 60_000
/** How often the live view of a relay is drawn, in milliseconds. */
export const RELAY_WATCH_MS = 1000
/** How long the doctor tries each way of finding, in milliseconds. */
export const DOCTOR_SEARCH_MS = 3000
/** How far a clock may stand before what a home has seen, in milliseconds. More is bad. */
export const MAX_CLOCK_BEHIND_MS = 60_000
/** How long nothing may be heard of a peer that is asked something, in milliseconds. Then whoever asked is told. */
export const MAX_UNHEARD_MS = 30_000
/** Longest sealed message between partners, in bytes, as both sides take it. */
export const MAX_SYNC_SEALED_BYTES: number = 512 * 1024 + 48
/** Shortest pause between two runs of a partnership that a Stronghold makes by itself, in milliseconds. */
export const MIN_SYNC_PAUSE_MS = 5000
/** Longest such pause after runs that failed, in milliseconds. */
export const MAX_SYNC_PAUSE_MS: number = 15 * 60_000
