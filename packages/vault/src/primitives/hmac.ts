/**
 * HMAC with SHA-256, SHA-384 or SHA-512 (RFC 2104, FIPS 198-1) by OpenSSL, which reads the key where it lies and keeps
 * nothing of it after the digest. It knows not what is authenticated.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

import { assertBytes } from '@stronghold/core'

/** The hashes of this vault. */
export type Hash = 'sha256' | 'sha384' | 'sha512'

/** Length of each hash's output, in bytes. */
export const HASH_BYTES: Readonly<Record<Hash, number>> = Object.freeze({
  sha256: 32,
  sha384: 48,
  sha512: 64,
})

/**
 * A tag over a message, to be made public.
 *
 * @param key - any length; a hash's length is the natural one
 * @returns as many bytes as the hash has
 */
export function hmac(hash: Hash, key: Uint8Array, message: Uint8Array): Uint8Array {
  const tag = new Uint8Array(HASH_BYTES[hash])
  hmacInto(hash, key, [message], tag)
  return tag
}

/**
 * An HMAC that is itself a secret, in memory of its own off the moving heap: copy it into secret memory and fill it
 * with zeros, in `finally`.
 *
 * @param parts - the message in pieces, so that nobody has to join secrets
 */
export function secretHmac(hash: Hash, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  assertBytes(key, 'HMAC key')
  const state = createHmac(hash, key)
  for (const part of parts) state.update(part)
  return state.digest()
}

/**
 * Writes an HMAC that is itself a secret into secret memory.
 *
 * @param parts - the message in pieces, so that nobody has to join secrets
 * @param out - as many bytes as the hash has; it may be where the key or a part lies
 * @throws `RangeError` when `out` has another length
 */
export function hmacInto(
  hash: Hash,
  key: Uint8Array,
  parts: readonly Uint8Array[],
  out: Uint8Array,
): void {
  assertBytes(out, 'room for an HMAC', HASH_BYTES[hash])
  const digest = secretHmac(hash, key, parts)
  out.set(digest)
  digest.fill(0)
}

/** Whether a tag is right: of full length, compared in constant time. */
export function verify(hash: Hash, key: Uint8Array, message: Uint8Array, tag: Uint8Array): boolean {
  assertBytes(tag, 'tag')
  const expected = hmac(hash, key, message)
  try {
    return tag.byteLength === expected.byteLength && timingSafeEqual(tag, expected)
  } finally {
    // The right tag is what a forger lacks.
    expected.fill(0)
  }
}
