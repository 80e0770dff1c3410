import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { readHolder, VaultDirectory } from '../src/directory.ts'
import { MAX_LOCK_FILE_BYTES } from '../src/limits.ts'

let root: string
let path: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stronghold-directory-'))
  path = join(root, 'vault')
})
afterEach(() => {
  rmSync(root, { recursive: true })
})

const refusal = (reason: string): Error => expect.objectContaining({ reason }) as Error
const isRoot = process.geteuid?.() === 0
const create = (): void => {
  VaultDirectory.open(path, { create: true }).close()
}

describe("a vault's directory", () => {
  it('is made for its owner alone, whatever the umask, and so is every file in it', () => {
    const writer = fileURLToPath(new URL('./crash/writer.ts', import.meta.url))
    for (const umask of ['000', '077']) {
      const script = 'umask "$1"; shift; exec "$@"'
      const run = [process.execPath, '--conditions=@stronghold/source', writer, path, '3']
      spawnSync('bash', ['-c', script, 'bash', umask, ...run])
      expect(statSync(path).mode & 0o777).toBe(0o700)
      const directory = VaultDirectory.open(path)
      expect(readdirSync(path).sort()).toEqual(['vault.db', 'vault.db-wal', 'vault.lock'])
      for (const name of readdirSync(path)) {
        expect(statSync(join(path, name)).mode & 0o777, name).toBe(0o600)
      }
      directory.close()
      rmSync(path, { recursive: true })
    }
  })

  it('is not made where it is only opened', () => {
    expect(() => VaultDirectory.open(path)).toThrow(expect.objectContaining({ code: 'not_found' }))
    mkdirSync(path, { mode: 0o700 })
    expect(() => VaultDirectory.open(path)).toThrow(expect.objectContaining({ code: 'not_found' }))
    expect(existsSync(join(path, 'vault.db'))).toBe(false)
    expect(() => VaultDirectory.open(join(path, 'no', 'parent'), { create: true })).toThrow(
      expect.objectContaining({ code: 'not_found' }),
    )
  })

  it('is refused where it or a file in it is a link, of another kind or open to others', () => {
    create()
    const away = join(root, 'away')
    const cases: [string, () => void, () => void][] = [
      [
        'the directory is a link',
        () => {
          renameSync(path, away)
          symlinkSync(away, path)
        },
        () => {
          rmSync(path)
          renameSync(away, path)
        },
      ],
      [
        'the directory is a file',
        () => {
          renameSync(path, away)
          writeFileSync(path, '', { mode: 0o600 })
        },
        () => {
          rmSync(path)
          renameSync(away, path)
        },
      ],
      ['others may look in', () => chmodSync(path, 0o750), () => chmodSync(path, 0o700)],
      [
        'others may read the database',
        () => chmodSync(join(path, 'vault.db'), 0o604),
        () => chmodSync(join(path, 'vault.db'), 0o600),
      ],
      [
        'the database is a link',
        () => {
          renameSync(join(path, 'vault.db'), away)
          symlinkSync(away, join(path, 'vault.db'))
        },
        () => renameSync(away, join(path, 'vault.db')),
      ],
      [
        'the database is a directory',
        () => {
          renameSync(join(path, 'vault.db'), away)
          mkdirSync(join(path, 'vault.db'), { mode: 0o700 })
        },
        () => {
          rmSync(join(path, 'vault.db'), { recursive: true })
          renameSync(away, join(path, 'vault.db'))
        },
      ],
    ]
    for (const name of ['vault.lock', 'vault.db-wal', 'vault.db-shm', 'vault.db-journal']) {
      const file = join(path, name)
      const target = join(root, 'target')
      cases.push(
        [`${name} is a link`, () => symlinkSync(target, file), () => rmSync(file)],
        [`${name} is a pipe`, () => spawnSync('mkfifo', ['-m', '600', file]), () => rmSync(file)],
        [
          `others may write ${name}`,
          () => {
            writeFileSync(file, '')
            chmodSync(file, 0o622)
          },
          () => rmSync(file),
        ],
      )
    }
    for (const [what, spoil, repair] of cases) {
      spoil()
      const opened = (): void => VaultDirectory.open(path, { create: true }).close()
      expect(opened, what).toThrow(refusal('unsafe_file'))
      expect(existsSync(join(root, 'target')), what).toBe(false)
      repair()
      opened()
    }
  })

  it.skipIf(!isRoot)(
    `is refused where another user owns it or a file in it${isRoot ? '' : ' (skipped: not root)'}`,
    () => {
      create()
      for (const file of [path, join(path, 'vault.db')]) {
        chownSync(file, 12345, 12345)
        expect(() => VaultDirectory.open(path)).toThrow(refusal('unsafe_file'))
        chownSync(file, 0, 0)
      }
      create()
    },
  )

  it('tells a second opener who holds it', () => {
    const holder = VaultDirectory.open(path, {
      create: true,
      command: `stronghold up\n${'x'.repeat(200)}`,
      socket: '/run/socket',
      nowMs: () => 1_800_000_000_000,
    })
    const message = (): string => {
      try {
        VaultDirectory.open(path).close()
      } catch (error) {
        expect(error).toMatchObject({ code: 'unavailable', reason: 'held' })
        return (error as Error).message
      }
      throw new Error('opened twice')
    }
    expect(message()).toContain(`process ${process.pid} holds it, "stronghold up\\nxxx`)
    expect(message()).toContain('since 2027-01-15T08:00:00.000Z')
    expect(message().length).toBeLessThan(300)
    expect(readHolder(path)).toEqual({
      pid: process.pid,
      startedAtMs: 1_800_000_000_000,
      command: `stronghold up\n${'x'.repeat(200)}`,
      socket: '/run/socket',
    })
    const lock = join(path, 'vault.lock')
    for (const junk of [
      '',
      'null',
      '{"pid":1}',
      '{"pid":1,"startedAtMs":1e300,"command":"a"}',
      `"${'x'.repeat(MAX_LOCK_FILE_BYTES)}"`,
    ]) {
      writeFileSync(lock, junk)
      expect(message()).toContain('another process holds it')
    }
    holder.close()
    holder.close()
    // What somebody else wrote there stays theirs.
    expect(existsSync(lock)).toBe(true)
    create()
    expect(existsSync(lock)).toBe(false)
  })

  it('is free again when its holder was killed, and what the dead one said is written over', async () => {
    create()
    const directory = fileURLToPath(new URL('../src/directory.ts', import.meta.url))
    const script = `
      import { VaultDirectory } from ${JSON.stringify(directory)}
      globalThis.held = VaultDirectory.open(${JSON.stringify(path)}, { command: 'the dead one' })
      console.log('held')
      setInterval(() => {}, 1000)`
    const args = ['--conditions=@stronghold/source', '--input-type=module', '-e', script]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    expect(() => VaultDirectory.open(path)).toThrow(`process ${child.pid ?? 0} holds it`)
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('close', resolve))
    expect(readHolder(path)?.command).toBe('the dead one')
    const mine = VaultDirectory.open(path, { command: 'the next' })
    expect(readHolder(path)?.command).toBe('the next')
    mine.close()
  })

  it('reads a database that has a second name, since only its owner can give it one', () => {
    create()
    linkSync(join(path, 'vault.db'), join(root, 'second'))
    create()
    expect(readFileSync(join(root, 'second')).length).toBeGreaterThan(0)
  })
})
