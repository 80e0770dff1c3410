import { fc, test } from '@fast-check/vitest'
import { concat, encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { expect, onTestFinished, test as fact } from 'vitest'

import {
  decodeRendezvous,
  encodeRendezvous,
  frameRendezvous,
} from '../../src/find/rendezvous-message.ts'
import type { RendezvousMessage } from '../../src/find/rendezvous-message.ts'

const LONG = process.env['STRONGHOLD_LONG'] === '1'
const INPUTS = LONG ? 5_000_000 : 200_000

const text = fc.string({ unit: fc.constantFrom('a', 'ü', '🦉', ' '), maxLength: 20 })
const bytes = fc.uint8Array({ maxLength: 60 })
const number = fc.maxSafeNat()
const registration = fc.record(
  { namespace: text, record: bytes, ttlSeconds: number },
  { requiredKeys: ['namespace', 'record'] },
)
const message: fc.Arbitrary<RendezvousMessage> = fc.oneof(
  registration.map((one) => ({ type: 'register' as const, ...one })),
  fc.record({ type: fc.constant('unregister' as const), namespace: text }),
  fc.record(
    { type: fc.constant('discover' as const), namespace: text, limit: number, cookie: bytes },
    { requiredKeys: ['type'] },
  ),
  fc.record(
    { type: fc.constant('registered' as const), status: number, text, ttlSeconds: number },
    { requiredKeys: ['type', 'status'] },
  ),
  fc.record(
    {
      type: fc.constant('discovered' as const),
      status: number,
      text,
      registrations: fc.array(registration, { maxLength: 4 }),
      cookie: bytes,
    },
    { requiredKeys: ['type', 'status', 'registrations'] },
  ),
)

test.prop([message])('what is encoded is decoded', (value) => {
  expect(decodeRendezvous(encodeRendezvous(value))).toEqual(value)
})

fact('messages are those of the specification, byte by byte', () => {
  const hex = (value: RendezvousMessage): string => toHex(frameRendezvous(value))
  const record = Uint8Array.of(0xaa)
  // type 0; register { ns "a", record, ttl 7200 }
  expect(hex({ type: 'register', namespace: 'a', record, ttlSeconds: 7200 })).toBe(
    '0d' + '0800' + '1209' + '0a0161' + '1201aa' + '18a038',
  )
  expect(hex({ type: 'registered', status: 0, ttlSeconds: 7200 })).toBe(
    '09' + '0801' + '1a05' + '0800' + '18a038',
  )
  expect(hex({ type: 'unregister', namespace: 'a' })).toBe('07' + '0802' + '2203' + '0a0161')
  expect(hex({ type: 'discover', namespace: 'a', limit: 3, cookie: record })).toBe(
    '0c' + '0803' + '2a08' + '0a0161' + '1003' + '1a01aa',
  )
  const registrations = [{ namespace: 'a', record, ttlSeconds: 1 }]
  expect(hex({ type: 'discovered', status: 0, registrations, cookie: record })).toBe(
    '13' + '0804' + '320f' + '0a08' + '0a0161' + '1201aa' + '1801' + '1201aa' + '1800',
  )
})

fact('what a point says for people is short and holds no control character', () => {
  const long = `\u001b[31m${'x'.repeat(500)}`
  const decoded = decodeRendezvous(
    encodeRendezvous({ type: 'registered', status: 400, text: long }),
  )
  expect(decoded).toMatchObject({ text: `?[31m${'x'.repeat(123)}` })
})

fact('unknown types, missing bodies and fields of another type are refused', () => {
  for (const bad of ['', '0805', '0800', '08001201', '0800120108', '12020a00', '08030a0161']) {
    const decode = (): RendezvousMessage => decodeRendezvous(fromHex(bad))
    if (bad === '12020a00') expect(decode()).toMatchObject({ type: 'register', namespace: '' })
    else expect(decode, bad).toThrow(SyntaxError)
  }
  const invalid = concat([fromHex('0802' + '2203' + '0a01'), Uint8Array.of(0xff)])
  expect(() => decodeRendezvous(invalid)).toThrow(SyntaxError)
  expect(encodeUtf8('a')).toEqual(Uint8Array.of(0x61))
})

fact(
  `${INPUTS.toLocaleString('en')} malformed messages do no more than be refused`,
  { timeout: LONG ? 3_600_000 : 120_000 },
  () => {
    const frames = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    onTestFinished(() => {
      Error.stackTraceLimit = frames
    })
    const samples = fc.sample(message, { numRuns: 500, seed: 20_262 }).map(encodeRendezvous)
    let state = 7
    const next = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    let taken = 0
    for (let i = 0; i < INPUTS; i++) {
      const input = (samples[i % samples.length] ?? expect.fail()).slice()
      for (let change = next(4); change >= 0; change--) {
        input[next(input.byteLength)] = [0x80, 0xff, 0x00, next(256)][next(4)] ?? 0
      }
      const cut = next(3) === 0 ? input.subarray(0, next(input.byteLength)) : input
      try {
        decodeRendezvous(cut)
        taken += 1
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
      }
    }
    expect(taken).toBeGreaterThan(0)
    expect(taken).toBeLessThan(INPUTS)
  },
)
