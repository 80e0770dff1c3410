/** Every bound of this package: unit, default or constant, effect. Whoever needs another bound names it here. */

/** Bounds that an owner may change. */
export interface VaultLimits {
  /** Longest input of one procedure that is not streamed, in bytes. A longer one is `invalid_argument`. Default 64 KiB. */
  maxInputBytes: number
  /** Longest opaque record, in bytes. A longer one is `invalid_argument`. Default 64 KiB. */
  maxOpaqueBytes: number
  /** Longest value of the plain store, in bytes. A longer one is `invalid_argument`. Default 1 MiB. */
  maxStoreValueBytes: number
  /** Most steps of one chain. More is `invalid_argument`. Default 16. */
  maxChainSteps: number
  /** Most rounds of PBKDF2 in one step. More is `invalid_argument`. Default 1,000,000. */
  maxPbkdf2Rounds: number
  /** Most versions of one record that may stand at a time; `rotate` past it is `resource_exhausted`. Default 1,024. */
  maxVersions: number
  /** Most records of a vault. One more is `resource_exhausted`. Default 1,000,000. */
  maxRecords: number
}

/** The defaults. */
export const DEFAULT_LIMITS: Readonly<VaultLimits> = Object.freeze({
  maxInputBytes: 64 * 1024,
  maxOpaqueBytes: 64 * 1024,
  maxStoreValueBytes: 1024 * 1024,
  maxChainSteps: 16,
  maxPbkdf2Rounds: 1_000_000,
  maxVersions: 1024,
  maxRecords: 1_000_000,
})

/** Most messages under one HPKE context, a constant; one more is `failed_precondition` (`key_worn_out`). RFC 9180 allows 2⁹⁶ − 1. */
export const MAX_HPKE_MESSAGES: number = 2 ** 32

/** Longest secret that an HPKE context exports, in bytes, a constant (RFC 9180 §5.3: 255 hashes). A longer one is a `RangeError`. */
export const MAX_HPKE_EXPORT_BYTES: number = 255 * 32
