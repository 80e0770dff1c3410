/**
 * HPKE (RFC 9180) in one suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305; modes base and auth. Every
 * secret lies in the slab from beginning to end. It knows nothing of who the keys belong to.
 */
import { createHmac } from 'node:crypto'

import { assertBytes, concat, encodeUtf8, wipe } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { MAX_HPKE_EXPORT_BYTES, MAX_HPKE_MESSAGES } from '../limits.ts'
import type { Secret, Slab } from '../secret.ts'
import { sodium } from '../sodium.ts'

import { filled } from './filled.ts'

// RFC 9180 §7.
const KEM_ID = 0x0020
const KDF_ID = 0x0001
const AEAD_ID = 0x0003
const KEY_BYTES = 32
const NONCE_BYTES = 12
const HASH_BYTES = 32
const MODE_BASE = 0x00
const MODE_AUTH = 0x02

// A context in the slab: key, base nonce, exporter secret, and room for the nonce of the moment.
const EXPORTER_AT = KEY_BYTES + NONCE_BYTES
const NONCE_AT = EXPORTER_AT + HASH_BYTES

const VERSION = encodeUtf8('HPKE-v1')
const KEM_SUITE = concat([encodeUtf8('KEM'), u16(KEM_ID)])
const HPKE_SUITE = concat([encodeUtf8('HPKE'), u16(KEM_ID), u16(KDF_ID), u16(AEAD_ID)])
const NOTHING = new Uint8Array(0)

/** Bytes of an encapsulated key, which travels before the first message. */
export const HPKE_ENC_BYTES = 32

/** Bytes by which a sealed message is longer than its plaintext. */
export const HPKE_TAG_BYTES = 16

/** What a sender says about the two ends. */
export interface HpkeSenderInit {
  /** X25519, 32 bytes. */
  recipientPublicKey: Uint8Array
  /** What the two ends agree on beside the keys; any bytes. */
  info: Uint8Array
  /** X25519, 32 bytes of the slab. With it the mode is auth, without it base. */
  senderSecretKey?: Uint8Array
  /** X25519, 32 bytes. Only vectors give it: it must never be used twice. Default made here. */
  ephemeralSecretKey?: Uint8Array
  /** Messages that may be sealed. Default `MAX_HPKE_MESSAGES`. */
  maxMessages?: number
}

/** What a recipient says about the two ends. */
export interface HpkeRecipientInit {
  /** The sender's encapsulated key, `HPKE_ENC_BYTES`. */
  enc: Uint8Array
  /** X25519, 32 bytes of the slab. */
  recipientSecretKey: Uint8Array
  /** The same bytes as the sender's. */
  info: Uint8Array
  /** X25519, 32 bytes. With it the mode is auth, without it base. */
  senderPublicKey?: Uint8Array
  /** Messages that may be opened. Default `MAX_HPKE_MESSAGES`. */
  maxMessages?: number
}

/**
 * Begins to send (RFC 9180 §5.1.1, §5.1.3).
 *
 * @throws `VaultError` `invalid_argument` for a public key that agrees with nobody
 */
export function createHpkeSender(slab: Slab, init: HpkeSenderInit): HpkeSender {
  assertBytes(init.recipientPublicKey, 'recipientPublicKey', 32)
  using ephemeral =
    init.ephemeralSecretKey === undefined ? slab.random(32) : slab.copy(init.ephemeralSecretKey)
  const enc = publicKeyOf(ephemeral.bytes)
  const sender = init.senderSecretKey
  using dh = slab.take(sender === undefined ? 32 : 64)
  agree(dh.bytes.subarray(0, 32), ephemeral.bytes, init.recipientPublicKey)
  if (sender !== undefined) agree(dh.bytes.subarray(32), sender, init.recipientPublicKey)
  const ends = [
    enc,
    init.recipientPublicKey,
    ...(sender === undefined ? [] : [publicKeyOf(sender)]),
  ]
  using shared = extractAndExpand(slab, dh.bytes, ends)
  const keys = schedule(slab, sender === undefined ? MODE_BASE : MODE_AUTH, shared.bytes, init.info)
  return new HpkeSender(keys, enc, init.maxMessages)
}

/**
 * Begins to receive (RFC 9180 §5.1.1, §5.1.3).
 *
 * @throws `VaultError` `invalid_argument` for an encapsulated or public key that agrees with nobody
 */
export function createHpkeRecipient(slab: Slab, init: HpkeRecipientInit): HpkeRecipient {
  assertBytes(init.enc, 'enc', HPKE_ENC_BYTES)
  const sender = init.senderPublicKey
  if (sender !== undefined) assertBytes(sender, 'senderPublicKey', 32)
  using dh = slab.take(sender === undefined ? 32 : 64)
  agree(dh.bytes.subarray(0, 32), init.recipientSecretKey, init.enc)
  if (sender !== undefined) agree(dh.bytes.subarray(32), init.recipientSecretKey, sender)
  const own = publicKeyOf(init.recipientSecretKey)
  const ends = [init.enc, own, ...(sender === undefined ? [] : [sender])]
  using shared = extractAndExpand(slab, dh.bytes, ends)
  const keys = schedule(slab, sender === undefined ? MODE_BASE : MODE_AUTH, shared.bytes, init.info)
  return new HpkeRecipient(keys, init.maxMessages)
}

/**
 * One message to one recipient: the encapsulated key, then the ciphertext.
 *
 * @returns `HPKE_ENC_BYTES` + plaintext + `HPKE_TAG_BYTES`
 * @throws what `createHpkeSender` throws
 */
export function hpkeSeal(
  slab: Slab,
  init: HpkeSenderInit,
  plaintext: Uint8Array,
  associated: Uint8Array = NOTHING,
): Uint8Array {
  using sender = createHpkeSender(slab, init)
  const sealed = new Uint8Array(HPKE_ENC_BYTES + plaintext.byteLength + HPKE_TAG_BYTES)
  sealed.set(sender.enc)
  sender.sealInto(sealed.subarray(HPKE_ENC_BYTES), plaintext, associated)
  return sealed
}

/**
 * Opens what `hpkeSeal` made, into the slab.
 *
 * @param sealed - the encapsulated key, then the ciphertext
 * @throws `VaultError` `unauthenticated` where it was not sealed so, `invalid_argument` where it is too short
 */
export function hpkeOpen(
  slab: Slab,
  init: Omit<HpkeRecipientInit, 'enc'>,
  sealed: Uint8Array,
  associated: Uint8Array = NOTHING,
): Secret {
  if (sealed.byteLength < HPKE_ENC_BYTES + HPKE_TAG_BYTES) throw tooShort(sealed.byteLength)
  using recipient = createHpkeRecipient(slab, { ...init, enc: sealed.subarray(0, HPKE_ENC_BYTES) })
  return recipient.open(slab, sealed.subarray(HPKE_ENC_BYTES), associated)
}

/** Key, base nonce and exporter secret in one piece of the slab, and how many messages went through. */
class Context implements Disposable {
  readonly #secret: Secret
  readonly #maxMessages: number
  #sequence = 0

  constructor(secret: Secret, maxMessages: number = MAX_HPKE_MESSAGES) {
    if (!(maxMessages >= 0 && maxMessages <= MAX_HPKE_MESSAGES)) {
      secret.wipe()
      throw new RangeError(`Cannot set maxMessages: not between 0 and ${MAX_HPKE_MESSAGES}`)
    }
    this.#secret = secret
    this.#maxMessages = maxMessages
  }

  /** Messages sealed or opened so far. */
  get sequence(): number {
    return this.#sequence
  }

  /**
   * A secret that both ends have and nobody else (RFC 9180 §5.3).
   *
   * @param length - bytes, 1 to `MAX_HPKE_EXPORT_BYTES`
   */
  export(slab: Slab, context: Uint8Array, length: number): Secret {
    if (!(Number.isInteger(length) && length > 0 && length <= MAX_HPKE_EXPORT_BYTES)) {
      throw new RangeError(`Cannot export: ${length} bytes, not 1 to ${MAX_HPKE_EXPORT_BYTES}`)
    }
    const exporter = this.#secret.bytes.subarray(EXPORTER_AT, NONCE_AT)
    return filled(slab, length, (out) => {
      labeledExpand(slab, out, HPKE_SUITE, exporter, 'sec', context)
    })
  }

  [Symbol.dispose](): void {
    this.#secret.wipe()
  }

  /** Runs one message under its own nonce; only what succeeded counts (RFC 9180 §5.2). */
  protected next(run: (nonce: Uint8Array, key: Uint8Array) => void): void {
    if (this.#sequence >= this.#maxMessages) {
      throw new VaultError(
        'failed_precondition',
        `Cannot go on: ${this.#maxMessages} messages under one HPKE context`,
        { reason: 'key_worn_out' },
      )
    }
    const secret = this.#secret.bytes
    const nonce = secret.subarray(NONCE_AT, NONCE_AT + NONCE_BYTES)
    nonce.set(secret.subarray(KEY_BYTES, EXPORTER_AT))
    for (let i = 0; i < 4; i++) nonce[11 - i] = (nonce[11 - i] ?? 0) ^ (this.#sequence >>> (8 * i))
    run(nonce, secret.subarray(0, KEY_BYTES))
    this.#sequence++
  }
}

/** The sending end. Made by `createHpkeSender`. */
export class HpkeSender extends Context {
  /** The encapsulated key, for the recipient. */
  readonly enc: Uint8Array

  constructor(secret: Secret, enc: Uint8Array, maxMessages?: number) {
    super(secret, maxMessages)
    this.enc = enc
  }

  /**
   * The next message.
   *
   * @returns plaintext + `HPKE_TAG_BYTES`
   * @throws `VaultError` `failed_precondition` (`key_worn_out`) past `maxMessages`
   */
  seal(plaintext: Uint8Array, associated: Uint8Array = NOTHING): Uint8Array {
    const sealed = new Uint8Array(plaintext.byteLength + HPKE_TAG_BYTES)
    this.sealInto(sealed, plaintext, associated)
    return sealed
  }

  /** The same into memory of the caller's, of exactly that length. */
  sealInto(out: Uint8Array, plaintext: Uint8Array, associated: Uint8Array = NOTHING): void {
    this.next((nonce, key) => {
      sodium.crypto_aead_chacha20poly1305_ietf_encrypt(out, plaintext, associated, null, nonce, key)
    })
  }
}

/** The receiving end. Made by `createHpkeRecipient`. */
export class HpkeRecipient extends Context {
  /**
   * Opens the next message, into the slab. One that does not open leaves the context as it was.
   *
   * @throws `VaultError` `unauthenticated` where it was not sealed so or comes out of turn, `invalid_argument` where
   *   it is too short, `failed_precondition` (`key_worn_out`) past `maxMessages`
   */
  open(slab: Slab, sealed: Uint8Array, associated: Uint8Array = NOTHING): Secret {
    if (sealed.byteLength < HPKE_TAG_BYTES) throw tooShort(sealed.byteLength)
    return filled(slab, sealed.byteLength - HPKE_TAG_BYTES, (out) => {
      this.next((nonce, key) => {
        decrypt(out, sealed, associated, nonce, key)
      })
    })
  }
}

function decrypt(
  out: Uint8Array,
  sealed: Uint8Array,
  associated: Uint8Array,
  nonce: Uint8Array,
  key: Uint8Array,
): void {
  try {
    sodium.crypto_aead_chacha20poly1305_ietf_decrypt(out, null, sealed, associated, nonce, key)
  } catch {
    throw new VaultError(
      'unauthenticated',
      'Cannot open HPKE message: not sealed for this key with this info, or changed',
    )
  }
}

// --- RFC 9180 §4.1: the key encapsulation

function publicKeyOf(secretKey: Uint8Array): Uint8Array {
  assertBytes(secretKey, 'secret key', 32)
  const publicKey = new Uint8Array(32)
  sodium.crypto_scalarmult_base(publicKey, secretKey)
  return publicKey
}

function agree(out: Uint8Array, secretKey: Uint8Array, publicKey: Uint8Array): void {
  assertBytes(secretKey, 'secret key', 32)
  try {
    sodium.crypto_scalarmult(out, secretKey, publicKey)
  } catch {
    throw new VaultError(
      'invalid_argument',
      'Cannot agree on a key: the public key is of low order',
    )
  }
}

function extractAndExpand(slab: Slab, dh: Uint8Array, ends: readonly Uint8Array[]): Secret {
  using prk = slab.take(HASH_BYTES)
  labeledExtract(prk.bytes, KEM_SUITE, NOTHING, 'eae_prk', dh)
  return filled(slab, HASH_BYTES, (out) => {
    labeledExpand(slab, out, KEM_SUITE, prk.bytes, 'shared_secret', concat(ends))
  })
}

// --- RFC 9180 §5.1: the key schedule, without a pre-shared key

function schedule(slab: Slab, mode: number, shared: Uint8Array, info: Uint8Array): Secret {
  const context = new Uint8Array(1 + 2 * HASH_BYTES)
  context[0] = mode
  labeledExtract(context.subarray(1, 1 + HASH_BYTES), HPKE_SUITE, NOTHING, 'psk_id_hash', NOTHING)
  labeledExtract(context.subarray(1 + HASH_BYTES), HPKE_SUITE, NOTHING, 'info_hash', info)
  using secret = slab.take(HASH_BYTES)
  labeledExtract(secret.bytes, HPKE_SUITE, shared, 'secret', NOTHING)
  return filled(slab, NONCE_AT + NONCE_BYTES, (keys) => {
    const expand = (from: number, to: number, label: string): void => {
      labeledExpand(slab, keys.subarray(from, to), HPKE_SUITE, secret.bytes, label, context)
    }
    expand(0, KEY_BYTES, 'key')
    expand(KEY_BYTES, EXPORTER_AT, 'base_nonce')
    expand(EXPORTER_AT, NONCE_AT, 'exp')
  })
}

// --- RFC 9180 §4: HKDF with labels

function labeledExtract(
  out: Uint8Array,
  suite: Uint8Array,
  salt: Uint8Array,
  label: string,
  ikm: Uint8Array,
): void {
  hmacSha256(out, salt, [VERSION, suite, encodeUtf8(label), ikm])
}

function labeledExpand(
  slab: Slab,
  out: Uint8Array,
  suite: Uint8Array,
  prk: Uint8Array,
  label: string,
  info: Uint8Array,
): void {
  const labeled = [u16(out.byteLength), VERSION, suite, encodeUtf8(label), info]
  using block = slab.take(HASH_BYTES)
  for (let at = 0, count = 1; at < out.byteLength; at += HASH_BYTES, count++) {
    const before = count === 1 ? NOTHING : block.bytes
    hmacSha256(block.bytes, prk, [before, ...labeled, Uint8Array.of(count)])
    out.set(block.bytes.subarray(0, Math.min(HASH_BYTES, out.byteLength - at)), at)
  }
}

function hmacSha256(out: Uint8Array, key: Uint8Array, parts: readonly Uint8Array[]): void {
  const hmac = createHmac('sha256', key)
  for (const part of parts) hmac.update(part)
  // A digest has memory of its own outside the moving heap, so wiping it reaches the only copy.
  const digest = hmac.digest()
  out.set(digest)
  wipe(digest)
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff)
}

function tooShort(length: number): VaultError {
  return new VaultError('invalid_argument', `Cannot open HPKE message: ${length} bytes are too few`)
}
