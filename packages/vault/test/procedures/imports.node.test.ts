import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { encodeUtf8 } from '@stronghold/core'
import { describe, expect, onTestFinished, test } from 'vitest'

import { generate, importSecret, pub, sign, verify } from '../../src/catalog/index.ts'
import { isVaultError } from '../../src/errors.ts'
import { Harness } from './harness.ts'

const NODE_TYPES = {
  ed25519: () => generateKeyPairSync('ed25519'),
  x25519: () => generateKeyPairSync('x25519'),
  secp256k1: () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
  p256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
} as const
const TYPES = Object.keys(NODE_TYPES) as (keyof typeof NODE_TYPES)[]

describe.each(TYPES)('a key of OpenSSL, %s', (type) => {
  test('comes in as PKCS#8 in PEM and DER, and in SEC1', () => {
    using harness = new Harness()
    const { privateKey, publicKey } = NODE_TYPES[type]()
    const secrets = [
      privateKey.export({ format: 'pem', type: 'pkcs8' }),
      privateKey.export({ format: 'der', type: 'pkcs8' }),
      ...(type.endsWith('25519') ? [] : [privateKey.export({ format: 'pem', type: 'sec1' })]),
    ]
    const spki = publicKey.export({ format: 'pem', type: 'spki' })
    for (const [i, secret] of secrets.entries()) {
      const { record } = harness.run(importSecret, {
        to: `a/${i}`,
        as: { format: 'pkcs8' },
        secret: typeof secret === 'string' ? encodeUtf8(secret) : Uint8Array.from(secret),
      })
      expect(record.type).toBe(type)
      expect(harness.at(`a/${i}`).origin).toBe('imported')
      expect(harness.run(pub, { key: `a/${i}`, as: { format: 'spki' } }).text).toBe(spki)
    }
  })
})

test('the public half is computed, and one that is claimed and differs is refused', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'p256', to: 'a' })
  harness.run(generate, { type: 'p256', to: 'b' })
  const secret = harness.secretAt('a')
  const own = harness.run(pub, { key: 'a' }).publicKey
  const foreign = harness.run(pub, { key: 'b' }).publicKey
  const raw = (to: string, publicKey: Uint8Array | undefined): unknown =>
    harness.run(importSecret, { to, as: { format: 'raw', type: 'p256', publicKey }, secret })
  raw('c', own)
  raw('d', harness.at('a').versions[0]?.publicKey)
  raw('e', undefined)
  expectRefused(() => raw('f', foreign), /belongs to another/)
  expect(harness.records.has('f')).toBe(false)
  expect(harness.at('e').versions[0]?.publicKey).toEqual(harness.at('a').versions[0]?.publicKey)
})

test('a claim about a PKCS#8 file is checked, too', () => {
  using harness = new Harness()
  const der = NODE_TYPES.p256().privateKey.export({ format: 'der', type: 'pkcs8' })
  const secret = Uint8Array.from(der)
  // The last byte of a P-256 file belongs to the public point.
  secret[secret.byteLength - 1] = (secret.at(-1) ?? 0) ^ 1
  expectRefused(
    () => harness.run(importSecret, { to: 'a', as: { format: 'pkcs8' }, secret }),
    /belongs to another/,
  )
})

test.each(['p256', 'p384', 'secp256k1'] as const)('a scalar of zero is no %s key', (type) => {
  using harness = new Harness()
  const secret = new Uint8Array(type === 'p384' ? 48 : 32)
  expectRefused(
    () => harness.run(importSecret, { to: 'a', as: { format: 'raw', type }, secret }),
    /no secret key/,
  )
})

test('what is none of the format is refused without what stands in it', () => {
  using harness = new Harness()
  const secret = encodeUtf8('-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n')
  expectRefused(
    () => harness.run(importSecret, { to: 'a', as: { format: 'pkcs8' }, secret }),
    /^(?!.*(?:c2Vj|secret key bytes)).*$/s,
  )
})

test('a passphrase is refused where the format has none', () => {
  const secret = new Uint8Array(32)
  const fits = (as: object): boolean =>
    importSecret.input.safeParse({ to: 'a', as, secret, passphrase: secret }).success
  expect(fits({ format: 'raw', type: 'ed25519' })).toBe(false)
  expect(fits({ format: 'pkcs8' })).toBe(false)
  expect(fits({ format: 'openssh' })).toBe(true)
})

test('import is for the owner only', () => {
  expect(importSecret.remote).toBe(false)
})

const ssh = there('ssh-keygen')

describe.skipIf(!ssh)('a key of ssh-keygen', () => {
  test.each([
    ['ed25519', ['-t', 'ed25519'], ''],
    ['ed25519', ['-t', 'ed25519', '-a', '1'], 'geheim'],
    ['p256', ['-t', 'ecdsa', '-b', '256'], ''],
    ['p384', ['-t', 'ecdsa', '-b', '384', '-a', '1'], 'geheim'],
  ] as const)('of %s (%j, passphrase %j) comes in and signs', async (type, args, passphrase) => {
    using harness = new Harness()
    const path = mkdtempSync(join(tmpdir(), 'import-'))
    onTestFinished(() => {
      rmSync(path, { recursive: true })
    })
    const file = join(path, 'key')
    execFileSync('ssh-keygen', ['-q', ...args, '-N', passphrase, '-C', 'c', '-f', file])
    const { record } = await harness.prepared(importSecret, {
      to: 'a',
      as: { format: 'openssh' },
      secret: new Uint8Array(readFileSync(file)),
      ...(passphrase !== '' && { passphrase: encodeUtf8(passphrase) }),
    })
    expect(record.type).toBe(type)
    const { text } = harness.run(pub, { key: 'a', as: { format: 'openssh', comment: 'c' } })
    expect(text).toBe(readFileSync(`${file}.pub`, 'latin1').trim())
    const message = encodeUtf8('message')
    const { signature } = harness.run(sign, { key: 'a', message })
    expect(harness.run(verify, { key: 'a', message, signature }).valid).toBe(true)
    expect(harness.slab.used).toBe(64)
  })

  test('is refused with a wrong passphrase, with none, and where it is no key', async () => {
    using harness = new Harness()
    const path = mkdtempSync(join(tmpdir(), 'import-'))
    onTestFinished(() => {
      rmSync(path, { recursive: true })
    })
    const file = join(path, 'key')
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-a', '1', '-N', 'geheim', '-f', file])
    const secret = new Uint8Array(readFileSync(file))
    const input = { to: 'a', as: { format: 'openssh' } as const, secret }
    await expect(
      harness.prepared(importSecret, { ...input, passphrase: encodeUtf8('falsch') }),
    ).rejects.toMatchObject({ code: 'unauthenticated' })
    await expect(harness.prepared(importSecret, input)).rejects.toMatchObject({
      code: 'failed_precondition',
    })
    writeFileSync(file, 'junk')
    await expect(
      harness.prepared(importSecret, { ...input, secret: encodeUtf8('junk') }),
    ).rejects.toMatchObject({ code: 'invalid_argument' })
    expect(harness.slab.used).toBe(0)
  })
})

function there(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', program], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

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
