import { fromHex, toHex } from '@stronghold/core'
import { publishedVectors } from '@stronghold/testkit'
import { ECDH } from 'node:crypto'
import { describe, expect, test } from 'vitest'

import { writeLibp2pKey, writePeerId } from '../../src/formats/peer-id.ts'
import type { PublicKeyParts } from '../../src/formats/spki.ts'
import { testPair } from './_keys.ts'

interface Vectors {
  keys: Record<
    'ed25519' | 'secp256k1' | 'ecdsa',
    {
      public_protobuf_hex: string
      derived_peer_id_base58btc: string
      derived_peer_id_cidv1_base32: string
    }
  >
}

const published = publishedVectors('libp2p/peer-id-keys.json') as Vectors | undefined

/** The public key out of libp2p's protobuf, points uncompressed. */
function keyOf(name: keyof Vectors['keys'], protobuf: Uint8Array): PublicKeyParts {
  const data = protobuf.subarray(4)
  switch (name) {
    case 'ed25519':
      return { type: 'ed25519', publicKey: data }
    case 'secp256k1': {
      const point = ECDH.convertKey(data, 'secp256k1', undefined, undefined, 'uncompressed')
      return { type: 'secp256k1', publicKey: Uint8Array.from(point as Buffer) }
    }
    case 'ecdsa':
      return { type: 'p256', publicKey: data.subarray(-65) }
  }
}

describe.skipIf(published === undefined)('libp2p/peer-id-keys.json', () => {
  test.each(['ed25519', 'secp256k1', 'ecdsa'] as const)('%s', (name) => {
    const vector = published?.keys[name] ?? expect.fail()
    const key = keyOf(name, fromHex(vector.public_protobuf_hex))
    expect(toHex(writeLibp2pKey(key))).toBe(vector.public_protobuf_hex)
    expect(writePeerId(key)).toBe(vector.derived_peer_id_base58btc)
    expect(writePeerId(key, 'cid')).toBe(vector.derived_peer_id_cidv1_base32)
  })
})

test.each(['x25519', 'p384'] as const)('%s has no peer id', (type) => {
  expect(() => writePeerId(testPair(type))).toThrow(
    `Cannot write peer id: libp2p knows no ${type} keys`,
  )
})

test('bytes that are no key have no peer id', () => {
  expect(() => writePeerId({ type: 'ed25519', publicKey: new Uint8Array(31) })).toThrow(TypeError)
  expect(() => writePeerId({ type: 'p256', publicKey: new Uint8Array(65) })).toThrow(TypeError)
})
