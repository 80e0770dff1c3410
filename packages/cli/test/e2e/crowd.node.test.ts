/**
 * A Stronghold that runs as a process of its own, and many who want something of it at a time, over real sockets: what waits
 * for a person, whoever sits in front and whoever pairs are none the worse for it.
 */
import { allApprovals, connectOwner, readToken } from '@stronghold/guard/owner'
import type { OwnerDoor } from '@stronghold/guard/owner'
import { createNode } from '@stronghold/p2p'
import type { Address, Node } from '@stronghold/p2p'
import { connectVault, joinPairing } from '@stronghold/remote/connect'
import type { RemotePending } from '@stronghold/remote/connect'
import { pub, sign } from '@stronghold/vault/catalog'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { CuttingProxy } from '../cutting-proxy.ts'
import { Place } from '../stronghold.ts'

const LONG = { timeout: 180_000 }
const STRANGERS = 50
const REQUESTS = 1000
/** More pieces than a pairing sends. */
const MOST_PIECES = 60

const place = new Place()
let owner: OwnerDoor
let address: Address
let port: number
let ci: Node
/** What a person is asked, and does not answer until the end. */
let waiting: RemotePending<unknown>

beforeAll(async () => {
  place.done('home', 'init --passphrase-file pass')
  const { addrs } = await place.up('home')
  address = addrs[0] as Address
  port = Number(address.split('/')[4])
  owner = connectOwner(
    place.path('home', 'owner.sock'),
    readToken(place.path('home', 'admin.token')),
  )
  const input = { to: 'release/app', type: 'ed25519' }
  await owner.run([{ procedure: 'generate', version: 1, input }])
  ci = await createNode()
  await owner.addPeer(ci.peer, 'ci')
  const rule = { peers: ['ci'], paths: ['release/**'] }
  await owner.addRule({ ...rule, procedures: ['pub'], effect: 'allow' })
  await owner.addRule({ ...rule, procedures: ['sign'], effect: 'ask' })
  const message = new TextEncoder().encode('v2.4.0')
  waiting = await connectVault(ci, address).submit(sign, { key: 'release/app', message })
}, 120_000)
afterAll(async () => {
  await ci.stop()
  place[Symbol.dispose]()
})

const key = { key: 'release/app' }

test('a ping is answered while a passphrase is stretched, which takes longer', LONG, async () => {
  await owner.lock()
  const unlocked = owner
    .unlock({ by: 'passphrase-file', path: place.path('pass') })
    .then(() => 'unlocked')
  const pings = async (): Promise<string> => {
    for (let count = 0; count < 5; count++) await ci.ping(ci.connections()[0]?.peer ?? ci.peer)
    return 'pinged'
  }
  expect(await Promise.race([unlocked, pings()])).toBe('pinged')
  expect(await unlocked).toBe('unlocked')
  expect(await allApprovals(owner)).toHaveLength(1)
})

test(`${REQUESTS} other requests go by a prompt that nobody answers`, LONG, async () => {
  const vault = connectVault(ci, address)
  for (let left = REQUESTS; left > 0; left -= 100) {
    const some = Array.from({ length: 100 }, () => vault.run(pub, key))
    expect(await Promise.all(some)).toHaveLength(100)
  }
  expect(waiting.state).toBe('pending')
  expect(await allApprovals(owner)).toHaveLength(1)
})

test('approval list answers while a peer floods, which goes on', LONG, async () => {
  const vault = connectVault(ci, address)
  let answered = 0
  let isOver = false
  const flood = Array.from({ length: 128 }, async () => {
    while (!isOver) {
      await vault.list('**')
      answered++
    }
  })
  await expect.poll(() => answered, { timeout: 60_000 }).toBeGreaterThan(256)
  const listing = place.start('home', 'approval list --json')
  const { exit, json } = await listing.ended
  const before = answered
  expect(exit).toBe(0)
  expect((json as { approvals: unknown[] }).approvals).toHaveLength(1)
  await expect.poll(() => answered, { timeout: 60_000 }).toBeGreaterThan(before)
  isOver = true
  await Promise.all(flood)
})

test(
  `${STRANGERS} strangers that knock are told apart, refused, and asked about by nobody`,
  LONG,
  async () => {
    const strangers: string[] = []
    for (let left = STRANGERS; left > 0; left -= 10) {
      const some = await Promise.all(Array.from({ length: 10 }, () => createNode()))
      const refused = await Promise.allSettled(
        some.map((node) => connectVault(node, address).run(pub, key)),
      )
      for (const one of refused) {
        expect(one).toMatchObject({ status: 'rejected', reason: { reason: 'denied_by_rule' } })
      }
      strangers.push(...some.map(({ peer }) => peer))
      await Promise.all(some.map((node) => node.stop()))
    }
    const { knocks } = place.done('home', 'peer knocks --json').json as {
      knocks: { peer: string }[]
    }
    expect(knocks.map(({ peer }) => peer).toSorted()).toEqual(strangers.toSorted())
    expect(await allApprovals(owner)).toHaveLength(1)
    expect(await connectVault(ci, address).run(pub, key)).toMatchObject({ version: 1 })
  },
)

test('a pairing that is cut at any piece of it is made whole by joining again', LONG, async () => {
  const known = async (): Promise<string[]> => (await owner.peers()).map(({ peer }) => peer)
  const before = (await known()).length
  let cuts = 0
  for (let pieces = 0; pieces < MOST_PIECES; pieces++) {
    using proxy = await CuttingProxy.start(port, pieces)
    const joiner = await createNode()
    try {
      const { secret } = await owner.newTicket({ name: `cut-${pieces}`, lifetimeMs: 60_000 })
      const addresses = [`/ip4/127.0.0.1/tcp/${proxy.port}` as Address]
      const ticket = { peer: address.split('/').at(-1) as Node['peer'], addresses, secret }
      const first = joinPairing(joiner, ticket)
      const joined = await first.catch(() => joinPairing(joiner, ticket))
      expect(joined.name).toBe(`cut-${pieces}`)
      expect(await known()).toContain(joiner.peer)
    } finally {
      await joiner.stop()
    }
    if (!proxy.hasCut) break
    cuts++
  }
  // One peer for each, and tickets that are used up.
  expect(await known()).toHaveLength(before + cuts + 1)
  expect(cuts).toBeGreaterThan(3)
  expect(cuts).toBeLessThan(MOST_PIECES)
  expect(await owner.tickets()).toEqual([])
})

test('what waited all the time is approved, and the audit still verifies', LONG, async () => {
  const [approval] = await allApprovals(owner)
  const result = waiting.result()
  place.done('home', ['approve', approval?.id ?? ''])
  expect(await result).toMatchObject({ version: 1 })
  expect((await owner.verifyAudit()).faults).toEqual([])
})
