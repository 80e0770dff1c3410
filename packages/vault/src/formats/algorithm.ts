/**
 * AlgorithmIdentifiers, by which PKCS#8 and SPKI name the type of a key (RFC 8410 §3, RFC 5480 §2.1.1). It knows the
 * types of this package and gives every other one a sentence.
 */
import { equalBytes, fromHex } from '@stronghold/core'

import { derElement, OID, SEQUENCE } from './der.ts'
import type { DerReader } from './der.ts'
import type { EcType, PairType } from './key-pairs.ts'

/** 1.2.840.10045.2.1, id-ecPublicKey (RFC 5480). */
const EC_PUBLIC_KEY = fromHex('2a8648ce3d0201')

const CURVES: readonly (readonly [EcType, Uint8Array])[] = [
  ['p256', fromHex('2a8648ce3d030107')], // 1.2.840.10045.3.1.7 (RFC 5480)
  ['p384', fromHex('2b81040022')], // 1.3.132.0.34 (RFC 5480)
  ['secp256k1', fromHex('2b8104000a')], // 1.3.132.0.10 (SEC 2 §A.2.1)
]

const PLAIN: readonly (readonly [PairType, Uint8Array])[] = [
  ['x25519', fromHex('2b656e')], // 1.3.101.110 (RFC 8410)
  ['ed25519', fromHex('2b6570')], // 1.3.101.112 (RFC 8410)
]

/** What people have most often and this package does not take. */
const REFUSED: readonly (readonly [string, Uint8Array])[] = [
  ['RSA', fromHex('2a864886f70d010101')],
  ['RSA-PSS', fromHex('2a864886f70d01010a')],
  ['Ed448', fromHex('2b6571')],
  ['X448', fromHex('2b656f')],
  ['P-521', fromHex('2b81040023')],
]

/** Writes the AlgorithmIdentifier of a type. */
export function writeAlgorithm(type: PairType): Uint8Array {
  const plain = PLAIN.find(([name]) => name === type)
  if (plain !== undefined) return derElement(SEQUENCE, derElement(OID, plain[1]))
  return derElement(
    SEQUENCE,
    derElement(OID, EC_PUBLIC_KEY),
    ...CURVES.filter(([name]) => name === type).map(([, oid]) => derElement(OID, oid)),
  )
}

/**
 * Reads an AlgorithmIdentifier.
 *
 * @throws `SyntaxError` for what is malformed, or names the type that is not supported
 */
export function readAlgorithm(reader: DerReader): PairType {
  const inside = reader.enter(SEQUENCE)
  const oid = inside.next(OID)
  if (equalBytes(oid, EC_PUBLIC_KEY)) {
    if (inside.peek() === SEQUENCE) throw inside.refuse('a curve that is spelled out, not named')
    const type = readCurve(inside)
    inside.end()
    return type
  }
  const plain = PLAIN.find(([, known]) => equalBytes(known, oid))
  if (plain === undefined) throw inside.refuse(`${nameOf(oid)} is not supported`)
  // RFC 8410 §3: parameters must be absent.
  inside.end()
  return plain[0]
}

/** Reads the name of a curve. @throws as `readAlgorithm` */
export function readCurve(reader: DerReader): EcType {
  const oid = reader.next(OID)
  const curve = CURVES.find(([, known]) => equalBytes(known, oid))
  if (curve === undefined) throw reader.refuse(`${nameOf(oid)} is not supported`)
  return curve[0]
}

/** Names an object identifier: by its common name, else in hex. */
function nameOf(oid: Uint8Array): string {
  const refused = REFUSED.find(([, known]) => equalBytes(known, oid))
  return refused?.[0] ?? `the algorithm with the object identifier ${dotted(oid)}`
}

/** X.690 §8.19; cut to 64 characters, since numbers in it may be of any size. */
function dotted(oid: Uint8Array): string {
  const numbers: number[] = []
  let value = 0
  for (const byte of oid.subarray(0, 32)) {
    value = value * 128 + (byte & 0x7f)
    if ((byte & 0x80) !== 0) continue
    if (numbers.length === 0)
      numbers.push(
        Math.min(Math.floor(value / 40), 2),
        value - 40 * Math.min(Math.floor(value / 40), 2),
      )
    else numbers.push(value)
    value = 0
  }
  return numbers.join('.').slice(0, 64)
}
