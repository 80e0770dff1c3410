import { createECDH, hkdfSync, pbkdf2Sync } from 'node:crypto'

import { x25519 as nobleX25519 } from '@noble/curves/ed25519.js'
import { expand as nobleExpand } from '@noble/hashes/hkdf.js'
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { concat as join, encode, encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import {
  agree,
  concat,
  concatKdf,
  copy,
  generate,
  hkdf,
  pbkdf2,
  SECRET_LENGTHS,
} from '../../src/catalog/index.ts'
import type { RecordType } from '../../src/catalog/index.ts'
import { isVaultError } from '../../src/errors.ts'
import { Harness } from './harness.ts'

const TYPED = (Object.keys(SECRET_LENGTHS) as RecordType[]).filter((type) => type !== 'opaque')

/** vault-format.md §6. */
function info(
  type: string,
  usage: readonly string[],
  context: Uint8Array,
  attempt = 0,
): Uint8Array {
  return join([
    encodeUtf8('stronghold/derive/1'),
    encode({ type, usage: [...usage].sort(), context, attempt }),
  ])
}

describe('hkdf', () => {
  test('with info of the caller’s is RFC 5869, and opaque: appendix A.1', () => {
    using harness = new Harness()
    harness.put('ikm', 'opaque', new Uint8Array(22).fill(0x0b))
    const { record } = harness.run(hkdf, {
      from: 'ikm',
      salt: fromHex('000102030405060708090a0b0c'),
      info: fromHex('f0f1f2f3f4f5f6f7f8f9'),
      length: 42,
      to: 'okm',
    })
    expect(record.type).toBe('opaque')
    expect(toHex(harness.secretAt('okm'))).toBe(
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    )
  })

  test.each(TYPED)('to %s puts type, usage and context into the info', (type) => {
    using harness = new Harness()
    harness.run(generate, { type: 'opaque', to: 'parent', length: 40 })
    const salt = encodeUtf8('salt')
    const context = encodeUtf8('context')
    const { record } = harness.run(hkdf, {
      from: 'parent',
      hash: 'sha512',
      salt,
      type,
      context,
      to: 'a',
    })
    expect(record.type).toBe(type)
    const { labels, origin } = harness.at('a')
    const expected = hkdfSync(
      'sha512',
      harness.secretAt('parent'),
      salt,
      info(type, [...labels.usage], context),
      SECRET_LENGTHS[type].usual,
    )
    expect(harness.secretAt('a')).toEqual(new Uint8Array(expected))
    expect(origin).toBe('derived')
  })

  test('gives other bytes for each type, usage set and context, and the same for the same', () => {
    using harness = new Harness()
    harness.run(generate, { type: 'opaque', to: 'parent' })
    const derive = (to: string, input: object): string => {
      harness.run(hkdf, { from: 'parent', to, ...input })
      return toHex(harness.secretAt(to))
    }
    const all = [
      derive('a', { type: 'aes-256-gcm' }),
      derive('b', { type: 'xchacha20-poly1305' }),
      derive('c', { type: 'aes-256-gcm', labels: { usage: ['encrypt'] } }),
      derive('d', { type: 'aes-256-gcm', labels: { usage: ['decrypt'] } }),
      derive('e', { type: 'aes-256-gcm', context: encodeUtf8('other') }),
      derive('f', { type: 'hmac-sha2' }),
      derive('g', {}),
    ]
    expect(new Set(all).size).toBe(all.length)
    expect(derive('h', { type: 'aes-256-gcm', labels: { usage: ['encrypt'] } })).toBe(all[2])
  })

  test('takes no info that begins like one of ours: the bytes of a key never stand as opaque ones', () => {
    using harness = new Harness()
    harness.run(generate, { type: 'opaque', to: 'parent' })
    harness.run(hkdf, { from: 'parent', type: 'aes-256-gcm', to: 'key' })
    const own = info('aes-256-gcm', [...harness.at('key').labels.usage], new Uint8Array(0))
    for (const procedure of [hkdf, concatKdf]) {
      expectCode('invalid_argument', () =>
        harness.run(procedure, { from: 'parent', info: own, to: 'same' }),
      )
    }
  })

  test.each([
    { type: 'ed25519', info: new Uint8Array(1) },
    { type: 'ed25519', length: 32 },
    { context: new Uint8Array(1) },
    { type: 'opaque' },
  ])('refuses %o', (input) => {
    expect(hkdf.input.safeParse({ from: 'a', ...input }).success).toBe(false)
  })

  test('never makes labels wider than the parent’s', () => {
    using harness = new Harness()
    harness.put('parent', 'opaque', new Uint8Array(32), { usage: new Set(['derive', 'encrypt']) })
    harness.run(hkdf, { from: 'parent', type: 'aes-256-gcm', to: 'a', labels: { sync: true } })
    expect([...harness.at('a').labels.usage]).toEqual(['encrypt'])
    expect(harness.at('a').labels.sync).toBe(false)
  })

  test('needs a parent that may derive', () => {
    using harness = new Harness()
    harness.put('parent', 'opaque', new Uint8Array(32), { usage: new Set(['copy']) })
    harness.run(generate, { type: 'ed25519', to: 'key' })
    expectCode('permission_denied', () => harness.run(hkdf, { from: 'parent', to: 'a' }))
    expectCode('invalid_argument', () => harness.run(hkdf, { from: 'key', to: 'a' }))
  })
})

describe('pbkdf2', () => {
  test('without a type is RFC 8018: vectors of RFC 7914 §11', () => {
    using harness = new Harness()
    harness.put('passwd', 'opaque', encodeUtf8('passwd'))
    harness.put('password', 'opaque', encodeUtf8('Password'))
    harness.run(pbkdf2, {
      from: 'passwd',
      salt: encodeUtf8('salt'),
      rounds: 1,
      length: 64,
      to: 'a',
    })
    harness.run(pbkdf2, {
      from: 'password',
      salt: encodeUtf8('NaCl'),
      rounds: 80000,
      length: 64,
      to: 'b',
    })
    expect(toHex(harness.secretAt('a'))).toBe(
      '55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc' +
        '49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783',
    )
    expect(toHex(harness.secretAt('b'))).toBe(
      '4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56' +
        'a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d',
    )
  })

  test('with a type expands with type and usage', () => {
    using harness = new Harness()
    harness.put('password', 'opaque', encodeUtf8('Password'))
    const salt = encodeUtf8('NaCl')
    harness.run(pbkdf2, { from: 'password', salt, rounds: 10, type: 'aes-256-gcm', to: 'a' })
    const stretched = pbkdf2Sync('Password', salt, 10, 32, 'sha256')
    const { usage } = harness.at('a').labels
    const expected = nobleExpand(
      nobleSha256,
      stretched,
      info('aes-256-gcm', [...usage], new Uint8Array(0)),
      32,
    )
    expect(harness.secretAt('a')).toEqual(expected)
  })

  test('computes at most maxPbkdf2Rounds', () => {
    using harness = new Harness({ limits: { maxPbkdf2Rounds: 10 } })
    harness.put('password', 'opaque', encodeUtf8('Password'))
    const salt = new Uint8Array(8)
    harness.run(pbkdf2, { from: 'password', salt, rounds: 10, to: 'a' })
    expectCode('invalid_argument', () =>
      harness.run(pbkdf2, { from: 'password', salt, rounds: 11, to: 'b' }),
    )
  })

  test('and concat-kdf, concat are for the owner only', () => {
    expect([pbkdf2.remote, concatKdf.remote, concat.remote]).toEqual([false, false, false])
  })
})

test('concat-kdf with the info of RFC 7518 appendix C gives its key', () => {
  using harness = new Harness()
  const shared = [
    158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163,
    218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
  ]
  harness.put('z', 'opaque', Uint8Array.from(shared))
  const field = (text: string): Uint8Array =>
    join([Uint8Array.of(0, 0, 0, text.length), encodeUtf8(text)])
  const own = join([field('A128GCM'), field('Alice'), field('Bob'), Uint8Array.of(0, 0, 0, 128)])
  harness.run(concatKdf, { from: 'z', info: own, length: 16, to: 'a' })
  expect(Buffer.from(harness.secretAt('a')).toString('base64url')).toBe('VqqN6vgjbSBcIijNcacQGg')
})

describe('agree', () => {
  test('gives both sides the same, raw or as a key', () => {
    using harness = new Harness()
    harness.run(generate, { type: 'x25519', to: 'alice' })
    const bob = nobleX25519.keygen()
    const alicePublic = harness.at('alice').versions[0]?.publicKey ?? new Uint8Array(0)
    harness.run(agree, { key: 'alice', publicKey: bob.publicKey, to: 'raw' })
    const shared = nobleX25519.getSharedSecret(bob.secretKey, alicePublic)
    expect(harness.secretAt('raw')).toEqual(shared)
    expect(harness.at('raw').type).toBe('opaque')
    const salt = encodeUtf8('salt')
    harness.run(agree, {
      key: 'alice',
      publicKey: bob.publicKey,
      type: 'aes-256-gcm',
      salt,
      to: 'key',
    })
    const { usage } = harness.at('key').labels
    const bound = info('aes-256-gcm', [...usage], new Uint8Array(0))
    expect(harness.secretAt('key')).toEqual(
      new Uint8Array(hkdfSync('sha256', shared, salt, bound, 32)),
    )
  })

  test('refuses a public key of small order', () => {
    using harness = new Harness()
    harness.run(generate, { type: 'x25519', to: 'a' })
    expectCode('invalid_argument', () =>
      harness.run(agree, { key: 'a', publicKey: new Uint8Array(32), to: 'b' }),
    )
  })
})

describe('concat', () => {
  test('joins in order, with labels that all of its parts have', () => {
    using harness = new Harness()
    harness.put('a', 'opaque', Uint8Array.of(1, 2), { sync: true })
    harness.put('b', 'opaque', Uint8Array.of(3), { usage: new Set(['derive', 'copy']) })
    harness.run(concat, { from: ['a', 'b', 'a'], to: 'c' })
    expect(harness.secretAt('c')).toEqual(Uint8Array.of(1, 2, 3, 1, 2))
    expect(harness.at('c').labels.sync).toBe(false)
    expect([...harness.at('c').labels.usage].sort()).toEqual(['copy', 'derive'])
  })

  test('makes nothing longer than an opaque record', () => {
    using harness = new Harness()
    harness.put('a', 'opaque', new Uint8Array(40_000))
    expectCode('invalid_argument', () => harness.run(concat, { from: ['a', 'a'], to: 'c' }))
  })
})

test('copying never widens labels', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a', labels: { usage: ['sign', 'copy'] } })
  harness.run(copy, { from: 'a', to: 'b', labels: { egress: 'material', sync: true } })
  expect(harness.at('b').labels).toEqual(harness.at('a').labels)
  expect(harness.secretAt('b')).toEqual(harness.secretAt('a'))
  expect(harness.at('b').origin).toBe('copied')
})

test('derived scalars are keys of their curve', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'seed', to: 'parent' })
  harness.run(hkdf, { from: 'parent', type: 'p384', to: 'a' })
  const ecdh = createECDH('secp384r1')
  ecdh.setPrivateKey(harness.secretAt('a'))
  expect(harness.at('a').versions[0]?.publicKey).toEqual(new Uint8Array(ecdh.getPublicKey()))
})

function expectCode(code: string, run: () => unknown): void {
  try {
    run()
  } catch (error) {
    expect(isVaultError(error) ? error.code : error).toBe(code)
    return
  }
  expect.unreachable('nothing was thrown')
}
