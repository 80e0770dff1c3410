import { createDecipheriv } from 'node:crypto'

import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { concat, encodeUtf8 } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import {
  copy,
  dataKey,
  decrypt,
  encrypt,
  generate,
  retire,
  rewrap,
  rotate,
  unwrap,
  wrap,
} from '../../src/catalog/index.ts'
import { isVaultError } from '../../src/errors.ts'
import { Harness } from './harness.ts'

const message = encodeUtf8('the plan')
const context = encodeUtf8('for tuesday')
const CIPHERS = ['aes-256-gcm', 'xchacha20-poly1305'] as const

describe.each(CIPHERS)('an envelope of %s', (type) => {
  test('opens with the same key and context, and with nothing else', () => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    harness.run(generate, { type, to: 'b' })
    const { envelope } = harness.run(encrypt, { key: 'a', message, context })
    expect(harness.run(decrypt, { key: 'a', envelope, context })).toEqual({ message })
    expectRefused(() => harness.run(decrypt, { key: 'a', envelope }))
    expectRefused(() => harness.run(decrypt, { key: 'b', envelope, context }))
    for (const at of envelope.keys()) {
      const flipped = Uint8Array.from(envelope)
      flipped[at] = (flipped[at] ?? 0) ^ 1
      expect(() => harness.run(decrypt, { key: 'a', envelope: flipped, context })).toThrow()
    }
    for (const length of [0, 1, 24, 25, 40, envelope.byteLength - 1]) {
      const cut = envelope.slice(0, length)
      expect(() => harness.run(decrypt, { key: 'a', envelope: cut, context })).toThrow()
    }
  })

  test('is what vault-format.md §6 says, read by another implementation', () => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    harness.run(rotate, { key: 'a' })
    const { envelope } = harness.run(encrypt, { key: 'a', message, context })
    const header = envelope.subarray(0, 25)
    const algorithm = type === 'aes-256-gcm' ? 2 : 1
    const nonceBytes = type === 'aes-256-gcm' ? 12 : 24
    expect(Uint8Array.from(header)).toEqual(
      concat([
        encodeUtf8('SHE1'),
        Uint8Array.of(algorithm),
        harness.at('a').id,
        Uint8Array.of(0, 0, 0, 2),
      ]),
    )
    const key = harness.secretAt('a')
    const nonce = envelope.subarray(25, 25 + nonceBytes)
    const sealed = envelope.subarray(25 + nonceBytes)
    const associated = concat([header, context])
    if (type === 'xchacha20-poly1305') {
      expect(xchacha20poly1305(key, nonce, associated).decrypt(sealed)).toEqual(message)
    } else {
      const decipher = createDecipheriv('aes-256-gcm', key, nonce)
      decipher.setAAD(associated)
      decipher.setAuthTag(sealed.subarray(-16))
      const plain = concat([decipher.update(sealed.subarray(0, -16)), decipher.final()])
      expect(plain).toEqual(message)
    }
  })

  test('names its version, so that older ones open until they are retired', () => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    const { envelope } = harness.run(encrypt, { key: 'a', message })
    harness.run(rotate, { key: 'a' })
    expect(harness.run(decrypt, { key: 'a', envelope })).toEqual({ message })
    const { envelope: newer } = harness.run(rewrap, { key: 'a', envelope })
    harness.run(retire, { record: 'a', below: 2 })
    expect(() => harness.run(decrypt, { key: 'a', envelope })).toThrow(/retired/)
    expect(harness.run(decrypt, { key: 'a', envelope: newer })).toEqual({ message })
  })

  test('opens with a copy of its key', () => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    const { envelope } = harness.run(encrypt, { key: 'a', message })
    harness.run(copy, { from: 'a', to: 'b' })
    expect(harness.run(decrypt, { key: 'b', envelope })).toEqual({ message })
  })

  test('may be of nothing, and of as much as an input may be', () => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    for (const length of [0, 64 * 1024]) {
      const { envelope } = harness.run(encrypt, { key: 'a', message: new Uint8Array(length) })
      expect(harness.run(decrypt, { key: 'a', envelope }).message.byteLength).toBe(length)
    }
    const long = new Uint8Array(64 * 1024 + 1)
    expectRefused(() => harness.run(encrypt, { key: 'a', message: long }))
  })
})

describe('nonces', () => {
  test('are never chosen by a caller: no input of a procedure has one', () => {
    for (const procedure of [encrypt, rewrap, dataKey]) {
      expect(Object.keys(procedure.input.shape).sort()).not.toContain('nonce')
      const input = {
        key: 'a',
        message,
        envelope: message,
        plain: false,
        nonce: new Uint8Array(12),
      }
      const known = Object.fromEntries(
        Object.entries(input).filter(([name]) => name === 'nonce' || name in procedure.input.shape),
      )
      const result = procedure.input.safeParse(known)
      expect(result.error?.issues[0]?.code).toBe('unrecognized_keys')
    }
  })

  test.each(CIPHERS)('of %s differ from seal to seal', (type) => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    const seen = new Set<string>()
    for (let i = 0; i < 100; i++) {
      const { envelope } = harness.run(encrypt, { key: 'a', message })
      seen.add(envelope.subarray(25, 37).toString())
    }
    expect(seen.size).toBe(100)
  })

  test('of AES-GCM are counted one by one, of XChaCha20 not at all', () => {
    using harness = new Harness()
    for (const type of CIPHERS) harness.run(generate, { type, to: type })
    for (const key of CIPHERS) {
      const { envelope } = harness.run(encrypt, { key, message })
      harness.run(rewrap, { key, envelope })
      harness.run(dataKey, { key, plain: false })
      harness.run(decrypt, { key, envelope })
    }
    expect(harness.at('aes-256-gcm').nonces).toBe(3)
    expect(harness.at('xchacha20-poly1305').nonces).toBe(0)
  })
})

test('rewrap needs the right to decrypt and the right to encrypt', () => {
  using harness = new Harness()
  const secret = new Uint8Array(32).fill(7)
  harness.put('both', 'xchacha20-poly1305', secret)
  const { envelope } = harness.run(encrypt, { key: 'both', message })
  harness.put('opens', 'xchacha20-poly1305', secret, { usage: new Set(['decrypt']) })
  harness.put('seals', 'xchacha20-poly1305', secret, { usage: new Set(['encrypt']) })
  expectDenied(() => harness.run(rewrap, { key: 'opens', envelope }))
  expectDenied(() => harness.run(rewrap, { key: 'seals', envelope }))
})

test('decrypt gives nothing of a key from which nothing derived may leave', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'xchacha20-poly1305', to: 'a', labels: { egress: 'public' } })
  const { envelope } = harness.run(encrypt, { key: 'a', message })
  expectDenied(() => harness.run(decrypt, { key: 'a', envelope }))
  expect(harness.run(rewrap, { key: 'a', envelope }).envelope).not.toEqual(envelope)
})

describe('a data key', () => {
  test('comes wrapped, and in plain only where asked for', () => {
    using harness = new Harness()
    harness.run(generate, { type: 'aes-256-gcm', to: 'a' })
    const wrapped = harness.run(dataKey, { key: 'a', plain: false, context })
    expect(Object.keys(wrapped)).toEqual(['envelope'])
    const { envelope, plain } = harness.run(dataKey, { key: 'a', plain: true, context })
    expect(plain?.byteLength).toBe(32)
    expect(harness.run(decrypt, { key: 'a', envelope, context }).message).toEqual(plain)
  })

  test('has 16 to 64 bytes', () => {
    using harness = new Harness()
    harness.run(generate, { type: 'aes-256-gcm', to: 'a' })
    for (const length of [16, 64]) {
      expect(harness.run(dataKey, { key: 'a', plain: true, length }).plain?.byteLength).toBe(length)
    }
    for (const length of [15, 65]) {
      expect(() => harness.run(dataKey, { key: 'a', plain: true, length })).toThrow()
    }
  })
})

describe('wrapping', () => {
  // RFC 3394 §4.6: 256 bits of key data with a 256-bit KEK.
  const kek = hex('000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F')
  const data = hex('00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F')

  test('by AES-KW gives the vector of RFC 3394 §4.6', () => {
    using harness = new Harness()
    harness.put('kek', 'aes-256-kw', kek, { egress: 'material' })
    harness.put('secret', 'opaque', data, { egress: 'material' })
    const { wrapped } = harness.run(wrap, {
      key: 'kek',
      source: 'secret',
      as: { format: 'aes-kw' },
    })
    expect(Buffer.from(wrapped).toString('hex').toUpperCase()).toBe(
      '28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21',
    )
    harness.run(unwrap, { key: 'kek', wrapped, type: 'opaque', to: 'b', as: { format: 'aes-kw' } })
    expect(harness.secretAt('b')).toEqual(data)
    expectRefused(() => harness.run(unwrap, { key: 'kek', wrapped, type: 'opaque', to: 'c' }))
  })

  test.each([1, 7, 8, 20, 32, 33])('by AES-KWP takes %i bytes', (length) => {
    using harness = new Harness()
    harness.put('kek', 'aes-256-kw', kek, { egress: 'material' })
    harness.put('secret', 'opaque', data.slice(0, length).fill(9), { egress: 'material' })
    const { wrapped } = harness.run(wrap, { key: 'kek', source: 'secret' })
    const { record } = harness.run(unwrap, { key: 'kek', wrapped, type: 'opaque', to: 'b' })
    expect(record.type).toBe('opaque')
    expect(harness.secretAt('b')).toEqual(harness.secretAt('secret'))
  })

  test('needs the right to use the wrapped key: its usage copy and its ceiling material', () => {
    using harness = new Harness()
    harness.run(generate, { type: 'aes-256-kw', to: 'kek', labels: { egress: 'material' } })
    harness.run(generate, { type: 'ed25519', to: 'usual' })
    harness.run(generate, {
      type: 'ed25519',
      to: 'fixed',
      labels: { egress: 'material', usage: ['sign'] },
    })
    harness.run(generate, { type: 'ed25519', to: 'free', labels: { egress: 'material' } })
    expectDenied(() => harness.run(wrap, { key: 'kek', source: 'usual' }))
    expectDenied(() => harness.run(wrap, { key: 'kek', source: 'fixed' }))
    const { wrapped } = harness.run(wrap, { key: 'kek', source: 'free' })
    const { record } = harness.run(unwrap, { key: 'kek', wrapped, type: 'ed25519', to: 'again' })
    expect(record.publicKey).toEqual(harness.at('free').versions[0]?.publicKey)
  })

  test('says the role of the wrapped key in its footprint and the widest egress', () => {
    expect(wrap.roles.source).toEqual({ access: 'use', usage: 'copy', egress: 'material' })
    expect(wrap.egress).toBe('material')
  })

  test('unwraps into a record with labels no wider than those of the wrapping key', () => {
    using harness = new Harness()
    harness.put('kek', 'aes-256-kw', kek, {
      usage: new Set(['wrap', 'unwrap', 'sign']),
      egress: 'material',
    })
    harness.run(generate, { type: 'ed25519', to: 'free', labels: { egress: 'material' } })
    const { wrapped } = harness.run(wrap, { key: 'kek', source: 'free' })
    harness.run(unwrap, { key: 'kek', wrapped, type: 'ed25519', to: 'again' })
    expect([...harness.at('again').labels.usage]).toEqual(['sign'])
  })

  test('refuses bytes that are no secret of the type', () => {
    using harness = new Harness()
    harness.put('kek', 'aes-256-kw', kek, { egress: 'material' })
    harness.put('zeros', 'opaque', new Uint8Array(32), { egress: 'material' })
    const { wrapped } = harness.run(wrap, { key: 'kek', source: 'zeros' })
    expectRefused(() => harness.run(unwrap, { key: 'kek', wrapped, type: 'p256', to: 'a' }))
    expectRefused(() => harness.run(unwrap, { key: 'kek', wrapped, type: 'p384', to: 'a' }))
  })
})

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

function expectRefused(run: () => unknown): void {
  expect(codeOf(run)).toBe('invalid_argument')
}

function expectDenied(run: () => unknown): void {
  expect(codeOf(run)).toBe('permission_denied')
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
  } catch (error) {
    return isVaultError(error) ? error.code : String(error)
  }
  return undefined
}
