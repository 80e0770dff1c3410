/**
 * Stock js-libp2p over TCP with Yamux, without any service. Asked in two ways: one stream for all requests with
 * frames by hand, which is its best, and a stream for each request, which is what its examples show.
 */
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Libp2p } from 'libp2p'

import type { Contender, Line } from '../contender.ts'
import { echoFrames, FramedLine } from './framed.ts'

const ONE = '/bench/one/1.0.0'
const EACH = '/bench/each/1.0.0'
const MANY = 4096

/** One stream with frames. */
export function libp2pOneStream(security: 'noise' | 'tls'): Contender {
  return contender(security, async (connection) => {
    const stream = await connection.newStream(ONE)
    const line = new FramedLine(
      (bytes) => {
        stream.send(bytes)
      },
      () => connection.close(),
    )
    stream.addEventListener('message', ({ data }) => {
      line.take(data.subarray())
    })
    stream.addEventListener('close', () => {
      line.fail(new Error('the stream closed'))
    })
    return line
  })
}

/** A stream for each request: write, half-close, read to the end. */
export function libp2pStreamEach(security: 'noise' | 'tls'): Contender {
  return contender(security, async (connection) => ({
    async ask(body) {
      const stream = await connection.newStream(EACH, { maxOutboundStreams: MANY })
      return exchange(stream, body)
    },
    close: () => connection.close(),
  }))
}

type Connection = Awaited<ReturnType<Libp2p['dial']>>
type Stream = Awaited<ReturnType<Connection['newStream']>>

function contender(
  security: 'noise' | 'tls',
  lineOf: (connection: Connection) => Promise<Line>,
): Contender {
  return {
    async serve() {
      const node = await makeNode(security, ['/ip4/127.0.0.1/tcp/0'])
      await node.handle(ONE, (stream) => {
        const take = echoFrames((bytes) => {
          stream.send(bytes)
        })
        stream.addEventListener('message', ({ data }) => {
          take(data.subarray())
        })
      })
      await node.handle(EACH, (stream) => void answer(stream), { maxInboundStreams: MANY })
      const [address] = node.getMultiaddrs()
      const port = Number(/\/tcp\/(\d+)/.exec(String(address))?.[1])
      return { address: { port, peer: node.peerId.toString() } }
    },
    async dialer({ port: own = 0, peer }) {
      const nodes: Libp2p[] = []
      return {
        async prepare(slots) {
          while (nodes.length < slots) nodes.push(await makeNode(security, []))
        },
        async connect(slot, port) {
          const address = `/ip4/127.0.0.1/tcp/${port ?? own}/p2p/${String(peer)}`
          const connection = await nodes[slot]!.dial(multiaddr(address))
          return lineOf(connection)
        },
      }
    },
  }
}

function makeNode(security: 'noise' | 'tls', listen: string[]): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [security === 'noise' ? noise() : tls()],
    streamMuxers: [yamux({ maxInboundStreams: MANY, maxOutboundStreams: MANY })],
    connectionMonitor: { enabled: false },
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: {
      maxConnections: MANY,
      inboundConnectionThreshold: MANY,
      maxIncomingPendingConnections: MANY,
    },
  })
}

async function exchange(stream: Stream, body: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  const ended = new Promise<void>((resolve, reject) => {
    stream.addEventListener('remoteCloseWrite', () => {
      resolve()
    })
    stream.addEventListener('close', ({ error }) => {
      if (error === undefined) resolve()
      else reject(error)
    })
  })
  stream.addEventListener('message', ({ data }) => parts.push(data.subarray()))
  stream.send(body)
  await stream.close()
  await ended
  return Buffer.concat(parts)
}

async function answer(stream: Stream): Promise<void> {
  const parts: Uint8Array[] = []
  stream.addEventListener('message', ({ data }) => parts.push(data.subarray()))
  stream.addEventListener('remoteCloseWrite', () => {
    stream.send(Buffer.concat(parts))
    stream.close().catch(() => {})
  })
}
