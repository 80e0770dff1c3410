/**
 * Every bound of this package: unit, default or constant, effect. Whoever needs another bound names it here; those of
 * the catalog, which holds where no vault is, stand in `catalog/bounds.ts`.
 */

/** Bounds that an owner may change. */
export interface VaultLimits {
  /** Longest input of one procedure that is not streamed, in bytes. A longer one is `invalid_argument`. Default 64 KiB. */
  maxInputBytes: number
  /** Longest opaque record, in bytes. A longer one is `invalid_argument`. Default 64 KiB. */
  maxOpaqueBytes: number
  /** Longest value of the plain store, in bytes. A longer one is `invalid_argument`. Default 1 MiB. */
  maxStoreValueBytes: number
  /** Most entries of the plain store. One more is `resource_exhausted`. Default 100,000. */
  maxStoreEntries: number
  /** Most steps of one chain. More is `invalid_argument`. Default 16. */
  maxChainSteps: number
  /** Most rounds of PBKDF2 in one step. More is `invalid_argument`. Default 1,000,000. */
  maxPbkdf2Rounds: number
  /** Most versions of one record that may stand at a time; `rotate` past it is `resource_exhausted`. Default 1,024. */
  maxVersions: number
  /** Most records of a vault. One more is `resource_exhausted`. Default 1,000,000. */
  maxRecords: number
  /** Most runs that wait for the end of their turn. One more is `resource_exhausted`. Default 65,536. */
  maxQueuedRuns: number
}

/** The defaults. */
export const DEFAULT_LIMITS: Readonly<VaultLimits> = Object.freeze({
  maxInputBytes: 64 * 1024,
  maxOpaqueBytes: 64 * 1024,
  maxStoreValueBytes: 1024 * 1024,
  maxStoreEntries: 100_000,
  maxChainSteps: 16,
  maxPbkdf2Rounds: 1_000_000,
  maxVersions: 1024,
  maxRecords: 1_000_000,
  maxQueuedRuns: 65_536,
})

/** Most messages under one HPKE context, a constant; one more is `failed_precondition` (`key_worn_out`). RFC 9180 allows 2⁹⁶ − 1. */
export const MAX_HPKE_MESSAGES: number = 2 ** 32

/** Longest secret that an HPKE context exports, in bytes, a constant (RFC 9180 §5.3: 255 hashes). A longer one is a `RangeError`. */
export const MAX_HPKE_EXPORT_BYTES: number = 255 * 32

/** Longest key that the concat KDF gives, in lengths of its hash, a constant of ours. A longer one is a `RangeError`. */
export const MAX_CONCAT_KDF_BLOCKS = 255

/** Longest file of keys or signatures that is read (PEM, OpenSSH, SSHSIG), in bytes, a constant. A longer one is a `RangeError`. */
export const MAX_KEY_FILE_BYTES: number = 64 * 1024

/** Most rounds of the KDF of an OpenSSH private key, a constant: some ten seconds. More is a `RangeError` before any is computed. */
export const MAX_BCRYPT_ROUNDS = 1024

/** Sealed rows that are kept in memory, in bytes, a constant: past it the oldest are read again from the disk. */
export const MAX_ROW_CACHE_BYTES: number = 1024 * 1024

/** Longest sealed row that is kept so, in bytes, a constant. A longer one is read each time. */
export const MAX_CACHED_ROW_BYTES: number = 128 * 1024

/** Most forms of secrets that one transaction keeps made, a constant; for one more the oldest is wiped and made again when it is used. */
export const MAX_LENT_SECRETS = 64

/** Most inputs of `sign`, apart from their messages, that an unlocked vault remembers as it read them, a constant; for one more the oldest goes and is read again. */
export const MAX_READINGS = 1024

/** Longest readable half of a header, in bytes, a constant; a longer one is a damaged header (`unlock_failed`). */
export const MAX_HEADER_BYTES: number = 64 * 1024

/** Most unlockers of one vault, a constant; one more is a `RangeError`. */
export const MAX_UNLOCKERS = 8

/** Longest name of an unlocker, in characters, a constant; a longer one is a `RangeError`. */
export const MAX_UNLOCKER_NAME_LENGTH = 64

/** Highest kind of a row, a constant; a higher one is a `RangeError`. */
export const MAX_ROW_KIND = 63

/** Longest id of a row, in bytes, a constant; a longer one is a `RangeError`. */
export const MAX_ROW_ID_BYTES = 64

/** Longest header of an age file, in bytes, a constant: room for some 2,000 recipients. A longer one is refused (`RangeError`) while it is read. */
export const MAX_AGE_HEADER_BYTES: number = 256 * 1024

/** Most recipients in the header of an age file, a constant. More are refused (`RangeError`) while it is read. */
export const MAX_AGE_STANZAS: number = 1024

/** Longest run of white space before or after the armor of an age file, in bytes, a constant. A longer one is refused (`RangeError`). */
export const MAX_AGE_WHITESPACE_BYTES: number = 1024

/** Work factor of a passphrase written into an age file, as log₂ N. Default 18 (256 MiB for about a second); 10 to `MAX_AGE_LOG_N` is taken. */
export const DEFAULT_AGE_LOG_N: number = 18

/** Least work factor that is written, as log₂ N, a constant. A lower one is a `RangeError`. */
export const MIN_AGE_LOG_N: number = 10

/** Highest work factor of a passphrase that is read by default, as log₂ N: 4 GiB. A higher one is refused (`RangeError`) before computing. */
export const MAX_AGE_LOG_N: number = 22

/** Longest list of identities in one file, in bytes, a constant. A longer one is a `RangeError`. */
export const MAX_AGE_IDENTITY_FILE_BYTES: number = 64 * 1024

/** Longest row that says what is written about a record, in bytes, a constant; a longer one is damaged. 1,024 versions fit. */
export const MAX_RECORD_BYTES: number = 1024 * 1024

/** What an input may have beside `maxInputBytes`, in bytes, a constant: names, labels, contexts, the head of an envelope. */
export const INPUT_OVERHEAD_BYTES: number = 16 * 1024

/** Most nonces of one version of an AES-GCM key, a constant (DESIGN: refused above 2³¹); then `key_worn_out`. */
export const MAX_NONCES: number = 2 ** 31

/** How many nonces of an AES-GCM key are written down as taken at a time, a constant: a crash skips that many at most. */
export const NONCE_BLOCK = 1024

/** Rows read from the database at a time, a constant: what a listing holds beside the row it gives. */
export const ROWS_PER_READ = 32

/** Pages of 4 KiB after which SQLite folds its log into the database, a constant. */
export const WAL_PAGES = 1000

/** Longest log that stays behind once it was folded in, in bytes, a constant; a longer one is cut. */
export const JOURNAL_BYTES: number = 16 * 1024 * 1024

/** Free pages from which compacting gives a file its size back where they are half of it, a constant. */
export const VACUUM_PAGES = 1024

/** Longest key of the plain store, in bytes of UTF-8, a constant. A longer one is `invalid_argument`. */
export const MAX_STORE_KEY_BYTES = 1024

/** Longest `vault.lock` that is read, in bytes, a constant; what stands behind is not looked at. */
export const MAX_LOCK_FILE_BYTES = 4096

/** Longest mnemonic in words of any language, and longest passphrase beside it, in bytes, a constant. A longer one is a `RangeError`. */
export const MAX_MNEMONIC_BYTES: number = 4096

/** Longest derivation path, in steps, a constant: SLIP-10 counts depth in one byte. A longer one is a `RangeError`. */
export const MAX_DERIVATION_DEPTH: number = 255

/** Longest passphrase, in bytes, a constant; a longer one, or an empty one, is a `RangeError`. */
export const MAX_PASSPHRASE_BYTES = 1024

/** Least that Argon2id may cost, a constant; a header that says less is damaged (`unlock_failed`), a caller who asks less gets a `RangeError`. */
export const MIN_KDF: Readonly<{ memoryKiB: number; passes: number }> = Object.freeze({
  memoryKiB: 19 * 1024,
  passes: 2,
})

/** Most that Argon2id may cost, a constant; more is as less. */
export const MAX_KDF: Readonly<{ memoryKiB: number; passes: number }> = Object.freeze({
  memoryKiB: 1024 * 1024,
  passes: 16,
})

/** Most who wait to derive a key, the one who does included, a constant; one more is `resource_exhausted`. */
export const MAX_KDF_WAITING = 16

/** Longest reason that a caller gives for a request, in characters, a constant. A longer one is a `RangeError`. */
export const MAX_REASON_LENGTH = 256

/** Deepest nesting of JSON that is read, a constant. Deeper is a `RangeError`. */
export const MAX_JSON_DEPTH: number = 32

/** Longest JWK, in bytes, a constant. A longer one is a `RangeError`. */
export const MAX_JWK_BYTES: number = 64 * 1024

/** Longest JWS in compact form, in bytes, a constant: 64 KiB of payload and its signature. A longer one is a `RangeError`. */
export const MAX_JWS_BYTES: number = 128 * 1024

/** Longest protected header of a JWS, in bytes, a constant. A longer one is a `RangeError`. */
export const MAX_JWS_HEADER_BYTES: number = 8 * 1024

/** Longest Ethereum transaction, in bytes, a constant: what nodes take. A longer one is a `RangeError`. */
export const MAX_TRANSACTION_BYTES: number = 128 * 1024

/** Deepest nesting of RLP lists, a constant; an access list needs four. Deeper is a `RangeError`. */
export const MAX_RLP_DEPTH: number = 8

/** Longest EIP-712 typed data as JSON, in bytes, a constant. A longer one is a `RangeError`. */
export const MAX_TYPED_DATA_BYTES: number = 64 * 1024

/** Most struct types in EIP-712 typed data, a constant. More are a `RangeError`. */
export const MAX_TYPED_DATA_TYPES: number = 64

/** Longest line of a backup, in bytes, a constant: values up to 24 MiB. A longer one is not written (`resource_exhausted`) and not read (`damaged`). */
export const MAX_BACKUP_LINE_BYTES: number = 32 * 1024 * 1024

/** Longest title and name in a preview, in characters. What is longer is cut. */
export const MAX_PREVIEW_LINE = 120
/** Longest value in a preview, in characters. What is longer is cut. */
export const MAX_PREVIEW_TEXT = 500
/** Most details of a preview. What is more is counted, and the count is the last but what tells the bytes. */
export const MAX_PREVIEW_DETAILS = 32
