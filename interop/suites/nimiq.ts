/** `@nimiq/core`, which is rust-libp2p in WebAssembly, dials a node of `createNode` over WebSocket, pings and is pinged. */
import { Client, ClientConfiguration } from '@nimiq/core'
import { expect } from 'aegir/chai'

import { createNode } from '../../packages/p2p/src/node.ts'

import { first, streams } from './_ours.ts'

const PING = '/ipfs/ping/1.0.0'
const DISCOVERY = '/nimiq/discovery/0.0.1'
const GOSSIP = ['/meshsub/1.0.0', '/meshsub/1.1.0', '/meshsub/1.2.0']
/** It waits 3 s for a word in its own discovery protocol, of which we have none, and then goes. */
const LEAST_STAY_MS = 2500
const TEST_TIMEOUT_MS = 30_000

it('Nimiq dials us over WebSocket, pings, is pinged and stays', async () => {
  const ours = streams()
  await using we = await createNode({
    listen: ['/ip4/127.0.0.1/tcp/0/ws'],
    transports: [ours.transport],
  })
  const opened = new Map<string, () => void>()
  const discovery = new Promise<void>((resolve) => opened.set(DISCOVERY, resolve))
  const gossip = new Promise<void>((resolve) => {
    for (const one of GOSSIP) opened.set(one, resolve)
  })
  for (const [protocol, resolve] of opened) {
    await ours.handle(protocol, (stream) => {
      stream.addEventListener('message', () => {})
      resolve()
    })
  }
  const connected = first(we, 'connected')
  const disconnected = first(we, 'disconnected')
  const log = holdBack()
  const client = await Client.create(configuration(we.addresses[0] ?? ''))

  const { peer, ...about } = await connected
  expect(about).to.include({ transport: 'ws', security: 'noise', muxer: '/yamux/1.0.0' })
  expect(about).to.include({ direction: 'inbound', relayed: false })
  await Promise.all([discovery, gossip, log.heard('Ping completed')])
  const connection = ours.connectionTo(peer)
  expect(await we.ping(peer)).to.be.at.least(0)
  expect(await ours.ping(connection)).to.be.at.least(0)
  expect(connection.streams.map(({ protocol }) => protocol)).to.include.members([DISCOVERY, PING])

  const { reason, atMs } = await disconnected
  expect(reason).to.equal('remote_closed')
  expect(atMs - about.atMs).to.be.at.least(LEAST_STAY_MS)
  await client.disconnectNetwork()
}).timeout(TEST_TIMEOUT_MS)

function configuration(address: string): ReturnType<ClientConfiguration['build']> {
  const init = new ClientConfiguration()
  init.network('devalbatross')
  init.seedNodes([address])
  init.onlySecureWsConnections(false)
  init.logLevel('trace')
  return init.build()
}

/** Its thread writes to our output, and goes on when the test is over. What it writes is read, and not shown. */
function holdBack(): { heard(text: string): Promise<void> } {
  const { stdout, stderr } = process
  const show = { out: stdout.write.bind(stdout), err: stderr.write.bind(stderr) }
  const waiting = new Map<string, () => void>()
  let all = ''
  const read = (data: string | Uint8Array): boolean => {
    all += data.toString()
    for (const [text, resolve] of waiting) if (all.includes(text)) resolve()
    return true
  }
  const isItsOwn = (data: string | Uint8Array): boolean => ITS_LOG.test(data.toString())
  stdout.write = (data: string | Uint8Array) => (isItsOwn(data) ? read(data) : show.out(data))
  stderr.write = (data: string | Uint8Array) => (isItsOwn(data) ? read(data) : show.err(data))
  return {
    heard: async (text) => {
      if (all.includes(text)) return
      await new Promise<void>((resolve) => waiting.set(text, resolve))
    },
  }
}

const ITS_LOG = /^(\d{4}-\d\d-\d\dT\S+Z |.*\b[Cc]lient (WASM )?worker\b)/
