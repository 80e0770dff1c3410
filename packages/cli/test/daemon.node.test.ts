/** A Stronghold that stays, as real processes: its start, its states, its end. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'

import { afterAll, describe, expect, test } from 'vitest'

import { Place, SOURCE_ENV } from './stronghold.ts'

const LONG = { timeout: 120_000 }
const WITH_CORE = withCore()

const crashed = new Place()
afterAll(() => {
  crashed[Symbol.dispose]()
})

describe('stronghold up', () => {
  test(
    'prints where it is, serves the commands of its home, and ends on SIGTERM',
    LONG,
    async () => {
      using place = new Place()
      place.done('home', 'init --passphrase-file pass')
      const { running, addrs } = await place.up('home')
      const status = place.done('home', 'status --json').json
      expect(addrs[0]).toMatch(/^\/ip4\/127\.0\.0\.1\/tcp\/[0-9]+\/p2p\/12D3/)
      expect(status).toMatchObject({ running: true, addrs, locked: false, pending: 0, held: null })
      expect(status.head).toMatch(/^[0-9a-f]{100,}$/)
      expect(statSync(place.path('home', 'control.sock')).mode & 0o777).toBe(0o600)
      expect(statSync(place.path('home', 'owner.sock')).mode & 0o777).toBe(0o600)

      // No passphrase: the daemon has the vault open.
      expect(place.done('home', 'key create release/app').stdout).toContain('release/app  ed25519')
      const second = place.run('home', 'up --locked')
      expect(second).toMatchObject({ exit: 10, stdout: '' })
      expect(second.stderr).toContain(
        `a Stronghold runs there already, process ${running.process.pid}`,
      )

      place.done('home', 'lock')
      const locked = place.run('home', 'key list')
      expect(locked.exit).toBe(7)
      expect(locked.stderr).toContain('hint: stronghold unlock')
      expect(place.done('home', 'status --json').json).toMatchObject({
        locked: true,
        pending: null,
      })
      expect(place.run('home', 'unlock --passphrase-file home/identity.pub').exit).toBe(7)
      place.done('home', 'unlock --passphrase-file pass')
      expect(place.done('home', 'key list').stdout).toContain('release/app')

      const sinceMs = performance.now()
      running.process.kill('SIGTERM')
      expect(await running.ended).toMatchObject({ exit: 0, stderr: '' })
      expect(performance.now() - sinceMs).toBeLessThan(20_000)
      expect(existsSync(place.path('home', 'control.sock'))).toBe(false)
      expect(existsSync(place.path('home', 'owner.sock'))).toBe(false)
    },
  )

  test('goes on in the background, and again after it crashed', LONG, () => {
    const background = 'up --detach --passphrase-file pass --listen /ip4/127.0.0.1/tcp/0'
    crashed.done('home', 'init --passphrase-file pass')
    const command = [process.execPath, ...crashed.args('home', background)]
    const line = ['-c', `${WITH_CORE}exec "$@"`, 'sh', ...command]
    const init = { cwd: crashed.folder, env: SOURCE_ENV, encoding: 'utf8' } as const
    expect(spawnSync('sh', line, init).stdout).toMatch(
      /^up +in the background, process [0-9]+\nvault +unlocked\n/,
    )
    const { stderr } = crashed.run('home', 'up --locked')
    process.kill(Number(/process ([0-9]+)/.exec(stderr)?.[1]), 'SIGABRT')
    // Its sockets are there still, and nobody is behind them.
    expect(existsSync(crashed.path('home', 'control.sock'))).toBe(true)
    expect(crashed.done('home', background).stdout).toContain('unlocked')
    expect(crashed.done('home', 'down').stdout).toMatch(/^ended process [0-9]+\n$/)
    expect(crashed.done('home', 'down').stdout).toBe('nothing runs\n')

    const wrong = crashed.run('home', 'up --detach --passphrase-file home/identity.pub --json')
    expect(wrong.exit).toBe(7)
    expect(wrong.json.error).toMatchObject({ code: 'locked', exit: 7 })
    const nowhere = crashed.run('home', 'up --locked --listen /ip4/192.0.2.1/tcp/1')
    expect(nowhere.exit).not.toBe(0)
    expect(nowhere.stderr).toContain('/ip4/192.0.2.1/tcp/1')
    expect(crashed.done('home', 'status --json').json).toMatchObject({ running: false, held: null })
  })

  test.skipIf(WITH_CORE === '')('that crashed left a core file without memory in it', () => {
    const [name = ''] = readdirSync(crashed.folder).filter((file) => file.startsWith('core'))
    const core = readFileSync(crashed.path(name))
    const peer = readFileSync(crashed.path('home', 'identity.pub'), 'latin1').trim()
    expect(core.includes('CORE')).toBe(true)
    // What is told to everybody stands in memory many times.
    expect(core.includes(peer)).toBe(false)
    expect(core.byteLength).toBeLessThan(1024 * 1024)
  })
})

/** Lets a process write a core file into its directory, where this machine does that; else nothing. */
function withCore(): string {
  if (process.platform !== 'linux') return ''
  const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'latin1')
  const isUnlimited = /^Max core file size +\S+ +unlimited/m.test(
    readFileSync('/proc/self/limits', 'latin1'),
  )
  return /^core/.test(pattern) && isUnlimited ? 'ulimit -c unlimited; ' : ''
}
