/** A clock that a test moves. It has the shape of `Clock` in p2p and knows nothing else of it. */

/** Time that stands still until it is advanced. */
export interface ManualClock {
  /** Milliseconds since the epoch. */
  nowMs(): number
  /** Calls `fire` when the clock is advanced that far, unless the returned function was called before. */
  setTimer(delayMs: number, fire: () => void): () => void
  /** Moves the clock, firing what falls due on the way, in order; also what those timers set. */
  advance(byMs: number): void
  /** Timers that wait. A test that is through should see none. */
  readonly timers: number
}

/** A clock that starts at `startMs`. */
export function manualClock(startMs: number = 1_800_000_000_000): ManualClock {
  const waiting = new Set<{ atMs: number; fire: () => void }>()
  let nowMs = startMs
  return {
    nowMs: () => nowMs,
    setTimer(delayMs, fire) {
      const timer = { atMs: nowMs + Math.max(0, delayMs), fire }
      waiting.add(timer)
      return () => {
        waiting.delete(timer)
      }
    },
    advance(byMs) {
      const endMs = nowMs + byMs
      for (;;) {
        let next: { atMs: number; fire: () => void } | undefined
        for (const timer of waiting) {
          if (timer.atMs <= endMs && (next === undefined || timer.atMs < next.atMs)) next = timer
        }
        if (next === undefined) break
        waiting.delete(next)
        nowMs = next.atMs
        next.fire()
      }
      nowMs = endMs
    },
    get timers() {
      return waiting.size
    },
  }
}
