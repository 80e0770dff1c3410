/**
 * Several ways to the same end, tried politely: the best first, the next a little later or as soon as all before failed,
 * until one succeeds. It knows nothing of what is tried.
 */
import type { Clock } from '../clock.ts'

/** One way. */
export interface Attempt<T> {
  /** How long the ones before it have the field for themselves, from the start of all. Never less than theirs. */
  readonly afterMs: number
  /** Rejects where it failed; ends when the signal aborts. */
  run(signal: AbortSignal): Promise<T>
}

/** What a race needs. */
export interface RaceInit<T> {
  readonly clock: Clock
  /** Longest one attempt may take. */
  readonly timeoutMs: number
  /** Ends all of it. */
  readonly signal: AbortSignal
  /** What succeeded though another had won already. */
  discard(late: T): void
}

/**
 * The first that succeeds; the others are ended.
 *
 * @throws `AggregateError` of all failures, in the order of the attempts; the signal's reason
 */
export function race<T>(attempts: readonly Attempt<T>[], init: RaceInit<T>): Promise<T> {
  const { clock, timeoutMs, signal } = init
  const over = new AbortController()
  const startMs = clock.nowMs()
  const failures: unknown[] = []
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  let begun = 0
  let failed = 0
  let done = false
  let stopTimer: (() => void) | undefined

  const settle = (): void => {
    done = true
    stopTimer?.()
    signal.removeEventListener('abort', aborted)
    over.abort(new Error('it is over'))
  }
  const aborted = (): void => {
    settle()
    reject(signal.reason as Error)
  }
  const begin = (attempt: Attempt<T>, at: number): void => {
    const late = new AbortController()
    const stopLate = clock.setTimer(timeoutMs, () => {
      late.abort(new Error('nobody answered in time'))
    })
    attempt
      .run(AbortSignal.any([signal, over.signal, late.signal]))
      .then(
        (won) => {
          if (done) {
            init.discard(won)
            return
          }
          settle()
          resolve(won)
        },
        (error: unknown) => {
          if (done) return
          failures[at] = error
          failed += 1
          if (failed < attempts.length) return next()
          settle()
          reject(new AggregateError(failures, 'every attempt failed'))
        },
      )
      .finally(stopLate)
  }
  const next = (): void => {
    stopTimer?.()
    for (;;) {
      const attempt = attempts[begun]
      if (attempt === undefined) return
      const leftMs = attempt.afterMs - (clock.nowMs() - startMs)
      if (failed < begun && leftMs > 0) {
        stopTimer = clock.setTimer(leftMs, next)
        return
      }
      begun += 1
      begin(attempt, begun - 1)
    }
  }

  if (signal.aborted) return Promise.reject(signal.reason as Error)
  if (attempts.length === 0)
    return Promise.reject(new AggregateError([], 'there is nothing to try'))
  signal.addEventListener('abort', aborted, { once: true })
  next()
  return promise
}
