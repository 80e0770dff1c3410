import { fc, test } from '@fast-check/vitest'
import { heldBytes } from '@stronghold/testkit'
import { concat } from '@stronghold/core'
import { expect, onTestFinished, test as fact } from 'vitest'

import {
  decodeIdentify,
  encodeIdentify,
  frameIdentify,
  unframeIdentify,
} from '../../src/connection/identify-message.ts'
import { bytesField, varintField } from '../../src/protobuf.ts'
import type { IdentifyMessage } from '../../src/connection/identify-message.ts'

const MIB = 1024 * 1024
const INPUTS = process.env['STRONGHOLD_LONG'] === '1' ? 5_000_000 : 200_000

const bytes = fc.uint8Array({ minLength: 1, maxLength: 60 })
const version = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 128 })
const message: fc.Arbitrary<IdentifyMessage> = fc.record(
  {
    publicKey: bytes,
    listenAddresses: fc.array(bytes, { maxLength: 8 }),
    protocols: fc.uniqueArray(fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }), {
      maxLength: 8,
    }),
    observedAddress: bytes,
    protocolVersion: version,
    agentVersion: version,
    signedPeerRecord: bytes,
  },
  { requiredKeys: ['listenAddresses', 'protocols'] },
)

test.prop([message])('what is encoded is decoded', (value) => {
  expect(decodeIdentify(encodeIdentify(value, MIB))).toEqual(value)
})

test.prop([message, fc.nat(700)])(
  'a message never grows past its limit, and is cut between fields',
  (value, max) => {
    const cut = encodeIdentify(value, max)
    expect(cut.byteLength).toBeLessThanOrEqual(max)
    const got = decodeIdentify(cut)
    // In order, with nothing that was not there.
    const rest = [...value.protocols]
    for (const protocol of got.protocols) {
      const at = rest.indexOf(protocol)
      expect(at).toBeGreaterThanOrEqual(0)
      rest.splice(0, at + 1)
    }
  },
)

test.prop([fc.array(message, { minLength: 1, maxLength: 4 })])(
  'messages that come in several are one, the last word counting',
  (values) => {
    const framed = values.map((value) => frameIdentify(encodeIdentify(value, MIB)))
    const merged = decodeIdentify(unframeIdentify(concat(framed)) ?? expect.fail())
    expect(merged.listenAddresses).toEqual(values.flatMap((value) => value.listenAddresses))
    expect(new Set(merged.protocols)).toEqual(new Set(values.flatMap((value) => value.protocols)))
    expect(merged.agentVersion).toBe(
      values.findLast((value) => value.agentVersion !== undefined)?.agentVersion,
    )
  },
)

test.prop([message, message, fc.nat(400)])(
  'a message that is cut off is left out',
  (one, two, cut) => {
    const first = frameIdentify(encodeIdentify(one, MIB))
    const second = frameIdentify(encodeIdentify(two, MIB))
    fc.pre(cut < second.byteLength)
    const got = unframeIdentify(concat([first, second.subarray(0, cut)]))
    expect(got).toEqual(encodeIdentify(one, MIB))
    expect(unframeIdentify(second.subarray(0, cut))).toBeUndefined()
  },
)

fact('versions are printable and short', () => {
  const got = decodeIdentify(
    bytesField(6, new TextEncoder().encode(`a\n\u001b[31mb${'c'.repeat(500)}`)),
  )
  expect(got.agentVersion).toBe(`a??[31mb${'c'.repeat(500)}`.slice(0, 128))
})

fact('unknown fields are skipped, known ones of another type are refused', () => {
  expect(decodeIdentify(concat([varintField(99, 1), bytesField(7, Uint8Array.of(1))]))).toEqual({
    listenAddresses: [],
    protocols: [],
  })
  expect(() => decodeIdentify(varintField(1, 1))).toThrow(SyntaxError)
  expect(() => decodeIdentify(bytesField(3, Uint8Array.of(0xff)))).toThrow(SyntaxError)
})

fact('no more than ten messages of one stream are taken', () => {
  const one = frameIdentify(bytesField(3, Uint8Array.of(0x61)))
  const all = unframeIdentify(concat(Array.from({ length: 11 }, () => one)))
  expect(all?.byteLength).toBe(10 * (one.byteLength - 1))
})

fact(
  `${INPUTS.toString()} malformed messages neither crash nor stay in memory`,
  { timeout: INPUTS },
  () => {
    let state = 0x1d
    const random = (below: number): number => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return (state >>> 0) % below
    }
    const text = (value: string): Uint8Array => new TextEncoder().encode(value)
    const sample = frameIdentify(
      concat([
        bytesField(1, new Uint8Array(36).fill(7)),
        bytesField(5, text('ipfs/0.1.0')),
        bytesField(6, text('name/1.0.0')),
        bytesField(2, Uint8Array.of(4, 127, 0, 0, 1, 6, 0, 80)),
        bytesField(3, text('/ipfs/id/1.0.0')),
        bytesField(8, new Uint8Array(20).fill(9)),
      ]),
    )
    const kept: unknown[] = []
    const seen = { read: 0, refused: 0, cut: 0 }
    const before = heldBytes()
    // Most of the time would go into stack traces that nobody reads.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    onTestFinished(() => {
      Error.stackTraceLimit = stackTraceLimit
    })
    for (let count = 0; count < INPUTS; count++) {
      const input = sample.slice(0, sample.byteLength - (random(3) === 0 ? random(40) : 0))
      for (let changes = random(4); changes > 0; changes--)
        input[random(input.byteLength)] = random(256)
      const whole = unframeIdentify(input)
      if (whole === undefined) {
        seen.cut += 1
        continue
      }
      try {
        kept[count % 1000] = decodeIdentify(whole)
        seen.read += 1
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
        seen.refused += 1
      }
    }
    expect(heldBytes() - before).toBeLessThan(20 * MIB)
    expect(kept.length).toBeGreaterThan(0)
    for (const times of Object.values(seen)) expect(times).toBeGreaterThan(INPUTS / 100)
  },
)
