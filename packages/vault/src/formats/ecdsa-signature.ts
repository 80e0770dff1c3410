/**
 * The two ways to write an ECDSA signature: ECDSA-Sig-Value in DER (RFC 3279 §2.2.3), and r ‖ s of fixed width (IEEE
 * P1363, which JOSE has too). Both are checked for form, none for truth.
 */
import { derElement, DerReader, INTEGER, SEQUENCE } from './der.ts'

/**
 * r ‖ s as DER.
 *
 * @param fixed - both halves of the same length, at most 66 bytes each, big-endian
 * @throws `RangeError` for another length
 */
export function ecdsaToDer(fixed: Uint8Array): Uint8Array {
  const width = fixed.byteLength / 2
  if (!Number.isInteger(width) || width < 1 || width > 66) {
    throw new RangeError(`Cannot write signature: ${fixed.byteLength} bytes are no two halves`)
  }
  return derElement(
    SEQUENCE,
    derElement(INTEGER, signedInteger(fixed.subarray(0, width))),
    derElement(INTEGER, signedInteger(fixed.subarray(width))),
  )
}

/**
 * DER as r ‖ s.
 *
 * @param width - bytes of each half: 32, or 48 for P-384
 * @throws `SyntaxError` with the place, for anything but the one DER form of two integers that are not negative and fit
 */
export function ecdsaFromDer(der: Uint8Array, width: number): Uint8Array {
  const outer = new DerReader(der, 'signature')
  const reader = outer.enter(SEQUENCE)
  outer.end()
  const fixed = new Uint8Array(2 * width)
  for (const end of [width, 2 * width]) {
    const integer = unsignedInteger(reader.next(INTEGER))
    if (integer === undefined)
      throw reader.refuse('an integer that is negative or not in its shortest form')
    if (integer.byteLength > width) throw reader.refuse('an integer that is too long')
    fixed.set(integer, end - integer.byteLength)
  }
  reader.end()
  return fixed
}

/**
 * An unsigned number as the shortest two's complement, which both DER and SSH (RFC 4251 §5) write; zero keeps one byte.
 */
export function signedInteger(unsigned: Uint8Array): Uint8Array {
  let from = 0
  while (from < unsigned.byteLength - 1 && unsigned[from] === 0) from += 1
  const short = unsigned.subarray(from)
  if (((short[0] ?? 0) & 0x80) === 0) return short
  const signed = new Uint8Array(short.byteLength + 1)
  signed.set(short, 1)
  return signed
}

/** The way back, without a leading zero; undefined for a negative number and for what is not in its shortest form. */
export function unsignedInteger(signed: Uint8Array): Uint8Array | undefined {
  const [first, second] = signed
  if (first === undefined || (first & 0x80) !== 0) return undefined
  if (first !== 0 || second === undefined) return signed
  return (second & 0x80) === 0 ? undefined : signed.subarray(1)
}
