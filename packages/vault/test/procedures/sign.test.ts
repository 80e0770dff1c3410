import { createPublicKey, verify as nodeVerify } from 'node:crypto'

import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { compactVerify, importJWK } from 'jose'
import type { JWK } from 'jose'
import { describe, expect, test } from 'vitest'

import { generate, pub, sign, verify } from '../../src/catalog/index.ts'
import type { SIGNING_TYPES, SignFormat } from '../../src/catalog/index.ts'
import { isVaultError } from '../../src/errors.ts'
import { readSshsig, writeSshsig } from '../../src/formats/sshsig.ts'
import { Harness } from './harness.ts'

type SigningType = (typeof SIGNING_TYPES)[number]

const message = encodeUtf8('release 2.4.0')
const COMMIT = encodeUtf8(
  'tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n' +
    'author A <a@example.org> 1700000000 +0000\ncommitter A <a@example.org> 1700000000 +0000\n\nOne\n',
)
const ALGORITHMS = { ed25519: 'EdDSA', p256: 'ES256', p384: 'ES384' } as const
const DIGEST = sha256(message)

interface Case {
  readonly as: SignFormat
  readonly types: readonly SigningType[]
  readonly message: Uint8Array
}

const CASES: readonly Case[] = [
  { as: { format: 'raw' }, types: ['ed25519', 'p256', 'p384', 'secp256k1'], message },
  { as: { format: 'der' }, types: ['p256', 'p384', 'secp256k1'], message },
  { as: { format: 'sshsig', namespace: 'file' }, types: ['ed25519', 'p256', 'p384'], message },
  {
    as: { format: 'sshsig', namespace: 'a@b', hash: 'sha256', digested: true },
    types: ['ed25519', 'p256', 'p384'],
    message: DIGEST,
  },
  { as: { format: 'git' }, types: ['ed25519', 'p256', 'p384'], message: COMMIT },
  { as: { format: 'jws' }, types: ['ed25519', 'p256', 'p384', 'secp256k1'], message },
  {
    as: { format: 'jws', protected: { typ: 'JWT', kid: 'a' } },
    types: ['ed25519', 'p256', 'p384', 'secp256k1'],
    message: encodeUtf8('{"sub":"a"}'),
  },
  { as: { format: 'compact' }, types: ['secp256k1'], message },
  { as: { format: 'recoverable' }, types: ['secp256k1'], message },
  { as: { format: 'digest' }, types: ['secp256k1'], message: DIGEST },
  { as: { format: 'digest', encoding: 'der' }, types: ['secp256k1'], message: DIGEST },
  { as: { format: 'digest', encoding: 'recoverable' }, types: ['secp256k1'], message: DIGEST },
]

const TYPES = ['ed25519', 'p256', 'p384', 'secp256k1'] as const

describe.each(CASES)('$as', ({ as, types, message: signed }) => {
  test.each(types)('is made with %s and checked with its public half', (type) => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    harness.run(generate, { type, to: 'b' })
    const { signature, version } = harness.run(sign, { key: 'a', message: signed, as })
    expect(version).toBe(1)
    const { publicKey } = harness.run(pub, { key: 'a' })
    if (publicKey === undefined) throw new Error('no public key')
    const valid = (input: object): boolean =>
      harness.run(verify, { key: 'a', message: signed, signature, as, ...input }).valid
    expect(valid({})).toBe(true)
    expect(valid({ key: undefined, publicKey: { type, bytes: publicKey } })).toBe(true)
    expect(valid({ key: 'b' })).toBe(false)
    const other = Uint8Array.from(signed)
    other[0] = (other[0] ?? 0) ^ 1
    expect(valid({ message: other })).toBe(false)
    expect(valid({ signature: signature.subarray(1) })).toBe(false)
    expect(valid({ signature: new Uint8Array(0) })).toBe(false)
    const at = Math.floor(signature.byteLength / 2)
    const flipped = Uint8Array.from(signature)
    flipped[at] = (flipped[at] ?? 0) ^ 1
    expect(valid({ signature: flipped })).toBe(false)
  })

  test.each(TYPES.filter((type) => !types.includes(type)))(
    'is refused for %s, and what there is, is said',
    (type) => {
      using harness = new Harness()
      harness.run(generate, { type, to: 'a' })
      expectRefused(() => harness.run(sign, { key: 'a', message: signed, as }), /it has raw, /)
    },
  )
})

test('without a format a message is signed as SSHSIG for files', () => {
  using harness = new Harness()
  for (const type of ['ed25519', 'p256', 'p384'] as const) {
    harness.run(generate, { type, to: type })
    const { signature } = harness.run(sign, { key: type, message })
    const as = { format: 'sshsig', namespace: 'file', hash: 'sha512' } as const
    expect(harness.run(verify, { key: type, message, signature, as })).toEqual({ valid: true })
  }
})

test('without a format secp256k1 signs nothing and says which formats it has', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'secp256k1', to: 'a' })
  expectRefused(
    () => harness.run(sign, { key: 'a', message }),
    /no format was named; it has raw, der, jws, compact, recoverable, ethereum, digest/,
  )
})

test('Ed25519 raw gives the signature of RFC 8032 §7.1 test 3', () => {
  using harness = new Harness()
  harness.put(
    'a',
    'ed25519',
    fromHex('c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7'),
  )
  const { signature } = harness.run(sign, {
    key: 'a',
    message: fromHex('af82'),
    as: { format: 'raw' },
  })
  expect(toHex(signature)).toBe(
    '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac' +
      '18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  )
})

test('secp256k1 signatures are deterministic, of low s, and those of another implementation', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'secp256k1', to: 'a' })
  for (let i = 0; i < 20; i++) {
    const signed = Uint8Array.of(i)
    const expected = secp256k1.sign(signed, harness.secretAt('a'))
    expect(
      harness.run(sign, { key: 'a', message: signed, as: { format: 'compact' } }).signature,
    ).toEqual(expected)
    const as = { format: 'digest', encoding: 'recoverable' } as const
    const { signature } = harness.run(sign, { key: 'a', message: sha256(signed), as })
    const noble = Uint8Array.of(signature[64] ?? 0, ...signature.subarray(0, 64))
    const recovered = secp256k1.recoverPublicKey(noble, signed)
    expect(recovered).toEqual(secp256k1.getPublicKey(harness.secretAt('a'), true))
  }
})

test('a signature of high s is not right', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'secp256k1', to: 'a' })
  const { signature } = harness.run(sign, { key: 'a', message, as: { format: 'compact' } })
  const { r, s } = secp256k1.Signature.fromBytes(signature, 'compact')
  const high = new secp256k1.Signature(r, secp256k1.Point.Fn.ORDER - s).toBytes('compact')
  const as = { format: 'compact' } as const
  expect(harness.run(verify, { key: 'a', message, signature: high, as })).toEqual({ valid: false })
})

test.each(['p256', 'p384', 'secp256k1'] as const)('%s in DER verifies with node:crypto', (type) => {
  using harness = new Harness()
  harness.run(generate, { type, to: 'a' })
  const { signature } = harness.run(sign, { key: 'a', message, as: { format: 'der' } })
  const { text } = harness.run(pub, { key: 'a', as: { format: 'spki' } })
  const key = createPublicKey(text ?? '')
  expect(nodeVerify(type === 'p384' ? 'sha384' : 'sha256', message, key, signature)).toBe(true)
})

test.each(['ed25519', 'p256', 'p384'] as const)('a JWS of %s verifies with jose', async (type) => {
  using harness = new Harness()
  harness.run(generate, { type, to: 'a' })
  const as = { format: 'jws', protected: { kid: 'k1' } } as const
  const { signature } = harness.run(sign, { key: 'a', message, as })
  const { text } = harness.run(pub, { key: 'a', as: { format: 'jwk' } })
  const key = await importJWK(JSON.parse(text ?? '') as JWK, ALGORITHMS[type])
  const verified = await compactVerify(signature, key)
  expect(verified.payload).toEqual(message)
  expect(verified.protectedHeader).toEqual({ alg: ALGORITHMS[type], kid: 'k1' })
})

test('a JWS is right only with the header members that are asked for', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a' })
  const as = { format: 'jws', protected: { kid: 'k1' } } as const
  const { signature } = harness.run(sign, { key: 'a', message, as })
  const valid = (expected: object | undefined): boolean =>
    harness.run(verify, {
      key: 'a',
      message,
      signature,
      as: { format: 'jws', ...(expected !== undefined && { protected: { ...expected } }) },
    }).valid
  expect(valid(undefined)).toBe(true)
  expect(valid({ kid: 'k1' })).toBe(true)
  expect(valid({ kid: 'k2' })).toBe(false)
  expect(valid({ kid: 'k1', typ: 'JWT' })).toBe(false)
})

test.each(['alg', 'crit', 'b64', 'jwk'])('no caller sets %s in a JWS header', (name) => {
  const as = { format: 'jws', protected: { [name]: 'none' } }
  expect(sign.input.safeParse({ key: 'a', message, as }).success).toBe(false)
})

test('git signs what git hands over, and nothing else', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a' })
  expectRefused(() => harness.run(sign, { key: 'a', message, as: { format: 'git' } }), /git object/)
})

test('a digest has 32 bytes', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'secp256k1', to: 'a' })
  for (const length of [0, 31, 33]) {
    const blind = { key: 'a', message: new Uint8Array(length), as: { format: 'digest' } } as const
    expectRefused(() => harness.run(sign, blind), /32/)
  }
})

test('a digest for SSHSIG has the length of its hash', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a' })
  const as = { format: 'sshsig', namespace: 'file', digested: true } as const
  expectRefused(() => harness.run(sign, { key: 'a', message: DIGEST, as }), /sha512/)
})

test('an SSHSIG for another namespace, or with another hash than asked for, is not right', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a' })
  const as = { format: 'sshsig', namespace: 'git', hash: 'sha256' } as const
  const { signature } = harness.run(sign, { key: 'a', message, as })
  const valid = (changed: object): boolean =>
    harness.run(verify, { key: 'a', message, signature, as: { ...as, ...changed } }).valid
  expect(valid({})).toBe(true)
  expect(valid({ hash: undefined })).toBe(true)
  expect(valid({ hash: 'sha512' })).toBe(false)
  expect(valid({ namespace: 'file' })).toBe(false)
})

test('an SSHSIG that names another key than the one that signed is not right', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a' })
  harness.run(generate, { type: 'ed25519', to: 'b' })
  const { signature } = harness.run(sign, { key: 'a', message })
  const publicKey = harness.at('b').versions[0]?.publicKey ?? new Uint8Array(0)
  const other = writeSshsig({ ...readSshsig(signature), key: { type: 'ed25519', publicKey } })
  for (const key of ['a', 'b']) {
    const input = { key, message, signature: encodeUtf8(other) }
    expect(harness.run(verify, input)).toEqual({ valid: false })
  }
})

test('a key that does not sign is refused', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'x25519', to: 'a' })
  harness.run(generate, { type: 'ed25519', to: 'b', labels: { usage: ['copy'] } })
  expectRefused(() => harness.run(sign, { key: 'a', message }), /x25519/)
  expect(() => harness.run(sign, { key: 'b', message })).toThrow(/not to sign/)
})

test.each([
  { type: 'ed25519', bytes: new Uint8Array(33) },
  { type: 'p256', bytes: new Uint8Array(65) },
  { type: 'secp256k1', bytes: new Uint8Array(33).fill(2, 0, 1).fill(255, 1) },
] as const)('verify refuses a public key that is none: $type', ({ type, bytes }) => {
  using harness = new Harness()
  const as = { format: 'raw' } as const
  const input = { publicKey: { type, bytes }, message, signature: new Uint8Array(64), as }
  expectRefused(() => harness.run(verify, input), /public key/)
})

test('verify takes either a key or a public key', () => {
  const publicKey = { type: 'ed25519', bytes: new Uint8Array(32) }
  const rest = { message, signature: new Uint8Array(64) }
  expect(verify.input.safeParse(rest).success).toBe(false)
  expect(verify.input.safeParse({ ...rest, publicKey, key: 'a' }).success).toBe(false)
  expect(verify.input.safeParse({ ...rest, publicKey }).success).toBe(true)
})

function expectRefused(run: () => unknown, message: RegExp): void {
  try {
    run()
  } catch (error) {
    expect(isVaultError(error) ? error.code : error).toBe('invalid_argument')
    expect(String(error)).toMatch(message)
    return
  }
  expect.unreachable('nothing was thrown')
}
