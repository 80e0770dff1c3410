/**
 * Cryptography in browsers: noble for what WebCrypto lacks or has only in some of them, WebCrypto for RSA and ECDSA.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concat, equalBytes, toHex, wipe } from '@stronghold/core'

import {
  DerReader,
  INTEGER,
  NULL,
  OCTET_STRING,
  OID,
  SEQUENCE,
  der,
  derBits,
  derNatural,
  derOid,
} from '../der.ts'
import type { KeyType } from '../keys.ts'

import type { Aead, CryptoRuntime, DhKey, SigningKey } from './crypto.ts'

const TAG_BYTES = 16
const RSA: RsaHashedImportParams = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
const RSA_BITS = 3072

/** WebCrypto's name of a curve and bytes of its coordinates, by its object id in hex (RFC 5480 §2.1.1.1). */
const CURVES: ReadonlyMap<string, { namedCurve: string; bytes: number }> = new Map([
  ['2a8648ce3d030107', { namedCurve: 'P-256', bytes: 32 }],
  ['2b81040022', { namedCurve: 'P-384', bytes: 48 }],
  ['2b81040023', { namedCurve: 'P-521', bytes: 66 }],
])

/** The platform's cryptography, in browsers. */
export const cryptoRuntime: CryptoRuntime = {
  sha256: (...parts) => {
    const state = sha256.create()
    for (const part of parts) state.update(part)
    return state.digest()
  },

  hmacSha256: (key, ...parts) => {
    const state = hmac.create(sha256, key)
    for (const part of parts) state.update(part)
    return state.digest()
  },

  random: (length) => crypto.getRandomValues(new Uint8Array(length)),

  generateDhKey: () => dhKey(x25519.utils.randomSecretKey()),

  importDhKey: (secret) => dhKey(Uint8Array.from(secret)),

  createAead: aead,

  verify: async ({ type, data: key, spki }, data, signature) => {
    switch (type) {
      case 'ed25519':
        return ed25519.verify(signature, data, key, { zip215: false })
      case 'secp256k1':
        return secp256k1.verify(signature, data, key, { format: 'der', lowS: false })
      case 'rsa': {
        const imported = await crypto.subtle.importKey('spki', own(spki), RSA, false, ['verify'])
        return crypto.subtle.verify(RSA, imported, own(signature), own(data))
      }
      case 'ecdsa': {
        const { namedCurve, bytes } = curveOf(spki)
        const algorithm = { name: 'ECDSA', namedCurve }
        const imported = await crypto.subtle.importKey('spki', own(spki), algorithm, false, [
          'verify',
        ])
        const raw = own(rawSignature(signature, bytes))
        return crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, imported, raw, own(data))
      }
    }
  },

  generateSecret: async (type) => {
    switch (type) {
      case 'ed25519': {
        const secret = ed25519.utils.randomSecretKey()
        return concat([secret, ed25519.getPublicKey(secret)])
      }
      case 'secp256k1':
        return secp256k1.utils.randomSecretKey()
      case 'ecdsa': {
        const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
        const pair = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
        const secretPkcs8 = await exported('pkcs8', pair.privateKey)
        const point = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey))
        // RFC 5915 §3, with the curve, which PKCS #8 keeps outside.
        const inner = new DerReader(unwrapPkcs8(secretPkcs8)).into(SEQUENCE)
        inner.next(INTEGER)
        const secret = inner.next(OCTET_STRING).whole
        const sec1 = der(
          SEQUENCE,
          der(INTEGER, Uint8Array.of(1)),
          secret,
          der(0xa0, derOid('1.2.840.10045.3.1.7')),
          der(0xa1, derBits(point)),
        )
        wipe(secretPkcs8)
        return sec1
      }
      case 'rsa': {
        const algorithm = {
          ...RSA,
          modulusLength: RSA_BITS,
          publicExponent: Uint8Array.of(1, 0, 1),
        }
        const pair = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
        return unwrapPkcs8(await exported('pkcs8', pair.privateKey))
      }
    }
  },

  importSecret: async (type, secretData) => {
    switch (type) {
      case 'ed25519': {
        const secret = Uint8Array.from(secretData.subarray(0, 32))
        const publicData = ed25519.getPublicKey(secret)
        if (!equalBytes(secretData.subarray(32), publicData)) {
          throw new SyntaxError('Cannot read the private key: its public half is another')
        }
        return signer(type, publicData, async (data) => ed25519.sign(data, secret))
      }
      case 'secp256k1': {
        const secret = Uint8Array.from(secretData)
        const publicData = secp256k1.getPublicKey(secret, true)
        return signer(type, publicData, async (data) =>
          secp256k1.sign(data, secret, { format: 'der' }),
        )
      }
      case 'ecdsa':
        return importEcdsa(secretData)
      case 'rsa':
        return importRsa(secretData)
    }
  },
}

function dhKey(secret: Uint8Array): DhKey {
  return {
    publicKey: x25519.getPublicKey(secret),
    agree: (other) => {
      if (other.byteLength !== 32) throw new RangeError('Cannot agree on a secret: no X25519 key')
      try {
        return x25519.getSharedSecret(secret, other)
      } catch {
        throw new RangeError('Cannot agree on a secret: the other key gives none')
      }
    },
    wipe: () => {
      wipe(secret)
    },
  }
}

function aead(secretKey: Uint8Array): Aead {
  const key = Uint8Array.from(secretKey)
  return {
    seal: (nonce, associated, parts, into) => {
      const plain = parts.length === 1 ? (parts[0] as Uint8Array) : concat(parts)
      chacha20poly1305(key, nonce, associated).encrypt(plain, into)
    },
    open: (nonce, associated, sealed) => {
      if (sealed.byteLength < TAG_BYTES) return undefined
      try {
        return chacha20poly1305(key, nonce, associated).decrypt(sealed)
      } catch {
        return undefined
      }
    },
    wipe: () => {
      wipe(key)
    },
  }
}

async function importEcdsa(secretSec1: Uint8Array): Promise<SigningKey> {
  const outer = new DerReader(secretSec1)
  const reader = outer.into(SEQUENCE)
  outer.end()
  reader.next(INTEGER)
  const secret = reader.next(OCTET_STRING).content
  const curve = reader.into(0xa0).next(OID)
  const point = reader.into(0xa1).bits()
  const known = CURVES.get(toHex(curve.content))
  if (known === undefined) throw new SyntaxError('Cannot read the private key: unknown curve')
  const kind = der(SEQUENCE, derOid('1.2.840.10045.2.1'), curve.whole)
  const inner = der(
    SEQUENCE,
    der(INTEGER, Uint8Array.of(1)),
    der(OCTET_STRING, secret),
    der(0xa1, derBits(point)),
  )
  const secretPkcs8 = wrapPkcs8(kind, inner)
  const algorithm = { name: 'ECDSA', namedCurve: known.namedCurve }
  const key = await crypto.subtle.importKey('pkcs8', own(secretPkcs8), algorithm, false, ['sign'])
  wipe(inner, secretPkcs8)
  return signer('ecdsa', der(SEQUENCE, kind, derBits(point)), async (data) => {
    const raw = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key, own(data))
    return derSignature(new Uint8Array(raw))
  })
}

async function importRsa(secretPkcs1: Uint8Array): Promise<SigningKey> {
  const outer = new DerReader(secretPkcs1)
  const reader = outer.into(SEQUENCE)
  outer.end()
  reader.next(INTEGER)
  const numbers = der(SEQUENCE, derNatural(reader.natural()), derNatural(reader.natural()))
  const kind = der(SEQUENCE, derOid('1.2.840.113549.1.1.1'), der(NULL))
  const secretPkcs8 = wrapPkcs8(kind, secretPkcs1)
  const key = await crypto.subtle.importKey('pkcs8', own(secretPkcs8), RSA, false, ['sign'])
  wipe(secretPkcs8)
  return signer(
    'rsa',
    der(SEQUENCE, kind, derBits(numbers)),
    async (data) => new Uint8Array(await crypto.subtle.sign(RSA, key, own(data))),
  )
}

function signer(
  type: KeyType,
  publicData: Uint8Array,
  sign: (data: Uint8Array) => Promise<Uint8Array>,
): SigningKey {
  return { type, publicData, sign }
}

async function exported(format: 'pkcs8', key: CryptoKey): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.exportKey(format, key))
}

// RFC 5958 §2: version, algorithm, the key as octets.
function wrapPkcs8(kind: Uint8Array, secret: Uint8Array): Uint8Array {
  return der(SEQUENCE, der(INTEGER, Uint8Array.of(0)), kind, der(OCTET_STRING, secret))
}

function unwrapPkcs8(secretPkcs8: Uint8Array): Uint8Array {
  const reader = new DerReader(secretPkcs8).into(SEQUENCE)
  reader.next(INTEGER)
  reader.next(SEQUENCE)
  return reader.next(OCTET_STRING).content
}

function curveOf(spki: Uint8Array): { namedCurve: string; bytes: number } {
  const algorithm = new DerReader(spki).into(SEQUENCE).into(SEQUENCE)
  algorithm.next(OID)
  const curve = CURVES.get(toHex(algorithm.next(OID).content))
  if (curve === undefined) throw new SyntaxError('Cannot read the key: unknown curve')
  return curve
}

// WebCrypto has r and s side by side at full length (FIPS 186-5), libp2p has them in DER (RFC 3279 §2.2.3).
function rawSignature(signature: Uint8Array, bytes: number): Uint8Array {
  const outer = new DerReader(signature)
  const reader = outer.into(SEQUENCE)
  outer.end()
  const raw = new Uint8Array(2 * bytes)
  for (const end of [bytes, 2 * bytes]) {
    const number = reader.natural()
    if (number.byteLength > bytes)
      throw new SyntaxError('Cannot read the signature: number too large')
    raw.set(number, end - number.byteLength)
  }
  reader.end()
  return raw
}

function derSignature(raw: Uint8Array): Uint8Array {
  const half = raw.byteLength / 2
  return der(SEQUENCE, derNatural(raw.subarray(0, half)), derNatural(raw.subarray(half)))
}

// WebCrypto takes no view of memory that may be shared.
function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : Uint8Array.from(bytes)
}
