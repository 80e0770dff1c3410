import { createHash } from 'node:crypto'

import { encodeUtf8 } from '@stronghold/core'
import * as jose from 'jose'
import { describe, expect, test } from 'vitest'

import {
  jwkThumbprint,
  readPrivateJwk,
  readPublicJwk,
  writePublicJwk,
} from '../../src/formats/jwk.ts'
import { assembleJws, jwsSigningInput, parseJws, previewClaims } from '../../src/formats/jws.ts'
import { parseJsonObject, scanJsonObject } from '../../src/formats/json.ts'
import {
  MAX_JSON_DEPTH,
  MAX_JWK_BYTES,
  MAX_JWS_BYTES,
  MAX_JWS_HEADER_BYTES,
} from '../../src/limits.ts'
import * as ecdsa from '../../src/primitives/ecdsa.ts'
import * as ed25519 from '../../src/primitives/ed25519.ts'
import { hmac } from '../../src/primitives/hmac.ts'
import { Secp256k1 } from '../../src/primitives/secp256k1.ts'
import * as x25519 from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'
import { feed, FEWER, INPUTS } from './_hostile.ts'

const slab = new Slab({ bytes: 128 * 1024 })
const secp256k1 = new Secp256k1()
const payload = encodeUtf8('{"sub":"release"}')

function publicOf(type: string, key: Uint8Array): Uint8Array {
  if (type === 'x25519') return x25519.publicKey(key)
  if (type === 'secp256k1') return secp256k1.publicKey(key)
  if (type === 'ed25519') {
    using expanded = slab.take(64)
    ed25519.expand(key, expanded.bytes)
    return ed25519.publicKey(expanded.bytes)
  }
  const curve = type === 'p256' ? ecdsa.P256 : ecdsa.P384
  using expanded = slab.take(curve.expandedBytes)
  ecdsa.expand(curve, key, expanded.bytes)
  return ecdsa.publicKey(curve, expanded.bytes)
}

describe.each([
  ['EdDSA', 'Ed25519', 'ed25519'],
  ['ECDH-ES', 'X25519', 'x25519'],
  ['ES256', 'P-256', 'p256'],
  ['ES384', 'P-384', 'p384'],
] as const)('%s with %s', (alg, crv, type) => {
  test('keys of another implementation are read, and the same texts and thumbprints written', async () => {
    const pair = await jose.generateKeyPair(alg, { crv, extractable: true })
    const jwk = await jose.exportJWK(pair.privateKey)
    const json = encodeUtf8(
      JSON.stringify({ ...jwk, kid: 'k1', use: 'sig', key_ops: ['sign'], ext: true }, null, 1),
    )
    const read = readPrivateJwk(json, slab)
    using secretKey = read.secretKey
    expect(read).toMatchObject({ type, kid: 'k1', use: 'sig', keyOps: ['sign'] })
    const publicKey = publicOf(type, secretKey.bytes)
    expect(read.claimedPublic).toEqual(publicKey)
    expect(jwkThumbprint({ type, publicKey })).toBe(await jose.calculateJwkThumbprint(jwk))
    const text = writePublicJwk({ type, publicKey }, { kid: 'k1' })
    const { d: _, ...theirs } = jwk
    expect(JSON.parse(text)).toEqual({ ...theirs, kid: 'k1' })
    expect(Object.keys(JSON.parse(text) as object)).toEqual(
      [...Object.keys(JSON.parse(text) as object)].sort(),
    )
    expect(readPublicJwk(encodeUtf8(text))).toEqual({ type, publicKey, kid: 'k1' })
    if (type === 'x25519') return

    const input = jwsSigningInput(alg, { kid: 'k1', typ: 'JWT' }, payload)
    let signature: Uint8Array
    if (type === 'ed25519') {
      using expanded = slab.take(64)
      ed25519.expand(secretKey.bytes, expanded.bytes)
      signature = ed25519.sign(expanded.bytes, input)
    } else {
      const curve = type === 'p256' ? ecdsa.P256 : ecdsa.P384
      using expanded = slab.take(curve.expandedBytes)
      ecdsa.expand(curve, secretKey.bytes, expanded.bytes)
      signature = ecdsa.sign(curve, expanded.bytes, input)
    }
    const mine = Buffer.from(assembleJws(input, signature)).toString()
    const verified = await jose.compactVerify(mine, pair.publicKey)
    expect(verified.protectedHeader).toEqual({ alg, kid: 'k1', typ: 'JWT' })
    expect(Buffer.compare(verified.payload, payload)).toBe(0)
    const signed = await new jose.CompactSign(payload)
      .setProtectedHeader({ alg })
      .sign(pair.privateKey)
    const parts = parseJws(encodeUtf8(signed), alg)
    const ok =
      type === 'ed25519'
        ? ed25519.verify(publicKey, parts.signingInput, parts.signature)
        : ecdsa.verify(
            type === 'p256' ? ecdsa.P256 : ecdsa.P384,
            publicKey,
            parts.signingInput,
            parts.signature,
          )
    expect(ok).toBe(true)
    expect(parts.payload).toEqual(payload)
  })
})

test('HS256 is what another implementation makes and takes', async () => {
  const key = new Uint8Array(32).fill(7)
  const json = encodeUtf8(`{"kty":"oct","k":"${Buffer.from(key).toString('base64url')}"}`)
  const { secretKey, type } = readPrivateJwk(json, slab)
  expect(type).toBe('oct')
  const input = jwsSigningInput('HS256', {}, payload)
  const mine = Buffer.from(assembleJws(input, hmac('sha256', secretKey.bytes, input))).toString()
  secretKey.wipe()
  expect(mine).toBe(
    await new jose.CompactSign(payload).setProtectedHeader({ alg: 'HS256' }).sign(key),
  )
})

test('RFC 8037 appendix A: the key, its thumbprint and its signature', () => {
  const json =
    '{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'
  using secretKey = readPrivateJwk(encodeUtf8(json), slab).secretKey
  const publicKey = publicOf('ed25519', secretKey.bytes)
  expect(jwkThumbprint({ type: 'ed25519', publicKey })).toBe(
    'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
  )
  const input = jwsSigningInput('EdDSA', {}, encodeUtf8('Example of Ed25519 signing'))
  using expanded = slab.take(64)
  ed25519.expand(secretKey.bytes, expanded.bytes)
  expect(Buffer.from(assembleJws(input, ed25519.sign(expanded.bytes, input))).toString()).toBe(
    'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
  )
})

test('ES256K: a JWS round trip', () => {
  const input = jwsSigningInput('ES256K', {}, payload)
  const digest = createHash('sha256').update(input).digest()
  const { signature } = secp256k1.sign(new Uint8Array(32).fill(1), digest)
  const parts = parseJws(assembleJws(input, signature), 'ES256K')
  expect(
    secp256k1.verify(secp256k1.publicKey(new Uint8Array(32).fill(1)), digest, parts.signature),
  ).toBe(true)
})

const D = 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A'
test.each([
  '',
  '[]',
  '{}',
  `{"kty":"OKP","crv":"Ed25519","d":"${D}"} x`,
  `{"kty":"OKP","crv":"Ed25519","d":"${D}","d":"${D}"}`,
  `{"kty":"OKP","crv":"Ed25519","\\u0064":"${D}","d":"${D}"}`,
  `{"kty":"OKP","crv":"Ed25519","d":"\\u006e${D.slice(1)}"}`,
  `{"kty":"OKP","crv":"Ed25519","d":"${D}="}`,
  `{"kty":"OKP","crv":"Ed25519","d":"${D.slice(1)}"}`,
  `{"kty":"OKP","crv":"Ed25519","d":"${D.slice(0, -1)}B"}`,
  `{"kty":"OKP","crv":"Ed25519","d":7}`,
  `{"kty":"OKP","crv":"Ed25519"}`,
  `{"kty":"OKP","crv":"Ed448","d":"${D}"}`,
  `{"kty":"EC","crv":"Ed25519","d":"${D}"}`,
  `{"kty":"EC","crv":"P-256","d":"${D}","x":"${D}"}`,
  `{"kty":"RSA","d":"${D}"}`,
  `{"kty":"oct","k":""}`,
  `{"kty":"oct","d":"${D}"}`,
  `{"kty":"OKP","crv":"Ed25519","d":"${D}","kid":7}`,
  `{"kty":"OKP","crv":"Ed25519","d":"${D}","key_ops":"sign"}`,
  `{'kty':"OKP"}`,
  `{"kty":"OKP",}`,
])('%s is no private JWK, and the message has nothing of a secret', (json) => {
  const before = slab.used
  let message = ''
  try {
    readPrivateJwk(encodeUtf8(json), slab)
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError)
    message = String(error)
  }
  expect(message).toMatch(/Cannot read JWK/)
  expect(message).not.toContain(D.slice(1, 9))
  expect(slab.used).toBe(before)
})

test('a public JWK with a secret in it is refused', () => {
  expect(() =>
    readPublicJwk(encodeUtf8(`{"kty":"OKP","crv":"Ed25519","x":"${D}","d":"${D}"}`)),
  ).toThrow(/holds a secret/)
})

test('who signs decides neither algorithm nor how it is checked', () => {
  for (const name of ['alg', 'crit', 'b64', 'jwk', 'ä', '', 'x'.repeat(65)]) {
    expect(() => jwsSigningInput('EdDSA', { [name]: 'x' }, payload)).toThrow(TypeError)
  }
  for (const value of [0.5, NaN, '\ud800', null, {}]) {
    expect(() => jwsSigningInput('EdDSA', { x: value as string }, payload)).toThrow(TypeError)
  }
  const text = Buffer.from(
    jwsSigningInput('EdDSA', { typ: 'JWT', 7: true, kid: 'é' }, payload),
  ).toString()
  expect(Buffer.from(text.split('.')[0]!, 'base64url').toString()).toBe(
    '{"alg":"EdDSA","7":true,"kid":"é","typ":"JWT"}',
  )
  const part = (json: string): string => Buffer.from(json).toString('base64url')
  const signature = Buffer.alloc(64).toString('base64url')
  for (const header of [
    '{"alg":"none"}',
    '{"alg":"HS256"}',
    '{"alg":"ES256"}',
    '{}',
    '{"alg":"EdDSA","crit":["exp"]}',
    '{"alg":"EdDSA","b64":false}',
    '{"alg":"EdDSA","jwk":{}}',
    '{"alg":"EdDSA","alg":"EdDSA"}',
    '{"alg":"EdDSA","kid":1}',
    '{"alg":"EdDSA"',
    '"EdDSA"',
  ]) {
    expect(() => parseJws(encodeUtf8(`${part(header)}.e30.${signature}`), 'EdDSA'), header).toThrow(
      SyntaxError,
    )
  }
  const good = `${part('{"alg":"EdDSA"}')}.e30.${signature}`
  expect(parseJws(encodeUtf8(good), 'EdDSA').payload).toEqual(encodeUtf8('{}'))
  for (const bad of [
    `${good}.`,
    `${good}=`,
    good.slice(0, -3),
    `.${good}`,
    good.replace('e30', 'e31'),
    '',
    'a',
    'a.b',
  ]) {
    expect(() => parseJws(encodeUtf8(bad), 'EdDSA'), bad).toThrow(SyntaxError)
  }
})

test('claims are shown as they stand, and what are no claims is not', () => {
  const preview = (json: string): unknown => previewClaims(encodeUtf8(json))
  expect(
    preview('{"iss":"a","sub":"b","aud":"c","exp":1,"nbf":2,"iat":3,"jti":"d","role":"admin"}'),
  ).toEqual({
    iss: 'a',
    sub: 'b',
    aud: ['c'],
    exp: 1,
    nbf: 2,
    iat: 3,
    jti: 'd',
    others: ['role'],
  })
  expect(preview('{"aud":["a","b"],"constructor":1,"__proto__":2}')).toEqual({
    aud: ['a', 'b'],
    others: ['constructor', '__proto__'],
  })
  for (const none of [
    '',
    'x',
    '[]',
    '{"exp":"1"}',
    '{"aud":[1]}',
    '{"sub":null}',
    '{"a":1,"a":1}',
    '{"a":'.repeat(99),
  ]) {
    expect(preview(none)).toBeUndefined()
  }
})

test('MAX_JSON_DEPTH, MAX_JWK_BYTES, MAX_JWS_BYTES and MAX_JWS_HEADER_BYTES are the most', () => {
  const deep = (depth: number): Uint8Array =>
    encodeUtf8(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)
  scanJsonObject(deep(MAX_JSON_DEPTH), 'x')
  expect(() => scanJsonObject(deep(MAX_JSON_DEPTH + 1), 'x')).toThrow(RangeError)
  const jwk = (size: number): Uint8Array => encodeUtf8(`{"kty":"oct","k":"AAAA"}`.padEnd(size))
  readPrivateJwk(jwk(MAX_JWK_BYTES), slab).secretKey.wipe()
  expect(() => readPrivateJwk(jwk(MAX_JWK_BYTES + 1), slab)).toThrow(RangeError)
  expect(() => parseJws(new Uint8Array(MAX_JWS_BYTES), 'EdDSA')).toThrow(SyntaxError)
  expect(() => parseJws(new Uint8Array(MAX_JWS_BYTES + 1), 'EdDSA')).toThrow(RangeError)
  const fits = MAX_JWS_HEADER_BYTES - '{"alg":"EdDSA","x":""}'.length
  const long = jwsSigningInput('EdDSA', { x: 'x'.repeat(fits) }, payload)
  parseJws(assembleJws(long, new Uint8Array(64)), 'EdDSA')
  expect(() => jwsSigningInput('EdDSA', { x: 'x'.repeat(fits + 1) }, payload)).toThrow(RangeError)
})

const MARKS = encodeUtf8('{}[]",:\\0e-. tu')
const REFUSALS = { marks: MARKS, refusals: ['SyntaxError', 'RangeError'] }

describe(`malformed texts, ${INPUTS} or ${FEWER} each, neither crash nor stay in memory`, () => {
  test('JSON: what is taken is what JSON.parse takes', { timeout: INPUTS }, async () => {
    const samples = [
      `{"kty":"OKP","crv":"Ed25519","key_ops":["sign"],"ext":true,"n":-1.5e3}`,
      `{"a":[{"b":"\\u00e9\\n"},null,{}],"c":[]}`,
    ].map((text) => encodeUtf8(text))
    const read = await feed(
      samples,
      (input) => {
        scanJsonObject(input, 'x')
        if (!isJson(input)) expect.fail('taken, and no JSON')
        parseJsonObject(input, 'x')
      },
      { ...REFUSALS, inputs: FEWER },
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('private JWK', { timeout: INPUTS }, async () => {
    const samples = [
      `{"kty":"OKP","crv":"Ed25519","d":"${D}","x":"${D}","key_ops":["sign"],"ext":true,"kid":"a"}`,
      `{"kty":"EC","crv":"P-256","d":"${D}","x":"${D}","y":"${D}","use":"sig"}`,
      `{"kty":"oct","k":"${D}"}`,
    ].map((text) => encodeUtf8(text))
    const read = await feed(
      samples,
      (input) => {
        readPrivateJwk(input, slab).secretKey.wipe()
      },
      REFUSALS,
    )
    expect(read).toBeGreaterThan(1000)
    expect(slab.used).toBe(0)
  })

  test('public JWK, JWS and claims', { timeout: INPUTS }, async () => {
    const jwk = `{"kty":"EC","crv":"P-256","x":"${D}","y":"${D}","use":"sig"}`
    const jws = assembleJws(jwsSigningInput('EdDSA', { kid: 'x' }, payload), new Uint8Array(64))
    const read = await feed(
      [encodeUtf8(jwk), jws],
      (input) => {
        previewClaims(input)
        if (input[0] === 0x7b) readPublicJwk(input)
        else parseJws(input, 'EdDSA')
      },
      { ...REFUSALS, inputs: FEWER },
    )
    expect(read).toBeGreaterThan(1000)
  })
})

function isJson(text: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(text).toString())
    return true
  } catch {
    return false
  }
}
