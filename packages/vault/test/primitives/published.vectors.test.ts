/** Vectors from the standards themselves, typed in with their source, where Wycheproof has none or as a second word. */
import { createHash } from 'node:crypto'

import { encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { afterAll, describe, expect, test } from 'vitest'

import { AES_256_GCM, CHACHA20_POLY1305, XCHACHA20_POLY1305 } from '../../src/primitives/aead.ts'
import { concatKdf } from '../../src/primitives/concat-kdf.ts'
import * as ecdsa from '../../src/primitives/ecdsa.ts'
import * as ed25519 from '../../src/primitives/ed25519.ts'
import { hkdf, hkdfExpand } from '../../src/primitives/hkdf.ts'
import { hmac } from '../../src/primitives/hmac.ts'
import { keccak256 } from '../../src/primitives/keccak256.ts'
import * as keywrap from '../../src/primitives/keywrap.ts'
import { pbkdf2 } from '../../src/primitives/pbkdf2.ts'
import { Secp256k1 } from '../../src/primitives/secp256k1.ts'
import * as x25519 from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'

const slab = new Slab({ bytes: 64 * 1024 })
const secp256k1 = new Secp256k1()
afterAll(() => slab[Symbol.dispose]())

const sha256 = (text: string): Uint8Array => createHash('sha256').update(text).digest()

/** Fills room of that length and says in hex what is in it. */
function filled(length: number, fill: (out: Uint8Array) => void): string {
  using out = slab.take(length)
  fill(out.bytes)
  return toHex(out.bytes)
}

describe('Ed25519', () => {
  test.each([
    {
      name: 'test 1',
      seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
      publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
      message: '',
      signature:
        'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    },
    {
      name: 'test 2',
      seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
      publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
      message: '72',
      signature:
        '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    },
    {
      name: 'test 3',
      seed: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
      publicKey: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
      message: 'af82',
      signature:
        '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
    },
  ])('RFC 8032 §7.1 $name', ({ seed, publicKey, message, signature }) => {
    using key = slab.take(ed25519.EXPANDED_BYTES)
    ed25519.expand(fromHex(seed), key.bytes)
    expect(toHex(ed25519.publicKey(key.bytes))).toBe(publicKey)
    expect(toHex(ed25519.sign(key.bytes, fromHex(message)))).toBe(signature)
    expect(ed25519.verify(fromHex(publicKey), fromHex(message), fromHex(signature))).toBe(true)
  })
})

describe('X25519', () => {
  const alice = '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'
  const alicePublic = '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a'
  const bob = '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'
  const bobPublic = 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f'
  const shared = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742'

  test('RFC 7748 §6.1: both sides agree', () => {
    expect(toHex(x25519.publicKey(fromHex(alice)))).toBe(alicePublic)
    expect(toHex(x25519.publicKey(fromHex(bob)))).toBe(bobPublic)
    for (const [own, theirs] of [
      [alice, bobPublic],
      [bob, alicePublic],
    ] as const) {
      expect(filled(32, (out) => x25519.agree(fromHex(own), fromHex(theirs), out))).toBe(shared)
    }
  })

  test('RFC 7748 §5.2: once and a thousand times over', () => {
    using secret = slab.take(32)
    using next = slab.take(32)
    secret.bytes[0] = 9
    let point: Uint8Array = Uint8Array.from(secret.bytes)
    for (let i = 1; i <= 1000; i++) {
      x25519.agree(secret.bytes, point, next.bytes)
      point = Uint8Array.from(secret.bytes)
      secret.bytes.set(next.bytes)
      if (i === 1) {
        expect(toHex(secret.bytes)).toBe(
          '422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079',
        )
      }
    }
    expect(toHex(secret.bytes)).toBe(
      '684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51',
    )
  })
})

describe('ciphers', () => {
  const key = fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f')
  const associated = fromHex('50515253c0c1c2c3c4c5c6c7')
  const sunscreen = encodeUtf8(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  )

  test.each([
    {
      source: 'RFC 8439 §2.8.2',
      cipher: CHACHA20_POLY1305,
      nonce: '070000004041424344454647',
      begins: 'd31a8d34648e60db7b86afbc53ef7ec2',
      tag: '1ae10b594f09e26a7e902ecbd0600691',
    },
    {
      source: 'draft-irtf-cfrg-xchacha-03 §A.3.1',
      cipher: XCHACHA20_POLY1305,
      nonce: '404142434445464748494a4b4c4d4e4f5051525354555657',
      begins: 'bd6d179d3e83d43b9576579493c0e939',
      tag: 'c0875924c1c7987947deafd8780acf49',
    },
  ])('$source', ({ cipher, nonce, begins, tag }) => {
    const sealed = cipher.seal(key, fromHex(nonce), associated, sunscreen)
    expect(toHex(sealed.subarray(0, 16))).toBe(begins)
    expect(toHex(sealed.subarray(-16))).toBe(tag)
  })

  test('GCM, McGrew and Viega, appendix B, test cases 13 and 14', () => {
    const none = new Uint8Array(0)
    const [zeroKey, zeroNonce] = [new Uint8Array(32), new Uint8Array(12)]
    expect(toHex(AES_256_GCM.seal(zeroKey, zeroNonce, none, none))).toBe(
      '530f8afbc74536b9a963b4f1c4cb738b',
    )
    expect(toHex(AES_256_GCM.seal(zeroKey, zeroNonce, none, new Uint8Array(16)))).toBe(
      'cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919',
    )
  })

  test('RFC 3394 §4.6', () => {
    const secret = fromHex('00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f')
    const wrapped = keywrap.wrap(
      Uint8Array.from({ length: 32 }, (_, i) => i),
      secret,
    )
    expect(toHex(wrapped)).toBe(
      '28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21',
    )
  })
})

describe('keys from keys', () => {
  test.each([
    ['sha256', '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'],
    [
      'sha384',
      'af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649',
    ],
    [
      'sha512',
      '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737',
    ],
  ] as const)('RFC 4231 §4.3 with %s', (hash, tag) => {
    const [key, message] = [encodeUtf8('Jefe'), encodeUtf8('what do ya want for nothing?')]
    expect(toHex(hmac(hash, key, message))).toBe(tag)
  })

  test('RFC 5869 §A.1, whole and its second half alone', () => {
    const info = fromHex('f0f1f2f3f4f5f6f7f8f9')
    const salt = fromHex('000102030405060708090a0b0c')
    const pseudorandom = fromHex('077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5')
    const derived =
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865'
    const secret = new Uint8Array(22).fill(0x0b)
    expect(filled(42, (out) => hkdf('sha256', secret, { salt, info }, out))).toBe(derived)
    expect(filled(42, (out) => hkdfExpand('sha256', pseudorandom, info, out))).toBe(derived)
  })

  test('RFC 5869 §A.3: neither salt nor info', () => {
    const secret = new Uint8Array(22).fill(0x0b)
    expect(filled(42, (out) => hkdf('sha256', secret, {}, out))).toBe(
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    )
  })

  test('RFC 7914 §11', () => {
    const [passphrase, salt] = [encodeUtf8('passwd'), encodeUtf8('salt')]
    expect(filled(64, (out) => pbkdf2('sha256', passphrase, salt, 1, out))).toBe(
      '55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783',
    )
  })

  test('RFC 7518 appendix C', () => {
    const secret = fromHex('9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4')
    // AlgorithmID, PartyUInfo, PartyVInfo (each behind its length), SuppPubInfo: 128 bits.
    const info = fromHex('000000074131323847434d00000005416c69636500000003426f6200000080')
    const derived = filled(16, (out) => concatKdf(slab, 'sha256', secret, info, out))
    expect(Buffer.from(derived, 'hex').toString('base64url')).toBe('VqqN6vgjbSBcIijNcacQGg')
  })

  test('concat KDF gives more than one block', () => {
    const [secret, info] = [Uint8Array.of(1, 2, 3), Uint8Array.of(9)]
    const blocks = [1, 2, 3].map((counter) =>
      createHash('sha384')
        .update(Uint8Array.of(0, 0, 0, counter, 1, 2, 3, 9))
        .digest('hex'),
    )
    const derived = filled(100, (out) => concatKdf(slab, 'sha384', secret, info, out))
    expect(derived).toBe(blocks.join('').slice(0, 200))
  })
})

describe('ECDSA', () => {
  test('P-256: the key and the signatures of RFC 6979 §A.2.5', () => {
    const scalar = fromHex('c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721')
    const point =
      '0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6' +
      '7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299'
    const { P256 } = ecdsa
    using key = slab.take(P256.expandedBytes)
    ecdsa.expand(P256, scalar, key.bytes)
    expect(toHex(ecdsa.publicKey(P256, key.bytes))).toBe(point)
    for (const [text, signature] of [
      [
        'sample',
        'efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716' +
          'f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8',
      ],
      [
        'test',
        'f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367' +
          '019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083',
      ],
    ] as const) {
      expect(ecdsa.verify(P256, fromHex(point), encodeUtf8(text), fromHex(signature))).toBe(true)
    }
  })

  // bitcointalk.org, topic 285142: RFC 6979 on secp256k1, s in the lower half; as in bitcoinjs-lib's fixtures.
  test.each([
    {
      scalar: '01'.padStart(64, '0'),
      text: 'Satoshi Nakamoto',
      signature:
        '934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8' +
        '2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5',
    },
    {
      scalar: '01'.padStart(64, '0'),
      text: 'All those moments will be lost in time, like tears in rain. Time to die...',
      signature:
        '8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b' +
        '547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21',
    },
    {
      scalar: 'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140',
      text: 'Satoshi Nakamoto',
      signature:
        'fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d0' +
        '6b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5',
    },
  ])('secp256k1: key $scalar signs "$text"', ({ scalar, text, signature }) => {
    const signed = secp256k1.sign(fromHex(scalar), sha256(text))
    expect(toHex(signed.signature)).toBe(signature)
    const point = secp256k1.recover(sha256(text), signed.signature, signed.recoveryId)
    expect(point).toEqual(secp256k1.publicKey(fromHex(scalar)))
  })

  test('secp256k1: the key 1 is the generator (SEC 2 §2.4.1)', () => {
    const point = secp256k1.publicKey(fromHex('01'.padStart(64, '0')))
    expect(toHex(secp256k1.parsePoint(point, { compressed: true }))).toBe(
      '0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798',
    )
  })
})

test.each([
  ['', 'c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470'],
  ['abc', '4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45'],
])('Keccak-256 of "%s", as the Ethereum yellow paper uses it', (text, digest) => {
  expect(toHex(keccak256(encodeUtf8(text)))).toBe(digest)
})
