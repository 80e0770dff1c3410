/** Whom every guard knows, wherever it runs. */
import { describe, expect, it } from 'vitest'

import { allApprovals } from '../src/all-approvals.ts'
import { pairProof } from '../src/tickets.ts'
import { BOX, CI, HOME, SIGN, signing, step, STRANGER, told, withRuleOf } from './guard-of.ts'
import type { SuiteSetup } from './guard-of.ts'

/** Pairing, standing and names. */
export function peersSuite(guarded: SuiteSetup): void {
  const withRule = withRuleOf(guarded)

  describe('pair()', () => {
    it('makes exactly the peer known that proves the ticket, once, without any right', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      await owner.addRule({ peers: ['@new'], procedures: ['pub'], paths: ['x'], effect: 'ask' })
      const ticket = await owner.newTicket({ name: 'laptop', lifetimeMs: 60_000 })
      const used = owner.ticketUsed(ticket.id, { signal: AbortSignal.timeout(10_000) })
      // Over a socket the network door is another way, and may be the shorter one.
      await owner.status()
      const peers = { joins: STRANGER.peer, opened: HOME }
      const proof = pairProof(ticket.secret, 'joins', peers)
      expect(await network.pair(CI, ticket.id, proof)).toEqual({ paired: false })
      expect(await network.pair(STRANGER, ticket.id, proof)).toEqual({
        paired: true,
        proof: pairProof(ticket.secret, 'opened', peers),
        name: 'laptop',
      })
      expect(await used).toMatchObject({ peer: STRANGER.peer, name: 'laptop', via: 'paired' })
      expect(await network.pair(STRANGER, ticket.id, proof)).toEqual({ paired: false })
      expect(await network.list(STRANGER)).toEqual({ records: [], more: false })
    })

    it('maxPeers: makes nobody known past it, and keeps the ticket', async () => {
      await using all = await guarded({ limits: { maxPeers: 2 } })
      const { network, owner } = all.guard
      const { id, secret } = await owner.newTicket({ name: 'laptop', lifetimeMs: 60_000 })
      const proof = pairProof(secret, 'joins', { joins: STRANGER.peer, opened: HOME })
      expect(await network.pair(STRANGER, id, proof)).toEqual({ paired: false })
      await owner.removePeer(BOX.peer)
      expect(await network.pair(STRANGER, id, proof)).toMatchObject({ paired: true })
      expect(await owner.peers()).toHaveLength(2)
    })

    it('closes a ticket after ten wrong proofs, and when its time is over', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      const ticket = await owner.newTicket({ lifetimeMs: 60_000 })
      const wrong = new Uint8Array(32)
      for (let i = 0; i < 10; i++) await network.pair(STRANGER, ticket.id, wrong)
      expect(await owner.tickets()).toEqual([])
      const late = await owner.newTicket({ lifetimeMs: 60_000 })
      await all.clock.advance(60_000)
      const proof = pairProof(late.secret, 'joins', { joins: STRANGER.peer, opened: HOME })
      expect(await network.pair(STRANGER, late.id, proof)).toEqual({ paired: false })
    })

    it('is told of by how many tickets are open, also when one is used, canceled or over', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      const stop = new AbortController()
      const counts = network.pairing({ signal: stop.signal })[Symbol.asyncIterator]()
      const next = async (): Promise<unknown> => (await counts.next()).value
      expect(await next()).toBe(0)
      const used = await owner.newTicket({ lifetimeMs: 60_000 })
      expect(await next()).toBe(1)
      const canceled = await owner.newTicket({ lifetimeMs: 50_000 })
      expect(await next()).toBe(2)
      await owner.cancelTicket(canceled.id)
      expect(await next()).toBe(1)
      const proof = pairProof(used.secret, 'joins', { joins: STRANGER.peer, opened: HOME })
      await network.pair(STRANGER, used.id, proof)
      expect(await next()).toBe(0)
      await owner.newTicket({ lifetimeMs: 60_000 })
      expect(await next()).toBe(1)
      await all.clock.advance(60_000)
      expect(await next()).toBe(0)
      stop.abort()
      expect(await counts.next()).toMatchObject({ done: true })
    })
  })

  describe('peers', () => {
    it('that are blocked or removed lose their standing, what they asked for, and what was granted to them', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const granted = async (): Promise<number> => {
        await network.submit(CI, signing('x'))
        const [approval] = await allApprovals(owner)
        const hashes = [approval?.boundHash ?? new Uint8Array()]
        await owner.decide(hashes, 'time', { forMs: 60_000 })
        return (await owner.grants()).length
      }
      expect(await granted()).toBe(1)
      const message = new Uint8Array(1)
      const request = {
        ...signing(''),
        steps: [step('sign', { key: 'release/app', message, as: { format: 'raw' } })],
      }
      expect(told(await network.submit(CI, request))).toBe('pending')
      const stop = new AbortController()
      const cuts = network.cutOff({ signal: stop.signal })[Symbol.asyncIterator]()
      const waiting = network.wait(CI, request.id)
      await owner.blockPeer(CI.peer, true)
      expect(await cuts.next()).toEqual({ done: false, value: CI.peer })
      expect(told(await waiting)).toBe('permission_denied denied_by_rule')
      expect(await allApprovals(owner)).toEqual([])
      expect(await network.standing(CI)).toBe('blocked')
      expect(await owner.grants()).toEqual([])
      await owner.blockPeer(CI.peer, false)
      expect(await granted()).toBe(1)
      await owner.removePeer(CI.peer)
      expect(await owner.grants()).toEqual([])
      expect(await network.standing(CI)).toBe('unknown')
      stop.abort()
    })

    it('that nobody knows are remembered, and cause no prompt', async () => {
      await using all = await guarded({ limits: { maxKnocks: 3 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, peers: ['known'], effect: 'ask' })
      for (let i = 0; i < 5; i++) {
        const stranger = { peer: `${STRANGER.peer}${i}`, connection: '/memory/9' }
        expect(told(await network.submit(stranger, signing('x')))).toContain('permission_denied')
      }
      expect(await allApprovals(owner)).toEqual([])
      expect((await owner.knocks()).map(({ peer }) => peer.at(-1))).toEqual(['4', '3', '2'])
    })

    it('with another’s name bring no rights along', async () => {
      await using all = await withRule('allow')
      const { network, owner } = all.guard
      await owner.removePeer(CI.peer)
      await owner.addPeer(STRANGER.peer, 'ci')
      expect(told(await network.submit(STRANGER, signing('x')))).toBe(
        'permission_denied denied_by_rule',
      )
    })
  })
}
