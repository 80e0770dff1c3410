/** Kademlia over real sockets: a node that has only begun, and stock js-libp2p as its partner, both ways. */
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import type { KadDHT } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Libp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { afterEach, expect, test } from 'vitest'

import { bytes, createNode, defineProtocol, unary } from '../../src/index.ts'
import type { Node, NodeInit } from '../../src/index.ts'

const HERE = ['/ip4/127.0.0.1/tcp/0']
const echo = defineProtocol('/example/echo/1.0.0', {
  bytes: unary({ request: bytes, response: bytes }),
})

const stocks: Libp2p[] = []
afterEach(async () => {
  for (const one of stocks.splice(0)) await one.stop()
})

/** js-libp2p as it comes, in our private network. */
async function stock(): Promise<Libp2p<{ dht: KadDHT }>> {
  const node = await createLibp2p({
    addresses: { listen: HERE },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: '/stronghold/kad/1.0.0',
        clientMode: false,
        peerInfoMapper: passthroughMapper,
      }),
    },
  })
  stocks.push(node)
  return node
}

function ours(bootstrap: readonly string[] = [], init: NodeInit = {}): Promise<Node> {
  return createNode({ listen: HERE, find: { kademlia: { bootstrap } }, ...init })
}

/** How many of the network it knows. */
function knownTo(node: Libp2p<{ dht: KadDHT }>): number {
  const { routingTable } = node.services.dht as KadDHT & { routingTable: { size: number } }
  return routingTable.size
}

function where(node: Libp2p): string[] {
  return node.getMultiaddrs().map(String)
}

/** What a namespace is called in the network: a raw block of its text. */
async function cidOf(namespace: string): Promise<CID> {
  return CID.createV1(raw.code, await sha256.digest(new TextEncoder().encode(namespace)))
}

test('a node that has only begun is answered by a peer it knows by nothing but its id', async () => {
  await using point = await ours()
  await using home = await ours(point.addresses, { firewall: { inbound: { fallback: 'allow' } } })
  home.serve(echo, { bytes: (message) => message })
  await expect.poll(() => point.connections(home.peer)).toHaveLength(1)
  await using away = await ours(point.addresses)
  const answer = await away.client(echo, home.peer).bytes(Uint8Array.of(7))
  expect(answer).toEqual(Uint8Array.of(7))
})

test('a node whose network is not there says so at once', async () => {
  await using gone = await ours()
  const addresses = gone.addresses
  await gone.stop()
  await using node = await ours(addresses)
  const search = node.find({ namespace: 'x' })
  await expect(search.next()).rejects.toThrow('no node of its network is known yet')
})

test('a stock peer is found by ours, by what it provides and by its id', async () => {
  const point = await stock()
  const provider = await stock()
  await provider.dial(point.getMultiaddrs())
  await expect.poll(() => knownTo(provider)).toBeGreaterThan(0)
  await using node = await ours(where(point))
  const wanted = provider.peerId.toString()
  const byId = await node.find({ peer: wanted as never }).next()
  expect(byId.value).toMatchObject({ peer: wanted, source: 'kademlia' })
  await Array.fromAsync(provider.services.dht.provide(await cidOf('/example/stock')))
  const byNamespace = await node.find({ namespace: '/example/stock' }).next()
  expect(byNamespace.value).toMatchObject({ peer: wanted, namespace: '/example/stock' })
})

test('one of ours is found by a stock peer, by what it advertises and by its id', async () => {
  const seeker = await stock()
  await using point = await ours()
  await using node = await ours(point.addresses)
  await expect.poll(() => point.connections(node.peer)).toHaveLength(1)
  await seeker.dial(point.addresses.map((one) => multiaddr(one)))
  await expect.poll(() => knownTo(seeker)).toBeGreaterThan(0)
  const found = await seeker.peerRouting.findPeer(peerIdFromString(node.peer))
  expect(found.multiaddrs.map(String).join()).toContain('/ip4/127.0.0.1/tcp/')
  await using told = node.advertise('/example/ours')
  await expect.poll(() => told.states()).toMatchObject([{ state: 'told' }])
  const cid = await cidOf('/example/ours')
  const providers = await Array.fromAsync(seeker.contentRouting.findProviders(cid))
  expect(providers.map(({ id }) => id.toString())).toContain(node.peer)
})
