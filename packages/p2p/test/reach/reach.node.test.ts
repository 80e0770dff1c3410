/** Whether we can be reached, over real sockets: ours asks ours, a stock peer, and the other way round. */
import { autoNATv2 } from '@libp2p/autonat-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp as stockTcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Libp2p } from 'libp2p'
import { afterEach, expect, test } from 'vitest'

import type { TransportFactory } from '../../src/compose.ts'
import { bytes, createNode, defineProtocol, unary } from '../../src/index.ts'
import type { Node, NodeInit } from '../../src/index.ts'
import { openNode } from '../../src/node.ts'
import { tcp } from '../../src/transports/tcp.ts'
import { mapped, PUBLIC } from './mapped.ts'

const HERE = ['/ip4/127.0.0.1/tcp/0']
const ONE = { minDialBacks: 1 }
const PATIENT = { timeout: 10_000 }

const stocks: Libp2p[] = []
afterEach(async () => {
  for (const one of stocks.splice(0)) await one.stop()
})

function outside(init: NodeInit = {}): Promise<Node> {
  return openNode({ listen: HERE, ...init }, {}, [mapped(tcp()) as TransportFactory])
}

async function stock(): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen: HERE },
    transports: [mapped(stockTcp(), true)],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping(), autonat: autoNATv2() },
  })
  stocks.push(node)
  return node
}

/** How a stock node sees its own addresses. */
function addressesOf(node: Libp2p): { address: string; verified: boolean }[] {
  const { components } = node as unknown as {
    components: {
      addressManager: {
        getAddressesWithMetadata(): { multiaddr: Multiaddr; verified: boolean }[]
      }
    }
  }
  const all = components.addressManager.getAddressesWithMetadata()
  return all.map(({ multiaddr: address, verified }) => ({ address: address.toString(), verified }))
}

/** A port where nobody listens. */
async function nobody(): Promise<number> {
  const node = await createNode({ listen: HERE })
  const port = portOf(node.addresses[0] ?? '')
  await node.stop()
  return port
}

function portOf(address: string): number {
  return Number(/\/tcp\/(\d+)/.exec(address)?.[1])
}

test('a peer dials back where we listen, and where nobody does', async () => {
  await using server = await createNode({ listen: HERE, reach: { dialBack: true, private: true } })
  await using node = await createNode({
    listen: HERE,
    reach: { private: true },
    limits: ONE,
    firewall: { inbound: { fallback: 'allow' } },
  })
  const closed = await nobody()
  await using hidden = await createNode({
    listen: HERE,
    announce: [`/ip4/127.0.0.1/tcp/${closed}`],
    reach: { private: true },
    limits: ONE,
  })
  const [address = ''] = node.addresses
  expect(node.reachability()).toEqual([
    { address: `/ip4/127.0.0.1/tcp/${portOf(address)}`, state: 'unknown' },
  ])
  const told = node.events({ types: ['reachability'] })
  await node.connect(server.addresses[0] ?? '')
  await hidden.connect(server.addresses[0] ?? '')
  await expect.poll(() => node.reachability(), PATIENT).toMatchObject([{ state: 'reachable' }])
  expect(node.reachability()[0]?.checkedAtMs).toBeGreaterThan(0)
  expect((await told.next()).value).toMatchObject({ state: 'reachable' })
  await expect
    .poll(() => hidden.reachability(), PATIENT)
    .toMatchObject([{ address: `/ip4/127.0.0.1/tcp/${closed}`, state: 'unreachable' }])
  // What was dialled for the proof alone is gone again.
  await expect.poll(() => node.connections(server.peer), PATIENT).toHaveLength(1)
})

test('requests go on meanwhile on the connection they had', async () => {
  const echo = defineProtocol('/example/echo/1.0.0', {
    bytes: unary({ request: bytes, response: bytes }),
  })
  const open: NodeInit = { firewall: { inbound: { fallback: 'allow' } } }
  await using server = await createNode({
    ...open,
    listen: HERE,
    reach: { dialBack: true, private: true },
  })
  server.serve(echo, { bytes: (message) => message })
  await using node = await createNode({
    ...open,
    listen: HERE,
    reach: { private: true },
    limits: ONE,
  })
  const remote = node.client(echo, server.addresses)
  for (let i = 0; i < 200; i++) {
    expect(await remote.bytes(Uint8Array.of(i))).toEqual(Uint8Array.of(i))
  }
  await expect.poll(() => node.reachability(), PATIENT).toMatchObject([{ state: 'reachable' }])
})

test('what only this machine can reach is neither asked about nor dialled, unless that is wanted', async () => {
  await using server = await createNode({ listen: HERE, reach: { dialBack: true } })
  await using node = await createNode({ listen: HERE, reach: { private: true }, limits: ONE })
  await using plain = await createNode({ listen: HERE, limits: ONE })
  await plain.connect(server.addresses[0] ?? '')
  await node.connect(server.addresses[0] ?? '')
  await expect.poll(() => node.reachability()[0]?.checkedAtMs, PATIENT).toBeDefined()
  expect(node.reachability()).toMatchObject([{ state: 'unknown' }])
  expect(plain.reachability()).toEqual([])
  expect(server.connections(node.peer)).toHaveLength(1)
})

test('a relay that we use dials back, and its word suffices', async () => {
  await using relay = await createNode({
    listen: HERE,
    relay: { serve: true },
    reach: { private: true },
  })
  await using node = await createNode({
    listen: [...HERE, `${relay.addresses[0]}/p2p-circuit`],
    reach: { private: true },
  })
  await expect.poll(() => node.reachability(), PATIENT).toMatchObject([{ state: 'reachable' }])
})

test('maxChecks at once, the others after them', async () => {
  await using server = await createNode({ listen: HERE, reach: { dialBack: true, private: true } })
  await using node = await createNode({
    listen: [...HERE, ...HERE, ...HERE],
    reach: { private: true },
    limits: { ...ONE, maxChecks: 1 },
  })
  await node.connect(server.addresses[0] ?? '')
  await expect
    .poll(() => node.reachability().map(({ state }) => state), PATIENT)
    .toEqual(['reachable', 'reachable', 'reachable'])
})

test('who was told not to ask does not, and says so', async () => {
  await using server = await createNode({ listen: HERE, reach: { dialBack: true, private: true } })
  await using node = await createNode({ listen: HERE, reach: { check: false, private: true } })
  const identified = node.events({ types: ['peerIdentified'] })
  await node.connect(server.addresses[0] ?? '')
  expect((await identified.next()).value?.type).toBe('peerIdentified')
  await node.ping(server.peer)
  expect(node.reachability()).toMatchObject([{ state: 'unknown' }])
  expect(server.connections(node.peer)).toHaveLength(1)
})

test.each([{ chekc: true }, { check: 1 }])('%j is refused', async (reach) => {
  await expect(createNode({ reach: reach as never })).rejects.toThrow(TypeError)
})

test('a stock peer dials us back, for padding', async () => {
  const server = await stock()
  const port = await nobody()
  const listen = [`/ip4/127.0.0.1/tcp/${port}`]
  const announce = [`/ip4/${PUBLIC}/tcp/${port}`]
  await using node = await createNode({ listen, announce, reach: { private: true }, limits: ONE })
  await node.connect(dialled(server))
  await expect
    .poll(() => node.reachability(), PATIENT)
    .toMatchObject([{ address: announce[0], state: 'reachable' }])
})

test('we dial a stock peer back, for padding, and it believes', async () => {
  await using server = await outside({ reach: { dialBack: true } })
  const peer = await stock()
  expect(addressesOf(peer)).toMatchObject([{ verified: false }])
  await peer.dial(multiaddr(server.addresses[0] ?? ''))
  await expect.poll(() => addressesOf(peer), PATIENT).toMatchObject([{ verified: true }])
  await expect.poll(() => server.connections(), PATIENT).toHaveLength(1)
})

/** Where it is, seen from this machine. */
function dialled(peer: Libp2p): string {
  const address = addressesOf(peer)[0]?.address ?? ''
  return `${address.replace(PUBLIC, '127.0.0.1')}/p2p/${peer.peerId.toString()}`
}
