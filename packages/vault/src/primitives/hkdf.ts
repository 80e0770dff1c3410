/**
 * HKDF (RFC 5869) over OpenSSL's HMAC. Not `hkdfSync`, which leaves the key in an object until it is collected and
 * takes no long info. What the output is used for, the caller says in `info`.
 */
import { assertBytes } from '@stronghold/core'

import { HASH_BYTES, secretHmac } from './hmac.ts'
import type { Hash } from './hmac.ts'

/** Most that HKDF gives, in lengths of its hash (RFC 5869 §2.3). */
const MOST_BLOCKS = 255

/** What a derivation is bound to. Both are public. */
export interface HkdfInput {
  /** Empty is as good as a hash's length of zeros, says the RFC. Default empty. */
  salt?: Uint8Array
  /** What the output is for. Default empty. */
  info?: Uint8Array
}

/**
 * Fills secret memory with a key derived from a secret.
 *
 * @param secret - input keying material, any length
 * @param out - 1 to 255 times the hash's length, apart from where the secret lies
 * @throws `RangeError` for any other length
 */
export function hkdf(hash: Hash, secret: Uint8Array, input: HkdfInput, out: Uint8Array): void {
  checkRoom(hash, out)
  assertBytes(secret, 'secret')
  const pseudorandomKey = secretHmac(hash, input.salt ?? EMPTY, [secret])
  try {
    hkdfExpand(hash, pseudorandomKey, input.info ?? EMPTY, out)
  } finally {
    pseudorandomKey.fill(0)
  }
}

/**
 * The second half alone, for a key that is already uniform: HPKE and age use it so (RFC 5869 §3.3).
 *
 * @throws `RangeError` when `out` has more than 255 times the hash's length, or the key less than one
 */
export function hkdfExpand(hash: Hash, key: Uint8Array, info: Uint8Array, out: Uint8Array): void {
  const size = HASH_BYTES[hash]
  checkRoom(hash, out)
  assertBytes(key, 'pseudorandom key')
  if (key.byteLength < size) {
    throw new RangeError(
      `Cannot derive a key: ${key.byteLength} bytes of key where ${size} are due`,
    )
  }
  for (let at = 0, counter = 1; at < out.byteLength; at += size, counter++) {
    // The block before is read where it was written, so that no copy has to be wiped.
    const before = out.subarray(Math.max(at - size, 0), at)
    const block = secretHmac(hash, key, [before, info, Uint8Array.of(counter)])
    out.set(block.subarray(0, out.byteLength - at), at)
    block.fill(0)
  }
}

const EMPTY = new Uint8Array(0)

function checkRoom(hash: Hash, out: Uint8Array): void {
  assertBytes(out, 'room for a derived key')
  const most = MOST_BLOCKS * HASH_BYTES[hash]
  if (out.byteLength < 1 || out.byteLength > most) {
    throw new RangeError(`Cannot derive ${out.byteLength} bytes: this HKDF gives 1 to ${most}`)
  }
}
