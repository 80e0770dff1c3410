/** A Stronghold that stays, as real processes: its start, its states, its end. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'

import { afterAll, describe, expect, test } from 'vitest'

import { Place, SOURCE_ENV } from './stronghold.ts'
import type { Ended } from './stronghold.ts'

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
      const { loaded: ofStatus, ...told } = loading(place, 'status --json')
      const status = told.json
      expect(addrs[0]).toMatch(/^\/ip4\/127\.0\.0\.1\/tcp\/[0-9]+\/p2p\/12D3/)
      expect(status).toMatchObject({ running: true, addrs, locked: false, pending: 0, held: null })
      expect(status.head).toMatch(/^[0-9a-f]{100,}$/)
      expect(statSync(place.path('home', 'control.sock')).mode & 0o777).toBe(0o600)
      expect(statSync(place.path('home', 'owner.sock')).mode & 0o777).toBe(0o600)

      // No passphrase: the daemon has the vault open.
      expect(place.done('home', 'key create release/app').stdout).toContain('release/app  ed25519')
      writeFileSync(place.path('in'), 'release 2.4.0')
      const signed = loading(place, 'sign release/app --in in')
      expect(signed.stdout).toContain('BEGIN SSH SIGNATURE')
      // The vault is elsewhere: a command that loads it as well takes twice the time.
      for (const loaded of [ofStatus, signed.loaded, loading(place, 'approval list').loaded]) {
        expect(loaded).toContain('guard/src/keeper/owner-client.ts')
        expect(loaded.filter((name) => HEAVY.test(name))).toEqual([])
      }
      expect(ofStatus.filter((name) => /^vault/.test(name))).toEqual(['vault/src/errors.ts'])
      for (const line of ['version', '--help']) {
        const { loaded } = loading(place, line)
        expect(loaded).toContain('cli/src/main.ts')
        expect(loaded.filter((name) => HEAVY.test(name) || NOT_IN_HELP.test(name))).toEqual([])
      }
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
      // A pipe, as <(…) names one, is the command's to read: the daemon could not, and would wait for ever.
      const pipe = place.path('pipe')
      spawnSync('mkfifo', [pipe])
      spawn('sh', ['-c', 'cat "$0" > "$1"', place.path('pass'), pipe])
      place.done('home', `unlock --passphrase-file ${pipe}`)
      expect(place.done('home', 'key list').stdout).toContain('release/app')

      const sinceMs = performance.now()
      running.process.kill('SIGTERM')
      expect(await running.ended).toMatchObject({ exit: 0, stderr: '' })
      expect(performance.now() - sinceMs).toBeLessThan(5000)
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

/** What a vault, a guard, a network and a server are made of, and the client of HTTP that nobody here uses. */
const HEAVY =
  /^(vault|guard)\/src\/index|^(p2p|remote)\/|\/socket\.ts$|sodium-native|secp256k1|hono|sqlite|undici/
const NOT_IN_HELP = /^guard\/src\/keeper/

/** A module that is loaded first and tells at the end what else was: files of the packages, and what is Node's own. */
const WATCHING = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module'
  import { writeFileSync } from 'node:fs'
  const loaded = []
  registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
  process.on('exit', () => {
    writeFileSync(process.env.LOADED_TO, [...loaded, ...process.moduleLoadList].join('\\n'))
  })
`)}`

/** Runs a command to its end, which has to be a good one, and sees what it loads. */
function loading(place: Place, line: string): Ended & { readonly loaded: readonly string[] } {
  const file = place.path('loaded')
  const { status, stdout, stderr } = spawnSync(process.execPath, place.args('home', line), {
    cwd: place.folder,
    env: {
      ...SOURCE_ENV,
      NODE_OPTIONS: `${SOURCE_ENV['NODE_OPTIONS']} --import ${WATCHING}`,
      LOADED_TO: file,
    },
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${line}: exit ${status}: ${stderr}`)
  const urls = readFileSync(file, 'utf8').split('\n')
  return {
    ...{ exit: status, stdout, stderr },
    json: line.endsWith('--json') ? JSON.parse(stdout) : undefined,
    loaded: urls.map((url) => url.replace(/^file:.*\/packages\//, '')),
  }
}

/** Lets a process write a core file into its directory, where this machine does that; else nothing. */
function withCore(): string {
  if (process.platform !== 'linux') return ''
  const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'latin1')
  const isUnlimited = /^Max core file size +\S+ +unlimited/m.test(
    readFileSync('/proc/self/limits', 'latin1'),
  )
  return /^core/.test(pattern) && isUnlimited ? 'ulimit -c unlimited; ' : ''
}
