import { describe, expect, it } from 'vitest'

import { nearest } from '../src/nearest.ts'

describe('nearest()', () => {
  it.each([
    ['sing', 'sign'],
    ['sihn', 'sign'],
    ['verfy', 'verify'],
    ['sign', 'sign'],
    ['x', undefined],
    ['export', undefined],
    ['s'.repeat(65), undefined],
  ])('takes %j for %j', (word, meant) => {
    expect(nearest(word, ['verify', 'sign', 'pub'])).toBe(meant)
  })
})
