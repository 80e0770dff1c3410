/** Limits beside a naive list of times: no stretch of a window ever sees more uses than the limit, whatever happens. */
import { encode } from '@stronghold/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { MAX_LIMIT_COUNT, MAX_USAGE_BUCKETS, MAX_WINDOW_MS } from '../src/limits.ts'
import type { Limit } from '../src/rules/rule.ts'
import {
  countUse,
  decodeUsage,
  encodeUsage,
  isForgotten,
  usedUp,
  usedWithin,
} from '../src/usage.ts'
import type { RuleUsage } from '../src/usage.ts'

const RUNS = process.env['STRONGHOLD_LONG'] === '1' ? 50_000 : 600
const START = 1_790_000_000_000

const anyLimit: fc.Arbitrary<Limit> = fc.record({
  count: fc.integer({ min: 1, max: 6 }),
  windowMs: fc.constantFrom(1000, 1001, 61_000, 3_600_000, 86_400_000),
})
const anyLimits = fc.uniqueArray(anyLimit, {
  minLength: 1,
  maxLength: 3,
  selector: ({ windowMs }) => windowMs,
})

interface Deed {
  /** Of the longest window, in thousandths. */
  readonly later: number
  readonly does: 'run' | 'ask' | 'approve' | 'deny' | 'crash' | 'set the clock back'
}

const anyDeed: fc.Arbitrary<Deed> = fc.record({
  later: fc.oneof(fc.constant(0), fc.nat(40), fc.nat(300)),
  does: fc.constantFrom(
    'run',
    'run',
    'run',
    'ask',
    'approve',
    'deny',
    'crash',
    'set the clock back',
  ),
})

/** Most uses in any stretch of a window: it begins with a use. */
function most(times: readonly number[], windowMs: number): number {
  const counts = times.map(
    (from) => times.filter((at) => at >= from && at < from + windowMs).length,
  )
  return Math.max(0, ...counts)
}

describe('usage', () => {
  it('never allows more than the limit in any stretch of a window, reserved ones included', () => {
    let denied = 0
    fc.assert(
      fc.property(
        anyLimits,
        fc.array(anyDeed, { minLength: 10, maxLength: 60 }),
        (limits, deeds) => {
          const longest = Math.max(...limits.map(({ windowMs }) => windowMs))
          const executed: number[] = []
          let usage: RuleUsage | undefined
          let reserved = 0
          let now = START
          const isFree = (others: number): boolean =>
            limits.every(({ count, windowMs }) => usedWithin(usage, windowMs, now) + others < count)
          const use = (): void => {
            // Time never runs back for a guard: what is executed is executed at the latest time seen.
            executed.push(Math.max(now, usage?.atMs ?? 0))
            usage = countUse(usage, limits, now)
          }
          for (const { later, does } of deeds) {
            now += Math.floor((later * longest) / 1000)
            if (does === 'run' && isFree(reserved)) use()
            else if (does === 'run') denied += 1
            else if (does === 'ask' && isFree(reserved)) reserved += 1
            else if (does === 'deny' && reserved > 0) reserved -= 1
            else if (does === 'approve' && reserved > 0) {
              // Decided again at that moment, without what it reserved itself.
              reserved -= 1
              if (isFree(reserved)) use()
            } else if (does === 'crash' && usage !== undefined) {
              usage = decodeUsage(encodeUsage(usage))
            } else if (does === 'set the clock back') now -= longest
            for (const { count, windowMs } of limits) {
              expect(most(executed, windowMs)).toBeLessThanOrEqual(count)
            }
          }
        },
      ),
      { numRuns: RUNS },
    )
    expect(denied).toBeGreaterThan(400)
  })

  it('counts a use for its window, and for a bucket longer at most', () => {
    const anyTimes = fc.array(fc.nat(400), { minLength: 1, maxLength: 80 })
    fc.assert(
      fc.property(anyLimit, anyTimes, fc.nat(1300), ({ windowMs }, steps, wait) => {
        const limits = [{ count: 100, windowMs }]
        const times: number[] = []
        let usage: RuleUsage | undefined
        let now = START
        for (const step of steps) {
          now += Math.floor((step * windowMs) / 1000)
          times.push(now)
          usage = countUse(usage, limits, now)
          const [window] = usage.windows
          expect(window?.buckets.length).toBeLessThanOrEqual(MAX_USAGE_BUCKETS)
        }
        now += Math.floor((wait * windowMs) / 1000)
        const bucketMs = Math.ceil(windowMs / (MAX_USAGE_BUCKETS - 2))
        const within = (ms: number): number => times.filter((at) => at > now - ms).length
        const used = usedWithin(usage, windowMs, now)
        expect(used).toBeGreaterThanOrEqual(within(windowMs))
        expect(used).toBeLessThanOrEqual(within(windowMs + bucketMs))
        const later = now + windowMs + bucketMs
        expect(usage === undefined || isForgotten(usage, later)).toBe(true)
      }),
      { numRuns: RUNS },
    )
  })

  it('is bounded: MAX_USAGE_BUCKETS for each window, however often a rule is used', () => {
    const limits = [
      { count: MAX_LIMIT_COUNT, windowMs: MAX_WINDOW_MS },
      { count: MAX_LIMIT_COUNT, windowMs: 1000 },
    ]
    let usage: RuleUsage | undefined
    let longest = 0
    for (let i = 0; i < 5000; i++) {
      usage = countUse(usage, limits, START + i * Math.floor(MAX_WINDOW_MS / 1000))
      longest = Math.max(longest, ...usage.windows.map(({ buckets }) => buckets.length))
    }
    expect(longest).toBeLessThanOrEqual(MAX_USAGE_BUCKETS)
    expect(longest).toBeGreaterThan(MAX_USAGE_BUCKETS - 3)
    expect(usage === undefined ? 0 : encodeUsage(usage).byteLength).toBeLessThan(1500)
  })

  it('begins used up after a restore, and comes back as a window passes', () => {
    const limits = [
      { count: 10, windowMs: 86_400_000 },
      { count: 3, windowMs: 60_000 },
    ]
    const usage = usedUp(limits, START)
    expect(usedWithin(usage, 86_400_000, START)).toBe(10)
    expect(usedWithin(usage, 60_000, START)).toBe(3)
    expect(usedWithin(usage, 60_000, START + 62_000)).toBe(0)
    expect(usedWithin(usage, 86_400_000, START + 62_000)).toBe(10)
    expect(isForgotten(usage, START + 62_000)).toBe(false)
    expect(isForgotten(usage, START + 2 * 86_400_000)).toBe(true)
  })

  it('does not begin anew where a limit gets another window', () => {
    const day = [{ count: 10, windowMs: 86_400_000 }]
    const hour = [{ count: 10, windowMs: 3_600_000 }]
    let usage: RuleUsage | undefined
    for (let i = 0; i < 4; i++) usage = countUse(usage, day, START)
    expect(usedWithin(usage, 3_600_000, START)).toBe(4)
    usage = countUse(usage, hour, START + 1)
    expect(usedWithin(usage, 3_600_000, START + 1)).toBe(5)
    expect(usage.windows).toHaveLength(1)
    expect(usedWithin(usage, 86_400_000, START + 2)).toBe(5)
    expect(usedWithin(undefined, 3_600_000, START)).toBe(0)
  })

  it('is read back as it was written, and from nothing else', () => {
    const usage = countUse(
      usedUp([{ count: 2, windowMs: 1000 }], START),
      [{ count: 2, windowMs: 1000 }],
      START + 500,
    )
    expect(decodeUsage(encodeUsage(usage))).toEqual(usage)
    const bend = (windows: unknown, v = 1): Uint8Array => encode({ v, at: 1, windows })
    const wrong = [
      [],
      [0],
      [1000, 1],
      [1000, 2, 1, 1, 1],
      [1000, 1, 0],
      [1000, -1, 1],
      [MAX_WINDOW_MS + 1],
    ]
    for (const window of [...wrong, 'x', [1000, ...Array(2 * MAX_USAGE_BUCKETS + 2).keys()]]) {
      expect(() => decodeUsage(bend([window]))).toThrow(SyntaxError)
    }
    expect(() => decodeUsage(bend([], 2))).toThrow(SyntaxError)
    expect(() => decodeUsage(bend(Array(65).fill([1000])))).toThrow(SyntaxError)
    expect(() => decodeUsage(Uint8Array.of(1, 2))).toThrow(SyntaxError)
  })
})
