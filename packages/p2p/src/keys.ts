/**
 * Public keys as libp2p writes them, and the peer ids they give. Reads strictly: one encoding per key, so that one
 * key has one peer id. Knows no private key.
 */
import { concat, equalBytes, fromHex, toHex } from '@stronghold/core'
import { base58btc } from 'multiformats/bases/base58'

import { cryptoRuntime } from '#runtime'

import { BIT_STRING, DerReader, NULL, OID, SEQUENCE } from './der.ts'
import { bytesField, decodeFields, varintField } from './protobuf.ts'
import type { PeerId } from './identity.ts'

/** Kinds of identity keys. */
export type KeyType = 'rsa' | 'ed25519' | 'secp256k1' | 'ecdsa'

// libp2p/specs peer-ids/peer-ids.md "Keys": enum KeyType by number.
const KEY_TYPES: readonly KeyType[] = ['rsa', 'ed25519', 'secp256k1', 'ecdsa']
const IDENTITY_HASH = 0x00
const SHA2_256_HASH = 0x12

/** Longest public key that is its own peer id, in bytes of its protobuf (peer-ids.md "Peer Ids"). */
export const MAX_INLINE_KEY_BYTES = 42

// Ours: small keys are weak, and time to verify grows with the size of the modulus and of the exponent.
const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 8192
const MAX_RSA_EXPONENT_BYTES = 4

/** Longest public key taken, in bytes of its protobuf: a little more than RSA with 8,192 bits needs. */
export const MAX_PUBLIC_KEY_BYTES = 1100

// RFC 8410 §4, SEC 2 with RFC 5480 §2, before the raw key; RFC 8017 §A.1 and RFC 5480 §2.1.1 as object ids.
const ED25519_SPKI_HEAD = fromHex('302a300506032b6570032100')
const SECP256K1_SPKI_HEAD = fromHex('3036301006072a8648ce3d020106052b8104000a032200')
const RSA_ENCRYPTION = fromHex('2a864886f70d010101')
const EC_PUBLIC_KEY = fromHex('2a8648ce3d0201')

/** Curves of ECDSA keys: their object id in hex, and bytes of a coordinate. */
const CURVES: ReadonlyMap<string, number> = new Map([
  ['2a8648ce3d030107', 32], // P-256
  ['2b81040022', 48], // P-384
  ['2b81040023', 66], // P-521
])

/** A public key, read and checked for its form. */
export interface PublicKey {
  readonly type: KeyType
  /** The key inside the protobuf: 32 raw bytes, a compressed point of 33, or a SubjectPublicKeyInfo. */
  readonly data: Uint8Array
  /** The key as DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), for every type. */
  readonly spki: Uint8Array
}

/** Writes a key as the libp2p protobuf: type, then data, nothing else. Works for private keys alike. */
export function encodeKey(type: KeyType, data: Uint8Array): Uint8Array {
  return concat([varintField(1, KEY_TYPES.indexOf(type)), bytesField(2, data)])
}

/**
 * Takes a key's protobuf apart; it must be in its one deterministic form. Works for private keys alike.
 *
 * @throws `SyntaxError` for another form or an unknown type
 */
export function decodeKey(protobuf: Uint8Array): { type: KeyType; data: Uint8Array } {
  const [first, second] = decodeFields(protobuf)
  const type = typeof first?.value === 'number' ? KEY_TYPES[first.value] : undefined
  const data = second?.value
  if (type === undefined) throw new SyntaxError('Cannot read the key: unknown type')
  if (!(data instanceof Uint8Array) || !equalBytes(encodeKey(type, data), protobuf)) {
    throw new SyntaxError('Cannot read the key: not in its deterministic form')
  }
  return { type, data }
}

/**
 * Reads a public key from its libp2p protobuf: Ed25519, RSA of 2,048 to 8,192 bits, secp256k1 (compressed), ECDSA on
 * P-256, P-384 or P-521 (uncompressed). Whether a point lies on its curve shows when it is used.
 *
 * @throws `SyntaxError` for anything else (libp2p/specs peer-ids/peer-ids.md "Key types")
 */
export function decodePublicKey(protobuf: Uint8Array): PublicKey {
  if (protobuf.byteLength > MAX_PUBLIC_KEY_BYTES)
    throw new SyntaxError('Cannot read the key: too long')
  const { type, data } = decodeKey(protobuf)
  return { type, data, spki: spkiOf(type, data) }
}

function spkiOf(type: KeyType, data: Uint8Array): Uint8Array {
  switch (type) {
    case 'ed25519':
      if (data.byteLength !== 32) throw new SyntaxError('Cannot read the key: Ed25519 has 32 bytes')
      return concat([ED25519_SPKI_HEAD, data])
    case 'secp256k1':
      if (data.byteLength !== 33 || (data[0] !== 2 && data[0] !== 3)) {
        throw new SyntaxError('Cannot read the key: no compressed point')
      }
      return concat([SECP256K1_SPKI_HEAD, data])
    case 'rsa':
      checkRsa(data)
      return data
    case 'ecdsa':
      checkEcdsa(data)
      return data
  }
}

function checkRsa(spki: Uint8Array): void {
  const outer = new DerReader(spki)
  const info = outer.into(SEQUENCE)
  outer.end()
  const algorithm = info.into(SEQUENCE)
  if (!equalBytes(algorithm.next(OID).content, RSA_ENCRYPTION)) {
    throw new SyntaxError('Cannot read the key: not RSA')
  }
  if (algorithm.next(NULL).content.byteLength > 0)
    throw new SyntaxError('Cannot read the key: not RSA')
  algorithm.end()
  const inner = new DerReader(info.bits())
  info.end()
  const numbers = inner.into(SEQUENCE)
  inner.end()
  const modulus = numbers.natural()
  const exponent = numbers.natural()
  numbers.end()
  const bits = modulus.byteLength * 8 - (Math.clz32(modulus[0] ?? 0) - 24)
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) {
    throw new SyntaxError('Cannot read the key: RSA has 2048 to 8192 bits')
  }
  const odd = ((exponent.at(-1) ?? 0) & 1) === 1
  const one = exponent.byteLength === 1 && exponent[0] === 1
  if (exponent.byteLength > MAX_RSA_EXPONENT_BYTES || !odd || one) {
    throw new SyntaxError('Cannot read the key: RSA exponent out of range')
  }
}

function checkEcdsa(spki: Uint8Array): void {
  const outer = new DerReader(spki)
  const info = outer.into(SEQUENCE)
  outer.end()
  const algorithm = info.into(SEQUENCE)
  const kind = algorithm.next(OID).content
  const coordinateBytes = CURVES.get(toHex(algorithm.next(OID).content))
  algorithm.end()
  if (!equalBytes(kind, EC_PUBLIC_KEY) || coordinateBytes === undefined) {
    throw new SyntaxError('Cannot read the key: unknown curve')
  }
  if (info.peek() !== BIT_STRING) throw new SyntaxError('Cannot read the key: no point')
  const point = info.bits()
  info.end()
  if (point[0] !== 4 || point.byteLength !== 1 + 2 * coordinateBytes) {
    throw new SyntaxError('Cannot read the key: no uncompressed point')
  }
}

/** The multihash that is a key's peer id: the protobuf itself up to 42 bytes, else its SHA2-256. */
export function multihashOfKey(protobuf: Uint8Array): Uint8Array {
  return protobuf.byteLength <= MAX_INLINE_KEY_BYTES
    ? concat([Uint8Array.of(IDENTITY_HASH, protobuf.byteLength), protobuf])
    : concat([Uint8Array.of(SHA2_256_HASH, 32), cryptoRuntime.sha256(protobuf)])
}

/** The peer id of a public key in its libp2p protobuf. */
export function peerIdOfKey(protobuf: Uint8Array): PeerId {
  return base58btc.baseEncode(multihashOfKey(protobuf)) as PeerId
}

/** Whether the key's owner signed these bytes. A signature or point of no sense is false, too; never rejects. */
export async function verifySignature(
  key: PublicKey,
  data: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  try {
    return await cryptoRuntime.verify(key, data, signature)
  } catch {
    return false
  }
}
