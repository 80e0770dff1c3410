/**
 * Secrets by their type: what is a secret of a type, how one is made at random, what its public half is, and how it
 * becomes a record. The public half is always computed here, never believed. It knows no formats.
 */
import { SECRET_LENGTHS } from '../catalog/index.ts'
import type { RecordType } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import { samePublicKey } from '../formats/key-pairs.ts'
import type { VaultLimits } from '../limits.ts'
import * as ecdsa from '../primitives/ecdsa.ts'
import type { Curve } from '../primitives/ecdsa.ts'
import * as ed25519 from '../primitives/ed25519.ts'
import { isValidScalar } from '../primitives/secp256k1.ts'
import type { Secp256k1 } from '../primitives/secp256k1.ts'
import * as x25519 from '../primitives/x25519.ts'
import type { Slab } from '../secret.ts'
import type { AskedLabels, CreateHandle, NewRecord, RecordOutput, Scope } from './registry.ts'

/** What implementations work with beside their scope: one of each for a vault. */
export interface Tools {
  /** Lends to formats and primitives that take secret memory themselves. */
  readonly slab: Slab
  readonly secp256k1: Secp256k1
}

/** The two curves whose scalars OpenSSL takes. */
export const CURVES: Readonly<Record<'p256' | 'p384', Curve>> = Object.freeze({
  p256: ecdsa.P256,
  p384: ecdsa.P384,
})

/**
 * Says that a secret of a type may have this length.
 *
 * @param length - bytes
 * @throws `VaultError` `invalid_argument`
 */
export function assertSecretLength(
  type: RecordType,
  length: number,
  limits: Readonly<VaultLimits>,
): void {
  const { least, most } = SECRET_LENGTHS[type]
  const bound = type === 'opaque' ? Math.min(most, limits.maxOpaqueBytes) : most
  if (length >= least && length <= bound) return
  const expected = least === bound ? `${least}` : `${least} to ${bound}`
  throw new VaultError(
    'invalid_argument',
    `Cannot make ${type} record: ${length} bytes where ${expected} are expected`,
  )
}

/** Whether bytes of the right length are a secret of a type: for points on a curve, a scalar in range. */
export function isSecret(type: RecordType, secret: Uint8Array): boolean {
  switch (type) {
    case 'secp256k1':
      return isValidScalar(secret)
    case 'p256':
    case 'p384':
      return ecdsa.isValidScalar(CURVES[type], secret)
    default:
      return true
  }
}

/** A new secret of a type, in scratch. @throws `VaultError` `invalid_argument` for a length that the type does not have */
export function randomSecret(
  type: RecordType,
  length: number | undefined,
  scope: Scope,
): Uint8Array {
  const bytes = length ?? SECRET_LENGTHS[type].usual
  assertSecretLength(type, bytes, scope.limits)
  const secret = scope.scratch(bytes)
  do scope.random(secret)
  while (!isSecret(type, secret))
  return secret
}

/** The public half as records keep it: 32 bytes, or the uncompressed point. Undefined for types without one. */
export function publicHalf(
  type: RecordType,
  secret: Uint8Array,
  { secp256k1 }: Tools,
  scope: Scope,
): Uint8Array | undefined {
  switch (type) {
    case 'ed25519': {
      const expanded = scope.scratch(ed25519.EXPANDED_BYTES)
      ed25519.expand(secret, expanded)
      return ed25519.publicKey(expanded)
    }
    case 'x25519':
      return x25519.publicKey(secret)
    case 'secp256k1':
      return secp256k1.publicKey(secret)
    case 'p256':
    case 'p384': {
      const curve = CURVES[type]
      const expanded = scope.scratch(curve.expandedBytes)
      ecdsa.expand(curve, secret, expanded)
      return ecdsa.publicKey(curve, expanded)
    }
    default:
      return undefined
  }
}

/** What is to become of a secret. */
export interface Making {
  readonly type: RecordType
  /** In secret memory; stays the caller's. */
  readonly secret: Uint8Array
  readonly labels: AskedLabels | undefined
  readonly origin: NewRecord['origin']
  /** What somebody says is the public half; points in either form. */
  readonly claimed?: Uint8Array | undefined
}

/**
 * Makes a record of a secret, with its public half.
 *
 * @throws `VaultError` `invalid_argument` for bytes that are no secret of the type, and for a claim that is not true
 */
export function makeRecord(
  to: CreateHandle,
  { type, secret, labels, origin, claimed }: Making,
  tools: Tools,
  scope: Scope,
): RecordOutput {
  assertSecretLength(type, secret.byteLength, scope.limits)
  if (!isSecret(type, secret)) {
    throw new VaultError(
      'invalid_argument',
      `Cannot make ${type} record: the bytes are no secret key`,
    )
  }
  const publicKey = publicHalf(type, secret, tools, scope)
  if (claimed !== undefined && (publicKey === undefined || !samePublicKey(claimed, publicKey))) {
    throw new VaultError(
      'invalid_argument',
      `Cannot make ${type} record: the public key that comes with it belongs to another`,
    )
  }
  return to.create({
    type,
    secret,
    labels: to.labelsFor(type, labels),
    origin,
    ...(publicKey !== undefined && { publicKey }),
  })
}
