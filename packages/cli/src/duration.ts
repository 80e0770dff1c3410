/** Lengths of time and moments as people write them. Pure. */
import { Failure, quoted } from './failure.ts'

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
}

/**
 * Reads `10m`, `1h30m`, `90d`.
 *
 * @returns milliseconds
 * @throws `Failure` `usage` for anything else
 */
export function parseDuration(text: string): number {
  const isWhole = /^(?:[0-9]{1,9}(?:ms|[smhdw]))+$/.test(text)
  const sum = [...text.matchAll(/([0-9]+)(ms|[smhdw])/g)].reduce(
    (ms, [, count, unit]) => ms + Number(count) * (UNITS[unit ?? ''] ?? NaN),
    0,
  )
  if (isWhole && sum > 0 && Number.isSafeInteger(sum)) return sum
  throw new Failure('usage', 'cannot read the time', {
    reason: `${quoted(text)} is not like 90s, 10m, 1h30m or 90d`,
  })
}

/** A moment: `2027-01-31T12:00:00Z`, or a length of time from now on. */
export function parseMoment(text: string, nowMs: number): number {
  if (/^\d{4}-\d\d-\d\dT/.test(text)) {
    const ms = Date.parse(text)
    if (Number.isSafeInteger(ms) && /(Z|[+-]\d\d:\d\d)$/.test(text)) return ms
    throw new Failure('usage', 'cannot read the time', {
      reason: `${quoted(text)} is not like 2027-01-31T12:00:00Z`,
    })
  }
  return nowMs + parseDuration(text)
}

/** A moment as people and programs read it, without fractions of a second. */
export function printMoment(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** What is left of a time: `9:58`, `1:00:00`. */
export function printRest(ms: number): string {
  const seconds = Math.max(Math.ceil(ms / 1000), 0)
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  const rest = `${hours === 0 ? minutes : two(minutes)}:${two(seconds % 60)}`
  return hours === 0 ? rest : `${hours}:${rest}`
}
