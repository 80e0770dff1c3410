import { fc, test } from '@fast-check/vitest'
import { HDKey } from '@scure/bip32'
import { expect, test as plain } from 'vitest'

import { deriveSlip10Node, HARDENED, parseKeyPath } from '../../src/formats/slip10.ts'
import { MAX_DERIVATION_DEPTH } from '../../src/limits.ts'
import { Secp256k1 } from '../../src/primitives/secp256k1.ts'
import { Slab } from '../../src/secret.ts'

const slab = new Slab({ bytes: 64 * 1024 })
const tools = { slab, secp256k1: new Secp256k1() }
const seed = fc.uint8Array({ minLength: 16, maxLength: 64 })
const step = fc.tuple(fc.nat(HARDENED - 1), fc.constantFrom('', "'"))

test.prop([seed, fc.array(step, { maxLength: 5 })], { numRuns: 50 })(
  'keys and chain codes on secp256k1 are those of another implementation',
  (bytes, steps) => {
    const path = ['m', ...steps.map(([number, mark]) => `${number}${mark}`)].join('/')
    const theirs = HDKey.fromMasterSeed(bytes).derive(path)
    using mine = deriveSlip10Node(tools, 'secp256k1', bytes, parseKeyPath(path))
    expect(new Uint8Array(mine.bytes.subarray(0, 32))).toEqual(new Uint8Array(theirs.privateKey!))
    expect(new Uint8Array(mine.bytes.subarray(32))).toEqual(new Uint8Array(theirs.chainCode!))
  },
)

plain('a path is read in one form only', () => {
  expect(parseKeyPath('m')).toEqual([])
  expect(parseKeyPath("m/44'/60h/0H/0/2147483647")).toEqual([
    44 + HARDENED,
    60 + HARDENED,
    HARDENED,
    0,
    2_147_483_647,
  ])
  for (const bad of [
    '',
    'M',
    'm/',
    '/0',
    'm//0',
    'm/00',
    'm/01',
    'm/-1',
    'm/+1',
    'm/1 ',
    "m/1''",
    'm/2147483648',
    'm/1e3',
    'm/x',
    'm/٣',
    '0/1',
  ]) {
    expect(() => parseKeyPath(bad), bad).toThrow(SyntaxError)
  }
})

plain(
  'a path has at most MAX_DERIVATION_DEPTH steps, hardened ones where the curve has no others',
  () => {
    const steps = (count: number): number[] => new Array<number>(count).fill(HARDENED)
    const bytes = new Uint8Array(16)
    deriveSlip10Node(tools, 'ed25519', bytes, steps(MAX_DERIVATION_DEPTH)).wipe()
    const deep = steps(MAX_DERIVATION_DEPTH + 1)
    expect(() => deriveSlip10Node(tools, 'ed25519', bytes, deep)).toThrow(RangeError)
    expect(() => parseKeyPath(`m${'/0'.repeat(MAX_DERIVATION_DEPTH + 1)}`)).toThrow(RangeError)
    expect(() => parseKeyPath('m/'.padEnd(1e6, '0'))).toThrow(RangeError)
    expect(parseKeyPath(`m${'/0'.repeat(MAX_DERIVATION_DEPTH)}`)).toHaveLength(MAX_DERIVATION_DEPTH)
    for (const wrong of [[0], [-1], [0.5], [2 * HARDENED]]) {
      expect(() => deriveSlip10Node(tools, 'ed25519', bytes, wrong)).toThrow(RangeError)
    }
    for (const length of [0, 15, 65]) {
      expect(() => deriveSlip10Node(tools, 'p256', new Uint8Array(length), [])).toThrow(RangeError)
    }
    expect(slab.used).toBe(0)
  },
)

test.prop([fc.oneof(fc.string(), fc.stringMatching(/^m(\/\d{1,11}['hHx]?){0,6}$/))], {
  numRuns: 20_000,
})('any text is a path or a SyntaxError', (text) => {
  try {
    for (const number of parseKeyPath(text)) expect(number).toBeLessThan(2 * HARDENED)
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError)
  }
})
