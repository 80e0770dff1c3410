/** A node as its user has it, over a network in memory: the same path as over sockets. */
import { manualClock } from '@stronghold/testkit'
import { expect, test } from 'vitest'
import { z } from 'zod'

import { bytes, defineProtocol, isP2pError, openEnvelope, unary } from '../src/index.ts'
import type { Node, NodeEvent, NodeInit, PeerId } from '../src/index.ts'
import { memoryNetwork } from '../src/testing.ts'

const echo = defineProtocol('/example/echo/1.0.0', {
  bytes: unary({ request: bytes, response: bytes, readOnly: true }),
  greet: unary({
    request: z.object({ name: z.string() }),
    response: z.string(),
    facts: ({ name }) => ({ name }),
  }),
})
const handlers = {
  bytes: (message: Uint8Array) => message,
  greet: ({ name }: { name: string }) => `Hello, ${name}`,
}
const OPEN: NodeInit = { firewall: { inbound: { fallback: 'allow' } } }

/** What a node tells, as a list that grows. */
function told(node: Node): NodeEvent[] {
  const events: NodeEvent[] = []
  void (async () => {
    for await (const event of node.events()) events.push(event)
  })()
  return events
}

test('two nodes ask and answer', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  home.serve(echo, handlers)
  const away = await network.createNode()
  const remote = away.client(echo, home.addresses)
  expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
  expect(await remote.bytes(Uint8Array.of(1))).toEqual(Uint8Array.of(1))
  expect(away.connections()).toMatchObject([
    {
      id: 'c1',
      peer: home.peer,
      direction: 'outbound',
      transport: 'memory',
      security: 'noise',
      muxer: '/yamux/1.0.0',
      relayed: false,
    },
  ])
  expect(home.connections(away.peer)).toHaveLength(1)
  expect(await away.ping(home.peer)).toBeGreaterThanOrEqual(0)
})

test('what a connection carried is counted on both sides', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  home.serve(echo, handlers)
  const away = await network.createNode()
  const connection = await away.connect(home.addresses)
  const before = away.traffic(connection)
  await away.client(echo, home.addresses).bytes(new Uint8Array(10_000))
  const after = away.traffic(connection)
  for (const way of ['receivedBytes', 'sentBytes'] as const) {
    const carried = (after?.[way] ?? 0) - (before?.[way] ?? 0)
    expect(carried).toBeGreaterThanOrEqual(10_000)
    expect(carried).toBeLessThan(12_000)
  }
  await away.disconnect(home.peer)
  expect(away.traffic(connection)).toBeUndefined()
})

test.each(['noise', 'tls'] as const)('both sides speak %s where they agree on it', async (name) => {
  await using network = memoryNetwork()
  const home = await network.createNode({ ...OPEN, security: [name] })
  home.serve(echo, handlers)
  const away = await network.createNode({ security: ['noise', 'tls'] })
  expect(await away.client(echo, home.addresses).greet({ name: 'Ada' })).toBe('Hello, Ada')
  expect(away.connections()[0]?.security).toBe(name)
})

test('nodes without a security channel in common do not connect', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode({ ...OPEN, security: ['noise'] })
  const away = await network.createNode({ security: ['tls'] })
  await expect(away.connect(home.addresses)).rejects.toMatchObject({ code: 'unimplemented' })
})

test('nobody may ask who was not let in: the protocol is not there for them', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode()
  home.serve(echo, handlers)
  const events = told(home)
  const away = await network.createNode()
  const remote = away.client(echo, home.addresses)
  await expect(remote.greet({ name: 'x' })).rejects.toMatchObject({
    code: 'unimplemented',
    ran: 'no',
    layer: 'protocol',
  })
  await expect.poll(() => events.map(({ type }) => type)).toContain('denied')
  home.firewall.set('inbound', away.peer, 'allow')
  expect(await remote.greet({ name: 'x' })).toBe('Hello, x')
  home.firewall.set('inbound', away.peer, ({ facts }) =>
    facts?.['name'] === 'Ada' ? 'allow' : 'deny',
  )
  await expect(remote.greet({ name: 'x' })).rejects.toMatchObject({
    code: 'permission_denied',
    layer: 'firewall',
  })
  expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
  expect(home.connections()).toHaveLength(1)
})

test('a person is asked, and may take time', async () => {
  await using network = memoryNetwork()
  const asked: unknown[] = []
  const home = await network.createNode({
    firewall: {
      inbound: { fallback: 'ask' },
      onAsk: async ({ peer, method, facts }) => {
        asked.push({ peer, method, facts })
        await Promise.resolve()
        return method === 'greet' ? 'allow' : 'deny'
      },
    },
  })
  home.serve(echo, handlers)
  const away = await network.createNode()
  const remote = away.client(echo, home.addresses)
  expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
  await expect(remote.bytes(new Uint8Array(1))).rejects.toMatchObject({ code: 'permission_denied' })
  expect(asked).toEqual([
    { peer: away.peer, method: 'greet', facts: { name: 'Ada' } },
    { peer: away.peer, method: 'bytes', facts: undefined },
  ])
})

test('our own rules hold back what should not leave', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  home.serve(echo, handlers)
  const away = await network.createNode({
    firewall: {
      outbound: { fallback: ({ facts }) => (facts?.['name'] === 'Ada' ? 'allow' : 'deny') },
    },
  })
  const remote = away.client(echo, home.addresses)
  await expect(remote.greet({ name: 'x' })).rejects.toMatchObject({
    code: 'permission_denied',
    ran: 'no',
    layer: 'firewall',
  })
  expect(away.connections()).toHaveLength(0)
  expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
})

test('events tell what happened, in order', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  home.serve(echo, handlers)
  const events = told(home)
  const away = await network.createNode()
  await away.client(echo, home.addresses).greet({ name: 'Ada' })
  await away.disconnect(home.peer)
  await expect.poll(() => events.at(-1)?.type).toBe('disconnected')
  const seen = events.filter(({ type }) => type !== 'peerIdentified' && type !== 'observedAddress')
  expect(seen).toMatchObject([
    { type: 'connected', peer: away.peer, direction: 'inbound', security: 'noise' },
    { type: 'request', method: 'greet', facts: { name: 'Ada' } },
    { type: 'response', method: 'greet', code: 'ok', ran: 'yes' },
    { type: 'disconnected', peer: away.peer, reason: 'remote_closed' },
  ])
  expect(JSON.parse(JSON.stringify(events))).toHaveLength(events.length)
})

test('identify tells a name and a version, and no more', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  const events = told(home)
  const away = await network.createNode()
  await away.connect(home.addresses)
  await expect.poll(() => events.map(({ type }) => type)).toContain('peerIdentified')
  const identified = events.find((event) => event.type === 'peerIdentified')
  expect(identified?.agent).toMatch(/^stronghold\/\d+\.\d+\.\d+$/)
})

test('block closes and refuses at once, until unblocked', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  home.serve(echo, handlers)
  const events = told(home)
  const away = await network.createNode()
  const remote = away.client(echo, home.addresses)
  await remote.greet({ name: 'a' })
  home.block(away.peer)
  expect(home.blocked).toEqual([away.peer])
  await expect.poll(() => home.connections()).toHaveLength(0)
  expect(events.find(({ type }) => type === 'disconnected')).toMatchObject({ reason: 'blocked' })
  await expect.poll(() => away.connections()).toHaveLength(0)
  await expect(away.connect(home.addresses)).rejects.toMatchObject({ name: 'P2pError' })
  await expect(home.connect(away.addresses)).rejects.toMatchObject({ code: 'permission_denied' })
  await expect
    .poll(() => events.some((e) => e.type === 'refused' && e.reason === 'blocked'))
    .toBe(true)
  expect(home.unblock(away.peer)).toBe(true)
  expect(await remote.greet({ name: 'a' })).toBe('Hello, a')
})

test('listeners come and go, connections stay', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode({ ...OPEN, listen: [] })
  home.serve(echo, handlers)
  expect(home.addresses).toEqual([])
  const events = told(home)
  await home.listen('/memory/one')
  await home.listen('/memory/two')
  expect(home.addresses).toEqual([`/memory/one/p2p/${home.peer}`, `/memory/two/p2p/${home.peer}`])
  const away = await network.createNode()
  const remote = away.client(echo, home.addresses)
  await remote.greet({ name: 'a' })
  expect(await home.unlisten('/memory/one')).toBe(true)
  expect(await home.unlisten('/memory/one')).toBe(false)
  expect(await home.unlisten('/memory/two')).toBe(true)
  expect(home.addresses).toEqual([])
  expect(await remote.greet({ name: 'a' })).toBe('Hello, a')
  const late = await network.createNode()
  await expect(late.connect(`/memory/one/p2p/${home.peer}`)).rejects.toMatchObject({
    code: 'unavailable',
    layer: 'dial',
  })
  expect(events.map(({ type }) => type).filter((type) => type === 'listening')).toHaveLength(2)
  expect(events.map(({ type }) => type).filter((type) => type === 'stopped')).toHaveLength(2)
})

test('an address that is taken is refused with one clear sentence', async () => {
  await using network = memoryNetwork()
  await network.createNode({ listen: ['/memory/one'] })
  const error: unknown = await network
    .createNode({ listen: ['/memory/one'] })
    .catch((e: unknown) => e)
  expect(isP2pError(error)).toBe(true)
  expect(String(error)).toContain('/memory/one')
})

test('an address without a peer id finds out whom it leads to', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode({ ...OPEN, listen: ['/memory/home'] })
  home.serve(echo, handlers)
  const away = await network.createNode()
  expect(await away.client(echo, '/memory/home').greet({ name: 'a' })).toBe('Hello, a')
  expect((await away.connect('/memory/home')).peer).toBe(home.peer)
})

test('another peer behind an address is never talked to', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode({ ...OPEN, listen: ['/memory/home'] })
  const other = await network.createNode()
  const away = await network.createNode()
  const address = `/memory/home/p2p/${other.peer}`
  const about = { code: 'unauthenticated', layer: 'security', peer: other.peer, address }
  await expect(away.connect(address)).rejects.toMatchObject(about)
  // Of several, too, it says which one it was.
  const both = away.connect([address, `/memory/nobody/p2p/${other.peer}`])
  const where: unknown = expect.stringContaining('/memory/')
  await expect(both).rejects.toMatchObject({ peer: other.peer, address: where })
  expect(home.connections()).toHaveLength(0)
})

test('an address that no transport knows is refused with one clear sentence', async () => {
  await using network = memoryNetwork()
  const node = await network.createNode()
  const peer = 'QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC' as PeerId
  const all = ['/ip4/127.0.0.1/udp/1/quic-v1', '/ip4/127.0.0.1/udp/2/quic-v1']
  await expect(node.connect(all[0] ?? '')).rejects.toMatchObject({
    code: 'unavailable',
    layer: 'dial',
    message: 'Cannot dial /ip4/127.0.0.1/udp/1/quic-v1: no transport can',
  })
  await expect(node.connect(all.map((one) => `${one}/p2p/${peer}`))).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringMatching(/^Cannot dial \S+: no transport can$/) as string,
  })
  await expect(node.connect(peer)).rejects.toMatchObject({ code: 'unavailable' })
})

test('a peer id alone is enough once its addresses are in the book', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  home.serve(echo, handlers)
  const away = await network.createNode()
  const remote = away.client(echo, home.peer)
  await expect(remote.greet({ name: 'a' })).rejects.toMatchObject({
    code: 'unavailable',
    ran: 'no',
    layer: 'dial',
  })
  away.book.add(home.peer, home.addresses)
  expect(await remote.greet({ name: 'a' })).toBe('Hello, a')
})

test('after the other side restarted, the next request finds it again', async () => {
  await using network = memoryNetwork()
  const first = await network.createNode({ ...OPEN, listen: ['/memory/home'] })
  first.serve(echo, handlers)
  const away = await network.createNode()
  const remote = away.client(echo, '/memory/home')
  await remote.greet({ name: 'a' })
  await first.stop()
  const second = await network.createNode({ ...OPEN, listen: ['/memory/home'] })
  second.serve(echo, handlers)
  expect(await remote.greet({ name: 'b' })).toBe('Hello, b')
})

test('what a node is set up with goes out as JSON and in again, relays and all', async () => {
  await using network = memoryNetwork()
  const serve = { relay: { serve: { allow: [], quota: { circuits: 3 } } } }
  const home = await network.createNode({ ...OPEN, ...serve })
  const relay = await network.createNode({ relay: { serve: true } })
  const away = await network.createNode()
  home.firewall.set('inbound', away.peer, 'ask')
  home.block(away.peer)
  home.book.add(away.peer, away.addresses)
  home.ban('10.0.0.0/8')
  const through = `${relay.addresses[0] ?? ''}/p2p-circuit`
  await home.listen(through)
  home.relay.allow(away.peer)
  home.relay.deny(relay.peer)
  home.relay.setQuota(away.peer, { bytesPerDay: 5 })
  const exported = JSON.parse(JSON.stringify(home.export())) as unknown
  const copy = await network.createNode({ relay: { serve: true } })
  await copy.restore(exported)
  expect(copy.export()).toEqual(home.export())
  expect(copy.blocked).toEqual([away.peer])
  expect(copy.relay.quotaOf('everybody')).toEqual({ circuits: 3 })
  await expect.poll(() => copy.relay.status().relays).toMatchObject([{ state: 'reserved' }])
  expect(copy.addresses).toContain(`${through}/p2p/${copy.peer}`)
  // Twice is once, and what was exported without relays is taken, too.
  const { relay: _, ...before } = exported as Record<string, unknown>
  for (const again of [exported, before]) await copy.restore(again)
  expect(copy.export().relay).toEqual(home.export().relay)
  const noRelay = await network.createNode()
  await expect(noRelay.restore(exported)).rejects.toThrow(
    'Cannot restore the terms of a relay: the node is no relay',
  )
  expect(noRelay.blocked).toEqual([])
})

test.each<[string, object, string]>([
  ['another version', { version: 2 }, 'unknown version'],
  ['one field more', { more: 1 }, 'unknown field more'],
  ['relays that are none', { relay: [] }, 'no object'],
  ['a field more of relays', { relay: { use: [], more: 1 } }, 'unknown field more'],
  ['relays that are no list', { relay: { use: '/memory/a/p2p-circuit' } }, 'no list of texts'],
  ['an address that is no relay', { relay: { use: ['/memory/a'] } }, 'is not RELAY/p2p-circuit'],
  ['terms that are none', { relay: { use: [], serving: { everybody: 1 } } }, 'neither true nor'],
  [
    'a quota that is none',
    {
      relay: {
        use: [],
        serving: { everybody: true, allowed: [], denied: [], quota: { circuits: -1 }, quotas: [] },
      },
    },
    'no integer of at least zero',
  ],
])('%s cannot be restored, and changes nothing', async (_, wrong, says) => {
  await using network = memoryNetwork()
  const node = await network.createNode({ relay: { serve: true } })
  const before = node.export()
  const exported = { ...before, blocked: [node.peer], ...wrong }
  await expect(node.restore(exported)).rejects.toThrow(says)
  expect(node.export()).toEqual(before)
})

test('idleTimeoutMs: a connection with nothing to do is closed, one with a request is not', async () => {
  const clock = manualClock()
  await using network = memoryNetwork()
  const hang = defineProtocol('/hang/1', { wait: unary({ readOnly: true }) })
  const seams = { clock }
  const home = await network.createNode({ ...OPEN, limits: { idleTimeoutMs: 1000 } }, seams)
  const release = Promise.withResolvers<undefined>()
  home.serve(hang, { wait: () => release.promise })
  const events = told(home)
  const away = await network.createNode()
  const answer = away.client(hang, home.addresses).wait()
  await expect.poll(() => events.some(({ type }) => type === 'request')).toBe(true)
  for (let i = 0; i < 10; i++) clock.advance(250)
  expect(home.connections()).toHaveLength(1)
  release.resolve(undefined)
  await answer
  await expect
    .poll(() => {
      clock.advance(250)
      return events.find(({ type }) => type === 'disconnected')
    })
    .toMatchObject({ reason: 'idle' })
})

test('maxConnectionsPerPeer: one more is refused', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode({ ...OPEN, limits: { maxConnectionsPerPeer: 1 } })
  const events = told(home)
  const away = await network.createNode()
  await away.connect(home.addresses)
  await home.connect(away.addresses)
  expect(home.connections()).toHaveLength(1)
  expect(events.filter(({ type }) => type === 'connected')).toHaveLength(1)
})

test('a subscriber that blocks holds back new requests until it reads', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  home.serve(echo, handlers)
  const away = await network.createNode()
  const remote = away.client(echo, home.addresses)
  await remote.greet({ name: 'a' })
  const events = home.events({ types: ['request'], overflow: 'block', buffer: 1 })
  let answered = 0
  const count = (): void => void (answered += 1)
  const first = remote.greet({ name: 'b' }).then(count)
  await first
  const rest = [remote.greet({ name: 'c' }).then(count), remote.greet({ name: 'd' }).then(count)]
  for (let i = 0; i < 20; i++) await new Promise((resolve) => void setImmediate(resolve))
  expect(answered).toBeLessThan(3)
  for (let i = 0; i < 3; i++) await events.next()
  await Promise.all(rest)
  expect(answered).toBe(3)
  await events.return()
})

test('a stopped node says so, and stopping again does nothing', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  const away = await network.createNode()
  const remote = away.client(echo, home.addresses)
  await away.stop()
  await away.stop()
  await expect(remote.greet({ name: 'a' })).rejects.toMatchObject({ name: 'P2pError' })
  expect(() => away.serve(echo, handlers)).toThrow('it has stopped')
  await expect(away.connect(home.addresses)).rejects.toThrow('it has stopped')
})

test('a node that stops right after its handler answered lets the answer leave', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode(OPEN)
  home.serve(echo, {
    ...handlers,
    greet: ({ name }) => {
      void home.stop()
      return `Bye, ${name}`
    },
  })
  const away = await network.createNode()
  expect(await away.client(echo, home.addresses).greet({ name: 'Ada' })).toBe('Bye, Ada')
})

test('stopping fails what is in flight, on both sides', async () => {
  await using network = memoryNetwork()
  const hang = defineProtocol('/hang/1', { wait: unary({}) })
  const home = await network.createNode(OPEN)
  const aborted = Promise.withResolvers<unknown>()
  home.serve(hang, {
    wait: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted.resolve(signal.reason)
          reject(signal.reason as Error)
        })
      }),
  })
  const events = told(home)
  const away = await network.createNode()
  const answer = away.client(hang, home.addresses).wait()
  await expect.poll(() => events.some(({ type }) => type === 'request')).toBe(true)
  const failing = expect(answer).rejects.toMatchObject({ code: 'unavailable', ran: 'maybe' })
  await away.stop()
  await failing
  expect(await aborted.promise).toMatchObject({ name: 'AbortError' })
})

test.each([
  ['an unknown key', { listn: [] } as NodeInit, 'unknown key listn'],
  ['an unknown limit', { limits: { maxFoo: 1 } as NodeInit['limits'] } as NodeInit, 'maxFoo'],
  ['a limit of zero', { limits: { maxNesting: 0 } }, 'maxNesting'],
  ['no security', { security: [] }, 'security'],
  ['a security channel that is not there', { security: ['ssh'] as never }, 'ssh'],
  ['a rule that is none', { firewall: { inbound: { fallback: 'maybe' as never } } }, 'maybe'],
  ['an address that is none', { listen: ['tcp://x'] }, 'tcp://x'],
])('%s is refused when the node is made', async (_, init, text) => {
  await using network = memoryNetwork()
  await expect(network.createNode(init)).rejects.toThrow(text)
})

test.each([
  ['nothing', [] as string[]],
  [
    'two peers',
    ['/memory/a/p2p/12D3KooWEe4MUcw7wsHpGXqXDYdWhQFc3WuEjHyu66SfFdZcjgyC', '/memory/b'],
  ],
  ['neither a peer id nor an address', 'bob'],
])('a target that is %s is misuse', async (_, target) => {
  await using network = memoryNetwork()
  const node = await network.createNode()
  expect(() => node.client(echo, target as PeerId)).toThrow()
})

test('a node vouches for what it is given, in an envelope of that kind alone', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode()
  const kind = { domain: 'example-keys', payloadType: Uint8Array.of(1) }
  const envelope = await home.sealEnvelope(kind, Uint8Array.of(7))
  const opened = await openEnvelope(envelope, [kind])
  expect(opened).toEqual({ peer: home.peer, payload: Uint8Array.of(7) })
  const other = { ...kind, domain: 'other' }
  await expect(openEnvelope(envelope, [other])).rejects.toMatchObject({ code: 'unauthenticated' })
  // The length of a domain of 108 characters is the `l` of what TLS handshakes sign.
  const handshake = 'ibp2p-tls-handshake:'.padEnd(108, 'x')
  for (const domain of ['', 'libp2p-peer-record', 'x'.repeat(65), 'two words', handshake]) {
    await expect(home.sealEnvelope({ ...kind, domain }, Uint8Array.of(7))).rejects.toThrow(
      RangeError,
    )
  }
  const longest = { ...kind, domain: 'x'.repeat(64) }
  await expect(home.sealEnvelope(longest, Uint8Array.of(7))).resolves.toBeInstanceOf(Uint8Array)
})
