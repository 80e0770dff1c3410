/** Hole punching messages: what is written is read, and nothing else does more than be refused. */
import { fc, test } from '@fast-check/vitest'
import { expect, test as fact } from 'vitest'

import { decodePunch, encodePunch } from '../../src/reach/punch.ts'
import type { PunchMessage } from '../../src/reach/punch.ts'
import { INPUTS, refusalsOf } from './malformed.ts'

const message: fc.Arbitrary<PunchMessage> = fc.oneof(
  fc.constant({ type: 'sync' as const }),
  fc.record({
    type: fc.constant('connect' as const),
    addresses: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }),
  }),
)

test.prop([message], { numRuns: 500 })('what is written is read', (one) => {
  expect(decodePunch(encodePunch(one))).toEqual(one)
})

fact(`${INPUTS} messages with wrong bytes are read or refused, nothing else`, () => {
  const address = Uint8Array.from({ length: 12 }, (_, i) => i)
  const seeds = [
    encodePunch({ type: 'sync' }),
    encodePunch({ type: 'connect', addresses: [] }),
    encodePunch({ type: 'connect', addresses: [address, address, Uint8Array.of(4)] }),
  ]
  expect(refusalsOf(decodePunch, seeds)).toBeGreaterThan(INPUTS / 2)
})
