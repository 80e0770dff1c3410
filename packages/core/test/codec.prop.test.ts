import { decode as cborgDecode, encode as cborgEncode, rfc8949EncodeOptions } from 'cborg'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'

import { concat, decode, encode } from '../src/index.ts'

const integer = fc.oneof(
  fc.maxSafeInteger().map((value) => (value === 0 ? 0 : value)),
  fc.integer({ min: -300, max: 300 }),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: -(2n ** 64n), max: -(2n ** 53n) }),
)
const codePoint = fc
  .oneof(fc.integer({ min: 0, max: 0x10ffff }), fc.constantFrom(0xffff, 0x10000, 0xe000, 0xd7ff))
  .filter((code) => code < 0xd800 || code > 0xdfff)
const unicode = fc.array(codePoint).map((codes) => String.fromCodePoint(...codes))
const text = fc.oneof(fc.string(), unicode, fc.string({ minLength: 40 }))
const leaf = fc.oneof(
  integer,
  text,
  fc.boolean(),
  fc.constant(null),
  fc.uint8Array().map((bytes) => Uint8Array.from(bytes)),
)
const float = fc
  .oneof(fc.double(), fc.float(), fc.constantFrom(1.5, 2 ** -24, 65504.5, 2 ** 60, NaN, Infinity))
  .filter((value) => !Object.is(value, -0))
const values = (atom: fc.Arbitrary<unknown>) =>
  fc.letrec<{ value: unknown; array: unknown[]; object: object }>((tie) => ({
    value: fc.oneof({ maxDepth: 5 }, atom, tie('array'), tie('object')),
    array: fc.array(fc.oneof(tie('value'), fc.constant(undefined)), { maxLength: 6 }),
    object: fc.dictionary(
      fc.oneof(text, fc.constantFrom('__proto__', 'constructor')),
      tie('value'),
      {
        maxKeys: 6,
        noNullPrototype: true,
      },
    ),
  })).value

test('decode∘encode is the identity', () => {
  fc.assert(
    fc.property(values(leaf), (value) => {
      expect(decode(encode(value))).toEqual(value)
    }),
  )
  fc.assert(
    fc.property(values(fc.oneof(leaf, float)), (value) => {
      expect(decode(encode(value, { floats: true }), { floats: true })).toEqual(value)
    }),
  )
})

test('encode gives the same bytes as cborg in its RFC 8949 mode, which reads them back', () => {
  const read = { allowBigInt: true, strict: true, rejectDuplicateMapKeys: true }
  fc.assert(
    fc.property(values(fc.oneof(leaf, float)), (value) => {
      fc.pre(!holdsProto(value))
      const bytes = encode(value, { floats: true })
      expect(bytes).toEqual(Uint8Array.from(cborgEncode(value, rfc8949EncodeOptions)))
      expect(cborgDecode(bytes, read)).toEqual(value)
    }),
  )
})

test('the order of keys does not change the bytes', () => {
  fc.assert(
    fc.property(fc.uniqueArray(text, { maxLength: 8 }), (keys) => {
      const entries = keys.map((key, i) => [key, i] as const)
      expect(encode(Object.fromEntries(entries))).toEqual(
        encode(Object.fromEntries(entries.toReversed())),
      )
    }),
  )
})

test('what decode takes has no other form: encode gives the same bytes back', () => {
  // Valid bytes with a few of them changed come closer to the edge than noise does.
  const mutated = fc
    .tuple(
      values(fc.oneof(leaf, float)),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
    )
    .map(([value, changes]) => {
      const bytes = encode(value, { floats: true })
      for (const [at, byte] of changes) bytes[at % bytes.byteLength] = byte
      return bytes
    })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 64 })), (bytes) => {
      const value = taken(bytes)
      if (value !== REFUSED) expect(encode(value, { floats: true })).toEqual(Uint8Array.from(bytes))
    }),
    { numRuns: 2000 },
  )
})

test('every prefix of a value is refused, and so is a value with a byte after it', () => {
  fc.assert(
    fc.property(values(leaf), fc.nat(255), (value, extra) => {
      const bytes = encode(value)
      for (let length = 0; length < Math.min(bytes.byteLength, 64); length++) {
        expect(taken(bytes.subarray(0, length))).toBe(REFUSED)
      }
      expect(taken(concat([bytes, Uint8Array.of(extra)]))).toBe(REFUSED)
    }),
  )
})

test('200,000 inputs of junk never do more than refuse', () => {
  let state = 0x9e3779b9
  const random = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
  // Refusals are errors, whose stack traces would take most of the time.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  onTestFinished(() => {
    Error.stackTraceLimit = stackTraceLimit
  })
  let accepted = 0
  for (let i = 0; i < 200_000; i++) {
    const bytes = new Uint8Array(random() % 48)
    for (let at = 0; at < bytes.byteLength; at++) {
      // Half of the bytes are heads that lead on: containers, lengths, floats.
      bytes[at] = random() % 2 === 0 ? random() : (0x60 + (random() % 0x60)) & 0xe7
    }
    if (taken(bytes) !== REFUSED) accepted++
  }
  expect(accepted).toBeGreaterThan(100)
}, 60_000)

const REFUSED = Symbol('refused')

function taken(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, { floats: true })
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return REFUSED
    throw error
  }
}

function holdsProto(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.hasOwn(value, '__proto__') || Object.values(value).some(holdsProto)
}
