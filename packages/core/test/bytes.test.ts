import fc from 'fast-check'
import { expect, test } from 'vitest'

import {
  assertBytes,
  compareBytes,
  concat,
  decodeUtf8,
  encodeUtf8,
  equalBytes,
  fromHex,
  toHex,
  wipe,
} from '../src/index.ts'

const bytes = fc.uint8Array({ maxLength: 24 }).map((value) => Uint8Array.from(value))

const unicode = fc
  .array(fc.integer({ min: 0, max: 0x10ffff }).filter((code) => code < 0xd800 || code > 0xdfff))
  .map((codes) => String.fromCodePoint(...codes))

test('equalBytes() and compareBytes() agree with the hex of both', () => {
  const pair = fc.oneof(
    fc.tuple(bytes, bytes),
    bytes.map((value) => [value, Uint8Array.from(value)] as const),
    fc.tuple(bytes, bytes).map(([head, tail]) => [head, concat([head, tail])] as const),
  )
  fc.assert(
    fc.property(pair, ([a, b]) => {
      const [x, y] = [toHex(a), toHex(b)]
      expect(equalBytes(a, b)).toBe(x === y)
      expect(Math.sign(compareBytes(a, b))).toBe(x < y ? -1 : x > y ? 1 : 0)
    }),
  )
})

test('hex comes back, in either case', () => {
  fc.assert(
    fc.property(bytes, (value) => {
      expect(toHex(value)).toBe(Buffer.from(value).toString('hex'))
      expect(fromHex(toHex(value))).toEqual(value)
      expect(fromHex(toHex(value).toUpperCase())).toEqual(value)
    }),
  )
})

test.each(['0', 'abc', '0g', 'g0', ' 00', '0x00', '/0', ':0', '@0', '`0', '\u{ff10}0', '--'])(
  'fromHex() refuses %j',
  (text) => {
    expect(() => fromHex(text)).toThrow(SyntaxError)
  },
)

test('wipe() leaves zeros', () => {
  const [a, b] = [Uint8Array.of(1, 2), Uint8Array.of(3)]
  wipe(a, b)
  expect([...a, ...b]).toEqual([0, 0, 0])
})

test('assertBytes() tells shape from length', () => {
  expect(() => assertBytes(new Uint8Array(2), 'key', 2)).not.toThrow()
  expect(() => assertBytes(new Uint8Array(2), 'key')).not.toThrow()
  expect(() => assertBytes([1, 2], 'key', 2)).toThrow(
    new TypeError('Cannot take key: not a Uint8Array'),
  )
  expect(() => assertBytes(new Uint8Array(2), 'key', 3)).toThrow(
    new RangeError('Cannot take key: 2 bytes where 3 are expected'),
  )
})

test('text comes back from UTF-8, byte order mark included', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), unicode), (text) => {
      expect(decodeUtf8(encodeUtf8(text))).toBe(text)
    }),
  )
  expect(decodeUtf8(Uint8Array.of(0xef, 0xbb, 0xbf))).toBe('\ufeff')
})

test('text that has no UTF-8 form and bytes that are none are refused', () => {
  expect(() => encodeUtf8('\ud800')).toThrow(TypeError)
  expect(() => decodeUtf8(Uint8Array.of(0xc0, 0x80))).toThrow(SyntaxError)
  expect(() => decodeUtf8(Uint8Array.of(0xed, 0xa0, 0x80))).toThrow(SyntaxError)
})
