/** When a Stronghold runs a partnership by itself, and when it leaves one alone. */
import type { SyncPartnership } from '@stronghold/guard'
import { describe, expect, test } from 'vitest'

import { isDue } from '../../src/daemon/syncs.ts'
import type { Past } from '../../src/daemon/syncs.ts'
import { MAX_SYNC_PAUSE_MS, MIN_SYNC_PAUSE_MS } from '../../src/limits.ts'

const PARTNER: SyncPartnership = {
  name: 'nas',
  peer: '12D3KooW',
  peerName: 'nas',
  vault: new Uint8Array(16),
  fingerprint: 'SHA256:x',
  paths: ['**'],
  maps: [],
  mode: 'two-way',
  merge: 'newest-version',
  onChange: false,
  paused: false,
  addedAtMs: 0,
  state: 'in-step',
  conflicts: 0,
}
const past = (more: Partial<Past> = {}): Past => ({
  atMs: 1_000_000,
  held: 'as it was',
  failures: 0,
  ...more,
})

describe('a partnership', () => {
  test('without a rhythm, which follows no changes, is left to whoever types', () => {
    expect(isDue(PARTNER, undefined, 1e12, 'other')).toBe(false)
  })

  test('with a rhythm is due when it has passed, since the last run of whichever life', () => {
    const hourly = { ...PARTNER, everyMs: 3_600_000, lastRunAtMs: 1_000_000 }
    expect(isDue(hourly, undefined, 4_599_999, '')).toBe(false)
    expect(isDue(hourly, undefined, 4_600_000, '')).toBe(true)
    expect(isDue(hourly, past({ atMs: 2_000_000 }), 5_599_999, '')).toBe(false)
  })

  test('that follows changes is due when the vault holds something else, and once after a start', () => {
    const following = { ...PARTNER, onChange: true }
    expect(isDue(following, undefined, 0, 'as it was')).toBe(true)
    expect(isDue(following, past(), 2_000_000, 'as it was')).toBe(false)
    expect(isDue(following, past(), 2_000_000, 'other')).toBe(true)
  })

  test('that rests, or waits for a person, is not due; one with records in conflict goes on', () => {
    const due = { ...PARTNER, everyMs: 60_000 }
    expect(isDue(due, undefined, 1e12, '')).toBe(true)
    expect(isDue({ ...due, paused: true }, undefined, 1e12, '')).toBe(false)
    for (const why of ['rolled-back', 'unseen', 'key'] as const) {
      expect(isDue({ ...due, why }, undefined, 1e12, '')).toBe(false)
    }
    expect(isDue({ ...due, why: 'records' }, undefined, 1e12, '')).toBe(true)
  })

  test('that failed is left alone for longer and longer, and never for longer than the bound', () => {
    const due = { ...PARTNER, onChange: true }
    const waits = (failures: number): number => {
      let ms = 0
      while (!isDue(due, past({ failures }), 1_000_000 + ms, 'other')) ms += MIN_SYNC_PAUSE_MS
      return ms
    }
    expect([1, 2, 3].map(waits)).toEqual([2, 4, 8].map((times) => times * MIN_SYNC_PAUSE_MS))
    expect(waits(50)).toBe(MAX_SYNC_PAUSE_MS)
  })
})
