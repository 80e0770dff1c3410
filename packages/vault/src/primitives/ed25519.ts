/**
 * Ed25519 (RFC 8032) by libsodium. It signs whatever bytes it is given and knows no format. A key is kept expanded
 * (seed and public key), which saves a multiplication on the curve with every signature.
 */
import { assertBytes } from '@stronghold/core'

import { sodium } from '../sodium.ts'

/** Length of the seed, which RFC 8032 calls the private key. */
export const SEED_BYTES = 32
/** Length of the expanded secret: seed, then public key. */
export const EXPANDED_BYTES = 64
/** Length of a public key. */
export const PUBLIC_KEY_BYTES = 32
/** Length of a signature: R, then S. */
export const SIGNATURE_BYTES = 64

/**
 * Writes the form that signs, seed then public key, into secret memory.
 *
 * @param out - 64 bytes of secret memory that does not overlap the seed
 * @throws `RangeError` for any other length
 */
export function expand(seed: Uint8Array, out: Uint8Array): void {
  assertBytes(seed, 'Ed25519 seed', SEED_BYTES)
  assertBytes(out, 'room for an expanded Ed25519 key', EXPANDED_BYTES)
  sodium.crypto_sign_seed_keypair(new Uint8Array(PUBLIC_KEY_BYTES), out, seed)
}

/**
 * The public key of an expanded secret.
 *
 * @throws `RangeError` unless 64 bytes are given
 */
export function publicKey(expanded: Uint8Array): Uint8Array {
  assertBytes(expanded, 'expanded Ed25519 key', EXPANDED_BYTES)
  return new Uint8Array(expanded.subarray(SEED_BYTES))
}

/**
 * Signs a message of any length. The same message gets the same signature.
 *
 * @param expanded - what `expand` wrote; a public half that belongs to another seed would give the secret away, so it
 *   is never taken from outside
 * @returns 64 bytes
 * @throws `RangeError` unless the key has 64 bytes
 */
export function sign(expanded: Uint8Array, message: Uint8Array): Uint8Array {
  assertBytes(expanded, 'expanded Ed25519 key', EXPANDED_BYTES)
  assertBytes(message, 'message')
  const signature = new Uint8Array(SIGNATURE_BYTES)
  sodium.crypto_sign_detached(signature, message, expanded)
  return signature
}

/**
 * Whether a signature is right, strictly: S below the group's order, public key and R canonical and of no small order.
 * A signature of another length is wrong.
 *
 * @throws `RangeError` unless the public key has 32 bytes
 */
export function verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  assertBytes(publicKey, 'Ed25519 public key', PUBLIC_KEY_BYTES)
  assertBytes(message, 'message')
  assertBytes(signature, 'signature')
  if (signature.byteLength !== SIGNATURE_BYTES) return false
  return sodium.crypto_sign_verify_detached(signature, message, publicKey)
}
