import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { encodeUtf8 } from '@stronghold/core'
import { describe, expect, onTestFinished, test } from 'vitest'

import { generate, importSecret, pub, sign, verify } from '../../src/catalog/index.ts'
import { Harness } from './harness.ts'

const message = encodeUtf8('release 2.4.0\n')
const EC_TYPES = ['p256', 'p384', 'secp256k1'] as const
const SSH_TYPES = ['ed25519', 'p256', 'p384'] as const

describe.skipIf(!there('openssl'))('openssl', () => {
  test.each(EC_TYPES)('verifies a DER signature of %s', (type) => {
    using harness = new Harness()
    const { run, write } = desk()
    harness.run(generate, { type, to: 'a' })
    write('key', harness.run(pub, { key: 'a', as: { format: 'spki' } }).text ?? '')
    write('message', message)
    write('signature', harness.run(sign, { key: 'a', message, as: { format: 'der' } }).signature)
    const hash = type === 'p384' ? '-sha384' : '-sha256'
    const args = ['dgst', hash, '-verify', 'key', '-signature', 'signature', 'message']
    expect(run('openssl', args)).toBe('Verified OK\n')
    write('message', 'another')
    expect(() => run('openssl', args)).toThrow()
  })

  test('verifies a raw signature of ed25519', () => {
    using harness = new Harness()
    const { run, write } = desk()
    harness.run(generate, { type: 'ed25519', to: 'a' })
    write('key', harness.run(pub, { key: 'a', as: { format: 'spki' } }).text ?? '')
    write('message', message)
    write('signature', harness.run(sign, { key: 'a', message, as: { format: 'raw' } }).signature)
    const args = ['-verify', '-pubin', '-inkey', 'key', '-rawin', '-in', 'message']
    expect(run('openssl', ['pkeyutl', ...args, '-sigfile', 'signature'])).toMatch(/Success/)
  })

  test('makes keys that come in and sign as it does', () => {
    using harness = new Harness()
    const { run, write, read } = desk()
    const pem = run('openssl', ['genpkey', '-algorithm', 'ed25519'])
    write('private', pem)
    write('message', message)
    harness.run(importSecret, { to: 'a', as: { format: 'pkcs8' }, secret: encodeUtf8(pem) })
    const args = ['-sign', '-inkey', 'private', '-rawin', '-in', 'message', '-out', 'signature']
    run('openssl', ['pkeyutl', ...args])
    const { signature } = harness.run(sign, { key: 'a', message, as: { format: 'raw' } })
    expect(Buffer.from(signature)).toEqual(read('signature'))
  })
})

describe.skipIf(!there('ssh-keygen'))('ssh-keygen', () => {
  test.each(SSH_TYPES)('-Y verify accepts a signature of %s in its namespace alone', (type) => {
    using harness = new Harness()
    const { run, write } = desk()
    harness.run(generate, { type, to: 'release/app' })
    const as = { format: 'allowed-signers', principal: 'release/app' } as const
    write('signers', harness.run(pub, { key: 'release/app', as }).text ?? '')
    write('signature', harness.run(sign, { key: 'release/app', message }).signature)
    const args = ['-Y', 'verify', '-f', 'signers', '-I', 'release/app', '-s', 'signature', '-n']
    expect(run('ssh-keygen', [...args, 'file'], message)).toMatch(/Good "file" signature/)
    expect(() => run('ssh-keygen', [...args, 'git'], message)).toThrow()
    expect(() => run('ssh-keygen', [...args, 'file'], 'another')).toThrow()
  })

  test('-Y sign makes a signature that verify accepts', () => {
    using harness = new Harness()
    const { run, read } = desk()
    run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', 'key'])
    const signature = encodeUtf8(
      run('ssh-keygen', ['-Y', 'sign', '-f', 'key', '-n', 'file'], message),
    )
    const [, blob = ''] = read('key.pub').toString('latin1').split(' ')
    const bytes = Buffer.from(blob, 'base64').subarray(-32)
    const publicKey = { type: 'ed25519', bytes: Uint8Array.from(bytes) } as const
    expect(harness.run(verify, { publicKey, message, signature })).toEqual({ valid: true })
  })
})

describe.skipIf(!there('ssh-keygen') || !there('git'))('git', () => {
  test.each(SSH_TYPES)('verify-commit accepts a commit signed by %s', (type) => {
    using harness = new Harness()
    const { run, write, path } = desk()
    harness.run(generate, { type, to: 'a' })
    const as = { format: 'allowed-signers', principal: 'a@example.org' } as const
    write('signers', harness.run(pub, { key: 'a', as }).text ?? '')
    run('git', ['init', '-q', '.'])
    const tree = run('git', ['write-tree']).trim()
    const person = 'A <a@example.org> 1700000000 +0000'
    const head = `tree ${tree}\nauthor ${person}\ncommitter ${person}\n`
    const payload = encodeUtf8(`${head}\nOne\n`)
    const { signature } = harness.run(sign, { key: 'a', message: payload, as: { format: 'git' } })
    const armor = Buffer.from(signature).toString('latin1').trimEnd().replaceAll('\n', '\n ')
    const signed = `${head}gpgsig ${armor}\n\nOne\n`
    const commit = run('git', ['hash-object', '-t', 'commit', '-w', '--stdin'], signed).trim()
    const config = ['-c', 'gpg.format=ssh', '-c', `gpg.ssh.allowedSignersFile=${path}/signers`]
    run('git', [...config, 'verify-commit', commit])
    const forged = signed.replace('One', 'Two')
    const other = run('git', ['hash-object', '-t', 'commit', '-w', '--stdin'], forged).trim()
    expect(() => run('git', [...config, 'verify-commit', other])).toThrow()
  })
})

function desk(): {
  path: string
  write: (name: string, content: string | Uint8Array) => void
  read: (name: string) => Buffer
  run: (program: string, args: readonly string[], input?: string | Uint8Array) => string
} {
  const path = mkdtempSync(join(tmpdir(), 'procedures-'))
  onTestFinished(() => {
    rmSync(path, { recursive: true, force: true })
  })
  const env = { ...process.env, HOME: path, GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C' }
  return {
    path,
    write: (name, content) => {
      writeFileSync(join(path, name), content, { mode: 0o600 })
    },
    read: (name) => readFileSync(join(path, name)),
    run: (program, args, input = '') =>
      execFileSync(program, args, { cwd: path, input, env, stdio: 'pipe' }).toString('latin1'),
  }
}

function there(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', program], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
