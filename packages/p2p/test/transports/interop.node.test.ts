/** Our transports in nodes of stock js-libp2p, with stock transports on the other side, both ways. */
import { getCACertificates, setDefaultCACertificates } from 'node:tls'

import type { Libp2p, Stream, Transport } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp as stockTcp } from '@libp2p/tcp'
import { webSockets as stockWebSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'

import { DEFAULT_LIMITS } from '../../src/limits.ts'
import type { TransportComponents } from '../../src/transports/dial.ts'
import { dnsResolvers } from '../../src/transports/dns.ts'
import { memory, MemoryHub } from '../../src/transports/memory.ts'
import { tcp } from '../../src/transports/tcp.ts'
import { webSocket } from '../../src/transports/websocket-node.ts'

import { TEST_CERTIFICATE, TEST_KEY } from './certificate.ts'
import { pattern } from './pipe-events.ts'
import { leavesNoSockets } from './socket-pair.ts'

leavesNoSockets()

type Factory = (components: TransportComponents & { events: never }) => Transport

const certificate = { key: TEST_KEY, cert: TEST_CERTIFICATE }
const ours = {
  tcp: tcp() as Factory,
  ws: webSocket({ certificate, trust: { ca: TEST_CERTIFICATE } }) as Factory,
}
const stock = {
  tcp: stockTcp() as Factory,
  ws: stockWebSockets({ https: certificate }) as Factory,
}
const ECHO = '/echo/1.0.0'
const nodes: Libp2p[] = []

beforeAll(() => {
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, TEST_CERTIFICATE])
  return () => {
    setDefaultCACertificates(before)
  }
})

afterEach(async () => {
  for (const made of nodes.splice(0)) await made.stop()
})

async function node(transport: Factory, listen: string[] = [], resolvers = {}): Promise<Libp2p> {
  const made = await createLibp2p({
    addresses: { listen },
    transports: [transport as never],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: { resolvers },
  })
  await made.handle(ECHO, (stream) => {
    stream.addEventListener('message', ({ data }) => {
      if (!stream.send(data)) {
        stream.pause()
        stream.addEventListener('drain', () => stream.resume(), { once: true })
      }
    })
    stream.addEventListener('remoteCloseWrite', () => void stream.close())
  })
  nodes.push(made)
  return made
}

async function echo(dialler: Libp2p, listener: Libp2p): Promise<void> {
  const stream = await dialler.dialProtocol(listener.getMultiaddrs(), ECHO)
  const sent = pattern(300_000)
  const got = received(stream, sent.byteLength)
  for (let at = 0; at < sent.byteLength; at += 50_000) {
    if (!stream.send(sent.subarray(at, at + 50_000))) await stream.onDrain()
  }
  expect(Buffer.compare(await got, sent)).toBe(0)
  await stream.close()
}

function received(stream: Stream, length: number): Promise<Uint8Array> {
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = []
    let bytes = 0
    stream.addEventListener('message', ({ data }) => {
      chunks.push(data.subarray())
      bytes += data.byteLength
      if (bytes >= length) resolve(Buffer.concat(chunks))
    })
  })
}

describe.each([
  ['TCP', 'tcp', '/ip4/127.0.0.1/tcp/0'],
  ['WebSocket', 'ws', '/ip4/127.0.0.1/tcp/0/ws'],
  ['secure WebSocket', 'ws', '/ip4/127.0.0.1/tcp/0/tls/ws'],
] as const)('stock js-libp2p over %s', (_, kind, listen) => {
  test('our transport dials theirs', async () => {
    const listener = await node(stock[kind], [listen])
    await echo(await node(ours[kind]), listener)
  })

  test('their transport dials ours', async () => {
    const listener = await node(ours[kind], [listen])
    await echo(await node(stock[kind]), listener)
  })

  test('ours dials ours, by a name where the resolvers of the node are ours', async () => {
    const listener = await node(ours[kind], [listen])
    const address = listener.getMultiaddrs()[0]?.toString() ?? ''
    const resolver = {
      resolve4: () => Promise.resolve(['127.0.0.1']),
      resolve6: () => Promise.reject(new Error('none')),
      resolveTxt: (name: string) =>
        Promise.resolve(
          name === '_dnsaddr.home.test'
            ? [[`dnsaddr=${address.replace('/ip4/127.0.0.1', '/dns4/stronghold.test')}`]]
            : [],
        ),
    }
    const dialler = await node(ours[kind], [], dnsResolvers({ resolver, limits: DEFAULT_LIMITS }))
    const connection = await dialler.dial(
      multiaddr(`/dnsaddr/home.test/p2p/${listener.peerId.toString()}`),
    )
    expect(connection.remotePeer.toString()).toBe(listener.peerId.toString())
    await connection.close()
  })
})

test('stock nodes meet over a hub in memory', async () => {
  const transport = memory(new MemoryHub()) as Factory
  const listener = await node(transport, ['/memory/one'])
  await echo(await node(transport), listener)
})

test('a stock node listens on several of our addresses at once', async () => {
  const listener = await node(ours.ws, ['/ip4/127.0.0.1/tcp/0/ws', '/ip4/127.0.0.1/tcp/0/wss'])
  const suffixes = listener
    .getMultiaddrs()
    .map((address) => /\d\/(wss?)\//.exec(String(address))?.[1])
  expect(suffixes.sort()).toEqual(['ws', 'wss'])
  await echo(await node(ours.ws), listener)
})
