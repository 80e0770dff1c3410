/** Backups at the owner door: written, read, restored and drilled, of a vault that goes on changing. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { createVault, MemoryStore, openBackup, sealTo } from '@stronghold/vault'
import { afterAll, describe, expect, it } from 'vitest'

import { putNote } from '../src/backups/notes.ts'
import type { BackupDrilled, BackupTurn, OwnerDoor } from '../src/doors.ts'
import { openGuard } from '../src/guard.ts'
import { BACKUP_COMPARE_TURN, MAX_BACKUP_NOTES, MAX_BACKUP_RECIPIENTS } from '../src/limits.ts'
import { guarded, HOME, PASSPHRASE, step } from './guard-of.ts'
import { kept, KeeperThreads } from './keeper/keeper-of.ts'

/** Of the private key 0x21, 32 times. */
const RECIPIENT = 'age10562fq2l56ucy567vzhnhkd5j4tgzcyq79jpl7qa9d7g46px3fzqc6tknl'
const IDENTITY = 'AGE-SECRET-KEY-1YYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSSZQ6SGM'
/** Of somebody else. */
const OTHER = 'AGE-SECRET-KEY-1AQUUZTJF7K9JKGJPVNQHZYXYWKWVZ08U93RQAL3P5DGF9ZY5Y4JQ2643LZ'

const folder = mkdtempSync(join(tmpdir(), 'stronghold-backups-'))
const threads = new KeeperThreads()
const keys = join(folder, 'keys.txt')
writeFileSync(keys, `# created\n${IDENTITY}\n`)
const opener = { by: 'identity-file', path: keys } as const
const reader = { by: 'recipients', recipients: [RECIPIENT] } as const

afterAll(async () => {
  await threads.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** What a stream came to. */
async function done<T>(turns: AsyncIterable<BackupTurn<T>>): Promise<T> {
  for await (const turn of turns) if (turn.state === 'done') return turn.result
  throw new Error('it ended without a result')
}

const { signal } = new AbortController()

function generate(owner: OwnerDoor, path: string): Promise<unknown> {
  return owner.run([step('generate', { to: path, type: 'ed25519' })])
}

async function backedUp(owner: OwnerDoor, name: string): Promise<string> {
  const to = join(folder, name)
  await done(owner.backupCreate({ to, for: reader }, { signal }))
  return to
}

describe('a backup', () => {
  it('is written, read and remembered', async () => {
    await using home = await guarded()
    const { owner } = home.guard
    const to = join(folder, 'first.age')
    const made = await done(owner.backupCreate({ to, for: reader }, { signal }))
    expect(made).toMatchObject({ isOurs: true, records: 1, versions: 1 })
    expect(await done(owner.backupVerify({ from: to, opener }, { signal }))).toEqual(made)
    expect(await owner.backupNotes()).toMatchObject([{ file: to, records: 1 }])
    expect(await owner.status()).toMatchObject({ lastBackupAtMs: made.createdAtMs })
    expect((await owner.status()).lastProvenRestoreAtMs).toBeUndefined()
    expect((await owner.auditEntries()).at(-1)).toMatchObject({
      event: 'backup',
      facts: { change: 'made', file: to },
    })
    expect((await owner.verifyAudit()).faults).toEqual([])
  })

  it('opens by a passphrase that came sealed', async () => {
    await using home = await guarded()
    const { owner } = home.guard
    const to = join(folder, 'passphrase.age')
    const sealed = async () => ({
      by: 'passphrase' as const,
      passphrase: { sealed: sealTo(await owner.boxKey(), PASSPHRASE) },
    })
    await done(owner.backupCreate({ to, for: await sealed() }, { signal }))
    const said = await done(owner.backupVerify({ from: to, opener: await sealed() }, { signal }))
    expect(said.records).toBe(1)
    // What a passphrase costs is what guessing it costs.
  }, 60_000)

  it('is refused where it is cut, changed or for somebody else', async () => {
    await using home = await guarded()
    const { owner } = home.guard
    const whole = readFileSync(await backedUp(owner, 'whole.age'))
    const from = join(folder, 'broken.age')
    const verify = () => done(owner.backupVerify({ from, opener }, { signal }))
    writeFileSync(from, whole.subarray(0, -20))
    await expect(verify()).rejects.toMatchObject({ code: 'data_loss', reason: 'damaged' })
    const flipped = Uint8Array.from(whole)
    flipped[whole.byteLength - 40] = (flipped[whole.byteLength - 40] ?? 0) ^ 1
    writeFileSync(from, flipped)
    await expect(verify()).rejects.toMatchObject({ code: 'data_loss', reason: 'damaged' })
    const path = join(folder, 'none.txt')
    writeFileSync(path, OTHER)
    writeFileSync(from, whole)
    await expect(
      done(owner.backupDrill({ from, opener: { by: 'identity-file', path } }, { signal })),
    ).rejects.toThrow(/^Cannot /)
    await expect(
      done(owner.backupVerify({ from: 'broken.age', opener }, { signal })),
    ).rejects.toMatchObject({ code: 'invalid_argument' })
    await expect(
      done(owner.backupVerify({ from: join(folder, 'nowhere'), opener }, { signal })),
    ).rejects.toMatchObject({ code: 'not_found' })
    await expect(
      done(owner.backupCreate({ to: from, for: reader }, { signal })),
    ).rejects.toMatchObject({ reason: 'conflict' })
    const bad = { by: 'recipients', recipients: ['age1nobody'] } as const
    await expect(
      done(owner.backupCreate({ to: join(folder, 'x'), for: bad }, { signal })),
    ).rejects.toMatchObject({ code: 'invalid_argument' })
    expect(await owner.backupNotes()).toHaveLength(1)
  })

  it('brings back what was taken away, once it is asked for, and is audited with it', async () => {
    await using home = await guarded()
    const { owner } = home.guard
    await generate(owner, 'old/one')
    await generate(owner, 'other/three')
    const from = await backedUp(owner, 'restore.age')
    for (const record of ['old/one', 'other/three']) await owner.run([step('revoke', { record })])
    await generate(owner, 'new/two')
    const compared = await done(owner.backupCompare({ from, opener }, { signal }))
    expect(compared).toMatchObject({ differ: 2, same: 1, onlyHere: 1 })
    expect(compared.records).toMatchObject([
      { path: 'old/one', state: 'gone' },
      { path: 'other/three', state: 'gone' },
    ])
    const kept = await done(owner.backupRestore({ from, opener }, { signal }))
    expect(kept).toMatchObject({ added: 0, revived: 0 })
    const paths = 'old/**'
    const back = { from, opener, policy: 'replace', paths } as const
    expect(await done(owner.backupRestore(back, { signal }))).toMatchObject({ revived: 1 })
    expect((await owner.records()).map(({ path }) => path)).toEqual([
      'new/two',
      'old/one',
      'release/app',
    ])
    expect((await owner.auditEntries()).at(-1)).toMatchObject({
      event: 'backup',
      facts: { change: 'restored', detail: expect.stringContaining('1 revived') as string },
    })
  })

  it('is proven by a drill, which says what of the vault it covers by now', async () => {
    await using home = await guarded()
    const { owner } = home.guard
    await generate(owner, 'old/one')
    const from = await backedUp(owner, 'drill.age')
    await generate(owner, 'new/two')
    await owner.run([step('rotate', { key: 'release/app' })])
    home.clock.advance(60_000)
    const drilled = await done(owner.backupDrill({ from, opener }, { signal }))
    expect(drilled).toMatchObject({
      restored: 2,
      live: 3,
      covered: 1,
      missing: ['new/two'],
      changed: ['release/app'],
      gone: 0,
      ageMs: 60_000,
    })
    const status = await owner.status()
    expect(status.lastProvenRestoreAtMs).toBe(home.clock.nowMs())
    expect(await owner.backupNotes()).toMatchObject([
      { file: from, proven: { covered: 1, live: 3 } },
    ])
    expect(await owner.records()).toHaveLength(3)
  })

  it('is compared a few records at a time in a drill, and others go on between', async () => {
    await using home = await guarded()
    const { owner } = home.guard
    const records = 6 * BACKUP_COMPARE_TURN
    for (let at = 1; at < records; at += 15) {
      const paths = Array.from({ length: Math.min(15, records - at) }, (_, i) => `many/${at + i}`)
      await owner.run(paths.map((to) => step('generate', { to, type: 'hmac-sha2' })))
    }
    const from = await backedUp(owner, 'many.age')
    await generate(owner, 'new/one')
    let turns = 0
    let isOver = false
    const others = (async () => {
      for (; !isOver; turns++) await new Promise((resolve) => setImmediate(resolve))
    })()
    let drilled: BackupDrilled | undefined
    for await (const turn of owner.backupDrill({ from, opener }, { signal })) {
      if (turn.state === 'done') drilled = turn.result
      else turns = 0
    }
    isOver = true
    await others
    expect(drilled).toMatchObject({ restored: records, covered: records, missing: ['new/one'] })
    // Since it was read: each part once in the scratch vault, once in this.
    expect(turns).toBeGreaterThan(2 * (6 - 1))
  })

  it('of another vault is drilled and proves nothing about this one', async () => {
    await using one = await guarded()
    await using two = await guarded()
    const from = await backedUp(one.guard.owner, 'other.age')
    const drilled = await done(two.guard.owner.backupDrill({ from, opener }, { signal }))
    expect(drilled).toMatchObject({ backup: { isOurs: false }, restored: 1, covered: 0 })
    expect(await two.guard.owner.backupNotes()).toEqual([])
  })

  it('makes a vault anew, whose audit says so', async () => {
    await using home = await guarded()
    const from = await backedUp(home.guard.owner, 'anew.age')
    using opened = await openBackup({
      from,
      identity: { identities: new TextEncoder().encode(IDENTITY) },
    })
    const vault = await createVault({
      at: new MemoryStore(),
      credential: { keyFile: new Uint8Array(32).fill(7) },
      from: opened,
    })
    await using guard = openGuard({ vault, peer: HOME })
    const entries = await guard.owner.auditEntries()
    expect(entries.at(-1)).toMatchObject({ event: 'restored', facts: { by: 'backup', epoch: 1 } })
    expect((await guard.owner.verifyAudit()).faults).toEqual([])
  })

  it('is remembered as one of the last 64', async () => {
    await using home = await guarded()
    const note = { epoch: 0, generation: 1, records: 1 }
    home.vault.transaction((tx) => {
      for (let i = 0; i <= MAX_BACKUP_NOTES; i++) {
        putNote(tx, { ...note, file: `/b/${i}`, createdAtMs: i })
      }
    })
    const files = (await home.guard.owner.backupNotes()).map(({ file }) => file)
    expect(files).toHaveLength(MAX_BACKUP_NOTES)
    expect([files[0], files.at(-1)]).toEqual([`/b/${MAX_BACKUP_NOTES}`, '/b/1'])
  })

  it('goes through a thread and a socket, and not for an approver', async () => {
    await using keeper = await kept({}, threads)
    const [port, socket] = [keeper.guard.owner, keeper.owner('admin')]
    const from = await backedUp(socket, 'socket.age')
    for (const door of [port, socket]) {
      expect(await done(door.backupDrill({ from, opener }, { signal }))).toMatchObject({
        covered: 1,
        live: 1,
      })
    }
    await expect(
      done(socket.backupVerify({ from: join(folder, 'nowhere'), opener }, { signal })),
    ).rejects.toMatchObject({ code: 'not_found' })
    const many = (count: number): Promise<unknown> => {
      const recipients = Array.from({ length: count }, () => RECIPIENT)
      const init = { to: join(folder, `for-${count}.age`), for: { ...reader, recipients } }
      return done(socket.backupCreate(init, { signal }))
    }
    await many(MAX_BACKUP_RECIPIENTS)
    await expect(many(MAX_BACKUP_RECIPIENTS + 1)).rejects.toMatchObject({
      code: 'invalid_argument',
    })
    await expect(keeper.owner('approver').backupNotes()).rejects.toMatchObject({
      code: 'permission_denied',
    })
  })
})
