/** Who waits for what becomes of a request, by its key (`requestKey`). It knows nothing of what becomes of it. */
import type { HeldRequest } from './held.ts'

type Wake = (held: HeldRequest | undefined) => void

/** Everybody who waits. */
export class Waits {
  readonly #max: number
  readonly #waiting = new Map<string, Set<Wake>>()
  #count = 0

  /** @param max - how many may wait at a time */
  constructor(max: number) {
    this.#max = max
  }

  /** Whether nobody else may wait. */
  get full(): boolean {
    return this.#count >= this.#max
  }

  /** What somebody waits for now. */
  keys(): string[] {
    return [...this.#waiting.keys()]
  }

  /** Settles with what it has become, or with nothing where it is to be looked for again or the signal fires. */
  until(key: string, signal: AbortSignal | undefined): Promise<HeldRequest | undefined> {
    return new Promise((resolve) => {
      let all = this.#waiting.get(key)
      if (all === undefined) this.#waiting.set(key, (all = new Set()))
      const waiting = all
      this.#count++
      const finish: Wake = (held) => {
        this.#count--
        waiting.delete(finish)
        if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key)
        signal?.removeEventListener('abort', giveUp)
        resolve(held)
      }
      const giveUp = (): void => {
        finish(undefined)
      }
      waiting.add(finish)
      signal?.addEventListener('abort', giveUp, { once: true })
    })
  }

  /** Tells who waits for these: what it has become, or to look for it again. */
  wake(keys: Iterable<string>, held?: HeldRequest): void {
    for (const key of keys) {
      const waiting = this.#waiting.get(key)
      this.#waiting.delete(key)
      for (const wake of waiting ?? []) wake(held)
    }
  }
}
