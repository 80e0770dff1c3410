/** Making, showing, changing and taking away records. */
import { z } from 'zod'

import {
  MAX_FIELD_BYTES,
  MAX_PASSPHRASE_BYTES,
  MAX_RANDOM_BYTES,
  PAIR_TYPES,
  SECRET_LENGTHS,
} from './bounds.ts'
import { defineProcedure } from './define.ts'
import { bytes, labels, place, record, recordType, reference, secretBytes } from './fields.ts'
import { mnemonicLanguage } from './wallets.ts'

/** Length of a secret whose type leaves it open. */
const length = z.int().min(1).max(SECRET_LENGTHS.opaque.most)

/** `generate` */
export const generate = defineProcedure({
  name: 'generate',
  summary: 'Makes a new key, seed or opaque secret from random bytes.',
  source: 'RFC 8032 §5.1.5, RFC 7748 §6.1, FIPS 186-5 A.2.2; vault-format.md §5.1',
  // What is made has the labels that a rule's path allows, and nothing of it leaves but a public key.
  remote: true,
  input: {
    type: recordType,
    to: place.optional(),
    labels: labels.optional(),
    /** For `hmac-sha2`, `seed` and `opaque` only, in bytes. */
    length: length.optional(),
  },
  output: { record },
  roles: { to: { access: 'create', egress: 'public' } },
  egress: 'public',
})

/** How the bytes of an imported secret are to be read. */
export const importFormat = z
  .discriminatedUnion('format', [
    /** The secret as the vault keeps it; a public key that is claimed must be the one computed. */
    z.strictObject({
      format: z.literal('raw'),
      type: recordType,
      publicKey: bytes(97, 32).optional(),
    }),
    /** PKCS#8 or SEC1, PEM or DER. */
    z.strictObject({ format: z.literal('pkcs8') }),
    /** A symmetric key says by its `alg` what it is, or the caller does by `type`. */
    z.strictObject({ format: z.literal('jwk'), type: recordType.optional() }),
    z.strictObject({ format: z.literal('openssh') }),
    /** Mnemonic words; `passphrase` is that of BIP-39. */
    z.strictObject({ format: z.literal('bip39'), language: mnemonicLanguage }),
  ])
  .meta({ id: 'import-format', description: 'raw with type, pkcs8, jwk, openssh or bip39' })

/** `import` */
export const importSecret = defineProcedure({
  name: 'import',
  summary: 'Takes a secret that exists already; its public half is computed, never believed.',
  source: 'RFC 5958, RFC 7517, OpenSSH PROTOCOL.key, BIP-39',
  // Secrets come in at the owner's door, sealed; over the network a peer would plant keys that it knows.
  remote: false,
  input: {
    to: place,
    labels: labels.optional(),
    as: importFormat,
    secret: secretBytes(MAX_FIELD_BYTES, 1),
    passphrase: secretBytes(MAX_PASSPHRASE_BYTES).optional(),
  },
  output: { record },
  roles: { to: { access: 'create', egress: 'public' } },
  egress: 'public',
  refuse: ({ as, passphrase }) =>
    passphrase !== undefined && as.format !== 'openssh' && as.format !== 'bip39'
      ? `A secret in format ${as.format} has no passphrase`
      : undefined,
})

/** How a public key is to be written. */
export const publicFormat = z
  .discriminatedUnion('format', [
    /** 32 bytes, or the compressed point (SEC 1 §2.3.3). */
    z.strictObject({ format: z.literal('raw') }),
    z.strictObject({ format: z.literal('spki') }),
    z.strictObject({ format: z.literal('jwk') }),
    z.strictObject({
      format: z.literal('openssh'),
      comment: z
        .string()
        .regex(/^[\x20-\x7e]{0,256}$/)
        .optional(),
    }),
    z.strictObject({
      format: z.literal('allowed-signers'),
      principal: z.string().regex(/^[\x21-\x7e]{1,256}$/),
      namespaces: z
        .array(z.string().regex(/^[A-Za-z0-9._@+-]{1,64}$/))
        .min(1)
        .max(16)
        .optional(),
    }),
    z.strictObject({ format: z.literal('peer-id') }),
    z.strictObject({ format: z.literal('evm') }),
  ])
  .meta({
    id: 'public-format',
    description: 'raw, spki, jwk, openssh, allowed-signers, peer-id or evm',
  })

/** `pub` */
export const pub = defineProcedure({
  name: 'pub',
  summary: 'Shows the public key of a record.',
  source:
    'SEC 1 §2.3.3, RFC 5480, RFC 8410, RFC 7517, RFC 7638, RFC 4253 §6.6, libp2p peer-ids, EIP-55',
  // A public key is meant to be seen.
  remote: true,
  input: { key: reference, as: publicFormat.optional() },
  output: {
    type: z.enum(PAIR_TYPES),
    version: z.int().min(1),
    /** In format `raw`, which is the default. */
    publicKey: bytes(97).optional(),
    /** In all others. */
    text: z.string().optional(),
    /** RFC 7638 with SHA-256, base64url; in format `jwk`. */
    thumbprint: z.string().optional(),
  },
  roles: { key: { access: 'read', types: PAIR_TYPES, egress: 'public' } },
  egress: 'public',
})

/** `copy` */
export const copy = defineProcedure({
  name: 'copy',
  summary:
    'Makes a record of its own from one version of another, with labels that are never wider.',
  source: 'vault-format.md §5.1',
  // The bytes stay in the vault under labels no wider; the right to read and the right to write are two roles.
  remote: true,
  input: { from: reference, to: place.optional(), labels: labels.optional() },
  output: { record },
  roles: {
    from: { access: 'use', usage: 'copy', egress: 'none' },
    to: { access: 'create', egress: 'public' },
  },
  egress: 'public',
})

/** `rotate` */
export const rotate = defineProcedure({
  name: 'rotate',
  summary: 'Adds a new random version to a record, which is the newest from now on; labels stay.',
  source: 'vault-format.md §5.1',
  // A right of its own, so that a machine can keep its key fresh; older versions stay usable.
  remote: true,
  input: { key: reference, length: length.optional() },
  output: { record },
  roles: { key: { access: 'change', egress: 'public' } },
  egress: 'public',
})

/** `retire` */
export const retire = defineProcedure({
  name: 'retire',
  summary: 'Refuses versions below a number from now on, or removes them; never the newest.',
  source: 'vault-format.md §5.1',
  // The other half of rotation; whoever may not remove is given no right to it.
  remote: true,
  input: {
    record: reference,
    below: z.int().min(2),
    remove: z.boolean().optional(),
  },
  output: { record },
  roles: { record: { access: 'change', egress: 'public' } },
  egress: 'public',
})

/** `narrow` */
export const narrow = defineProcedure({
  name: 'narrow',
  summary: 'Narrows the labels of a record for ever.',
  source: 'vault-format.md §5.1',
  // Labels are the owner's word on a record, and there is no way back.
  remote: false,
  input: { record: reference, labels },
  output: { record },
  roles: { record: { access: 'change', egress: 'public' } },
  egress: 'public',
})

/** `revoke` */
export const revoke = defineProcedure({
  name: 'revoke',
  summary: 'Removes a record with all its versions; a tombstone stays.',
  source: 'vault-format.md §5.2',
  // Whoever finds a key compromised must be able to stop it from where he is; a right of its own.
  remote: true,
  input: { record: reference },
  output: { id: bytes(16, 16) },
  roles: { record: { access: 'remove', egress: 'none' } },
  egress: 'none',
})

/** `gc` */
export const gc = defineProcedure({
  name: 'gc',
  summary: 'Overwrites what was removed, so that its bytes stand in no file of the vault.',
  source: 'vault-format.md §2',
  // It rewrites files and holds up everyone: the owner's to time.
  remote: false,
  input: {},
  output: {},
  roles: {},
  egress: 'none',
})

/** `random` */
export const random = defineProcedure({
  name: 'random',
  summary: 'Gives random bytes.',
  source: 'libsodium randombytes',
  // It touches no record.
  remote: true,
  input: { length: z.int().min(1).max(MAX_RANDOM_BYTES) },
  output: { bytes: secretBytes(MAX_RANDOM_BYTES, 1) },
  roles: {},
  egress: 'public',
})
