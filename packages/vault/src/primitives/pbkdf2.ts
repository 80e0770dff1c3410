/**
 * PBKDF2 (RFC 8018 §5.2) by OpenSSL. It computes on the thread that calls, since nothing is awaited inside a batch:
 * the ceiling on rounds is the caller's to check before.
 */
import { pbkdf2Sync } from 'node:crypto'

import { assertBytes } from '@stronghold/core'

import type { Hash } from './hmac.ts'

/**
 * Fills secret memory with a key derived from a passphrase.
 *
 * @param passphrase - bytes, any length; text is UTF-8 where its format says nothing else
 * @param rounds - 1 or more; about a million a second with SHA-256
 * @param out - 1 byte or more
 * @throws `RangeError` for no rounds or no room
 */
export function pbkdf2(
  hash: Hash,
  passphrase: Uint8Array,
  salt: Uint8Array,
  rounds: number,
  out: Uint8Array,
): void {
  assertBytes(passphrase, 'passphrase')
  assertBytes(salt, 'salt')
  assertBytes(out, 'room for a derived key')
  if (out.byteLength === 0) throw new RangeError('Cannot derive a key: no room for it')
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 0x7fff_ffff) {
    throw new RangeError(`Cannot derive a key: ${rounds} is no number of rounds`)
  }
  const derived = pbkdf2Sync(passphrase, salt, rounds, out.byteLength, hash)
  out.set(derived)
  derived.fill(0)
}
