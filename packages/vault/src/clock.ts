/** Time as the rest of this package sees it: handed in, so that tests can hold it. */

/** A clock with timers. `systemClock` is the real one. */
export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number
  /** Calls `fire` once after `delayMs`, unless the returned function was called before. Does not keep a process alive. */
  setTimer(delayMs: number, fire: () => void): () => void
}

/** The clock of the machine. */
export const systemClock: Clock = Object.freeze({
  nowMs: () => Date.now(),
  setTimer: (delayMs: number, fire: () => void) => {
    // setTimeout cuts longer delays to one millisecond; a timer that fires early is asked again.
    const timer = setTimeout(fire, Math.min(delayMs, 0x7fffffff))
    timer.unref()
    return () => {
      clearTimeout(timer)
    }
  },
})
