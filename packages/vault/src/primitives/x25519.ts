/** X25519 (RFC 7748) by libsodium: a public key, and a secret that two sides share. It derives no key from it. */
import { assertBytes } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { sodium } from '../sodium.ts'

/** Length of a secret key, a public key and a shared secret. */
export const KEY_BYTES = 32

/**
 * The public key of a secret key, which is any 32 bytes: clamping happens inside.
 *
 * @throws `RangeError` unless 32 bytes are given
 */
export function publicKey(secretKey: Uint8Array): Uint8Array {
  assertBytes(secretKey, 'X25519 secret key', KEY_BYTES)
  const key = new Uint8Array(KEY_BYTES)
  sodium.crypto_scalarmult_base(key, secretKey)
  return key
}

/**
 * Writes the shared secret into secret memory: raw, so a key derivation has to follow (RFC 7748 §6.1).
 *
 * @param out - 32 bytes of secret memory; zeros where the call throws
 * @throws `RangeError` for any other length; `VaultError` `invalid_argument` where the other's key has a small order
 *   and the secret would be all zeros
 */
export function agree(secretKey: Uint8Array, theirs: Uint8Array, out: Uint8Array): void {
  assertBytes(secretKey, 'X25519 secret key', KEY_BYTES)
  assertBytes(theirs, 'X25519 public key', KEY_BYTES)
  assertBytes(out, 'room for a shared secret', KEY_BYTES)
  try {
    sodium.crypto_scalarmult(out, secretKey, theirs)
  } catch {
    sodium.sodium_memzero(out)
    throw new VaultError(
      'invalid_argument',
      'Cannot agree on a secret: the public key has a small order',
    )
  }
}
