/**
 * Noise_XX_25519_ChaChaPoly_SHA256 as a state machine: messages in, messages out, two ciphers at the end. Pure: the
 * primitives and the keys are handed in. Knows nothing of libp2p and of pipes.
 */
import { concat, encodeUtf8, wipe } from '@stronghold/core'

import type { Aead, AeadMaker, CryptoRuntime, DhKey } from '../runtime/crypto.ts'

// The Noise Protocol Framework, revision 34, §3 and §5: sizes and names.
const PROTOCOL_NAME = 'Noise_XX_25519_ChaChaPoly_SHA256'
const KEY_BYTES = 32
const NO_BYTES = new Uint8Array(0)
/** What sealing adds to a message. */
export const TAG_BYTES = 16
/** Longest Noise message, tag included. */
export const MAX_MESSAGE_BYTES = 65_535

// Noise ends at 2^64 − 2; ours is what a number counts exactly, three centuries at a million messages a second.
const MAX_NONCE = Number.MAX_SAFE_INTEGER

/** A message that is not what the other side of this handshake or channel would have sealed. */
export class NoiseError extends Error {
  override readonly name = 'NoiseError'
}

/** One direction: a key and a counter (§5.1). Every message takes the next number; none is ever taken twice. */
export class NoiseCipher {
  readonly #aead: Aead
  readonly #nonce = new Uint8Array(12)
  readonly #view = new DataView(this.#nonce.buffer)
  #counter: number

  constructor(aead: Aead, firstNonce = 0) {
    this.#aead = aead
    this.#counter = firstNonce
  }

  /**
   * Seals parts as one message, into as many bytes and `TAG_BYTES` more.
   *
   * @throws `NoiseError` when the numbers are used up
   */
  seal(parts: readonly Uint8Array[], into: Uint8Array, associated: Uint8Array = NO_BYTES): void {
    this.#aead.seal(this.#next(), associated, parts, into)
  }

  /**
   * Opens a message, which is the cipher's from now on.
   *
   * @throws `NoiseError` for a message that is not authentic, and when the numbers are used up
   */
  open(sealed: Uint8Array, associated: Uint8Array = NO_BYTES): Uint8Array {
    const opened = this.#aead.open(this.#next(), associated, sealed)
    if (opened === undefined) throw new NoiseError('Cannot open the message: not authentic')
    return opened
  }

  /** Forgets the key, best effort. */
  wipe(): void {
    this.#aead.wipe()
  }

  // §12.3: four zero bytes, then the counter, little-endian.
  #next(): Uint8Array {
    const counter = this.#counter
    if (counter > MAX_NONCE) throw new NoiseError('Cannot go on: message numbers are used up')
    this.#counter = counter === MAX_NONCE ? Infinity : counter + 1
    this.#view.setUint32(4, counter % 2 ** 32, true)
    this.#view.setUint32(8, Math.floor(counter / 2 ** 32), true)
    return this.#nonce
  }
}

/** What one handshake is made of. */
export interface XXHandshakeInit {
  crypto: Pick<CryptoRuntime, 'sha256' | 'hmacSha256'>
  createAead: AeadMaker
  initiator: boolean
  /** Bytes both sides must have in common. */
  prologue: Uint8Array
  staticKey: DhKey
  /** Used for this handshake alone and wiped by it. */
  ephemeralKey: DhKey
}

/** The end of a handshake. */
export interface NoiseChannel {
  outbound: NoiseCipher
  inbound: NoiseCipher
  /** The other side's static key, 32 bytes. */
  remoteStaticKey: Uint8Array
  /** Names this handshake and no other (§11.2). */
  handshakeHash: Uint8Array
}

/** `-> e`, `<- e, ee, s, es`, `-> s, se` (§7.5). The caller writes and reads in turn, the initiator writes first. */
export class XXHandshake {
  readonly #init: XXHandshakeInit
  readonly #symmetric: SymmetricState
  #remoteEphemeralKey = NO_BYTES
  #remoteStaticKey = NO_BYTES
  #messages = 0

  constructor(init: XXHandshakeInit) {
    this.#init = init
    this.#symmetric = new SymmetricState(init)
    this.#symmetric.mixHash(init.prologue)
  }

  /** The next message of ours. @throws `TypeError` out of turn, `NoiseError` when the other side's key gives no secret */
  write(payload: Uint8Array): Uint8Array {
    const { initiator, staticKey, ephemeralKey } = this.#init
    const turn = this.#turn(initiator)
    const message: Uint8Array[] = []
    if (turn < 2) {
      message.push(ephemeralKey.publicKey)
      this.#symmetric.mixHash(ephemeralKey.publicKey)
    }
    if (turn === 1) this.#mix(ephemeralKey, this.#remoteEphemeralKey)
    if (turn > 0) {
      message.push(this.#symmetric.seal(staticKey.publicKey))
      this.#mix(staticKey, this.#remoteEphemeralKey)
    }
    message.push(this.#symmetric.seal(payload))
    return concat(message)
  }

  /** The payload of the next message of theirs. @throws `TypeError` out of turn, `NoiseError` for another message */
  read(message: Uint8Array): Uint8Array {
    const { initiator, ephemeralKey } = this.#init
    const turn = this.#turn(!initiator)
    let at = 0
    const take = (length: number): Uint8Array => {
      if (message.byteLength - at < length)
        throw new NoiseError('Cannot read the handshake: cut off')
      at += length
      return message.subarray(at - length, at)
    }
    if (turn < 2) {
      this.#remoteEphemeralKey = Uint8Array.from(take(KEY_BYTES))
      this.#symmetric.mixHash(this.#remoteEphemeralKey)
    }
    if (turn === 1) this.#mix(ephemeralKey, this.#remoteEphemeralKey)
    if (turn > 0) {
      this.#remoteStaticKey = Uint8Array.from(this.#symmetric.open(take(KEY_BYTES + TAG_BYTES)))
      this.#mix(ephemeralKey, this.#remoteStaticKey)
    }
    return this.#symmetric.open(message.subarray(at))
  }

  /** The static key of the other side, once a message carried it. */
  get remoteStaticKey(): Uint8Array {
    return this.#remoteStaticKey
  }

  /** The two ciphers, after the third message. Wipes what the handshake held. @throws `TypeError` before */
  split(): NoiseChannel {
    if (this.#messages !== 3) throw new TypeError('Cannot split: the handshake is not over')
    const [first, second] = this.#symmetric.split()
    const handshakeHash = this.#symmetric.hash
    this.wipe()
    return {
      outbound: this.#init.initiator ? first : second,
      inbound: this.#init.initiator ? second : first,
      remoteStaticKey: this.#remoteStaticKey,
      handshakeHash,
    }
  }

  /** Forgets the ephemeral key and the chaining key, best effort. Idempotent. */
  wipe(): void {
    this.#init.ephemeralKey.wipe()
    this.#symmetric.wipe()
  }

  #turn(initiatorWrites: boolean): number {
    const turn = this.#messages
    if (turn > 2 || initiatorWrites !== (turn % 2 === 0)) {
      throw new TypeError('Cannot go on with the handshake: out of turn')
    }
    this.#messages = turn + 1
    return turn
  }

  #mix(own: DhKey, other: Uint8Array): void {
    let secret: Uint8Array
    try {
      secret = own.agree(other)
    } catch (cause) {
      throw new NoiseError('Cannot go on with the handshake: the key gives no secret', { cause })
    }
    this.#symmetric.mixKey(secret)
    wipe(secret)
  }
}

/** The running hash and the chaining key (§5.2). */
class SymmetricState {
  readonly #init: XXHandshakeInit
  hash: Uint8Array
  #secretChain: Uint8Array
  #cipher: NoiseCipher | undefined

  constructor(init: XXHandshakeInit) {
    this.#init = init
    // The name has exactly 32 bytes, so it is its own first hash.
    this.hash = encodeUtf8(PROTOCOL_NAME)
    this.#secretChain = Uint8Array.from(this.hash)
  }

  mixHash(data: Uint8Array): void {
    this.hash = this.#init.crypto.sha256(this.hash, data)
  }

  mixKey(secret: Uint8Array): void {
    const [secretChain, secretKey] = this.#derive(secret)
    wipe(this.#secretChain)
    this.#cipher?.wipe()
    this.#secretChain = secretChain
    this.#cipher = new NoiseCipher(this.#init.createAead(secretKey))
    wipe(secretKey)
  }

  seal(plain: Uint8Array): Uint8Array {
    const cipher = this.#cipher
    const sealed = cipher === undefined ? plain : new Uint8Array(plain.byteLength + TAG_BYTES)
    cipher?.seal([plain], sealed, this.hash)
    this.mixHash(sealed)
    return sealed
  }

  open(sealed: Uint8Array): Uint8Array {
    // Before it is opened, which happens in its place.
    const hash = this.#init.crypto.sha256(this.hash, sealed)
    const opened = this.#cipher?.open(sealed, this.hash) ?? sealed
    this.hash = hash
    return opened
  }

  split(): [NoiseCipher, NoiseCipher] {
    const [secretFirst, secretSecond] = this.#derive(NO_BYTES)
    const { createAead } = this.#init
    const ciphers: [NoiseCipher, NoiseCipher] = [
      new NoiseCipher(createAead(secretFirst)),
      new NoiseCipher(createAead(secretSecond)),
    ]
    wipe(secretFirst, secretSecond)
    return ciphers
  }

  wipe(): void {
    wipe(this.#secretChain)
    this.#cipher?.wipe()
    this.#cipher = undefined
  }

  // HKDF with two outputs (§4.3).
  #derive(secret: Uint8Array): [Uint8Array, Uint8Array] {
    const { hmacSha256 } = this.#init.crypto
    const secretTemp = hmacSha256(this.#secretChain, secret)
    const first = hmacSha256(secretTemp, Uint8Array.of(1))
    const second = hmacSha256(secretTemp, first, Uint8Array.of(2))
    wipe(secretTemp)
    return [first, second]
  }
}
