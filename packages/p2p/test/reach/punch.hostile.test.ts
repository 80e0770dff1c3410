/** Hole punching in both roles, with a clock that the test moves and a partner that is scripted. */
import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, test, vi } from 'vitest'

import type { Pipe } from '../../src/connection/pipe.ts'
import type { NewEvent } from '../../src/events.ts'
import type { Address, PeerId } from '../../src/identity.ts'
import { followPunch, encodePunch, leadPunch } from '../../src/reach/punch.ts'
import type { PunchInit, PunchMessage, PunchRole } from '../../src/reach/punch.ts'
import { Punches } from '../../src/reach/punches.ts'
import type { PunchDial, PunchesInit, Relayed } from '../../src/reach/punches.ts'
import { readMessage } from '../../src/reach/relay-exchange.ts'
import { frameRelayMessage } from '../../src/reach/relay-message.ts'
import { decodePunch } from '../../src/reach/punch.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import { turns } from '../transports/pipe-events.ts'

const PEER = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN' as PeerId
const RELAY = `/ip4/9.0.0.1/tcp/4001/p2p/${PEER}` as Address
const ADDRESS = '/ip4/8.0.0.1/tcp/4001' as Address
const LIMITS: PunchesInit['limits'] = {
  punchTimeoutMs: 3000,
  punchRetryMs: 60_000,
  maxPunches: 2,
  maxPunchAddresses: 2,
  maxPunchFailures: 2,
  relayTimeoutMs: 10_000,
}

function bytesOf(...addresses: string[]): Uint8Array[] {
  return addresses.map((one) => multiaddr(one).bytes)
}

interface Dialled {
  role: PunchRole
  atMs: number
  addresses: readonly Uint8Array[]
}

/** What a side needs, and what it dialled; `works` says which attempt comes through. */
function side(clock: ManualClock, works: number): { init: PunchInit; dialled: Dialled[] } {
  const dialled: Dialled[] = []
  const init: PunchInit = {
    limits: LIMITS,
    clock,
    signal: new AbortController().signal,
    own: () => bytesOf(ADDRESS),
    dial: (addresses, role, signal) => {
      dialled.push({ role, atMs: clock.nowMs(), addresses })
      if (dialled.length === works) return Promise.resolve()
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error)
        })
      })
    },
  }
  return { init, dialled }
}

function send(pipe: Pipe, message: PunchMessage): void {
  pipe.write([frameRelayMessage(encodePunch(message))])
}

async function read(pipe: Pipe, clock: ManualClock): Promise<PunchMessage> {
  return decodePunch(await readMessage(pipe, { maxBytes: 4096, timeoutMs: 10_000, clock }))
}

async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10) {
    clock.advance(10)
    await turns(2)
  }
}

test('both sides dial at one moment, whatever the way through the relay takes', async () => {
  const clock = manualClock(0)
  const [near, far] = pipePair({ latencyMs: 40, clock })
  const lead = side(clock, 1)
  const follow = side(clock, 1)
  const done = Promise.all([leadPunch(near, lead.init), followPunch(far, follow.init)])
  await pass(clock, 400)
  expect(await done).toEqual([1, undefined])
  expect(lead.dialled).toMatchObject([{ role: 'server', addresses: bytesOf(ADDRESS) }])
  expect(follow.dialled).toMatchObject([{ role: 'client', addresses: bytesOf(ADDRESS) }])
  expect(Math.abs((lead.dialled[0]?.atMs ?? 0) - (follow.dialled[0]?.atMs ?? 0))).toBeLessThan(20)
  expect(clock.timers).toBe(0)
})

test('punchTimeoutMs: an attempt ends there, and three are made', async () => {
  const clock = manualClock(0)
  const [near, far] = pipePair()
  const lead = side(clock, 3)
  const follow = side(clock, 3)
  const done = Promise.all([leadPunch(near, lead.init), followPunch(far, follow.init)])
  await pass(clock, 2 * LIMITS.punchTimeoutMs + 1000)
  expect(await done).toEqual([3, undefined])
  const at = lead.dialled.map(({ atMs }) => Math.round(atMs / 100))
  expect(at).toEqual([0, 30, 60])
})

test('after three attempts both sides give up', async () => {
  const clock = manualClock(0)
  const [near, far] = pipePair()
  const lead = side(clock, 0)
  const follow = side(clock, 0)
  const led = expect(leadPunch(near, lead.init)).rejects.toMatchObject({ reason: 'punch_failed' })
  const followed = expect(followPunch(far, follow.init)).rejects.toThrow('directly')
  await pass(clock, 3 * LIMITS.punchTimeoutMs + 1000)
  await Promise.all([led, followed])
  expect(lead.dialled).toHaveLength(3)
  expect(follow.dialled).toHaveLength(3)
})

test.each<[string, Uint8Array]>([
  ['garbage', frameRelayMessage(Uint8Array.of(1, 2, 3))],
  ['another type', frameRelayMessage(Uint8Array.of(8, 7))],
  ['sync instead of connect', frameRelayMessage(encodePunch({ type: 'sync' }))],
  ['more than 4 KiB', frameRelayMessage(new Uint8Array(4097))],
  ['nothing at all', new Uint8Array(0)],
])('%s from the other side ends it in an error, and nothing is dialled', async (_, said) => {
  for (const role of ['lead', 'follow'] as const) {
    const clock = manualClock(0)
    const [near, far] = pipePair()
    const { init, dialled } = side(clock, 1)
    const done = role === 'lead' ? leadPunch(near, init) : followPunch(near, init)
    const refused = expect(done).rejects.toMatchObject({ layer: 'relay' })
    far.write([said])
    await pass(clock, LIMITS.relayTimeoutMs)
    await refused
    expect(dialled).toEqual([])
    expect(near.closed).toBe(true)
  }
})

/** All that is tried by one node, over pipes whose far ends the test has. */
function punches(given: Partial<PunchesInit> = {}): {
  clock: ManualClock
  all: Punches
  dials: PunchDial[]
  told: NewEvent[]
  relayed(peer: string, direction: Relayed['direction']): Relayed & { far: Pipe }
} {
  const clock = manualClock(0)
  const dials: PunchDial[] = []
  const told: NewEvent[] = []
  const never = (signal: AbortSignal): Promise<void> =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
    })
  const all = new Punches({
    limits: LIMITS,
    clock,
    direct: (_peer, signal) => never(signal),
    dial: (_connection, dial, signal) => {
      dials.push(dial)
      return never(signal)
    },
    wants: () => true,
    emit: (event) => told.push(event),
    ...given,
  })
  return {
    clock,
    all,
    dials,
    told,
    relayed: (peer, direction) => {
      const [near, far] = pipePair()
      const open = (): Pipe => near
      return { peer: peer as PeerId, direction, relay: RELAY, own: () => [ADDRESS], open, far }
    },
  }
}

test('maxPunchAddresses: what the other side tells is dialled as far as it is worth it, and no further', async () => {
  const { clock, all, dials, relayed } = punches()
  const connection = relayed(PEER, 'outbound')
  const [near, far] = pipePair()
  expect(all.follow(near, connection, connection)).toBe(true)
  const addresses = [
    Uint8Array.of(255),
    new Uint8Array(2000),
    ...bytesOf(
      '/ip4/127.0.0.1/tcp/22',
      '/ip4/169.254.169.254/tcp/80',
      '/ip4/10.0.0.1/tcp/22',
      '/ip4/8.0.0.1/udp/53',
      '/dns4/example.org/tcp/443',
      `/ip4/8.0.0.1/tcp/1/p2p/${PEER}/p2p-circuit`,
      '/ip4/8.0.0.1/tcp/1',
      '/ip4/8.0.0.1/tcp/1',
      '/ip4/8.0.0.2/tcp/2',
      '/ip4/8.0.0.3/tcp/3',
    ),
  ]
  send(far, { type: 'connect', addresses })
  expect(await read(far, clock)).toEqual({ type: 'connect', addresses: bytesOf(ADDRESS) })
  expect(dials).toEqual([])
  send(far, { type: 'sync' })
  await turns(4)
  expect(dials).toEqual([
    { address: `/ip4/8.0.0.1/tcp/1/p2p/${PEER}`, role: 'client' },
    { address: `/ip4/8.0.0.2/tcp/2/p2p/${PEER}`, role: 'client' },
  ])
  all.close()
})

test('one connection has three attempts, however many streams ask, and only where we dialled', async () => {
  const { clock, all, dials, relayed } = punches()
  const connection = relayed(PEER, 'outbound')
  expect(all.follow(pipePair()[0], relayed(PEER, 'inbound'), {})).toBe(false)
  for (let attempt = 1; attempt <= 3; attempt++) {
    const [near, far] = pipePair()
    expect(all.follow(near, connection, connection)).toBe(true)
    expect(all.follow(pipePair()[0], connection, connection)).toBe(false)
    send(far, { type: 'connect', addresses: bytesOf('/ip4/8.0.0.1/tcp/1') })
    await read(far, clock)
    send(far, { type: 'sync' })
    await vi.waitFor(() => expect(dials).toHaveLength(attempt))
    far.destroy()
    await pass(clock, LIMITS.punchTimeoutMs + LIMITS.relayTimeoutMs)
    expect(all.size).toBe(0)
  }
  expect(all.follow(pipePair()[0], connection, connection)).toBe(false)
})

test('maxPunches: so many at once, the next one stays relayed', async () => {
  const { all, relayed } = punches()
  void all.lead(relayed('a', 'inbound'), [], true)
  void all.lead(relayed('b', 'inbound'), [], true)
  void all.lead(relayed('c', 'inbound'), [], true)
  expect(all.size).toBe(2)
  const late = relayed('d', 'outbound')
  expect(all.follow(late.open(''), late, late)).toBe(false)
  all.close()
  await turns(2)
  expect(all.size).toBe(0)
})

test('punchRetryMs: where it failed it is left alone that long; maxPunchFailures: the oldest is forgotten', async () => {
  const { clock, all, told, relayed } = punches()
  const fail = async (peer: string): Promise<void> => {
    const connection = relayed(peer, 'inbound')
    const led = all.lead(connection, [], true)
    connection.far.destroy()
    await led
  }
  await fail('a')
  await fail('a')
  expect(told).toMatchObject([{ type: 'direct', peer: 'a', reached: false, attempts: 0 }])
  await fail('b')
  await fail('c')
  await fail('a')
  expect(told.map((event) => ('peer' in event ? event.peer : ''))).toEqual(['a', 'b', 'c', 'a'])
  await fail('c')
  expect(told).toHaveLength(4)
  clock.advance(LIMITS.punchRetryMs)
  await fail('c')
  expect(told).toHaveLength(5)
})

test('strangers to whom nothing is served, and peers that know nothing of it, make us do nothing', async () => {
  const { all, told, dials, relayed } = punches({ wants: (peer) => peer === 'known' })
  await all.lead(relayed('stranger', 'inbound'), [ADDRESS], true)
  await all.lead(relayed('known', 'inbound'), [], false)
  await all.lead(relayed('known', 'outbound'), [ADDRESS], true)
  expect([told, dials]).toEqual([[], []])
})
