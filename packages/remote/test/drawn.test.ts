/** Random bytes drawn ahead. */
import { toHex } from '@stronghold/core'
import { expect, test } from 'vitest'

import { drawn } from '../src/drawn.ts'

test('nobody is given the same bytes twice, nor a view of what others are given', () => {
  const draw = drawn()
  const ids = Array.from({ length: 1000 }, () => draw(16))
  expect(new Set(ids.map(toHex)).size).toBe(1000)
  expect(new Set(ids.map(({ buffer }) => buffer)).size).toBe(1000)
  expect(ids.every(({ byteLength }) => byteLength === 16)).toBe(true)
  // Of 16,000 bytes each value comes some 62 times.
  const counts = new Array<number>(256).fill(0)
  for (const id of ids) for (const byte of id) counts[byte] = (counts[byte] ?? 0) + 1
  expect(Math.min(...counts)).toBeGreaterThan(20)
  expect(Math.max(...counts)).toBeLessThan(130)
})

test('lengths that do not fit together are drawn whole', () => {
  const draw = drawn()
  for (const length of [4095, 2, 4096, 1, 16]) expect(draw(length)).toHaveLength(length)
})
