/**
 * How long fields and secrets may be at most, whatever an owner sets: definitions hold on every machine, also where no
 * vault is. What an owner may lower stands in `limits.ts`.
 */
import type { RecordType } from './labels.ts'

/** Longest field of bytes in an input, in bytes. A longer one is `invalid_argument`; `maxInputBytes` is usually lower. */
export const MAX_FIELD_BYTES = 1024 * 1024
/** Longest context that is bound to a ciphertext or a derived key, in bytes. */
export const MAX_CONTEXT_BYTES = 4096
/** Longest passphrase, in bytes. */
export const MAX_PASSPHRASE_BYTES = 1024
/** Longest derived secret, in bytes: 255 times the shortest hash (RFC 5869 §2.3). */
export const MAX_DERIVED_BYTES = 255 * 32
/** Most random bytes at a time. */
export const MAX_RANDOM_BYTES = 64 * 1024
/** Most secrets that one `concat` joins. */
export const MAX_CONCAT_PARTS = 16
/** Longest BIP-32 path, in steps. */
export const MAX_KEY_PATH_STEPS = 16
/** Most members that a caller may add to a JWS header. */
export const MAX_HEADER_MEMBERS = 16

/** Bytes of a secret: fewest, most, and what is made where nobody says. */
export interface SecretLength {
  readonly least: number
  readonly most: number
  readonly usual: number
}

const fixed = (length: number): SecretLength => ({ least: length, most: length, usual: length })

/** How long the secret of a type is, in bytes: seeds of Ed25519, scalars, keys. */
export const SECRET_LENGTHS: Readonly<Record<RecordType, SecretLength>> = Object.freeze({
  ed25519: fixed(32),
  x25519: fixed(32),
  secp256k1: fixed(32),
  p256: fixed(32),
  p384: fixed(48),
  'aes-256-gcm': fixed(32),
  'xchacha20-poly1305': fixed(32),
  'aes-256-kw': fixed(32),
  'hmac-sha2': { least: 16, most: 128, usual: 32 },
  seed: { least: 16, most: 64, usual: 64 },
  opaque: { least: 1, most: MAX_FIELD_BYTES, usual: 32 },
})

/** Types with a public half. */
export const PAIR_TYPES = ['ed25519', 'x25519', 'secp256k1', 'p256', 'p384'] as const
/** Types that sign. */
export const SIGNING_TYPES = ['ed25519', 'secp256k1', 'p256', 'p384'] as const
/** Types that encrypt. */
export const CIPHER_TYPES = ['aes-256-gcm', 'xchacha20-poly1305'] as const
/** Types that others are derived from. */
export const PARENT_TYPES = ['seed', 'opaque'] as const
