import { fc, test } from '@fast-check/vitest'
import { fromHex, toHex } from '@stronghold/core'
import { createSign, createVerify } from 'node:crypto'
import { describe, expect, test as fact } from 'vitest'

import { derElement, DerReader, INTEGER, OCTET_STRING, SEQUENCE } from '../../src/formats/der.ts'
import {
  ecdsaFromDer,
  ecdsaToDer,
  signedInteger,
  unsignedInteger,
} from '../../src/formats/ecdsa-signature.ts'
import { testPair } from './_keys.ts'

const read = (hex: string): DerReader => new DerReader(fromHex(hex), 'thing')

describe('DerReader', () => {
  fact('reads an element as a view of what it was given', () => {
    const bytes = fromHex('0403aabbcc')
    const content = new DerReader(bytes, 'thing').next(OCTET_STRING)
    expect(toHex(content)).toBe('aabbcc')
    expect(content.buffer).toBe(bytes.buffer)
  })

  fact.each([
    ['', 'cut off at byte 0'],
    ['04', 'cut off at byte 1'],
    ['0402aa', 'cut off at byte 2'],
    ['0403aabb', 'cut off at byte 2'],
    ['0500', 'tag 0x05 where 0x04 is expected at byte 0'],
    ['0480', 'an indefinite length at byte 2'],
    ['0481', 'cut off at byte 2'],
    ['04817f', 'a length that is not in its shortest form at byte 3'],
    ['0482007f', 'a length that is not in its shortest form at byte 4'],
    ['0483010000', 'a length that is too long at byte 2'],
    ['04ff', 'a length that is too long at byte 2'],
  ])('%j is refused: %s', (hex, message) => {
    expect(() => read(hex).next(OCTET_STRING)).toThrow(`Cannot read thing: ${message}`)
  })

  fact('a place inside an element is counted from the beginning of the whole', () => {
    const inside = read('3006300404020101').enter(SEQUENCE).enter(SEQUENCE)
    expect(() => inside.next(INTEGER)).toThrow('at byte 4')
  })

  fact.each([['020180'], ['02020001'], ['0200']])('%j is no small integer', (hex) => {
    expect(() => read(hex).smallInteger()).toThrow('no small integer')
  })

  fact('more than there should be is refused', () => {
    const reader = read('02010100')
    expect(reader.smallInteger()).toBe(1)
    expect(() => {
      reader.end()
    }).toThrow('more than there should be at byte 3')
  })

  fact('a bit string is whole bytes', () => {
    expect(toHex(read('030200ff').bitString())).toBe('ff')
    expect(() => read('030201fe').bitString()).toThrow('no whole bytes')
    expect(() => read('0300').bitString()).toThrow('no whole bytes')
  })

  test.prop([fc.uint8Array({ maxLength: 700 })])('reads what derElement writes', (content) => {
    const reader = new DerReader(derElement(OCTET_STRING, content), 'thing')
    expect(reader.next(OCTET_STRING)).toEqual(content)
    reader.end()
  })

  fact('64 KiB less one byte are written and read, one more is refused', () => {
    const most = new Uint8Array(0xffff)
    expect(new DerReader(derElement(OCTET_STRING, most), 'thing').next(OCTET_STRING)).toHaveLength(
      0xffff,
    )
    expect(() => derElement(OCTET_STRING, most, Uint8Array.of(0))).toThrow(RangeError)
  })
})

describe('ECDSA signatures', () => {
  const half = (width: number): fc.Arbitrary<Uint8Array> =>
    fc
      .tuple(fc.nat(width), fc.uint8Array({ minLength: width, maxLength: width }))
      .map(([zeros, bytes]) => bytes.fill(0, 0, zeros))

  test.prop([fc.constantFrom(32, 48).chain((width) => fc.tuple(half(width), half(width)))])(
    'the two forms say the same',
    ([r, s]) => {
      const fixed = Uint8Array.from([...r, ...s])
      const der = ecdsaToDer(fixed)
      expect(ecdsaFromDer(der, r.byteLength)).toEqual(fixed)
    },
  )

  fact.each(['secp256k1', 'p256', 'p384'] as const)('%s: Node.js takes both forms', (type) => {
    const { privateObject, publicObject, secretKey } = testPair(type)
    for (let i = 0; i < 20; i++) {
      const message = Uint8Array.of(i)
      const der = createSign('sha256').update(message).sign(privateObject)
      const fixed = ecdsaFromDer(der, secretKey.byteLength)
      const verify = createVerify('sha256').update(message)
      expect(verify.verify({ key: publicObject, dsaEncoding: 'ieee-p1363' }, fixed)).toBe(true)
      expect(ecdsaToDer(fixed)).toEqual(new Uint8Array(der))
    }
  })

  fact('small numbers fill their half', () => {
    const fixed = ecdsaFromDer(fromHex('3006020101020102'), 32)
    expect(toHex(fixed)).toBe(`${'00'.repeat(31)}01${'00'.repeat(31)}02`)
  })

  fact.each([
    ['3006020181020102', 'negative or not in its shortest form'],
    ['300702020001020102', 'negative or not in its shortest form'],
    ['30050200020101', 'negative or not in its shortest form'],
    ['300602010102010200', 'more than there should be'],
    ['3009020101020102020103', 'more than there should be'],
    [`3026022101${'01'.repeat(32)}020101`, 'an integer that is too long'],
    ['308106020101020102', 'a length that is not in its shortest form'],
    ['3003020101', 'cut off'],
    ['3006020101030102', 'tag 0x03 where 0x02 is expected'],
  ])('%j is refused: %s', (hex, message) => {
    expect(() => ecdsaFromDer(fromHex(hex), 32)).toThrow(message)
    expect(() => ecdsaFromDer(fromHex(hex), 32)).toThrow(SyntaxError)
  })

  fact('a half of another length is refused', () => {
    expect(() => ecdsaToDer(new Uint8Array(63))).toThrow(RangeError)
    expect(() => ecdsaToDer(new Uint8Array(0))).toThrow(RangeError)
    expect(() => ecdsaToDer(new Uint8Array(134))).toThrow(RangeError)
  })

  test.prop([fc.uint8Array({ minLength: 1, maxLength: 9 })])(
    'an unsigned number is the same as a signed one, in its shortest form',
    (bytes) => {
      const value = BigInt(`0x${toHex(bytes)}`)
      const signed = signedInteger(bytes)
      expect(BigInt.asIntN(8 * signed.byteLength, BigInt(`0x${toHex(signed)}`))).toBe(value)
      expect(BigInt(`0x${toHex(unsignedInteger(signed) ?? expect.fail())}`)).toBe(value)
    },
  )
})
