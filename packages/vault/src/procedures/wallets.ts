/**
 * Mnemonics and hierarchical keys. The words of a new seed go to the owner once; chain codes are wiped with the step and
 * no record holds one.
 */
import type { bip39Generate, bip39Recover, slip10Derive } from '../catalog/index.ts'
import { entropyFromMnemonic, mnemonicFromEntropy, seedFromMnemonic } from '../formats/bip39.ts'
import { deriveSlip10 } from '../formats/slip10.ts'
import type { Secret } from '../secret.ts'
import { makeRecord } from './pairs.ts'
import type { Tools } from './pairs.ts'
import { reading } from './reading.ts'
import type { Implementation } from './registry.ts'

const WORDS = 24
const NONE = new Uint8Array(0)

/** `bip39-generate` */
export function generatingMnemonic(tools: Tools): Implementation<typeof bip39Generate> {
  return ({ words = WORDS, passphrase, labels }, { to }, scope) => {
    // 11 bits a word, of which one in 33 is the checksum's.
    const entropy = scope.scratch((words * 4) / 3)
    scope.random(entropy)
    using mnemonic = mnemonicFromEntropy(tools.slab, entropy)
    using seed = seedOf({ words: mnemonic.bytes, passphrase }, tools)
    const made = { type: 'seed' as const, secret: seed.bytes, labels, origin: 'generated' as const }
    return { record: makeRecord(to, made, tools, scope), words: Uint8Array.from(mnemonic.bytes) }
  }
}

/** `bip39-recover` */
export function recoveringMnemonic(tools: Tools): Implementation<typeof bip39Recover> {
  return (input, { to }, scope) => {
    using seed = seedOf(input, tools)
    const { labels } = input
    const made = { type: 'seed' as const, secret: seed.bytes, labels, origin: 'imported' as const }
    return { record: makeRecord(to, made, tools, scope) }
  }
}

/** `slip10-derive` */
export function derivingAlongPath(tools: Tools): Implementation<typeof slip10Derive> {
  return ({ type, keyPath, labels }, { from, to }, scope) => {
    using key = reading(() => deriveSlip10(tools, type, from.secret(), keyPath))
    const making = { type, secret: key.bytes, labels, origin: 'derived' as const }
    return { record: makeRecord(to, making, tools, scope) }
  }
}

/** What a seed is made of. */
export interface Mnemonic {
  readonly words: Uint8Array
  readonly passphrase?: Uint8Array | undefined
  readonly language?: 'english' | 'any' | undefined
}

/**
 * The seed of words and a passphrase.
 *
 * @throws `VaultError` `invalid_argument` for what is no mnemonic; in English also for a word or a checksum that is wrong
 */
export function seedOf({ words, passphrase = NONE, language }: Mnemonic, { slab }: Tools): Secret {
  return reading(() => {
    // A slip of the pen would give another seed without a word.
    if (language !== 'any') entropyFromMnemonic(slab, words).wipe()
    return seedFromMnemonic(slab, words, passphrase)
  })
}
