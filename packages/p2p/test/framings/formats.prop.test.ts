import { concat, equalBytes } from '@stronghold/core'
import { heldBytes } from '@stronghold/testkit'
import { fc, test } from '@fast-check/vitest'
import { decode } from 'cborg'
import { describe, expect, test as plain } from 'vitest'
import { z } from 'zod'

import { Held } from '../../src/channel/held.ts'
import { isP2pError } from '../../src/errors.ts'
import { carriedMethod } from '../../src/framings/framing.ts'
import { FramedMessage } from '../../src/framings/message.ts'
import { original } from '../../src/framings/original.ts'
import { requestResponse } from '../../src/framings/request-response.ts'
import { bindMethods, defineProtocol, unary } from '../../src/protocol.ts'
import { encodeVarint } from '../../src/varint.ts'

const LIMITS = { maxMessageBytes: 4096, maxNesting: 8, maxMessageValues: 200 }
const WIDE = { maxMessageBytes: 2 ** 24, maxNesting: 1000, maxMessageValues: 2 ** 24 }
const anything = defineProtocol('/x/1', {
  value: unary({ request: z.unknown(), response: z.unknown() }),
})
const FRAMINGS = {
  original: original(),
  json: requestResponse('/x/json', 'json'),
  cbor: requestResponse('/x/cbor', 'cbor'),
}
const carriers = Object.fromEntries(
  Object.entries(FRAMINGS).map(([kind, framing]) => [
    kind,
    carriedMethod(framing, bindMethods(anything), 'Cannot test').request,
  ]),
) as Record<keyof typeof FRAMINGS, ReturnType<typeof carriedMethod>['request']>

const value = fc.jsonValue({ maxDepth: 4 })

test.prop([value])('a value comes back in every format', (given) => {
  // JSON has one zero.
  const expected: unknown = JSON.parse(JSON.stringify(given))
  for (const [kind, carrier] of Object.entries(carriers)) {
    const read = carrier.unpack(carrier.pack(kind === 'cbor' ? expected : given), WIDE)
    expect(read).toEqual({ ok: true, value: expected })
  }
})

test.prop([
  fc.uint8Array({ maxLength: 3000 }),
  fc.infiniteStream(fc.integer({ min: 1, max: 700 })),
  fc.boolean(),
])(
  'however the bytes are cut, the message is the same, and nothing stays reserved',
  (message, cuts, prefixed) => {
    const held = new Held(10_000)
    const gathered = new FramedMessage(prefixed, 3000, held)
    const rest = Uint8Array.of(1, 2, 3)
    const whole = prefixed ? concat([encodeVarint(message.byteLength), message, rest]) : message
    let got: Uint8Array | undefined
    for (let at = 0; at < whole.byteLength && got === undefined;) {
      const length = cuts.next().value as number
      got = gathered.push(whole.subarray(at, at + length))
      at += length
    }
    expect(equalBytes(got ?? gathered.end(), message)).toBe(true)
    expect(held.bytes).toBe(gathered.heldBytes)
    expect(held.bytes).toBeLessThanOrEqual(Math.max(512, 2 * message.byteLength))
    gathered.release()
    gathered.release()
    expect(held.bytes).toBe(0)
  },
)

test.prop([
  fc.oneof(
    fc.string(),
    fc.json(),
    fc.string({ unit: fc.constantFrom('[', ']', '{', '}', '"', ',', ':', '\\', '1', ' ', 'a') }),
  ),
])('JSON that is within the limits is read as JSON.parse reads it, and nothing else is', (text) => {
  const message = new TextEncoder().encode(text.toWellFormed())
  let expected: unknown
  try {
    expected = { ok: true, value: JSON.parse(text.toWellFormed()) as unknown }
  } catch {
    expected = { ok: false, problem: expect.any(String) as unknown }
  }
  expect(carriers.json.unpack(message, WIDE)).toEqual(expected)
})

const LONG = process.env['STRONGHOLD_LONG'] === '1'
const COUNT = LONG ? 5_000_000 : 200_000
// The original's messages are JSON, too.
const KINDS: (keyof typeof FRAMINGS)[] = LONG ? ['original', 'json', 'cbor'] : ['original', 'cbor']

describe.each(KINDS)('%s', (kind) => {
  plain(
    `${COUNT} malformed messages: read within the limits or refused, nothing else`,
    { timeout: LONG ? 3_600_000 : 600_000 },
    () => {
      let seed = 12_345
      const random = (below: number): number => {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
        return (seed >>> 8) % below
      }
      const framing = FRAMINGS[kind]
      const carrier = carriers[kind]
      const valid = [
        'hi',
        { name: 'a', list: [1, 2.5, null, true, { deep: [[['x']]] }], text: '"\\\u{1f600}' },
        Array.from({ length: 40 }, (_, at) => at * 1000),
        -1,
      ].map((one) => carrier.pack(one))
      const structure =
        kind === 'cbor'
          ? [0x81, 0xa1, 0x9f, 0xbf, 0xff, 0x61, 0xfb, 0xc1]
          : [...Buffer.from('[]{}",:\\')]
      const junk = (): Uint8Array => {
        switch (random(4)) {
          case 0: // one that was valid, with some bytes changed, and cut
          case 1: {
            const bytes = (valid[random(valid.length)] as Uint8Array).slice()
            for (let at = random(4); at >= 0; at--) bytes[random(bytes.byteLength)] = random(256)
            return random(2) === 0 ? bytes : bytes.subarray(0, random(bytes.byteLength))
          }
          case 2: // nothing but structure
            return Uint8Array.from({ length: random(60) }, () => structure[random(8)] as number)
          default:
            return Uint8Array.from({ length: random(40) }, () => random(256))
        }
      }
      const prefix = (length: number): Uint8Array => {
        const choice = random(8)
        if (choice === 0) return Uint8Array.from({ length: random(12) }, () => random(256))
        if (choice === 1) return encodeVarint(random(2 ** 24) * random(2 ** 24))
        return encodeVarint(length)
      }
      // Two hundred thousand stack traces would be most of the work.
      const { stackTraceLimit } = Error
      Error.stackTraceLimit = 0
      const held = new Held(LIMITS.maxMessageBytes)
      const beforeBytes = heldBytes()
      let taken = 0
      let refused = 0
      for (let round = 0; round < COUNT; round++) {
        const body = junk()
        const bytes = framing.prefixed ? concat([prefix(body.byteLength), body]) : body
        const gathered = new FramedMessage(framing.prefixed, LIMITS.maxMessageBytes, held)
        try {
          const cut = random(bytes.byteLength + 1)
          const message =
            gathered.push(bytes.subarray(0, cut)) ??
            gathered.push(bytes.subarray(cut)) ??
            gathered.end()
          const read = carrier.unpack(message, LIMITS)
          if (read instanceof Promise) throw new Error('nobody asked for a promise')
          if (read.ok) taken += 1
          else if (typeof read.problem === 'string') refused += 1
        } catch (error) {
          if (!isP2pError(error)) throw error
          refused += 1
        }
        if (held.bytes > 512 + bytes.byteLength) throw new Error(`held ${held.bytes} bytes`)
        gathered.release()
      }
      Error.stackTraceLimit = stackTraceLimit
      expect(held.bytes).toBe(0)
      expect(taken + refused).toBe(COUNT)
      expect(refused).toBeGreaterThan(COUNT / 3)
      expect(taken).toBeGreaterThan(COUNT / 200)
      expect(heldBytes() - beforeBytes).toBeLessThan(20 * 1024 * 1024)
    },
  )
})

test.prop([fc.uint8Array({ maxLength: 60 })])(
  'CBOR that we read, cborg reads the same',
  (message) => {
    const read = carriers.cbor.unpack(message, WIDE)
    if (read instanceof Promise || !read.ok) return
    expect(read.value).toEqual(decode(message))
  },
)
