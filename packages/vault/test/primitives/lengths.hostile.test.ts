/** Wrong lengths and wrong types are refused before native code sees them, which would end the process. */
import { concat, fromHex } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import { isVaultError } from '../../src/errors.ts'
import { MAX_CONCAT_KDF_BLOCKS } from '../../src/limits.ts'
import { AES_256_GCM, CHACHA20_POLY1305, XCHACHA20_POLY1305 } from '../../src/primitives/aead.ts'
import { concatKdf } from '../../src/primitives/concat-kdf.ts'
import * as ecdsa from '../../src/primitives/ecdsa.ts'
import * as ed25519 from '../../src/primitives/ed25519.ts'
import { hkdf, hkdfExpand } from '../../src/primitives/hkdf.ts'
import { hmac, hmacInto } from '../../src/primitives/hmac.ts'
import * as keywrap from '../../src/primitives/keywrap.ts'
import { pbkdf2 } from '../../src/primitives/pbkdf2.ts'
import * as k1 from '../../src/primitives/secp256k1.ts'
import * as x25519 from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'

const of = (length: number): Uint8Array => new Uint8Array(length).fill(1)
const LENGTHS = [0, 1, 15, 31, 32, 33, 47, 48, 49, 63, 64, 65, 66, 97, 138, 185, 1000, 65_536]
const slab = new Slab({ bytes: 256 * 1024 })
const library = new k1.Secp256k1()
const { P256, P384 } = ecdsa

/** Each call with one argument of a length that is not due; `due` are the lengths it takes. */
const CALLS: readonly {
  name: string
  due: readonly number[]
  call: (wrong: Uint8Array) => unknown
}[] = [
  { name: 'ed25519 seed', due: [32], call: (w) => ed25519.expand(w, of(64)) },
  { name: 'ed25519 room', due: [64], call: (w) => ed25519.expand(of(32), w) },
  { name: 'ed25519 key', due: [64], call: (w) => ed25519.sign(w, of(1)) },
  { name: 'ed25519 expanded key', due: [64], call: (w) => ed25519.publicKey(w) },
  { name: 'ed25519 public key', due: [32], call: (w) => ed25519.verify(w, of(1), of(64)) },
  { name: 'x25519 secret', due: [32], call: (w) => x25519.publicKey(w) },
  { name: 'x25519 own', due: [32], call: (w) => x25519.agree(w, of(32), of(32)) },
  { name: 'x25519 theirs', due: [32], call: (w) => x25519.agree(of(32), w, of(32)) },
  { name: 'x25519 room', due: [32], call: (w) => x25519.agree(of(32), of(32), w) },
  ...[XCHACHA20_POLY1305, CHACHA20_POLY1305, AES_256_GCM].flatMap((cipher) => {
    const nonce = of(cipher.nonceBytes)
    return [
      { name: 'aead key', due: [32], call: (w: Uint8Array) => cipher.seal(w, nonce, of(0), of(1)) },
      {
        name: 'aead nonce',
        due: [cipher.nonceBytes],
        call: (w: Uint8Array) => cipher.seal(of(32), w, of(0), of(1)),
      },
      {
        name: 'aead opening key',
        due: [32],
        call: (w: Uint8Array) => cipher.open(w, nonce, of(0), of(17), of(1)),
      },
      {
        name: 'aead opening nonce',
        due: [cipher.nonceBytes],
        call: (w: Uint8Array) => cipher.open(of(32), w, of(0), of(17), of(1)),
      },
      {
        name: 'aead room',
        due: [1],
        call: (w: Uint8Array) => cipher.open(of(32), nonce, of(0), of(17), w),
      },
      {
        name: 'aead room for nothing',
        due: [0],
        call: (w: Uint8Array) => cipher.open(of(32), nonce, of(0), of(3), w),
      },
    ]
  }),
  { name: 'wrapping key', due: [32], call: (w) => keywrap.wrap(w, of(16)) },
  { name: 'wrapped secret', due: [32, 48, 64, 1000, 65_536], call: (w) => keywrap.wrap(of(32), w) },
  { name: 'unwrapping key', due: [32], call: (w) => keywrap.unwrap(w, of(24), of(16)) },
  { name: 'unwrapping room', due: [16], call: (w) => keywrap.unwrap(of(32), of(24), w) },
  { name: 'padded wrapping key', due: [32], call: (w) => keywrap.wrapPadded(w, of(5)) },
  {
    name: 'padded unwrapping key',
    due: [32],
    call: (w) => keywrap.unwrapPadded(w, of(24), of(16)),
  },
  {
    name: 'padded unwrapping room',
    due: [16],
    call: (w) => keywrap.unwrapPadded(of(32), of(24), w),
  },
  { name: 'hmac room', due: [48], call: (w) => hmacInto('sha384', of(3), [], w) },
  {
    name: 'hkdf key',
    due: LENGTHS.filter((n) => n >= 32),
    call: (w) => hkdfExpand('sha256', w, of(0), of(9)),
  },
  {
    name: 'hkdf room',
    due: LENGTHS.filter((n) => n > 0 && n <= 8160),
    call: (w) => hkdf('sha256', of(9), {}, w),
  },
  {
    name: 'concat kdf room',
    due: LENGTHS.filter((n) => n > 0 && n <= 8160),
    call: (w) => concatKdf(slab, 'sha256', of(9), of(0), w),
  },
  {
    name: 'concat kdf secret',
    due: LENGTHS.filter((n) => n > 0),
    call: (w) => concatKdf(slab, 'sha256', w, of(0), of(9)),
  },
  {
    name: 'pbkdf2 room',
    due: LENGTHS.filter((n) => n > 0),
    call: (w) => pbkdf2('sha256', of(9), of(9), 1, w),
  },
  ...[P256, P384].flatMap((curve) => {
    const { scalarBytes, expandedBytes, pointBytes } = curve
    return [
      {
        name: 'ecdsa scalar',
        due: [scalarBytes],
        call: (w: Uint8Array) => ecdsa.expand(curve, w, of(expandedBytes)),
      },
      {
        name: 'ecdsa room',
        due: [expandedBytes],
        call: (w: Uint8Array) => ecdsa.expand(curve, of(scalarBytes), w),
      },
      {
        name: 'ecdsa new scalar',
        due: [scalarBytes],
        call: (w: Uint8Array) => ecdsa.generate(curve, w),
      },
      {
        name: 'ecdsa expanded',
        due: [expandedBytes],
        call: (w: Uint8Array) => ecdsa.publicKey(curve, w),
      },
      {
        name: 'ecdsa point',
        due: [pointBytes],
        call: (w: Uint8Array) => ecdsa.verify(curve, w, of(1), of(64)),
      },
      {
        name: 'ecdsa sum',
        due: [scalarBytes],
        call: (w: Uint8Array) => ecdsa.addModN(curve, w, of(scalarBytes), of(scalarBytes)),
      },
      {
        name: 'ecdsa tweak',
        due: [scalarBytes],
        call: (w: Uint8Array) => ecdsa.addModN(curve, of(scalarBytes), w, of(scalarBytes)),
      },
      {
        name: 'ecdsa sum room',
        due: [scalarBytes],
        call: (w: Uint8Array) => ecdsa.addModN(curve, of(scalarBytes), of(scalarBytes), w),
      },
    ]
  }),
  { name: 'secp256k1 new scalar', due: [32], call: (w) => k1.generate(w) },
  { name: 'secp256k1 scalar', due: [32], call: (w) => library.publicKey(w) },
  { name: 'secp256k1 signing scalar', due: [32], call: (w) => library.sign(w, of(32)) },
  { name: 'secp256k1 digest', due: [32], call: (w) => library.sign(of(32), w) },
  { name: 'secp256k1 verified digest', due: [32], call: (w) => library.verify(of(33), w, of(64)) },
  { name: 'secp256k1 recovered digest', due: [32], call: (w) => library.recover(w, of(64), 0) },
  { name: 'secp256k1 sum', due: [32], call: (w) => library.addModN(w, of(32), of(32)) },
  { name: 'secp256k1 tweak', due: [32], call: (w) => library.addModN(of(32), w, of(32)) },
  { name: 'secp256k1 sum room', due: [32], call: (w) => library.addModN(of(32), of(32), w) },
]

test.each(CALLS)('$name: another length is a RangeError, no bytes a TypeError', ({ due, call }) => {
  for (const length of LENGTHS) {
    if (due.includes(length)) expect(() => call(of(length))).not.toThrow()
    else expect(() => call(of(length)), `${length} bytes`).toThrow(RangeError)
  }
  for (const wrong of [undefined, null, 'secret', [1, 2], new ArrayBuffer(32), {}]) {
    expect(() => call(wrong as Uint8Array)).toThrow(TypeError)
  }
})

describe('what is handed in from outside', () => {
  test('a signature of another length is wrong, not an error', () => {
    const [point256, point384] = [of(65), of(97)]
    for (const length of LENGTHS) {
      if (length !== 64) {
        expect(ed25519.verify(of(32), of(1), of(length))).toBe(false)
        expect(ecdsa.verify(P256, point256, of(1), of(length))).toBe(false)
        expect(library.verify(of(33), of(32), of(length))).toBe(false)
        expect(library.recover(of(32), of(length), 0)).toBeUndefined()
      }
      expect(ecdsa.verify(P384, point384, of(1), of(length))).toBe(false)
    }
  })

  test('sealed bytes shorter than a tag do not open', () => {
    for (const cipher of [XCHACHA20_POLY1305, CHACHA20_POLY1305, AES_256_GCM]) {
      for (let length = 0; length < 16; length++) {
        const nonce = of(cipher.nonceBytes)
        expect(cipher.open(of(32), nonce, of(0), of(length), of(0))).toBe(false)
      }
    }
  })

  test('a point is one of two forms, on the curve, not at infinity', () => {
    const wrong = [
      ...LENGTHS.map(of),
      ...[0, 1, 5, 6, 7, 0xff].flatMap((first) =>
        [33, 49, 65, 97].map((length) => Uint8Array.of(first, ...of(length - 1))),
      ),
      Uint8Array.of(0),
      Uint8Array.of(2, ...new Uint8Array(32).fill(0xff)),
      Uint8Array.of(4, ...new Uint8Array(64)),
    ]
    for (const point of wrong) {
      for (const parse of [
        () => ecdsa.parsePoint(P256, point),
        () => ecdsa.parsePoint(P384, point),
        () => library.parsePoint(point),
      ]) {
        expect(refusal(parse)).toBe('invalid_argument')
      }
    }
    const off = Uint8Array.of(4, ...of(64))
    expect(ecdsa.verify(P256, off, of(1), of(64))).toBe(false)
    expect(library.verify(off, of(32), of(64))).toBe(false)
  })

  test('the hybrid form of a right point is refused', () => {
    const point = library.publicKey(of(32))
    point[0] = 6 | ((point[64] ?? 0) & 1)
    expect(refusal(() => library.parsePoint(point))).toBe('invalid_argument')
    expect(library.verify(point, of(32), of(64))).toBe(false)
  })

  test('a recovery id is 0 to 3', () => {
    for (const id of [-1, 4, 0.5, Number.NaN, 2 ** 32]) {
      expect(() => library.recover(of(32), of(64), id)).toThrow(RangeError)
    }
  })

  test('rounds of PBKDF2 are a positive whole number', () => {
    for (const rounds of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      expect(() => pbkdf2('sha256', of(9), of(9), rounds, of(9))).toThrow(RangeError)
    }
  })

  test('the concat KDF gives 255 blocks and not a byte more', () => {
    const most = MAX_CONCAT_KDF_BLOCKS * 48
    expect(() => concatKdf(slab, 'sha384', of(9), of(0), of(most))).not.toThrow()
    expect(() => concatKdf(slab, 'sha384', of(9), of(0), of(most + 1))).toThrow(RangeError)
  })

  // Under a key of small order a signature of nothing would be right for every message.
  test.each([
    { order: 1, point: '01'.padEnd(64, '0') },
    { order: 2, point: `ec${'ff'.repeat(30)}7f` },
    { order: 4, point: '00'.repeat(32) },
    { order: 4, point: '80'.padStart(64, '0') },
    { order: 8, point: '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05' },
    { order: 8, point: 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a' },
    { order: 1, point: `ee${'ff'.repeat(30)}7f` },
  ])('an Ed25519 key of order $order verifies nothing: $point', ({ point }) => {
    for (const r of [fromHex(point), fromHex('01'.padEnd(64, '0'))]) {
      const signature = concat([r, new Uint8Array(32)])
      expect(ed25519.verify(fromHex(point), of(5), signature)).toBe(false)
    }
  })

  test('an empty message is signed and an empty key authenticates', () => {
    const key = of(64)
    ed25519.expand(of(32), key)
    const none = of(0)
    expect(ed25519.verify(ed25519.publicKey(key), none, ed25519.sign(key, none))).toBe(true)
    expect(hmac('sha256', none, none)).toHaveLength(32)
  })

  test('a public key of small order agrees on nothing and leaves zeros', () => {
    const out = of(32)
    expect(refusal(() => x25519.agree(of(32), new Uint8Array(32), out))).toBe('invalid_argument')
    expect(out).toEqual(new Uint8Array(32))
  })
})

function refusal(call: () => unknown): string | undefined {
  try {
    call()
    return undefined
  } catch (error) {
    return isVaultError(error) ? error.code : String(error)
  }
}
