/**
 * One subscriber to events: a bounded buffer that is an iterator, and says what it had to drop. It knows nothing of
 * the other subscribers.
 */
import type { EventLimits, EventStream, EventType, NodeEvent } from './events.ts'

/** What a subscriber needs of its hub. */
export interface SubscriberSeams {
  nowMs(): number
  /** It blocks from now on, or no more. Told on change only. */
  full(full: boolean): void
  /** Nothing more is wanted. Told once. */
  over(): void
}

/** An event in the buffer, and how many were dropped just before it. */
interface Kept {
  readonly event: NodeEvent
  missedBefore: number
  next: Kept | undefined
}

type Result = IteratorResult<NodeEvent, undefined>

/** One subscriber: a bounded buffer that is an iterator. */
export class Subscriber implements EventStream<NodeEvent> {
  readonly #types: ReadonlySet<EventType>
  readonly #overflow: 'block' | 'drop-latest' | 'keep-latest'
  readonly #buffer: number
  readonly #most: number
  readonly #seams: SubscriberSeams
  readonly #readers: ((result: Result) => void)[] = []
  #first: Kept | undefined
  #last: Kept | undefined
  #size = 0
  #missed = 0 // after the last one kept
  #full = false
  #over = false

  constructor(
    types: ReadonlySet<EventType>,
    overflow: 'block' | 'drop-latest' | 'keep-latest',
    buffer: number,
    limits: EventLimits,
    seams: SubscriberSeams,
  ) {
    this.#types = types
    this.#overflow = overflow
    this.#buffer = buffer
    this.#most = overflow === 'block' ? buffer + limits.maxHeldBackEvents : buffer
    this.#seams = seams
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Takes an event if it is wanted. */
  offer(event: NodeEvent): void {
    if (this.#over || event.type === 'missed' || !this.#types.has(event.type)) return
    const reader = this.#readers.shift() // somebody who waits has read everything before
    if (reader !== undefined) {
      reader({ done: false, value: event })
      return
    }
    if (this.#size >= this.#most) {
      if (this.#overflow !== 'keep-latest') {
        this.#missed++
        return
      }
      this.#dropOldest()
    }
    const kept: Kept = { event, missedBefore: this.#missed, next: undefined }
    this.#missed = 0
    if (this.#last === undefined) this.#first = kept
    else this.#last.next = kept
    this.#last = kept
    this.#size++
    this.#tellFull()
  }

  next(): Promise<Result> {
    const value = this.#take()
    if (value !== undefined) return Promise.resolve({ done: false, value })
    if (this.#over) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve) => this.#readers.push(resolve))
  }

  return(): Promise<Result> {
    this.end()
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.end()
    return Promise.resolve()
  }

  /** Over at once; what is kept is forgotten. Idempotent. */
  end(): void {
    this.#first = undefined
    this.#last = undefined
    this.#size = 0
    this.#missed = 0
    this.finish()
  }

  /** Takes nothing more; what is kept can still be read. Idempotent. */
  finish(): void {
    const over = this.#over
    this.#over = true
    this.#tellFull()
    if (over) return
    this.#seams.over()
    for (const reader of this.#readers.splice(0)) reader({ done: true, value: undefined })
  }

  #take(): NodeEvent | undefined {
    const kept = this.#first
    const missed = kept === undefined ? this.#missed : kept.missedBefore
    if (missed > 0) {
      if (kept === undefined) this.#missed = 0
      else kept.missedBefore = 0
      return Object.freeze({ type: 'missed', count: missed, atMs: this.#seams.nowMs() })
    }
    if (kept === undefined) return undefined
    this.#remove(kept)
    this.#tellFull()
    return kept.event
  }

  #dropOldest(): void {
    const oldest = this.#first
    if (oldest === undefined) return
    this.#remove(oldest)
    const missed = oldest.missedBefore + 1
    if (this.#first === undefined) this.#missed += missed
    else this.#first.missedBefore += missed
  }

  #remove(first: Kept): void {
    this.#first = first.next
    if (first.next === undefined) this.#last = undefined
    this.#size--
  }

  #tellFull(): void {
    const full = this.#overflow === 'block' && !this.#over && this.#size >= this.#buffer
    if (full === this.#full) return
    this.#full = full
    this.#seams.full(full)
  }
}
