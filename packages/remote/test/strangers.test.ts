/** Peers that nobody knows, that lost their standing, and what they can tell from what they hear. */
import { allApprovals } from '@stronghold/guard'
import { pub, sign } from '@stronghold/vault/catalog'
import type { PeerId } from '@stronghold/p2p'
import { expect, test } from 'vitest'

import { connectVault } from '../src/index.ts'
import type { RemoteVault, Timers } from '../src/index.ts'
import { MAX_LISTED, MAX_LOST_MS, MAX_RETRY_MS, MAX_SHUT_MS } from '../src/limits.ts'
import { ASK, asked, failure, served, SIGN, text } from './served.ts'

const SIGNING = { key: 'release/app', message: text('v2.4.0') }

test('what is denied and what is not there look alike, in errors and in listings', async () => {
  await using all = await served({ rules: [SIGN] })
  const absent = failure(all.remote.run(sign, { ...SIGNING, key: 'release/none' }))
  const denied = failure(all.remote.run(pub, { key: 'release/app' }))
  const neither = failure(all.remote.run(pub, { key: 'other/none' }))
  expect(await absent).toMatchObject({ code: 'permission_denied', reason: 'denied_by_rule' })
  const { ran: _, ...word } = await absent
  for (const one of [denied, neither]) {
    const { ran: __, ...other } = await one
    expect(other).toEqual(word)
  }
  await all.guard.owner.run([
    { procedure: 'generate', version: 1, input: { to: 'other/key', type: 'ed25519' } },
  ])
  expect(await all.remote.list()).toMatchObject([
    { path: 'release/app', uses: [{ use: 'sign', effect: 'allow' }] },
  ])
  expect(await all.remote.list('other/**')).toEqual([])
  expect(await failure(all.remote.list('**/x'))).toMatchObject({ code: 'invalid_argument' })
})

test('a stranger hears what one hears who may do nothing, and leaves a knock, not a prompt', async () => {
  await using all = await served({ rules: [ASK] })
  const known = await failure(all.remote.run(pub, { key: 'release/app' }))
  for (let i = 0; i < 50; i++) {
    const node = await all.network.createNode({ listen: [] })
    await using stranger = connectVault(node, all.home.addresses)
    expect(await failure(stranger.run(sign, SIGNING))).toEqual(known)
    expect(await failure(stranger.list())).toMatchObject({ code: 'permission_denied' })
    await node.stop()
  }
  expect(await allApprovals(all.guard.owner)).toEqual([])
  expect(await all.guard.owner.knocks()).toHaveLength(50)
})

test.each(['block', 'remove'] as const)(
  'a peer that is out by %s is cut off within a second, with what it asked for',
  async (how) => {
    await using all = await served({ rules: [ASK] })
    const { guard, away, home } = all
    const refused = failure(all.remote.run(sign, SIGNING, { timeoutMs: 20_000 }))
    await asked(all)
    expect(home.connections(away.peer)).toHaveLength(1)
    const startMs = performance.now()
    const [connection] = home.connections(away.peer)
    const stands = (): boolean =>
      home.connections(away.peer).some(({ id }) => id === connection?.id)
    const heard = refused.then(stands)
    if (how === 'block') await guard.owner.blockPeer(away.peer, true)
    else await guard.owner.removePeer(away.peer)
    await expect.poll(stands, { interval: 5 }).toBe(false)
    expect(performance.now() - startMs).toBeLessThan(1000)
    expect(await allApprovals(guard.owner)).toEqual([])
    expect(await refused).toMatchObject({ code: 'permission_denied', reason: 'denied_by_rule' })
    // On that very connection: the next may find the door shut.
    expect(await heard).toBe(true)
    expect(await failure(all.remote.list())).toMatchObject({ code: 'permission_denied' })
    // Nothing stays behind in the node: who may come is the guard's to say.
    expect(home.blocked).toEqual([])
    if (how === 'block') await guard.owner.blockPeer(away.peer, false)
    else await guard.owner.addPeer(away.peer, 'ci')
    expect(await all.remote.list()).toHaveLength(1)
  },
)

test('a peer made known while it is connected may ask at once', async () => {
  await using all = await served({ rules: [SIGN] })
  const node = await all.network.createNode({ listen: [] })
  await using stranger = connectVault(node, all.home.addresses)
  expect(await failure(stranger.run(sign, SIGNING))).toMatchObject({ code: 'permission_denied' })
  await all.guard.owner.addPeer(node.peer, 'box')
  expect(await stranger.run(sign, SIGNING)).toMatchObject({ version: 1 })
})

test('a long listing comes in pieces, in the order of paths', async () => {
  const records = Array.from({ length: MAX_LISTED + 1 }, (_, index) => ({
    path: `k/${String(index).padStart(5, '0')}`,
    type: 'seed' as const,
    version: 1,
    uses: [],
  }))
  const asked: unknown[] = []
  await using all = await served({
    door: () => ({
      list: async (_, { pattern, after = '' } = {}) => {
        asked.push({ pattern, after })
        const behind = records.filter(({ path }) => path > after)
        return { records: behind.slice(0, MAX_LISTED), more: behind.length > MAX_LISTED }
      },
    }),
  })
  expect(await all.remote.list('k/**')).toEqual(records)
  const last = records[MAX_LISTED - 1]?.path
  expect(asked).toEqual([
    { pattern: 'k/**', after: '' },
    { pattern: 'k/**', after: last },
  ])
})

test('when nobody tells any more who is out, nobody is taken for known unasked', async () => {
  let asked = 0
  await using all = await served({
    rules: [SIGN],
    door: (network) => ({
      cutOff: async function* () {},
      standing: (asker) => {
        asked++
        return network.standing(asker)
      },
    }),
  })
  await all.remote.run(sign, SIGNING)
  await all.remote.run(sign, SIGNING)
  expect(asked).toBe(2)
})

test('a known peer is asked about once, as long as it stands', async () => {
  let asked = 0
  await using all = await served({
    rules: [SIGN],
    door: (network) => ({
      standing: (asker) => {
        asked++
        return network.standing(asker)
      },
    }),
  })
  await all.remote.run(sign, SIGNING)
  await all.remote.run(sign, SIGNING)
  expect(asked).toBe(1)
})

/** A clock that is at the end of each pause at once. */
function hurried(): Timers {
  let nowMs = 0
  return {
    nowMs: () => nowMs,
    setTimer: (delayMs, fire) => {
      const pause = setImmediate(() => {
        nowMs += delayMs
        fire()
      })
      return () => {
        clearImmediate(pause)
      }
    },
  }
}

test('MAX_SHUT_MS: a peer that meets a shut door each time is told so soon, for whatever it asks', async () => {
  await using all = await served({ rules: [SIGN], over: 'tcp' })
  const { home, away } = all
  home.block(away.peer)
  const uses: ((remote: RemoteVault) => Promise<unknown>)[] = [
    (remote) => remote.run(sign, SIGNING),
    (remote) => remote.resume('00'.repeat(16)),
    (remote) => remote.list(),
  ]
  for (const use of uses) {
    const timers = hurried()
    await using remote = connectVault(away, home.addresses, { timeoutMs: 600_000 }, { timers })
    expect(await failure(use(remote))).toMatchObject({
      code: 'unavailable',
      reason: 'closed_at_once',
      ran: 'maybe',
    })
    expect(timers.nowMs()).toBeGreaterThanOrEqual(MAX_SHUT_MS)
    expect(timers.nowMs()).toBeLessThan(2 * MAX_SHUT_MS)
  }
})

test('a request that a person was being asked about outlives a door that is shut for a while', async () => {
  await using all = await served({ rules: [ASK], over: 'tcp' })
  const { home, away, guard } = all
  const timers = hurried()
  await using remote = connectVault(away, home.addresses, { timeoutMs: 600_000 }, { timers })
  const signing = remote.run(sign, SIGNING)
  const approval = await asked(all)
  // Of the node alone: the guard lets it in as before.
  home.block(away.peer)
  await expect
    .poll(() => timers.nowMs(), { interval: 5, timeout: 15_000 })
    .toBeGreaterThan(2 * MAX_SHUT_MS)
  home.unblock(away.peer)
  await guard.owner.decide([approval.boundHash], 'once')
  expect(await signing).toMatchObject({ version: 1 })
})

test('MAX_LOST_MS: a peer that is let in and thrown out, again and again, gives up long before its deadline', async () => {
  let thrownOut = 0
  await using all = await served({
    rules: [SIGN],
    over: 'tcp',
    door: () => ({
      list: async ({ peer }) => {
        // The answer to a ping comes behind whatever was said before it: the hello has arrived.
        thrownOut += 1
        await all.home.ping(peer as PeerId)
        all.home.block(peer as PeerId)
        all.home.unblock(peer as PeerId)
        return { records: [], more: false }
      },
    }),
  })
  const { home, away } = all
  const timers = hurried()
  await using remote = connectVault(away, home.addresses, { timeoutMs: 600_000 }, { timers })
  const { code, reason } = await failure(remote.list())
  expect({ code, reason }).toEqual({ code: 'unavailable', reason: undefined })
  expect(timers.nowMs()).toBeGreaterThanOrEqual(MAX_LOST_MS)
  expect(timers.nowMs()).toBeLessThan(MAX_LOST_MS + 2 * MAX_RETRY_MS)
  expect(thrownOut).toBeGreaterThan(1)
})
