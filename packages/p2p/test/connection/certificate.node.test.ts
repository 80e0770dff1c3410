import { createPublicKey, verify } from 'node:crypto'

import { concat, encodeUtf8, fromHex } from '@stronghold/core'
import { publishedVectors } from '@stronghold/testkit'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'

import { decodeCertificate, encodeCertificate } from '../../src/connection/certificate.ts'
import { GENERALIZED_TIME, OCTET_STRING, SEQUENCE, UTC_TIME, der } from '../../src/der.ts'
import { peerIdOfKey, verifySignature } from '../../src/keys.ts'
import { openIdentity } from '../../src/open-identity.ts'
import type {
  CertifiedIdentity,
  VerifyCertificateSignature,
} from '../../src/connection/certificate.ts'
import type { KeyType } from '../../src/keys.ts'
import type { Identity } from '../../src/open-identity.ts'

import { LIBP2P_OID, craft, extension } from './craft-certificate.ts'
import type { Craft } from './craft-certificate.ts'
import { tlsRuntime } from '../../src/runtime/node-tls.ts'

const { verifyCertificateSignature } = tlsRuntime

function decode(certificate: Uint8Array, nowMs = Date.now()): CertifiedIdentity {
  return decodeCertificate(certificate, nowMs, verifyCertificateSignature)
}

interface CertificateVectors {
  vectors: { name: string; valid: boolean; certificate_hex: string; peer_id: string | null }[]
}

const file = publishedVectors('libp2p/tls-certificates.json') as CertificateVectors | undefined

describe.skipIf(file === undefined)('libp2p/tls-certificates.json', () => {
  it.each(file?.vectors ?? [])('$name', async ({ valid, certificate_hex, peer_id }) => {
    const { publicKey, key, signedBytes, signature } = decode(fromHex(certificate_hex))
    expect(await verifySignature(key, signedBytes, signature)).toBe(valid)
    if (valid) expect(peerIdOfKey(publicKey)).toBe(peer_id)
  })
})

let identity: Identity
beforeAll(async () => {
  identity = await openIdentity({ generate: 'ed25519' })
})

async function verdict(init: Omit<Craft, 'identity'>): Promise<string> {
  try {
    const { certificate } = await craft({ identity, ...init })
    const { publicKey, key, signedBytes, signature } = decode(certificate)
    expect(publicKey).toEqual(identity.publicKey)
    return (await verifySignature(key, signedBytes, signature)) ? 'trusted' : 'not proven'
  } catch (error) {
    if (error instanceof SyntaxError) return error.message
    throw error
  }
}

const UNKNOWN = '1.2.3.4'
const VALUE = Uint8Array.of(5, 0)

describe('decodeCertificate() trusts', () => {
  it.each<[string, Omit<Craft, 'identity'>]>([
    ['a plain one', {}],
    [
      'one with unknown extensions before and after',
      { before: [extension(UNKNOWN, VALUE)], after: [extension('1.2.3.5', VALUE)] },
    ],
    [
      'one with a critical key usage for signatures',
      { before: [extension('2.5.29.15', fromHex('03020780'), 0xff)] },
    ],
    [
      'one with critical basic constraints',
      { before: [extension('2.5.29.19', der(SEQUENCE), 0xff)] },
    ],
  ])('%s', async (_, init) => {
    expect(await verdict(init)).toBe('trusted')
  })

  it('one whose libp2p extension is critical', async () => {
    const plain = await craft({ identity })
    expect(decode(plain.certificate).publicKey).toEqual(identity.publicKey)
  })
})

describe('decodeCertificate() refuses', () => {
  it.each<[string, Omit<Craft, 'identity'>, RegExp]>([
    ['an expired one', { validTo: -1 }, /it has expired/],
    ['one that is not valid yet', { validFrom: 60 }, /not valid yet/],
    [
      'an unknown critical extension',
      { before: [extension(UNKNOWN, VALUE, 0xff)] },
      /unknown critical/,
    ],
    [
      'an unknown critical extension behind ours',
      { after: [extension(UNKNOWN, VALUE, 0xff)] },
      /unknown critical/,
    ],
    ['a default written out', { before: [extension(UNKNOWN, VALUE, 0)] }, /malformed extension/],
    [
      'one without the libp2p extension',
      { libp2p: null, before: [extension(UNKNOWN, VALUE)] },
      /no libp2p extension/,
    ],
    ['one without extensions', { libp2p: null }, /no libp2p extension/],
    [
      'the same extension twice',
      { before: [extension(UNKNOWN, VALUE), extension(UNKNOWN, VALUE)] },
      /too many/,
    ],
    [
      '33 extensions',
      { before: Array.from({ length: 32 }, (_, i) => extension(`1.2.${i}`, VALUE)) },
      /too many/,
    ],
    [
      'a key usage without signatures',
      { before: [extension('2.5.29.15', fromHex('03020520'), 0xff)] },
      /not for signatures/,
    ],
    [
      'a changed part under its own signature',
      { alter: (bytes) => bytes.with(11, (bytes[11] as number) ^ 2) },
      /own signature is wrong/,
    ],
    ['an identity that signed another key', { misproven: true }, /^not proven$/],
    ['version 1', { version: 0 }, /version 3/],
    ['two algorithms', { outer: fromHex('300a06082a8648ce3d040303') }, /two algorithms/],
    [
      'SHA-1',
      { inner: fromHex('300906072a8648ce3d0401'), outer: fromHex('300906072a8648ce3d0401') },
      /algorithm is unknown/,
    ],
    [
      'a 31st of February',
      {
        times: [
          der(UTC_TIME, encodeUtf8('250231000000Z')),
          der(UTC_TIME, encodeUtf8('350101000000Z')),
        ],
      },
      /malformed time/,
    ],
    [
      'a time with fractions',
      {
        times: [
          der(GENERALIZED_TIME, encodeUtf8('20250101000000.5Z')),
          der(UTC_TIME, encodeUtf8('350101000000Z')),
        ],
      },
      /malformed time/,
    ],
    [
      'a time with an offset',
      {
        times: [
          der(UTC_TIME, encodeUtf8('250101000000+0100')),
          der(UTC_TIME, encodeUtf8('350101000000Z')),
        ],
      },
      /malformed time/,
    ],
    ['bytes behind it', { trailing: Uint8Array.of(0) }, /bytes left over/],
    ['a libp2p extension that is junk', { libp2p: extension(LIBP2P_OID, VALUE) }, /DER/],
    [
      'a key in it that is none',
      {
        libp2p: extension(
          LIBP2P_OID,
          der(SEQUENCE, der(OCTET_STRING, VALUE), der(OCTET_STRING, VALUE)),
        ),
      },
      /Cannot read protobuf/,
    ],
    ['one above 16 KiB', { before: [extension(UNKNOWN, new Uint8Array(16_384))] }, /too long/],
  ])('%s', async (_, init, message) => {
    expect(await verdict(init)).toMatch(message)
  })

  it('every certificate cut off, and junk, with one kind of error', async () => {
    const { certificate } = await craft({ identity })
    const never: VerifyCertificateSignature = () => false
    const refuses = (bytes: Uint8Array): void => {
      expect(() => decodeCertificate(bytes, Date.now(), never)).toThrow(SyntaxError)
    }
    for (let length = 0; length < certificate.byteLength; length++)
      refuses(certificate.subarray(0, length))
    for (let i = 0; i < certificate.byteLength; i++)
      refuses(certificate.with(i, (certificate[i] as number) ^ 0x41))
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), refuses), { numRuns: 3000 })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        refuses(der(SEQUENCE, der(SEQUENCE, bytes), certificate))
      }),
    )
  })

  it('every single byte changed, under the true verifier', async () => {
    const { certificate } = await craft({ identity })
    for (let i = 0; i < certificate.byteLength; i++) {
      const bytes = certificate.with(i, (certificate[i] as number) ^ 1)
      expect(() => decode(bytes), `byte ${i}`).toThrow(SyntaxError)
    }
  })
})

describe('encodeCertificate()', () => {
  it.each<KeyType>(['ed25519', 'secp256k1', 'ecdsa', 'rsa'])(
    'certifies an identity of type %s',
    async (type) => {
      const owner = await openIdentity({ generate: type })
      const key = tlsRuntime.generateCertificateKey()
      const nowMs = Date.UTC(2049, 11, 31)
      const certificate = encodeCertificate({
        publicKey: owner.publicKey,
        signature: await owner.sign(concat([encodeUtf8('libp2p-tls-handshake:'), key.spki])),
        spki: key.spki,
        sign: (data) => key.sign(data),
        serial: new Uint8Array(16),
        notBeforeMs: nowMs,
        notAfterMs: nowMs + 2 * 86_400_000,
      })
      const {
        publicKey,
        key: certified,
        signedBytes,
        signature,
      } = decode(certificate, nowMs + 86_400_000)
      expect(publicKey).toEqual(owner.publicKey)
      expect(await verifySignature(certified, signedBytes, signature)).toBe(true)
      expect(() => decode(certificate, nowMs - 1)).toThrow('not valid yet')
      expect(() => decode(certificate, nowMs + 2 * 86_400_000 + 1)).toThrow('expired')
      // Node.js reads it, too, and finds the same key.
      const { X509Certificate } = await import('node:crypto')
      const read = new X509Certificate(certificate)
      expect(read.verify(read.publicKey)).toBe(true)
      expect(read.publicKey.export({ format: 'der', type: 'spki' })).toEqual(Buffer.from(key.spki))
      const spki = createPublicKey({ key: Buffer.from(key.spki), format: 'der', type: 'spki' })
      expect(verify('sha256', Uint8Array.of(1), spki, key.sign(Uint8Array.of(1)))).toBe(true)
    },
  )
})
