/** Reads lines and exact lengths from a stream of byte chunks, holding no more than was asked for. Knows no format. */
import { concat } from '@stronghold/core'

/** Where bytes come from. */
export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** One pass over a source. */
export class ByteReader implements AsyncDisposable {
  readonly #next: () => Promise<IteratorResult<Uint8Array>> | IteratorResult<Uint8Array>
  readonly #close: () => unknown
  #chunk: Uint8Array = new Uint8Array(0)
  #ended = false

  constructor(source: ByteSource) {
    const iterator: AsyncIterator<Uint8Array> | Iterator<Uint8Array> =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
    this.#next = () => iterator.next()
    this.#close = () => iterator.return?.()
  }

  /** The next byte without taking it, `undefined` at the end. */
  async peek(): Promise<number | undefined> {
    await this.#fill()
    return this.#chunk[0]
  }

  /** Fills `out` as far as the source goes; returns how many bytes it took. */
  async read(out: Uint8Array): Promise<number> {
    let at = 0
    while (at < out.byteLength && (await this.#fill())) at += this.#take(out.subarray(at))
    return at
  }

  /**
   * A line without its line feed, a copy. A last line may lack the line feed.
   *
   * @returns `undefined` at the end of the source
   * @throws `RangeError` once the line has more than `maxBytes`
   */
  async line(maxBytes: number): Promise<{ bytes: Uint8Array; ended: boolean } | undefined> {
    const parts: Uint8Array[] = []
    let length = 0
    while (await this.#fill()) {
      const feed = this.#chunk.indexOf(0x0a)
      const take = feed === -1 ? this.#chunk.byteLength : feed
      if (length + take > maxBytes) {
        throw new RangeError(`Cannot read line: longer than ${maxBytes} bytes`)
      }
      const part = new Uint8Array(take)
      this.#take(part)
      parts.push(part)
      length += take
      if (feed === -1) continue
      this.#chunk = this.#chunk.subarray(1)
      return { bytes: concat(parts), ended: true }
    }
    return length === 0 ? undefined : { bytes: concat(parts), ended: false }
  }

  /** Everything that is left, in the source's own chunks. */
  async *rest(): AsyncGenerator<Uint8Array, void, void> {
    while (await this.#fill()) {
      const chunk = this.#chunk
      this.#chunk = new Uint8Array(0)
      yield chunk
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await this.#close()
  }

  async #fill(): Promise<boolean> {
    while (this.#chunk.byteLength === 0) {
      if (this.#ended) return false
      const next = await this.#next()
      if (next.done === true) this.#ended = true
      else this.#chunk = next.value
    }
    return true
  }

  #take(out: Uint8Array): number {
    const length = Math.min(out.byteLength, this.#chunk.byteLength)
    out.set(this.#chunk.subarray(0, length))
    this.#chunk = this.#chunk.subarray(length)
    return length
  }
}
