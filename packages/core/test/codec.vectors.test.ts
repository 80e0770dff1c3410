import { expect, test } from 'vitest'

import { decode, encode, fromHex, toHex } from '../src/index.ts'

/** RFC 8949, appendix A: what is deterministic and in our subset. */
const TAKEN: readonly [hex: string, value: unknown][] = [
  ['00', 0],
  ['01', 1],
  ['0a', 10],
  ['17', 23],
  ['1818', 24],
  ['1819', 25],
  ['1864', 100],
  ['1903e8', 1000],
  ['1a000f4240', 1000000],
  ['1b000000e8d4a51000', 1000000000000],
  ['1bffffffffffffffff', 18446744073709551615n],
  ['3bffffffffffffffff', -18446744073709551616n],
  ['20', -1],
  ['29', -10],
  ['3863', -100],
  ['3903e7', -1000],
  ['f4', false],
  ['f5', true],
  ['f6', null],
  ['f7', undefined],
  ['40', new Uint8Array(0)],
  ['4401020304', Uint8Array.of(1, 2, 3, 4)],
  ['60', ''],
  ['6161', 'a'],
  ['6449455446', 'IETF'],
  ['62225c', '"\\'],
  ['62c3bc', '\u00fc'],
  ['63e6b0b4', '\u6c34'],
  ['64f0908591', '\ud800\udd51'],
  ['80', []],
  ['83010203', [1, 2, 3]],
  ['8301820203820405', [1, [2, 3], [4, 5]]],
  [
    '98190102030405060708090a0b0c0d0e0f101112131415161718181819',
    Array.from({ length: 25 }, (_, i) => i + 1),
  ],
  ['a0', {}],
  ['a26161016162820203', { a: 1, b: [2, 3] }],
  ['826161a161626163', ['a', { b: 'c' }]],
  ['a56161614161626142616361436164614461656145', { a: 'A', b: 'B', c: 'C', d: 'D', e: 'E' }],
]

/** Those that need `floats`. */
const FLOATS: readonly [hex: string, value: number][] = [
  ['fb3ff199999999999a', 1.1],
  ['f93e00', 1.5],
  ['fa7f7fffff', 3.4028234663852886e38],
  ['fb7e37e43c8800759c', 1.0e300],
  ['f90001', 5.960464477539063e-8],
  ['f90400', 0.00006103515625],
  ['fbc010666666666666', -4.1],
  ['f97c00', Infinity],
  ['f97e00', NaN],
  ['f9fc00', -Infinity],
]

/** Well-formed, but not the one form of their value, or outside of our subset. */
const REFUSED: readonly string[] = [
  'c249010000000000000000', // tags: bignums, dates, regular expressions …
  'c349010000000000000000',
  'c074323031332d30332d32315432303a30343a30305a',
  'c11a514b67b0',
  'c1fb41d452d9e200000000',
  'd74401020304',
  'd818456449455446',
  'd82076687474703a2f2f7777772e6578616d706c652e636f6d',
  'f90000', // floats that are integers, or longer than needed
  'f98000',
  'f93c00',
  'f97bff',
  'fa47c35000',
  'f9c400',
  'fa7f800000',
  'fa7fc00000',
  'faff800000',
  'fb7ff0000000000000',
  'fb7ff8000000000000',
  'fbfff0000000000000',
  'f0', // simple values
  'f8ff',
  'a201020304', // keys that are numbers
  '5f42010243030405ff', // indefinite lengths
  '7f657374726561646d696e67ff',
  '9fff',
  '9f018202039f0405ffff',
  '9f01820203820405ff',
  '83018202039f0405ff',
  '83019f0203ff820405',
  '9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff',
  'bf61610161629f0203ffff',
  '826161bf61626163ff',
  'bf6346756ef563416d7421ff',
]

test.each(TAKEN)('RFC 8949 appendix A: %s', (hex, value) => {
  expect(decode(fromHex(hex))).toEqual(value)
  expect(toHex(encode(value))).toBe(hex)
})

test.each(FLOATS)('RFC 8949 appendix A, floats: %s', (hex, value) => {
  expect(decode(fromHex(hex), { floats: true })).toBe(value)
  expect(toHex(encode(value, { floats: true }))).toBe(hex)
  expect(() => decode(fromHex(hex))).toThrow(SyntaxError)
  expect(() => encode(value)).toThrow(TypeError)
})

test.each(REFUSED)('RFC 8949 appendix A, refused: %s', (hex) => {
  expect(() => decode(fromHex(hex), { floats: true })).toThrow(SyntaxError)
})
