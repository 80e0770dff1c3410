/** Acknowledgements: along with messages, by themselves after a while, and never without bound. */
import { manualClock } from '@stronghold/testkit'
import { expect, test } from 'vitest'

import { Acknowledged } from '../src/acknowledged.ts'
import { ACKNOWLEDGE_AFTER_MS, MAX_ACKNOWLEDGED, MAX_UNACKNOWLEDGED } from '../src/limits.ts'

const ID = new Uint8Array(16)

test('ids go along with a message, or by themselves after ACKNOWLEDGE_AFTER_MS', () => {
  const clock = manualClock()
  const sent: number[] = []
  const acknowledged = new Acknowledged(clock, (ids) => sent.push(ids.length))
  expect(acknowledged.take()).toEqual({})
  acknowledged.add(ID)
  expect(acknowledged.take()).toEqual({ acknowledge: [ID] })
  expect(clock.timers).toBe(0)
  acknowledged.add(ID)
  clock.advance(ACKNOWLEDGE_AFTER_MS - 1)
  acknowledged.add(ID)
  expect(sent).toEqual([])
  clock.advance(1)
  expect(sent).toEqual([2])
  expect(clock.timers).toBe(0)
})

test('MAX_ACKNOWLEDGED go in one message, and no more than MAX_UNACKNOWLEDGED wait', () => {
  const sent: number[] = []
  const acknowledged = new Acknowledged(manualClock(), (ids) => sent.push(ids.length))
  for (let i = 0; i <= MAX_UNACKNOWLEDGED; i++) acknowledged.add(ID)
  acknowledged.flush()
  expect(sent).toHaveLength(MAX_UNACKNOWLEDGED / MAX_ACKNOWLEDGED)
  expect(new Set(sent)).toEqual(new Set([MAX_ACKNOWLEDGED]))
})
