/**
 * ECDSA on P-256 and P-384 (FIPS 186-5) by OpenSSL, over messages that are hashed inside. A key is kept expanded, as
 * PKCS#8 with its public point in secret memory: OpenSSL reads it there and forgets it with the call.
 */
import { createECDH, createSign, createVerify, ECDH } from 'node:crypto'

import { assertBytes, fromHex } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { addModulo, isScalar, randomScalar } from './scalar.ts'

/** A curve and the hash that goes with it. */
export interface Curve {
  readonly name: 'p256' | 'p384'
  readonly hash: 'sha256' | 'sha384'
  /** Length of a secret scalar, big endian, and of a coordinate. */
  readonly scalarBytes: number
  /** Length of a point written 0x04 ‖ x ‖ y. */
  readonly pointBytes: number
  /** Length of a signature: r ‖ s, each as long as a scalar (IEEE P1363). */
  readonly signatureBytes: number
  /** Length of the expanded secret. */
  readonly expandedBytes: number
  /** OpenSSL's name. */
  readonly openssl: string
  /** The group's order, big endian. */
  readonly order: Uint8Array
  /** PKCS#8 (RFC 5958, RFC 5915) as it stands before the scalar and between scalar and point. */
  readonly beforeScalar: Uint8Array
  readonly beforePoint: Uint8Array
  /** SubjectPublicKeyInfo (RFC 5480) as it stands before the point. */
  readonly beforePublicPoint: Uint8Array
}

/** NIST P-256 with SHA-256. */
export const P256: Curve = defineCurve({
  name: 'p256',
  hash: 'sha256',
  openssl: 'prime256v1',
  order: 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  beforeScalar: '308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420',
  beforePoint: 'a144034200',
  beforePublicPoint: '3059301306072a8648ce3d020106082a8648ce3d030107034200',
})

/** NIST P-384 with SHA-384. */
export const P384: Curve = defineCurve({
  name: 'p384',
  hash: 'sha384',
  openssl: 'secp384r1',
  order:
    'ffffffffffffffffffffffffffffffffffffffffffffffff' +
    'c7634d81f4372ddf581a0db248b0a77aecec196accc52973',
  beforeScalar: '3081b6020100301006072a8648ce3d020106052b8104002204819e30819b0201010430',
  beforePoint: 'a164036200',
  beforePublicPoint: '3076301006072a8648ce3d020106052b81040022036200',
})

/**
 * Whether bytes are a secret scalar: at least 1, below the order, of the curve's length.
 *
 * @throws `TypeError` when they are no bytes
 */
export function isValidScalar(curve: Curve, scalar: Uint8Array): boolean {
  assertBytes(scalar, 'scalar')
  return isScalar(curve.order, scalar)
}

/**
 * Fills secret memory with a new secret scalar.
 *
 * @throws `RangeError` unless `out` has the length of a scalar
 */
export function generate(curve: Curve, out: Uint8Array): void {
  assertBytes(out, 'room for a scalar', curve.scalarBytes)
  randomScalar(curve.order, out)
}

/**
 * Writes (scalar + tweak) mod n into secret memory, as SLIP-10 derives. False, with `out` all zeros, where the tweak is
 * not below n or the sum is zero: SLIP-10 then goes on with another tweak.
 *
 * @param out - apart from the other two
 * @throws `RangeError` for a length that is not a scalar's, or a scalar out of range
 */
export function addModN(
  curve: Curve,
  scalar: Uint8Array,
  tweak: Uint8Array,
  out: Uint8Array,
): boolean {
  assertScalar(curve, scalar)
  assertBytes(tweak, 'tweak', curve.scalarBytes)
  assertBytes(out, 'room for a scalar', curve.scalarBytes)
  return addModulo(curve.order, scalar, tweak, out)
}

/**
 * Writes the form that signs into secret memory: PKCS#8 with the public point, computed here.
 *
 * @param out - `curve.expandedBytes` of secret memory
 * @throws `RangeError` for another length or a scalar out of range
 */
export function expand(curve: Curve, scalar: Uint8Array, out: Uint8Array): void {
  assertScalar(curve, scalar)
  assertBytes(out, 'room for an expanded key', curve.expandedBytes)
  const ecdh = createECDH(curve.openssl)
  ecdh.setPrivateKey(scalar)
  const point = ecdh.getPublicKey()
  // The object lives until it is collected; the scalar in it goes now.
  ecdh.setPrivateKey(one(curve))
  let at = 0
  for (const part of [curve.beforeScalar, scalar, curve.beforePoint, point]) {
    out.set(part, at)
    at += part.byteLength
  }
}

/**
 * The public point of an expanded secret, 0x04 ‖ x ‖ y.
 *
 * @throws `RangeError` for another length
 */
export function publicKey(curve: Curve, expanded: Uint8Array): Uint8Array {
  assertBytes(expanded, 'expanded key', curve.expandedBytes)
  return new Uint8Array(expanded.subarray(curve.expandedBytes - curve.pointBytes))
}

/**
 * A public point from either of its two forms (SEC 1 §2.3.3), checked to lie on the curve.
 *
 * @returns 0x04 ‖ x ‖ y
 * @throws `VaultError` `invalid_argument` for whatever is no point of this curve, the one at infinity included
 */
export function parsePoint(curve: Curve, point: Uint8Array): Uint8Array {
  assertBytes(point, 'point')
  const [first] = point
  const compressed = point.byteLength === 1 + curve.scalarBytes && (first === 2 || first === 3)
  if (compressed || (point.byteLength === curve.pointBytes && first === 4)) {
    try {
      const parsed = ECDH.convertKey(point, curve.openssl, undefined, undefined, 'uncompressed')
      if (typeof parsed !== 'string') return new Uint8Array(parsed)
    } catch {
      // Said below, the same for every reason.
    }
  }
  throw new VaultError('invalid_argument', `Cannot read public key: no point of ${curve.name}`)
}

/**
 * Signs a message, hashed inside. The nonce is OpenSSL's: random, mixed with the key and the hash.
 *
 * @param expanded - what `expand` wrote
 * @returns r ‖ s
 * @throws `RangeError` for another length
 */
export function sign(curve: Curve, expanded: Uint8Array, message: Uint8Array): Uint8Array {
  assertBytes(expanded, 'expanded key', curve.expandedBytes)
  assertBytes(message, 'message')
  // Not the one call `sign`, whose job object keeps the key until it is collected.
  const signature = createSign(curve.hash)
    .update(message)
    .sign({
      key: expanded as Buffer,
      format: 'der',
      type: 'pkcs8',
      dsaEncoding: 'ieee-p1363',
    })
  return new Uint8Array(signature)
}

/**
 * Whether a signature over a message is right. Both of the two that belong together, (r, s) and (r, n−s), are; a point
 * off the curve and a signature of another length never are.
 *
 * @param point - 0x04 ‖ x ‖ y
 * @param signature - r ‖ s
 * @throws `RangeError` for a point of another length
 */
export function verify(
  curve: Curve,
  point: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  assertBytes(point, 'public key', curve.pointBytes)
  assertBytes(message, 'message')
  assertBytes(signature, 'signature')
  if (signature.byteLength !== curve.signatureBytes) return false
  const key = Buffer.concat([curve.beforePublicPoint, point])
  try {
    return createVerify(curve.hash)
      .update(message)
      .verify({ key, format: 'der', type: 'spki', dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false
  }
}

function assertScalar(curve: Curve, scalar: Uint8Array): void {
  assertBytes(scalar, 'scalar', curve.scalarBytes)
  if (!isScalar(curve.order, scalar)) {
    throw new RangeError(`Cannot take scalar: out of the range of ${curve.name}`)
  }
}

function one(curve: Curve): Uint8Array {
  const bytes = new Uint8Array(curve.scalarBytes)
  bytes[curve.scalarBytes - 1] = 1
  return bytes
}

function defineCurve(
  of: Pick<Curve, 'name' | 'hash' | 'openssl'> &
    Record<'order' | 'beforeScalar' | 'beforePoint' | 'beforePublicPoint', string>,
): Curve {
  const order = fromHex(of.order)
  const beforeScalar = fromHex(of.beforeScalar)
  const beforePoint = fromHex(of.beforePoint)
  const scalarBytes = order.byteLength
  const pointBytes = 1 + 2 * scalarBytes
  return Object.freeze({
    name: of.name,
    hash: of.hash,
    scalarBytes,
    pointBytes,
    signatureBytes: 2 * scalarBytes,
    expandedBytes: beforeScalar.byteLength + scalarBytes + beforePoint.byteLength + pointBytes,
    openssl: of.openssl,
    order,
    beforeScalar,
    beforePoint,
    beforePublicPoint: fromHex(of.beforePublicPoint),
  })
}
