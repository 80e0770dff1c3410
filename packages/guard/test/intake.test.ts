/** What waits while the vault is locked, as it lies: kept by every stop, believed by nobody, and open to the vault alone. */
import { decode, encode, encodeUtf8 } from '@stronghold/core'
import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { MemoryStore, openVault, sealTo, VaultError } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { allApprovals } from '../src/all-approvals.ts'
import type { Guard } from '../src/doors.ts'
import { openGuard } from '../src/guard.ts'
import { READABLE_KINDS } from '../src/kinds.ts'
import { BOX, CI, guarded, HOME, PASSPHRASE, SIGN, signing, STRANGER, told } from './guard-of.ts'

type Row = Readonly<Record<string, unknown>>

/** A store whose file somebody else can write to, and whose disk a test breaks. */
class OpenStore extends MemoryStore {
  failing: VaultError | undefined

  override commitPlain(...change: Parameters<MemoryStore['commitPlain']>): void {
    if (this.failing !== undefined) throw this.failing
    super.commitPlain(...change)
  }

  notes(): { id: Uint8Array; row: Row }[] {
    return [...this.plain(READABLE_KINDS.intake)].map(({ id, value }) => ({
      id,
      row: decode(value) as Row,
    }))
  }

  setNote(id: Uint8Array, row: Row | Uint8Array): void {
    const value = row instanceof Uint8Array ? row : encode(row)
    this.commitPlain([{ kind: READABLE_KINDS.intake, id, value }], [])
  }
}

interface Reopened extends AsyncDisposable {
  readonly guard: Guard
  readonly store: OpenStore
  readonly clock: ManualClock
}

/** The same vault in the next life of its process, locked. */
async function reopened(store: OpenStore, nowMs: number): Promise<Reopened> {
  const clock = manualClock(nowMs)
  const vault = await openVault({ at: store }, { clock })
  const guard = openGuard({ vault, peer: HOME }, { clock })
  return { guard, store, clock, [Symbol.asyncDispose]: () => guard.close() }
}

/** A guard that asks about what `ci` signs, with its vault locked. */
async function locked(): Promise<Reopened> {
  const store = new OpenStore()
  const { guard, clock } = await guarded({ store })
  await guard.owner.addRule({ ...SIGN, effect: 'ask' })
  await guard.owner.lock()
  return { guard, store, clock, [Symbol.asyncDispose]: () => guard.close() }
}

async function unlock({ owner }: Guard): Promise<void> {
  const sealed = sealTo(await owner.boxKey(), PASSPHRASE)
  await owner.unlock({ by: 'passphrase', passphrase: { sealed } })
}

async function again(before: Reopened): Promise<Reopened> {
  await before.guard.close()
  return reopened(before.store, before.clock.nowMs())
}

describe('a note', () => {
  it('is still there in the next life of a process that never unlocked, and decided in the one that does', async () => {
    const first = await locked()
    const request = signing('x')
    expect(told(await first.guard.network.submit(CI, request))).toBe('pending')
    const second = await again(first)
    expect((await second.guard.owner.status()).intake).toBe(1)
    expect(await second.guard.network.standing(CI)).toBe('known')
    second.clock.advance(1000)
    expect(await second.guard.network.submit(CI, request)).toMatchObject({ remainingMs: 59_000 })
    await using third = await again(second)
    await unlock(third.guard)
    const [approval] = await allApprovals(third.guard.owner)
    expect(approval?.peer).toBe(CI.peer)
    expect(third.store.notes()).toEqual([])
    await third.guard.owner.decide([approval?.boundHash ?? new Uint8Array()], 'once')
    expect(told(await third.guard.network.submit(CI, request))).toBe('done')
  })

  it('decided but not claimed outlives a stop, with who agreed', async () => {
    await using first = await locked()
    const request = signing('x')
    await first.guard.network.submit(CI, request)
    await unlock(first.guard)
    const [approval] = await allApprovals(first.guard.owner)
    await first.guard.owner.decide([approval?.boundHash ?? new Uint8Array()], 'once')
    await using second = await again(first)
    await unlock(second.guard)
    expect(told(await second.guard.network.submit(CI, request))).toBe('done')
  })

  it('is not there where its write failed, and nobody is told that it is', async () => {
    await using all = await locked()
    const { network, owner } = all.guard
    for (const [reason, words] of [
      ['disk_full', 'resource_exhausted audit_unavailable'],
      ['disk_failed', 'unavailable audit_unavailable'],
    ] as const) {
      all.store.failing = new VaultError('unavailable', 'no', { reason })
      expect(told(await network.submit(CI, signing('x')))).toBe(words)
      all.store.failing = undefined
      expect((await owner.status()).intake).toBe(0)
    }
    const request = signing('x')
    expect(told(await network.submit(CI, request))).toBe('pending')
    all.store.failing = new VaultError('unavailable', 'no', { reason: 'disk_full' })
    expect(told(await network.cancel(CI, request.id))).toContain('audit_unavailable')
    expect(told(await network.submit(CI, request))).toBe('pending')
  })

  it('shows who asked when, and nothing of what', async () => {
    await using all = await locked()
    await all.guard.network.submit(CI, signing('the text', 'release/app', { reason: 'the reason' }))
    const [note] = all.store.notes()
    expect(Object.keys(note?.row ?? {}).sort()).toEqual([
      'atMs',
      'expiresAtMs',
      'id',
      'peer',
      'sealed',
      'v',
    ])
    const lies = Buffer.from(encode(note?.row)).toString('latin1')
    for (const secret of ['the text', 'the reason', 'release/app', 'sign']) {
      expect(lies).not.toContain(secret)
    }
  })

  it('that somebody else changed, moved or made up is no note', async () => {
    await using all = await locked()
    const requests = Array.from({ length: 6 }, (_, i) => signing(`${i}`))
    for (const request of requests) await all.guard.network.submit(CI, request)
    const [a, b, c, d, e] = all.store.notes()
    if (!a || !b || !c || !d || !e) throw new Error('no notes')
    all.store.setNote(a.id, { ...a.row, peer: BOX.peer })
    all.store.setNote(b.id, { ...b.row, expiresAtMs: Number(b.row['expiresAtMs']) + 1 })
    all.store.setNote(c.id, { ...c.row, id: d.row['id'] })
    all.store.setNote(d.id, { ...d.row, sealed: new Uint8Array(64) })
    all.store.setNote(e.id, encodeUtf8('junk'))
    all.store.setNote(Uint8Array.of(1), { v: 2 })
    await using second = await again(all)
    await unlock(second.guard)
    const { owner } = second.guard
    expect(await allApprovals(owner)).toHaveLength(1)
    const entries = await owner.auditEntries()
    expect(entries.find(({ event }) => event === 'intake')?.facts).toMatchObject({
      count: 1,
      dropped: 6,
    })
    expect(second.store.notes()).toEqual([])
  })

  it('that somebody forged asks a person at most, and runs for nobody', async () => {
    await using all = await locked()
    const asked = signing('x')
    await all.guard.network.submit(CI, asked)
    // Whoever can write the file knows the box key, too: here by a second life that was never told of the first.
    const [genuine] = all.store.notes()
    if (genuine === undefined) throw new Error('no note')
    all.store.commitPlain([], [{ kind: READABLE_KINDS.intake, id: genuine.id }])
    await using forger = await reopened(all.store, all.clock.nowMs())
    const forged = { ...signing('forged'), id: asked.id }
    expect(told(await forger.guard.network.submit(CI, forged))).toBe('pending')
    await using third = await again(forger)
    await unlock(third.guard)
    const { owner, network } = third.guard
    const [approval] = await allApprovals(owner)
    await owner.decide([approval?.boundHash ?? new Uint8Array()], 'once')
    expect(told(await network.wait(CI, asked.id))).toBe('failed_precondition locked')
    expect(told(await network.submit(CI, asked))).toBe('failed_precondition conflict')
    const entries = await owner.auditEntries()
    expect(entries.filter(({ facts }) => facts['outcome'] === 'executed')).toHaveLength(1)
  })

  it('lasts no longer than any request, whatever it says of its times', async () => {
    await using all = await locked()
    const request = signing('x', 'release/app', { timeoutMs: 1e15 })
    const answer = await all.guard.network.submit(CI, request)
    expect(answer).toMatchObject({ remainingMs: 24 * 3_600_000 })
  })
})

describe('who may wait', () => {
  it('follows every change of a peer', async () => {
    const store = new OpenStore()
    await using all = await guarded({ store })
    const { owner, network } = all.guard
    const waiters = (): string[] =>
      [...store.plain(READABLE_KINDS.waiter)].map(({ id }) => new TextDecoder().decode(id)).sort()
    expect(waiters()).toEqual([CI.peer, BOX.peer].sort())
    await owner.blockPeer(CI.peer, true)
    await owner.removePeer(BOX.peer)
    await owner.addPeer(STRANGER.peer, 'eve')
    expect(waiters()).toEqual([STRANGER.peer])
    await owner.blockPeer(CI.peer, false)
    expect(waiters()).toEqual([CI.peer, STRANGER.peer].sort())
    await owner.lock()
    expect(await network.standing(BOX)).toBe('unknown')
    expect(await network.standing(STRANGER)).toBe('known')
  })

  it('is nobody before a guard was there, and whom it knows from the first unlock on', async () => {
    const store = new OpenStore()
    const all = await guarded({ store })
    // As a version without such a table left it.
    all.vault.transaction((tx) => {
      for (const kind of [READABLE_KINDS.box, READABLE_KINDS.waiter]) {
        for (const { id } of [...tx.plainRows(kind)]) tx.removePlain(kind, id)
      }
    })
    await using next = await again({ ...all, store })
    expect(await next.guard.network.standing(CI)).toBe('unknown')
    expect(told(await next.guard.network.submit(CI, signing('x')))).toContain('permission_denied')
    await unlock(next.guard)
    await next.guard.owner.lock()
    expect(await next.guard.network.standing(CI)).toBe('known')
    expect(told(await next.guard.network.submit(CI, signing('x')))).toBe('pending')
  })

  it('is what was written last, or the vault does not unlock', async () => {
    await using all = await locked()
    await all.guard.close()
    const header = all.store.header()
    if (header === undefined) throw new Error('no vault')
    all.store.commit({
      put: [],
      remove: [],
      plainPut: [
        { kind: READABLE_KINDS.waiter, id: encodeUtf8(STRANGER.peer), value: Uint8Array.of(1) },
      ],
      plainRemove: [],
      entries: [],
      cutEntriesBefore: 0,
      header: () => header,
    })
    await using next = await reopened(all.store, all.clock.nowMs())
    await expect(unlock(next.guard)).rejects.toThrow('a plain row is not what was written last')
  })
})

describe('a vault that was locked behind its guard', () => {
  it('takes notes from then on', async () => {
    await using all = await guarded()
    const { guard, vault } = all
    await guard.owner.addRule({ ...SIGN, effect: 'ask' })
    const request = signing('x')
    expect(told(await guard.network.submit(CI, request))).toBe('pending')
    await vault.lock()
    expect(await guard.owner.status()).toMatchObject({ locked: true, intake: 0 })
    expect(told(await guard.network.submit(CI, request))).toBe('pending')
    expect(await guard.owner.status()).toMatchObject({ intake: 1 })
    await unlock(guard)
    expect(await allApprovals(guard.owner)).toHaveLength(1)
  })
})
