/** Nodes and relays over a network in memory: modes, budgets, a relay that goes and comes back. */
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { manualClock } from '@stronghold/testkit'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'

import { bytes, defineProtocol, parseAddress, serverStream, unary } from '../../src/index.ts'
import type { Address, Node, NodeEvent, NodeInit } from '../../src/index.ts'
import { RelayAccounts } from '../../src/reach/relay-accounts.ts'
import { memoryNetwork } from '../../src/testing.ts'
import { turns } from '../transports/pipe-events.ts'

const protocol = defineProtocol('/example/relayed/1.0.0', {
  echo: unary({ request: bytes, response: bytes }),
  make: unary({ request: z.object({ bytes: z.int() }), response: bytes }),
  down: serverStream({ request: z.object({ bytes: z.int() }), download: bytes }),
})
const OPEN: NodeInit = { firewall: { inbound: { fallback: 'allow' } } }
const SERVE: NodeInit = { relay: { serve: true } }
const KIB = 1024

function through(relay: Node): Address {
  return parseAddress(`${relay.addresses[0]}/p2p-circuit`)
}

/** Serves, and counts how often a handler ran. */
function serve(home: Node): { ran: number } {
  const counts = { ran: 0 }
  home.serve(protocol, {
    echo: (message) => {
      counts.ran += 1
      return message
    },
    make: ({ bytes: length }) => {
      counts.ran += 1
      return new Uint8Array(length)
    },
    down: function* ({ bytes: length }) {
      for (let sent = 0; sent < length; sent += KIB) yield new Uint8Array(KIB)
    },
  })
  return counts
}

function told(node: Node): NodeEvent[] {
  const events: NodeEvent[] = []
  void (async () => {
    for await (const event of node.events()) events.push(event)
  })()
  return events
}

test('requests go on over renewed connections when the budget of one is used up, each once', async () => {
  await using network = memoryNetwork()
  const relay = await network.createNode({ ...SERVE, limits: { maxRelayCircuitBytes: 32 * KIB } })
  const home = await network.createNode({ ...OPEN, listen: [through(relay)] })
  const counts = serve(home)
  const away = await network.createNode({ listen: [] })
  const remote = away.client(protocol, home.addresses)
  for (let i = 0; i < 100; i++)
    expect((await remote.echo(new Uint8Array(KIB))).byteLength).toBe(KIB)
  expect(counts.ran).toBe(100)
  expect(relay.relay.status().serving?.circuits).toBeGreaterThan(5)
  // Many at once: whatever is cut off is asked again with its id, and answered once.
  const many = Array.from({ length: 64 }, () => remote.echo(new Uint8Array(KIB)))
  expect(await Promise.all(many)).toHaveLength(64)
  expect(counts.ran).toBe(164)
})

test('a request that waits longer than a circuit may stand is answered once, over the next one', async () => {
  const clock = manualClock(Date.now())
  await using network = memoryNetwork()
  const relay = await network.createNode(SERVE, { clock })
  const decided = Promise.withResolvers<undefined>()
  const home = await network.createNode(
    {
      listen: [through(relay)],
      limits: { askTimeoutMs: 3_600_000 },
      firewall: {
        inbound: { fallback: 'ask' },
        onAsk: () => decided.promise.then(() => 'allow' as const),
      },
    },
    { clock },
  )
  const counts = serve(home)
  const away = await network.createNode({ listen: [] }, { clock })
  const events = told(away)
  const remote = away.client(protocol, home.addresses)
  const answer = remote.echo(Uint8Array.of(7), { timeoutMs: 3_600_000 })
  const circuits = (): number => relay.relay.status().serving?.circuits ?? 0
  // Twelve circuits, one after the other, which is more than a request may break.
  for (let circuit = 1; circuit <= 12; circuit++) {
    await expect.poll(circuits, { timeout: 5000 }).toBe(circuit)
    await expect.poll(() => home.connections(away.peer).length).toBe(1)
    await turns(20)
    // Pings are answered on the way.
    for (let s = 0; s < 115; s += 5) {
      clock.advance(5000)
      await turns(3)
    }
  }
  decided.resolve(undefined)
  expect(await answer).toEqual(Uint8Array.of(7))
  expect(counts.ran).toBe(1)
  expect(events).toContainEqual(expect.objectContaining({ type: 'disconnected', reason: 'limit' }))
})

test('a connection that was replaced is closed', async () => {
  await using network = memoryNetwork()
  const relay = await network.createNode({ ...SERVE, limits: { maxRelayCircuitBytes: 32 * KIB } })
  const home = await network.createNode({ ...OPEN, listen: [through(relay)] })
  serve(home)
  const away = await network.createNode({ listen: [] })
  const events = told(away)
  const remote = away.client(protocol, home.addresses)
  for (let i = 0; i < 20; i++) await remote.echo(new Uint8Array(KIB))
  await expect.poll(() => away.connections(home.peer).length, { timeout: 5000 }).toBe(1)
  expect(events).toContainEqual(
    expect.objectContaining({ type: 'disconnected', peer: home.peer, reason: 'replaced' }),
  )
})

test('what no budget holds ends in a clear error: request, answer, download', async () => {
  await using network = memoryNetwork()
  const relay = await network.createNode({ ...SERVE, limits: { maxRelayCircuitBytes: 32 * KIB } })
  const home = await network.createNode({ ...OPEN, listen: [through(relay)] })
  const counts = serve(home)
  const away = await network.createNode({ listen: [] })
  const remote = away.client(protocol, home.addresses)
  const tooMuch = { code: 'resource_exhausted', layer: 'relay', reason: 'relay_bytes' }
  await expect(remote.echo(new Uint8Array(40 * KIB))).rejects.toMatchObject({
    ...tooMuch,
    ran: 'no',
  })
  expect(counts.ran).toBe(0)
  await expect(remote.make({ bytes: 40 * KIB })).rejects.toMatchObject({ ...tooMuch, ran: 'yes' })
  expect(counts.ran).toBe(1)
  await expect(async () => {
    for await (const item of remote.down({ bytes: 100 * KIB })) expect(item).toHaveLength(KIB)
  }).rejects.toMatchObject({ layer: 'relay', ran: 'maybe' })
  // What does fit still does.
  expect(await remote.make({ bytes: 20 * KIB })).toHaveLength(20 * KIB)
})

test('the relay mode of a peer: fallback, only, never, or one named relay', async () => {
  await using network = memoryNetwork()
  const [one, two] = [await network.createNode(SERVE), await network.createNode(SERVE)]
  const home = await network.createNode({
    ...OPEN,
    listen: ['/memory/home', through(one), through(two)],
  })
  serve(home)
  const ask = async (init: (away: Node) => void): Promise<string> => {
    const away = await network.createNode({ listen: [] })
    for (const relay of [one, two]) away.book.addDialingRelay(relay.addresses[0] as Address)
    init(away)
    await away.client(protocol, home.peer).echo(Uint8Array.of(1))
    const [connection] = away.connections(home.peer)
    return connection?.remoteAddress ?? ''
  }
  const direct = parseAddress('/memory/home')
  const gone = parseAddress('/memory/gone')
  // Direct, where that works.
  expect(await ask((away) => away.book.add(home.peer, direct))).toBe(
    `/memory/home/p2p/${home.peer}`,
  )
  // Through a relay, where it does not.
  expect(await ask((away) => away.book.add(home.peer, gone))).toContain(
    `/p2p/${one.peer}/p2p-circuit`,
  )
  // Through a relay, although it would.
  const only = ask((away) => {
    away.book.add(home.peer, direct)
    away.book.setRelayMode(home.peer, 'only')
  })
  expect(await only).toContain('/p2p-circuit')
  // Through that one.
  const named = ask((away) => {
    away.book.add(home.peer, direct)
    away.book.setRelayMode(home.peer, two.peer)
  })
  expect(await named).toContain(`/p2p/${two.peer}/p2p-circuit`)
  // Not at all.
  const never = ask((away) => {
    away.book.add(home.peer, gone)
    away.book.setRelayMode(home.peer, 'never')
  })
  await expect(never).rejects.toMatchObject({ code: 'unavailable', layer: 'dial' })
})

test('when neither way works the error says both', async () => {
  await using network = memoryNetwork()
  const relay = await network.createNode(SERVE)
  const home = await network.createNode({ listen: [] })
  const away = await network.createNode({ listen: [] })
  away.book.addDialingRelay(relay.addresses[0] as Address)
  away.book.add(home.peer, parseAddress('/memory/gone'))
  const call = away.client(protocol, home.peer).echo(Uint8Array.of(1))
  await expect(call).rejects.toMatchObject({
    code: 'unavailable',
    layer: 'relay',
    reason: 'no_reservation',
    message: expect.stringContaining('directly: Cannot dial') as unknown,
  })
})

test('maxRelays: one more is refused; the same twice, too', async () => {
  await using network = memoryNetwork()
  const relays = [await network.createNode(SERVE), await network.createNode(SERVE)]
  const [one, two] = relays.map((relay) => through(relay)) as [Address, Address]
  const home = await network.createNode({ listen: [one], limits: { maxRelays: 1 } })
  await expect(home.listen(one)).rejects.toMatchObject({ code: 'failed_precondition' })
  await expect(home.listen(two)).rejects.toMatchObject({ code: 'failed_precondition' })
  expect(await home.relay.unuse(one)).toBe(true)
  expect(await home.relay.unuse(one)).toBe(false)
  expect(home.addresses).toEqual([])
  expect(await home.listen(two)).toEqual([two])
})

test('a relay is ruled at run time: allow, deny, quota, usage', async () => {
  await using network = memoryNetwork()
  const relay = await network.createNode({ relay: { serve: { allow: [] } } })
  const home = await network.createNode({ ...OPEN, listen: [] })
  serve(home)
  await expect(home.listen(through(relay))).rejects.toMatchObject({
    code: 'permission_denied',
    layer: 'relay',
  })
  relay.relay.allow(home.peer)
  await home.listen(through(relay))
  relay.relay.setQuota(home.peer, { circuitBytes: 64 * KIB })
  expect(relay.relay.quotaOf(home.peer)).toEqual({ circuitBytes: 64 * KIB })
  const away = await network.createNode({ listen: [] })
  await away.client(protocol, home.addresses).echo(Uint8Array.of(1))
  expect(relay.relay.usage()).toMatchObject([
    { peer: away.peer, openCircuits: 1, reservations: 0 },
    { peer: home.peer, openCircuits: 1, reservations: 1 },
  ])
  relay.relay.deny(away.peer)
  await expect.poll(() => away.connections(home.peer)).toEqual([])
  relay.relay.setQuota('everybody', { circuits: 0 })
  expect(relay.relay.quotaOf('everybody')).toEqual({ circuits: 0 })
  const third = await network.createNode({ listen: [] })
  await expect(third.connect(home.addresses)).rejects.toMatchObject({
    code: 'resource_exhausted',
    layer: 'relay',
  })
  relay.relay.setQuota('everybody', undefined)
  expect((await third.connect(home.addresses)).relayed).toBe(true)
  const refused = away.client(protocol, home.addresses).echo(Uint8Array.of(1))
  await expect(refused).rejects.toMatchObject({ code: 'permission_denied', layer: 'relay' })
  expect(() => home.relay.allow(away.peer)).toThrow(
    expect.objectContaining({ code: 'failed_precondition', layer: 'relay' }),
  )
  expect(() => relay.relay.setQuota(away.peer, { circuits: -1 })).toThrow(RangeError)
  expect(() => relay.relay.setQuota(away.peer, { circuit: 1 } as never)).toThrow(TypeError)
})

test.each<[string, object]>([
  ['an unknown key', { server: true }],
  ['an unknown key of serve', { serve: { deny: [] } }],
  ['an address that is no relay', { use: ['/memory/a'] }],
  [
    'a whole circuit',
    { use: ['/memory/a/p2p-circuit/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'] },
  ],
  ['a quota that is none', { serve: { quotas: { x: {} } } }],
  ['a quota of everybody that is none', { serve: { quota: { circuits: -1 } } }],
])('%s in relay is refused', async (_, relay) => {
  await using network = memoryNetwork()
  await expect(network.createNode({ relay })).rejects.toThrow(
    /Cannot (set up relays|set a quota|read)/,
  )
})

test('a relay that names another peer than the one that comes connects nobody', async () => {
  await using network = memoryNetwork()
  const liar = await network.createNode(SERVE)
  const home = await network.createNode({ ...OPEN, listen: [] })
  const away = await network.createNode({ listen: [] })
  const someone = await network.createNode({ listen: [] })
  await home.listen(through(liar))
  const refused = told(home)
  // What the relay says of who comes is all that this changes.
  const { open } = RelayAccounts.prototype
  const lie = vi.spyOn(RelayAccounts.prototype, 'open').mockImplementation(function (
    this: RelayAccounts,
    from,
    ...rest
  ) {
    const opened = open.call(this, from, ...rest)
    if (!('circuit' in opened)) return opened
    return { circuit: { ...opened.circuit, from: someone.peer } }
  })
  try {
    await expect(away.connect(home.addresses)).rejects.toMatchObject({ code: 'unavailable' })
  } finally {
    lie.mockRestore()
  }
  expect(home.connections().map(({ peer }) => peer)).toEqual([liar.peer])
  await expect
    .poll(() => refused.filter(({ type }) => type === 'refused'))
    .toMatchObject([{ reason: 'handshake', direction: 'inbound' }])
})

test('any known relay is used where none is named', async () => {
  await using network = memoryNetwork()
  const relay = await network.createNode(SERVE)
  const home = await network.createNode({ ...OPEN, listen: [] })
  serve(home)
  home.book.addDialingRelay(parseAddress(`/memory/gone/p2p/${(await network.createNode()).peer}`))
  await expect(home.listen('/p2p-circuit')).rejects.toMatchObject({ code: 'unavailable' })
  expect(home.relay.status().relays).toEqual([])
  home.book.addDialingRelay(relay.addresses[0] as Address)
  expect(await home.listen('/p2p-circuit')).toEqual([through(relay)])
  expect(home.addresses).toEqual([`${through(relay)}/p2p/${home.peer}`])
})

test('a reservation comes back after the relay was gone, and who asks notices nothing but time', async () => {
  await using network = memoryNetwork()
  const identity = privateKeyToProtobuf(await generateKeyPair('Ed25519'))
  const init: NodeInit = { ...SERVE, identity, listen: ['/memory/relay'] }
  const first = await network.createNode(init)
  const address = through(first)
  const home = await network.createNode({ ...OPEN, listen: [address] })
  const counts = serve(home)
  const events = told(home)
  const away = await network.createNode({ listen: [] })
  const remote = away.client(protocol, home.addresses)
  await remote.echo(Uint8Array.of(1))
  await first.stop()
  await expect.poll(() => home.relay.status().relays[0]?.state).toBe('waiting')
  expect(home.addresses).toEqual([])
  await network.createNode(init)
  await expect
    .poll(() => home.relay.status().relays[0]?.state, { timeout: 10_000 })
    .toBe('reserved')
  expect(home.addresses).toEqual([`${address}/p2p/${home.peer}`])
  expect(await remote.echo(Uint8Array.of(2))).toEqual(Uint8Array.of(2))
  expect(counts.ran).toBe(2)
  expect(events.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['relayLost', 'relayReserved', 'addressesChanged']),
  )
})
