/** What a guard remembers is what lies on the disk, also where a commit failed that is there, and across locks. */
import { toHex } from '@stronghold/core'
import { MemoryStore, VaultError } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { BOX, CI, guarded, SIGN, signing, told, unlock } from './guard-of.ts'
import type { Guarded } from './guard-of.ts'

/** Says of commits that they failed, although they are there; while `broken` nothing is read again. */
class Tearing extends MemoryStore {
  torn = 0
  broken = false

  override commit(change: Parameters<MemoryStore['commit']>[0]): void {
    super.commit(change)
    if (this.torn === 0) return
    this.torn--
    throw failed()
  }

  override reopen(): void {
    if (this.broken) throw failed()
  }
}

function failed(): VaultError {
  return new VaultError('unavailable', 'failed', { reason: 'disk_failed' })
}

/** A guard over a store that tears, with one rule. */
async function tearing(): Promise<Guarded & { readonly store: Tearing }> {
  const store = new Tearing()
  const all = await guarded({ store })
  await all.guard.owner.addRule({ ...SIGN, effect: 'allow', limits: ['2/day'] })
  return { ...all, store }
}

describe('a commit that failed and is there all the same', () => {
  it('counts: limits, peers and the chain go on from what lies there', async () => {
    await using all = await tearing()
    const { network, owner } = all.guard
    const stop = new AbortController()
    const cuts = network.cutOff({ signal: stop.signal })[Symbol.asyncIterator]()
    all.store.torn = 1
    expect(told(await network.submit(CI, signing('x')))).toBe('unavailable audit_unavailable')
    expect(told(await network.submit(CI, signing('y')))).toBe('done')
    expect(told(await network.submit(CI, signing('z')))).toContain('denied')
    all.store.torn = 1
    await expect(owner.blockPeer(BOX.peer, true)).rejects.toThrow('failed')
    expect(await network.standing(BOX)).toBe('blocked')
    expect((await cuts.next()).value).toBe(BOX.peer)
    stop.abort()
    all.store.torn = 1
    await expect(owner.cutAudit()).rejects.toThrow('failed')
    await owner.blockPeer(BOX.peer, false)
    expect((await owner.verifyAudit()).faults).toEqual([])
  })

  it('takes along what waited behind it: nothing runs on memory that may be no more', async () => {
    await using all = await tearing()
    const { network, owner } = all.guard
    all.store.torn = 1
    const many = Array.from({ length: 40 }, (_, n) => network.submit(CI, signing(`${n}`)))
    const words = new Set((await Promise.all(many)).map(told))
    expect([...words]).toEqual(['unavailable audit_unavailable'])
    expect((await owner.verifyAudit()).faults).toEqual([])
  })

  it('is asked about until the disk can be read', async () => {
    await using all = await tearing()
    const { network, owner } = all.guard
    Object.assign(all.store, { torn: 1, broken: true })
    for (const text of ['x', 'y']) {
      expect(told(await network.submit(CI, signing(text)))).toBe('unavailable audit_unavailable')
    }
    await expect(owner.rules()).rejects.toMatchObject({ reason: 'disk_failed' })
    // What looks at deadlines comes by meanwhile, and does no harm.
    all.clock.advance(2000)
    all.store.broken = false
    expect(told(await network.submit(CI, signing('y')))).toBe('done')
    expect((await owner.verifyAudit()).faults).toEqual([])
  })
})

describe('work that takes longer than the vault stays open', () => {
  it('writes nothing any more, also where the vault is open again', async () => {
    await using all = await guarded()
    const { owner } = all.guard
    const gate = Promise.withResolvers<Awaited<ReturnType<OpenVault['backup']>>>()
    all.vault.backup = () => gate.promise
    const { signal } = new AbortController()
    const made = { to: '/somewhere', for: { by: 'recipients', recipients: ['age1'] } } as const
    const backup = owner.backupCreate(made, { signal })[Symbol.asyncIterator]().next()
    await owner.lock()
    await unlock(owner)
    const { vault, epoch, generation } = all.vault.head()
    const counts = { records: 1, versions: 1 }
    gate.resolve({
      vault: toHex(vault),
      epoch,
      generation,
      counts,
      createdAtMs: 1,
      auditPosition: 1,
    } as never)
    await expect(backup).rejects.toMatchObject({ reason: 'locked' })
    await owner.addRule({ ...SIGN, effect: 'allow' })
    expect((await owner.verifyAudit()).faults).toEqual([])
  })
})
