import { createHash } from 'node:crypto'

import { encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { publishedVectors } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import { ENGLISH_WORDS } from '../../src/formats/bip39-english.ts'
import {
  entropyFromMnemonic,
  mnemonicFromEntropy,
  seedFromMnemonic,
} from '../../src/formats/bip39.ts'
import { Slab } from '../../src/secret.ts'

type Row = [entropy: string, words: string, seed: string, key: string]
const published = publishedVectors('bip39/vectors.json') as Record<string, Row[]> | undefined

test('the word list is the published one', () => {
  // SHA-256 of bitcoin/bips bip-0039/english.txt, one word a line.
  const file = ENGLISH_WORDS.split(' ').map((word) => `${word}\n`)
  expect(file).toHaveLength(2048)
  expect(createHash('sha256').update(file.join('')).digest('hex')).toBe(
    '2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda',
  )
})

describe.skipIf(published === undefined)(
  published === undefined ? 'python-mnemonic vectors (absent here)' : 'python-mnemonic vectors',
  () => {
    test.each(Object.keys(published ?? {}))('%s', (language) => {
      using slab = new Slab({ bytes: 128 * 1024 })
      for (const [entropy, words, seed] of published?.[language] ?? []) {
        const text = encodeUtf8(words)
        using made = seedFromMnemonic(slab, text, encodeUtf8('TREZOR'))
        expect(toHex(made.bytes)).toBe(seed)
        if (language !== 'english') continue
        using written = mnemonicFromEntropy(slab, fromHex(entropy))
        expect(Buffer.from(written.bytes).toString()).toBe(words)
        using read = entropyFromMnemonic(slab, text)
        expect(toHex(read.bytes)).toBe(entropy)
      }
      expect(slab.used).toBe(0)
    })
  },
)
