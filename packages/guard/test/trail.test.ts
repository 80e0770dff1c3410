import { manualClock } from '@stronghold/testkit'
import { createVault, MemoryStore } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { verifyExport } from '../src/audit/export.ts'
import { exportLines } from '../src/audit/lines.ts'
import { Journal } from '../src/journal.ts'
import { DEFAULT_GUARD_LIMITS, MAX_AUDIT_PAGE_LENGTH, MAX_CHECKPOINTS } from '../src/limits.ts'
import { Trail } from '../src/trail.ts'

async function audited(): Promise<{ vault: OpenVault; clock: ReturnType<typeof manualClock> }> {
  const clock = manualClock()
  const credential = { keyFile: new Uint8Array(32).fill(7) }
  const vault = await createVault({ at: new MemoryStore(), credential }, { clock })
  return { vault, clock }
}

function trailOf(vault: OpenVault): Trail {
  return vault.transaction((tx) => new Trail(tx, vault, DEFAULT_GUARD_LIMITS))
}

describe('a page of an export', () => {
  it('ends behind MAX_AUDIT_PAGE_LENGTH, and the next begins there', async () => {
    const { vault } = await audited()
    const trail = trailOf(vault)
    const path = 'x'.repeat(1000)
    const use = Array.from({ length: 400 }, (): [string, string, string] => ['sign', 'key', path])
    vault.transaction((tx) => {
      for (let i = 0; i < 5; i++) {
        trail.append(tx, new Journal(), 'owner', { use, outcome: 'executed' })
      }
    })
    const first = trail.page({})
    const length = (lines: readonly string[]): number => lines.join('').length
    expect(length(first.lines)).toBeGreaterThanOrEqual(MAX_AUDIT_PAGE_LENGTH)
    expect(length(first.lines.slice(0, -1))).toBeLessThan(MAX_AUDIT_PAGE_LENGTH)
    expect(first.next).toBe(first.lines.length)
    const all: string[] = []
    const door = { auditLines: async (options = {}) => trail.page(options) }
    for await (const line of exportLines(door)) all.push(line)
    expect(all).toHaveLength(6)
    expect(verifyExport(all).faults).toEqual([])
    await vault.close()
  })
})

describe('checkpoints', () => {
  it('are remembered up to MAX_CHECKPOINTS, the oldest forgotten, also in another life', async () => {
    const { vault, clock } = await audited()
    const trail = trailOf(vault)
    const startMs = clock.nowMs()
    for (let i = 0; i <= MAX_CHECKPOINTS; i++) {
      clock.advance(1)
      trail.checkpoint()
    }
    for (const one of [trail, trailOf(vault)]) {
      // The first was written at startMs + 1.
      expect(one.cut({ before: startMs + 2, dryRun: true })).toEqual({ entries: 0, from: 0 })
      expect(one.cut({ before: startMs + 3, dryRun: true })).toEqual({ entries: 1, from: 1 })
    }
    expect(trail.verify([]).faults).toEqual([])
    await vault.close()
  })
})
