/**
 * HPKE (RFC 9180) in one suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305; modes base and auth. Every
 * secret lies in the slab from beginning to end. It knows nothing of who the keys belong to.
 */
import { assertBytes, concat, encodeUtf8 } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { MAX_HPKE_EXPORT_BYTES, MAX_HPKE_MESSAGES } from '../limits.ts'
import { CHACHA20_POLY1305 } from '../primitives/aead.ts'
import { hkdfExpand } from '../primitives/hkdf.ts'
import { hmacInto } from '../primitives/hmac.ts'
import { agree, publicKey } from '../primitives/x25519.ts'
import type { Secret, Slab } from '../secret.ts'

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
  const enc = publicKey(ephemeral.bytes)
  const sender = init.senderSecretKey
  using dh = slab.take(sender === undefined ? 32 : 64)
  agree(ephemeral.bytes, init.recipientPublicKey, dh.bytes.subarray(0, 32))
  if (sender !== undefined) agree(sender, init.recipientPublicKey, dh.bytes.subarray(32))
  const ends = [enc, init.recipientPublicKey, ...(sender === undefined ? [] : [publicKey(sender)])]
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
  agree(init.recipientSecretKey, init.enc, dh.bytes.subarray(0, 32))
  if (sender !== undefined) agree(init.recipientSecretKey, sender, dh.bytes.subarray(32))
  const own = publicKey(init.recipientSecretKey)
  const ends = [init.enc, own, ...(sender === undefined ? [] : [sender])]
  using shared = extractAndExpand(slab, dh.bytes, ends)
  const keys = schedule(slab, sender === undefined ? MODE_BASE : MODE_AUTH, shared.bytes, init.info)
  return new HpkeRecipient(keys, init.maxMessages)
}

/** The public key of a recipient's or sender's secret key, 32 bytes. Any 32 bytes are a secret key. */
export function hpkePublicKey(secretKey: Uint8Array): Uint8Array {
  return publicKey(secretKey)
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
  return concat([sender.enc, sender.seal(plaintext, associated)])
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
      labeledExpand(out, HPKE_SUITE, exporter, 'sec', context)
    })
  }

  [Symbol.dispose](): void {
    this.#secret.wipe()
  }

  /** Runs one message under its own nonce; only what succeeded counts (RFC 9180 §5.2). */
  protected next<T>(run: (nonce: Uint8Array, key: Uint8Array) => T): T {
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
    const result = run(nonce, secret.subarray(0, KEY_BYTES))
    this.#sequence++
    return result
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
    return this.next((nonce, key) => CHACHA20_POLY1305.seal(key, nonce, associated, plaintext))
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
        if (CHACHA20_POLY1305.open(key, nonce, associated, sealed, out)) return
        throw new VaultError(
          'unauthenticated',
          'Cannot open HPKE message: not sealed for this key with this info, or changed',
        )
      })
    })
  }
}

// --- RFC 9180 §4.1: the key encapsulation

function extractAndExpand(slab: Slab, dh: Uint8Array, ends: readonly Uint8Array[]): Secret {
  using prk = slab.take(HASH_BYTES)
  labeledExtract(prk.bytes, KEM_SUITE, NOTHING, 'eae_prk', dh)
  return filled(slab, HASH_BYTES, (out) => {
    labeledExpand(out, KEM_SUITE, prk.bytes, 'shared_secret', concat(ends))
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
      labeledExpand(keys.subarray(from, to), HPKE_SUITE, secret.bytes, label, context)
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
  hmacInto('sha256', salt, [VERSION, suite, encodeUtf8(label), ikm], out)
}

function labeledExpand(
  out: Uint8Array,
  suite: Uint8Array,
  prk: Uint8Array,
  label: string,
  info: Uint8Array,
): void {
  const labeled = concat([u16(out.byteLength), VERSION, suite, encodeUtf8(label), info])
  hkdfExpand('sha256', prk, labeled, out)
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff)
}

function tooShort(length: number): VaultError {
  return new VaultError('invalid_argument', `Cannot open HPKE message: ${length} bytes are too few`)
}
