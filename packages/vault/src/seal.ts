/**
 * What lies on disk, as values: the keys under a data key, rows, audit entries and the header sealed and opened, the sum
 * over all rows (`docs/vault-format.md §3–4`). It knows no store, no clock and no unlocker.
 */
import { assertBytes, encodeUtf8 } from '@stronghold/core'

import type { Secret, Slab } from './secret.ts'
import { sodium } from './sodium.ts'

/** Length of a data key and of every key made from it. */
export const DATA_KEY_BYTES = 32
/** Length of a vault's id. */
export const VAULT_ID_BYTES = 16
/** What sealing adds: 24 bytes of nonce before, 16 of tag behind. */
export const SEAL_BYTES: number = 24 + 16

const NONCE_BYTES = 24
const TAG_BYTES = 16

/** Fills with random bytes. A seam for tests; elsewhere libsodium's. */
export type Random = (out: Uint8Array) => void

/** Bytes drawn from libsodium at a time for nonces: a call of its own for each costs more than sealing. */
const POOL_BYTES = 4080

/** Random bytes for nonces, which are no secret: libsodium's, drawn many at a time, each given out once. */
export function nonces(): Random {
  const pool = new Uint8Array(POOL_BYTES)
  let at = POOL_BYTES
  return (out) => {
    const { byteLength } = out
    if (byteLength > POOL_BYTES) {
      sodium.randombytes_buf(out)
      return
    }
    if (at + byteLength > POOL_BYTES) {
      sodium.randombytes_buf(pool)
      at = 0
    }
    out.set(pool.subarray(at, at + byteLength))
    at += byteLength
  }
}

/** The keys that a data key gives (§3), in locked memory. Disposing wipes them. */
export interface Keys extends Disposable {
  readonly row: Secret
  readonly name: Secret
  readonly sum: Secret
  readonly header: Secret
  readonly audit: Secret
}

/**
 * The keys under a data key (§3). The data key stays the caller's to wipe.
 *
 * @param dataKey - 32 bytes
 * @throws `VaultError` `resource_exhausted` where the slab is full
 */
export function deriveKeys(dataKey: Uint8Array, slab: Slab): Keys {
  assertBytes(dataKey, 'data key', DATA_KEY_BYTES)
  const taken: Secret[] = []
  const subkey = (n: number): Secret => {
    const secret = slab.take(DATA_KEY_BYTES)
    taken.push(secret)
    sodium.crypto_kdf_derive_from_key(secret.bytes, n, KDF_CONTEXT, dataKey)
    return secret
  }
  const wipe = (): void => {
    for (const secret of taken) secret.wipe()
  }
  try {
    return {
      row: subkey(1),
      name: subkey(2),
      sum: subkey(3),
      header: subkey(4),
      audit: subkey(5),
      [Symbol.dispose]: wipe,
    }
  } catch (error) {
    wipe()
    throw error
  }
}

const KDF_CONTEXT = encodeUtf8('shvault1')

/** The id of a row that has a name: 32 bytes, keyed, so that the store tells no names (§3, key 2). */
export function nameId(keys: Keys, kind: number, name: string): Uint8Array {
  const text = encodeUtf8(name)
  const message = new Uint8Array(1 + text.byteLength)
  message[0] = kind
  message.set(text, 1)
  const id = new Uint8Array(32)
  sodium.crypto_generichash(id, message, keys.name.bytes)
  return id
}

/** Seals: `nonce ‖ ciphertext ‖ tag`. */
export function seal(
  key: Secret,
  associated: Uint8Array,
  plaintext: Uint8Array,
  random: Random,
): Uint8Array {
  const sealed = new Uint8Array(SEAL_BYTES + plaintext.byteLength)
  const nonce = sealed.subarray(0, NONCE_BYTES)
  random(nonce)
  sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
    sealed.subarray(NONCE_BYTES),
    plaintext,
    associated,
    null,
    nonce,
    key.bytes,
  )
  return sealed
}

/**
 * Opens into `out`; false, and zeros in it, for whatever does not authenticate.
 *
 * @param out - `openedLength(sealed)` bytes
 */
export function unseal(
  key: Secret,
  associated: Uint8Array,
  sealed: Uint8Array,
  out: Uint8Array,
): boolean {
  if (sealed.byteLength < SEAL_BYTES || out.byteLength !== openedLength(sealed)) return false
  const bytes = key.bytes // outside: a key that was wiped is misuse, not damage
  try {
    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
      out,
      null,
      sealed.subarray(NONCE_BYTES),
      associated,
      sealed.subarray(0, NONCE_BYTES),
      bytes,
    )
    return true
  } catch {
    out.fill(0)
    return false
  }
}

/** Bytes inside sealed ones; 0 for what is too short to be sealed. */
export function openedLength(sealed: Uint8Array): number {
  return Math.max(sealed.byteLength - SEAL_BYTES, 0)
}

// --- Associated data (§4)

/** `"stronghold/row/1" ‖ vault ‖ u8 kind ‖ u64 generation ‖ id`. */
export function rowAssociated(
  vault: Uint8Array,
  kind: number,
  generation: number,
  id: Uint8Array,
): Uint8Array {
  const bytes = domain(ROW_DOMAIN, vault, 9 + id.byteLength)
  const at = ROW_DOMAIN.byteLength + VAULT_ID_BYTES
  bytes[at] = kind
  writeUint64(bytes, at + 1, generation)
  bytes.set(id, at + 9)
  return bytes
}

/** `"stronghold/audit/1" ‖ vault ‖ u64 position`. */
export function entryAssociated(vault: Uint8Array, position: number): Uint8Array {
  const bytes = domain(AUDIT_DOMAIN, vault, 8)
  writeUint64(bytes, AUDIT_DOMAIN.byteLength + VAULT_ID_BYTES, position)
  return bytes
}

/** `"stronghold/header/1" ‖ vault ‖ BLAKE2b-256(open)`. */
export function headerAssociated(vault: Uint8Array, open: Uint8Array): Uint8Array {
  const bytes = domain(HEADER_DOMAIN, vault, 32)
  sodium.crypto_generichash(bytes.subarray(HEADER_DOMAIN.byteLength + VAULT_ID_BYTES), open)
  return bytes
}

const ROW_DOMAIN = encodeUtf8('stronghold/row/1')
const AUDIT_DOMAIN = encodeUtf8('stronghold/audit/1')
const HEADER_DOMAIN = encodeUtf8('stronghold/header/1')

function domain(name: Uint8Array, vault: Uint8Array, more: number): Uint8Array {
  const bytes = new Uint8Array(name.byteLength + VAULT_ID_BYTES + more)
  bytes.set(name)
  bytes.set(vault, name.byteLength)
  return bytes
}

function writeUint64(bytes: Uint8Array, at: number, value: number): void {
  let left = value
  for (let i = at + 7; i >= at; i--) {
    bytes[i] = left % 256
    left = Math.floor(left / 256)
  }
}

// --- The sum over all rows (§4)

/** A row as far as the sum sees it. */
export interface SummedRow {
  readonly kind: number
  readonly id: Uint8Array
  readonly generation: number
  readonly sealed: Uint8Array
}

/** The sum of rows modulo 2²⁵⁶, in which a row counts by its keyed hash; adding and taking away commute. */
export class RowSum {
  /** Eight limbs of 32 bits, least first. */
  readonly #limbs = new Uint32Array(8)
  readonly #key: Secret
  readonly #mac = new Uint8Array(32)
  readonly #macView = new DataView(this.#mac.buffer)

  /** @param from - 32 bytes, little-endian; zero where none are given */
  constructor(keys: Keys, from?: Uint8Array) {
    this.#key = keys.sum
    if (from === undefined) return
    assertBytes(from, 'sum', 32)
    const view = new DataView(from.buffer, from.byteOffset)
    for (let i = 0; i < 8; i++) this.#limbs[i] = view.getUint32(4 * i, true)
  }

  add(row: SummedRow): void {
    this.#hash(row)
    let carry = 0
    for (let i = 0; i < 8; i++) {
      const limb = (this.#limbs[i] as number) + this.#macView.getUint32(4 * i, true) + carry
      this.#limbs[i] = limb
      carry = limb > 0xffff_ffff ? 1 : 0
    }
  }

  subtract(row: SummedRow): void {
    this.#hash(row)
    let borrow = 0
    for (let i = 0; i < 8; i++) {
      const limb = (this.#limbs[i] as number) - this.#macView.getUint32(4 * i, true) - borrow
      this.#limbs[i] = limb
      borrow = limb < 0 ? 1 : 0
    }
  }

  /** 32 bytes, little-endian. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(32)
    const view = new DataView(bytes.buffer)
    this.#limbs.forEach((limb, i) => {
      view.setUint32(4 * i, limb, true)
    })
    return bytes
  }

  #hash({ kind, id, generation, sealed }: SummedRow): void {
    const message = new Uint8Array(9 + TAG_BYTES + id.byteLength)
    message[0] = kind
    writeUint64(message, 1, generation)
    message.set(sealed.subarray(Math.max(sealed.byteLength - TAG_BYTES, 0)), 9)
    message.set(id, 9 + TAG_BYTES)
    sodium.crypto_auth(this.#mac, message, this.#key.bytes)
  }
}

/** BLAKE2b-256 over rows of `plain` in order (§4). */
export function plainDigest(
  rows: Iterable<{ readonly kind: number; readonly id: Uint8Array; readonly value: Uint8Array }>,
): Uint8Array {
  const parts: Uint8Array[] = []
  let length = 0
  for (const { kind, id, value } of rows) {
    const part = new Uint8Array(9 + id.byteLength + value.byteLength)
    const view = new DataView(part.buffer)
    part[0] = kind
    view.setUint32(1, id.byteLength)
    part.set(id, 5)
    view.setUint32(5 + id.byteLength, value.byteLength)
    part.set(value, 9 + id.byteLength)
    parts.push(part)
    length += part.byteLength
  }
  const all = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.byteLength
  }
  const digest = new Uint8Array(32)
  sodium.crypto_generichash(digest, all)
  return digest
}
