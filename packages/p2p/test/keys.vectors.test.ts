import { fromHex, toHex } from '@stronghold/core'
import { publishedVectorBytes, publishedVectors } from '@stronghold/testkit'
import { describe, expect, it } from 'vitest'

import { parsePeerId } from '../src/identity.ts'
import { decodePublicKey, encodeKey, peerIdOfKey, verifySignature } from '../src/keys.ts'
import { openIdentity } from '../src/open-identity.ts'
import { decodeVarint, encodeVarint } from '../src/varint.ts'

interface PeerIdKey {
  private_protobuf_hex: string
  public_protobuf_hex: string
  derived_peer_id_base58btc: string
  derived_peer_id_cidv1_base32: string
}

interface KeySignatures {
  message_utf8: string
  vectors: {
    key_type: string
    public_protobuf_hex: string
    private_protobuf_hex: string
    signature_hex: string
  }[]
}

interface Varints {
  vectors: [number, string][]
  must_reject_hex: string[]
}

const keys = publishedVectors('libp2p/peer-id-keys.json') as
  { keys: Record<string, PeerIdKey> } | undefined
const signatures = publishedVectors('libp2p/key-signatures-go.json') as KeySignatures | undefined
const varints = publishedVectors('libp2p/unsigned-varint.json') as Varints | undefined

describe.skipIf(keys === undefined)('libp2p/peer-id-keys.json', () => {
  it.each(Object.entries(keys?.keys ?? {}))(
    '%s: both halves and both peer ids',
    async (type, key) => {
      const protobuf = fromHex(key.public_protobuf_hex)
      const publicKey = decodePublicKey(protobuf)
      expect(publicKey.type).toBe(type)
      expect(encodeKey(publicKey.type, publicKey.data)).toEqual(protobuf)
      expect(peerIdOfKey(protobuf)).toBe(key.derived_peer_id_base58btc)
      expect(parsePeerId(key.derived_peer_id_base58btc)).toBe(key.derived_peer_id_base58btc)
      expect(parsePeerId(key.derived_peer_id_cidv1_base32)).toBe(key.derived_peer_id_base58btc)

      const identity = await openIdentity(fromHex(key.private_protobuf_hex))
      expect(toHex(identity.publicKey)).toBe(key.public_protobuf_hex)
      expect(identity.peer).toBe(key.derived_peer_id_base58btc)
      expect(identity.keyType).toBe(type)
      const data = Uint8Array.of(1, 2, 3)
      expect(await verifySignature(publicKey, data, await identity.sign(data))).toBe(true)
    },
  )
})

describe.skipIf(signatures === undefined)('libp2p/key-signatures-go.json', () => {
  it.each(signatures?.vectors ?? [])(
    '$key_type: the signature holds, another message does not',
    async (vector) => {
      const message = new TextEncoder().encode(signatures?.message_utf8)
      const publicKey = decodePublicKey(fromHex(vector.public_protobuf_hex))
      const signature = fromHex(vector.signature_hex)
      expect(await verifySignature(publicKey, message, signature)).toBe(true)
      expect(await verifySignature(publicKey, message.subarray(1), signature)).toBe(false)
      for (let i = 0; i < signature.byteLength; i += 7) {
        const altered = Uint8Array.from(signature)
        altered[i] = (altered[i] as number) ^ 1
        expect(await verifySignature(publicKey, message, altered)).toBe(false)
      }
      const identity = await openIdentity(fromHex(vector.private_protobuf_hex))
      expect(toHex(identity.publicKey)).toBe(vector.public_protobuf_hex)
    },
  )
})

const INTEROP_KEYS = [
  'go.ed25519',
  'go.rsa',
  'go.secp256k1',
  'js.ed25519',
  'js.rsa',
  'js.secp256k1',
]

describe.skipIf(keys === undefined)('libp2p/interop-keys', () => {
  it.each(INTEROP_KEYS)('%s opens and signs', async (name) => {
    const file = publishedVectorBytes(`libp2p/interop-keys/${name}.key.hex`)
    const identity = await openIdentity(fromHex(new TextDecoder().decode(file).trim()))
    expect(identity.keyType).toBe(name.split('.')[1])
    const data = new TextEncoder().encode(name)
    const publicKey = decodePublicKey(identity.publicKey)
    expect(await verifySignature(publicKey, data, await identity.sign(data))).toBe(true)
  })
})

describe.skipIf(varints === undefined)('libp2p/unsigned-varint.json', () => {
  it.each(varints?.vectors ?? [])('%i is %s', (value, hex) => {
    expect(toHex(encodeVarint(value))).toBe(hex)
    expect(decodeVarint(fromHex(hex))).toEqual({ value, byteLength: hex.length / 2 })
    expect(decodeVarint(fromHex(hex).subarray(0, -1))).toBeUndefined()
  })

  it.each(varints?.must_reject_hex ?? [])('%s is refused', (text) => {
    expect(() => decodeVarint(fromHex(text.split(' ')[0] ?? ''))).toThrow(RangeError)
  })
})
