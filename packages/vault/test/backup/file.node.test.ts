import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { describe, expect, it } from 'vitest'

import { openBackup, verifyBackup } from '../../src/backup.ts'
import { generate, importSecret } from '../../src/catalog/index.ts'
import { MemoryStore } from '../../src/stores/memory.ts'
import { isThere } from '../formats/_judges.ts'
import { newVault } from '../open.ts'
import { directory, IDENTITY, RECIPIENT, someVault, source } from './_vaults.ts'

const LONG = process.env['STRONGHOLD_LONG'] === '1'
const WRITER = fileURLToPath(new URL('./_writer.ts', import.meta.url))
const RESIDUE = fileURLToPath(new URL('./_residue.ts', import.meta.url))
const passphrase = new TextEncoder().encode('correct horse')
const age = isThere('age')

describe('the file of a backup', () => {
  it('is 0600, never stands in the place of another unless asked, and leaves nothing beside it', async () => {
    const folder = directory()
    const to = join(folder, 'backup.age')
    await using vault = await newVault()
    writeFileSync(to, 'mine')
    const init = { to, for: { recipients: [RECIPIENT] } }
    await expect(vault.backup(init)).rejects.toMatchObject({ reason: 'conflict' })
    expect(readFileSync(to, 'utf8')).toBe('mine')
    await vault.backup({ ...init, replace: true })
    expect(statSync(to).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder)).toEqual(['backup.age'])
    await expect(vault.backup({ ...init, to: join(folder, 'no/where') })).rejects.toMatchObject({
      code: 'not_found',
    })
  })

  it('opens with the passphrase or identity it was written for, and with no other', async () => {
    const folder = directory()
    await using vault = await someVault(new MemoryStore())
    const armored = { to: join(folder, 'p'), for: { passphrase, workFactor: 10 }, armor: true }
    const info = await vault.backup(armored)
    expect(readFileSync(armored.to, 'latin1')).toMatch(/^-----BEGIN AGE/)
    expect(await verifyBackup({ from: armored.to, identity: { passphrase } })).toEqual(info)
    for (const identity of [IDENTITY, { passphrase: passphrase.slice(1) }]) {
      await expect(verifyBackup({ from: armored.to, identity })).rejects.toMatchObject({
        reason: 'unlock_failed',
      })
    }
    const to = join(folder, 'q')
    for (const who of [
      { recipients: [] },
      { recipients: ['age1x'] },
      { passphrase: new Uint8Array() },
      { passphrase: new Uint8Array(1025) },
      { passphrase, workFactor: 9 },
    ]) {
      await expect(vault.backup({ to, for: who })).rejects.toThrow(/^Cannot /)
    }
    expect(readdirSync(folder)).toEqual(['p'])
  })

  it('tells how far it is, and ends where it is told to, with nothing left', async () => {
    const folder = directory()
    const to = join(folder, 'backup.age')
    await using vault = await newVault()
    for (let i = 0; i < 300; i++) await vault.run(generate, { to: `k/${i}`, type: 'seed' })
    const seen: number[][] = []
    const onProgress = (done: number, total: number): void => {
      seen.push([done, total])
    }
    const init = { to, for: { recipients: [RECIPIENT] } }
    await vault.backup(init, { onProgress })
    expect(seen.at(-1)).toEqual([602, 602])
    await verifyBackup(source(to), { onProgress })
    expect(seen.at(-1)).toEqual([603, 603])
    const over = new Error('over')
    const stop = (): { signal: AbortSignal; onProgress: () => void } => {
      const controller = new AbortController()
      return {
        signal: controller.signal,
        onProgress: () => {
          controller.abort(over)
        },
      }
    }
    await expect(verifyBackup(source(to), stop())).rejects.toBe(over)
    await expect(vault.backup({ ...init, replace: true }, stop())).rejects.toBe(over)
    expect(readdirSync(folder)).toEqual(['backup.age'])
    expect(await verifyBackup(source(to))).toBeDefined()
  })

  it('holds one moment, whatever is committed while it grows, and ends with a lock', async () => {
    const folder = directory()
    const to = join(folder, 'backup.age')
    await using vault = await newVault()
    for (let i = 0; i < 30; i++) {
      const secret = new Uint8Array(8192).fill(i)
      const as = { format: 'raw', type: 'opaque' } as const
      await vault.run(importSecret, { to: `k/${i}`, as, secret })
    }
    const generation = vault.head().generation
    const writing = vault.backup({ to, for: { recipients: [RECIPIENT] } })
    await vault.run(generate, { to: 'later', type: 'seed' })
    expect(vault.head().generation).toBe(generation + 1)
    expect(await writing).toMatchObject({ generation, counts: { records: 30 } })
    expect(await verifyBackup(source(to))).toMatchObject({ generation })
    const next = vault.backup({ to: join(folder, 'b'), for: { passphrase, workFactor: 14 } })
    const [ended] = await Promise.allSettled([next, vault.lock()])
    expect(ended).toMatchObject({ reason: { reason: 'locked' } })
    expect(readdirSync(folder)).toEqual(['backup.age'])
  })

  it('is a regular file: a pipe that nobody writes to, a device or a directory is refused at once', async () => {
    const folder = directory()
    const pipe = join(folder, 'pipe')
    execFileSync('mkfifo', [pipe])
    for (const path of [pipe, '/dev/zero', folder]) {
      await expect(verifyBackup(source(path))).rejects.toMatchObject({ reason: 'unsafe_file' })
    }
  })

  it(`is whole or not there after a kill, ${LONG ? 1000 : 8} times`, { timeout: 1e6 }, async () => {
    const folder = directory()
    const to = join(folder, 'backup.age')
    let found = 0
    for (let i = 0; i < (LONG ? 1000 : 8); i++) {
      await killed(to, 3 + Math.random() * 60)
      if (!existsSync(to)) continue
      found++
      await verifyBackup(source(to))
      execFileSync('rm', [to])
    }
    expect(found).toBeLessThan(LONG ? 1000 : 8)
  })

  it('leaves nothing of a secret in any string of the heap', { timeout: 60_000 }, () => {
    const search = (...mode: string[]): unknown => {
      const args = ['--conditions=@stronghold/source', RESIDUE, directory(), ...mode]
      return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))
    }
    expect(search('leave')).toEqual({ found: 1, left: 1 })
    expect(search()).toEqual({ found: 0, left: 0 })
  })

  const mounted = mount()
  it.skipIf(mounted === undefined)(
    `is not there after the disk was full${mounted === undefined ? ' (skipped: cannot mount)' : ''}`,
    () => {
      const to = join(mounted ?? '', 'backup.age')
      try {
        const args = ['--conditions=@stronghold/source', WRITER, to, '2']
        const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
        expect(stderr).toBe('')
        expect(stdout).toBe('ready\ndisk_full\ndisk_full\n')
        expect(readdirSync(mounted ?? '')).toEqual([])
      } finally {
        spawnSync('umount', [mounted ?? ''])
      }
    },
  )
})

describe.skipIf(!age)(age ? 'the age program' : 'the age program (absent here)', () => {
  it('opens a backup, and plain JSON says all that is in it', async () => {
    const folder = directory()
    const to = join(folder, 'backup.age')
    const keys = join(folder, 'keys')
    writeFileSync(keys, IDENTITY.identities)
    await using vault = await newVault()
    const secret = new TextEncoder().encode('correct horse')
    const as = { format: 'raw', type: 'opaque' } as const
    await vault.run(importSecret, { to: 'mail/password', as, secret: Uint8Array.from(secret) })
    await vault.store.put('motd', new TextEncoder().encode('hi'))
    await vault.backup({ to, for: { recipients: [RECIPIENT] } })
    const text = execFileSync('age', ['-d', '-i', keys, to], { encoding: 'utf8' })
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines.map((line) => Object.keys(line)[0])).toEqual([
      'stronghold',
      'record',
      'version',
      'entry',
      'row',
      'end',
    ])
    expect(lines[0]).toMatchObject({ stronghold: 'backup', v: 1, epoch: 0 })
    expect(lines[1]).toMatchObject({ record: 'mail/password', type: 'opaque', versions: 1 })
    expect(Buffer.from(String(lines[2]?.['secret']), 'base64').toString()).toBe('correct horse')
    expect(lines[3]).toMatchObject({ entry: 'motd', value: 'aGk=' })
  })

  it('writes a backup by hand: the example of the document is one', async () => {
    const format = new URL('../../../../docs/vault-format.md', import.meta.url)
    const [, section = ''] = readFileSync(format, 'utf8').split('## 9. Backups')
    const text = /```\n([^]+?)```/.exec(section)?.[1] ?? ''
    const to = join(directory(), 'by-hand.age')
    execFileSync('age', ['-r', RECIPIENT, '-o', to], { input: text })
    using backup = await openBackup(source(to))
    expect(backup.info.counts).toMatchObject({ records: 1, removed: 1, entries: 1 })
    await using vault = await newVault()
    expect(await vault.restore(backup)).toMatchObject({ added: 1, entries: 1, removed: 1 })
    expect(await vault.store.get('motd')).toEqual(new TextEncoder().encode('hi'))
  })
})

/** Runs a writer and kills it some time after it began to write. */
async function killed(to: string, afterMs: number): Promise<void> {
  const child = spawn(process.execPath, ['--conditions=@stronghold/source', WRITER, to], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // A process that compiles nothing starts three times as fast.
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'stronghold-compile-cache') },
  })
  child.stdout.once('data', () => {
    setTimeout(() => child.kill('SIGKILL'), afterMs)
  })
  const { promise, resolve } = Promise.withResolvers<unknown>()
  child.once('close', resolve)
  await promise
}

/** A file system of 128 KiB; `undefined` where this user may not have one. */
function mount(): string | undefined {
  const path = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim()
  mkdirSync(path, { recursive: true })
  const args = ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', path]
  return spawnSync('mount', args).status === 0 ? path : undefined
}
