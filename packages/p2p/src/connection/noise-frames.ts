/**
 * Cuts a stream of bytes into Noise messages: two bytes of length, then the message. Holds one incomplete message,
 * and memory for it only as bytes come in. Chunks pushed are its own until all is taken from them, or `keep` is called.
 */

/** Bytes of the length before a message (libp2p/specs noise/README.md "Wire Format"). */
export const LENGTH_BYTES = 2

// Ours: memory for an incomplete message at first.
const FIRST_CAPACITY = 1024

const NO_BYTES = new Uint8Array(0)

/** Feed it with `push`, then take messages with `next` until there is none. */
export class NoiseFrames {
  #chunk: Uint8Array = NO_BYTES
  #at = 0
  // The incomplete message, with its length, when it began in an earlier chunk.
  #held: Uint8Array = NO_BYTES
  #heldBytes = 0

  /** Adds what arrived. Every message of the chunk before must have been taken. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk
    this.#at = 0
  }

  /** The next message whole, the caller's from now on; undefined when more bytes are needed. */
  next(): Uint8Array | undefined {
    return this.#heldBytes > 0 ? this.#resume() : this.#direct()
  }

  /** Copies what was not taken of the chunk, which is somebody else's from now on. */
  keep(): void {
    this.#chunk = this.#chunk.slice(this.#at)
    this.#at = 0
  }

  /** Whether a message has begun and is not whole. */
  get cut(): boolean {
    return this.#heldBytes > 0
  }

  #direct(): Uint8Array | undefined {
    const left = this.#chunk.byteLength - this.#at
    const length = left < LENGTH_BYTES ? 0 : this.#length(this.#chunk, this.#at)
    if (left < LENGTH_BYTES || left < LENGTH_BYTES + length) {
      this.#hold(left, LENGTH_BYTES + length)
      return undefined
    }
    const start = this.#at + LENGTH_BYTES
    this.#at = start + length
    return this.#chunk.subarray(start, this.#at)
  }

  #resume(): Uint8Array | undefined {
    if (this.#heldBytes < LENGTH_BYTES) this.#hold(LENGTH_BYTES - this.#heldBytes, LENGTH_BYTES)
    if (this.#heldBytes < LENGTH_BYTES) return undefined
    const whole = LENGTH_BYTES + this.#length(this.#held, 0)
    this.#hold(whole - this.#heldBytes, whole)
    if (this.#heldBytes < whole) return undefined
    const message = this.#held.subarray(LENGTH_BYTES, whole)
    this.#held = NO_BYTES
    this.#heldBytes = 0
    return message
  }

  /**
   * Holds up to `wanted` more bytes of a message of `whole`, in memory of its own, which grows with what came: to at most
   * four times that, however much was announced.
   */
  #hold(wanted: number, whole: number): void {
    const bytes = Math.min(wanted, this.#chunk.byteLength - this.#at)
    const part = this.#chunk.subarray(this.#at, this.#at + bytes)
    this.#at += bytes
    const needed = this.#heldBytes + bytes
    if (needed > this.#held.byteLength) {
      const room = Math.max(needed, Math.min(4 * needed, whole))
      const grown = new Uint8Array(Math.max(room, FIRST_CAPACITY))
      grown.set(this.#held.subarray(0, this.#heldBytes))
      this.#held = grown
    }
    this.#held.set(part, this.#heldBytes)
    this.#heldBytes = needed
  }

  #length(bytes: Uint8Array, at: number): number {
    return (bytes[at] as number) * 256 + (bytes[at + 1] as number)
  }
}
