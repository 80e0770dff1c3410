/** Two guarded vaults in step: what goes, what stays, what is refused, and who decides. */
import { describe, expect, it } from 'vitest'

import { act, audit, create, pair, partners, records, strangers, sync, SYNC_ALL } from './two.ts'

describe('two partners', () => {
  it('have the same after one run, in four round trips, and are in step', async () => {
    await using two = await partners()
    const { home, away } = two
    await create(home, 'release/app')
    await create(home, 'own/key', 'ed25519', {})
    await create(away, 'box/key', 'aes-256-gcm')
    const report = await sync(home, away)
    expect(report).toMatchObject({ inStep: true, received: 1, sent: 1, conflicts: 0, refused: 0 })
    expect(report.roundTrips).toBe(4)
    expect(report.changes).toMatchObject([
      { path: 'box/key', where: 'here', change: 'added' },
      { path: 'release/app', where: 'there', change: 'added' },
    ])
    const here = (await records(home)).filter((line) => !line.startsWith('own/'))
    expect(await records(away)).toEqual(here)
    // Also who answered knows how it ended.
    for (const side of [home, away]) {
      expect((await side.guard.owner.syncList())[0]).toMatchObject({
        state: 'in-step',
        conflicts: 0,
      })
    }
    const again = await sync(away, home)
    expect(again).toMatchObject({ inStep: true, roundTrips: 2, received: 0, sent: 0 })
    expect((await away.guard.owner.syncList())[0]).toMatchObject({ state: 'in-step' })
  })

  it('carry versions, labels, minimums and removals over, and say so in both audits', async () => {
    await using two = await partners()
    const { home, away } = two
    await create(home, 'a')
    await create(home, 'b')
    await sync(home, away)
    await act(away, 'rotate', { key: 'a' })
    await act(home, 'narrow', { record: 'a', labels: { egress: 'none' } })
    await act(home, 'revoke', { record: 'b' })
    const report = await sync(away, home)
    expect(report).toMatchObject({ inStep: true, removedHere: 1 })
    expect(await records(home)).toEqual(await records(away))
    expect(await records(home)).toHaveLength(1)
    const told = JSON.stringify(await audit(away))
    for (const word of ['"written"', '"removed"', '"sent"']) expect(told).toContain(word)
    for (const word of ['"written"', '"sent"']) {
      expect(JSON.stringify(await audit(home))).toContain(word)
    }
    expect((await home.guard.owner.verifyAudit()).faults).toEqual([])
  })

  it('keep both where both went on apart, show it, and do what a person decides', async () => {
    await using two = await partners()
    const { home, away } = two
    await create(home, 'a')
    await sync(home, away)
    await act(home, 'rotate', { key: 'a' })
    await act(away, 'rotate', { key: 'a' })
    const [before, there] = [await records(home), await records(away)]
    const report = await sync(home, away)
    expect(report).toMatchObject({ inStep: false, conflicts: 1 })
    expect([await records(home), await records(away)]).toEqual([before, there])
    for (const side of [home, away]) {
      const [conflict] = await side.guard.owner.syncConflicts()
      expect(conflict).toMatchObject({ path: 'a', kind: 'version', ours: { version: 2 } })
      expect((await side.guard.owner.syncList())[0]).toMatchObject({ why: 'records' })
    }
    await home.guard.owner.syncResolve('away', { record: 'a', keep: 'ours' })
    expect(await sync(home, away)).toMatchObject({ inStep: true, conflicts: 0 })
    for (const side of [home, away]) expect(await side.guard.owner.syncConflicts()).toEqual([])
    expect((await records(away)).filter((line) => line.startsWith('a '))).toEqual(before)
    const aside = (await records(away)).filter((line) => line.startsWith('a.aside-'))
    expect(aside).toHaveLength(1)
    // The secret that had to give way is still there, and goes nowhere.
    expect(aside[0]?.split(' ').slice(-1)).toEqual(there[0]?.split(' ').slice(-1))
    expect(aside[0]).toContain(' false ')
    await sync(home, away)
  })

  it('both know what is left to do, and that nothing is, whoever of them asked', async () => {
    await using two = await partners({ home: { merge: 'keep-old' } })
    const { home, away } = two
    const states = async (): Promise<string[]> =>
      await Promise.all(
        [home, away].map(async ({ guard }) => (await guard.owner.syncList())[0]?.state ?? ''),
      )
    await create(home, 'a')
    await create(away, 'b')
    await sync(home, away)
    expect(await states()).toEqual(['in-step', 'in-step'])
    // Only taken, only given, taken away: each way.
    await create(away, 'c')
    await sync(home, away)
    expect(await states()).toEqual(['in-step', 'in-step'])
    await act(home, 'revoke', { record: 'b' })
    await create(home, 'd')
    await sync(away, home)
    expect(await states()).toEqual(['behind', 'behind'])
    // What only one of them ever had is removed there.
    await two[Symbol.asyncDispose]()
    await using other = await partners()
    await create(other.home, 'gone')
    await act(other.home, 'revoke', { record: 'gone' })
    await create(other.home, 'e')
    expect(await sync(other.home, other.away)).toMatchObject({ inStep: true })
    expect((await other.away.guard.owner.syncList())[0]).toMatchObject({ state: 'in-step' })
    // A run that is cut off before its end leaves something to do.
    await create(other.home, 'f')
    let messages = 0
    const cut = sync(other.home, other.away, {
      carry: async (_, deliver) => {
        if (++messages === 3) throw new Error('cut')
        return await deliver()
      },
    })
    await expect(cut).rejects.toThrow('cut')
    expect((await other.away.guard.owner.syncList())[0]).toMatchObject({ state: 'behind' })
  })

  it('take the partner’s where a person says so, and set their own aside', async () => {
    await using two = await partners()
    const { home, away } = two
    await create(home, 'a')
    await create(away, 'a')
    const there = await records(away)
    await sync(home, away)
    expect(await home.guard.owner.syncConflicts()).toMatchObject([{ kind: 'path', path: 'a' }])
    await home.guard.owner.syncResolve('away', { record: 'a', keep: 'theirs' })
    await sync(home, away)
    expect((await records(home)).filter((line) => line.startsWith('a '))).toEqual(there)
    expect(await records(home)).toHaveLength(2)
    expect(await sync(home, away)).toMatchObject({ inStep: true })
    expect(await records(away)).toEqual(there)
  })

  it('show what would change, and change nothing', async () => {
    await using two = await partners()
    const { home, away } = two
    await create(home, 'a')
    await create(away, 'b')
    await create(home, 'c')
    await sync(home, away)
    await create(home, 'd')
    await act(away, 'revoke', { record: 'c' })
    await act(away, 'rotate', { key: 'b' })
    const before = [await records(home), await records(away)]
    const report = await sync(home, away, { purpose: 'preview' })
    expect(report.changes).toMatchObject([
      { path: 'b', where: 'here', change: 'changed' },
      { path: 'c', where: 'here', change: 'gone' },
      { path: 'd', where: 'there', change: 'added' },
    ])
    expect([await records(home), await records(away)]).toEqual(before)
    expect(await sync(home, away, { purpose: 'verify' })).toMatchObject({ inStep: false })
    await sync(home, away)
    expect(await sync(home, away, { purpose: 'verify' })).toMatchObject({ inStep: true })
  })

  it('send one way only where one pushes, below other paths where it maps them', async () => {
    await using two = await partners({
      home: { mode: 'push', maps: [{ from: 'work', to: 'backup/work' }], paths: ['work/**'] },
    })
    const { home, away } = two
    await create(home, 'work/a')
    await create(home, 'other')
    await create(away, 'theirs')
    expect(await sync(home, away)).toMatchObject({ inStep: true, sent: 1, received: 0 })
    expect((await records(away)).map((line) => line.split(' ')[0])).toEqual([
      'backup/work/a',
      'theirs',
    ])
    await act(home, 'rotate', { key: 'work/a' })
    expect(await sync(home, away)).toMatchObject({ inStep: true, sent: 1 })
    await expect(sync(away, home)).rejects.toMatchObject({ code: 'failed_precondition' })
  })

  it('pull below other paths, and never give anything back', async () => {
    await using two = await partners({
      home: { mode: 'pull', maps: [{ from: 'theirs', to: 'copy' }], paths: ['copy/**'] },
    })
    const { home, away } = two
    await create(away, 'theirs/a')
    await create(home, 'copy/own')
    expect(await sync(home, away)).toMatchObject({ received: 1, sent: 0 })
    expect((await records(home)).map((line) => line.split(' ')[0])).toEqual(['copy/a', 'copy/own'])
    expect(await records(away)).toHaveLength(1)
  })

  it('change nothing that stands under keep-old', async () => {
    await using two = await partners({ home: { merge: 'keep-old' } })
    const { home, away } = two
    await create(home, 'a')
    await create(home, 'b')
    await sync(home, away)
    await act(away, 'rotate', { key: 'a' })
    await act(away, 'revoke', { record: 'b' })
    await create(away, 'c')
    const before = await records(home)
    expect(await sync(home, away)).toMatchObject({ received: 1, removedHere: 0, conflicts: 0 })
    expect((await records(home)).slice(0, 2)).toEqual(before)
  })

  it('replace what stands where one pulls and both wish so, and lose nothing', async () => {
    await using two = await partners({
      home: { merge: 'replace', mode: 'pull' },
      away: { merge: 'replace', mode: 'push' },
    })
    const { home, away } = two
    await create(away, 'a')
    await sync(home, away)
    await act(home, 'rotate', { key: 'a' })
    await act(away, 'rotate', { key: 'a' })
    expect(await sync(home, away)).toMatchObject({ inStep: true, received: 1 })
    expect(await records(home)).toHaveLength(2)
    expect((await records(home))[0]).toBe((await records(away))[0])
  })
})

describe('rules and labels', () => {
  it('decide on both sides what leaves and what arrives', async () => {
    await using two = await partners()
    const { home, away } = two
    const deny = { ...SYNC_ALL, effect: 'deny' as const }
    await home.guard.owner.addRule({ ...deny, procedures: ['sync:send'], paths: ['secret/**'] })
    await away.guard.owner.addRule({ ...deny, procedures: ['sync:receive'], paths: ['no/**'] })
    await away.guard.owner.addRule({ ...deny, procedures: ['sync:remove'], paths: ['keep/**'] })
    for (const path of ['secret/a', 'no/b', 'keep/c', 'd']) await create(home, path)
    const report = await sync(home, away)
    expect((await records(away)).map((line) => line.split(' ')[0])).toEqual(['d', 'keep/c'])
    expect(report.refused).toBe(2)
    await act(home, 'revoke', { record: 'keep/c' })
    await act(home, 'revoke', { record: 'd' })
    await sync(home, away)
    expect((await records(away)).map((line) => line.split(' ')[0])).toEqual(['keep/c'])
    expect(JSON.stringify(await audit(away))).toContain('"denied"')
  })

  it('let nothing pass for a peer without a partnership, blocked, paused, or unknown', async () => {
    await using two = await strangers()
    const { home, away } = two
    await pair(home, away)
    await create(home, 'a')
    await expect(sync(home, away)).rejects.toMatchObject({ code: 'permission_denied' })
    await pair(away, home)
    await away.guard.owner.syncPause('home', true)
    await expect(sync(home, away)).rejects.toMatchObject({ code: 'failed_precondition' })
    await away.guard.owner.syncPause('home', false)
    await away.guard.owner.blockPeer(home.peer, true)
    await expect(sync(home, away)).rejects.toMatchObject({ code: 'permission_denied' })
    await away.guard.owner.blockPeer(home.peer, false)
    await expect(sync(home, away)).resolves.toMatchObject({ inStep: true })
    await away.guard.owner.removePeer(home.peer)
    expect(await away.guard.owner.syncList()).toEqual([])
    await expect(sync(home, away)).rejects.toMatchObject({ code: 'permission_denied' })
  })

  it('read sync in rules, and print it back', async () => {
    await using two = await strangers()
    const [only] = await two.home.guard.owner.rules()
    expect(only?.sentence).toContain('sync:send')
    const asked = { peer: two.away.peer, use: 'sync:send', path: 'a' }
    expect(await two.home.guard.owner.explainRequest(asked)).toMatchObject({ verdict: 'allow' })
  })
})
