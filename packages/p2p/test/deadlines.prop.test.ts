import { fc, test } from '@fast-check/vitest'
import { manualClock } from '@stronghold/testkit'
import { expect } from 'vitest'

import { Deadlines } from '../src/deadlines.ts'
import type { DeadlinePlace, HasDeadline } from '../src/deadlines.ts'

class Due implements HasDeadline {
  readonly deadlineMs: number
  readonly #over: Due[]
  place: DeadlinePlace | undefined

  constructor(deadlineMs: number, over: Due[]) {
    this.deadlineMs = deadlineMs
    this.#over = over
  }

  expire(): void {
    this.#over.push(this)
  }
}

const step = fc.oneof(
  fc.record({ add: fc.nat(50) }),
  fc.record({ remove: fc.nat(20) }),
  fc.record({ pass: fc.nat(20) }),
)

test.prop([fc.array(step, { maxLength: 60 })])(
  'deadlines are kept, given up and met as those in a plain list are',
  (steps) => {
    const clock = manualClock()
    const over: Due[] = []
    const deadlines = new Deadlines<Due>(clock)
    let all: Due[] = []
    let met: Due[] = []
    for (const one of steps) {
      if ('add' in one) {
        const due = new Due(clock.nowMs() + one.add + 1, over)
        deadlines.add(due)
        all.push(due)
      } else if ('remove' in one) {
        const due = all[one.remove]
        if (due !== undefined) {
          deadlines.delete(due)
          deadlines.delete(due)
          all = all.filter((other) => other !== due)
        }
      } else {
        clock.advance(one.pass)
        const nowMs = clock.nowMs()
        met = [...met, ...all.filter(({ deadlineMs }) => deadlineMs <= nowMs)]
        all = all.filter(({ deadlineMs }) => deadlineMs > nowMs)
      }
      expect(deadlines.list()).toEqual(all)
      expect(deadlines.size).toBe(all.length)
    }
    expect(new Set(over)).toEqual(new Set(met))
    deadlines.clear()
    expect(deadlines.list()).toEqual([])
    expect(all.every(({ place }) => place === undefined)).toBe(true)
  },
)
