/** Keys, heads and envelopes for tests, made with Node.js alone. */
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'

import { encodeUtf8 } from '@stronghold/core'

import { signedBytes } from '../src/heads.ts'
import type { SignedHead } from '../src/heads.ts'

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest())
}

/** An Ed25519 key from one byte. */
export interface TestKey {
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

/** An Ed25519 key whose seed is that byte, 32 times. */
export function testKey(byte: number): TestKey {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
  const der = Buffer.concat([prefix, Buffer.alloc(32, byte)])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return {
    publicKey: new Uint8Array(spki.subarray(-32)),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  }
}

/** Ed25519. */
export function verifyEd25519(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  const prefix = Buffer.from('302a300506032b6570032100', 'hex')
  const der = Buffer.concat([prefix, publicKey])
  return verify(
    null,
    message,
    createPublicKey({ key: der, format: 'der', type: 'spki' }),
    signature,
  )
}

/** A head, signed. */
export function signedHead(
  head: Omit<SignedHead, 'publicKey' | 'signature'>,
  key: TestKey,
): SignedHead {
  const bare = { ...head, publicKey: key.publicKey, signature: new Uint8Array(64) }
  return { ...bare, signature: key.sign(signedBytes(bare)) }
}

// --- libp2p signed envelopes (RFC 0002), for Ed25519 alone

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)]
}

function field(number: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([(number << 3) | 2, ...varint(bytes.byteLength), ...bytes])
}

function keyMessage(publicKey: Uint8Array): Uint8Array {
  return Uint8Array.from([0x08, 0x01, 0x12, 0x20, ...publicKey])
}

function signedInput(domain: string, type: string, payload: Uint8Array): Uint8Array {
  const parts = [encodeUtf8(domain), encodeUtf8(type), payload]
  return Uint8Array.from(parts.flatMap((part) => [...varint(part.byteLength), ...part]))
}

/** An envelope around a payload. */
export function sealEnvelope(
  key: TestKey,
  kind: { domain: string; payloadType: string },
  payload: Uint8Array,
): Uint8Array {
  return Uint8Array.from([
    ...field(1, keyMessage(key.publicKey)),
    ...field(2, encodeUtf8(kind.payloadType)),
    ...field(3, payload),
    ...field(5, key.sign(signedInput(kind.domain, kind.payloadType, payload))),
  ])
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** The peer id of a key: base58btc of the identity multihash of its message. */
export function peerIdOf({ publicKey }: Pick<TestKey, 'publicKey'>): string {
  const message = keyMessage(publicKey)
  let number = BigInt(`0x${Buffer.from([0x00, message.byteLength, ...message]).toString('hex')}`)
  let text = ''
  for (; number > 0n; number /= 58n) text = (BASE58[Number(number % 58n)] ?? '') + text
  return `1${text}`
}
