/** The clock of the machine, for commands that load no vault. */
import type { Clock } from '@stronghold/vault'

/** Longest that `setTimeout` takes, in milliseconds: it cuts more to one. A timer that fires early is asked again. */
const MAX_DELAY_MS = 0x7fffffff

/** As the vault's own. Its timers keep no process alive. */
export const systemClock: Clock = Object.freeze({
  nowMs: () => Date.now(),
  setTimer: (delayMs: number, fire: () => void) => {
    const timer = setTimeout(fire, Math.min(delayMs, MAX_DELAY_MS)).unref()
    return () => {
      clearTimeout(timer)
    }
  },
})
