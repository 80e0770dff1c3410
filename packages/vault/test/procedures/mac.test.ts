import { createHmac } from 'node:crypto'

import { decodeUtf8, encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { compactVerify } from 'jose'
import { describe, expect, test } from 'vitest'

import { generate, mac, macVerify } from '../../src/catalog/index.ts'
import { isVaultError } from '../../src/errors.ts'
import { Harness } from './harness.ts'

const message = encodeUtf8('what do ya want for nothing?')

test('RFC 4231 test case 1', () => {
  using harness = new Harness()
  harness.put('a', 'hmac-sha2', new Uint8Array(20).fill(0x0b))
  const tagOf = (hash: 'sha256' | 'sha384' | 'sha512'): string =>
    toHex(
      harness.run(mac, { key: 'a', message: encodeUtf8('Hi There'), as: { format: 'hmac', hash } })
        .tag,
    )
  expect(tagOf('sha256')).toBe('b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7')
  expect(tagOf('sha384')).toBe(
    'afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6',
  )
  expect(tagOf('sha512')).toBe(
    '87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde' +
      'daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854',
  )
})

describe.each([
  [16, 'sha256'],
  [32, 'sha256'],
  [48, 'sha384'],
  [64, 'sha512'],
  [128, 'sha256'],
] as const)('a key of %i bytes', (length, hash) => {
  test(`makes a tag of ${hash} where nobody says`, () => {
    using harness = new Harness()
    harness.run(generate, { type: 'hmac-sha2', to: 'a', length })
    const { tag, version } = harness.run(mac, { key: 'a', message })
    const expected = createHmac(hash, harness.secretAt('a')).update(message).digest()
    expect(Buffer.from(tag)).toEqual(expected)
    expect(version).toBe(1)
    expect(harness.run(macVerify, { key: 'a', message, tag })).toEqual({ valid: true })
  })
})

test('a tag is right for its message, key, hash and whole length alone', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'hmac-sha2', to: 'a' })
  harness.run(generate, { type: 'hmac-sha2', to: 'b' })
  const { tag } = harness.run(mac, { key: 'a', message })
  const valid = (input: object): boolean =>
    harness.run(macVerify, { key: 'a', message, tag, ...input }).valid
  expect(valid({})).toBe(true)
  expect(valid({ key: 'b' })).toBe(false)
  expect(valid({ message: encodeUtf8('another') })).toBe(false)
  expect(valid({ tag: tag.subarray(1) })).toBe(false)
  expect(valid({ tag: new Uint8Array(0) })).toBe(false)
  expect(valid({ as: { format: 'hmac', hash: 'sha512' } })).toBe(false)
})

test('a JWS of HS256 verifies with jose, and here', async () => {
  using harness = new Harness()
  harness.run(generate, { type: 'hmac-sha2', to: 'a' })
  const as = { format: 'jws', protected: { typ: 'JWT' } } as const
  const { tag } = harness.run(mac, { key: 'a', message, as })
  const verified = await compactVerify(tag, harness.secretAt('a'))
  expect(verified.payload).toEqual(message)
  expect(harness.run(macVerify, { key: 'a', message, tag, as })).toEqual({ valid: true })
  expect(harness.run(macVerify, { key: 'a', message: tag, tag, as })).toEqual({ valid: false })
  expect(decodeUtf8(tag).split('.')).toHaveLength(3)
})

test('a JWS asks for a key of 32 bytes', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'hmac-sha2', to: 'a', length: 31 })
  try {
    harness.run(mac, { key: 'a', message, as: { format: 'jws' } })
    expect.unreachable('nothing was thrown')
  } catch (error) {
    expect(isVaultError(error, { code: 'invalid_argument' })).toBe(true)
  }
})

test('to make a tag and to check one are two rights', () => {
  using harness = new Harness()
  const key = fromHex('00'.repeat(32))
  harness.put('makes', 'hmac-sha2', key, { usage: new Set(['mac']) })
  harness.put('checks', 'hmac-sha2', key, { usage: new Set(['mac-verify']) })
  const { tag } = harness.run(mac, { key: 'makes', message })
  expect(harness.run(macVerify, { key: 'checks', message, tag }).valid).toBe(true)
  expect(() => harness.run(mac, { key: 'checks', message })).toThrow(/not to mac/)
  expect(() => harness.run(macVerify, { key: 'makes', message, tag })).toThrow(/not to mac-verify/)
})
