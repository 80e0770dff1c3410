import { encodeUtf8, equalBytes, fromHex, toHex } from '@stronghold/core'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'

import { compressPoint, samePublicKey, SECRET_KEY_BYTES } from '../../src/formats/key-pairs.ts'
import { derElement, INTEGER, OCTET_STRING, SEQUENCE } from '../../src/formats/der.ts'
import { readPkcs8, readPrivatePem, readSec1, writePkcs8 } from '../../src/formats/pkcs8.ts'
import type { PrivateKeyParts } from '../../src/formats/pkcs8.ts'
import { readSpki, readSpkiPem, writeSpki, writeSpkiPem } from '../../src/formats/spki.ts'
import { writeAlgorithm } from '../../src/formats/algorithm.ts'
import { Slab } from '../../src/secret.ts'
import { desk, isThere } from './_judges.ts'
import { compressed, PAIR_TYPES, testPair } from './_keys.ts'

const slab = new Slab({ bytes: 256 * 1024 })
afterEach(() => {
  expect(slab.used).toBe(0)
})

/** Takes what was read out of secret memory. */
function opened(parts: PrivateKeyParts): {
  type: string
  secretKey: string
  claimed: string | undefined
} {
  using secret = parts.secretKey
  return {
    type: parts.type,
    secretKey: toHex(secret.bytes),
    claimed: parts.claimedPublic === undefined ? undefined : toHex(parts.claimedPublic),
  }
}

const readPem = (text: string): ReturnType<typeof opened> =>
  opened(readPrivatePem(encodeUtf8(text), slab))

function der(key: KeyObject, type: 'pkcs8' | 'sec1' | 'spki'): Uint8Array {
  return new Uint8Array(key.export({ format: 'der', type: type as 'pkcs8' }))
}

// RFC 8410 §10.3, both forms of one key.
const RFC_8410_SECRET = 'd4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842'
const RFC_8410_V1 = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
`
const RFC_8410_V2 = `-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
`
// RFC 8410 §10.1.
const RFC_8410_PUBLIC = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`
const RFC_8410_PUBLIC_HEX = '19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1'

describe('RFC 8410', () => {
  test('§10.3 without a public half', () => {
    expect(readPem(RFC_8410_V1)).toEqual({
      type: 'ed25519',
      secretKey: RFC_8410_SECRET,
      claimed: undefined,
    })
  })
  test('§10.3 with attributes and a public half, which is a claim', () => {
    expect(readPem(RFC_8410_V2)).toEqual({
      type: 'ed25519',
      secretKey: RFC_8410_SECRET,
      claimed: RFC_8410_PUBLIC_HEX,
    })
  })
  test('§10.1 the public key, both ways', () => {
    const key = readSpkiPem(encodeUtf8(RFC_8410_PUBLIC))
    expect({ ...key, publicKey: toHex(key.publicKey) }).toEqual({
      type: 'ed25519',
      publicKey: RFC_8410_PUBLIC_HEX,
    })
    expect(writeSpkiPem(key)).toBe(RFC_8410_PUBLIC)
  })
})

describe.each(PAIR_TYPES)('%s', (type) => {
  test('a key that Node.js writes is read, and one that we write is read by Node.js', () => {
    for (let i = 0; i < 10; i++) {
      const pair = testPair(type)
      const read = opened(readPkcs8(der(pair.privateObject, 'pkcs8'), slab))
      expect(read.type).toBe(type)
      expect(read.secretKey).toBe(toHex(pair.secretKey))
      if (read.claimed !== undefined) expect(read.claimed).toBe(toHex(pair.publicKey))
      using ours = writePkcs8(type, pair.secretKey, slab)
      const theirs = createPrivateKey({
        key: Buffer.from(ours.bytes),
        format: 'der',
        type: 'pkcs8',
      })
      expect(theirs.equals(pair.privateObject)).toBe(true)
      expect(opened(readPkcs8(ours.bytes, slab)).secretKey).toBe(toHex(pair.secretKey))
    }
  })

  test('the public key is written byte for byte as Node.js writes it, and read', () => {
    const { publicKey, publicObject } = testPair(type)
    expect(writeSpki({ type, publicKey })).toEqual(der(publicObject, 'spki'))
    expect(readSpki(der(publicObject, 'spki'))).toEqual({ type, publicKey })
    const pem = String(publicObject.export({ format: 'pem', type: 'spki' }))
    expect(writeSpkiPem({ type, publicKey })).toBe(pem)
    expect(createPublicKey(pem).equals(publicObject)).toBe(true)
  })

  test('a key of another length is refused, both ways', () => {
    const { secretKey, publicKey } = testPair(type)
    expect(() => writePkcs8(type, secretKey.subarray(1), slab)).toThrow(RangeError)
    expect(() => writeSpki({ type, publicKey: publicKey.subarray(1) })).toThrow(TypeError)
    const long = new Uint8Array(SECRET_KEY_BYTES[type] + 1)
    const inner = type.endsWith('25519')
      ? derElement(OCTET_STRING, long)
      : derElement(SEQUENCE, derElement(INTEGER, Uint8Array.of(1)), derElement(OCTET_STRING, long))
    const whole = derElement(
      SEQUENCE,
      derElement(INTEGER, Uint8Array.of(0)),
      writeAlgorithm(type),
      derElement(OCTET_STRING, inner),
    )
    expect(() => readPkcs8(whole, slab)).toThrow(`${long.byteLength} bytes are no ${type} key`)
  })
})

describe.each(['secp256k1', 'p256', 'p384'] as const)('%s', (type) => {
  test('SEC1 as Node.js writes it is read', () => {
    const pair = testPair(type)
    expect(opened(readSec1(der(pair.privateObject, 'sec1'), slab))).toEqual({
      type,
      secretKey: toHex(pair.secretKey),
      claimed: toHex(pair.publicKey),
    })
    expect(readPem(String(pair.privateObject.export({ format: 'pem', type: 'sec1' }))).type).toBe(
      type,
    )
  })

  test('a scalar whose leading zeros were dropped is padded', () => {
    const inner = derElement(
      SEQUENCE,
      derElement(INTEGER, Uint8Array.of(1)),
      derElement(OCTET_STRING, Uint8Array.of(7)),
    )
    const whole = derElement(
      SEQUENCE,
      derElement(INTEGER, Uint8Array.of(0)),
      writeAlgorithm(type),
      derElement(OCTET_STRING, inner),
    )
    expect(opened(readPkcs8(whole, slab)).secretKey).toBe(
      `${'00'.repeat(SECRET_KEY_BYTES[type] - 1)}07`,
    )
  })

  test('a point is shortened as OpenSSL shortens it, and both forms are the same key', () => {
    for (let i = 0; i < 10; i++) {
      const { publicKey } = testPair(type)
      const short = compressPoint(publicKey)
      expect(short).toEqual(compressed(type, publicKey))
      expect(samePublicKey(short, publicKey)).toBe(true)
      expect(samePublicKey(publicKey, publicKey)).toBe(true)
      expect(samePublicKey(short.with(0, short[0] === 2 ? 3 : 2), publicKey)).toBe(false)
    }
    expect(() => compressPoint(new Uint8Array(65))).toThrow(TypeError)
    expect(() => compressPoint(Uint8Array.of(4, 1, 1))).toThrow(TypeError)
  })
})

test('a claim is compared as it stands where a key is no point', () => {
  const { publicKey } = testPair('ed25519')
  expect(samePublicKey(publicKey, publicKey)).toBe(true)
  expect(samePublicKey(publicKey.subarray(1), publicKey)).toBe(false)
})

describe('what is refused', () => {
  const valid = der(testPair('p256').privateObject, 'pkcs8')
  // OneAsymmetricKey of RFC 8410 §10.3, version 1 and 2, to be changed.
  const v1 = '302e020100300506032b657004220420' + RFC_8410_SECRET
  test.each([
    ['version 3', v1.replace('020100', '020102'), 'an unknown version at byte 5'],
    [
      'parameters where none may be',
      v1.replace('302e', '3030').replace('300506032b6570', '300706032b65700500'),
      'more than there should be',
    ],
    [
      'a public half in version 1',
      `${v1.replace('302e', '3051')}812100${RFC_8410_PUBLIC_HEX}`,
      'more than there should be',
    ],
    ['something behind', `${v1}00`, 'more than there should be at byte 48'],
    ['Ed448', v1.replace('2b6570', '2b6571'), 'Ed448 is not supported'],
    [
      'an unknown algorithm',
      v1.replace('2b6570', '2b6579'),
      'object identifier 1.3.101.121 is not supported',
    ],
    ['RSA', '3015020100300d06092a864886f70d01010105000401ff', 'RSA is not supported'],
    ['a curve spelled out', '3015020100300d06072a8648ce3d020130020500040100', 'spelled out'],
    ['P-521', '3017020100301006072a8648ce3d020106052b810400230400', 'P-521 is not supported'],
    ['an encrypted key', '300a300606032b65700400ff', 'type: openssl pkcs8 -in FILE'],
  ])('%s', (_, hex, message) => {
    expect(() => readPkcs8(fromHex(hex), slab)).toThrow(message)
    expect(() => readPkcs8(fromHex(hex), slab)).toThrow(SyntaxError)
  })

  test('the curve inside must be the one outside', () => {
    const { secretKey } = testPair('p256')
    const k256 = derElement(0xa0, fromHex('06052b8104000a'))
    const inner = derElement(
      SEQUENCE,
      derElement(INTEGER, Uint8Array.of(1)),
      derElement(OCTET_STRING, secretKey),
      k256,
    )
    const whole = derElement(
      SEQUENCE,
      derElement(INTEGER, Uint8Array.of(0)),
      writeAlgorithm('p256'),
      derElement(OCTET_STRING, inner),
    )
    expect(() => readPkcs8(whole, slab)).toThrow('two curves')
    expect(opened(readSec1(inner, slab)).type).toBe('secp256k1')
  })

  test('SEC1 without a curve', () => {
    const inner = derElement(
      SEQUENCE,
      derElement(INTEGER, Uint8Array.of(1)),
      derElement(OCTET_STRING, new Uint8Array(32)),
    )
    expect(() => readSec1(inner, slab)).toThrow('no curve')
  })

  test('a key that is cut off anywhere', () => {
    for (let length = 0; length < valid.byteLength; length++) {
      expect(() => readPkcs8(valid.subarray(0, length), slab)).toThrow(SyntaxError)
    }
  })

  test('an error never holds what a key holds', () => {
    const { secretKey, privateObject } = testPair('p256')
    const bytes = der(privateObject, 'pkcs8')
    for (let at = 0; at < bytes.byteLength; at++) {
      const changed = Uint8Array.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 0x55
      try {
        opened(readPkcs8(changed, slab))
      } catch (error) {
        const text = String(error)
        expect(text).not.toContain(toHex(secretKey.subarray(0, 4)))
      }
    }
  })

  test('a compressed point says what to type', () => {
    const { publicKey } = testPair('p256')
    const short = compressed('p256', publicKey)
    const spki = derElement(
      SEQUENCE,
      writeAlgorithm('p256'),
      derElement(0x03, Uint8Array.of(0), short),
    )
    expect(() => readSpki(spki)).toThrow('openssl ec -pubin -in FILE -conv_form uncompressed')
  })
})

describe.skipIf(!isThere('openssl'))('openssl', () => {
  test.each([
    ['ed25519', ['genpkey', '-algorithm', 'ed25519']],
    ['x25519', ['genpkey', '-algorithm', 'x25519']],
    ['p256', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']],
    ['p384', ['ecparam', '-genkey', '-name', 'secp384r1']],
    ['secp256k1', ['ecparam', '-genkey', '-name', 'secp256k1']],
    ['p256', ['ecparam', '-genkey', '-name', 'prime256v1', '-conv_form', 'compressed']],
  ] as const)('%s: reads back the key that it wrote and we read', (type, args) => {
    const { run, write } = desk()
    const pem = run('openssl', args)
    const key = readPrivatePem(encodeUtf8(pem), slab)
    using secret = key.secretKey
    expect(key.type).toBe(type)
    using ours = writePkcs8(type, secret.bytes, slab)
    write('ours.der', ours.bytes)
    const publicPem = run('openssl', ['pkey', '-inform', 'DER', '-in', 'ours.der', '-pubout'])
    expect(publicPem).toBe(
      run(
        'openssl',
        ['pkey', '-pubout'],
        pem.replace(/-----BEGIN EC PARAM[^]*END EC PARAMETERS-----\n/, ''),
      ),
    )
    const computed = readSpkiPem(encodeUtf8(publicPem)).publicKey
    if (key.claimedPublic !== undefined)
      expect(samePublicKey(key.claimedPublic, computed)).toBe(true)
    run('openssl', ['asn1parse', '-inform', 'DER', '-in', 'ours.der'])
  })

  test('an encrypted key is refused with what to type, which gives one that is read', () => {
    const { run, write } = desk()
    const pem = run('openssl', ['genpkey', '-algorithm', 'ed25519'])
    write('plain.pem', pem)
    const sealed = run('openssl', ['pkcs8', '-topk8', '-in', 'plain.pem', '-passout', 'pass:word'])
    write('sealed.pem', sealed)
    expect(() => readPem(sealed)).toThrow('type: openssl pkcs8 -in FILE')
    const open = run('openssl', ['pkcs8', '-in', 'sealed.pem', '-passin', 'pass:word'])
    expect(readPem(open)).toEqual(readPem(pem))
  })

  test('a key encrypted the old way is refused with what to type, which gives one that is read', () => {
    const { run, write } = desk()
    const pem = run('openssl', ['ecparam', '-genkey', '-noout', '-name', 'prime256v1'])
    const sealed = run('openssl', ['ec', '-aes256', '-passout', 'pass:word'], pem)
    write('sealed.pem', sealed)
    expect(() => readPem(sealed)).toThrow('type: openssl pkey -in FILE')
    const open = run('openssl', ['pkey', '-in', 'sealed.pem', '-passin', 'pass:word'])
    expect(readPem(open)).toEqual(readPem(pem))
  })

  test('a compressed public key is read after what the sentence says to type', () => {
    const { run, write } = desk()
    const pem = run('openssl', ['ecparam', '-genkey', '-noout', '-name', 'prime256v1'])
    write('short.pem', run('openssl', ['ec', '-pubout', '-conv_form', 'compressed'], pem))
    const open = run('openssl', ['ec', '-pubin', '-in', 'short.pem', '-conv_form', 'uncompressed'])
    const { publicKey } = readSpkiPem(encodeUtf8(open))
    const { claimed } = readPem(pem)
    expect(equalBytes(publicKey, fromHex(claimed ?? ''))).toBe(true)
  })

  test('RSA is refused by name', () => {
    const { run } = desk()
    const pem = run('openssl', ['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'])
    expect(() => readPem(pem)).toThrow('RSA is not supported')
  })
})
