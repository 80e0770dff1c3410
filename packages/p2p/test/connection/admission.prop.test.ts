import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import { Admission } from '../../src/connection/admission.ts'
import type { Ticket } from '../../src/connection/admission.ts'
import type { PeerId } from '../../src/identity.ts'

const limits = {
  maxPendingInbound: 4,
  maxPendingPerAddress: 2,
  maxConnectionsPerAddress: 3,
  maxConnectionsPerPeer: 2,
  maxInboundConnections: 4,
  maxOutboundConnections: 3,
  reservedConnections: 2,
  maxBlocked: 2,
}
const host = fc.constantFrom(
  '192.0.2.1',
  '192.0.2.2',
  '2001:db8::1',
  '2001:db8::2',
  'name',
  undefined,
)
const peer = fc.constantFrom('a', 'b', 'c', 'friend') as fc.Arbitrary<PeerId>
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant('inbound' as const), host }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('outbound' as const), host, peer }) },
  {
    weight: 4,
    arbitrary: fc.record({ act: fc.constant('establish' as const), which: fc.nat(), peer }),
  },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('release' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('ban' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('unban' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('block' as const), peer }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('unblock' as const), peer }) },
)

interface Known {
  ticket: Ticket
  group: string | undefined
  peer?: PeerId
  released: boolean
}
const groupOf = (text: string | undefined): string | undefined =>
  text?.startsWith('2001') === true ? 'six' : text

test.prop([fc.array(step, { maxLength: 80 })], { numRuns: 1500 })(
  'counts are what is held, never above a limit, and zero once everything is released',
  (steps) => {
    const book = new Admission({ limits, reserved: (who) => who === 'friend' })
    // Tickets stay here after their release: releasing and establishing them again must do nothing.
    const all: Known[] = []
    const held = (): Known[] => all.filter(({ released }) => !released)
    for (const next of steps) {
      if (next.act === 'inbound' || next.act === 'outbound') {
        const admitted =
          next.act === 'inbound' ? book.inbound(next.host) : book.outbound(next.host, next.peer)
        if ('ticket' in admitted) {
          all.push({ ticket: admitted.ticket, group: groupOf(next.host), released: false })
        }
      } else if (next.act === 'establish' || next.act === 'release') {
        const known = all[next.which % Math.max(1, all.length)]
        if (known === undefined) continue
        if (next.act === 'release') {
          known.ticket.release()
          known.released = true
        } else if (known.ticket.establish(next.peer) === undefined) {
          expect(known.released || known.peer !== undefined).toBe(false)
          known.peer = next.peer
        }
      } else if (next.act === 'ban') {
        const named = book.ban('192.0.2.1').length
        expect(named).toBe(held().filter(({ group }) => group === '192.0.2.1').length)
      } else if (next.act === 'unban') book.unban('192.0.2.1')
      else if (next.act === 'unblock') book.unblock(next.peer)
      else if (book.isBlocked(next.peer) || book.blocked.length < limits.maxBlocked) {
        const named = book.block(next.peer).length
        expect(named).toBe(held().filter((known) => known.peer === next.peer).length)
      }

      const inbound = held().filter(({ ticket }) => ticket.direction === 'inbound')
      const pending = inbound.filter((known) => known.peer === undefined)
      const established = held().filter((known) => known.peer !== undefined)
      const groups = new Set(inbound.map(({ group }) => group))
      const pendingGroups = new Set(pending.map(({ group }) => group))
      groups.delete(undefined)
      pendingGroups.delete(undefined)
      expect(book.counts).toEqual({
        pendingInbound: pending.length,
        inbound: inbound.length - pending.length,
        outbound: held().length - inbound.length,
        pendingAddresses: pendingGroups.size,
        addresses: groups.size,
        peers: new Set(established.map((known) => known.peer)).size,
      })
      expect(pending.length).toBeLessThanOrEqual(limits.maxPendingInbound)
      expect(held().length - inbound.length).toBeLessThanOrEqual(limits.maxOutboundConnections)
      expect(inbound.length - pending.length).toBeLessThanOrEqual(
        limits.maxInboundConnections + limits.reservedConnections,
      )
      for (const name of groups) {
        const of = (list: Known[]): number => list.filter(({ group }) => group === name).length
        expect(of(pending)).toBeLessThanOrEqual(limits.maxPendingPerAddress)
        expect(of(inbound)).toBeLessThanOrEqual(limits.maxConnectionsPerAddress)
      }
      for (const who of new Set(established.map((known) => known.peer))) {
        const count = established.filter((known) => known.peer === who).length
        expect(count).toBeLessThanOrEqual(limits.maxConnectionsPerPeer)
      }
    }
    for (const { ticket } of all) ticket.release()
    expect(Object.values(book.counts)).toEqual([0, 0, 0, 0, 0, 0])
  },
)
