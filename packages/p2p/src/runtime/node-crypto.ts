/**
 * Cryptography on Node.js: OpenSSL through `node:crypto`, where secrets stay in key objects, and ChaCha20-Poly1305 of
 * libsodium, which works in memory that is there: measured the quickest at every size, most of all below 16 KiB.
 */
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPair,
  generateKeyPairSync,
  hash,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { promisify } from 'node:util'

import { equalBytes, fromHex, toHex, wipe } from '@stronghold/core'
import {
  crypto_aead_chacha20poly1305_ietf_decrypt,
  crypto_aead_chacha20poly1305_ietf_encrypt,
} from 'sodium-native'

import { DerReader, INTEGER, OCTET_STRING, SEQUENCE, der, derNatural, derOid } from '../der.ts'
import type { KeyType } from '../keys.ts'

import type { Aead, CryptoRuntime, DhKey, SigningKey } from './crypto.ts'

// RFC 8410 §4 and §7, before the raw key.
const X25519_SPKI_HEAD = fromHex('302a300506032b656e032100')
const X25519_PKCS8_HEAD = fromHex('302e020100300506032b656e04220420')
const ED25519_PKCS8_HEAD = fromHex('302e020100300506032b657004220420')

// SEC 2 §2.4.1.
const SECP256K1_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

const TAG_BYTES = 16

const RSA_BITS = 3072

const signOnPool = promisify<string, Uint8Array, KeyObject, Buffer>(sign)

/** The platform's cryptography, on Node.js. */
export const cryptoRuntime: CryptoRuntime = {
  sha256: (...parts) => {
    const [only] = parts
    if (parts.length === 1 && only !== undefined) return hash('sha256', only, 'buffer')
    const state = createHash('sha256')
    for (const part of parts) state.update(part)
    return state.digest()
  },

  hmacSha256: (key, ...parts) => {
    const state = createHmac('sha256', key)
    for (const part of parts) state.update(part)
    return state.digest()
  },

  random: (length) => randomBytes(length),

  generateDhKey: () => {
    const { privateKey, publicKey } = generateKeyPairSync('x25519')
    return dhKey(privateKey, publicKey)
  },

  importDhKey: (secret) => {
    const privateKey = pkcs8(X25519_PKCS8_HEAD, secret)
    return dhKey(privateKey, createPublicKey(privateKey))
  },

  createAead: aead,

  verify: async ({ type, spki }, data, signature) => {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    return verify(digestOf(type), data, key, signature)
  },

  generateSecret: async (type) => {
    switch (type) {
      case 'ed25519': {
        const { privateKey } = generateKeyPairSync('ed25519')
        const secretPkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' })
        const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
        try {
          return Buffer.concat([secretPkcs8.subarray(-32), spki.subarray(-32)])
        } finally {
          wipe(secretPkcs8)
        }
      }
      case 'secp256k1': {
        const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
        const secretSec1 = privateKey.export({ format: 'der', type: 'sec1' })
        try {
          return Uint8Array.from(readSec1Secret(secretSec1))
        } finally {
          wipe(secretSec1)
        }
      }
      case 'ecdsa': {
        const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
        return privateKey.export({ format: 'der', type: 'sec1' })
      }
      case 'rsa': {
        const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS })
        return privateKey.export({ format: 'der', type: 'pkcs1' })
      }
    }
  },

  importSecret: async (type, secretData) => {
    const key = importPrivate(type, secretData)
    const publicData = publicDataOf(type, key)
    const named = type === 'ed25519' ? secretData.subarray(32) : publicData
    if (!equalBytes(named, publicData)) {
      throw new SyntaxError('Cannot read the private key: its public half is another')
    }
    return signingKey(type, key, publicData)
  },
}

function dhKey(privateKey: KeyObject, publicKey: KeyObject): DhKey {
  let secret: KeyObject | undefined = privateKey
  return {
    publicKey: publicKey
      .export({ format: 'der', type: 'spki' })
      .subarray(X25519_SPKI_HEAD.byteLength),
    agree: (other) => {
      if (secret === undefined) throw new TypeError('Cannot agree on a secret: the key was wiped')
      if (other.byteLength !== 32) throw new RangeError('Cannot agree on a secret: no X25519 key')
      const key = Buffer.concat([X25519_SPKI_HEAD, other])
      try {
        // OpenSSL refuses a result of all zeros (RFC 7748 §6.1).
        return diffieHellman({
          privateKey: secret,
          publicKey: createPublicKey({ key, format: 'der', type: 'spki' }),
        })
      } catch {
        throw new RangeError('Cannot agree on a secret: the other key gives none')
      }
    },
    // OpenSSL cleanses the key when the object is collected.
    wipe: () => {
      secret = undefined
    },
  }
}

function aead(secretKey: Uint8Array): Aead {
  // In memory that does not move, so that it can be wiped.
  const key = new Uint8Array(new ArrayBuffer(secretKey.byteLength))
  key.set(secretKey)
  return {
    seal: (nonce, associated, parts, into) => {
      let at = 0
      for (const part of parts) {
        into.set(part, at)
        at += part.byteLength
      }
      const plain = into.subarray(0, at)
      crypto_aead_chacha20poly1305_ietf_encrypt(into, plain, some(associated), null, nonce, key)
    },
    open: (nonce, associated, sealed) => {
      if (sealed.byteLength < TAG_BYTES) return undefined
      const plain = sealed.subarray(0, sealed.byteLength - TAG_BYTES)
      try {
        crypto_aead_chacha20poly1305_ietf_decrypt(plain, null, sealed, some(associated), nonce, key)
      } catch {
        return undefined
      }
      return plain
    },
    wipe: () => {
      wipe(key)
    },
  }
}

/** Nothing is no array for libsodium. */
function some(bytes: Uint8Array): Uint8Array | null {
  return bytes.byteLength === 0 ? null : bytes
}

function pkcs8(head: Uint8Array, secret: Uint8Array): KeyObject {
  if (secret.byteLength !== 32) throw new RangeError('Cannot read the private key: no 32 bytes')
  const secretDer = Buffer.concat([head, secret])
  try {
    return createPrivateKey({ key: secretDer, format: 'der', type: 'pkcs8' })
  } finally {
    wipe(secretDer)
  }
}

function importPrivate(type: KeyType, secretData: Uint8Array): KeyObject {
  switch (type) {
    case 'ed25519':
      return pkcs8(ED25519_PKCS8_HEAD, secretData.subarray(0, 32))
    case 'secp256k1': {
      const secretDer = sec1(secretData)
      try {
        return createPrivateKey({ key: Buffer.from(secretDer.buffer), format: 'der', type: 'sec1' })
      } finally {
        wipe(secretDer)
      }
    }
    case 'ecdsa':
      return createPrivateKey({ key: Buffer.from(secretData), format: 'der', type: 'sec1' })
    case 'rsa':
      return createPrivateKey({ key: Buffer.from(secretData), format: 'der', type: 'pkcs1' })
  }
}

// RFC 5915 §3 without the public key, which OpenSSL computes.
function sec1(secret: Uint8Array): Uint8Array {
  if (secret.byteLength !== 32) throw new RangeError('Cannot read the private key: no 32 bytes')
  const octets = der(OCTET_STRING, secret)
  try {
    return der(SEQUENCE, der(INTEGER, Uint8Array.of(1)), octets, der(0xa0, derOid('1.3.132.0.10')))
  } finally {
    wipe(octets)
  }
}

function readSec1Secret(secretSec1: Uint8Array): Uint8Array {
  const reader = new DerReader(secretSec1).into(SEQUENCE)
  reader.next(INTEGER)
  return reader.next(OCTET_STRING).content
}

function publicDataOf(type: KeyType, privateKey: KeyObject): Uint8Array {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  if (type === 'ed25519') return spki.subarray(-32)
  if (type !== 'secp256k1') return spki
  const point = spki.subarray(-65)
  return Buffer.concat([Buffer.of(2 + ((point[64] as number) & 1)), point.subarray(1, 33)])
}

function signingKey(type: KeyType, key: KeyObject, publicData: Uint8Array): SigningKey {
  return {
    type,
    publicData,
    sign: async (data) => {
      // The callback form runs on the thread pool: RSA takes a millisecond and more.
      if (type === 'rsa') return signOnPool('sha256', data, key)
      const signature = sign(digestOf(type), data, key)
      return type === 'secp256k1' ? lowS(signature) : signature
    },
  }
}

/** The same signature with the lower of the two values of s: the only one that other libraries take (BIP 146). */
function lowS(signature: Uint8Array): Uint8Array {
  const reader = new DerReader(signature).into(SEQUENCE)
  const r = reader.natural()
  const s = BigInt(`0x${toHex(reader.natural())}`)
  if (s <= SECP256K1_ORDER / 2n) return signature
  const low = fromHex((SECP256K1_ORDER - s).toString(16).padStart(64, '0'))
  return der(SEQUENCE, derNatural(r), derNatural(low))
}

function digestOf(type: KeyType): string | undefined {
  return type === 'ed25519' ? undefined : 'sha256'
}
