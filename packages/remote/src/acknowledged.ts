/**
 * Answers that have arrived, so that the other side need not keep them: they go along with the next message, or by themselves
 * after a while. That one is lost costs nothing but the other side's memory, for a while. It knows no connection.
 */
import { ACKNOWLEDGE_AFTER_MS, MAX_ACKNOWLEDGED, MAX_UNACKNOWLEDGED } from './limits.ts'

/** When something is to be done later. */
export interface Timers {
  /** Milliseconds since the epoch. */
  nowMs(): number
  /** Calls `fire` once after `delayMs`, unless the returned function was called before. */
  setTimer(delayMs: number, fire: () => void): () => void
}

/** What is to be acknowledged to one peer. */
export class Acknowledged {
  readonly #timers: Timers
  readonly #send: (ids: Uint8Array[]) => void
  #ids: Uint8Array[] = []
  #stop: (() => void) | undefined

  /** @param send - sends ids by themselves; must not throw */
  constructor(timers: Timers, send: (ids: Uint8Array[]) => void) {
    this.#timers = timers
    this.#send = send
  }

  add(id: Uint8Array): void {
    if (this.#ids.length >= MAX_UNACKNOWLEDGED) return
    this.#ids.push(id)
    this.#stop ??= this.#timers.setTimer(ACKNOWLEDGE_AFTER_MS, () => {
      this.#stop = undefined
      this.flush()
    })
  }

  /** Those that may go along with a message. */
  take(): { acknowledge?: Uint8Array[] } {
    if (this.#ids.length === 0) return {}
    const acknowledge = this.#ids.splice(0, MAX_ACKNOWLEDGED)
    if (this.#ids.length === 0) {
      this.#stop?.()
      this.#stop = undefined
    }
    return { acknowledge }
  }

  /** Sends all there are. */
  flush(): void {
    for (;;) {
      const { acknowledge } = this.take()
      if (acknowledge === undefined) return
      this.#send(acknowledge)
    }
  }
}
