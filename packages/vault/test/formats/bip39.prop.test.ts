import { encodeUtf8 } from '@stronghold/core'
import { heldBytes } from '@stronghold/testkit'
import { fc, test } from '@fast-check/vitest'
import { entropyToMnemonic, mnemonicToEntropy, mnemonicToSeedSync } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { expect, test as plain } from 'vitest'

import {
  ENTROPY_BYTES,
  entropyFromMnemonic,
  mnemonicFromEntropy,
  nfkd,
  SEED_BYTES,
  seedFromMnemonic,
} from '../../src/formats/bip39.ts'
import { MAX_MNEMONIC_BYTES } from '../../src/limits.ts'
import { Slab } from '../../src/secret.ts'

const slab = new Slab({ bytes: 128 * 1024 })
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')
const entropy = fc
  .constantFrom(...ENTROPY_BYTES)
  .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }))

test.prop([entropy])('words and entropy are those of another implementation', (bytes) => {
  using words = mnemonicFromEntropy(slab, bytes)
  expect(text(words.bytes)).toBe(entropyToMnemonic(bytes, wordlist))
  using back = entropyFromMnemonic(slab, words.bytes)
  expect(new Uint8Array(back.bytes)).toEqual(bytes)
})

test.prop([entropy, fc.string({ unit: 'binary', maxLength: 20 })], { numRuns: 20 })(
  'seeds are those of another implementation, whatever the passphrase',
  (bytes, passphrase) => {
    using words = mnemonicFromEntropy(slab, bytes)
    using seed = seedFromMnemonic(slab, words.bytes, encodeUtf8(passphrase))
    expect(seed.length).toBe(SEED_BYTES)
    expect(new Uint8Array(seed.bytes)).toEqual(mnemonicToSeedSync(text(words.bytes), passphrase))
  },
)

const someWords = fc
  .array(fc.oneof(fc.constantFrom(...wordlist), fc.constantFrom('', 'zoo ', 'Zoo', 'zoos', 'a')), {
    maxLength: 25,
  })
  .map((words) => words.join(' '))
test.prop([someWords], { numRuns: 500 })(
  'what another implementation refuses is refused',
  (words) => {
    let expected: Uint8Array | undefined
    try {
      expected = mnemonicToEntropy(words, wordlist)
    } catch {}
    let read: Uint8Array | undefined
    try {
      using secret = entropyFromMnemonic(slab, encodeUtf8(words))
      read = new Uint8Array(secret.bytes)
    } catch (error) {
      expect(error).toBeInstanceOf(SyntaxError)
    }
    expect(read).toEqual(expected)
  },
)

test.prop([entropy, fc.nat(23), fc.constantFrom(...wordlist)], { numRuns: 300 })(
  'another word in a mnemonic is refused unless the checksum still fits',
  (bytes, at, word) => {
    using words = mnemonicFromEntropy(slab, bytes)
    const changed = text(words.bytes).split(' ')
    changed[at % changed.length] = word
    let expected: Uint8Array | undefined
    try {
      expected = mnemonicToEntropy(changed.join(' '), wordlist)
    } catch {}
    const read = (): Uint8Array => {
      using secret = entropyFromMnemonic(slab, encodeUtf8(changed.join(' ')))
      return new Uint8Array(secret.bytes)
    }
    if (expected === undefined) expect(read).toThrow(/the checksum is wrong/)
    else expect(read()).toEqual(expected)
  },
)

plain('no word of a mnemonic is ever quoted', () => {
  const words = `${'abandon '.repeat(10)}secretword about`
  expect(() => entropyFromMnemonic(slab, encodeUtf8(words))).toThrow(/: word 11 is not in/)
})

plain('MAX_MNEMONIC_BYTES is the longest text, and what is not UTF-8 is refused', () => {
  const most = new Uint8Array(MAX_MNEMONIC_BYTES).fill(0x61)
  nfkd(slab, most, 'passphrase').wipe()
  expect(() => nfkd(slab, new Uint8Array(MAX_MNEMONIC_BYTES + 1), 'passphrase')).toThrow(RangeError)
  expect(() => nfkd(slab, Uint8Array.of(0x61, 0xff), 'passphrase')).toThrow(SyntaxError)
  // U+FDFA becomes eighteen characters.
  expect(() => nfkd(slab, encodeUtf8('\ufdfa'.repeat(1300)), 'passphrase')).toThrow(RangeError)
  expect(slab.used).toBe(0)
})

plain(
  'generated texts are refused or read, and nothing is held',
  () => {
    const valid = encodeUtf8(`${'abandon '.repeat(11)}about`)
    let seed = 1
    const next = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return Math.floor((seed / 2 ** 32) * below)
    }
    const one = (): void => {
      const input = valid.slice(0, next(4) === 0 ? next(valid.byteLength) : undefined)
      for (let i = next(4); i >= 0; i--) input[next(input.byteLength)] = next(256)
      try {
        entropyFromMnemonic(slab, input).wipe()
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
      }
    }
    const inputs = process.env['STRONGHOLD_LONG'] === '1' ? 200_000 : 20_000
    for (let i = 0; i < inputs / 10; i++) one()
    const before = heldBytes()
    for (let i = 0; i < inputs; i++) one()
    expect(heldBytes() - before).toBeLessThan(5_000_000)
    expect(slab.used).toBe(0)
  },
  120_000,
)
