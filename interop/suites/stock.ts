/**
 * Nodes of `createNode` and stock js-libp2p: who dials, over which transport, with which security channel, with the
 * muxer agreed on early or late, and with a peer that has neither identify nor ping.
 */
import { createHash } from 'node:crypto'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'

import type { Connection, IdentifyResult, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'

import { parsePeerId } from '../../packages/p2p/src/identity.ts'
import { createNode } from '../../packages/p2p/src/node.ts'
import type { Node } from '../../packages/p2p/src/node-interface.ts'
import type { SecurityName } from '../../packages/p2p/src/securities.ts'
import { TEST_CERTIFICATE, TEST_KEY } from '../../packages/p2p/test/transports/certificate.ts'

import { first, streams } from './_ours.ts'
import type { Streams } from './_ours.ts'
import { stockNode } from './_stock.ts'
import type { Stock } from './_stock.ts'

const ECHO = '/interop/echo/1.0.0'
const ECHO_BYTES = 1024 * 1024
const TRANSPORTS = {
  tcp: '/ip4/127.0.0.1/tcp/0',
  ws: '/ip4/127.0.0.1/tcp/0/ws',
  wss: '/ip4/127.0.0.1/tcp/0/tls/ws',
}
const PEERS = {
  'with the muxer agreed on early': { early: true, talks: true },
  'with the muxer agreed on late': { early: false, talks: true },
  'without identify and ping': { early: false, talks: false },
}

type TransportName = keyof typeof TRANSPORTS

const authorities = getCACertificates('default')

before(() => {
  setDefaultCACertificates([...authorities, TEST_CERTIFICATE])
})

after(() => {
  setDefaultCACertificates(authorities)
})

for (const transport of Object.keys(TRANSPORTS) as TransportName[]) {
  for (const security of ['noise', 'tls'] as const) {
    describe(`createNode and stock js-libp2p over ${transport} with ${security}`, () => {
      for (const [what, has] of Object.entries(PEERS)) {
        for (const dialer of ['stock', 'we'] as const) {
          const title = `${dialer === 'stock' ? 'a stock peer dials us' : 'we dial a stock peer'}, ${what}`
          it(title, () => meet({ transport, security, dialer, ...has }))
        }
      }
    })
  }
}

describe('createNode with both security channels and stock js-libp2p with one', () => {
  for (const security of ['noise', 'tls'] as const) {
    it(`we dial a stock peer that speaks ${security} only`, async () => {
      const stock = await stockNode({ listen: TRANSPORTS.tcp, security, early: true, talks: true })
      try {
        await using we = await createNode()
        const connection = await we.connect(stock.getMultiaddrs().map(String))
        expect(connection.security).to.equal(security)
        expect(await we.ping(connection.peer)).to.be.at.least(0)
      } finally {
        await stock.stop()
      }
    })

    it(`a stock peer that speaks ${security} only dials us`, async () => {
      const stock = await stockNode({ security, early: true, talks: true })
      try {
        await using we = await createNode({ listen: [TRANSPORTS.tcp] })
        const connected = first(we, 'connected')
        await stock.dial(multiaddr(we.addresses[0]))
        expect((await connected).security).to.equal(security)
      } finally {
        await stock.stop()
      }
    })
  }
})

interface Meeting {
  transport: TransportName
  security: SecurityName
  dialer: 'stock' | 'we'
  early: boolean
  talks: boolean
}

async function meet({ transport, security, dialer, early, talks }: Meeting): Promise<void> {
  const listen = TRANSPORTS[transport]
  const ours = streams()
  await using we = await createNode({
    listen: dialer === 'stock' ? [listen] : [],
    security: [security],
    webSocketCertificate: { key: TEST_KEY, cert: TEST_CERTIFICATE },
    webSocketAuthorities: TEST_CERTIFICATE,
    transports: [ours.transport],
  })
  const stock = await stockNode({
    security,
    early,
    talks,
    ...(dialer === 'we' && { listen }),
  })
  try {
    await ours.handle(ECHO, echo)
    await stock.handle(ECHO, echo)
    const seen = watch(we, stock, talks)
    if (dialer === 'stock') await stock.dial(multiaddr(we.addresses[0]))
    else await we.connect(stock.getMultiaddrs().map(String))

    const connected = await seen.connected
    expect(connected).to.include({ peer: stock.peerId.toString(), transport, security })
    expect(connected.direction).to.equal(dialer === 'we' ? 'outbound' : 'inbound')
    expect(connected.muxer).to.equal('/yamux/1.0.0')
    const theirs = await seen.opened
    expect(theirs.remotePeer.toString()).to.equal(we.peer)
    expect(theirs.encryption).to.equal(security === 'noise' ? '/noise' : '/tls/1.0.0')
    const us = ours.connectionTo(stock.peerId.toString())

    if (talks) await seen.identified()
    await pingBothWays({ we, ours, us, stock, talks })
    await sendAndHear(us)
    await sendAndHear(theirs)
    expect(we.connections()).to.have.lengthOf(1)
    expect(stock.getConnections()).to.have.lengthOf(1)
  } finally {
    await stock.stop()
  }
}

/** Listens from before the connection; what is identified is asked of both sides. */
function watch(we: Node, stock: Stock, talks: boolean) {
  const connected = first(we, 'connected')
  const identified = first(we, 'peerIdentified')
  const opened = new Promise<Connection>((resolve) => {
    stock.addEventListener('connection:open', ({ detail }) => resolve(detail), { once: true })
  })
  const theirs = new Promise<IdentifyResult>((resolve) => {
    stock.addEventListener('peer:identify', ({ detail }) => resolve(detail), { once: true })
  })
  if (!talks) identified.catch(() => {})
  return {
    connected,
    opened,
    identified: async () => {
      const [ofStock, ofUs] = await Promise.all([identified, theirs])
      expect(ofStock.peer).to.equal(stock.peerId.toString())
      expect(ofStock.protocols).to.include.members([ECHO, '/ipfs/ping/1.0.0'])
      expect(ofUs.agentVersion).to.match(/^stronghold\//)
      expect(ofUs.protocols).to.include.members([ECHO, '/ipfs/ping/1.0.0', '/ipfs/id/1.0.0'])
      expect(ofUs.signedPeerRecord?.addresses.map(String) ?? []).to.deep.equal(
        we.addresses.map((address) => address.replace(/\/p2p\/.*/, '')),
      )
    },
  }
}

interface Pings {
  we: Node
  ours: Streams
  us: Connection
  stock: Stock
  talks: boolean
}

async function pingBothWays({ we, ours, us, stock, talks }: Pings): Promise<void> {
  // The muxer's, which every peer answers.
  expect(await we.ping(parsePeerId(us.remotePeer.toString()))).to.be.at.least(0)
  if (!talks) return
  expect(await ours.ping(us)).to.be.at.least(0)
  const [theirs] = stock.getPeers()
  expect(theirs && (await stock.services.ping?.ping(theirs))).to.be.at.least(0)
}

/** Sends back what comes as fast as it is taken; the other side closes when it has all of it. */
function echo(stream: Stream): void {
  stream.addEventListener('message', ({ data }) => {
    if (stream.send(data)) return
    stream.pause()
    stream.addEventListener('drain', () => stream.resume(), { once: true })
  })
  stream.addEventListener('remoteCloseWrite', () => void stream.close())
}

/** 1 MiB there and back, compared by hash; ends with both sides closed. */
async function sendAndHear(connection: Connection): Promise<void> {
  const stream = await connection.newStream(ECHO)
  const [sent, heard] = [createHash('sha256'), createHash('sha256')]
  const all = Promise.withResolvers<undefined>()
  const over = Promise.withResolvers<undefined>()
  let bytes = 0
  stream.addEventListener('message', ({ data }) => {
    heard.update(data.subarray())
    bytes += data.byteLength
    if (bytes >= ECHO_BYTES) all.resolve(undefined)
  })
  stream.addEventListener('close', ({ error }) => {
    over.resolve(undefined)
    all.reject(error ?? new Error(`closed after ${bytes} bytes`))
  })
  const chunk = 50_000
  for (let at = 0; at < ECHO_BYTES; at += chunk) {
    const part = new Uint8Array(Math.min(chunk, ECHO_BYTES - at)).fill(at % 251)
    sent.update(part)
    if (stream.send(part)) continue
    await new Promise((resolve) => {
      stream.addEventListener('drain', resolve, { once: true })
    })
  }
  await all.promise
  await stream.close()
  await over.promise
  expect(bytes).to.equal(ECHO_BYTES)
  expect(heard.digest('hex')).to.equal(sent.digest('hex'))
}
