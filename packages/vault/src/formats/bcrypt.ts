/**
 * The KDF of OpenSSH's private keys, bcrypt_pbkdf of OpenBSD, over one bcrypt hash of the package `bcrypt-pbkdf`. What
 * lasts lies in secret memory; a hash leaves its Blowfish state to the collector, which is beyond our reach. It gives
 * the event loop back after each hash, some milliseconds.
 */
import bcrypt from 'bcrypt-pbkdf'

import { MAX_BCRYPT_ROUNDS } from '../limits.ts'
import type { Secret, Slab } from '../secret.ts'
import { sodium } from '../sodium.ts'

const HASH_BYTES = 32

/** What a derivation costs and is bound to. Both are public. */
export interface BcryptInput {
  /** 1 to 1,024 bytes; OpenSSH writes 16. */
  readonly salt: Uint8Array
  /** 1 to `MAX_BCRYPT_ROUNDS`; OpenSSH writes 16 or 24 unless told. */
  readonly rounds: number
  /** Gives up between two hashes. */
  readonly signal?: AbortSignal
}

/**
 * Derives a key from a passphrase.
 *
 * @param length - 1 to 1,024 bytes
 * @returns secret memory that belongs to the caller
 * @throws `RangeError` for an empty passphrase, or bounds that do not hold, before anything is computed
 */
export async function bcryptPbkdf(
  passphrase: Uint8Array,
  input: BcryptInput,
  length: number,
  slab: Slab,
): Promise<Secret> {
  const { rounds, signal } = input
  const salt = Uint8Array.from(input.salt)
  if (!(rounds >= 1 && rounds <= MAX_BCRYPT_ROUNDS)) {
    throw new RangeError(
      `Cannot derive key: ${rounds} rounds, at most ${MAX_BCRYPT_ROUNDS} are computed`,
    )
  }
  if (passphrase.byteLength === 0 || salt.byteLength === 0 || salt.byteLength > 1024) {
    throw new RangeError('Cannot derive key: empty passphrase, or a salt of no sensible length')
  }
  if (!(length >= 1 && length <= HASH_BYTES * HASH_BYTES)) {
    throw new RangeError(`Cannot derive key: ${length} bytes`)
  }
  using passphraseHash = slab.take(64)
  using saltHash = slab.take(64)
  using last = slab.take(HASH_BYTES)
  using block = slab.take(HASH_BYTES)
  sodium.crypto_hash_sha512(passphraseHash.bytes, passphrase)
  const blocks = Math.ceil(length / HASH_BYTES)
  const key = slab.take(length)
  try {
    for (let count = 1; count <= blocks; count++) {
      sodium.crypto_hash_sha512(saltHash.bytes, withCount(salt, count))
      for (let round = 0; round < rounds; round++) {
        if (round > 0) sodium.crypto_hash_sha512(saltHash.bytes, last.bytes)
        bcrypt.hash(passphraseHash.bytes, saltHash.bytes, last.bytes)
        xor(block.bytes, last.bytes)
        // Views are taken anew after each wait: the slab may be gone by then, and says so.
        await new Promise((resolve) => setImmediate(resolve))
        signal?.throwIfAborted()
      }
      // bcrypt_pbkdf deals the bytes of a block out over the whole key, not one block behind the other.
      for (let i = 0, at = count - 1; at < length; i++, at += blocks) {
        key.bytes[at] = block.bytes[i] ?? 0
      }
      block.bytes.fill(0)
    }
    return key
  } catch (error) {
    key.wipe()
    throw error
  }
}

function withCount(salt: Uint8Array, count: number): Uint8Array {
  const bytes = new Uint8Array(salt.byteLength + 4)
  bytes.set(salt)
  new DataView(bytes.buffer).setUint32(salt.byteLength, count)
  return bytes
}

function xor(into: Uint8Array, other: Uint8Array): void {
  for (let i = 0; i < into.byteLength; i++) into[i] = (into[i] ?? 0) ^ (other[i] ?? 0)
}
