/**
 * Collects the one message of a direction. Bytes are reserved before they are buffered, and buffered close together: a
 * peer that sends one byte at a time costs no more than one that sends all. Knows nothing of pipes.
 */
import type { Held } from '../channel/held.ts'
import { P2pError } from '../errors.ts'
import { decodeVarint } from '../varint.ts'

const FIRST_BYTES = 512
const NOTHING = new Uint8Array(0)

/** A message on its way in. */
export class FramedMessage {
  readonly #prefixed: boolean
  readonly #maxBytes: number
  readonly #held: Held
  #prefix: number[] = []
  #length: number | undefined
  #buffer = NOTHING
  /** Bytes of the message that are here. */
  bytes = 0

  /**
   * @param prefixed - whether it begins with its length
   * @param maxBytes - the longest, prefix excluded
   */
  constructor(prefixed: boolean, maxBytes: number, held: Held) {
    this.#prefixed = prefixed
    this.#maxBytes = maxBytes
    this.#held = held
  }

  /** Bytes reserved now. */
  get heldBytes(): number {
    return this.#buffer.byteLength
  }

  /**
   * Takes bytes; gives the message once it is whole, which without a prefix it never is before `end`. What follows a
   * whole message is not looked at.
   *
   * @throws `P2pError` `resource_exhausted` for what is too long or too much to hold, `invalid_argument` for a bad prefix
   */
  push(chunk: Uint8Array): Uint8Array | undefined {
    let at = 0
    while (this.#prefixed && this.#length === undefined) {
      const byte = chunk[at]
      if (byte === undefined) return undefined
      at += 1
      this.#prefix.push(byte)
      this.#length = this.#readPrefix()
    }
    const wanted = (this.#length ?? Infinity) - this.bytes
    this.#append(chunk.subarray(at, at + Math.min(wanted, chunk.byteLength - at)))
    return this.bytes === this.#length ? this.#whole() : undefined
  }

  /**
   * The other side ended: the message, where that ends it.
   *
   * @throws `P2pError` `data_loss` when it was cut off
   */
  end(): Uint8Array {
    if (!this.#prefixed) return this.#whole()
    throw new P2pError('data_loss', 'Cannot read the message: it was cut off', {
      layer: 'protocol',
    })
  }

  /** Gives back what is reserved. The message itself must not be used after. Idempotent. */
  release(): void {
    this.#held.release(this.#buffer.byteLength)
    this.#buffer = NOTHING
  }

  #whole(): Uint8Array {
    return this.#buffer.subarray(0, this.bytes)
  }

  #readPrefix(): number | undefined {
    try {
      const read = decodeVarint(Uint8Array.from(this.#prefix))
      if (read !== undefined && read.value > this.#maxBytes) throw this.#tooLong()
      return read?.value
    } catch (error) {
      if (error instanceof P2pError) throw error
      throw new P2pError('invalid_argument', 'Cannot read the message: its length is no varint', {
        layer: 'protocol',
        cause: error,
      })
    }
  }

  #append(part: Uint8Array): void {
    const needed = this.bytes + part.byteLength
    if (needed > this.#maxBytes) throw this.#tooLong()
    if (needed > this.#buffer.byteLength) this.#grow(needed)
    this.#buffer.set(part, this.bytes)
    this.bytes = needed
  }

  /** Twice as long each time, so that copying stays linear; never by what was only announced. */
  #grow(needed: number): void {
    const length = Math.max(needed, FIRST_BYTES, 2 * this.#buffer.byteLength)
    const capacity = Math.min(length, this.#length ?? this.#maxBytes)
    if (!this.#held.reserve(capacity - this.#buffer.byteLength)) {
      throw new P2pError('resource_exhausted', 'Cannot take the message: too many bytes are held', {
        layer: 'limit',
      })
    }
    const buffer = new Uint8Array(capacity)
    buffer.set(this.#buffer.subarray(0, this.bytes))
    this.#buffer = buffer
  }

  #tooLong(): P2pError {
    const text = `Cannot take the message: longer than ${this.#maxBytes} bytes`
    return new P2pError('resource_exhausted', text, { layer: 'limit' })
  }
}
