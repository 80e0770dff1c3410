/**
 * Private keys as OpenSSL writes them: PKCS#8 (RFC 5958, RFC 8410 §7, RFC 5915) and SEC1. The public half is handed over
 * as a claim and never believed. Encrypted ones are refused with a sentence that says what to type. Whether a scalar lies
 * in its group's order is for whoever computes with it.
 */
import type { Secret, Slab } from '../secret.ts'
import { readAlgorithm, readCurve, writeAlgorithm } from './algorithm.ts'
import { contextTag, derElement, DerReader, INTEGER, OCTET_STRING, SEQUENCE } from './der.ts'
import { SECRET_KEY_BYTES } from './key-pairs.ts'
import type { EcType, PairType } from './key-pairs.ts'
import { readPem } from './pem.ts'

/** A private key that was read. Whoever reads it owns `secretKey`. */
export interface PrivateKeyParts {
  readonly type: PairType
  /** The seed or the scalar, of `SECRET_KEY_BYTES`. */
  readonly secretKey: Secret
  /** The public half as the file has it, only to compare with the computed one (`samePublicKey`). */
  readonly claimedPublic?: Uint8Array
}

const WHAT = 'private key'

/** RFC 5958 §2: attributes, which say nothing about the key, and the public half. */
const ATTRIBUTES = contextTag(0, 'constructed')
const PUBLIC_KEY = contextTag(1, 'primitive')

/**
 * Reads a private key file: "PRIVATE KEY" or "EC PRIVATE KEY".
 *
 * @param text - a whole file, at most `MAX_KEY_FILE_BYTES`
 * @throws `SyntaxError` for what is encrypted, not supported or malformed; `RangeError` for a longer text
 */
export function readPrivatePem(text: Uint8Array, slab: Slab): PrivateKeyParts {
  const { label, der } = readPem(text, slab, [
    'PRIVATE KEY',
    'EC PRIVATE KEY',
    'ENCRYPTED PRIVATE KEY',
    'RSA PRIVATE KEY',
  ])
  using secret = der
  if (label === 'ENCRYPTED PRIVATE KEY') {
    throw new SyntaxError(
      'Cannot read private key: it is encrypted; decrypt it first, type: openssl pkcs8 -in FILE',
    )
  }
  if (label === 'RSA PRIVATE KEY') {
    throw new SyntaxError('Cannot read private key: RSA is not supported')
  }
  return label === 'PRIVATE KEY' ? readPkcs8(secret.bytes, slab) : readSec1(secret.bytes, slab)
}

/**
 * Reads PKCS#8 in DER, versions 1 and 2.
 *
 * @throws `SyntaxError` with the place, for what is not supported or malformed
 */
export function readPkcs8(der: Uint8Array, slab: Slab): PrivateKeyParts {
  const outer = new DerReader(der, WHAT)
  const reader = outer.enter(SEQUENCE)
  outer.end()
  if (reader.peek() === SEQUENCE) {
    throw reader.refuse('it is encrypted, or no private key; type: openssl pkcs8 -in FILE')
  }
  const version = reader.smallInteger()
  if (version > 1) throw reader.refuse('an unknown version')
  const type = readAlgorithm(reader)
  const inside = reader.enter(OCTET_STRING)
  if (reader.peek() === ATTRIBUTES) reader.next(ATTRIBUTES)
  // RFC 5958 §2: a public half makes it version 2, and the other way round is allowed.
  const outerPublic =
    version === 1 && reader.peek() === PUBLIC_KEY ? reader.bitString(PUBLIC_KEY) : undefined
  reader.end()
  if (type === 'ed25519' || type === 'x25519') {
    // RFC 8410 §7: an OCTET STRING in the OCTET STRING.
    const bytes = inside.next(OCTET_STRING)
    inside.end()
    if (bytes.byteLength !== SECRET_KEY_BYTES[type]) {
      throw inside.refuse(`${bytes.byteLength} bytes are no ${type} key`)
    }
    return parts(type, slab.copy(bytes), outerPublic)
  }
  const key = readEcKey(inside, type)
  return parts(type, leftPadded(key.scalar, type, slab), key.claimedPublic ?? outerPublic)
}

/**
 * Reads the ECPrivateKey of RFC 5915, which is SEC1's, in DER.
 *
 * @throws `SyntaxError` with the place, for what is not supported or malformed
 */
export function readSec1(der: Uint8Array, slab: Slab): PrivateKeyParts {
  const key = readEcKey(new DerReader(der, WHAT), undefined)
  return parts(key.type, leftPadded(key.scalar, key.type, slab), key.claimedPublic)
}

/**
 * Writes PKCS#8 in DER into secret memory, for `node:crypto`. The public half is left out: OpenSSL computes it.
 *
 * @param secretKey - of `SECRET_KEY_BYTES`
 * @throws `RangeError` for another length
 */
export function writePkcs8(type: PairType, secretKey: Uint8Array, slab: Slab): Secret {
  const length = SECRET_KEY_BYTES[type]
  if (secretKey.byteLength !== length) {
    throw new RangeError(
      `Cannot write ${type} private key: ${secretKey.byteLength} bytes where ${length} are expected`,
    )
  }
  // The secret comes last in each of them, so zeros are written first and overwritten in secret memory.
  const room = derElement(OCTET_STRING, new Uint8Array(length))
  const inner =
    type === 'ed25519' || type === 'x25519'
      ? room
      : derElement(SEQUENCE, derElement(INTEGER, Uint8Array.of(1)), room)
  const version = derElement(INTEGER, Uint8Array.of(0))
  const der = slab.copy(
    derElement(SEQUENCE, version, writeAlgorithm(type), derElement(OCTET_STRING, inner)),
  )
  der.bytes.set(secretKey, der.length - length)
  return der
}

interface EcKey {
  type: EcType
  scalar: Uint8Array
  claimedPublic: Uint8Array | undefined
}

/** RFC 5915 §3. The curve is named outside, inside, or both alike. */
function readEcKey(outer: DerReader, named: EcType | undefined): EcKey {
  const reader = outer.enter(SEQUENCE)
  outer.end()
  if (reader.smallInteger() !== 1) throw reader.refuse('an unknown version')
  const scalar = reader.next(OCTET_STRING)
  let type = named
  if (reader.peek() === contextTag(0, 'constructed')) {
    const parameters = reader.enter(contextTag(0, 'constructed'))
    const own = readCurve(parameters)
    parameters.end()
    if (named !== undefined && own !== named) throw reader.refuse('two curves')
    type = own
  }
  if (type === undefined) throw reader.refuse('no curve')
  let claimedPublic: Uint8Array | undefined
  if (reader.peek() === contextTag(1, 'constructed')) {
    const claim = reader.enter(contextTag(1, 'constructed'))
    claimedPublic = claim.bitString()
    claim.end()
  }
  reader.end()
  // Some writers drop leading zeros, though RFC 5915 §3 fixes the length; none may write more.
  if (scalar.byteLength === 0 || scalar.byteLength > SECRET_KEY_BYTES[type]) {
    throw reader.refuse(`${scalar.byteLength} bytes are no ${type} key`)
  }
  return { type, scalar, claimedPublic }
}

function leftPadded(scalar: Uint8Array, type: EcType, slab: Slab): Secret {
  const secret = slab.take(SECRET_KEY_BYTES[type])
  secret.bytes.set(scalar, secret.length - scalar.byteLength)
  return secret
}

function parts(
  type: PairType,
  secretKey: Secret,
  claimedPublic: Uint8Array | undefined,
): PrivateKeyParts {
  // A copy: what was read lies in memory that is wiped.
  return claimedPublic === undefined
    ? { type, secretKey }
    : { type, secretKey, claimedPublic: Uint8Array.from(claimedPublic) }
}
