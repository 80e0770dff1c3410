/** The same through a thread and a socket: all that synchronisation says are plain values. */
import { afterAll, describe, expect, it } from 'vitest'

import type { SyncReply } from '../../src/doors.ts'
import { HOME, step } from '../guard-of.ts'
import { kept, KeeperThreads } from '../keeper/keeper-of.ts'
import { create, records, strangers, SYNC_ALL } from './two.ts'

const threads = new KeeperThreads()

afterAll(() => threads.stop())

describe('a keeper', () => {
  it('synchronises as asker over its socket and as answerer over its port', async () => {
    await using kept1 = await kept({}, threads)
    await using two = await strangers()
    const { away } = two
    const [keeper, socket] = [kept1.guard, kept1.owner('admin')]
    const labels = { sync: true }
    await socket.run([step('generate', { to: 'kept/key', type: 'ed25519', labels })])
    await socket.addRule(SYNC_ALL)
    await away.guard.owner.addPeer(HOME, 'keeper')
    const [own, theirs] = [await socket.syncOwnKey(), await away.guard.owner.syncOwnKey()]
    await socket.syncAdd({ name: 'away', peer: 'box', ...only(theirs) })
    await away.guard.owner.syncAdd({ name: 'keeper', peer: 'keeper', ...only(own) })
    await create(away, 'away/key')

    let turn = await socket.syncBegin('away')
    while (!turn.done) {
      const asker = { peer: HOME, connection: '' }
      turn = await socket.syncNext(turn.session, await away.guard.network.sync(asker, turn.say))
    }
    expect(turn.report).toMatchObject({ inStep: true, sent: 1, received: 1 })
    expect((await records(away)).map((line) => line.split(' ')[0])).toEqual([
      'away/key',
      'kept/key',
    ])

    await create(away, 'away/more')
    let back = await away.guard.owner.syncBegin('keeper')
    while (!back.done) {
      const asker = { peer: away.peer, connection: '' }
      const reply: SyncReply = await keeper.network.sync(asker, back.say)
      back = await away.guard.owner.syncNext(back.session, reply)
    }
    expect(back.report).toMatchObject({ inStep: true, sent: 1, roundTrips: 3 })
    expect(await socket.records('away/**')).toHaveLength(2)

    await socket.syncPause('away', true)
    await expect(socket.syncBegin('away')).rejects.toMatchObject({ reason: 'conflict' })
    expect(await socket.syncList()).toMatchObject([{ name: 'away', paused: true }])
    expect(await socket.syncConflicts('away')).toEqual([])
    await socket.syncRemove('away')
    expect(await socket.syncList()).toEqual([])
    await expect(kept1.owner('approver').syncList()).rejects.toMatchObject({
      code: 'permission_denied',
    })
  })
})

function only({ vault, key }: { vault: Uint8Array; key: Uint8Array }): {
  vault: Uint8Array
  key: Uint8Array
} {
  return { vault, key }
}
