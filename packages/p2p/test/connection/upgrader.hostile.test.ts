import { manualClock } from '@stronghold/testkit'
import { defaultLogger } from '@libp2p/logger'
import { TypedEventEmitter } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, test, vi } from 'vitest'
import type { Connection, Libp2pEvents, Upgrader } from '@libp2p/interface'

import { Admission } from '../../src/connection/admission.ts'
import { PipeConnection } from '../../src/connection/message-stream.ts'
import { encodeMessage, MULTISTREAM_PROTOCOL } from '../../src/connection/multistream.ts'
import { createNoise } from '../../src/connection/noise.ts'
import { createUpgrader } from '../../src/connection/upgrader.ts'
import { P2pError } from '../../src/errors.ts'
import { resolveLimits } from '../../src/limits.ts'
import { openIdentity } from '../../src/open-identity.ts'
import { MemoryHub, memory } from '../../src/transports/memory.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Pipe } from '../../src/connection/pipe.ts'
import type { P2pUpgrader, RefusedConnection } from '../../src/connection/upgrader.ts'
import type { P2pLimits } from '../../src/limits.ts'

import { ourNode } from './_nodes.ts'

const NONE = [0, 0, 0, 0, 0, 0]
const counted = (admission: Admission): number[] => Object.values({ ...admission.counts })
const hello = encodeMessage(MULTISTREAM_PROTOCOL)
const identity = await openIdentity({ generate: 'ed25519' })
const log = defaultLogger().forComponent('test')

/** An upgrader in front of a stock one that only notes what gets through to it. */
function alone(given: Partial<P2pLimits> = {}): {
  upgrader: P2pUpgrader
  admission: Admission
  clock: ReturnType<typeof manualClock>
  through: ReturnType<typeof vi.fn>
  refused: RefusedConnection[]
} {
  const limits = resolveLimits(given)
  const clock = manualClock()
  const admission = new Admission({ limits })
  const through = vi.fn((connection: unknown) => Promise.resolve(connection as never))
  const refused: RefusedConnection[] = []
  const stock = {
    upgradeInbound: through,
    upgradeOutbound: through,
  } as Partial<Upgrader> as Upgrader
  const upgrader = createUpgrader(
    { upgrader: stock, events: new TypedEventEmitter<Libp2pEvents>() },
    {
      securities: [createNoise({ identity })],
      limits,
      admission,
      clock,
      offers: () => false,
      onRefused: (one) => refused.push(one),
    },
  )
  return { upgrader, admission, clock, through, refused }
}

const stay = new AbortController().signal

function arrive(
  upgrader: P2pUpgrader,
  address = '/ip4/192.0.2.1/tcp/1',
): { far: Pipe; raw: PipeConnection; done: Promise<unknown> } {
  const [near, far] = pipePair()
  const raw = new PipeConnection(near, {
    remoteAddr: multiaddr(address),
    direction: 'inbound',
    log,
  })
  const done = upgrader.upgradeInbound(raw, { signal: stay }).then(
    () => expect.fail('it got through'),
    (error: unknown) => error,
  )
  return { far, raw, done }
}

test('a connection that says nothing ends when handshakeTimeoutMs is over, and its place is free', async () => {
  const { upgrader, admission, clock, through, refused } = alone({ handshakeTimeoutMs: 3000 })
  const { far, done } = arrive(upgrader)
  expect(admission.counts.pendingInbound).toBe(1)
  clock.advance(2999)
  expect(far.closed).toBe(false)
  clock.advance(1)
  expect(await done).toMatchObject({ code: 'deadline_exceeded', layer: 'dial' })
  expect(far.closed).toBe(true)
  expect(counted(admission)).toEqual(NONE)
  expect(clock.timers).toBe(0)
  expect(through).not.toHaveBeenCalled()
  expect(refused).toMatchObject([{ direction: 'inbound', reason: 'handshake' }])
})

test('a byte now and then does not make a handshake last longer', async () => {
  const { upgrader, admission, clock } = alone({ handshakeTimeoutMs: 3000 })
  const { far, done } = arrive(upgrader)
  const slow = Buffer.concat([hello, encodeMessage('/noise'), Uint8Array.of(0, 32)])
  for (const byte of slow) {
    far.write([Uint8Array.of(byte)])
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
    clock.advance(60)
  }
  clock.advance(3000 - 60 * slow.byteLength)
  expect(await done).toMatchObject({ code: 'deadline_exceeded' })
  expect(counted(admission)).toEqual(NONE)
})

test('what a side sends before it is secured ends at maxHandshakeBytes, negotiation included', async () => {
  const { upgrader, admission } = alone({ maxHandshakeBytes: 100 })
  const { far, done } = arrive(upgrader)
  // 28 bytes of negotiation, then a first Noise message of 80.
  far.write([hello, encodeMessage('/noise'), Uint8Array.of(0, 80), new Uint8Array(80)])
  expect(await done).toMatchObject({ code: 'resource_exhausted', layer: 'limit' })
  expect(far.closed).toBe(true)
  expect(counted(admission)).toEqual(NONE)
})

test('connections over maxPendingPerAddress are closed unread, those of others are served', async () => {
  const { upgrader, admission, refused } = alone({ maxPendingPerAddress: 2 })
  arrive(upgrader)
  arrive(upgrader)
  const third = arrive(upgrader)
  third.far.write([hello])
  expect(await third.done).toMatchObject({ code: 'resource_exhausted', layer: 'limit' })
  expect(third.far.closed).toBe(true)
  expect(refused).toMatchObject([
    { reason: 'too_many_pending_from_address', address: '/ip4/192.0.2.1/tcp/1' },
  ])
  arrive(upgrader, '/ip4/192.0.2.2/tcp/1')
  expect(admission.counts.pendingInbound).toBe(3)
})

test('connections over maxPendingInbound are closed, and a place that becomes free is taken', async () => {
  const { upgrader } = alone({ maxPendingInbound: 1 })
  const first = arrive(upgrader, '/ip4/192.0.2.1/tcp/1')
  const second = arrive(upgrader, '/ip4/192.0.2.2/tcp/1')
  expect(await second.done).toMatchObject({ reason: 'too_many_pending' })
  first.far.destroy()
  expect(await first.done).toMatchObject({ code: 'unavailable' })
  const third = arrive(upgrader, '/ip4/192.0.2.3/tcp/1')
  third.far.write([hello, encodeMessage('/none')])
  await vi.waitFor(() => expect(third.raw.status).toBe('open'))
  expect(third.far.closed).toBe(false)
})

test('a ban ends handshakes of that address at once', async () => {
  const { upgrader, admission, refused } = alone()
  const pending = arrive(upgrader)
  const other = arrive(upgrader, '/ip4/192.0.2.2/tcp/1')
  upgrader.ban('192.0.2.1')
  expect(pending.far.closed || pending.raw.status !== 'open').toBe(true)
  expect(await pending.done).toMatchObject({ code: 'permission_denied', layer: 'firewall' })
  expect(other.raw.status).toBe('open')
  expect(await arrive(upgrader).done).toMatchObject({ reason: 'banned' })
  expect(refused.map(({ reason }) => reason)).toEqual(['banned', 'banned'])
  expect(admission.counts.pendingInbound).toBe(1)
})

test('a connection that is gone before it is looked at leaves its place', async () => {
  const { upgrader, admission, clock } = alone()
  const [near] = pipePair()
  const remoteAddr = multiaddr('/ip4/192.0.2.1/tcp/1')
  const raw = new PipeConnection(near, { remoteAddr, direction: 'inbound', log })
  raw.abort(new Error('gone'))
  await new Promise((resolve) => setImmediate(resolve))
  await expect(upgrader.upgradeInbound(raw, { signal: stay })).rejects.toThrow()
  expect(counted(admission)).toEqual(NONE)
  expect(clock.timers).toBe(0)
})

test('junk of every length before encryption ends in one reset', async () => {
  const { upgrader, admission } = alone()
  for (let length = 1; length < 64; length++) {
    const junk = new Uint8Array(length).map((_, at) => (at * 37 + length * 11) & 0xff)
    const { far, done } = arrive(upgrader)
    far.write([junk])
    far.end()
    expect(await done).toBeInstanceOf(P2pError)
    expect(far.closed).toBe(true)
  }
  expect(counted(admission)).toEqual(NONE)
})

test('a block closes the connections of a peer and refuses new ones in both directions', async () => {
  const transport = memory(new MemoryHub())
  await using alice = await ourNode({ transport, listen: ['/memory/alice'] })
  await using bob = await ourNode({ transport, listen: ['/memory/bob'] })
  const toAlice = multiaddr(`/memory/alice/p2p/${alice.identity.peer}`)
  const connection = await bob.libp2p.dial(toAlice)
  const closed = new Promise((resolve) => connection.addEventListener('close', resolve))
  alice.upgrader.block(bob.identity.peer)
  await closed
  await expect.poll(() => counted(alice.admission)).toEqual(NONE)
  const again = await bob.libp2p.dial(toAlice).catch((error: unknown) => error)
  if (!(again instanceof Error)) {
    // The dialer is done a message before the listener: the connection ends right after.
    await expect.poll(() => bob.libp2p.getConnections().length).toBe(0)
  }
  await expect(
    alice.libp2p.dial(multiaddr(`/memory/bob/p2p/${bob.identity.peer}`)),
  ).rejects.toThrow()
  await expect.poll(() => counted(alice.admission)).toEqual(NONE)
  alice.admission.unblock(bob.identity.peer)
  await bob.libp2p.dial(toAlice)
})

test('a stranger finds a full node closed, a peer with a reserved place does not', async () => {
  const transport = memory(new MemoryHub())
  const friends = new Set<string>()
  await using alice = await ourNode({
    transport,
    listen: ['/memory/alice'],
    limits: { maxInboundConnections: 1, reservedConnections: 1 },
    reserved: (peer) => friends.has(peer),
  })
  const address = multiaddr(`/memory/alice/p2p/${alice.identity.peer}`)
  await using first = await ourNode({ transport })
  await using stranger = await ourNode({ transport })
  await using known = await ourNode({ transport })
  friends.add(known.identity.peer)
  await first.libp2p.dial(address)
  await stranger.libp2p.dial(address).catch(() => {})
  await expect.poll(() => stranger.libp2p.getConnections().length).toBe(0)
  const connection = await known.libp2p.dial(address)
  expect(await known.libp2p.services.ping.ping(connection)).toBeGreaterThanOrEqual(0)
  expect(alice.admission.counts.inbound).toBe(2)
})

test('another peer than the one in the address is refused', async () => {
  const transport = memory(new MemoryHub())
  await using alice = await ourNode({ transport, listen: ['/memory/alice'] })
  await using bob = await ourNode({ transport })
  const { peer } = await openIdentity({ generate: 'ed25519' })
  const dialed = bob.libp2p.dial(multiaddr(`/memory/alice/p2p/${peer}`))
  await expect(dialed).rejects.toMatchObject({ code: 'unauthenticated', layer: 'security' })
  await expect.poll(() => counted(alice.admission)).toEqual(NONE)
  expect(counted(bob.admission)).toEqual(NONE)
})

test('a dial ends at dialTimeoutMs, both attempts together', async () => {
  const { upgrader, admission, clock } = alone({ dialTimeoutMs: 8000, handshakeTimeoutMs: 5000 })
  let dials = 0
  const dialed = upgrader.dial((attempt, signal) => {
    dials += 1
    const [near, far] = pipePair()
    const raw = new PipeConnection(near, {
      remoteAddr: multiaddr('/ip4/192.0.2.1/tcp/1'),
      direction: 'outbound',
      log,
    })
    // The first time the other side drops what was sent ahead; the second time it says nothing.
    if (dials === 1) {
      clock.advance(4000)
      far.destroy()
    }
    return attempt.upgradeOutbound(raw, { signal })
  }, stay)
  dialed.catch(() => {})
  await vi.waitFor(() => expect(dials).toBe(2))
  clock.advance(3999)
  expect(admission.counts.outbound).toBe(1)
  clock.advance(1)
  await expect(dialed).rejects.toMatchObject({ code: 'deadline_exceeded' })
  expect(counted(admission)).toEqual(NONE)
  expect(clock.timers).toBe(0)
})

test('a dial that fails for another reason is not tried again', async () => {
  const { upgrader } = alone({ maxOutboundConnections: 1 })
  let dials = 0
  const attempt = (inner: Upgrader, signal: AbortSignal): Promise<Connection> => {
    dials += 1
    const [near] = pipePair()
    const raw = new PipeConnection(near, {
      remoteAddr: multiaddr('/ip4/192.0.2.1/tcp/1'),
      direction: 'outbound',
      log,
    })
    return inner.upgradeOutbound(raw, { signal })
  }
  const stop = new AbortController()
  const waiting = upgrader.dial(attempt, stop.signal)
  waiting.catch(() => {})
  await expect(upgrader.dial(attempt, stay)).rejects.toMatchObject({ reason: 'too_many_outbound' })
  stop.abort(new Error('never mind'))
  await expect(waiting).rejects.toThrow('never mind')
  expect(dials).toBe(2)
})

test('connections that encrypt themselves pass straight through', async () => {
  const { upgrader, admission, through } = alone()
  const [near] = pipePair()
  const remoteAddr = multiaddr('/ip4/192.0.2.1/udp/1/webrtc-direct')
  const raw = new PipeConnection(near, { remoteAddr, direction: 'inbound', log })
  const options = {
    signal: stay,
    skipEncryption: true as const,
    remotePeer: identity.libp2p.peerId,
  }
  await upgrader.upgradeInbound(raw, options)
  await upgrader.upgradeOutbound(raw, options)
  expect(through.mock.calls.map((call) => (call as unknown[])[1])).toEqual([options, options])
  expect(counted(admission)).toEqual(NONE)
  expect(upgrader.infoOf(raw)).toBeUndefined()
})

test('an upgrader without a security channel is not made', () => {
  const { admission } = alone()
  expect(() =>
    createUpgrader(
      { upgrader: {} as Upgrader, events: new TypedEventEmitter<Libp2pEvents>() },
      { securities: [], limits: resolveLimits(), admission, offers: () => false },
    ),
  ).toThrow(RangeError)
})
