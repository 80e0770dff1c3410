import { fromHex, toHex } from '@stronghold/core'
import { publishedVectors } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import { compressPoint } from '../../src/formats/key-pairs.ts'
import { deriveSlip10, deriveSlip10Node, parseKeyPath } from '../../src/formats/slip10.ts'
import type { Slip10Curve } from '../../src/formats/slip10.ts'
import * as ecdsa from '../../src/primitives/ecdsa.ts'
import * as ed25519 from '../../src/primitives/ed25519.ts'
import { Secp256k1 } from '../../src/primitives/secp256k1.ts'
import * as x25519 from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'

interface Vectors {
  vectors: {
    name: string
    curve: string
    seed: string
    chains: { path: string; chain_code: string; private: string; public: string }[]
  }[]
}

const CURVES: Record<string, Slip10Curve> = {
  secp256k1: 'secp256k1',
  nist256p1: 'p256',
  ed25519: 'ed25519',
  curve25519: 'x25519',
}
const published = publishedVectors('slip10/vectors.json') as Vectors | undefined
const secp256k1 = new Secp256k1()

/** As SLIP-0010 writes it: 33 bytes whatever the curve. */
function publicKey(slab: Slab, curve: Slip10Curve, key: Uint8Array): Uint8Array {
  if (curve === 'secp256k1') return compressPoint(secp256k1.publicKey(key))
  if (curve === 'x25519') return Uint8Array.of(0, ...x25519.publicKey(key))
  const curveBytes = curve === 'p256' ? ecdsa.P256.expandedBytes : ed25519.EXPANDED_BYTES
  using expanded = slab.take(curveBytes)
  if (curve === 'p256') {
    ecdsa.expand(ecdsa.P256, key, expanded.bytes)
    return compressPoint(ecdsa.publicKey(ecdsa.P256, expanded.bytes))
  }
  ed25519.expand(key, expanded.bytes)
  return Uint8Array.of(0, ...ed25519.publicKey(expanded.bytes))
}

describe.skipIf(published === undefined)(
  published === undefined ? 'SLIP-0010 vectors (absent here)' : 'SLIP-0010 vectors',
  () => {
    test.each(published?.vectors ?? [])('$name', ({ curve: name, seed, chains }) => {
      using slab = new Slab({ bytes: 64 * 1024 })
      const curve = CURVES[name]!
      for (const chain of chains) {
        const path = parseKeyPath(chain.path)
        using node = deriveSlip10Node({ slab, secp256k1 }, curve, fromHex(seed), path)
        expect(toHex(node.bytes.subarray(0, 32))).toBe(chain.private)
        expect(toHex(node.bytes.subarray(32))).toBe(chain.chain_code)
        using key = deriveSlip10({ slab, secp256k1 }, curve, fromHex(seed), path)
        expect(toHex(key.bytes)).toBe(chain.private)
        expect(toHex(publicKey(slab, curve, key.bytes))).toBe(chain.public)
      }
      expect(slab.used).toBe(0)
    })
  },
)
