/** AutoNAT v2's messages: what is written is read, and nothing else does more than be refused. */
import { fc, test } from '@fast-check/vitest'
import { expect, test as fact } from 'vitest'

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
import { INPUTS, refusalsOf } from './malformed.ts'

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
    for (const [parse, seeds] of parsers) {
      expect(refusalsOf(parse, seeds)).toBeGreaterThan(INPUTS / 3)
    }
  },
)
