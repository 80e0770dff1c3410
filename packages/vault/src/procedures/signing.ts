/**
 * Signatures of key pairs over messages: the one place where a secret key signs, and its counterpart that checks. What
 * the message is and how the signature is written, formats say.
 */
import { createHash } from 'node:crypto'

import type { SIGNING_TYPES } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import * as ecdsa from '../primitives/ecdsa.ts'
import * as ed25519 from '../primitives/ed25519.ts'
import type { RecoverableSignature } from '../primitives/secp256k1.ts'
import { CURVES } from './pairs.ts'
import type { Tools } from './pairs.ts'
import type { UseHandle } from './registry.ts'

/** A type that signs. */
export type SigningType = (typeof SIGNING_TYPES)[number]

/** A public key to check with, points uncompressed. */
export interface Verifier {
  readonly type: SigningType
  readonly publicKey: Uint8Array
}

/** The type of a record as one that signs. @throws `VaultError` `invalid_argument` for any other */
export function signingType(type: string): SigningType {
  switch (type) {
    case 'ed25519':
    case 'secp256k1':
    case 'p256':
    case 'p384':
      return type
    default:
      throw new VaultError('invalid_argument', `Cannot sign: ${type} is no type of signing key`)
  }
}

/**
 * Signs a message, hashed as the type asks for: SHA-256, on P-384 SHA-384; Ed25519 hashes itself.
 *
 * @returns 64 bytes, r ‖ s for ECDSA; 96 on P-384
 */
export function signMessage(key: UseHandle, message: Uint8Array, tools: Tools): Uint8Array {
  const type = signingType(key.type)
  switch (type) {
    case 'ed25519': {
      const expanded = key.expanded(ed25519.EXPANDED_BYTES, (out, secret) => {
        join(out, [secret, publicOf(key)])
      })
      return ed25519.sign(expanded, message)
    }
    case 'p256':
    case 'p384': {
      const curve = CURVES[type]
      const expanded = key.expanded(curve.expandedBytes, (out, secret) => {
        join(out, [curve.beforeScalar, secret, curve.beforePoint, publicOf(key)])
      })
      return ecdsa.sign(curve, expanded, message)
    }
    case 'secp256k1':
      return signDigest(key, sha256(message), tools).signature
  }
}

/** Signs 32 bytes that are a digest, with secp256k1. */
export function signDigest(
  key: UseHandle,
  digest: Uint8Array,
  { secp256k1 }: Tools,
): RecoverableSignature {
  return secp256k1.sign(key.secret(), digest)
}

/** Whether a signature as `signMessage` gives it is right. One of another length is not. */
export function verifyMessage(
  { type, publicKey }: Verifier,
  message: Uint8Array,
  signature: Uint8Array,
  { secp256k1 }: Tools,
): boolean {
  switch (type) {
    case 'ed25519':
      return ed25519.verify(publicKey, message, signature)
    case 'p256':
    case 'p384':
      return ecdsa.verify(CURVES[type], publicKey, message, signature)
    case 'secp256k1':
      return secp256k1.verify(publicKey, sha256(message), signature)
  }
}

/**
 * A public key as somebody wrote it, points in either form.
 *
 * @throws `VaultError` `invalid_argument` for bytes that are none
 */
export function parsePublicKey(
  type: SigningType,
  bytes: Uint8Array,
  { secp256k1 }: Tools,
): Verifier {
  switch (type) {
    case 'ed25519':
      if (bytes.byteLength === ed25519.PUBLIC_KEY_BYTES) return { type, publicKey: bytes }
      throw new VaultError(
        'invalid_argument',
        `Cannot read public key: ${bytes.byteLength} bytes where ${ed25519.PUBLIC_KEY_BYTES} are expected`,
      )
    case 'p256':
    case 'p384':
      return { type, publicKey: ecdsa.parsePoint(CURVES[type], bytes) }
    case 'secp256k1':
      return { type, publicKey: secp256k1.parsePoint(bytes) }
  }
}

/** SHA-256 of public bytes. */
export function sha256(message: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(message).digest())
}

/**
 * The public half that was computed when the record was made and lies sealed beside the secret, which saves a
 * multiplication on the curve. It never comes from a caller: a wrong one would give an Ed25519 key away.
 */
function publicOf({ publicKey, type }: UseHandle): Uint8Array {
  if (publicKey !== undefined) return publicKey
  throw new VaultError('data_loss', `Cannot sign: the ${type} record has no public key`, {
    reason: 'damaged',
  })
}

function join(out: Uint8Array, parts: readonly Uint8Array[]): void {
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
}
