import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'

import { ByNumber } from '../../src/channel/by-number.ts'

interface Member {
  readonly number: number
}

/** Numbers as they come: one after the other, by chance, and chosen to fall on the same place. */
const numbers = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: 0xffffffff }),
  fc.integer({ min: 0, max: 4000 }).map((step) => (7 + step * 1024) >>> 0),
)
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('add' as const), number: numbers }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('delete' as const), number: numbers }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('get' as const), number: numbers }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('takeAll' as const), number: numbers }) },
  ),
  { maxLength: 400, size: 'max' },
)

describe('ByNumber', () => {
  test.prop([steps])('does what a Map does, whatever the numbers', (history) => {
    const ours = new ByNumber<Member>()
    const reference = new Map<number, Member>()
    for (const { do: step, number } of history) {
      switch (step) {
        case 'add': {
          if (reference.has(number)) break
          const one = { number }
          ours.add(one)
          reference.set(number, one)
          break
        }
        case 'delete':
          ours.delete(number)
          reference.delete(number)
          break
        case 'takeAll':
          expect(ours.takeAll()).toEqual([...reference.values()].sort(byNumber))
          reference.clear()
          break
        case 'get':
          break
      }
      const same = ours.get(number) === reference.get(number) && ours.size === reference.size
      if (!same) expect.fail(`after ${step} of ${number}`)
    }
    for (const [number, one] of reference) expect(ours.get(number)).toBe(one)
    expect(ours.takeAll()).toEqual([...reference.values()].sort(byNumber))
  })

  test('thousands that come in order, or all fall on one place, are found again', () => {
    for (const step of [1, 65_536]) {
      const ours = new ByNumber<Member>()
      const all = Array.from({ length: 5000 }, (_, at) => ({ number: (1 + at * step) >>> 0 }))
      for (const one of all) ours.add(one)
      expect(all.every((one) => ours.get(one.number) === one)).toBe(true)
      for (const { number } of all.slice(0, 4990)) ours.delete(number)
      expect([ours.size, ours.takeAll()]).toEqual([10, all.slice(4990)])
    }
  })
})

function byNumber(a: Member, b: Member): number {
  return a.number - b.number
}
