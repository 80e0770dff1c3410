import { encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { publishedVectors } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import { bip39Recover, importSecret, pub, slip10Derive } from '../../src/catalog/index.ts'
import { Harness } from './harness.ts'

interface Slip10Vectors {
  vectors: {
    name: string
    curve: string
    seed: string
    chains: { path: string; private: string; public: string }[]
  }[]
}

const CURVES: Readonly<Record<string, 'secp256k1' | 'p256' | 'ed25519' | 'x25519'>> = {
  secp256k1: 'secp256k1',
  nist256p1: 'p256',
  ed25519: 'ed25519',
  curve25519: 'x25519',
}

const slip10 = publishedVectors('slip10/vectors.json') as Slip10Vectors | undefined

describe.skipIf(slip10 === undefined)('slip10/vectors.json through slip10-derive', () => {
  test.each(slip10?.vectors ?? [])('$name', ({ curve, seed, chains }) => {
    const type = CURVES[curve] ?? expect.fail(`no curve ${curve}`)
    using harness = new Harness()
    harness.put('seed', 'seed', fromHex(seed))
    for (const [i, chain] of chains.entries()) {
      const to = `key/${i}`
      harness.run(slip10Derive, { from: 'seed', type, keyPath: chain.path, to })
      expect(toHex(harness.secretAt(to))).toBe(chain.private)
      const { publicKey } = harness.run(pub, { key: to })
      // SLIP-0010 writes a zero byte before keys that are no points.
      expect(toHex(publicKey ?? new Uint8Array(0))).toBe(
        chain.public.slice(type.endsWith('25519') ? 2 : 0),
      )
    }
  })
})

/** Entropy, words, seed under the passphrase `TREZOR`. */
type Bip39Vectors = Record<string, [string, string, string, string][]>

const bip39 = publishedVectors('bip39/vectors.json') as Bip39Vectors | undefined

describe.skipIf(bip39 === undefined)('bip39/vectors.json through bip39-recover and import', () => {
  test.each(Object.entries(bip39 ?? {}))('%s', (name, vectors) => {
    using harness = new Harness()
    const language = name === 'english' ? 'english' : 'any'
    const passphrase = encodeUtf8('TREZOR')
    // One of each length will do: the words of all are the format's tests.
    for (const [i, [, words, seed]] of vectors.slice(0, 8).entries()) {
      const bytes = encodeUtf8(words)
      harness.run(bip39Recover, { to: `a/${i}`, words: bytes, language, passphrase })
      harness.run(importSecret, {
        to: `b/${i}`,
        as: { format: 'bip39', language },
        secret: bytes,
        passphrase,
      })
      expect(toHex(harness.secretAt(`a/${i}`))).toBe(seed)
      expect(toHex(harness.secretAt(`b/${i}`))).toBe(seed)
    }
  })
})
