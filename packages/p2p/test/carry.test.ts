import { bytes } from '@stronghold/core'
import type { Schema } from '@stronghold/core'
import { expect, test } from 'vitest'

import { carrierOf } from '../src/carry.ts'

const LIMITS = { maxMessageBytes: 64, maxNesting: 3, maxMessageValues: 8 }

/** Takes everything. */
const anything: Schema = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) },
}
const carrier = carrierOf(anything)

function carried(value: unknown): unknown {
  return carrier.unpack(carrier.pack(value), LIMITS)
}

test.each([undefined, null, 1, 1.5, 'a', [1], { a: 1 }, Uint8Array.of(1)])(
  '%j comes back',
  (value) => {
    expect(carried(value)).toEqual({ ok: true, value })
  },
)

test('bytes travel as they are', () => {
  const value = Uint8Array.of(1, 2)
  const raw = carrierOf(bytes)
  expect(raw.pack(value)).toBe(value)
  expect(raw.unpack(value, LIMITS)).toEqual({ ok: true, value })
  expect(() => raw.pack('text')).toThrow(TypeError)
})

test('maxNesting levels are taken, and no more', () => {
  expect(carried([[[]]])).toMatchObject({ ok: true })
  expect(carried([[[[]]]])).toMatchObject({
    ok: false,
    problem: expect.stringContaining('too deep'),
  })
})

test('maxMessageValues are taken, keys included, and no more', () => {
  expect(carried([1, 2, 3, 4, 5, 6, 7])).toMatchObject({ ok: true })
  expect(carried([1, 2, 3, 4, 5, 6, 7, 8])).toMatchObject({ ok: false })
  expect(carried({ a: 1, b: 2, c: 3, d: 4 })).toMatchObject({
    ok: false,
    problem: expect.stringContaining('too many values'),
  })
})

test('maxMessageBytes are taken, and no more', () => {
  expect(carried('x'.repeat(62))).toMatchObject({ ok: true })
  expect(carried('x'.repeat(63))).toMatchObject({ ok: false })
})

test('what is no CBOR is a problem, not an error', () => {
  expect(carrier.unpack(Uint8Array.of(0xff), LIMITS)).toMatchObject({ ok: false })
})

test("how deep is too deep is the receiver's to say, but a cycle ends", () => {
  let deep: unknown = 1
  for (let i = 0; i < 100; i++) deep = [deep]
  expect(carrier.pack(deep)).toHaveLength(101)
  const cycle: unknown[] = []
  cycle.push(cycle)
  expect(() => carrier.pack(cycle)).toThrow(RangeError)
})
