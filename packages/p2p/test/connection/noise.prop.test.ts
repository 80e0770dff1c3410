import { concat } from '@stronghold/core'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'

import { NoiseFrames } from '../../src/connection/noise-frames.ts'
import { decodePayload, encodePayload } from '../../src/connection/noise-payload.ts'
import { createNoise } from '../../src/connection/noise.ts'
import { openIdentity } from '../../src/open-identity.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Security } from '../../src/connection/security.ts'

import { Told, secure } from './secured.ts'

/** The readable reference: cuts a whole stream at once. */
function reference(stream: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = []
  for (let at = 0; at + 2 <= stream.byteLength;) {
    const length = (stream[at] as number) * 256 + (stream[at + 1] as number)
    if (at + 2 + length > stream.byteLength) break
    messages.push(stream.slice(at + 2, at + 2 + length))
    at += 2 + length
  }
  return messages
}

describe('NoiseFrames', () => {
  it('cuts as the reference does, however the stream comes in pieces', () => {
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.uint8Array({ maxLength: 3000, size: 'max' }),
    )
    const cuts = fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 1, maxLength: 10 })
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 6 }),
        cuts,
        fc.nat({ max: 5 }),
        (messages, cuts, short) => {
          const whole = concat(
            messages.flatMap((bytes) => [
              Uint8Array.of(bytes.byteLength >> 8, bytes.byteLength & 255),
              bytes,
            ]),
          )
          const stream = whole.subarray(0, Math.max(0, whole.byteLength - short))
          const frames = new NoiseFrames()
          const got: Uint8Array[] = []
          for (let at = 0, i = 0; at < stream.byteLength; i++) {
            const step = cuts[i % cuts.length] as number
            frames.push(stream.subarray(at, at + step))
            at += step
            for (let frame = frames.next(); frame !== undefined; frame = frames.next()) {
              got.push(Uint8Array.from(frame))
            }
          }
          const expected = reference(stream)
          expect(got).toEqual(expected)
          const used = expected.reduce((sum, bytes) => sum + 2 + bytes.byteLength, 0)
          expect(frames.cut).toBe(used < stream.byteLength)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('payloads', () => {
  const payload = fc.record({
    publicKey: fc.uint8Array({ maxLength: 60 }),
    signature: fc.uint8Array({ maxLength: 80 }),
    muxers: fc.array(fc.string({ maxLength: 20, unit: 'grapheme' }), { maxLength: 32 }),
  })

  it('come back as they were written, unknown fields and certificate hashes or not', () => {
    const unknown = Uint8Array.of(0x18, 5, 0x7a, 1, 9, 0x22, 3, 0x0a, 1, 7)
    fc.assert(
      fc.property(payload, (payload) => {
        expect(decodePayload(encodePayload(payload))).toEqual(payload)
        expect(decodePayload(concat([unknown, encodePayload(payload), unknown]))).toEqual(payload)
      }),
    )
  })

  it('junk is read or refused with one kind of error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (junk) => {
        try {
          decodePayload(junk)
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError)
        }
      }),
      { numRuns: 10_000 },
    )
  })
})

describe('a Noise channel', () => {
  let alices: Security
  let bobs: Security
  beforeAll(async () => {
    alices = createNoise({ identity: await openIdentity({ generate: 'ed25519' }) })
    bobs = createNoise({ identity: await openIdentity({ generate: 'ed25519' }) })
  })

  const pieces =
    (size: number) =>
    (chunk: Uint8Array): Uint8Array[] => {
      const all: Uint8Array[] = []
      for (let at = 0; at < chunk.byteLength; at += size) all.push(chunk.subarray(at, at + size))
      return all
    }

  it('carries every byte when each arrives alone, handshake included', async () => {
    const [a, b] = await secure(alices, bobs, {}, pipePair({ fragment: pieces(1) }))
    const told = new Told(b.pipe)
    const data = Uint8Array.from({ length: 3000 }, (_, i) => i)
    a.pipe.write([data])
    expect(await told.received(3000)).toEqual(data)
  })

  it('carries what is written, however it is written and however it arrives', async () => {
    const writes = fc.array(fc.integer({ min: 0, max: 70_000 }), { maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(
        writes,
        fc.integer({ min: 50, max: 70_000 }),
        fc.boolean(),
        async (sizes, size, turn) => {
          const [a, b] = await secure(alices, bobs, {}, pipePair({ fragment: pieces(size) }))
          const told = new Told(b.pipe)
          const chunks = sizes.map((length, i) => new Uint8Array(length).fill(i))
          for (const chunk of chunks) {
            a.pipe.write([chunk])
            if (turn) await Promise.resolve()
          }
          a.pipe.end()
          await told.ended
          expect(Buffer.compare(told.bytes, concat(chunks))).toBe(0)
        },
      ),
      { numRuns: 40 },
    )
  })
})
