/** Pairing between two nodes, whole and cut at each message. */
import { manualClock } from '@stronghold/testkit'
import { expect, test } from 'vitest'

import { joinPairing, servePairing } from '../src/index.ts'
import type { PairingService } from '../src/index.ts'
import { KEEP_PAIRING_MS } from '../src/limits.ts'
import { pairProtocol } from '../src/pair.ts'
import { failure, served } from './served.ts'
import type { Served } from './served.ts'

const REFUSED = { code: 'permission_denied', reason: 'ticket_refused' }

/** A ticket that is open, and the pairing that goes with it. */
async function opened(all: Served, pairing: PairingService) {
  const { id, secret } = await all.guard.owner.newTicket({ name: 'box', lifetimeMs: 60_000 })
  pairing.setOpen((await all.guard.owner.tickets()).length)
  const addresses = all.home.addresses.map((one) => one.replace(/\/p2p\/[^/]+$/, '') as typeof one)
  return { id, ticket: { peer: all.home.peer, addresses, secret } }
}

test('a ticket makes each known to the other, once, and gives no right', async () => {
  await using all = await served()
  await using pairing = servePairing(all.home, all.guard)
  const { ticket, id } = await opened(all, pairing)
  const used = all.guard.owner.ticketUsed(id, { signal: new AbortController().signal })
  const box = await all.network.createNode({ listen: [] })
  const joined = await joinPairing(box, ticket)
  expect(joined).toEqual({ peer: all.home.peer, addresses: all.home.addresses, name: 'box' })
  expect(box.book.list(all.home.peer).map(({ source }) => source)).toContain('user')
  expect(await used).toMatchObject({ peer: box.peer, name: 'box', via: 'paired' })
  expect(await all.guard.owner.rules()).toEqual([])
  const other = await all.network.createNode({ listen: [] })
  expect(await failure(joinPairing(other, ticket))).toMatchObject(REFUSED)
  expect(await all.guard.owner.peers()).toHaveLength(2)
})

test('the protocol is there only while a ticket is open', async () => {
  await using all = await served()
  await using pairing = servePairing(all.home, all.guard)
  const events = all.home.events({ types: ['request', 'denied'] })
  const { ticket, id } = await opened(all, pairing)
  await all.guard.owner.cancelTicket(id)
  pairing.setOpen(0)
  expect(await failure(joinPairing(all.away, ticket))).toMatchObject({ ...REFUSED, ran: 'no' })
  await all.home.stop()
  for await (const event of events) expect(event.type).not.toBe('request')
})

test('wrong proofs are refused, and ten of them close a ticket', async () => {
  await using all = await served()
  await using pairing = servePairing(all.home, all.guard)
  const { ticket, id } = await opened(all, pairing)
  const box = await all.network.createNode({ listen: [] })
  const secret = new Uint8Array(16)
  expect(await failure(joinPairing(box, { ...ticket, secret }))).toMatchObject(REFUSED)
  const client = box.client(pairProtocol, all.home.addresses)
  for (let wrong = 0; wrong < 10; wrong++) {
    expect(await all.guard.owner.tickets()).toMatchObject([{ wrong }])
    const proof = new Uint8Array(32).fill(wrong)
    expect(await failure(client.pair({ ticket: id, proof }))).toMatchObject({
      ...REFUSED,
      ran: 'no',
    })
  }
  expect(await all.guard.owner.tickets()).toEqual([])
  expect(await failure(joinPairing(box, ticket))).toMatchObject(REFUSED)
  expect(await all.guard.owner.peers()).toHaveLength(1)
})

test('who sits at the address and does not hold the ticket is not taken for the peer', async () => {
  await using all = await served()
  const answer = { paired: true, proof: new Uint8Array(32), name: 'box' } as const
  const wrong = { pair: async () => answer }
  await using pairing = servePairing(all.home, { network: wrong })
  const { ticket } = await opened(all, pairing)
  const box = await all.network.createNode({ listen: [] })
  expect(await failure(joinPairing(box, ticket))).toMatchObject({ code: 'unauthenticated' })
  expect(box.book.list(all.home.peer).some(({ source }) => source === 'user')).toBe(false)
})

test('cut before the proof arrives: nobody knows anybody, and the ticket still opens', async () => {
  await using all = await served()
  let cut = true
  const network = {
    pair: (...args: Parameters<typeof all.guard.network.pair>) => {
      if (!cut) return all.guard.network.pair(...args)
      return new Promise<never>(() => {})
    },
  }
  await using pairing = servePairing(all.home, { network })
  const { ticket } = await opened(all, pairing)
  const box = await all.network.createNode({ listen: [] })
  await expect(joinPairing(box, ticket, { timeoutMs: 200 })).rejects.toMatchObject({
    code: 'deadline_exceeded',
  })
  expect(await all.guard.owner.peers()).toHaveLength(1)
  expect(box.book.list(all.home.peer).some(({ source }) => source === 'user')).toBe(false)
  cut = false
  await joinPairing(box, ticket)
  expect(await all.guard.owner.peers()).toHaveLength(2)
})

test('cut before the answer arrives: who joined asks again and hears it, nobody else does', async () => {
  await using all = await served()
  const clock = manualClock(Date.now())
  let cut = true
  const box = await all.network.createNode({ listen: [] })
  const network = {
    pair: async (...args: Parameters<typeof all.guard.network.pair>) => {
      const answer = await all.guard.network.pair(...args)
      if (cut) await all.home.disconnect(box.peer)
      cut = false
      return answer
    },
  }
  await using pairing = servePairing(all.home, { network }, clock)
  const { ticket } = await opened(all, pairing)
  // In the same breath p2p sends it again; a joiner that gave up does the same by itself.
  await expect(joinPairing(box, ticket)).resolves.toMatchObject({ peer: all.home.peer })
  pairing.setOpen(0)
  await expect(joinPairing(box, ticket)).resolves.toMatchObject({ peer: all.home.peer })
  expect(await failure(joinPairing(all.away, ticket))).toMatchObject(REFUSED)
  clock.advance(KEEP_PAIRING_MS)
  expect(await failure(joinPairing(box, ticket))).toMatchObject({ ...REFUSED, ran: 'no' })
  expect(await all.guard.owner.peers()).toHaveLength(2)
  expect(clock.timers).toBe(0)
})
