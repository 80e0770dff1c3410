import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { decodeUtf8 } from '@stronghold/core'
import { afterAll, describe, expect, it } from 'vitest'

import {
  createKeyFile,
  readIdentityFile,
  readKeyFile,
  readPassphrase,
  readPassphraseFile,
} from '../src/credential.ts'
import { MAX_PASSPHRASE_BYTES } from '../src/limits.ts'
import { testSlab } from './vault-of.ts'

const directory = mkdtempSync(join(tmpdir(), 'stronghold-credential-'))
afterAll(() => {
  rmSync(directory, { recursive: true })
})

function file(content: string): string {
  const path = join(directory, 'content')
  writeFileSync(path, content)
  return path
}

describe('a passphrase', () => {
  it('is the one line of a file, whatever its end', () => {
    using slab = testSlab()
    for (const end of ['', '\n', '\r\n']) {
      using secret = readPassphraseFile(file(`pass phrase${end}`), slab)
      expect(decodeUtf8(secret.bytes)).toBe('pass phrase')
    }
    expect(slab.used).toBe(0)
  })

  it('keeps a carriage return and blanks that end no line', () => {
    using slab = testSlab()
    using secret = readPassphraseFile(file(' a\rb \r\r\n'), slab)
    expect(decodeUtf8(secret.bytes)).toBe(' a\rb \r')
  })

  it('is not empty, not of two lines and not longer than 1,024 bytes', () => {
    using slab = testSlab()
    for (const empty of ['', '\n', '\r\n']) {
      expect(() => readPassphraseFile(file(empty), slab)).toThrow('empty')
    }
    expect(() => readPassphraseFile(file('a\nb'), slab)).toThrow('more than one line')
    expect(() => readPassphraseFile(file('a\n\n'), slab)).toThrow('more than one line')
    const most = 'a'.repeat(MAX_PASSPHRASE_BYTES)
    for (const end of ['', '\n', '\r\n']) {
      readPassphraseFile(file(most + end), slab).wipe()
      expect(() => readPassphraseFile(file(`${most}a${end}`), slab)).toThrow('longer than')
    }
    expect(() => readPassphraseFile(file('a'.repeat(100_000)), slab)).toThrow('longer than')
    expect(slab.used).toBe(0)
  })

  it('comes from a regular file: nothing waits for a pipe, for what unlocks no more than for keys', () => {
    using slab = testSlab()
    const pipe = join(directory, 'pipe')
    execFileSync('mkfifo', [pipe])
    for (const read of [readPassphraseFile, readKeyFile, readIdentityFile]) {
      for (const path of [pipe, '/dev/zero', directory]) {
        expect(() => read(path, slab)).toThrow('it is no regular file')
      }
    }
    expect(slab.used).toBe(0)
  })

  it('comes from a descriptor, and what follows its line stays unread', () => {
    using slab = testSlab()
    const open = openSync(file('first\nrest'), 'r')
    try {
      using secret = readPassphrase(open, slab)
      expect(decodeUtf8(secret.bytes)).toBe('first')
      const rest = Buffer.alloc(10)
      expect(rest.toString('latin1', 0, readSync(open, rest))).toBe('rest')
    } finally {
      closeSync(open)
    }
  })

  it('is refused where the file or the descriptor is none', () => {
    using slab = testSlab()
    const missing = join(directory, 'missing')
    expect(() => readPassphraseFile(missing, slab)).toThrow(
      expect.objectContaining({ name: 'VaultError', code: 'not_found' }),
    )
    expect(() => readPassphraseFile(directory, slab)).toThrow(
      expect.objectContaining({ name: 'VaultError', code: 'failed_precondition' }),
    )
    expect(() => readPassphrase(9999, slab)).toThrow(
      expect.objectContaining({ name: 'VaultError', code: 'unavailable' }),
    )
    expect(slab.used).toBe(0)
  })
})

describe('a key file', () => {
  it('is made once, for its owner alone, and read again', () => {
    using slab = testSlab()
    const path = join(directory, 'key')
    using made = createKeyFile(path, slab)
    using read = readKeyFile(path, slab)
    expect(read.bytes.slice()).toEqual(made.bytes.slice())
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readFileSync(path, 'latin1')).toMatch(/^stronghold-key-1:[A-Za-z0-9+/]{43}=\n$/)
    const conflict = expect.objectContaining({ reason: 'conflict' }) as Error
    expect(() => createKeyFile(path, slab)).toThrow(conflict)
    const link = join(directory, 'link')
    symlinkSync(join(directory, 'elsewhere'), link)
    expect(() => createKeyFile(link, slab)).toThrow(conflict)
    expect(slab.used).toBe(128)
  })

  it('is refused unless it is one to the letter', () => {
    using slab = testSlab()
    const good = `stronghold-key-1:${Buffer.alloc(32, 7).toString('base64')}`
    for (const end of ['', '\n', '\r\n']) readKeyFile(file(good + end), slab).wipe()
    for (const bad of [
      '',
      good.slice(1),
      good.slice(0, -1),
      `${good} `,
      `${good}\n\n`,
      `${good}\r`,
      `${good}\r\n\n`,
      good.replace('-1:', '-2:'),
      good.replace('B', '*'),
      good.replace(/.=$/, 'd='),
    ]) {
      expect(() => readKeyFile(file(bad), slab), JSON.stringify(bad)).toThrow(SyntaxError)
    }
    expect(slab.used).toBe(0)
  })
})
