/** Hole punching messages: what is written is read, and nothing else does more than be refused. */
import { fc, test } from '@fast-check/vitest'
import { expect, onTestFinished, test as fact } from 'vitest'

import { decodePunch, encodePunch } from '../../src/reach/punch.ts'
import type { PunchMessage } from '../../src/reach/punch.ts'

const INPUTS = process.env['STRONGHOLD_LONG'] === '1' ? 5_000_000 : 200_000

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
  let state = 42
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  let refused = 0
  // Errors are cheap to make but for their stacks.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  onTestFinished(() => {
    Error.stackTraceLimit = stackTraceLimit
  })
  for (let i = 0; i < INPUTS; i++) {
    const seed = seeds[random(seeds.length)] ?? address
    const bytes = seed.slice(0, 1 + random(seed.byteLength))
    for (let flips = random(4); flips >= 0; flips--) bytes[random(bytes.length)] = random(256)
    try {
      decodePunch(bytes)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      refused += 1
    }
  }
  expect(refused).toBeGreaterThan(INPUTS / 2)
})
