/**
 * The requests that wait for somebody's answer: how many, of whom, and until when. It starts no question and
 * knows no rule; it counts, keeps time, and tells each one that waits how its waiting ended.
 */
import type { Clock } from '../clock.ts'
import type { PeerId } from '../identity.ts'

/** The limits of waiting; see `P2pLimits`. */
export interface AskLimits {
  readonly maxAsks: number
  readonly maxAsksPerPeer: number
  readonly askTimeoutMs: number
}

/** Why waiting ended without an answer. */
export type AskFailure = 'timeout' | 'canceled'

/** What a request brings along. Read only when it has to wait. */
export interface AskOptions {
  /** Aborted when the request is canceled or its connection ends. */
  readonly signal?: AbortSignal | undefined
  /** What is left until the request's deadline. Default: no deadline. */
  readonly timeoutMs?: number | undefined
}

/** One that waits. */
export interface Waiting {
  readonly peer: PeerId
  /** Called once, after it left the book, when it ran out of time or was canceled. */
  expire(failure: AskFailure, reason: unknown): void
}

/** A place in the book. */
export interface Place {
  /** Starts the time-out again, for the next question: never past the deadline, nor past `untilMs`. */
  restart(untilMs?: number): void
  /** Gives the place back: no timer and no listener stays. Idempotent. */
  leave(): void
}

/** The book. Every place taken is given back by an answer, a time-out, an abort or `close`. */
export class Asks<W extends Waiting> {
  readonly #limits: AskLimits
  readonly #clock: Clock
  readonly #peers = new Map<PeerId, Map<W, Place>>()
  #size = 0

  constructor(limits: AskLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  /** How many wait. */
  get size(): number {
    return this.#size
  }

  /** Whether one more of this peer would be refused. */
  full(peer: PeerId): boolean {
    if (this.#size >= this.#limits.maxAsks) return true
    return (this.#peers.get(peer)?.size ?? 0) >= this.#limits.maxAsksPerPeer
  }

  /** Those that wait, of one peer or of all: a list of its own, which changes to the book do not touch. */
  waiting(peer?: PeerId): W[] {
    if (peer !== undefined) return [...(this.#peers.get(peer)?.keys() ?? [])]
    return [...this.#peers.values()].flatMap((waiting) => [...waiting.keys()])
  }

  /**
   * Takes a place, whose time starts with `restart`, or says why there is none: the signal is aborted already,
   * the deadline is past, or the book is full.
   */
  enter(waiting: W, options: AskOptions): Place | AskFailure | 'full' {
    const { signal } = options
    const timeoutMs = options.timeoutMs ?? Infinity
    if (signal?.aborted === true) return 'canceled'
    if (!(timeoutMs > 0)) return 'timeout'
    if (this.full(waiting.peer)) return 'full'
    const deadlineMs = this.#clock.nowMs() + timeoutMs
    let stopTimer = (): void => undefined
    let left = false

    const leave = (): void => {
      if (left) return
      left = true
      stopTimer()
      signal?.removeEventListener('abort', onAbort)
      this.#remove(waiting)
    }
    const expire = (failure: AskFailure, reason: unknown): void => {
      if (left) return
      leave()
      waiting.expire(failure, reason)
    }
    const onAbort = (): void => {
      expire('canceled', signal?.reason)
    }
    const place: Place = {
      restart: (untilMs = Infinity) => {
        stopTimer()
        if (left) return
        const nowMs = this.#clock.nowMs()
        const endMs = Math.min(nowMs + this.#limits.askTimeoutMs, deadlineMs, untilMs)
        stopTimer = this.#clock.setTimer(Math.max(0, endMs - nowMs), () => {
          expire('timeout', new DOMException('nobody answered in time', 'TimeoutError'))
        })
      },
      leave,
    }
    signal?.addEventListener('abort', onAbort)
    const peers = this.#peers.get(waiting.peer)
    if (peers === undefined) this.#peers.set(waiting.peer, new Map([[waiting, place]]))
    else peers.set(waiting, place)
    this.#size++
    return place
  }

  /** Ends all waiting as canceled. */
  close(reason: unknown): void {
    const all = [...this.#peers.values()].flatMap((waiting) => [...waiting])
    for (const [waiting, place] of all) {
      place.leave()
      waiting.expire('canceled', reason)
    }
  }

  #remove(waiting: W): void {
    const peers = this.#peers.get(waiting.peer)
    if (peers?.delete(waiting) !== true) return
    this.#size--
    if (peers.size === 0) this.#peers.delete(waiting.peer)
  }
}
