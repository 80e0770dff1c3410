import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { encodeUtf8 } from '@stronghold/core'
import { afterAll, describe, expect, test } from 'vitest'

import { parseAgeIdentityFile } from '../../src/formats/age-bech32.ts'
import { decryptAge, encryptAge } from '../../src/formats/age.ts'
import type { AgeRecipient } from '../../src/formats/age.ts'
import { publicKey } from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'

const here = (program: string, ...args: string[]): boolean => {
  const { error } = spawnSync(program, args)
  return error === undefined
}
const age = here('age', '--version') && here('age-keygen', '--version')
const python = here('python3', '--version')
const directory = mkdtempSync(join(tmpdir(), 'age-'))
afterAll(() => {
  rmSync(directory, { recursive: true })
})

async function all(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(Uint8Array.from(part))
  return new Uint8Array(Buffer.concat(parts))
}

describe.skipIf(!age)(age ? 'the age program' : 'the age program (absent here)', () => {
  test.each([
    ['binary', 0],
    ['binary', 200_000],
    ['armored', 65_536],
    ['armored', 131_073],
  ])('reads and writes the same %s files, %i bytes long', async (form, size) => {
    using slab = new Slab({ bytes: 512 * 1024 })
    const armor = form === 'armored'
    const keys = join(directory, `key-${form}-${size}`)
    execFileSync('age-keygen', ['-o', keys], { stdio: 'pipe' })
    const [identity] = parseAgeIdentityFile(slab, readFileSync(keys))
    const secretKey = identity!.bytes
    const plaintext = new Uint8Array(size).map((_, i) => i * 7)
    const recipient: AgeRecipient = { type: 'x25519', publicKey: publicKey(secretKey) }
    const mine = await all(encryptAge(slab, [recipient], [plaintext], { armor }))
    const read = execFileSync('age', ['-d', '-i', keys], { input: mine, maxBuffer: 1e7 })
    expect(Buffer.compare(read, plaintext)).toBe(0)
    const args = ['-e', ...(armor ? ['-a'] : []), '-i', keys]
    const theirs = execFileSync('age', args, { input: plaintext, maxBuffer: 1e7 })
    const back = await all(decryptAge(slab, [{ type: 'x25519', secretKey }], [theirs]))
    expect(Buffer.compare(back, plaintext)).toBe(0)
  })

  // age asks a terminal for a passphrase, so it gets one.
  test.skipIf(!python)('reads and writes the same files under a passphrase', async () => {
    using slab = new Slab({ bytes: 512 * 1024 })
    const passphrase = encodeUtf8('correct horse')
    const sealed = join(directory, 'sealed')
    const opened = join(directory, 'opened')
    const recipient: AgeRecipient = { type: 'scrypt', passphrase, logN: 12 }
    writeFileSync(sealed, await all(encryptAge(slab, [recipient], [encodeUtf8('what is kept')])))
    onTerminal(['age', '-d', '-o', opened, sealed])
    expect(readFileSync(opened, 'utf8')).toBe('what is kept')
    const theirs = join(directory, 'theirs')
    onTerminal(['age', '-p', '-o', theirs, opened])
    const file = readFileSync(theirs)
    const back = await all(decryptAge(slab, [{ type: 'scrypt', passphrase }], [file]))
    expect(Buffer.from(back).toString()).toBe('what is kept')
  })
})

/** Runs a program on a terminal of its own and types the passphrase whenever it asks. */
function onTerminal(command: string[]): void {
  const script = `
import os, pty, sys
def read(fd):
    data = os.read(fd, 1024)
    if b'passphrase' in data: os.write(fd, b'correct horse\\n')
    return data
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], read, lambda fd: b'')))
`
  execFileSync('python3', ['-c', script, ...command], { stdio: 'pipe', timeout: 15_000 })
}
