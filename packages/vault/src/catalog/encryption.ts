/** Encryption into envelopes, keys for data, and wrapping of keys. No caller chooses a nonce: no input has one. */
import { z } from 'zod'

import { CIPHER_TYPES, MAX_CONTEXT_BYTES, MAX_FIELD_BYTES } from './bounds.ts'
import { defineProcedure } from './define.ts'
import { bytes, labels, place, record, recordType, reference, secretBytes } from './fields.ts'

/** What an envelope has more than its plaintext: `vault-format.md §6`, with the longer nonce. */
export const ENVELOPE_OVERHEAD = 4 + 1 + 16 + 4 + 24 + 16

const envelope = bytes(MAX_FIELD_BYTES + ENVELOPE_OVERHEAD, 1).meta({ description: 'envelope' })
/** Bound to the ciphertext and not in it; whoever decrypts must say the same. */
const context = bytes(MAX_CONTEXT_BYTES).optional()

/** `encrypt` */
export const encrypt = defineProcedure({
  name: 'encrypt',
  summary: 'Encrypts bytes into an envelope that names its key and version.',
  source: 'vault-format.md §6; draft-irtf-cfrg-xchacha-03, NIST SP 800-38D',
  // Only ciphertext leaves.
  remote: true,
  input: { key: reference, message: bytes(MAX_FIELD_BYTES), context },
  output: { envelope },
  roles: { key: { access: 'use', types: CIPHER_TYPES, usage: 'encrypt', egress: 'public' } },
  egress: 'public',
})

/** `decrypt` */
export const decrypt = defineProcedure({
  name: 'decrypt',
  summary: 'Opens an envelope.',
  source: 'as encrypt',
  // A plaintext leaves: labels and rules say to whom.
  remote: true,
  input: { key: reference, envelope, context },
  output: { message: secretBytes(MAX_FIELD_BYTES) },
  roles: { key: { access: 'use', types: CIPHER_TYPES, usage: 'decrypt', egress: 'derived' } },
  egress: 'derived',
})

/** `rewrap` */
export const rewrap = defineProcedure({
  name: 'rewrap',
  summary: 'Encrypts what an envelope holds with the newest version, without showing it.',
  source: 'as encrypt',
  // Ciphertext goes in and comes out. It needs the usages decrypt and encrypt.
  remote: true,
  input: { key: reference, envelope, context },
  output: { envelope },
  roles: { key: { access: 'use', types: CIPHER_TYPES, usage: 'decrypt', egress: 'public' } },
  egress: 'public',
})

/** `data-key` */
export const dataKey = defineProcedure({
  name: 'data-key',
  summary: 'Makes a random key for data, in an envelope and, where asked for, in plain beside it.',
  source: 'as encrypt',
  // The plain key is for who encrypts much at home; asking for it is seen in the input and in the egress.
  remote: true,
  input: {
    key: reference,
    /** Bytes, 32 where nobody says. */
    length: z.int().min(16).max(64).optional(),
    context,
    plain: z.boolean(),
  },
  output: { envelope, plain: secretBytes(64, 16).optional() },
  roles: { key: { access: 'use', types: CIPHER_TYPES, usage: 'encrypt', egress: 'derived' } },
  egress: 'derived',
})

/** How a key is wrapped: RFC 3394 takes multiples of 8 bytes, RFC 5649 any length. */
const wrapFormat = z
  .strictObject({ format: z.enum(['aes-kw', 'aes-kwp']) })
  .meta({ id: 'wrap-format', description: 'aes-kw or aes-kwp' })

const wrapped = bytes(MAX_FIELD_BYTES + 16, 16).meta({ description: 'wrapped secret' })

/** `wrap` */
export const wrap = defineProcedure({
  name: 'wrap',
  summary: 'Gives the secret of a record, wrapped under another; needs the right to use both.',
  source: 'RFC 3394, RFC 5649',
  // Only what was made with the ceiling `material` ever leaves so, and rules decide on both roles.
  remote: true,
  input: {
    key: reference,
    source: reference,
    /** Default `aes-kwp`. */
    as: wrapFormat.optional(),
  },
  output: { wrapped },
  roles: {
    key: { access: 'use', types: ['aes-256-kw'], usage: 'wrap', egress: 'public' },
    source: { access: 'use', usage: 'copy', egress: 'material' },
  },
  egress: 'material',
})

/** `unwrap` */
export const unwrap = defineProcedure({
  name: 'unwrap',
  summary: 'Makes a record from a wrapped secret.',
  source: 'RFC 3394, RFC 5649',
  // The secret goes into the vault, under labels no wider than those of the key that wrapped it.
  remote: true,
  input: {
    key: reference,
    wrapped,
    type: recordType,
    as: wrapFormat.optional(),
    to: place.optional(),
    labels: labels.optional(),
  },
  output: { record },
  roles: {
    key: { access: 'use', types: ['aes-256-kw'], usage: 'unwrap', egress: 'none' },
    to: { access: 'create', egress: 'public' },
  },
  egress: 'public',
})
