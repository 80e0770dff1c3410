import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, describe, expect, it } from 'vitest'

import { Lane } from './lane.ts'

const LONG = process.env['STRONGHOLD_LONG'] === '1'
const COMMITS = 4
/** Everything by which a vault reaches its disk. */
const CALLS = ['pwrite64', 'fsync', 'unlink', 'ftruncate', 'mkdir', 'fchmod', 'write'] as const
const TIMEOUT = { timeout: 600_000 }

const traced = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0
const title = (text: string): string => `${text}${traced ? '' : ' (skipped: strace is not here)'}`

/** How often a writer that is left alone makes each call. */
async function countCalls(): Promise<Map<string, number>> {
  using vault = new Lane()
  const directory = mkdtempSync(join(tmpdir(), 'stronghold-calls-'))
  const log = join(directory, 'log')
  await vault.run({
    commits: COMMITS,
    under: ['strace', '-qq', '-o', log, '-e', `trace=${CALLS.join()}`],
  })
  const counts = new Map<string, number>()
  for (const [, call = ''] of readFileSync(log, 'latin1').matchAll(/^(\w+)\(/gm)) {
    counts.set(call, (counts.get(call) ?? 0) + 1)
  }
  rmSync(directory, { recursive: true })
  return counts
}

/** Runs a job for each item, a few at a time. */
async function each<T>(items: readonly T[], job: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  const lane = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await job(item)
  }
  await Promise.all([lane(), lane()])
}

describe('a vault whose writer', () => {
  it.skipIf(!traced)(title('dies at any of its system calls is whole'), TIMEOUT, async () => {
    const points: { call: string; when: number }[] = []
    for (const [call, count] of await countCalls()) {
      for (let when = 1; when <= count; when++) points.push({ call, when })
    }
    expect(points.length).toBeGreaterThan(60)
    let killed = 0
    await each(points, async ({ call, when }) => {
      using vault = new Lane()
      const inject = `inject=${call}:signal=KILL:when=${when}`
      const under = ['strace', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject]
      const ran = await vault.run({ commits: COMMITS, under })
      if (ran.signal === 'SIGKILL') killed++
      vault.check()
      // And whoever comes next goes on from there.
      if (LONG || when % 8 === 0) {
        expect((await vault.run({ commits: 2 })).code).toBe(0)
        vault.check()
      }
    })
    expect(killed).toBeGreaterThan(points.length * 0.9)
  })

  const FAULTS = [
    { error: 'ENOSPC', calls: ['pwrite64', 'write'], expected: /^failed disk_full$/ },
    { error: 'EIO', calls: ['pwrite64', 'fsync'], expected: /^failed disk_failed$/ },
    // SQLite takes some pages that cannot be read for damaged ones.
    { error: 'EIO', calls: ['pread64'], expected: /^failed (disk_failed|damaged)$/ },
    { error: 'EROFS', calls: ['mkdir', 'openat'], expected: /^failed (read_only|disk_failed)$/ },
  ] as const

  for (const { error, calls, expected } of FAULTS) {
    it.skipIf(!traced)(
      title(`meets ${error} at any ${calls.join(' or ')}, once or for ever, is whole`),
      TIMEOUT,
      async () => {
        const counts = await countCalls()
        const points: { call: string; when: string }[] = []
        for (const call of calls) {
          const count = counts.get(call) ?? 24
          for (let when = 1; when <= count; when += LONG ? 1 : 7) {
            points.push({ call, when: `${when}` }, { call, when: `${when}+` })
          }
        }
        let failed = 0
        await each(points, async ({ call, when }) => {
          using vault = new Lane()
          // Only the files of the vault: a process that cannot load itself shows nothing.
          const paths = ['', '/vault.db', '/vault.db-wal', '/vault.db-journal', '/vault.lock']
          const under = [
            ...['strace', '-qq', '-o', '/dev/null', '-e', `trace=${call}`],
            ...paths.flatMap((path) => ['-P', `${vault.path}${path}`]),
            ...['-e', `inject=${call}:error=${error}:when=${when}`],
          ]
          const ran = await vault.run({ commits: COMMITS, under })
          expect(ran.stderr.replace(/^strace: .*\n/gm, ''), `${call} ${when}`).toBe('')
          for (const line of ran.lines) {
            if (line.startsWith('failed')) {
              failed++
              expect(line, `${call} ${when}`).toMatch(expected)
            }
          }
          vault.check()
          expect((await vault.run({ commits: 1 })).lines.join(), `${call} ${when}`).toMatch(
            /^\d+,\d+$/,
          )
          vault.check()
        })
        expect(failed).toBeGreaterThan(1)
      },
    )
  }

  it('may write files of so many bytes only is whole', TIMEOUT, async () => {
    for (const blocks of [0, 1, 9, 30, 60, 100]) {
      using vault = new Lane()
      const under = ['bash', '-c', `ulimit -f ${blocks}; exec "$@"`, 'bash']
      const ran = await vault.run({ commits: 20, under })
      expect(ran.stderr).toBe('')
      expect(ran.lines.join()).toMatch(/failed disk_f(ull|ailed)/)
      vault.check()
      expect((await vault.run({ commits: 1 })).code).toBe(0)
      vault.check()
    }
  })

  const mounted = mountTmpfs('size=128k')
  afterAll(() => mounted?.unmount())
  it.skipIf(mounted === undefined)(
    `fills its disk loses nothing and says so${mounted === undefined ? ' (skipped: cannot mount)' : ''}`,
    TIMEOUT,
    async () => {
      if (mounted === undefined) return
      try {
        using vault = new Lane(mounted.path)
        const ran = await vault.run({ commits: 60 })
        expect(ran.stderr).toBe('')
        expect(ran.lines).toContain('failed disk_full')
        expect(new Set(ran.lines.filter((line) => line.startsWith('failed')))).toEqual(
          new Set(['failed disk_full']),
        )
        spawnSync('mount', ['-o', 'remount,size=4m', mounted.path])
        vault.check()
        expect((await vault.run({ commits: 1 })).lines.join()).toMatch(/^\d+,\d+$/)
        vault.check()
        // On a file system that takes no writes there is one clear refusal.
        spawnSync('mount', ['-o', 'remount,ro', mounted.path])
        expect((await vault.run({ commits: 1 })).lines).toEqual(['failed read_only'])
        spawnSync('mount', ['-o', 'remount,rw', mounted.path])
        vault.check()
      } finally {
        spawnSync('mount', ['-o', 'remount,rw', mounted.path])
      }
    },
  )
})

/** A small file system in memory; `undefined` where this user may not have one. */
function mountTmpfs(options: string): { path: string; unmount: () => void } | undefined {
  const path = mkdtempSync(join(tmpdir(), 'stronghold-tmpfs-'))
  mkdirSync(path, { recursive: true })
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]).status !== 0) {
    rmSync(path, { recursive: true })
    return undefined
  }
  return {
    path,
    unmount() {
      spawnSync('umount', [path])
      rmSync(path, { recursive: true })
    },
  }
}
