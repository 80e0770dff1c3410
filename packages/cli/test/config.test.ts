/** Settings: which goes before which, what is refused, and that writing one keeps everything else. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { changed, readConfig } from '../src/config.ts'
import { Failure } from '../src/failure.ts'
import { Machine } from './machine.ts'

function configured(toml: string): Machine {
  const machine = new Machine()
  mkdirSync(machine.path('home'), { mode: 0o700 })
  writeFileSync(machine.path('home', 'config.toml'), toml)
  return machine
}

describe('config', () => {
  test('a flag goes before the environment, that before the file, that before the default', async () => {
    using machine = configured('key_file = "k"\n[audit]\nmax_bytes = 100000000\n')
    const { json } = await machine.done('config show --json --origin', {
      env: { STRONGHOLD_AUDIT_MAX_BYTES: '200000000', STRONGHOLD_PASSPHRASE_FILE: '/p' },
    })
    expect((json.settings as unknown[]).slice(0, 4)).toEqual([
      { key: 'passphrase_file', value: '/p', origin: 'environment' },
      { key: 'key_file', value: machine.path('home', 'k'), origin: 'file' },
      { key: 'memory.require_locked', value: false, origin: 'default' },
      { key: 'audit.max_bytes', value: 200_000_000, origin: 'environment' },
    ])
    const config = readConfig({
      path: machine.path('home', 'config.toml'),
      env: { STRONGHOLD_KEY_FILE: '/env' },
      flags: { 'key-file': 'flag' },
      cwd: machine.cwd,
    })
    expect(config.find('key_file')).toEqual({
      key: 'key_file',
      value: machine.path('flag'),
      origin: 'flag',
    })
  })

  test('an unknown key suggests the nearest, whoever names it', async () => {
    using machine = configured('[audit]\nmax_byte = 1\n')
    const { exit, stderr } = await machine.run('config show')
    expect(exit).toBe(2)
    expect(stderr).toContain('there is no setting "audit.max_byte"')
    expect(stderr).toContain('hint: write audit.max_bytes')
    using good = configured('')
    expect((await good.run('config get audit.max_byte')).exit).toBe(2)
    expect((await good.run('config set audit.max_byte 1')).exit).toBe(2)
  })

  test('a file that is not TOML is told by line and column', async () => {
    using machine = configured('key_file = "k"\nmemory = = 1\n')
    const { exit, stderr } = await machine.run('config path')
    expect(exit).toBe(2)
    expect(stderr).toMatch(/line 2, column \d+: no TOML/)
  })

  test('set keeps comments and order, and refuses what does not fit', async () => {
    using machine = configured('# mine\nkey_file = "k" # the key\n\n[audit]\n# large\n')
    await machine.done('config set audit.max_bytes 100000000')
    await machine.done('config set key_file /other')
    await machine.done('config set memory.require_locked true')
    expect(readFileSync(machine.path('home', 'config.toml'), 'utf8')).toBe(
      '# mine\nkey_file = "/other" # the key\n\n[audit]\n# large\nmax_bytes = 100000000\n\n[memory]\nrequire_locked = true\n',
    )
    expect((await machine.done('config get audit.max_bytes')).stdout).toBe('100000000\n')
    for (const value of ['many', '1', '-1', '67108863']) {
      const { exit } = await machine.run(['config', 'set', 'audit.max_bytes', '--', value])
      expect(exit).toBe(2)
    }
  })

  test('changed() makes a file that reads back as it was set', () => {
    const settings = fc.constantFrom(
      ['audit.max_bytes', '67108864'],
      ['audit.max_bytes', '99999999'],
      ['memory.require_locked', 'true'],
      ['key_file', '/a"b\\c#d'],
      ['passphrase_file', '/pass'],
    )
    fc.assert(
      fc.property(fc.array(settings, { minLength: 1, maxLength: 8 }), (all) => {
        using machine = new Machine()
        const path = machine.path('c.toml')
        let text = '# a comment\n'
        for (const [key = '', value = ''] of all) text = changed(text, key, value)
        writeFileSync(path, text)
        const config = readConfig({ path, env: {}, cwd: '/' })
        for (const [key, value] of new Map(all as [string, string][])) {
          expect(String(config.find(key).value)).toBe(value)
        }
        expect(text.startsWith('# a comment\n')).toBe(true)
      }),
      { numRuns: 30 },
    )
  })

  test('--home goes before STRONGHOLD_HOME, that before XDG', async () => {
    using machine = new Machine()
    expect((await machine.done('config path --home other')).stdout).toBe(
      `${machine.path('other', 'config.toml')}\n`,
    )
    expect((await machine.done('config path')).stdout).toBe(
      `${machine.path('home', 'config.toml')}\n`,
    )
    const xdg = await machine.done('config path', {
      env: { STRONGHOLD_HOME: '', XDG_CONFIG_HOME: '/xdg' },
    })
    expect(xdg.stdout).toBe('/xdg/stronghold/config.toml\n')
    const usual = await machine.done('config path', {
      env: { STRONGHOLD_HOME: '', XDG_CONFIG_HOME: 'relative counts as none' },
    })
    expect(usual.stdout).toBe(`${machine.path('.config', 'stronghold', 'config.toml')}\n`)
  })

  test('misuse is a Failure', () => {
    expect(() => changed('', 'nothing', '1')).toThrow(Failure)
  })
})
