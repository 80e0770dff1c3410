/**
 * The single-step key derivation of NIST SP 800-56C §4 (in SP 800-56A, "concat KDF") over OpenSSL's SHA-2. What the
 * fixed info says is the format's: JWA (RFC 7518 §4.6.2) has one way to fill it.
 */
import { hash as digestOf } from 'node:crypto'

import { assertBytes } from '@stronghold/core'

import { MAX_CONCAT_KDF_BLOCKS } from '../limits.ts'
import type { Slab } from '../secret.ts'
import { HASH_BYTES } from './hmac.ts'
import type { Hash } from './hmac.ts'

/**
 * Fills secret memory with hash(counter ‖ secret ‖ fixed info) for the counters 1, 2, … (32 bits, big endian).
 *
 * @param slab - lends room to join the three while the call lasts
 * @param secret - a shared secret, 1 byte or more
 * @param out - 1 to 255 times the hash's length
 * @throws `RangeError` for any other length; `VaultError` `resource_exhausted` where the slab has no room
 */
export function concatKdf(
  slab: Slab,
  hash: Hash,
  secret: Uint8Array,
  fixedInfo: Uint8Array,
  out: Uint8Array,
): void {
  const size = HASH_BYTES[hash]
  assertBytes(secret, 'shared secret')
  assertBytes(fixedInfo, 'fixed info')
  assertBytes(out, 'room for a derived key')
  if (secret.byteLength === 0) throw new RangeError('Cannot derive a key: no secret was given')
  if (out.byteLength < 1 || out.byteLength > MAX_CONCAT_KDF_BLOCKS * size) {
    throw new RangeError(
      `Cannot derive ${out.byteLength} bytes: this derivation gives 1 to ${MAX_CONCAT_KDF_BLOCKS * size}`,
    )
  }
  using joined = slab.take(4 + secret.byteLength + fixedInfo.byteLength)
  joined.bytes.set(secret, 4)
  joined.bytes.set(fixedInfo, 4 + secret.byteLength)
  for (let at = 0, counter = 1; at < out.byteLength; at += size, counter++) {
    joined.bytes.set([0, 0, counter >> 8, counter & 0xff])
    // One call, no hash object: an object keeps its digest until it is collected.
    const block = digestOf(hash, joined.bytes, 'buffer')
    out.set(block.subarray(0, out.byteLength - at), at)
    block.fill(0)
  }
}
