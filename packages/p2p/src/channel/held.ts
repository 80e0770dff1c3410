/**
 * Counts bytes held for a peer, and for all peers together. Bytes are reserved before they are buffered, so a bound
 * holds whatever comes. Knows nothing of what the bytes are.
 */

/** A bound on bytes, inside a wider one. */
export class Held {
  readonly #maxBytes: number
  readonly #parent: Held | undefined
  #bytes = 0

  constructor(maxBytes: number, parent?: Held) {
    this.#maxBytes = maxBytes
    this.#parent = parent
  }

  /** Bytes reserved now. */
  get bytes(): number {
    return this.#bytes
  }

  /** Reserves, or changes nothing and says false. */
  reserve(bytes: number): boolean {
    if (this.#bytes + bytes > this.#maxBytes) return false
    if (this.#parent !== undefined && !this.#parent.reserve(bytes)) return false
    this.#bytes += bytes
    return true
  }

  /** Gives back what was reserved. */
  release(bytes: number): void {
    this.#bytes -= bytes
    this.#parent?.release(bytes)
  }
}
