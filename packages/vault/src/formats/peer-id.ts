/**
 * The peer id of a public key, as libp2p names nodes (libp2p/specs peer-ids/peer-ids.md). It is computed from the key
 * and only written; a network reads it.
 */
import { createHash } from 'node:crypto'

import { concat } from '@stronghold/core'

import { assertPublicKey, compressPoint } from './key-pairs.ts'
import { writeSpki } from './spki.ts'
import type { PublicKeyParts } from './spki.ts'

/** `base58btc`: as `12D3KooW…`. `cid`: as `bafz…`, a CIDv1 in base32. */
export type PeerIdForm = 'base58btc' | 'cid'

// peer-ids.md "Keys": enum KeyType by number; field 1 is the type, field 2 the key.
const KEY_TYPES = { ed25519: 1, secp256k1: 2, p256: 3 } as const
/** peer-ids.md "Peer Ids": a shorter key is its own hash. */
const MAX_INLINE_BYTES = 42
// The table of multicodec.
const IDENTITY = 0x00
const SHA2_256 = 0x12
const CID_V1 = 0x01
const LIBP2P_KEY = 0x72

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

/**
 * Writes the peer id of a public key: ed25519, secp256k1 or p256.
 *
 * @throws `TypeError` for a type that libp2p does not know, or bytes that are no such key
 */
export function writePeerId(key: PublicKeyParts, form: PeerIdForm = 'base58btc'): string {
  const multihash = multihashOf(writeLibp2pKey(key))
  return form === 'base58btc'
    ? base58(multihash)
    : `b${base32(concat([Uint8Array.of(CID_V1, LIBP2P_KEY), multihash]))}`
}

/** Writes libp2p's protobuf of a public key. @throws as `writePeerId` */
export function writeLibp2pKey(key: PublicKeyParts): Uint8Array {
  const { type, publicKey } = key
  if (type !== 'ed25519' && type !== 'secp256k1' && type !== 'p256') {
    throw new TypeError(`Cannot write peer id: libp2p knows no ${type} keys`)
  }
  assertPublicKey(type, publicKey)
  const data =
    type === 'ed25519'
      ? publicKey
      : type === 'secp256k1'
        ? compressPoint(publicKey)
        : writeSpki(key)
  // Protobuf: field number and wire type in one byte; all lengths are below 128.
  return concat([Uint8Array.of(0x08, KEY_TYPES[type], 0x12, data.byteLength), data])
}

function multihashOf(key: Uint8Array): Uint8Array {
  if (key.byteLength <= MAX_INLINE_BYTES) {
    return concat([Uint8Array.of(IDENTITY, key.byteLength), key])
  }
  const hash = createHash('sha256').update(key).digest()
  return concat([Uint8Array.of(SHA2_256, hash.byteLength), hash])
}

function base58(bytes: Uint8Array): string {
  let value = 0n
  for (const byte of bytes) value = value * 256n + BigInt(byte)
  let text = ''
  for (; value > 0n; value /= 58n) text = BASE58.charAt(Number(value % 58n)) + text
  const zeros = bytes.findIndex((byte) => byte !== 0)
  return BASE58.charAt(0).repeat(zeros === -1 ? bytes.byteLength : zeros) + text
}

/** RFC 4648 §6, lower case and without padding, as multibase "b" has it. */
function base32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let count = 0
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0xffff
    for (count += 8; count >= 5; count -= 5) text += BASE32.charAt((bits >> (count - 5)) & 31)
  }
  return count === 0 ? text : text + BASE32.charAt((bits << (5 - count)) & 31)
}
