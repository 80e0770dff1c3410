/** Through relays over real sockets: ours with ours, a stock relay for us, ours for stock peers. */
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Libp2p, Libp2pOptions } from 'libp2p'
import { afterEach, expect, test } from 'vitest'

import { bytes, createNode, defineProtocol, parsePeerId, unary } from '../../src/index.ts'
import type { Node, NodeInit } from '../../src/index.ts'
import { requests } from '../../src/libp2p.ts'
import type { RequestsService } from '../../src/libp2p.ts'

const echo = defineProtocol('/example/echo/1.0.0', {
  bytes: unary({ request: bytes, response: bytes }),
})
const handlers = { bytes: (message: Uint8Array) => message }
const OPEN: NodeInit = { firewall: { inbound: { fallback: 'allow' } } }
const LISTEN = ['/ip4/127.0.0.1/tcp/0']
const HELLO = new TextEncoder().encode('hello')

const stocks: Libp2p[] = []
afterEach(async () => {
  for (const one of stocks.splice(0)) await one.stop()
})

/** js-libp2p as it comes, with our requests as a service, so that both sides can ask. */
async function stock(init: Libp2pOptions = {}): Promise<Libp2p<{ requests: RequestsService }>> {
  const { services, ...rest } = init
  const node = await createLibp2p({
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      ping: ping(),
      requests: requests({ firewall: { inbound: { fallback: 'allow' } } }),
      ...services,
    },
    ...rest,
  })
  stocks.push(node)
  return node
}

function relayNode(init: NodeInit = {}): Promise<Node> {
  return createNode({ listen: LISTEN, relay: { serve: true }, ...init })
}

const through = (node: Node): string => `${node.addresses[0]}/p2p-circuit`

test('a peer that listens through our relay is asked through it, end to end', async () => {
  await using relay = await relayNode()
  await using home = await createNode({ ...OPEN, listen: [through(relay)] })
  home.serve(echo, handlers)
  expect(home.addresses).toEqual([`${through(relay)}/p2p/${home.peer}`])
  await using away = await createNode()
  const remote = away.client(echo, home.addresses)
  expect(await remote.bytes(HELLO)).toEqual(HELLO)
  expect(away.connections(home.peer)).toMatchObject([
    { relayed: true, transport: 'relay', security: 'noise', direction: 'outbound' },
  ])
  expect(home.connections(away.peer)).toMatchObject([{ relayed: true, direction: 'inbound' }])
  expect(relay.relay.status().serving).toMatchObject({ reservations: 1, openCircuits: 1 })
})

test('TLS, too, is spoken end to end', async () => {
  await using relay = await relayNode()
  const security = ['tls'] as const
  await using home = await createNode({ ...OPEN, security, listen: [through(relay)] })
  home.serve(echo, handlers)
  await using away = await createNode({ security: ['tls'] })
  expect(await away.client(echo, home.addresses).bytes(HELLO)).toEqual(HELLO)
  expect(away.connections(home.peer)).toMatchObject([{ relayed: true, security: 'tls' }])
})

test('a stock relay serves us: reservation, circuit, requests past its budget', async () => {
  const relay = await stock({
    addresses: { listen: LISTEN },
    services: { relay: circuitRelayServer() },
  })
  const address = `${relay.getMultiaddrs()[0]?.toString() ?? ''}/p2p-circuit`
  await using home = await createNode({ ...OPEN, listen: [address] })
  home.serve(echo, handlers)
  expect(home.relay.status().relays).toMatchObject([
    { state: 'reserved', limit: { bytes: 131_072 } },
  ])
  await using away = await createNode()
  const remote = away.client(echo, home.addresses)
  const kilobyte = new Uint8Array(1024).fill(7)
  for (let i = 0; i < 150; i++) expect((await remote.bytes(kilobyte)).byteLength).toBe(1024)
  expect(away.connections(home.peer)[0]).toMatchObject({ relayed: true })
})

test('our relay serves stock peers, both ways', async () => {
  await using relay = await relayNode()
  const home = await stock({ addresses: { listen: [through(relay)] } })
  home.services.requests.serve(echo, handlers)
  await expect
    .poll(() => home.getMultiaddrs().map(String))
    .toEqual([`${through(relay)}/p2p/${home.peerId.toString()}`])
  const address = `${through(relay)}/p2p/${home.peerId.toString()}`

  const away = await stock()
  const connection = await away.dial(multiaddr(address))
  expect(connection.limits).toBeDefined()
  expect(await away.services.requests.client(echo, address).bytes(HELLO)).toEqual(HELLO)

  await using ours = await createNode()
  expect(await ours.client(echo, address).bytes(HELLO)).toEqual(HELLO)
  expect(ours.connections(parsePeerId(home.peerId.toString()))).toMatchObject([{ relayed: true }])
  expect(relay.relay.status().serving).toMatchObject({ reservations: 1, openCircuits: 2 })
})

test('a stock peer asks one of ours through our relay', async () => {
  await using relay = await relayNode()
  await using home = await createNode({ ...OPEN, listen: [through(relay)] })
  home.serve(echo, handlers)
  const away = await stock()
  const remote = away.services.requests.client(echo, home.addresses)
  expect(await remote.bytes(HELLO)).toEqual(HELLO)
})
