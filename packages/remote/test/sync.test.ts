/** Two Strongholds that synchronise over p2p: whole after every cut, and nothing for a copied identity. */
import { openGuard } from '@stronghold/guard'
import { createVault, MemoryStore } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { fetchSyncKey, runSync, serveSync } from '../src/index.ts'
import {
  act,
  behind,
  copied,
  create,
  partners,
  pin,
  records,
  restart,
  stop,
  told,
} from './partners.ts'
import { KEY_FILE } from './served.ts'

describe('two Strongholds', () => {
  it('come to have the same, with progress, and know each other’s fingerprint', async () => {
    await using all = await partners()
    const { home, away } = all
    for (const path of ['a', 'b', 'c']) await create(home, path)
    await create(away, 'd')
    const steps: string[] = []
    const report = await runSync(home.node, home.guard, 'away', {
      onProgress: ({ settled, of }) => steps.push(`${settled}/${of}`),
    })
    expect(report).toMatchObject({ inStep: true, sent: 3, received: 1, roundTrips: 4 })
    expect(steps).toContain('1/4')
    expect(await records(home)).toEqual(await records(away))
    const [partner] = await home.guard.owner.syncList()
    expect(partner?.fingerprint).toBe((await away.guard.owner.syncOwnKey()).fingerprint)
    expect((await fetchSyncKey(home.node, away.node.peer)).peer).toBe(away.node.peer)
  })

  it('are whole after a cut at any message, on either side of it, and the next run goes on', async () => {
    for (let cut = 0; ; cut++) {
      await using all = await partners()
      const { home, away } = all
      await create(home, 'both')
      await runSync(home.node, home.guard, 'away')
      await act(home, 'rotate', { key: 'both' })
      await act(away, 'narrow', { record: 'both', labels: { egress: 'none' } })
      await create(home, 'ours')
      await create(away, 'theirs')
      let messages = 0
      behind(away, (network) => ({
        standing: (asker) => network.standing(asker),
        sync: async (asker, message) => {
          const at = messages++
          if (cut === 2 * at) throw new Error('cut before it arrives')
          const reply = await network.sync(asker, message)
          if (cut === 2 * at + 1) throw new Error('cut before the answer leaves')
          return reply
        },
      }))
      const done = await runSync(home.node, home.guard, 'away').catch(() => undefined)
      behind(away, (network) => network)
      if (done === undefined) expect(messages).toBe(Math.floor(cut / 2) + 1)
      for (const side of [home, away]) {
        expect((await side.guard.owner.verifyAudit()).faults).toEqual([])
        expect((await records(side)).length).toBeGreaterThan(0)
      }
      expect(await runSync(away.node, away.guard, 'home')).toMatchObject({ inStep: true })
      expect(await records(home)).toEqual(await records(away))
      expect(await records(home)).toHaveLength(3)
      expect(await home.guard.owner.syncConflicts()).toEqual([])
      if (done !== undefined) {
        expect(cut).toBe(8)
        break
      }
    }
  }, 120_000)

  it('give nothing to a copied identity file: no record, no list, no name', async () => {
    await using all = await partners()
    const { network, home, away } = all
    await create(home, 'release/app')
    await runSync(home.node, home.guard, 'away')
    await create(home, 'release/new')
    await stop(away)
    // The thief has the node's key and nothing of the vault: it makes a vault of its own.
    const vault = await createVault({
      at: new MemoryStore(),
      credential: { keyFile: KEY_FILE },
      memory: { bytes: 1024 * 1024 },
    })
    const node = await network.createNode({ identity: away.identity, listen: ['/memory/thief'] })
    const guard = openGuard({ vault, peer: node.peer })
    await guard.owner.addPeer(home.node.peer, 'home')
    await guard.owner.addRule({
      peers: ['known'],
      procedures: ['sync:send', 'sync:receive', 'sync:remove'],
      paths: ['**'],
      effect: 'allow',
    })
    node.book.add(home.node.peer, home.node.addresses)
    const { vault: id, key } = await fetchSyncKey(node, home.node.peer)
    await guard.owner.syncAdd({ name: 'home', peer: 'home', vault: id, key })
    await expect(runSync(node, guard, 'home')).rejects.toMatchObject({ code: 'unauthenticated' })
    expect(await guard.owner.records()).toEqual([])
    // Asked by the victim it is seen at once, by its key.
    const serving = serveSync(node, guard)
    const report = await runSync(home.node, home.guard, 'away', { target: node.addresses })
    expect(report).toMatchObject({ stopped: 'key', sent: 0 })
    expect((await home.guard.owner.syncList())[0]).toMatchObject({ state: 'conflict', why: 'key' })
    expect(await guard.owner.records()).toEqual([])
    await expect(runSync(home.node, home.guard, 'away')).rejects.toMatchObject({
      reason: 'conflict',
    })
    serving[Symbol.dispose]()
    await node.stop()
    await guard.close()
    await restart(all, away, [home])
  })

  it('stop when one is an older copy of itself, and bring back no dead where a person says so', async () => {
    await using all = await partners()
    const { home, away } = all
    await create(home, 'dead')
    await create(home, 'alive')
    await runSync(home.node, home.guard, 'away')
    await runSync(home.node, home.guard, 'away')
    const old = copied(away.store)
    await act(home, 'revoke', { record: 'dead' })
    for (let run = 0; run < 3; run++) await runSync(home.node, home.guard, 'away')
    await runSync(away.node, away.guard, 'home')
    expect(await records(away)).toHaveLength(1)
    await stop(away)
    await restart(all, away, [home], old)
    expect(await records(away)).toHaveLength(2)

    expect(await runSync(home.node, home.guard, 'away')).toMatchObject({ stopped: 'rolled-back' })
    expect((await home.guard.owner.syncList())[0]).toMatchObject({
      state: 'conflict',
      why: 'rolled-back',
    })
    await expect(runSync(home.node, home.guard, 'away')).rejects.toMatchObject({
      reason: 'conflict',
    })
    // The other way round it hears that it has to wait.
    expect(await runSync(away.node, away.guard, 'home')).toMatchObject({
      stopped: 'partner-stopped',
    })
    expect(await records(home)).toHaveLength(1)
    await home.guard.owner.syncResolve('away', { accept: 'newer' })
    await runSync(home.node, home.guard, 'away')
    expect(await runSync(home.node, home.guard, 'away')).toMatchObject({ inStep: true })
    expect(await records(home)).toEqual(await records(away))
    expect(await records(away)).toHaveLength(1)
    expect((await home.guard.owner.syncList())[0]).toMatchObject({ state: 'in-step' })
  })

  it('take an older copy as it is where a person says so', async () => {
    await using all = await partners()
    const { home, away } = all
    await create(home, 'dead')
    await runSync(home.node, home.guard, 'away')
    const old = copied(away.store)
    await act(home, 'revoke', { record: 'dead' })
    await runSync(home.node, home.guard, 'away')
    await stop(away)
    await restart(all, away, [home], old)
    await runSync(home.node, home.guard, 'away')
    await home.guard.owner.syncResolve('away', { accept: 'older' })
    expect(await runSync(home.node, home.guard, 'away')).toMatchObject({ inStep: true })
    expect(await records(home)).toEqual(await records(away))
    expect(await records(home)).toHaveLength(1)
  })

  it('stop at another key until it is pinned', async () => {
    await using all = await partners()
    const { home, away } = all
    await create(home, 'a')
    const other = await partners()
    const { key } = await other.away.guard.owner.syncOwnKey()
    const { vault } = await away.guard.owner.syncOwnKey()
    await home.guard.owner.syncPin('away', vault, key)
    expect(await runSync(home.node, home.guard, 'away')).toMatchObject({ stopped: 'key' })
    const again = await fetchSyncKey(home.node, away.node.peer)
    await home.guard.owner.syncPin('away', again.vault, again.key)
    expect(await runSync(home.node, home.guard, 'away')).toMatchObject({ inStep: true })
    await other[Symbol.asyncDispose]()
  })

  it('let go of a removal once both have seen it', async () => {
    await using all = await partners()
    const { home, away } = all
    await create(home, 'a')
    await runSync(home.node, home.guard, 'away')
    await act(home, 'revoke', { record: 'a' })
    const left = (): number[] =>
      [home, away].map(({ vault }) =>
        vault.transaction(({ sync }) => [...sync.tombstones()].length),
      )
    expect(left()).toEqual([1, 0])
    await runSync(home.node, home.guard, 'away')
    await runSync(away.node, away.guard, 'home')
    await runSync(home.node, home.guard, 'away')
    expect(left()).toEqual([0, 0])
  })

  it('go on by themselves when a run is given up', async () => {
    await using all = await partners()
    const { home, away } = all
    await create(home, 'a')
    const stopping = new AbortController()
    const run = runSync(home.node, home.guard, 'away', {
      signal: stopping.signal,
      onProgress: () => {
        stopping.abort(new Error('enough'))
      },
    })
    await expect(run).rejects.toThrow('enough')
    expect(await runSync(home.node, home.guard, 'away')).toMatchObject({ inStep: true })
    expect(await told(away)).toContain('written')
  })

  it('are unknown to whoever is no known peer', async () => {
    await using all = await partners()
    const stranger = await all.network.createNode({ listen: [] })
    await expect(fetchSyncKey(stranger, all.home.node.addresses)).rejects.toMatchObject({
      code: 'permission_denied',
    })
    await stranger.stop()
    await expect(pin(all.home, all.away)).rejects.toMatchObject({ reason: 'conflict' })
  })
})
