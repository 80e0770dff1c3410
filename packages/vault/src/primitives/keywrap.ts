/**
 * Wrapping of keys under a key: AES-256-KW (RFC 3394) and AES-256-KWP (RFC 5649) by OpenSSL. Both are deterministic
 * and authenticate what they wrap; neither takes associated data.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Decipheriv } from 'node:crypto'

import { assertBytes } from '@stronghold/core'

/** Length of a wrapping key. */
export const KEY_BYTES = 32
/** What wrapping adds; KWP also pads to a multiple of 8. */
export const OVERHEAD_BYTES = 8

/** RFC 3394 §2.2.3.1. */
const KW_IV = new Uint8Array(8).fill(0xa6)
/** RFC 5649 §3. */
const KWP_IV = Uint8Array.of(0xa6, 0x59, 0x59, 0xa6)

/**
 * Wraps by RFC 3394.
 *
 * @param secret - 16 bytes or more, a multiple of 8
 * @returns 8 bytes more
 * @throws `RangeError` for a key or secret of another length
 */
export function wrap(key: Uint8Array, secret: Uint8Array): Uint8Array {
  assertBytes(key, 'wrapping key', KEY_BYTES)
  assertBytes(secret, 'secret')
  if (secret.byteLength < 16 || secret.byteLength % 8 !== 0) {
    throw new RangeError(
      `Cannot wrap ${secret.byteLength} bytes: 16 or more are wrapped, a multiple of 8; KWP takes any`,
    )
  }
  return wrapWith('id-aes256-wrap', KW_IV, key, secret)
}

/**
 * Unwraps by RFC 3394 into secret memory, or says false where the bytes were not wrapped so under this key, with
 * `out` filled with zeros.
 *
 * @param out - 8 bytes less than `wrapped`
 * @throws `RangeError` for a key or room of another length
 */
export function unwrap(key: Uint8Array, wrapped: Uint8Array, out: Uint8Array): boolean {
  clearRoom(key, wrapped, out)
  if (wrapped.byteLength < 24 || wrapped.byteLength % 8 !== 0) return false
  return unwrapInto('id-aes256-wrap', KW_IV, key, wrapped, out) === out.byteLength
}

/**
 * Wraps by RFC 5649.
 *
 * @param secret - 1 byte or more
 * @returns the length rounded up to a multiple of 8, and 8 bytes more
 * @throws `RangeError` for a key of another length, or nothing to wrap
 */
export function wrapPadded(key: Uint8Array, secret: Uint8Array): Uint8Array {
  assertBytes(key, 'wrapping key', KEY_BYTES)
  assertBytes(secret, 'secret')
  if (secret.byteLength === 0) throw new RangeError('Cannot wrap a secret: it is empty')
  return wrapWith('id-aes256-wrap-pad', KWP_IV, key, secret)
}

/**
 * Unwraps by RFC 5649 into secret memory. What is wrapped does not show its exact length before.
 *
 * @param out - 8 bytes less than `wrapped`; zeros behind the secret
 * @returns the length of the secret, up to 7 bytes less than `out`; undefined where the bytes were not wrapped so
 *   under this key, with `out` filled with zeros
 * @throws `RangeError` for a key or room of another length
 */
export function unwrapPadded(
  key: Uint8Array,
  wrapped: Uint8Array,
  out: Uint8Array,
): number | undefined {
  clearRoom(key, wrapped, out)
  if (wrapped.byteLength < 16 || wrapped.byteLength % 8 !== 0) return undefined
  return unwrapInto('id-aes256-wrap-pad', KWP_IV, key, wrapped, out)
}

function clearRoom(key: Uint8Array, wrapped: Uint8Array, out: Uint8Array): void {
  assertBytes(key, 'wrapping key', KEY_BYTES)
  assertBytes(wrapped, 'wrapped key')
  assertBytes(out, 'room for a key', Math.max(wrapped.byteLength - OVERHEAD_BYTES, 0))
  out.fill(0)
}

type Algorithm = 'id-aes256-wrap' | 'id-aes256-wrap-pad'

function wrapWith(
  algorithm: Algorithm,
  iv: Uint8Array,
  key: Uint8Array,
  secret: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv(algorithm, key, iv)
  const wrapped = new Uint8Array(cipher.update(secret))
  // Gives nothing more, but lets go of the key.
  cipher.final()
  return wrapped
}

function unwrapInto(
  algorithm: Algorithm,
  iv: Uint8Array,
  key: Uint8Array,
  wrapped: Uint8Array,
  out: Uint8Array,
): number | undefined {
  const decipher = createDecipheriv(algorithm, key, iv)
  try {
    const secret = decipher.update(wrapped)
    out.set(secret)
    secret.fill(0)
    return secret.byteLength
  } catch {
    return undefined
  } finally {
    letGo(decipher)
    overwrite(algorithm, iv, wrapped.byteLength)
  }
}

/**
 * A decipher copies what it unwrapped and gives the first memory back as it was. Unwrapping nothing of the same length
 * gets that memory, fails, and then OpenSSL itself fills it with zeros.
 */
function overwrite(algorithm: Algorithm, iv: Uint8Array, length: number): void {
  const decipher = createDecipheriv(algorithm, NO_KEY, iv)
  try {
    decipher.update(new Uint8Array(length))
  } catch {
    // As it must.
  } finally {
    letGo(decipher)
  }
}

const NO_KEY = new Uint8Array(KEY_BYTES)

/** Ends a computation, so that it keeps its key no longer; one that failed has nothing to end and says so. */
function letGo(decipher: Decipheriv): void {
  try {
    decipher.final()
  } catch {
    // It failed already, and the key is gone all the same.
  }
}
