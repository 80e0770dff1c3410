/** Limits as people write them: `10/day`, `3/15m`. Pure. */
import { MAX_LIMIT_COUNT, MAX_WINDOW_MS } from '../limits.ts'
import type { Limit } from './rule.ts'

const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  second: 1000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
  week: 7 * 86_400_000,
  month: 30 * 86_400_000,
}

/** Longest first, so that a window prints in the largest unit that divides it. */
const PRINTED: readonly [string, number][] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
]
const NAMED: Readonly<Record<number, string>> = {
  1000: 'second',
  60_000: 'minute',
  3_600_000: 'hour',
  86_400_000: 'day',
  604_800_000: 'week',
  2_592_000_000: 'month',
}

/**
 * Reads `COUNT/WINDOW`, where a window is `second`, `minute`, `hour`, `day`, `week`, `month` or a number with `s`, `m`,
 * `h` or `d`.
 *
 * @throws `SyntaxError` for anything else, `RangeError` past the limits
 */
export function parseLimit(text: string): Limit {
  const parts = /^([0-9]{1,9})\/(?:([0-9]{1,9})([smhd])|([a-z]{1,8}))$/.exec(text)
  const unit = UNITS[parts?.[3] ?? parts?.[4] ?? '']
  if (parts === null || unit === undefined || (parts[4]?.length ?? 2) === 1) {
    throw new SyntaxError(
      `Cannot read limit: ${JSON.stringify(text.slice(0, 64))} is not like 10/day or 3/15m`,
    )
  }
  const count = Number(parts[1])
  const windowMs = Number(parts[2] ?? 1) * unit
  if (count < 1 || count > MAX_LIMIT_COUNT) {
    throw new RangeError(`Cannot read limit: ${count} is not from 1 to ${MAX_LIMIT_COUNT}`)
  }
  if (windowMs < 1000 || windowMs > MAX_WINDOW_MS) {
    throw new RangeError(
      `Cannot read limit: the window of ${JSON.stringify(text.slice(0, 64))} is not from 1 second to 366 days`,
    )
  }
  return { count, windowMs }
}

/** The one text of a limit; `parseLimit` reads it back. */
export function printLimit({ count, windowMs }: Limit): string {
  return `${count}/${NAMED[windowMs] ?? printDuration(windowMs)}`
}

/** A length of time in the largest unit that divides it: `15m`, `36h`, `90d`. */
export function printDuration(ms: number): string {
  const [letter, unit] = PRINTED.find(([, unit]) => ms % unit === 0) ?? ['s', 1000]
  return `${Math.ceil(ms / unit)}${letter}`
}
