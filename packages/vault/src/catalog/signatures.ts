/** Signatures and message authentication codes, made and checked. */
import { z } from 'zod'

import { MAX_FIELD_BYTES, SIGNING_TYPES } from './bounds.ts'
import { defineProcedure } from './define.ts'
import { bytes, reference } from './fields.ts'
import { macFormat, signFormat } from './formats.ts'

/** Longest signature, a JWS with its payload and a transaction included: base64 takes a third more. */
export const MAX_SIGNATURE_BYTES = 2 * MAX_FIELD_BYTES

/** `sign` */
export const sign = defineProcedure({
  name: 'sign',
  summary: 'Signs a message, in a format that says what is signed.',
  source:
    'RFC 8032, FIPS 186-5, RFC 6979, OpenSSH PROTOCOL.sshsig, RFC 7515, RFC 8812, EIP-155, EIP-191, EIP-712, EIP-2718',
  // What the vault is for.
  remote: true,
  input: {
    key: reference,
    /** The bytes to sign: payload of a JWS, unsigned transaction, typed data as JSON, a digest where `as` says so. */
    message: bytes(MAX_FIELD_BYTES),
    /** Default: SSHSIG in namespace `file`, which secp256k1 does not have. */
    as: signFormat.optional(),
  },
  output: {
    /** Text formats (SSHSIG, JWS) as ASCII. */
    signature: bytes(MAX_SIGNATURE_BYTES, 1),
    version: z.int().min(1),
  },
  roles: { key: { access: 'use', types: SIGNING_TYPES, usage: 'sign', egress: 'public' } },
  egress: 'public',
})

/** `verify` */
export const verify = defineProcedure({
  name: 'verify',
  summary:
    'Checks a signature with the public half of a record, or with a public key that is given.',
  source: 'as sign',
  // It needs no secret.
  remote: true,
  input: {
    key: reference.optional(),
    publicKey: z
      .strictObject({ type: z.enum(SIGNING_TYPES), bytes: bytes(97, 32) })
      .meta({ description: 'type and public key' })
      .optional(),
    message: bytes(MAX_FIELD_BYTES),
    signature: bytes(MAX_SIGNATURE_BYTES),
    /** As `sign` takes it. A JWS is right when its payload is the message. */
    as: signFormat.optional(),
  },
  output: { valid: z.boolean() },
  roles: { key: { access: 'read', types: SIGNING_TYPES, egress: 'public' } },
  egress: 'public',
  refuse: ({ key, publicKey }) =>
    (key === undefined) === (publicKey === undefined)
      ? 'Either a key or a public key is needed'
      : undefined,
})

/** `mac` */
export const mac = defineProcedure({
  name: 'mac',
  summary: 'Authenticates a message with HMAC.',
  source: 'RFC 2104, FIPS 198-1, RFC 7518 §3.2',
  // Like sign, for two that share a key.
  remote: true,
  input: {
    key: reference,
    message: bytes(MAX_FIELD_BYTES),
    /** Default: the tag itself, with the hash that the key's length names, else SHA-256. */
    as: macFormat.optional(),
  },
  output: { tag: bytes(MAX_SIGNATURE_BYTES, 32), version: z.int().min(1) },
  roles: { key: { access: 'use', types: ['hmac-sha2'], usage: 'mac', egress: 'public' } },
  egress: 'public',
})

/** `mac-verify` */
export const macVerify = defineProcedure({
  name: 'mac-verify',
  summary: 'Checks an HMAC without telling the right one.',
  source: 'as mac',
  // One bit leaves.
  remote: true,
  input: {
    key: reference,
    message: bytes(MAX_FIELD_BYTES),
    tag: bytes(MAX_SIGNATURE_BYTES),
    as: macFormat.optional(),
  },
  output: { valid: z.boolean() },
  roles: { key: { access: 'use', types: ['hmac-sha2'], usage: 'mac-verify', egress: 'public' } },
  egress: 'public',
})
