/** Every bound of the program: unit, effect. What a vault or a guard bounds itself stands there. */

/** Most peers in a book. One more is refused. */
export const MAX_BOOK_PEERS = 4096
/** Most addresses of one peer. One more is refused. */
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
/** Longest rules file, in bytes. */
export const MAX_RULES_BYTES: number = 1024 * 1024
/** Longest value, in bytes, as the vault takes it. */
export const MAX_VALUE_BYTES: number = 1024 * 1024
/** Most steps of a chain, as the vault takes it. */
export const MAX_STEPS = 16
/** Longest path of a unix socket that every system takes, in bytes. */
export const MAX_SOCKET_PATH_BYTES = 103
/** Longest ticket that is taken, in characters, as pairing prints them at most, with blanks around it. */
export const MAX_TICKET_TEXT = 2048
