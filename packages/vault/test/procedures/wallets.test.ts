import { encodeUtf8, decodeUtf8 } from '@stronghold/core'
import { mnemonicToSeedSync, validateMnemonic } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { describe, expect, test } from 'vitest'

import {
  bip39Generate,
  bip39Recover,
  CATALOG,
  slip10Derive,
  slip10Generate,
} from '../../src/catalog/index.ts'
import { isVaultError } from '../../src/errors.ts'
import { Harness } from './harness.ts'

describe('bip39-generate', () => {
  test.each([12, 15, 18, 21, 24] as const)('shows %i words that bring the seed back', (words) => {
    using harness = new Harness()
    const passphrase = encodeUtf8('pässphrase')
    const made = harness.run(bip39Generate, { to: 'a', words, passphrase })
    const text = decodeUtf8(made.words)
    expect(text.split(' ')).toHaveLength(words)
    expect(validateMnemonic(text, wordlist)).toBe(true)
    expect(harness.secretAt('a')).toEqual(mnemonicToSeedSync(text, 'pässphrase'))
    harness.run(bip39Recover, { to: 'b', words: made.words, passphrase })
    expect(harness.secretAt('b')).toEqual(harness.secretAt('a'))
    expect([harness.at('a').origin, harness.at('b').origin]).toEqual(['generated', 'imported'])
  })

  test('shows 24 words where nobody says', () => {
    using harness = new Harness()
    const { words } = harness.run(bip39Generate, { to: 'a' })
    expect(decodeUtf8(words).split(' ')).toHaveLength(24)
  })
})

describe('bip39-recover', () => {
  const good =
    'abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about'

  test.each([
    ['another checksum', good.replace(/about$/, 'above')],
    ['a word that is none', good.replace(/about$/, 'abaut')],
    ['too few words', 'abandon about'],
    ['two spaces', good.replace(' ', '  ')],
  ])('refuses %s', (_what, words) => {
    using harness = new Harness()
    try {
      harness.run(bip39Recover, { to: 'a', words: encodeUtf8(words) })
      expect.unreachable('nothing was thrown')
    } catch (error) {
      expect(isVaultError(error, { code: 'invalid_argument' })).toBe(true)
      expect(String(error)).not.toMatch(/abandon|abaut|above/)
    }
  })
})

test('mnemonics never leave by the network: what shows or takes words is for the owner only', () => {
  const withWords = CATALOG.filter(
    ({ input, output }) => 'words' in input.shape || 'words' in output.shape,
  )
  expect(withWords.map(({ name, remote }) => [name, remote])).toEqual([
    ['bip39-generate', false],
    ['bip39-recover', false],
  ])
  expect(bip39Generate.egress).toBe('material')
})

test('chain codes never leave: nothing but the record comes out, and no record is longer than its key', () => {
  using harness = new Harness()
  harness.run(slip10Generate, { to: 'seed' })
  expect(Object.keys(slip10Derive.output.shape)).toEqual(['record'])
  for (const type of ['ed25519', 'x25519', 'secp256k1', 'p256'] as const) {
    const output = harness.run(slip10Derive, { from: 'seed', type, keyPath: "m/1'/2'", to: type })
    expect(Object.keys(output.record).sort()).toEqual([
      'id',
      'path',
      'publicKey',
      'type',
      'version',
    ])
    expect(harness.secretAt(type)).toHaveLength(32)
  }
  expect([...harness.records.keys()]).toHaveLength(5)
})

test('slip10-generate makes a seed of 16 to 64 bytes, 64 where nobody says', () => {
  using harness = new Harness()
  harness.run(slip10Generate, { to: 'a' })
  harness.run(slip10Generate, { to: 'b', length: 16 })
  expect([harness.secretAt('a').length, harness.secretAt('b').length]).toEqual([64, 16])
  expect(slip10Generate.input.safeParse({ to: 'c', length: 15 }).success).toBe(false)
  expect(slip10Generate.input.safeParse({ to: 'c', length: 65 }).success).toBe(false)
})

test.each([
  ['', 'no root'],
  ['44', 'no root'],
  ['m/', 'an empty step'],
  ['m/01', 'a leading zero'],
  ['m/2147483648', 'a step of 2³¹'],
  ["m/1''", 'two marks'],
  [`m${'/1'.repeat(17)}`, 'too many steps'],
])('slip10-derive refuses the path %j: %s', (keyPath) => {
  expect(slip10Derive.input.safeParse({ from: 'a', type: 'p256', keyPath }).success).toBe(false)
})

test('slip10-derive takes 16 steps, and hardened ones only where the curve has no others', () => {
  const fits = (type: string, keyPath: string): boolean =>
    slip10Derive.input.safeParse({ from: 'a', type, keyPath }).success
  expect(fits('p256', `m${"/2147483647'".repeat(16)}`)).toBe(true)
  expect(fits('ed25519', "m/44'/0h/0H")).toBe(true)
  expect(fits('ed25519', "m/44'/0")).toBe(false)
  expect(fits('x25519', 'm/44')).toBe(false)
  expect(fits('secp256k1', "m/44'/0")).toBe(true)
})
