/**
 * What is remembered of the other side's stream ids: which were used, and which streams that are over may still hear
 * a frame that crossed on the wire. Both memories are short.
 */
import { FLAG } from './yamux-frame.ts'

const MAX_PAST = 256
const MAX_SKIPPED = 256

/** Ids of one session. */
export class YamuxIds {
  #last: number
  readonly #skipped = new Set<number>()
  readonly #past = new Map<number, number>()

  /** `first`: the first id that the other side may use, 1 or 2. */
  constructor(first: number) {
    this.#last = first - 2
  }

  /**
   * Whether the other side may open a stream with this id of its own; it is used then. Some peers number streams
   * before they race to open them: an id may come a little late, but only once.
   */
  use(id: number): boolean {
    if (id <= this.#last) return this.#skipped.delete(id)
    const from = Math.max(this.#last + 2, id - 2 * MAX_SKIPPED)
    for (let skipped = from; skipped < id; skipped += 2) this.#skipped.add(skipped)
    for (const oldest of this.#skipped) {
      if (this.#skipped.size <= MAX_SKIPPED) break
      this.#skipped.delete(oldest)
    }
    this.#last = id
    return true
  }

  /** A stream is over; `credit`: bytes of data and window updates that may still come without anybody's fault. */
  remember(id: number, credit: number): void {
    if (credit === 0) return
    for (const oldest of this.#past.keys()) {
      if (this.#past.size < MAX_PAST) break
      this.#past.delete(oldest)
    }
    this.#past.set(id, credit)
  }

  /** Whether a frame for no stream can have crossed with the end of its stream. Uses up what it grants. */
  crossed(id: number, flags: number, length: number): boolean {
    const credit = this.#past.get(id)
    if (credit === undefined) return false
    if ((flags & (FLAG.fin | FLAG.rst)) !== 0) return this.#past.delete(id)
    if (length === 0 || length > credit) return false
    this.#past.set(id, credit - length)
    return true
  }

  clear(): void {
    this.#skipped.clear()
    this.#past.clear()
  }
}
