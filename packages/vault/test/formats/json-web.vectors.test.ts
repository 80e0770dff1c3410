import { createHash } from 'node:crypto'

import { encodeUtf8 } from '@stronghold/core'
import { publishedVectors } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import { readPrivateJwk, readPublicJwk } from '../../src/formats/jwk.ts'
import { JWS_ALGORITHMS, parseJws } from '../../src/formats/jws.ts'
import * as ecdsa from '../../src/primitives/ecdsa.ts'
import * as ed25519 from '../../src/primitives/ed25519.ts'
import * as hmac from '../../src/primitives/hmac.ts'
import { Secp256k1 } from '../../src/primitives/secp256k1.ts'
import { Slab } from '../../src/secret.ts'

interface Jwk extends Record<string, unknown> {
  kty: string
  crv?: string
  kid?: string
  keys?: Jwk[]
}
interface Group {
  comment: string
  public?: Jwk
  private?: Jwk
  tests: { tcId: number; comment: string; jws: string; result: string; flags?: string[] }[]
}

/** Cases with another outcome here, and why. */
const OTHERWISE: Record<string, boolean> = {
  // The same text as case 357, which is valid: what the title names is not in it.
  'json_web_signature_test 367': true,
  'json_web_signature_test 370': true,
  // A character that is no base64url stands in the header or payload: RFC 7515 §2 has no place for it.
  'json_web_signature_test 372': false,
  'json_web_signature_test 373': false,
}

const secp256k1 = new Secp256k1()

/** Why no procedure of this vault could have made the group's signatures. */
function withoutProcedure({ public: publicKey, private: privateKey }: Group): string | undefined {
  const key = publicKey ?? privateKey!
  const keys = key.keys ?? [key]
  if (keys.some(({ kty }) => kty === 'RSA')) return 'no procedure: RSA'
  if (keys.some(({ crv }) => crv === 'P-521')) return 'no procedure: P-521'
  const hash = keys.map(({ alg }) => alg).find((alg) => alg === 'HS384' || alg === 'HS512')
  if (hash !== undefined) return `no procedure: ${hash as string}`
  return undefined
}

/** A key that cannot be read accepts nothing. */
function readsAndAccepts(slab: Slab, key: Jwk, jws: Uint8Array): boolean {
  try {
    return accepts(slab, key, jws)
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError)
    return false
  }
}

/** As a caller verifies: by the one key that was named, and by what that key may be used for. */
function accepts(slab: Slab, key: Jwk, jws: Uint8Array): boolean {
  const json = encodeUtf8(JSON.stringify(key))
  using secret = key.kty === 'oct' ? readPrivateJwk(json, slab).secretKey : slab.take(0)
  const read = key.kty === 'oct' ? { type: 'hmac-sha2' as const } : readPublicJwk(json)
  const facts = key.kty === 'oct' ? readFacts(slab, json) : readPublicJwk(json)
  const algorithm = JWS_ALGORITHMS[read.type]
  if (algorithm === undefined) return false
  if (facts.use !== undefined && facts.use !== 'sig') return false
  if (facts.keyOps !== undefined && !facts.keyOps.includes('verify')) return false
  if (facts.alg !== undefined && facts.alg !== algorithm) return false
  let parts
  try {
    parts = parseJws(jws, algorithm)
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError)
    return false
  }
  if (
    facts.kid !== undefined &&
    parts.header['kid'] !== undefined &&
    parts.header['kid'] !== facts.kid
  )
    return false
  const { signingInput, signature } = parts
  switch (read.type) {
    case 'hmac-sha2':
      // RFC 7518 §3.2: a key at least as long as the hash.
      return secret.length >= 32 && hmac.verify('sha256', secret.bytes, signingInput, signature)
    case 'ed25519':
      return ed25519.verify(read.publicKey, signingInput, signature)
    case 'secp256k1': {
      const digest = createHash('sha256').update(signingInput).digest()
      return secp256k1.verify(read.publicKey, digest, signature, { requireLowS: false })
    }
    case 'p256':
    case 'p384': {
      const curve = read.type === 'p256' ? ecdsa.P256 : ecdsa.P384
      return ecdsa.verify(curve, read.publicKey, signingInput, signature)
    }
    case 'x25519':
      return false
  }
}

function readFacts(slab: Slab, json: Uint8Array): ReturnType<typeof readPrivateJwk> {
  const read = readPrivateJwk(json, slab)
  read.secretKey.wipe()
  return read
}

/** In a set, the key whose kid the header names, if it is one; a mixed set is nobody's to sort out. */
function oneOf(key: Jwk, jws: string): Jwk | undefined {
  if (key.keys === undefined) return key
  const header = JSON.parse(Buffer.from(jws.split('.')[0]!, 'base64url').toString()) as Jwk
  const found = key.keys.filter(({ kid }) => kid === header.kid)
  const kinds = new Set(key.keys.map(({ kty }) => kty === 'oct'))
  return found.length === 1 && kinds.size === 1 ? found[0] : undefined
}

describe.each(['json_web_key_test', 'json_web_signature_test'])('Wycheproof %s', (name) => {
  const file = publishedVectors(`wycheproof/${name}.json`) as { testGroups: Group[] } | undefined
  // Published vectors stand beside the project, not in it.
  if (file === undefined) test.skip(`${name}.json is absent here`, () => {})
  for (const [i, group] of (file?.testGroups ?? []).entries()) {
    const reason = withoutProcedure(group)
    const title = `group ${i + 1}, ${group.comment}`
    // Key types and algorithms that no procedure offers; each group says which.
    if (reason !== undefined) {
      test.skip(`${title}: ${reason}`, () => {})
      continue
    }
    test(`${title}: ${group.tests.length} cases`, () => {
      using slab = new Slab({ bytes: 64 * 1024 })
      for (const { tcId, comment, jws, result } of group.tests) {
        const key = oneOf(group.public ?? group.private!, jws)
        const accepted = key !== undefined && readsAndAccepts(slab, key, encodeUtf8(jws))
        const expected = OTHERWISE[`${name} ${tcId}`] ?? result !== 'invalid'
        expect([tcId, comment, accepted]).toEqual([tcId, comment, expected])
      }
      expect(slab.used).toBe(0)
    })
  }
})
