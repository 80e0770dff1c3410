import { expect, test } from 'vitest'

import { Admission, refusalError } from '../../src/connection/admission.ts'
import { DEFAULT_LIMITS, resolveLimits } from '../../src/limits.ts'
import type { Admitted, Refusal, Ticket } from '../../src/connection/admission.ts'
import type { PeerId } from '../../src/identity.ts'
import type { P2pLimits } from '../../src/limits.ts'

const peer = (name: string): PeerId => name as PeerId
const NONE = {
  pendingInbound: 0,
  inbound: 0,
  outbound: 0,
  pendingAddresses: 0,
  addresses: 0,
  peers: 0,
}

function admission(
  limits: Partial<P2pLimits> = {},
  reserved?: (peer: PeerId) => boolean,
): Admission {
  return new Admission({
    limits: resolveLimits(limits),
    ...(reserved === undefined ? {} : { reserved }),
  })
}
function taken(admitted: Admitted): Ticket {
  if ('refused' in admitted) expect.fail(admitted.refused)
  return admitted.ticket
}
function refused(admitted: Admitted): Refusal | undefined {
  return 'refused' in admitted ? admitted.refused : undefined
}

test('a connection is pending until its peer is proven, and gone once released', () => {
  const book = admission()
  const ticket = taken(book.inbound('192.0.2.1'))
  expect(book.counts).toEqual({ ...NONE, pendingInbound: 1, pendingAddresses: 1, addresses: 1 })
  expect(ticket.establish(peer('a'))).toBeUndefined()
  expect(ticket.peer).toBe('a')
  expect(book.counts).toEqual({ ...NONE, inbound: 1, addresses: 1, peers: 1 })
  ticket.release()
  ticket.release()
  expect(book.counts).toEqual(NONE)
})

test('a released ticket and one that is established already establish nothing', () => {
  const book = admission()
  const first = taken(book.inbound('192.0.2.1'))
  first.release()
  expect(first.establish(peer('a'))).toBe('closed')
  const second = taken(book.outbound('192.0.2.1'))
  expect(second.establish(peer('a'))).toBeUndefined()
  expect(second.establish(peer('b'))).toBe('closed')
  second.release()
  expect(book.counts).toEqual(NONE)
})

test('maxPendingInbound bounds the handshakes of everybody', () => {
  const book = admission({ maxPendingInbound: 2 })
  const first = taken(book.inbound('192.0.2.1'))
  taken(book.inbound('192.0.2.2'))
  expect(refused(book.inbound('192.0.2.3'))).toBe('too_many_pending')
  expect(first.establish(peer('a'))).toBeUndefined()
  taken(book.inbound('192.0.2.3'))
})

test('maxPendingPerAddress bounds the handshakes of one address, others pass', () => {
  const book = admission({ maxPendingPerAddress: 2 })
  const first = taken(book.inbound('192.0.2.1'))
  taken(book.inbound('192.0.2.1'))
  expect(refused(book.inbound('192.0.2.1'))).toBe('too_many_pending_from_address')
  expect(refused(book.inbound('::ffff:192.0.2.1'))).toBe('too_many_pending_from_address')
  taken(book.inbound('192.0.2.2'))
  first.release()
  taken(book.inbound('192.0.2.1'))
})

test('the addresses of one IPv6 /64 count as one', () => {
  const book = admission({ maxPendingPerAddress: 1 })
  taken(book.inbound('2001:db8::1'))
  expect(refused(book.inbound('2001:db8::ffff:1'))).toBe('too_many_pending_from_address')
  taken(book.inbound('2001:db8:0:1::1'))
})

test('maxConnectionsPerAddress bounds established connections of one address too', () => {
  const book = admission({ maxConnectionsPerAddress: 2 })
  expect(taken(book.inbound('192.0.2.1')).establish(peer('a'))).toBeUndefined()
  const second = taken(book.inbound('192.0.2.1'))
  expect(refused(book.inbound('192.0.2.1'))).toBe('too_many_from_address')
  taken(book.outbound('192.0.2.1'))
  second.release()
  taken(book.inbound('192.0.2.1'))
})

test('maxConnectionsPerPeer bounds the connections with one peer, both directions together', () => {
  const book = admission({ maxConnectionsPerPeer: 2 })
  expect(taken(book.inbound('192.0.2.1')).establish(peer('a'))).toBeUndefined()
  expect(taken(book.outbound('192.0.2.1')).establish(peer('a'))).toBeUndefined()
  expect(taken(book.inbound('192.0.2.2')).establish(peer('a'))).toBe('too_many_with_peer')
  expect(taken(book.inbound('192.0.2.2')).establish(peer('b'))).toBeUndefined()
})

test('past maxInboundConnections only peers with a reserved place come in, as many as there are places', () => {
  const book = admission({ maxInboundConnections: 1, reservedConnections: 2 }, (who) =>
    who.startsWith('friend'),
  )
  expect(taken(book.inbound(undefined)).establish(peer('stranger'))).toBeUndefined()
  const late = taken(book.inbound(undefined))
  expect(late.establish(peer('late'))).toBe('too_many_inbound')
  late.release()
  expect(taken(book.inbound(undefined)).establish(peer('friend 1'))).toBeUndefined()
  const second = taken(book.inbound(undefined))
  const third = taken(book.inbound(undefined))
  expect(second.establish(peer('friend 2'))).toBeUndefined()
  expect(third.establish(peer('friend 3'))).toBe('too_many_inbound')
  third.release()
  // Every place is taken: nobody costs a handshake any more.
  expect(refused(book.inbound(undefined))).toBe('too_many_inbound')
})

test('without reservedConnections the last place is the last', () => {
  const book = admission({ maxInboundConnections: 1, reservedConnections: 0 }, () => true)
  expect(taken(book.inbound(undefined)).establish(peer('a'))).toBeUndefined()
  expect(refused(book.inbound(undefined))).toBe('too_many_inbound')
})

test('maxOutboundConnections bounds our own dials', () => {
  const book = admission({ maxOutboundConnections: 1 })
  const first = taken(book.outbound('192.0.2.1'))
  expect(refused(book.outbound('192.0.2.2'))).toBe('too_many_outbound')
  taken(book.inbound('192.0.2.2'))
  first.release()
  taken(book.outbound('192.0.2.2'))
})

test('what bytes can be held before encryption is bounded by pending connections', () => {
  const { maxPendingInbound, maxPendingPerAddress, maxHandshakeBytes } = DEFAULT_LIMITS
  expect(maxPendingInbound * maxHandshakeBytes).toBe(8 * 1024 * 1024)
  expect(maxPendingPerAddress * maxHandshakeBytes).toBe(1024 * 1024)
})

test('a ban refuses an address at once and names the connections to close', () => {
  const book = admission()
  const pending = taken(book.inbound('192.0.2.1'))
  const outbound = taken(book.outbound('192.0.2.1'))
  const other = taken(book.inbound('192.0.2.2'))
  const memory = taken(book.inbound('some name'))
  expect(book.ban('192.0.2.1')).toEqual([pending, outbound])
  expect(refused(book.inbound('192.0.2.1'))).toBe('banned')
  expect(refused(book.outbound('192.0.2.1'))).toBe('banned')
  expect(pending.establish(peer('a'))).toBe('banned')
  expect(other.establish(peer('b'))).toBeUndefined()
  expect(memory.establish(peer('c'))).toBeUndefined()
  expect(book.banned).toEqual(['192.0.2.1/32'])
  expect(book.isBanned('192.0.2.1')).toBe(true)
  expect(book.unban('192.0.2.1')).toBe(true)
  expect(book.unban('192.0.2.1')).toBe(false)
  taken(book.inbound('192.0.2.1'))
})

test('a ban of a prefix refuses what lies in it, whatever else is banned', () => {
  const book = admission()
  const inside = taken(book.inbound('10.1.2.3'))
  expect(book.ban('10.0.0.0/8')).toEqual([inside])
  expect(book.ban('10.1.0.0/16')).toEqual([inside])
  book.ban('2001:db8::/32')
  expect(refused(book.inbound('10.9.9.9'))).toBe('banned')
  expect(refused(book.inbound('::ffff:10.9.9.9'))).toBe('banned')
  expect(refused(book.inbound('2001:db8:1::1'))).toBe('banned')
  taken(book.inbound('11.0.0.1'))
  taken(book.inbound('2001:db9::1'))
  expect(book.unban('10.0.0.0/8')).toBe(true)
  expect(book.isBanned('10.1.2.3')).toBe(true)
  expect(book.isBanned('10.2.2.3')).toBe(false)
  expect(book.isBanned('no address')).toBe(false)
  expect(() => book.ban('example.org')).toThrow(SyntaxError)
})

test('a block refuses a peer at once and names the connections to close', () => {
  const book = admission()
  const open = taken(book.inbound('192.0.2.1'))
  open.establish(peer('a'))
  const pending = taken(book.inbound('192.0.2.1'))
  expect(book.block(peer('a'))).toEqual([open])
  expect(pending.establish(peer('a'))).toBe('blocked')
  expect(refused(book.outbound('192.0.2.1', peer('a')))).toBe('blocked')
  expect(book.isBlocked(peer('a'))).toBe(true)
  expect(book.blocked).toEqual(['a'])
  expect(book.unblock(peer('a'))).toBe(true)
  expect(pending.establish(peer('a'))).toBeUndefined()
})

test('maxBlocked bounds bans and blocks, and no old one is forgotten for a new one', () => {
  const book = admission({ maxBlocked: 2 })
  book.ban('192.0.2.1')
  book.ban('192.0.2.2')
  book.ban('192.0.2.2')
  expect(() => book.ban('192.0.2.3')).toThrow('too many')
  expect(book.isBanned('192.0.2.1')).toBe(true)
  book.block(peer('a'))
  book.block(peer('b'))
  book.block(peer('b'))
  expect(() => book.block(peer('c'))).toThrow('too many')
  expect(book.isBlocked(peer('a'))).toBe(true)
})

test('a refusal becomes an error that says why, with layer and code', () => {
  expect(refusalError('banned')).toMatchObject({ code: 'permission_denied', layer: 'firewall' })
  expect(refusalError('blocked', { peer: peer('a') })).toMatchObject({
    code: 'permission_denied',
    peer: 'a',
    reason: 'blocked',
  })
  expect(refusalError('too_many_pending_from_address')).toMatchObject({
    code: 'resource_exhausted',
    layer: 'limit',
    reason: 'too_many_pending_from_address',
    ran: 'no',
  })
  expect(refusalError('closed')).toMatchObject({ code: 'canceled', layer: 'dial' })
})
