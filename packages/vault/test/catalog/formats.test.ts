import { fc, test as property } from '@fast-check/vitest'
import { encodeUtf8, fromHex } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import { BLIND_FORMATS, formatOf, FORMATS, formatTags, looksLike } from '../../src/catalog/index.ts'

const message = encodeUtf8('message')

describe('formatTags()', () => {
  test.each([
    [undefined, ['sshsig:file']],
    [{ format: 'sshsig', namespace: 'git' }, ['sshsig:git']],
    [{ format: 'git' }, ['sshsig:git']],
    [{ format: 'jws' }, ['jws']],
    [{ format: 'ethereum', kind: 'eip712' }, ['ethereum:eip712']],
    [{ format: 'digest' }, ['digest']],
    [{ format: 'raw' }, ['raw']],
    [{ format: 'der' }, ['raw']],
    [{ format: 'compact' }, ['raw']],
    [{ format: 'recoverable' }, ['raw']],
  ])('of sign as %j are %j', (as, tags) => {
    expect(formatTags('sign', { key: 'a', message, as })).toEqual(tags)
  })

  test('of mac are hmac or jws, of others none', () => {
    expect(formatTags('mac', { message })).toEqual(['hmac'])
    expect(formatTags('mac', { message, as: { format: 'jws' } })).toEqual(['jws'])
    expect(formatTags('verify', { message, as: { format: 'raw' } })).toEqual([])
    expect(formatTags('encrypt', { message })).toEqual([])
  })

  test('name what raw bytes begin like, for every way to sign raw bytes', () => {
    const login = encodeUtf8('SSHSIG\0\0\0\x03git')
    for (const format of ['raw', 'der', 'compact', 'recoverable']) {
      expect(formatTags('sign', { message: login, as: { format } })).toEqual(['raw', 'sshsig:git'])
    }
    expect(formatTags('mac', { message: encodeUtf8('eyJhbGciOiJIUzI1NiJ9.e30') })).toEqual([
      'hmac',
      'jws',
    ])
    expect(formatTags('sign', { message: login, as: { format: 'jws' } })).toEqual(['jws'])
  })

  test('take a message that is not there yet for a digest', () => {
    const later = { step: 0, output: 'message' }
    expect(formatTags('sign', { message: later, as: { format: 'raw' } })).toEqual(['raw', 'digest'])
    expect(formatTags('mac', { message: later })).toEqual(['hmac', 'digest'])
    expect(formatTags('sign', { message: later })).toEqual(['sshsig:file'])
  })

  test.each([
    { format: 'pgp' },
    { format: 'raw', more: 1 },
    'raw',
    null,
    { step: 0, output: 'as' },
  ])('refuse the format %j', (as) => {
    expect(() => formatTags('sign', { message, as })).toThrow(TypeError)
  })

  test('are all known to rules', () => {
    for (const blind of BLIND_FORMATS) expect(FORMATS).toContain(blind)
    expect(formatOf({})).toEqual({ format: 'sshsig', namespace: 'file' })
  })
})

const SHA1 = '4b825dc642cb6eb9a060e54bf8d69288fbee4904'
const sshString = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.of(0, 0, 0, bytes.byteLength, ...bytes)
const login = (id: number): Uint8Array =>
  Uint8Array.of(
    ...sshString(new Uint8Array(id)),
    50,
    ...sshString(encodeUtf8('root')),
    ...sshString(encodeUtf8('ssh-connection')),
  )

describe('looksLike()', () => {
  test.each<[string, Uint8Array, string]>([
    ['an SSHSIG', encodeUtf8('SSHSIG\0\0\0\x04file\0\0\0\0'), 'sshsig:file'],
    ['an SSHSIG with a namespace that is no word', encodeUtf8('SSHSIG\0\0\0\x01 '), 'sshsig'],
    ['the beginning of an SSHSIG', encodeUtf8('SSHSIG'), 'sshsig'],
    ['an SSH login of SHA-1', login(20), 'ssh-login'],
    ['an SSH login of SHA-256', login(32), 'ssh-login'],
    ['an SSH login of SHA-512', login(64), 'ssh-login'],
    [
      'an SSH certificate',
      sshString(encodeUtf8('ssh-ed25519-cert-v01@openssh.com')),
      'ssh-certificate',
    ],
    ['a commit', encodeUtf8(`tree ${SHA1}\nparent ${SHA1}\n`), 'git'],
    ['a commit of SHA-256', encodeUtf8(`tree ${'a'.repeat(64)}\n`), 'git'],
    ['a commit as an object', encodeUtf8(`commit 177\0tree ${SHA1}\n`), 'git'],
    ['a tag', encodeUtf8(`object ${SHA1}\ntype commit\n`), 'git'],
    ['a JWS', encodeUtf8('eyJhbGciOiJFUzI1NiJ9.cGF5bG9hZA'), 'jws'],
    ['a JWS with white space in its header', encodeUtf8('IHsiYWxnIjoiRVMyNTYifQ.'), 'jws'],
    ['a JWS with a payload as it is', encodeUtf8('eyJiNjQiOmZhbHNlfQ.$.02'), 'jws'],
    ['a message of EIP-191', encodeUtf8('\x19Ethereum Signed Message:\n1a'), 'ethereum:eip191'],
    ['typed data of EIP-712', fromHex(`1901${'00'.repeat(64)}`), 'ethereum:eip712'],
    ['data for a validator', fromHex('1900'), 'ethereum'],
    // The example of EIP-155.
    [
      'a transaction',
      fromHex(
        'ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080',
      ),
      'ethereum:transaction',
    ],
    ['a typed transaction', fromHex('02c20180'), 'ethereum:transaction'],
    ['a long transaction', fromHex(`f840${'00'.repeat(64)}`), 'ethereum:transaction'],
  ])('knows %s', (_what, bytes, tag) => {
    expect(looksLike(bytes)).toBe(tag)
    expect(FORMATS).toContain(tag.split(':')[0])
  })

  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['text', encodeUtf8('release 2.4.0')],
    ['a sentence', encodeUtf8('Hello. This is not a header')],
    ['words like a JWS', encodeUtf8('abcd.efgh.ijkl')],
    ['a tree that is none', encodeUtf8('tree of life\n')],
    ['zeros', new Uint8Array(64)],
    ['a list with more behind it', fromHex('c2018000')],
    ['a session id that is too short', login(8)],
  ])('takes %s for nothing', (_what, bytes) => {
    expect(looksLike(bytes)).toBeUndefined()
  })

  property.prop([fc.uint8Array({ maxLength: 200 })])('never throws', (bytes) => {
    const tag = looksLike(bytes)
    if (tag !== undefined) expect(FORMATS).toContain(tag.split(':')[0])
  })

  property.prop([fc.uint8Array({ maxLength: 40 }), fc.constantFrom('sshsig', 'git', 'jws')])(
    'knows a beginning whatever follows',
    (rest, kind) => {
      const heads = {
        sshsig: 'SSHSIG',
        git: `tree ${SHA1}\n`,
        jws: 'eyJhbGciOiJFUzI1NiJ9.',
      } as const
      const tag = looksLike(Uint8Array.of(...encodeUtf8(heads[kind]), ...rest))
      expect(tag?.split(':')[0]).toBe(kind)
    },
  )
})
