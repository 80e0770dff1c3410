/**
 * JSON Web Signatures in compact form (RFC 7515, 8037, 8812), with the algorithm fixed by the key, and the claims of a
 * JWT (RFC 7519) as somebody who approves should see them. It neither signs nor verifies.
 */
import { concat, encodeUtf8 } from '@stronghold/core'

import { MAX_JWS_BYTES, MAX_JWS_HEADER_BYTES } from '../limits.ts'

import { decodeBase64, decodedBase64Length, encodeBase64 } from './base64.ts'
import { parseJsonObject } from './json.ts'

/** RFC 7518 §3.1, RFC 8037 §3.1, RFC 8812 §3.2. */
export type JwsAlgorithm = 'EdDSA' | 'ES256' | 'ES384' | 'ES256K' | 'HS256'

/** What a protected header may hold beside `alg`. */
export type JwsHeaderValue = string | number | boolean

/** A JWS in its parts. */
export interface JwsParts {
  readonly algorithm: JwsAlgorithm
  /** All members, `alg` too, as they stand; nested values included. */
  readonly header: Readonly<Record<string, unknown>>
  readonly payload: Uint8Array
  /** What the signature is over. */
  readonly signingInput: Uint8Array
  /** Of the length of its algorithm: r ‖ s for ECDSA. */
  readonly signature: Uint8Array
}

/** Length of each algorithm's signature, in bytes. */
export const JWS_SIGNATURE_BYTES: Readonly<Record<JwsAlgorithm, number>> = Object.freeze({
  EdDSA: 64,
  ES256: 64,
  ES384: 96,
  ES256K: 64,
  HS256: 32,
})

/** The one algorithm of each type of key that signs, in the vault's words; HMAC keys are `hmac-sha2`. */
export const JWS_ALGORITHMS: Readonly<Record<string, JwsAlgorithm>> = Object.freeze({
  ed25519: 'EdDSA',
  p256: 'ES256',
  p384: 'ES384',
  secp256k1: 'ES256K',
  'hmac-sha2': 'HS256',
})

/**
 * Members that change how a signature is checked or bring a key along: neither a caller nor a sender has them.
 */
const REFUSED = ['crit', 'b64', 'jwk']
const DOT = Uint8Array.of(0x2e)

/**
 * What a signature of a JWS is over: header and payload in base64url. The header begins with `alg`, the rest follows in
 * lexicographic order.
 *
 * @param members - more of the protected header; no `alg`, `crit`, `b64` or `jwk`
 * @throws `TypeError` for a member that is none of the caller's, `RangeError` past `MAX_JWS_HEADER_BYTES`
 */
export function jwsSigningInput(
  algorithm: JwsAlgorithm,
  members: Readonly<Record<string, JwsHeaderValue>>,
  payload: Uint8Array,
): Uint8Array {
  const header = new Map<string, JwsHeaderValue>([['alg', algorithm]])
  for (const name of Object.keys(members).sort()) {
    const value = members[name]
    if (name === 'alg' || REFUSED.includes(name) || !/^[\x21-\x7e]{1,64}$/.test(name)) {
      throw new TypeError(
        `Cannot sign JWS: ${JSON.stringify(name.slice(0, 64))} is not the caller's`,
      )
    }
    const plain =
      typeof value === 'boolean' ||
      (typeof value === 'string' && value.isWellFormed()) ||
      (typeof value === 'number' && Number.isSafeInteger(value))
    if (!plain) throw new TypeError(`Cannot sign JWS: ${name} is no text, integer or boolean`)
    header.set(name, value)
  }
  // Written member by member: an object would move names that look like numbers to the front.
  const text = [...header].map(
    ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`,
  )
  const bytes = encodeUtf8(`{${text.join(',')}}`)
  if (bytes.byteLength > MAX_JWS_HEADER_BYTES) throw headerTooLong()
  return encodeUtf8(`${encodeBase64(bytes, 'url')}.${encodeBase64(payload, 'url')}`)
}

/** The JWS of a signing input and its signature: ASCII. */
export function assembleJws(signingInput: Uint8Array, signature: Uint8Array): Uint8Array {
  return concat([signingInput, DOT, encodeUtf8(encodeBase64(signature, 'url'))])
}

/**
 * Takes a JWS apart, strictly. Whether the signature is right is for the primitive of the key at hand.
 *
 * @param expected - the algorithm of that key (`JWS_ALGORITHMS`); a JWS that names another is refused, so that nobody
 *   but the key's owner chooses how it is checked
 * @throws `SyntaxError`, `RangeError` past `MAX_JWS_BYTES` or `MAX_JWS_HEADER_BYTES`
 */
export function parseJws(jws: Uint8Array, expected: JwsAlgorithm): JwsParts {
  if (jws.byteLength > MAX_JWS_BYTES) {
    throw new RangeError(`Cannot read JWS: more than ${MAX_JWS_BYTES} bytes`)
  }
  const first = jws.indexOf(DOT[0] as number)
  const second = jws.indexOf(DOT[0] as number, first + 1)
  if (first === -1 || second === -1) throw bad('not three parts')
  const head = decodePart(jws.subarray(0, first), 'header')
  if (head.byteLength > MAX_JWS_HEADER_BYTES) throw headerTooLong()
  const header = parseJsonObject(head, 'JWS header')
  const refused = REFUSED.find((name) => Object.hasOwn(header, name))
  if (refused !== undefined) throw bad(`${refused} in the header`)
  for (const name of ['kid', 'typ', 'cty']) {
    if (Object.hasOwn(header, name) && typeof header[name] !== 'string') {
      throw bad(`${name} is no text`)
    }
  }
  if (!Object.hasOwn(header, 'alg') || header['alg'] !== expected) {
    throw bad(`the header does not name ${expected}, the algorithm of this key`)
  }
  const signature = decodePart(jws.subarray(second + 1), 'signature')
  if (signature.byteLength !== JWS_SIGNATURE_BYTES[expected]) {
    throw bad(`a signature of ${signature.byteLength} bytes`)
  }
  return {
    algorithm: expected,
    header,
    payload: decodePart(jws.subarray(first + 1, second), 'payload'),
    signingInput: jws.slice(0, second),
    signature,
  }
}

/** The registered claims (RFC 7519 §4.1) that stand in a payload, and the names of the others. */
export interface JwtClaims {
  readonly iss?: string
  readonly sub?: string
  readonly aud?: readonly string[]
  /** Seconds since the epoch. */
  readonly exp?: number
  /** Seconds since the epoch. */
  readonly nbf?: number
  /** Seconds since the epoch. */
  readonly iat?: number
  readonly jti?: string
  /** Names of all other claims. */
  readonly others: readonly string[]
}

/**
 * The claims of a payload that is a JWT's, for somebody to read before it is signed; they are whatever the asker wrote.
 *
 * @returns `undefined` for a payload that is no object of claims, or one with a registered claim of another type
 */
export function previewClaims(payload: Uint8Array): JwtClaims | undefined {
  let claims: Record<string, unknown>
  try {
    claims = parseJsonObject(payload, 'JWT claims')
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined
    throw error
  }
  const known = new Map<string, unknown>()
  const others: string[] = []
  for (const [name, value] of Object.entries(claims)) {
    const kind = CLAIMS[name]
    if (kind === undefined || !Object.hasOwn(CLAIMS, name)) others.push(name)
    else if (
      name === 'aud' &&
      Array.isArray(value) &&
      value.every((of) => typeof of === 'string')
    ) {
      known.set(name, value)
    } else if (typeof value !== kind) return undefined
    else known.set(name, name === 'aud' ? [value] : value)
  }
  return { ...Object.fromEntries(known), others }
}

const CLAIMS: Readonly<Record<string, 'string' | 'number'>> = {
  iss: 'string',
  sub: 'string',
  aud: 'string',
  exp: 'number',
  nbf: 'number',
  iat: 'number',
  jti: 'string',
}

function decodePart(text: Uint8Array, what: string): Uint8Array {
  try {
    const out = new Uint8Array(decodedBase64Length(text, 'url'))
    decodeBase64(text, out, 'url')
    return out
  } catch (cause) {
    throw new SyntaxError(`Cannot read JWS: the ${what} is not canonical base64url`, { cause })
  }
}

function headerTooLong(): RangeError {
  return new RangeError(`Cannot use JWS: a header of more than ${MAX_JWS_HEADER_BYTES} bytes`)
}

function bad(state: string): SyntaxError {
  return new SyntaxError(`Cannot read JWS: ${state}`)
}
