/** So many questions under way at once, for a while: how many are answered, and how long one takes. It knows no question. */
import { setTimeout as delay } from 'node:timers/promises'

/** What was found. */
export interface Pace {
  readonly answers: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Asks until the time is over, the next as soon as one is answered, or after a pause. */
export async function pace(
  ask: () => void | Promise<void>,
  atOnce: number,
  forMs: number,
  pauseMs = 0,
): Promise<Pace> {
  const timesMs: number[] = []
  const beganMs = performance.now()
  const untilMs = beganMs + forMs
  const worker = async (): Promise<void> => {
    do {
      const askedMs = performance.now()
      await ask()
      timesMs.push(performance.now() - askedMs)
      if (pauseMs > 0) await delay(pauseMs)
    } while (performance.now() < untilMs)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  const seconds = (performance.now() - beganMs) / 1000
  const sorted = timesMs.toSorted((a, b) => a - b)
  const quantile = (q: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
  return {
    answers: sorted.length,
    perSecond: sorted.length / seconds,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
  }
}
