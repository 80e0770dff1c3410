import { expect, test } from 'vitest'

import { DEFAULT_LIMITS, resolveLimits } from '../src/limits.ts'

test('without anything given the defaults hold', () => {
  expect(resolveLimits()).toEqual(DEFAULT_LIMITS)
})

test('what is given stands in the place of the default, frozen', () => {
  const limits = resolveLimits({ maxFrameBytes: 1, idleTimeoutMs: 0 })
  expect(limits).toEqual({ ...DEFAULT_LIMITS, maxFrameBytes: 1, idleTimeoutMs: 0 })
  expect(Object.isFrozen(limits)).toBe(true)
})

test.each<[string, object, typeof TypeError | typeof RangeError]>([
  ['an unknown name', { maxFrameByte: 1 }, TypeError],
  ['a name of Object.prototype', { toString: 1 }, TypeError],
  ['zero', { maxFrameBytes: 0 }, RangeError],
  ['less than zero', { idleTimeoutMs: -1 }, RangeError],
  ['half', { maxFrameBytes: 1.5 }, RangeError],
  ['no bound at all', { maxFrameBytes: Infinity }, RangeError],
  ['text', { maxFrameBytes: '1' }, RangeError],
  ['undefined', { maxFrameBytes: undefined }, RangeError],
  ['deeper than the codec goes', { maxNesting: 1025 }, RangeError],
])('%s is refused', (_, limits, error) => {
  expect(() => resolveLimits(limits)).toThrow(error)
})

test('maxNesting goes up to 1,024', () => {
  expect(resolveLimits({ maxNesting: 1024 }).maxNesting).toBe(1024)
})
