/**
 * Secrets from secrets. A derived key has its type and its usage set in what is hashed, so that no bytes exist under two
 * usages; where the caller says what is hashed, the result is opaque and no key (`vault-format.md §6`).
 */
import { z } from 'zod'

import { MAX_CONCAT_PARTS, MAX_CONTEXT_BYTES, MAX_DERIVED_BYTES, PARENT_TYPES } from './bounds.ts'
import { defineProcedure } from './define.ts'
import { bytes, labels, place, record, recordType, reference } from './fields.ts'
import { hashName } from './formats.ts'

/** What becomes of a derivation, in the input of all that derive. */
const target = {
  to: place.optional(),
  labels: labels.optional(),
  /** Type of the key that is derived. Left out: opaque bytes. */
  type: recordType.exclude(['opaque']).optional(),
  /** Tells keys of one type and usage apart; with `type` only. */
  context: bytes(MAX_CONTEXT_BYTES).optional(),
}

/** For opaque bytes only, 32 where nobody says. */
const length = z.int().min(1).max(MAX_DERIVED_BYTES).optional()
/** The caller's own info, for opaque bytes only. */
const info = bytes(MAX_CONTEXT_BYTES).optional()
/** Default SHA-256. */
const hash = hashName.optional()

/** Why fields of a derivation do not go together. */
function refuse(input: {
  type?: unknown
  context?: unknown
  info?: unknown
  length?: unknown
}): string | undefined {
  if (input.type === undefined) {
    return input.context === undefined ? undefined : 'A context goes with a type only'
  }
  if (input.info !== undefined) return 'With info of your own the result is opaque: no type'
  if (input.length !== undefined)
    return 'A length is for opaque bytes: the type says how long it is'
  return undefined
}

/** A secret that others are derived from. */
const parent = {
  access: 'use',
  types: PARENT_TYPES,
  usage: 'derive',
  egress: 'none',
} as const

/** Where the result goes. */
const child = { access: 'create', egress: 'public' } as const

/** `agree` */
export const agree = defineProcedure({
  name: 'agree',
  summary: 'Agrees on a secret with the owner of another public key, into the vault.',
  source: 'RFC 7748 §6.1, RFC 5869; vault-format.md §6',
  // Nothing of the secret leaves.
  remote: true,
  input: {
    key: reference,
    publicKey: bytes(32, 32),
    /** For a typed key only. */
    salt: bytes(MAX_CONTEXT_BYTES).optional(),
    ...target,
  },
  output: { record },
  roles: { key: { access: 'use', types: ['x25519'], usage: 'agree', egress: 'none' }, to: child },
  egress: 'public',
  refuse: (input) =>
    input.type === undefined && input.salt !== undefined
      ? 'A salt goes with a type only: without one the result is the shared secret as it is'
      : refuse(input),
})

/** `hkdf` */
export const hkdf = defineProcedure({
  name: 'hkdf',
  summary: 'Derives a key or opaque bytes with HKDF.',
  source: 'RFC 5869; vault-format.md §6',
  // Nothing leaves, and a typed key is bound to its type and usage.
  remote: true,
  input: {
    from: reference,
    hash,
    salt: bytes(MAX_CONTEXT_BYTES).optional(),
    info,
    length,
    ...target,
  },
  output: { record },
  roles: { from: parent, to: child },
  egress: 'public',
  refuse,
})

/** `pbkdf2` */
export const pbkdf2 = defineProcedure({
  name: 'pbkdf2',
  summary: 'Derives a key or opaque bytes from a passphrase that is kept as a record.',
  source: 'RFC 8018 §5.2; vault-format.md §6',
  // It costs time by design; nobody else spends the owner's.
  remote: false,
  input: {
    from: reference,
    hash,
    salt: bytes(MAX_CONTEXT_BYTES),
    rounds: z.int().min(1).max(0x7fff_ffff),
    length,
    ...target,
  },
  output: { record },
  roles: { from: parent, to: child },
  egress: 'public',
  refuse,
})

/** `concat-kdf` */
export const concatKdf = defineProcedure({
  name: 'concat-kdf',
  summary: 'Derives a key or opaque bytes with the single-step KDF.',
  source: 'NIST SP 800-56C §4, RFC 7518 §4.6.2; vault-format.md §6',
  // For formats that ask for it, at the owner's desk; others derive with HKDF.
  remote: false,
  input: { from: reference, hash, info, length, ...target },
  output: { record },
  roles: { from: parent, to: child },
  egress: 'public',
  refuse,
})

/** `concat` */
export const concat = defineProcedure({
  name: 'concat',
  summary: 'Joins secrets into an opaque one.',
  source: 'vault-format.md §5.1',
  // It moves secret bytes into another frame, which only an owner can judge.
  remote: false,
  input: {
    from: z.array(reference).min(2).max(MAX_CONCAT_PARTS),
    to: place.optional(),
    labels: labels.optional(),
  },
  output: { record },
  roles: {
    from: { access: 'use', types: PARENT_TYPES, usage: 'copy', egress: 'none' },
    to: child,
  },
  egress: 'public',
})
