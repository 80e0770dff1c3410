/**
 * One timer for many deadlines: cheap to add and to remove, since most deadlines never come. Knows nothing of what has
 * them.
 */
import type { Clock } from './clock.ts'

/** Something that must be over at a time. */
export interface HasDeadline {
  readonly deadlineMs: number
  /** The time came. Called at most once. */
  expire(): void
  /** Its place among others: the set's to read and write, undefined while it is in none. */
  place: DeadlinePlace | undefined
}

/** Neighbours in the order in which they were added. Made once for each. */
export interface DeadlinePlace {
  before: HasDeadline | undefined
  after: HasDeadline | undefined
}

/** A set of deadlines with one timer, which runs only while there is something to wait for. */
export class Deadlines<T extends HasDeadline = HasDeadline> {
  readonly #clock: Clock
  // A list through its members: a table would be built anew all the time, as members come and go.
  #first: HasDeadline | undefined
  #last: HasDeadline | undefined
  #size = 0
  #armedForMs = Infinity
  #stop: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#size
  }

  /** All that wait now. */
  list(): T[] {
    const all: T[] = []
    for (let one = this.#first; one !== undefined; one = one.place?.after) all.push(one as T)
    return all
  }

  /** Adds one that is in no set. */
  add(one: T): void {
    one.place = { before: this.#last, after: undefined }
    if (this.#last?.place === undefined) this.#first = one
    else this.#last.place.after = one
    this.#last = one
    this.#size += 1
    if (one.deadlineMs < this.#armedForMs) this.#arm(one.deadlineMs)
  }

  /** Takes one out that is in this set or in none. */
  delete(one: T): void {
    const { place } = one
    if (place === undefined) return
    one.place = undefined
    this.#size -= 1
    const { before, after } = place
    if (before?.place === undefined) this.#first = after
    else before.place.after = after
    if (after?.place === undefined) this.#last = before
    else after.place.before = before
  }

  /** Forgets all and stops the timer. */
  clear(): void {
    for (const one of this.list()) this.delete(one)
    this.#stop?.()
    this.#stop = undefined
    this.#armedForMs = Infinity
  }

  #arm(atMs: number): void {
    this.#stop?.()
    this.#armedForMs = atMs
    this.#stop = this.#clock.setTimer(Math.max(0, atMs - this.#clock.nowMs()), () => {
      this.#fire()
    })
  }

  #fire(): void {
    this.#stop = undefined
    this.#armedForMs = Infinity
    const nowMs = this.#clock.nowMs()
    const over: T[] = []
    let nextMs = Infinity
    for (const one of this.list()) {
      if (one.deadlineMs <= nowMs) over.push(one)
      else if (one.deadlineMs < nextMs) nextMs = one.deadlineMs
    }
    for (const one of over) {
      this.delete(one)
      one.expire()
    }
    if (nextMs < this.#armedForMs) this.#arm(nextMs)
  }
}
