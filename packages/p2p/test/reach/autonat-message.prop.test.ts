/** AutoNAT v2's messages: what is written is read, and nothing else does more than be refused. */
import { fc, test } from '@fast-check/vitest'
import { expect, onTestFinished, test as fact } from 'vitest'

import { bytesField, varintField } from '../../src/protobuf.ts'
import {
  CHECK_STATUS,
  decodeCheck,
  decodeDialBack,
  decodeDialBackAnswer,
  DIAL_STATUS,
  encodeCheck,
  encodeDialBack,
  encodeDialBackAnswer,
} from '../../src/reach/autonat-message.ts'
import type { CheckMessage } from '../../src/reach/autonat-message.ts'

const INPUTS = process.env['STRONGHOLD_LONG'] === '1' ? 5_000_000 : 200_000

const nonce = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const number = fc.nat()
const message: fc.Arbitrary<CheckMessage> = fc.oneof(
  fc.record({
    type: fc.constant('request' as const),
    addresses: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }),
    nonce,
  }),
  fc.record({
    type: fc.constant('response' as const),
    status: number,
    index: number,
    dial: number,
  }),
  fc.record({ type: fc.constant('dataRequest' as const), index: number, byteLength: number }),
  fc.record({ type: fc.constant('data' as const), byteLength: fc.nat(5000) }),
)

test.prop([message, nonce])('what is encoded is decoded', (one, number64) => {
  expect(decodeCheck(encodeCheck(one))).toEqual(one)
  expect(decodeDialBack(encodeDialBack(number64))).toBe(number64)
})

fact('the bytes are those of the specification', () => {
  const request = encodeCheck({ type: 'request', addresses: [Uint8Array.of(4, 9)], nonce: 1n })
  expect(request).toEqual(Uint8Array.of(0x0a, 13, 0x0a, 2, 4, 9, 0x11, 1, 0, 0, 0, 0, 0, 0, 0))
  const { ok: status } = CHECK_STATUS
  expect(encodeCheck({ type: 'response', status, index: 0, dial: DIAL_STATUS.dialError })).toEqual(
    Uint8Array.of(0x12, 5, 0x08, 200, 1, 0x18, 100),
  )
  expect(encodeCheck({ type: 'dataRequest', index: 1, byteLength: 300 })).toEqual(
    Uint8Array.of(0x1a, 5, 0x08, 1, 0x10, 0xac, 2),
  )
  expect(encodeCheck({ type: 'data', byteLength: 2 })).toEqual(
    Uint8Array.of(0x22, 4, 0x0a, 2, 0, 0),
  )
  expect(encodeDialBack(2n)).toEqual(Uint8Array.of(0x09, 2, 0, 0, 0, 0, 0, 0, 0))
  expect(encodeDialBackAnswer()).toEqual(new Uint8Array(0))
})

fact('only status zero says that the proof arrived', () => {
  expect(decodeDialBackAnswer(encodeDialBackAnswer())).toBe(true)
  expect(decodeDialBackAnswer(varintField(1, 0))).toBe(true)
  expect(decodeDialBackAnswer(varintField(1, 1))).toBe(false)
})

fact.each<[string, Uint8Array]>([
  ['nothing', new Uint8Array(0)],
  ['an unknown choice', bytesField(5, new Uint8Array(0))],
  ['a number in the place of a message', varintField(1, 1)],
  ['a nonce of other than eight bytes', bytesField(1, varintField(2, 7))],
  ['an address that is a number', bytesField(1, varintField(1, 7))],
  ['a status beyond all numbers', bytesField(2, varintField(1, 2n ** 64n - 1n))],
])('%s is refused', (_, bytes) => {
  expect(() => decodeCheck(bytes)).toThrow(SyntaxError)
})

fact(
  `${INPUTS.toLocaleString('en')} malformed messages to each parser do no more than be refused`,
  () => {
    const parsers: [(bytes: Uint8Array) => unknown, Uint8Array[]][] = [
      [
        decodeCheck,
        [
          encodeCheck({
            type: 'request',
            addresses: [Uint8Array.of(4, 9, 9, 9, 9, 6, 1, 2)],
            nonce: 0x1234_5678_9abcn,
          }),
          encodeCheck({ type: 'response', status: 200, index: 1, dial: 100 }),
          encodeCheck({ type: 'dataRequest', index: 1, byteLength: 50_000 }),
          encodeCheck({ type: 'data', byteLength: 20 }),
        ],
      ],
      [decodeDialBack, [encodeDialBack(0x1234_5678_9abcn)]],
      [decodeDialBackAnswer, [varintField(1, 300)]],
    ]
    let state = 42
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    // Errors are cheap to make but for their stacks.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    onTestFinished(() => {
      Error.stackTraceLimit = stackTraceLimit
    })
    for (const [parse, seeds] of parsers) {
      let refused = 0
      for (let i = 0; i < INPUTS; i++) {
        const seed = seeds[random(seeds.length)] as Uint8Array
        const bytes = seed.slice(0, 1 + random(seed.byteLength))
        for (let flips = random(4); flips >= 0; flips--) bytes[random(bytes.length)] = random(256)
        try {
          parse(bytes)
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error
          refused += 1
        }
      }
      expect(refused).toBeGreaterThan(INPUTS / 3)
    }
  },
)
