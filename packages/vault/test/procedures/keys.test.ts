import { describe, expect, test } from 'vitest'

import {
  CATALOG,
  gc,
  generate,
  narrow,
  random,
  RECORD_TYPES,
  retire,
  revoke,
  rotate,
  SECRET_LENGTHS,
  PAIR_TYPES,
} from '../../src/catalog/index.ts'
import type { Role } from '../../src/catalog/index.ts'
import { isVaultError } from '../../src/errors.ts'
import { Harness } from './harness.ts'

const OPEN = RECORD_TYPES.filter((type) => SECRET_LENGTHS[type].least < SECRET_LENGTHS[type].most)

describe.each(RECORD_TYPES)('generate %s', (type) => {
  test('makes a secret of the usual length with its public half', () => {
    using harness = new Harness()
    const { record } = harness.run(generate, { type, to: 'a' })
    const hasPublic = (PAIR_TYPES as readonly string[]).includes(type)
    expect(record.publicKey === undefined).toBe(!hasPublic)
    expect(record).toMatchObject({ type, path: 'a', version: 1 })
    expect(harness.secretAt('a')).toHaveLength(SECRET_LENGTHS[type].usual)
    expect(harness.at('a').origin).toBe('generated')
  })

  test('and rotate adds another version', () => {
    using harness = new Harness()
    harness.run(generate, { type, to: 'a' })
    const { record } = harness.run(rotate, { key: 'a' })
    expect(record.version).toBe(2)
    expect(harness.secretAt('a', 2)).not.toEqual(harness.secretAt('a', 1))
    expect(harness.at('a').versions[1]?.publicKey).toEqual(record.publicKey)
  })

  test('takes a length only between its bounds', () => {
    using harness = new Harness()
    const { least, most } = SECRET_LENGTHS[type]
    const bound = type === 'opaque' ? harness.limits.maxOpaqueBytes : most
    for (const length of new Set([least, bound])) {
      harness.run(generate, { type, to: `ok/${length}`, length })
      expect(harness.secretAt(`ok/${length}`)).toHaveLength(length)
    }
    for (const length of [least - 1, bound + 1]) {
      expect(() => harness.run(generate, { type, to: 'bad', length })).toThrow()
    }
  })
})

test.each(['secp256k1', 'p256', 'p384'] as const)(
  'a scalar of %s that is out of range is drawn again',
  (type) => {
    const draws = [0xff, 0x00, 0x11]
    using harness = new Harness({ random: (out) => out.fill(draws.shift() ?? 0x22) })
    harness.run(generate, { type, to: 'a' })
    expect(harness.secretAt('a').every((byte) => byte === 0x11)).toBe(true)
  },
)

test('lengths are open for HMAC keys, seeds and opaque bytes only', () => {
  expect(OPEN).toEqual(['hmac-sha2', 'seed', 'opaque'])
})

test('retire refuses versions below from then on', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a' })
  harness.run(rotate, { key: 'a' })
  harness.run(retire, { record: 'a', below: 2 })
  expect(harness.at('a').minimum).toBe(2)
})

test('narrow takes labels away and never adds any', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a' })
  harness.run(narrow, { record: 'a', labels: { usage: ['sign'] } })
  expect([...harness.at('a').labels.usage]).toEqual(['sign'])
  expect(() => harness.run(narrow, { record: 'a', labels: { usage: ['sign', 'copy'] } })).toThrow()
  expect(() => harness.run(narrow, { record: 'a', labels: { egress: 'material' } })).toThrow()
})

test('revoke removes by its own role, which only removing needs', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a' })
  const { id } = harness.at('a')
  expect(harness.run(revoke, { record: 'a' })).toEqual({ id })
  expect(harness.records.has('a')).toBe(false)
  expect(revoke.roles.record).toEqual({ access: 'remove', egress: 'none' })
  const removing = CATALOG.filter(({ roles }) =>
    Object.values<Role>(roles).some(({ access }) => access === 'remove'),
  )
  expect(removing.map(({ name }) => name)).toEqual(['revoke'])
})

test('gc asks the vault to compact', () => {
  using harness = new Harness()
  expect(harness.run(gc, {})).toEqual({})
  expect(harness.compactions).toBe(1)
})

test('random gives as many bytes as asked for, of the vault’s randomness', () => {
  using harness = new Harness({ random: (out) => out.fill(7) })
  expect(harness.run(random, { length: 3 }).bytes).toEqual(Uint8Array.of(7, 7, 7))
  expect(harness.run(random, { length: 64 * 1024 }).bytes).toHaveLength(64 * 1024)
  for (const length of [0, 64 * 1024 + 1]) {
    expect(random.input.safeParse({ length }).success).toBe(false)
  }
})

test('where a record stands nothing is made', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'ed25519', to: 'a' })
  try {
    harness.run(generate, { type: 'ed25519', to: 'a' })
    expect.unreachable('nothing was thrown')
  } catch (error) {
    expect(isVaultError(error, { reason: 'conflict' })).toBe(true)
  }
})
