/** `backup` as it is typed: written, read, proven, put back, and a home that was lost made again. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

import { openGuard } from '@stronghold/guard'
import { manualClock } from '@stronghold/testkit'
import { openVault } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { readConfig } from '../../src/config.ts'
import { backUpIfDue, scheduledFiles } from '../../src/daemon/backups.ts'
import { Machine } from '../machine.ts'

/** Of the private key 0x21, 32 times. */
const RECIPIENT = 'age10562fq2l56ucy567vzhnhkd5j4tgzcyq79jpl7qa9d7g46px3fzqc6tknl'
const IDENTITY = 'AGE-SECRET-KEY-1YYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSSZQ6SGM\n'
const OTHER = 'AGE-SECRET-KEY-1AQUUZTJF7K9JKGJPVNQHZYXYWKWVZ08U93RQAL3P5DGF9ZY5Y4JQ2643LZ\n'

const hasAge = (() => {
  try {
    execFileSync('age', ['--version'])
    return true
  } catch {
    return false
  }
})()

/** A machine with a key at `release/app` and the files that open backups. */
async function machine(...init: ConstructorParameters<typeof Machine>): Promise<Machine> {
  const one = await new Machine(...init).init()
  one.write('key.txt', IDENTITY)
  one.write('other.txt', OTHER)
  await one.done('key create release/app')
  return one
}

describe('backup', () => {
  it('is created, verified, drilled and listed', async () => {
    using one = await machine()
    const backups = async (): Promise<string> =>
      /^.* backup .*$/m.exec((await one.done('doctor')).stdout)?.[0] ?? ''
    expect(await backups()).toContain('none was ever written')
    const { json } = await one.done(`backup create --to a.age --recipient ${RECIPIENT} --json`)
    expect(json).toMatchObject({ file: one.path('a.age'), ours: true, records: 1 })
    const twice = await one.run(`backup create --to a.age --recipient ${RECIPIENT}`)
    expect(twice).toMatchObject({ exit: 10 })
    await one.done('backup verify a.age --identity key.txt --json')
    expect(await backups()).toContain('never proven')
    await one.done('key create release/more')
    const before = (await one.done('backup list --json')).json.backups
    expect(before).toMatchObject([{ there: true, records: 1, proven: null }])
    const drilled = await one.done('backup drill a.age --identity key.txt --json')
    expect(drilled.json).toMatchObject({
      restored: 1,
      live: 2,
      covered: 1,
      missing: ['release/more'],
    })
    const after = (await one.done('backup list --json')).json.backups
    expect(after[0].proven).toMatch(/^20/)
    expect(await backups()).toMatch(/^ok .*a restore was proven 20/)
    expect((await one.done('backup drill a.age --identity key.txt')).stdout).toContain('1 of 2')
  })

  it('says what is wrong with a file, and ends with the exit code of it', async () => {
    using one = await machine()
    await one.done(`backup create --to a.age --recipient ${RECIPIENT}`)
    const wrong = await one.run('backup verify a.age --identity other.txt')
    expect(wrong.exit).toBe(7)
    expect(wrong.stderr).toContain('--identity')
    const whole = readFileSync(one.path('a.age'))
    writeFileSync(one.path('cut.age'), whole.subarray(0, -30))
    expect((await one.run('backup verify cut.age --identity key.txt')).exit).toBe(11)
    expect((await one.run('backup drill cut.age --identity key.txt')).exit).toBe(11)
    expect((await one.run('backup restore cut.age --yes --identity key.txt')).exit).toBe(11)
    expect((await one.run('backup verify nowhere.age --identity key.txt')).exit).toBe(9)
    expect((await one.run('backup create')).exit).toBe(2)
    expect((await one.run('backup create --to b.age --recipient age1nobody')).exit).toBe(2)
    const unasked = await one.run('backup verify a.age')
    expect(unasked.exit).toBe(7)
    expect(unasked.stderr).toContain('hint: name a --backup-passphrase-file')
    const both = 'backup verify a.age --identity key.txt --backup-passphrase-file key.txt'
    expect((await one.run(both)).exit).toBe(2)
  })

  it('is put back only once that is confirmed, and shows first what differs', async () => {
    using one = await machine()
    await one.done(`backup create --to a.age --recipient ${RECIPIENT}`)
    const same = await one.done('backup restore a.age --identity key.txt')
    expect(same.stdout).toContain('nothing to do')
    await one.done('key revoke release/app')
    const line = 'backup restore a.age --identity key.txt --replace'
    const shown = await one.run(line)
    expect(shown.exit).toBe(2)
    expect(shown.stderr).toMatch(/gone +release\/app/)
    expect((await one.done(`${line} --dry-run`)).stdout).toMatch(/gone +release\/app/)
    expect((await one.run('key show release/app')).exit).toBe(9)
    expect((await one.done(`${line} --yes --json`)).json).toMatchObject({ revived: 1 })
    await one.done('key show release/app')
  })

  it('makes a lost home again, which signs with the same key', async () => {
    using one = await machine()
    const key = (await one.done('pub release/app')).stdout
    await one.done(`backup create --to a.age --recipient ${RECIPIENT} --armor`)
    rmSync(one.path('home'), { recursive: true })
    rmSync(one.path('home.key'))
    const line = 'backup restore a.age --identity key.txt --key-file home.key'
    expect((await one.run(`${line} --path release/**`)).exit).toBe(2)
    expect((await one.done(`${line} --dry-run`)).stdout).toContain('1 record,')
    expect((await one.done(`${line} --json`)).json).toMatchObject({ added: 1, isNew: true })
    await one.done('config set key_file ../home.key')
    expect((await one.done('pub release/app')).stdout).toBe(key)
    one.write('file', 'text')
    await one.done('sign release/app --in file --out file.sig')
    await one.done('verify release/app --in file --sig file.sig')
    await one.done('audit verify')
    expect((await one.done('audit query --event restored --json')).json.entries).toHaveLength(1)
  })

  it.skipIf(!hasAge)('opens with age', async () => {
    using one = await machine()
    await one.done(`backup create --to a.age --recipient ${RECIPIENT}`)
    const text = execFileSync('age', ['-d', '-i', one.path('key.txt'), one.path('a.age')], {
      encoding: 'utf8',
    })
    expect(text).toContain('release/app')
  })

  it('takes a passphrase that is typed twice', async () => {
    using one = await machine()
    const differ = await one.run('backup create --to a.age', { typed: 'one\nother\n' })
    expect(differ.exit).toBe(2)
    await one.done('backup create --to b.age', { typed: 'correct\ncorrect\n' })
    await one.done('backup verify b.age', { typed: 'correct\n' })
    one.write('pass.txt', 'wrong\n')
    const wrong = await one.run('backup verify b.age --backup-passphrase-file pass.txt')
    expect(wrong.exit).toBe(7)
  }, 120_000)
})

describe('scheduled backups', () => {
  it('are written when they are due; the oldest that were made so go, and nothing else', async () => {
    const clock = manualClock(Date.parse('2027-01-31T12:00:00Z'))
    using one = await machine({}, clock)
    await one.done('config set backup.directory ../kept')
    await one.done('config set backup.every 1h')
    await one.done('config set backup.keep 2')
    await one.done(`config set backup.recipients ${RECIPIENT}`)
    execFileSync('mkdir', [one.path('kept')])
    const config = readConfig({ path: one.path('home', 'config.toml'), env: {}, cwd: one.cwd })
    const vault = await openVault({ at: one.path('home', 'vault') }, { clock })
    const guard = openGuard({ vault, peer: 'nobody' }, { clock })
    const { owner } = guard
    await owner.unlock({ by: 'key-file', path: one.path('home.key') })
    const { signal } = new AbortController()
    const look = (): Promise<boolean> =>
      backUpIfDue({ owner, config, clock, signal, note: () => {} })
    expect(await look()).toBe(true)
    expect(await look()).toBe(false)
    const [first = ''] = readdirSync(one.path('kept'))
    const foreign = first.replace('2027-01-31', '2026-01-01')
    copyFileSync(one.path('kept', first), one.path('kept', foreign))
    for (let i = 0; i < 3; i++) {
      clock.advance(3_600_000)
      expect(await look()).toBe(true)
    }
    await guard.close()
    const names = readdirSync(one.path('kept'))
    expect(names).toHaveLength(3)
    expect(names).toContain(foreign)
    expect(names).not.toContain(first)
    expect(scheduledFiles(one.path('nowhere'), new Uint8Array(16))).toEqual([])
    // Those that it took away again are not listed.
    expect((await one.done('backup list --json')).json.backups).toHaveLength(3)
  })
})
