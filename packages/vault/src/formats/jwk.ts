/**
 * JSON Web Keys (RFC 7517, 7518 §6, 8037, 8812): public keys out, public and private ones in. A private one is read on
 * bytes into the slab. Public halves beside a private one are handed over as a claim and never believed.
 */
import { createHash } from 'node:crypto'

import { MAX_JWK_BYTES } from '../limits.ts'
import type { Secret, Slab } from '../secret.ts'

import { decodeBase64, decodedBase64Length, encodeBase64 } from './base64.ts'
import { filled } from './filled.ts'
import { scanJsonObject } from './json.ts'
import type { JsonMember } from './json.ts'
import { assertPublicKey, SECRET_KEY_BYTES } from './key-pairs.ts'
import type { PairType } from './key-pairs.ts'
import type { PublicKeyParts } from './spki.ts'

/** What a JWK says about its use, as it stands. */
export interface JwkFacts {
  readonly kid?: string
  readonly alg?: string
  /** `sig` or `enc`. */
  readonly use?: string
  readonly keyOps?: readonly string[]
}

/** A private JWK that was read. Whoever reads it owns `secretKey`. */
export interface PrivateJwk extends JwkFacts {
  /** `oct` is a key without a public half, of any type. */
  readonly type: PairType | 'oct'
  readonly secretKey: Secret
  /** As the file has it, points uncompressed, only to compare with the computed one (`samePublicKey`). */
  readonly claimedPublic?: Uint8Array
}

/** A public JWK that was read. Whether a point lies on its curve is for whoever computes with it. */
export type PublicJwk = PublicKeyParts & JwkFacts

/** Type, `kty` and `crv` (RFC 7518 §6.2.1.1, RFC 8037 §2, RFC 8812 §3.1). */
const CURVES: readonly (readonly [PairType, 'EC' | 'OKP', string])[] = [
  ['p256', 'EC', 'P-256'],
  ['p384', 'EC', 'P-384'],
  ['secp256k1', 'EC', 'secp256k1'],
  ['ed25519', 'OKP', 'Ed25519'],
  ['x25519', 'OKP', 'X25519'],
]

/**
 * A public key as JSON text: members in lexicographic order, no white space, so that one key has one text.
 *
 * @throws `TypeError` for bytes that are no key of that type
 */
export function writePublicJwk(
  key: PublicKeyParts,
  facts: Pick<JwkFacts, 'kid' | 'alg' | 'use'> = {},
): string {
  const { crv, kty, x, y } = membersOf(key)
  const { alg, kid, use } = facts
  return JSON.stringify({ alg, crv, kid, kty, use, x, y })
}

/**
 * The thumbprint (RFC 7638) with SHA-256.
 *
 * @returns 43 characters of base64url
 * @throws `TypeError` for bytes that are no key of that type
 */
export function jwkThumbprint(key: PublicKeyParts): string {
  const { crv, kty, x, y } = membersOf(key)
  const text = JSON.stringify({ crv, kty, x, y })
  return encodeBase64(createHash('sha256').update(text).digest(), 'url')
}

/**
 * Reads a private key, or a symmetric one (`oct`).
 *
 * @throws `SyntaxError`, which quotes no value of the key, `RangeError` past `MAX_JWK_BYTES`
 */
export function readPrivateJwk(json: Uint8Array, slab: Slab): PrivateJwk {
  const members = scan(json)
  const facts = factsOf(members)
  if (textOf(members, 'kty') === 'oct') {
    const text = secretText(members, 'k')
    const length = lengthOf(text, 'k')
    if (length === 0) throw bad('k is empty')
    return { ...facts, type: 'oct', secretKey: secretOf(slab, text, length, 'k') }
  }
  const type = typeOf(members)
  const claimed = members.has('x') ? { claimedPublic: publicOf(members, type) } : {}
  const secretKey = secretOf(slab, secretText(members, 'd'), SECRET_KEY_BYTES[type], 'd')
  return { ...facts, type, secretKey, ...claimed }
}

/**
 * Reads a public key.
 *
 * @throws `SyntaxError`, also for a private key, which has no business there; `RangeError` past `MAX_JWK_BYTES`
 */
export function readPublicJwk(json: Uint8Array): PublicJwk {
  const members = scan(json)
  if (members.has('d') || members.has('k')) throw bad('it holds a secret')
  const type = typeOf(members)
  return { ...factsOf(members), type, publicKey: publicOf(members, type) }
}

interface Members {
  readonly crv: string
  readonly kty: string
  readonly x: string
  readonly y?: string
}

function membersOf({ type, publicKey }: PublicKeyParts): Members {
  assertPublicKey(type, publicKey)
  const [, kty, crv] = CURVES.find(([name]) => name === type) as (typeof CURVES)[number]
  if (kty === 'OKP') return { crv, kty, x: encodeBase64(publicKey, 'url') }
  const middle = 1 + SECRET_KEY_BYTES[type]
  return {
    crv,
    kty,
    x: encodeBase64(publicKey.subarray(1, middle), 'url'),
    y: encodeBase64(publicKey.subarray(middle), 'url'),
  }
}

function scan(json: Uint8Array): Map<string, JsonMember> {
  if (json.byteLength > MAX_JWK_BYTES) {
    throw new RangeError(`Cannot read JWK: more than ${MAX_JWK_BYTES} bytes`)
  }
  return scanJsonObject(json, 'JWK')
}

function typeOf(members: Map<string, JsonMember>): PairType {
  const kty = textOf(members, 'kty')
  const crv = textOf(members, 'crv')
  const found = CURVES.find(([, type, curve]) => type === kty && curve === crv)
  if (found === undefined) {
    throw bad(`kty ${quote(kty)} with crv ${quote(crv)} is not supported`)
  }
  return found[0]
}

function publicOf(members: Map<string, JsonMember>, type: PairType): Uint8Array {
  const length = SECRET_KEY_BYTES[type]
  const coordinate = (name: string): Uint8Array => {
    const out = new Uint8Array(length)
    decodeInto(secretText(members, name), out, name)
    return out
  }
  if (type === 'ed25519' || type === 'x25519') return coordinate('x')
  return Uint8Array.of(0x04, ...coordinate('x'), ...coordinate('y'))
}

function factsOf(members: Map<string, JsonMember>): JwkFacts {
  const [kid, alg, use] = ['kid', 'alg', 'use'].map((name) => stringOf(members, name))
  const ops = members.get('key_ops')
  let keyOps: unknown
  if (ops !== undefined) {
    keyOps = ops.kind === 'value' ? (JSON.parse(latin1.decode(ops.bytes)) as unknown) : undefined
    if (!Array.isArray(keyOps) || !keyOps.every((op) => typeof op === 'string')) {
      throw bad('key_ops is no list of strings')
    }
  }
  return {
    ...(kid === undefined ? {} : { kid }),
    ...(alg === undefined ? {} : { alg }),
    ...(use === undefined ? {} : { use }),
    ...(keyOps === undefined ? {} : { keyOps: keyOps as string[] }),
  }
}

const latin1 = new TextDecoder('latin1')
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function stringOf(members: Map<string, JsonMember>, name: string): string | undefined {
  const member = members.get(name)
  if (member === undefined) return undefined
  try {
    const text = utf8.decode(member.bytes)
    const value: unknown = member.kind === 'text' ? text : JSON.parse(text)
    if (typeof value === 'string') return value
  } catch {
    // Said below.
  }
  throw bad(`${name} is no string`)
}

function textOf(members: Map<string, JsonMember>, name: string): string {
  const text = stringOf(members, name)
  if (text === undefined) throw bad(`no ${name}`)
  return text
}

function secretText(members: Map<string, JsonMember>, name: string): Uint8Array {
  const member = members.get(name)
  if (member === undefined) throw bad(`no ${name}`)
  if (member.kind !== 'text') throw bad(`${name} is no plain string`)
  return member.bytes
}

function secretOf(slab: Slab, text: Uint8Array, length: number, name: string): Secret {
  return filled(slab, length, (out) => {
    decodeInto(text, out, name)
  })
}

function lengthOf(text: Uint8Array, name: string): number {
  try {
    return decodedBase64Length(text, 'url')
  } catch {
    throw bad(`${name} is not base64url`)
  }
}

/** RFC 7518 §6.2.1.2: coordinates and scalars have their full length, leading zeros too. */
function decodeInto(text: Uint8Array, out: Uint8Array, name: string): void {
  const length = lengthOf(text, name)
  if (length !== out.byteLength) {
    throw bad(`${name} has ${length} bytes where ${out.byteLength} are expected`)
  }
  try {
    decodeBase64(text, out, 'url')
  } catch {
    throw bad(`${name} is not base64url`)
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}

function bad(state: string): SyntaxError {
  return new SyntaxError(`Cannot read JWK: ${state}`)
}
