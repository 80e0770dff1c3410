import { describe, expect, test } from 'vitest'

import { decode, encode, fromHex, toHex } from '../src/index.ts'

describe('encode()', () => {
  test('sorts keys by their encoded bytes: shorter first, then by code point', () => {
    const value = { aa: 1, b: 2, é: 3, '\u{ffff}': 4, '\u{10000}': 5, a: 6, '': 7 }
    expect(Object.keys(decode(encode(value)) as object)).toEqual([
      '',
      'a',
      'b',
      'aa',
      'é',
      '\u{ffff}',
      '\u{10000}',
    ])
  })

  test('leaves undefined properties out and keeps undefined items', () => {
    expect(toHex(encode({ a: undefined, b: 1 }))).toBe('a1616201')
    expect(toHex(encode([undefined]))).toBe('81f7')
  })

  test('writes -0 as 0 and a bigint as the number it equals', () => {
    expect(toHex(encode(-0))).toBe('00')
    expect(toHex(encode(-0, { floats: true }))).toBe('00')
    expect(encode(5n)).toEqual(encode(5))
    expect(encode(-(2n ** 53n - 1n))).toEqual(encode(Number.MIN_SAFE_INTEGER))
    expect(encode(2n ** 32n)).toEqual(encode(2 ** 32))
  })

  test('takes integers of 64 bits and none beyond', () => {
    expect(toHex(encode(2n ** 64n - 1n))).toBe('1bffffffffffffffff')
    expect(toHex(encode(-(2n ** 64n)))).toBe('3bffffffffffffffff')
    expect(() => encode(2n ** 64n)).toThrow(TypeError)
    expect(() => encode(-(2n ** 64n) - 1n)).toThrow(TypeError)
  })

  test.each([
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a float', 1.5],
    ['NaN', NaN],
    ['an unsafe integer', 2 ** 53],
    ['a Date', new Date(0)],
    ['a Map', new Map()],
    ['a class instance', new (class Thing {})()],
    ['another typed array', new Uint16Array(1)],
    ['an ArrayBuffer', new ArrayBuffer(1)],
    ['a lone surrogate', '\ud800'],
    ['a lone surrogate as a key', { '\udc00': 1 }],
    ['something deep inside', { a: [{ b: new Set() }] }],
  ])('refuses %s', (_, value) => {
    expect(() => encode(value)).toThrow(TypeError)
  })

  test('refuses what changes while it is written', () => {
    let calls = 0
    const value = {
      get a() {
        return 'x'.repeat(calls++)
      },
    }
    expect(() => encode(value)).toThrow(new TypeError('Cannot encode value: it changed meanwhile'))
  })

  test('takes maxDepth levels and no more, so a cycle ends', () => {
    expect(() => encode(nested(32))).not.toThrow()
    expect(() => encode(nested(33))).toThrow(RangeError)
    expect(() => encode(nested(1024), { maxDepth: 1024 })).not.toThrow()
    const cycle: unknown[] = []
    cycle.push(cycle)
    expect(() => encode(cycle)).toThrow(RangeError)
    expect(() => encode(1, { maxDepth: 1025 })).toThrow(RangeError)
  })

  test('takes maxBytes and no more', () => {
    expect(encode('abc', { maxBytes: 4 })).toHaveLength(4)
    expect(() => encode('abcd', { maxBytes: 4 })).toThrow(RangeError)
  })

  test('gives an array that ends where its buffer ends', () => {
    const bytes = encode({ a: 'x'.repeat(100) })
    expect(bytes.buffer.byteLength).toBe(bytes.byteLength)
  })

  test('takes objects without a prototype', () => {
    expect(encode(Object.assign(Object.create(null) as object, { a: 1 }))).toEqual(encode({ a: 1 }))
  })
})

describe('decode()', () => {
  test.each([
    ['nothing', ''],
    ['bytes after the value', '0000'],
    ['a number that needs fewer bytes', '1817'],
    ['a number of 16 bits that needs 8', '1900ff'],
    ['a number of 32 bits that needs 16', '1a0000ffff'],
    ['a number of 64 bits that needs 32', '1b00000000ffffffff'],
    ['a length that needs fewer bytes', '580161'],
    ['an indefinite byte string', '5f4101ff'],
    ['an indefinite text', '7f6161ff'],
    ['an indefinite array', '9fff'],
    ['an indefinite map', 'bfff'],
    ['a break alone', 'ff'],
    ['reserved additional information', '1c'],
    ['reserved additional information', 'fc'],
    ['a tag', 'c000'],
    ['a bignum', 'c249010000000000000000'],
    ['an unassigned simple value', 'e0'],
    ['a simple value in two bytes', 'f8ff'],
    ['false in two bytes', 'f814'],
    ['a float', 'f93e00'],
    ['a repeated key', 'a2616101616102'],
    ['keys out of order', 'a2616201616102'],
    ['a longer key before a shorter one', 'a262616101616202'],
    ['a key that is a number', 'a10000'],
    ['a key that is bytes', 'a1416100'],
    ['an undefined property', 'a16161f7'],
    ['text that is not UTF-8', '62c328'],
    ['an overlong form', '62c080'],
    ['a surrogate in UTF-8', '63eda080'],
    ['an array cut short', '8201'],
    ['a map cut short', 'a16161'],
    ['a head cut short', '19ff'],
    ['text cut short', '6261'],
  ])('refuses %s (%s)', (_, hex) => {
    expect(() => decode(fromHex(hex))).toThrow(SyntaxError)
  })

  test('names the offset', () => {
    expect(() => decode(fromHex('8200c000'))).toThrow('Cannot decode CBOR: a tag at byte 2')
    expect(() => decode(fromHex('0001'))).toThrow('bytes after the value at byte 1')
  })

  test.each(['5b7fffffffffffffff', '9b7fffffffffffffff', 'bb7fffffffffffffff', '9affffffff00'])(
    'never allocates what %s announces',
    (hex) => {
      expect(() => decode(fromHex(hex))).toThrow(/ends too early/)
    },
  )

  test.each([
    ['an integer', 'f93c00'],
    ['-0', 'f98000'],
    ['32 bits where 16 do', 'fa3fc00000'],
    ['64 bits where 32 do', 'fb400921fb60000000'],
    ['another NaN', 'f97e01'],
    ['a NaN of 32 bits', 'fa7fc00000'],
    ['an infinity of 64 bits', 'fb7ff0000000000000'],
    ['a float cut short', 'fb3ff8'],
  ])('refuses %s as a float, floats allowed or not', (_, hex) => {
    expect(() => decode(fromHex(hex), { floats: true })).toThrow(SyntaxError)
    expect(() => decode(fromHex(hex))).toThrow(SyntaxError)
  })

  test('takes integers beyond the safe ones as bigints', () => {
    expect(decode(fromHex('1b001fffffffffffff'))).toBe(Number.MAX_SAFE_INTEGER)
    expect(decode(fromHex('1b0020000000000000'))).toBe(2n ** 53n)
    expect(decode(fromHex('3b001ffffffffffffe'))).toBe(Number.MIN_SAFE_INTEGER)
    expect(decode(fromHex('3b001fffffffffffff'))).toBe(-(2n ** 53n))
  })

  test('a key __proto__ is a property like any other', () => {
    const bytes = fromHex('a1695f5f70726f746f5f5fa1616101')
    const value = decode(bytes) as Record<string, unknown>
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect(Object.hasOwn(value, '__proto__')).toBe(true)
    expect('a' in value).toBe(false)
    expect(({} as Record<string, unknown>)['a']).toBeUndefined()
    expect(encode(value)).toEqual(bytes)
  })

  test('byte strings are copies, also out of a Buffer', () => {
    const input = Buffer.from('4401020304', 'hex')
    const value = decode(input) as Uint8Array
    input.fill(0)
    expect(value).toEqual(Uint8Array.of(1, 2, 3, 4))
    expect(value.constructor).toBe(Uint8Array)
    expect(value.buffer.byteLength).toBe(4)
  })

  test('takes maxDepth levels and no more', () => {
    expect(decode(encode(nested(32)))).toEqual(nested(32))
    const deep = new Uint8Array(33).fill(0x81)
    deep[32] = 0x80
    expect(() => decode(deep)).toThrow(new RangeError('Cannot decode CBOR: nested too deep'))
    const bomb = new Uint8Array(1_000_000).fill(0x81)
    expect(() => decode(bomb, { maxDepth: 1024 })).toThrow(RangeError)
    expect(() => decode(bomb, { maxDepth: Infinity })).toThrow(RangeError)
    expect(decode(fromHex('00'), { maxDepth: 0 })).toBe(0)
  })

  test('takes maxBytes and no more', () => {
    expect(decode(encode('abc'), { maxBytes: 4 })).toBe('abc')
    expect(() => decode(encode('abcd'), { maxBytes: 4 })).toThrow(RangeError)
    expect(() => decode(new Uint8Array(4 * 1024 * 1024 + 1))).toThrow(/bytes where/)
  })

  test('takes maxItems values, keys included, and no more', () => {
    expect(decode(encode([1, 2]), { maxItems: 3 })).toEqual([1, 2])
    expect(() => decode(encode([1, 2, 3]), { maxItems: 3 })).toThrow(RangeError)
    expect(() => decode(encode({ a: 1 }), { maxItems: 2 })).toThrow(RangeError)
    const objects = new Uint8Array(400_005).fill(0xa0)
    objects.set(fromHex('9a00061a80'))
    expect(() => decode(objects)).toThrow(new RangeError('Cannot decode CBOR: too many values'))
  })
})

function nested(depth: number): unknown {
  let value: unknown = []
  for (let i = 1; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}
