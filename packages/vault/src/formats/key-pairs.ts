/**
 * The key pairs that files and wires know, and how long their halves are. No arithmetic: a public key is computed
 * elsewhere, and here it is only compared, checked for its form and shortened.
 */
import { assertBytes, equalBytes } from '@stronghold/core'

/** A key pair's type, in the words of the vault. */
export type PairType = 'ed25519' | 'x25519' | 'secp256k1' | 'p256' | 'p384'

/** The types that are points on a curve of SEC 2. */
export type EcType = 'secp256k1' | 'p256' | 'p384'

/** Length of the secret half: a seed (RFC 8032), a scalar (RFC 7748), or a scalar of the group's length, big-endian. */
export const SECRET_KEY_BYTES: Readonly<Record<PairType, number>> = Object.freeze({
  ed25519: 32,
  x25519: 32,
  secp256k1: 32,
  p256: 32,
  p384: 48,
})

/** Length of the public half as formats write it: 32 bytes, or an uncompressed point (SEC 1 §2.3.3), 04 ‖ x ‖ y. */
export const PUBLIC_KEY_BYTES: Readonly<Record<PairType, number>> = Object.freeze({
  ed25519: 32,
  x25519: 32,
  secp256k1: 65,
  p256: 65,
  p384: 97,
})

const UNCOMPRESSED = 0x04
const EVEN = 0x02
const ODD = 0x03

/** Whether bytes have the form of that type's public half. Whether a point lies on its curve is not looked at. */
export function isPublicKey(type: PairType, publicKey: Uint8Array): boolean {
  const length = PUBLIC_KEY_BYTES[type]
  return publicKey.byteLength === length && (length === 32 || publicKey[0] === UNCOMPRESSED)
}

/**
 * Says that bytes have the form of that type's public half.
 *
 * @throws `TypeError` where they have not
 */
export function assertPublicKey(type: PairType, publicKey: Uint8Array): void {
  assertBytes(publicKey, `${type} public key`)
  if (isPublicKey(type, publicKey)) return
  throw new TypeError(
    `Cannot write ${type} public key: ${publicKey.byteLength} bytes that are no ${PUBLIC_KEY_BYTES[type] === 32 ? 'key of 32' : 'uncompressed point'}`,
  )
}

/**
 * The short form of a point (SEC 1 §2.3.3), which is what the API calls raw: 33 or 49 bytes.
 *
 * @param point - uncompressed, 65 or 97 bytes
 * @throws `TypeError` for anything else
 */
export function compressPoint(point: Uint8Array): Uint8Array {
  assertBytes(point, 'point')
  if (point[0] !== UNCOMPRESSED || (point.byteLength !== 65 && point.byteLength !== 97)) {
    throw new TypeError('Cannot compress point: not an uncompressed one')
  }
  const short = point.slice(0, (point.byteLength + 1) / 2)
  short[0] = ((point.at(-1) ?? 0) & 1) === 0 ? EVEN : ODD
  return short
}

/**
 * Whether a public half that somebody wrote down is the one that was computed. Points may be written short.
 *
 * @param claimed - as a file has it
 * @param computed - as this package computed it, points uncompressed
 */
export function samePublicKey(claimed: Uint8Array, computed: Uint8Array): boolean {
  return (
    equalBytes(claimed, computed) ||
    (computed.byteLength > 32 && equalBytes(claimed, compressPoint(computed)))
  )
}
