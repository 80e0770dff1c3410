import { concat } from '@stronghold/core'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { parseAddress, parsePeerId } from '../src/identity.ts'
import { decodePublicKey, encodeKey } from '../src/keys.ts'
import { bytesField, decodeFields, varintField } from '../src/protobuf.ts'
import { decodeVarint, encodeVarint } from '../src/varint.ts'

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength })

/** Whether the call gave a value; anything but the named errors fails the test. */
function gives(call: () => unknown, ...allowed: (new (message: string) => Error)[]): boolean {
  try {
    call()
    return true
  } catch (error) {
    expect(
      allowed.some((kind) => error instanceof kind),
      String(error),
    ).toBe(true)
    return false
  }
}

describe('varints', () => {
  it('come back as they were written, whatever follows', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), bytes(4), (value, rest) => {
        const encoded = encodeVarint(value)
        expect(decodeVarint(concat([encoded, rest]))).toEqual({
          value,
          byteLength: encoded.byteLength,
        })
        for (let i = 0; i < encoded.byteLength; i++) {
          expect(decodeVarint(encoded.subarray(0, i))).toBeUndefined()
        }
      }),
    )
  })

  it('have one form: what is read is written the same', () => {
    fc.assert(
      fc.property(bytes(12), (junk) => {
        gives(() => {
          const decoded = decodeVarint(junk)
          if (decoded === undefined) return
          expect(encodeVarint(decoded.value)).toEqual(junk.subarray(0, decoded.byteLength))
        }, RangeError)
      }),
      { numRuns: 5000 },
    )
  })

  it('refuse ten bytes and values above 2^53 − 1', () => {
    expect(() => decodeVarint(new Uint8Array(10).fill(0x80))).toThrow(RangeError)
    expect(() => decodeVarint(new Uint8Array(9).fill(0xff).with(8, 0x7f))).toThrow(RangeError)
    expect(() => encodeVarint(-1)).toThrow(RangeError)
    expect(() => encodeVarint(2 ** 53)).toThrow(RangeError)
  })
})

describe('protobuf fields', () => {
  it('come back in order, unknown ones too', () => {
    const field = fc.oneof(
      fc.record({ field: fc.integer({ min: 1, max: 2 ** 29 - 1 }), value: fc.maxSafeNat() }),
      fc.record({ field: fc.integer({ min: 1, max: 2 ** 29 - 1 }), value: bytes(300) }),
    )
    fc.assert(
      fc.property(fc.array(field, { maxLength: 8 }), (fields) => {
        const message = concat(
          fields.map(({ field, value }) =>
            typeof value === 'number' ? varintField(field, value) : bytesField(field, value),
          ),
        )
        expect(decodeFields(message)).toEqual(fields)
      }),
    )
  })

  it('junk is read or refused, never more', () => {
    fc.assert(
      fc.property(bytes(64), (junk) => gives(() => decodeFields(junk), SyntaxError) || true),
      { numRuns: 10_000 },
    )
  })
})

describe('public keys', () => {
  it('junk inside and outside the protobuf is refused with one kind of error', () => {
    const type = fc.constantFrom(
      'rsa' as const,
      'ed25519' as const,
      'secp256k1' as const,
      'ecdsa' as const,
    )
    fc.assert(
      fc.property(type, bytes(120), (type, data) => {
        gives(() => decodePublicKey(data), SyntaxError)
        gives(() => decodePublicKey(encodeKey(type, data)), SyntaxError)
      }),
      { numRuns: 5000 },
    )
  })
})

describe('text', () => {
  it('junk is no peer id and no address', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 140 }), (text) => {
        gives(() => parsePeerId(text), SyntaxError)
        gives(() => parseAddress(`/${text}`), SyntaxError)
      }),
      { numRuns: 2000 },
    )
  })
})
