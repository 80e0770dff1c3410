import { createPublicKey } from 'node:crypto'

import { encodeUtf8, fromHex } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import { generate, importSecret, PAIR_TYPES, pub, rotate } from '../../src/catalog/index.ts'
import { isVaultError } from '../../src/errors.ts'
import { Harness } from './harness.ts'

const JWK = {
  kty: 'OKP',
  crv: 'Ed25519',
  d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
  x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
}

test('RFC 8037 appendix A: a JWK comes in, its public half and thumbprint come out', () => {
  using harness = new Harness()
  const secret = encodeUtf8(JSON.stringify(JWK))
  harness.run(importSecret, { to: 'a', as: { format: 'jwk' }, secret })
  const { text, thumbprint } = harness.run(pub, { key: 'a', as: { format: 'jwk' } })
  const { d: _, ...expected } = JWK
  expect(JSON.parse(text ?? '')).toEqual(expected)
  expect(thumbprint).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k')
})

describe('import of a JWK', () => {
  const read = (jwk: object, type?: 'hmac-sha2' | 'aes-256-gcm'): string => {
    using harness = new Harness()
    const secret = encodeUtf8(JSON.stringify(jwk))
    const as = { format: 'jwk', ...(type !== undefined && { type }) } as const
    try {
      return harness.run(importSecret, { to: 'a', as, secret }).record.type
    } catch (error) {
      expect(isVaultError(error, { code: 'invalid_argument' })).toBe(true)
      expect(String(error)).not.toContain(JWK.d)
      return 'refused'
    }
  }
  const oct = { kty: 'oct', k: 'A'.repeat(43) }

  test('takes a symmetric key for what its alg or the caller says', () => {
    expect(read({ ...oct, alg: 'HS256' })).toBe('hmac-sha2')
    expect(read({ ...oct, alg: 'A256GCM' })).toBe('aes-256-gcm')
    expect(read(oct, 'aes-256-gcm')).toBe('aes-256-gcm')
    expect(read(oct)).toBe('refused')
    expect(read({ ...oct, alg: 'HS256' }, 'aes-256-gcm')).toBe('refused')
  })

  test('refuses a public half of another key, and a use that its type has not here', () => {
    expect(read(JWK)).toBe('ed25519')
    expect(read({ ...JWK, x: 'A'.repeat(43) })).toBe('refused')
    expect(read({ ...JWK, use: 'enc' })).toBe('refused')
    expect(read({ ...JWK, key_ops: ['verify'] })).toBe('refused')
    expect(read({ ...JWK, use: 'sig', key_ops: ['sign'] })).toBe('ed25519')
  })
})

describe.each(PAIR_TYPES)('the public key of %s', (type) => {
  test('is raw where nobody says: 32 bytes, or the compressed point', () => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    const { publicKey, version } = harness.run(pub, { key: 'a' })
    const length = { ed25519: 32, x25519: 32, secp256k1: 33, p256: 33, p384: 49 }[type]
    expect(publicKey).toHaveLength(length)
    expect(version).toBe(1)
  })

  test('is read by node:crypto as SPKI and as JWK, alike', () => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    const spki = harness.run(pub, { key: 'a', as: { format: 'spki' } }).text ?? ''
    const jwk = harness.run(pub, { key: 'a', as: { format: 'jwk' } }).text ?? ''
    const fromSpki = createPublicKey(spki)
    const fromJwk = createPublicKey({
      key: JSON.parse(jwk) as Record<string, string>,
      format: 'jwk',
    })
    expect(fromSpki.equals(fromJwk)).toBe(true)
  })

  test('is that of the version that is named', () => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    const first = harness.run(pub, { key: 'a' })
    harness.run(rotate, { key: 'a' })
    expect(harness.run(pub, { key: 'a@1' })).toEqual(first)
    expect(harness.run(pub, { key: 'a' }).publicKey).not.toEqual(first.publicKey)
  })
})

test('formats that a type does not have are refused', () => {
  using harness = new Harness()
  for (const type of PAIR_TYPES) harness.run(generate, { type, to: type })
  harness.run(generate, { type: 'aes-256-gcm', to: 'aes' })
  const fails = (key: string, format: 'openssh' | 'peer-id' | 'evm' | 'raw'): boolean => {
    try {
      harness.run(pub, { key, as: { format } })
      return false
    } catch (error) {
      return isVaultError(error, { code: 'invalid_argument' })
    }
  }
  const formats = ['raw', 'openssh', 'peer-id', 'evm'] as const
  const table = Object.fromEntries(
    [...PAIR_TYPES, 'aes'].map((key) => [key, formats.filter((format) => !fails(key, format))]),
  )
  expect(table).toEqual({
    ed25519: ['raw', 'openssh', 'peer-id'],
    x25519: ['raw'],
    secp256k1: ['raw', 'peer-id', 'evm'],
    p256: ['raw', 'openssh', 'peer-id'],
    p384: ['raw', 'openssh'],
    aes: [],
  })
})

test('an allowed-signers line names principal and namespaces', () => {
  using harness = new Harness()
  harness.put('a', 'ed25519', fromHex('00'.repeat(32)))
  const { text } = harness.run(pub, {
    key: 'a',
    as: { format: 'allowed-signers', principal: 'release/app', namespaces: ['file'] },
  })
  expect(text).toMatch(/^release\/app namespaces="file" ssh-ed25519 AAAA\S+$/)
})
