import { fc, test } from '@fast-check/vitest'
import { expect, onTestFinished, test as fact } from 'vitest'

import { decodeDns, encodeDns, labelsOf, nameOf } from '../../src/find/dns-message.ts'
import { readMdnsResponse } from '../../src/find/mdns-message.ts'
import type { DnsData, DnsMessage, DnsRecord } from '../../src/find/dns-message.ts'

const LONG = process.env['STRONGHOLD_LONG'] === '1'
const INPUTS = LONG ? 5_000_000 : 200_000
const LIMITS = { maxBytes: 65_535, maxRecords: 256 }

const label = fc
  .array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 20 })
  .map((codes) => String.fromCharCode(...codes))
const name = fc.array(label, { maxLength: 5 }).map(nameOf)
const uint16 = fc.integer({ min: 0, max: 0xffff })
const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })
const data: fc.Arbitrary<DnsData> = fc.oneof(
  fc.record({ type: fc.constant('A' as const), address: bytes(4) }),
  fc.record({ type: fc.constant('AAAA' as const), address: bytes(16) }),
  fc.record({ type: fc.constant('PTR' as const), target: name }),
  fc.record({
    type: fc.constant('SRV' as const),
    priority: uint16,
    weight: uint16,
    port: uint16,
    target: name,
  }),
  fc.record({
    type: fc.constant('TXT' as const),
    strings: fc.array(fc.uint8Array({ maxLength: 255 }), { maxLength: 4 }),
  }),
)
const record: fc.Arbitrary<DnsRecord> = fc.record({
  name,
  ttl: fc.integer({ min: 0, max: 0xffffffff }),
  flush: fc.boolean(),
  data,
})
const message: fc.Arbitrary<DnsMessage> = fc.record({
  id: uint16,
  response: fc.boolean(),
  questions: fc.array(fc.record({ name, type: uint16, unicast: fc.boolean() }), { maxLength: 4 }),
  answers: fc.array(record, { maxLength: 4 }),
  additionals: fc.array(record, { maxLength: 4 }),
})

test.prop([message])('what is encoded is decoded', (value) => {
  expect(decodeDns(encodeDns(value), LIMITS)).toEqual(value)
})

test.prop([message])('every cut of a message is refused', (value) => {
  const whole = encodeDns(value)
  for (let length = 0; length < whole.byteLength; length += 1 + (length >> 3)) {
    expect(() => decodeDns(whole.subarray(0, length), LIMITS)).toThrow(SyntaxError)
  }
})

test.prop([fc.array(label, { minLength: 1, maxLength: 6 })])(
  'a name is its labels, whatever is in them, in lower case',
  (labels) => {
    const lowered = labels.map((one) => one.replace(/[A-Z]/g, (char) => char.toLowerCase()))
    expect(labelsOf(nameOf(labels))).toEqual(lowered)
  },
)

fact(
  `${INPUTS.toLocaleString('en')} malformed messages do no more than be refused`,
  { timeout: LONG ? 3_600_000 : 120_000 },
  () => {
    // A stack for each error would cost more than all the reading.
    const frames = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    onTestFinished(() => {
      Error.stackTraceLimit = frames
    })
    const samples = fc.sample(message, { numRuns: 500, seed: 20_261 }).map(encodeDns)
    let state = 1
    const next = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    let taken = 0
    for (let i = 0; i < INPUTS; i++) {
      const input = (samples[i % samples.length] ?? expect.fail()).slice()
      const changes = 1 + next(4)
      for (let change = 0; change < changes; change++) {
        const at = next(input.byteLength)
        // Lengths, counts and pointers are what hurts.
        input[at] = [0xc0, 0xff, 0x3f, 0x00, next(256)][next(5)] ?? 0
      }
      const cut = next(3) === 0 ? input.subarray(0, next(input.byteLength)) : input
      try {
        const got = decodeDns(cut, LIMITS)
        taken += 1
        readMdnsResponse(got, 16)
        const records = [...got.answers, ...got.additionals]
        if (records.length + got.questions.length > LIMITS.maxRecords) expect.fail('too many')
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
      }
    }
    expect(taken).toBeGreaterThan(0)
    expect(taken).toBeLessThan(INPUTS)
  },
)
