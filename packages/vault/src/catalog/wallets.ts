/** Mnemonics and hierarchical keys. Words go to the owner alone; chain codes never leave, and no record holds one. */
import { z } from 'zod'

import { MAX_KEY_PATH_STEPS, MAX_PASSPHRASE_BYTES, SECRET_LENGTHS } from './bounds.ts'
import { defineProcedure } from './define.ts'
import { labels, place, record, reference, secretBytes } from './fields.ts'

/** Longest mnemonic as bytes: 24 words of any list, in UTF-8. */
const MAX_MNEMONIC_BYTES = 1024

/** `english`: words of that list with the right checksum. `any`: words of any list, which nobody checks. Default english. */
export const mnemonicLanguage = z.enum(['english', 'any']).optional()

/** `bip39-generate` */
export const bip39Generate = defineProcedure({
  name: 'bip39-generate',
  summary: 'Makes a seed and shows, once, the words that bring it back.',
  source: 'BIP-39',
  // The words are the seed. They are shown where they can be written down, and never on the network.
  remote: false,
  input: {
    to: place,
    labels: labels.optional(),
    /** Default 24. */
    words: z.literal([12, 15, 18, 21, 24]).optional(),
    passphrase: secretBytes(MAX_PASSPHRASE_BYTES).optional(),
  },
  output: { record, words: secretBytes(MAX_MNEMONIC_BYTES, 1) },
  roles: { to: { access: 'create', egress: 'public' } },
  egress: 'material',
})

/** `bip39-recover` */
export const bip39Recover = defineProcedure({
  name: 'bip39-recover',
  summary: 'Brings a seed back from its words.',
  source: 'BIP-39',
  // Words come in at the owner's door only.
  remote: false,
  input: {
    to: place,
    labels: labels.optional(),
    words: secretBytes(MAX_MNEMONIC_BYTES, 1),
    language: mnemonicLanguage,
    passphrase: secretBytes(MAX_PASSPHRASE_BYTES).optional(),
  },
  output: { record },
  roles: { to: { access: 'create', egress: 'public' } },
  egress: 'public',
})

/** `slip10-generate` */
export const slip10Generate = defineProcedure({
  name: 'slip10-generate',
  summary: 'Makes a random seed for hierarchical keys.',
  source: 'SLIP-0010',
  // As generate.
  remote: true,
  input: {
    to: place.optional(),
    labels: labels.optional(),
    /** Bytes, 64 where nobody says. */
    length: z.int().min(SECRET_LENGTHS.seed.least).max(SECRET_LENGTHS.seed.most).optional(),
  },
  output: { record },
  roles: { to: { access: 'create', egress: 'public' } },
  egress: 'public',
})

const STEPS = String.raw`^m(?:\/(?:0|[1-9][0-9]{0,9})['hH]?){0,${MAX_KEY_PATH_STEPS}}$`

/** A BIP-32 path as text; code gets the steps, hardened ones with the highest bit set. */
export const keyPath = z
  .string()
  .max(2 + 12 * MAX_KEY_PATH_STEPS)
  .regex(new RegExp(STEPS), `Expected m/44'/60'/0' with at most ${MAX_KEY_PATH_STEPS} steps`)
  .transform((text, context) => {
    const steps = text.split('/').slice(1)
    const numbers = steps.map((step) => Number.parseInt(step, 10))
    if (numbers.some((number) => number > 0x7fff_ffff)) {
      context.addIssue({ code: 'custom', message: 'Expected steps below 2³¹', input: text })
      return z.NEVER
    }
    return numbers.map((number, at) => {
      const hardened = /['hH]$/.test(steps[at] ?? '')
      return hardened ? number + 0x8000_0000 : number
    })
  })
  .meta({ id: 'key-path', description: "m/44'/60'/0'/0/0" })

/** `slip10-derive` */
export const slip10Derive = defineProcedure({
  name: 'slip10-derive',
  summary: 'Derives a key from a seed along a path.',
  source: 'SLIP-0010, BIP-32',
  // The key stays, and the chain codes on the way to it are wiped.
  remote: true,
  input: {
    from: reference,
    type: z.enum(['ed25519', 'x25519', 'secp256k1', 'p256']),
    keyPath,
    to: place.optional(),
    labels: labels.optional(),
  },
  output: { record },
  roles: {
    from: { access: 'use', types: ['seed'], usage: 'derive', egress: 'none' },
    to: { access: 'create', egress: 'public' },
  },
  egress: 'public',
  refuse: ({ type, keyPath: steps }) =>
    (type === 'ed25519' || type === 'x25519') && steps.some((step) => step < 0x8000_0000)
      ? `${type} has hardened steps only`
      : undefined,
})
