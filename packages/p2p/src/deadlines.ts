/**
 * One timer for many deadlines: cheap to add and free to remove, since most deadlines never come. Knows nothing of
 * what has them.
 */
import type { Clock } from './clock.ts'

/** Something that must be over at a time. */
export interface HasDeadline {
  readonly deadlineMs: number
  /** The time came. Called at most once. */
  expire(): void
}

/** A set of deadlines with one timer, which runs only while there is something to wait for. */
export class Deadlines<T extends HasDeadline = HasDeadline> {
  readonly #clock: Clock
  readonly #all = new Set<T>()
  #armedForMs = Infinity
  #stop: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#all.size
  }

  /** All that wait now. */
  list(): T[] {
    return [...this.#all]
  }

  add(one: T): void {
    this.#all.add(one)
    if (one.deadlineMs < this.#armedForMs) this.#arm(one.deadlineMs)
  }

  delete(one: T): void {
    this.#all.delete(one)
  }

  /** Forgets all and stops the timer. */
  clear(): void {
    this.#all.clear()
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
    for (const one of this.#all) {
      if (one.deadlineMs <= nowMs) over.push(one)
      else if (one.deadlineMs < nextMs) nextMs = one.deadlineMs
    }
    for (const one of over) {
      this.#all.delete(one)
      one.expire()
    }
    if (nextMs < this.#armedForMs) this.#arm(nextMs)
  }
}
