import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { DenialBuckets, Tally } from '../../src/audit/quiet.ts'
import { DENIAL_BURST, DENIALS_PER_MINUTE, SUMMARY_INTERVAL_MS } from '../../src/limits.ts'

describe('Tally', () => {
  it('tells what came at most once in SUMMARY_INTERVAL_MS, and loses none', () => {
    const steps = fc.array(fc.tuple(fc.nat(90_000), fc.nat(3)), { maxLength: 60 })
    fc.assert(
      fc.property(steps, (all) => {
        const tally = new Tally()
        let [now, came, told] = [0, 0, 0]
        let last = -Infinity
        for (const [later, times] of all) {
          now += later
          for (let i = 0; i < times; i++) tally.add(now)
          came += times
          const summary = tally.due(now)
          if (summary === undefined) continue
          expect(now - last).toBeGreaterThanOrEqual(SUMMARY_INTERVAL_MS)
          expect(summary.since).toBeLessThanOrEqual(now)
          last = now
          told += summary.count
        }
        expect(told + (tally.rest()?.count ?? 0)).toBe(came)
      }),
    )
  })

  it('says since when', () => {
    const tally = new Tally()
    expect(tally.due(0)).toBeUndefined()
    tally.add(5)
    tally.add(7)
    expect(tally.due(9)).toEqual({ count: 2, since: 5 })
    tally.add(10)
    expect(tally.due(9 + SUMMARY_INTERVAL_MS - 1)).toBeUndefined()
    expect(tally.due(9 + SUMMARY_INTERVAL_MS)).toEqual({ count: 1, since: 10 })
    expect(tally.rest()).toBeUndefined()
  })
})

describe('DenialBuckets', () => {
  it('writes DENIAL_BURST in a row, then DENIALS_PER_MINUTE, and counts the others', () => {
    const buckets = new DenialBuckets()
    const written = (now: number): number => {
      let count = 0
      for (let i = 0; i < 1000; i++) if (buckets.writes('p', now)) count += 1
      return count
    }
    expect(written(0)).toBe(DENIAL_BURST)
    expect(written(60_000)).toBe(DENIALS_PER_MINUTE)
    expect(buckets.due(60_000)).toEqual([
      { peer: 'p', count: 2000 - DENIAL_BURST - DENIALS_PER_MINUTE, since: 0 },
    ])
    expect(buckets.due(60_001)).toEqual([])
  })

  it('gives nothing to a clock that is set back, and each peer a share of its own', () => {
    const buckets = new DenialBuckets()
    for (let i = 0; i < DENIAL_BURST; i++) expect(buckets.writes('p', 100_000)).toBe(true)
    expect(buckets.writes('p', 0)).toBe(false)
    expect(buckets.writes('p', 100_001)).toBe(false)
    expect(buckets.writes('q', 0)).toBe(true)
    expect(buckets.rest()).toEqual([{ peer: 'p', count: 2, since: 0 }])
    expect(buckets.rest()).toEqual([])
  })

  it('forgets a peer that has its whole share again and nothing untold', () => {
    const buckets = new DenialBuckets()
    for (let i = 0; i < DENIAL_BURST + 1; i++) buckets.writes('p', 0)
    expect(buckets.size).toBe(1)
    expect(buckets.due(0)).toHaveLength(1)
    buckets.due((DENIAL_BURST / DENIALS_PER_MINUTE) * 60_000)
    expect(buckets.size).toBe(0)
  })
})
