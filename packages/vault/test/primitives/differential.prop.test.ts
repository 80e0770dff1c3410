/** Every primitive against a second implementation (noble, or `node:crypto` another way), with random inputs. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  sign as nodeSign,
  verify as nodeVerify,
} from 'node:crypto'

import { gcm } from '@noble/ciphers/aes.js'
import { aeskw, aeskwp } from '@noble/ciphers/aes.js'
import { chacha20poly1305, xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519 as nobleEd25519, x25519 as nobleX25519 } from '@noble/curves/ed25519.js'
import { p256 as nobleP256, p384 as nobleP384 } from '@noble/curves/nist.js'
import { secp256k1 as nobleSecp256k1 } from '@noble/curves/secp256k1.js'
import { hmac as nobleHmac } from '@noble/hashes/hmac.js'
import { pbkdf2 as noblePbkdf2 } from '@noble/hashes/pbkdf2.js'
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js'
import { concat, toHex } from '@stronghold/core'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'

import { AES_256_GCM, CHACHA20_POLY1305, XCHACHA20_POLY1305 } from '../../src/primitives/aead.ts'
import { concatKdf } from '../../src/primitives/concat-kdf.ts'
import * as ecdsa from '../../src/primitives/ecdsa.ts'
import * as ed25519 from '../../src/primitives/ed25519.ts'
import { hkdf } from '../../src/primitives/hkdf.ts'
import { HASH_BYTES, hmac, hmacInto, verify as verifyHmac } from '../../src/primitives/hmac.ts'
import * as keywrap from '../../src/primitives/keywrap.ts'
import { pbkdf2 } from '../../src/primitives/pbkdf2.ts'
import { generate, isValidScalar, Secp256k1 } from '../../src/primitives/secp256k1.ts'
import * as x25519 from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'

const LONG = process.env['STRONGHOLD_LONG'] === '1'
const RUNS = { numRuns: LONG ? 20_000 : 100 }
/** Where the reference takes milliseconds. */
const FEW = { numRuns: LONG ? 2_000 : 15 }

const slab = new Slab({ bytes: 1024 * 1024 })
afterAll(() => slab[Symbol.dispose]())

const bytes = (minLength: number, maxLength = minLength): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength })
const hash = fc.constantFrom('sha256' as const, 'sha384' as const, 'sha512' as const)
const NOBLE = { sha256, sha384, sha512 }

/** What a call wrote into secret memory. */
function written(length: number, write: (out: Uint8Array) => void): Uint8Array {
  using out = slab.take(length)
  write(out.bytes)
  return Uint8Array.from(out.bytes)
}

describe('signatures', () => {
  test('Ed25519 signs and verifies as noble does', () => {
    const property = fc.property(bytes(32), bytes(0, 300), bytes(64), (seed, message, noise) => {
      const key = written(64, (out) => ed25519.expand(seed, out))
      const signature = ed25519.sign(key, message)
      expect(signature).toEqual(nobleEd25519.sign(message, seed))
      const publicKey = ed25519.publicKey(key)
      expect(publicKey).toEqual(nobleEd25519.getPublicKey(seed))
      expect(ed25519.verify(publicKey, message, signature)).toBe(true)
      expect(ed25519.verify(publicKey, message, noise)).toBe(false)
      expect(ed25519.verify(publicKey, concat([message, Uint8Array.of(0)]), signature)).toBe(false)
    })
    fc.assert(property, FEW)
  })

  const CURVES = [
    { curve: ecdsa.P256, noble: nobleP256 },
    { curve: ecdsa.P384, noble: nobleP384 },
  ]
  test.each(CURVES)('$curve.name: noble takes what we sign, and we what it signs', (pair) => {
    const { curve, noble } = pair
    const property = fc.property(bytes(0, 200), (message) => {
      using scalar = slab.take(curve.scalarBytes)
      ecdsa.generate(curve, scalar.bytes)
      const key = written(curve.expandedBytes, (out) => ecdsa.expand(curve, scalar.bytes, out))
      const point = ecdsa.publicKey(curve, key)
      expect(point).toEqual(noble.getPublicKey(scalar.bytes, false))
      const compressed = noble.getPublicKey(scalar.bytes, true)
      expect(ecdsa.parsePoint(curve, compressed)).toEqual(point)
      const ours = ecdsa.sign(curve, key, message)
      expect(noble.verify(ours, message, point, { lowS: false })).toBe(true)
      const theirs = noble.sign(message, scalar.bytes, { lowS: false })
      expect(ecdsa.verify(curve, point, message, theirs)).toBe(true)
      expect(ecdsa.verify(curve, point, concat([message, message, point]), ours)).toBe(false)
    })
    fc.assert(property, FEW)
  })

  test('the expanded form is what OpenSSL writes', () => {
    for (const { curve } of CURVES) {
      using scalar = slab.take(curve.scalarBytes)
      ecdsa.generate(curve, scalar.bytes)
      const key = written(curve.expandedBytes, (out) => ecdsa.expand(curve, scalar.bytes, out))
      const read = createPrivateKey({ key: Buffer.from(key), format: 'der', type: 'pkcs8' })
      expect(toHex(read.export({ format: 'der', type: 'pkcs8' }))).toBe(toHex(key))
      const signature = nodeSign(curve.hash, curve.order, { key: read, dsaEncoding: 'ieee-p1363' })
      expect(ecdsa.verify(curve, ecdsa.publicKey(curve, key), curve.order, signature)).toBe(true)
      const ours = ecdsa.sign(curve, key, curve.order)
      const judge = { key: createPublicKey(read), dsaEncoding: 'ieee-p1363' as const }
      expect(nodeVerify(curve.hash, curve.order, judge, ours)).toBe(true)
    }
  })

  test('secp256k1 signs, verifies and recovers as noble does', () => {
    const secp256k1 = new Secp256k1()
    const property = fc.property(bytes(32), bytes(64), (digest, noise) => {
      using scalar = slab.take(32)
      generate(scalar.bytes)
      const point = secp256k1.publicKey(scalar.bytes)
      expect(point).toEqual(nobleSecp256k1.getPublicKey(scalar.bytes, false))
      const { signature, recoveryId } = secp256k1.sign(scalar.bytes, digest)
      const theirs = nobleSecp256k1.sign(digest, scalar.bytes, {
        prehash: false,
        format: 'recovered',
      })
      expect(toHex(theirs)).toBe(toHex(Uint8Array.of(recoveryId)) + toHex(signature))
      const compressed = secp256k1.parsePoint(point, { compressed: true })
      expect(secp256k1.parsePoint(compressed)).toEqual(point)
      for (const form of [point, compressed]) {
        expect(secp256k1.verify(form, digest, signature)).toBe(true)
        expect(secp256k1.verify(form, digest, noise)).toBe(false)
      }
      expect(secp256k1.recover(digest, signature, recoveryId)).toEqual(point)
      expect(secp256k1.recover(digest, signature, recoveryId ^ 1)).not.toEqual(point)
      // The twin, n - s, is right only for those who do not mind.
      const { Fn } = nobleSecp256k1.Point
      const twin = concat([
        signature.subarray(0, 32),
        Fn.toBytes(Fn.neg(Fn.fromBytes(signature.subarray(32)))),
      ])
      expect(secp256k1.verify(point, digest, twin)).toBe(false)
      expect(secp256k1.verify(point, digest, twin, { requireLowS: false })).toBe(true)
    })
    fc.assert(property, FEW)
  })

  test('secp256k1 recovers from anything what noble does, or nothing', () => {
    const secp256k1 = new Secp256k1()
    // Small r makes the two rare recovery ids possible.
    const half = fc.oneof(
      bytes(32),
      bytes(15).map((tail) => concat([new Uint8Array(17), tail])),
      fc.constantFrom(new Uint8Array(32), new Uint8Array(32).fill(0xff)),
    )
    const property = fc.property(bytes(32), half, half, fc.nat(3), (digest, r, s, id) => {
      const signature = concat([r, s])
      let theirs: string | undefined
      try {
        theirs = nobleSecp256k1.Signature.fromBytes(signature, 'compact')
          .addRecoveryBit(id)
          .recoverPublicKey(digest)
          .toHex(false)
      } catch {
        theirs = undefined
      }
      const ours = secp256k1.recover(digest, signature, id)
      expect(ours === undefined ? undefined : toHex(ours)).toBe(theirs)
    })
    fc.assert(property, RUNS)
  })
})

test('X25519 agrees as noble and OpenSSL do', () => {
  const der = (prefix: string, key: Uint8Array): Buffer =>
    Buffer.concat([Buffer.from(prefix, 'hex'), key])
  const property = fc.property(bytes(32), bytes(32), (own, other) => {
    const theirs = x25519.publicKey(other)
    expect(theirs).toEqual(nobleX25519.getPublicKey(other))
    const shared = written(32, (out) => x25519.agree(own, theirs, out))
    expect(shared).toEqual(nobleX25519.getSharedSecret(own, theirs))
    const privateKey = createPrivateKey({
      key: der('302e020100300506032b656e04220420', own),
      format: 'der',
      type: 'pkcs8',
    })
    const publicKey = createPublicKey({
      key: der('302a300506032b656e032100', theirs),
      format: 'der',
      type: 'spki',
    })
    expect(toHex(shared)).toBe(toHex(diffieHellman({ privateKey, publicKey })))
  })
  fc.assert(property, FEW)
})

describe('scalars', () => {
  const number = (big: Uint8Array): bigint => BigInt(`0x${toHex(big)}`)
  const secp256k1 = new Secp256k1()
  const order = number(ecdsa.P256.order)
  const K1 = nobleSecp256k1.Point.Fn.ORDER
  const near = (n: bigint, length: number): fc.Arbitrary<Uint8Array> =>
    fc.oneof(
      bytes(length),
      fc.bigInt({ min: -3n, max: 3n }).map((by) => big(n + by, length)),
      fc.bigInt({ min: 0n, max: 3n }).map((small) => big(small, length)),
    )
  const big = (value: bigint, length: number): Uint8Array =>
    Uint8Array.from(Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex'))

  test.each([
    {
      name: 'p256',
      n: order,
      length: 32,
      valid: (scalar: Uint8Array) => ecdsa.isValidScalar(ecdsa.P256, scalar),
      add: (a: Uint8Array, b: Uint8Array, out: Uint8Array) => ecdsa.addModN(ecdsa.P256, a, b, out),
    },
    {
      name: 'p384',
      n: number(ecdsa.P384.order),
      length: 48,
      valid: (scalar: Uint8Array) => ecdsa.isValidScalar(ecdsa.P384, scalar),
      add: (a: Uint8Array, b: Uint8Array, out: Uint8Array) => ecdsa.addModN(ecdsa.P384, a, b, out),
    },
    {
      name: 'secp256k1',
      n: K1,
      length: 32,
      valid: isValidScalar,
      add: (a: Uint8Array, b: Uint8Array, out: Uint8Array) => secp256k1.addModN(a, b, out),
    },
  ])('$name: range and sum as with big integers, at the edges too', ({ n, length, valid, add }) => {
    const property = fc.property(near(n, length), near(n, length), (a, b) => {
      const inRange = number(a) >= 1n && number(a) < n
      expect(valid(a)).toBe(inRange)
      using out = slab.take(length)
      out.bytes.fill(7)
      if (!inRange) {
        expect(() => add(a, b, out.bytes)).toThrow(RangeError)
        return
      }
      const sum = (number(a) + number(b)) % n
      const possible = number(b) < n && sum !== 0n
      expect(add(a, b, out.bytes)).toBe(possible)
      expect(toHex(out.bytes)).toBe(toHex(big(possible ? sum : 0n, length)))
    })
    fc.assert(property, { numRuns: LONG ? 50_000 : 300 })
  })

  test('a key and its negation add up to nothing', () => {
    using out = slab.take(32)
    const [one, last] = [big(1n, 32), big(order - 1n, 32)]
    expect(ecdsa.addModN(ecdsa.P256, last, one, out.bytes)).toBe(false)
    expect(secp256k1.addModN(big(K1 - 1n, 32), one, out.bytes)).toBe(false)
  })
})

test.each([
  { name: 'XChaCha20-Poly1305', ours: XCHACHA20_POLY1305, noble: xchacha20poly1305 },
  { name: 'ChaCha20-Poly1305', ours: CHACHA20_POLY1305, noble: chacha20poly1305 },
  { name: 'AES-256-GCM', ours: AES_256_GCM, noble: gcm },
])('$name seals as noble does, and opens nothing that was changed', ({ ours, noble }) => {
  const property = fc.property(
    bytes(32),
    bytes(ours.nonceBytes),
    bytes(0, 40),
    bytes(0, 300),
    fc.nat(),
    fc.integer({ min: 1, max: 255 }),
    (key, nonce, associated, plaintext, place, flip) => {
      const sealed = ours.seal(key, nonce, associated, plaintext)
      expect(sealed).toEqual(noble(key, nonce, associated).encrypt(plaintext))
      using out = slab.take(plaintext.byteLength)
      expect(ours.open(key, nonce, associated, sealed, out.bytes)).toBe(true)
      expect(toHex(out.bytes)).toBe(toHex(plaintext))
      for (const part of [key, nonce, associated, sealed]) {
        if (part.byteLength === 0) continue
        const at = place % part.byteLength
        part[at] = (part[at] ?? 0) ^ flip
        expect(ours.open(key, nonce, associated, sealed, out.bytes)).toBe(false)
        expect(out.bytes.every((byte) => byte === 0)).toBe(true)
        part[at] = (part[at] ?? 0) ^ flip
      }
    },
  )
  fc.assert(property, RUNS)
})

describe('keys', () => {
  test('AES-KW and KWP wrap as noble does, and unwrap nothing that was changed', () => {
    const property = fc.property(bytes(32), bytes(1, 80), fc.nat(), (key, secret, place) => {
      const padded = keywrap.wrapPadded(key, secret)
      expect(padded).toEqual(aeskwp(key).encrypt(secret))
      using room = slab.take(padded.byteLength - 8)
      expect(keywrap.unwrapPadded(key, padded, room.bytes)).toBe(secret.byteLength)
      expect(toHex(room.bytes.subarray(0, secret.byteLength))).toBe(toHex(secret))
      padded[place % padded.byteLength] = (padded[place % padded.byteLength] ?? 0) ^ 1
      expect(keywrap.unwrapPadded(key, padded, room.bytes)).toBeUndefined()

      const whole = concat([secret, new Uint8Array(16 + ((8 - (secret.byteLength % 8)) % 8))])
      const wrapped = keywrap.wrap(key, whole)
      expect(wrapped).toEqual(aeskw(key).encrypt(whole))
      using back = slab.take(whole.byteLength)
      expect(keywrap.unwrap(key, wrapped, back.bytes)).toBe(true)
      expect(toHex(back.bytes)).toBe(toHex(whole))
      wrapped[place % wrapped.byteLength] = (wrapped[place % wrapped.byteLength] ?? 0) ^ 1
      expect(keywrap.unwrap(key, wrapped, back.bytes)).toBe(false)
      expect(back.bytes.every((byte) => byte === 0)).toBe(true)
    })
    fc.assert(property, RUNS)
  })

  test('HMAC is noble’s, in one piece and in several, and only the whole right tag verifies', () => {
    const property = fc.property(hash, bytes(0, 150), bytes(0, 100), bytes(0, 100), (...of) => {
      const [name, key, first, second] = of
      const message = concat([first, second])
      const tag = hmac(name, key, message)
      expect(tag).toEqual(nobleHmac(NOBLE[name], key, message))
      const inParts = written(tag.byteLength, (out) => hmacInto(name, key, [first, second], out))
      expect(inParts).toEqual(tag)
      expect(verifyHmac(name, key, message, tag)).toBe(true)
      expect(verifyHmac(name, key, message, tag.subarray(1))).toBe(false)
      expect(verifyHmac(name, key, message, new Uint8Array(0))).toBe(false)
      tag[0] = (tag[0] ?? 0) ^ 1
      expect(verifyHmac(name, key, message, tag)).toBe(false)
    })
    fc.assert(property, RUNS)
  })

  test('HKDF is OpenSSL’s', () => {
    const property = fc.property(
      hash,
      bytes(0, 100),
      bytes(0, 100),
      bytes(0, 100),
      fc.integer({ min: 1, max: 400 }),
      (name, secret, salt, info, length) => {
        const ours = written(length, (out) => hkdf(name, secret, { salt, info }, out))
        expect(toHex(ours)).toBe(toHex(new Uint8Array(hkdfSync(name, secret, salt, info, length))))
      },
    )
    fc.assert(property, RUNS)
  })

  test('HKDF gives 255 blocks and not a byte more, and takes info of any length', () => {
    for (const name of ['sha256', 'sha384', 'sha512'] as const) {
      const most = 255 * HASH_BYTES[name]
      const out = new Uint8Array(most)
      hkdf(name, out, {}, out.slice())
      hkdf(name, Uint8Array.of(1), { info: new Uint8Array(2000) }, out)
      expect(() => hkdf(name, out, {}, new Uint8Array(most + 1))).toThrow(RangeError)
      expect(() => hkdf(name, out, {}, new Uint8Array(0))).toThrow(RangeError)
    }
  })

  test('PBKDF2 is noble’s', () => {
    const property = fc.property(
      hash,
      bytes(0, 150),
      bytes(0, 40),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 150 }),
      (name, passphrase, salt, rounds, length) => {
        const ours = written(length, (out) => pbkdf2(name, passphrase, salt, rounds, out))
        expect(ours).toEqual(
          noblePbkdf2(NOBLE[name], passphrase, salt, { c: rounds, dkLen: length }),
        )
      },
    )
    fc.assert(property, FEW)
  })

  test('the concat KDF is its definition', () => {
    const property = fc.property(
      hash,
      bytes(1, 100),
      bytes(0, 100),
      fc.integer({ min: 1, max: 300 }),
      (name, secret, info, length) => {
        let wanted = ''
        for (let counter = 1; wanted.length < 2 * length; counter++) {
          wanted += createHash(name)
            .update(Uint8Array.of(0, 0, 0, counter))
            .update(secret)
            .update(info)
            .digest('hex')
        }
        const ours = written(length, (out) => concatKdf(slab, name, secret, info, out))
        expect(toHex(ours)).toBe(wanted.slice(0, 2 * length))
      },
    )
    fc.assert(property, RUNS)
  })
})
