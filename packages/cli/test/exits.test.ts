/** Exit codes: each that can be reached without another machine is reached by a command, on stderr and as JSON. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'

import { isStatusCode, STATUS_CODES } from '@stronghold/core'
import { openVault, VaultError } from '@stronghold/vault'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { EXIT_OF_REASON, EXIT_OF_STATUS, exitOf, EXITS } from '../src/exits.ts'
import { failureOf } from '../src/failure.ts'
import { Machine } from './machine.ts'

/** A peer that is nowhere. */
const FAR = '12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J'

let machine: Machine
beforeAll(async () => {
  machine = await new Machine().init()
  await machine.done('key create release/app')
  await machine.done('key create box/key --type xchacha20-poly1305 --usage encrypt')
  await machine.done('encrypt box/key --out sealed', { stdin: 'x' })
  await machine.done('sign release/app --out sig', { stdin: 'one' })
  await machine.done(`peer add far /ip4/127.0.0.1/tcp/1/p2p/${FAR}`)
  writeFileSync(machine.path('large'), new Uint8Array(70_000))
})
afterAll(() => {
  machine[Symbol.dispose]()
})

/** Exit code, word and the command that reaches it. */
const REACHED: readonly (readonly [number, string, string])[] = [
  [0, 'done', 'version'],
  [2, 'usage', 'sing release/app'],
  [2, 'usage', 'key create'],
  [2, 'usage', 'key create UPPER'],
  [3, 'denied', 'decrypt box/key --in sealed'],
  [7, 'locked', 'key list --passphrase-file home.key'],
  [8, 'unreachable', 'pub far:release/app'],
  [9, 'not_found', 'pub home:release/app'],
  [9, 'not_found', 'key show nothing/here'],
  [9, 'not_found', 'sign release/app --in nothing'],
  [9, 'not_found', 'key list --home elsewhere'],
  [10, 'conflict', 'key create release/app'],
  [10, 'conflict', 'init'],
  [11, 'verification_failed', 'verify release/app --sig sig'],
  [12, 'limit', 'sign release/app --format raw --in large'],
  [12, 'limit', 'encrypt release/app --in large'],
]

describe('exit codes', () => {
  for (const [exit, code, line] of REACHED) {
    test(`${exit} ${code}: stronghold ${line}`, async () => {
      const shown = await machine.run(line)
      expect(shown.exit).toBe(exit)
      if (exit === 0) return
      expect(shown.stdout).toBe('')
      expect(shown.stderr).toMatch(/^stronghold: error: [^\n]+\nstronghold: hint: [^\n]+\n$/)
      const { json, stderr } = await machine.run(`${line} --json`)
      expect(stderr).toBe('')
      expect(json).toMatchObject({ v: 1, error: { code, exit } })
      expect(json.error.hint).toEqual(expect.any(String))
    })
  }

  test('1 internal: doctor, where something is bad', async () => {
    using broken = await new Machine().init()
    chmodSync(broken.path('home', 'identity'), 0o644)
    const { exit, stdout } = await broken.run('doctor')
    expect(exit).toBe(1)
    expect(stdout).toMatch(/bad +identity +open to others \(mode 644\)\n +hint: chmod 600/)
  })

  test('10 conflict: a vault that is held is waited for, then its holder is named', async () => {
    let slept = 0
    using held = new Machine(
      {},
      { nowMs: () => Date.now() + slept * 1000, setTimer: () => () => {} },
    )
    await held.init()
    await using vault = await openVault({
      at: held.path('home', 'vault'),
      command: 'stronghold up',
    })
    held.sleep = async () => {
      slept += 1
    }
    const { exit, stderr } = await held.run('key list')
    expect(exit).toBe(10)
    expect(stderr).toMatch(/cannot open the vault: process \d+ holds it, "stronghold up" since/)
    expect(slept).toBeGreaterThan(3)
    slept = 0
    held.sleep = () => vault.close()
    expect((await held.run('key list')).exit).toBe(0)
  })

  test('11 verification failed: a vault whose file was changed', async () => {
    using broken = await new Machine().init()
    await broken.done('key create a/b')
    const path = broken.path('home', 'vault', 'vault.db')
    const bytes = readFileSync(path)
    for (let at = 4096; at < bytes.length; at += 64) bytes[at] = (bytes[at] ?? 0) ^ 0x55
    writeFileSync(path, bytes)
    expect((await broken.run('key list')).exit).toBe(11)
  })

  test('13 audit unavailable is reached where the audit is full (see peers-and-rules)', () => {
    expect(
      failureOf(new VaultError('resource_exhausted', 'Cannot', { reason: 'disk_full' })).exit,
    ).toBe('audit_unavailable')
  })
})

describe('the table', () => {
  test('has every code once, in order', () => {
    expect(EXITS.map(({ exit }) => exit)).toEqual([...Array(14).keys()])
    expect(new Set(EXITS.map(({ name }) => name)).size).toBe(14)
  })

  test('every wire code and reason ends in one, a reason before its code', () => {
    for (const code of STATUS_CODES) {
      expect(isStatusCode(code)).toBe(true)
      const failure = failureOf(Object.assign(new Error('Cannot go: on'), { code }))
      expect(failure.exit).toBe(EXIT_OF_STATUS[code])
      expect(exitOf(failure.exit)).toBeGreaterThan(0)
      for (const [reason, name] of Object.entries(EXIT_OF_REASON)) {
        const found = failureOf(Object.assign(new Error('Cannot go: on'), { code, reason }))
        expect(found.exit).toBe(name)
      }
    }
    const odd = Object.assign(new Error('x'), { code: 'not_found', reason: 'toString' })
    expect(failureOf(odd).exit).toBe('not_found')
  })
})
