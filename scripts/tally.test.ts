import { afterEach, expect, test } from 'vitest'

import { isOverShare, SHARES } from './shares.ts'
import { add, report } from './tally.ts'
import type { Tally } from './tally.ts'

afterEach(() => {
  process.exitCode = undefined
})

function linesOf(tally: Tally): string[] {
  const lines: string[] = []
  report(tally, (line) => lines.push(line))
  return lines
}

test('a run ends with what was skipped, by name, and then the count', () => {
  const tally: Tally = { passed: 2, failed: ['a: broke'], skipped: [] }
  add(tally, { passed: 1, failed: [], skipped: ['b: no Chromium', 'c'] })
  expect(linesOf(tally)).toEqual([
    '',
    'failed: a: broke',
    '2 skipped: b: no Chromium; c',
    '3 passed, 1 failed',
  ])
  expect(process.exitCode).toBe(1)
})

test('a run without failure ends with exit code 0', () => {
  const lines = linesOf({ passed: 1, failed: [], skipped: [] })
  expect(lines.slice(-2)).toEqual(['0 skipped: none', '1 passed, 0 failed'])
  expect(process.exitCode).toBe(0)
})

test('a part fails when it takes half as much again as its share', () => {
  const [share] = SHARES
  expect(share).toMatchObject({ name: 'communication layer', minutes: 4 })
  expect(share !== undefined && isOverShare(share, 6 * 60_000)).toBe(false)
  expect(share !== undefined && isOverShare(share, 6 * 60_000 + 1)).toBe(true)
})

test('all parts together stay below fifteen minutes', () => {
  expect(SHARES.reduce((sum, { minutes }) => sum + minutes, 0)).toBeLessThan(15)
})
