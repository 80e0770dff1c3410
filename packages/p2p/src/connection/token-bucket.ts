/** How often something may happen: a burst at once, refilled by the second. Time is handed in. */

/** Counts down from `burst` and back up by `perSecond`. Starts full. */
export class TokenBucket {
  readonly #burst: number
  readonly #perSecond: number
  #tokens: number
  #atMs: number

  constructor(burst: number, perSecond: number, nowMs: number) {
    this.#burst = burst
    this.#perSecond = perSecond
    this.#tokens = burst
    this.#atMs = nowMs
  }

  /** Takes one token; false when none is there. */
  take(nowMs: number): boolean {
    const elapsedMs = nowMs - this.#atMs
    this.#atMs = nowMs // a clock set back gives nothing
    if (elapsedMs > 0) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs * this.#perSecond) / 1000)
    }
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
