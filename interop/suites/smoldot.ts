/** smoldot, a light client with libp2p of its own in Rust, dials a node of `createNode`, asks, answers and stays. */
import { setTimeout as wait } from 'node:timers/promises'

import { chainSpec } from '@substrate/connect-known-chains/westend2'
import { expect } from 'aegir/chai'
import { start } from 'smoldot'
import type { Client } from 'smoldot'

import { createNode } from '../../packages/p2p/src/node.ts'

import { first, streams } from './_ours.ts'

const TRANSPORTS = {
  tcp: '/ip4/127.0.0.1/tcp/0',
  ws: '/ip4/127.0.0.1/tcp/0/ws',
}
/** How long it has to stay after everything was asked and answered. */
const STAY_MS = 1500
const TEST_TIMEOUT_MS = 30_000

for (const [transport, listen] of Object.entries(TRANSPORTS)) {
  it(`smoldot dials us over ${transport}, pings and identifies, is pinged and identified, and stays`, async () => {
    const ours = streams()
    await using we = await createNode({ listen: [listen], transports: [ours.transport] })
    const connected = first(we, 'connected')
    const identified = first(we, 'peerIdentified')
    const disconnected = first(we, 'disconnected')
    const smoldot = await dial(we.addresses[0] ?? '', transport)
    try {
      const { peer, address, ...about } = await connected
      expect(about).to.include({ transport, security: 'noise', muxer: '/yamux/1.0.0' })
      expect(about).to.include({ direction: 'inbound', relayed: false })
      expect(address).to.match(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+/)

      const { protocols, peer: who } = await identified
      expect(who).to.equal(peer)
      expect(protocols).to.include.members(['/ipfs/ping/1.0.0', '/ipfs/id/1.0.0'])
      await smoldot.heard('identify-request-received')
      await smoldot.heard('pong')
      expect(await we.ping(peer)).to.be.at.least(0)
      expect(await ours.ping(ours.connectionTo(peer))).to.be.at.least(0)

      await wait(STAY_MS)
      expect(we.connections(peer)).to.have.lengthOf(1)
    } finally {
      await smoldot.client.terminate()
    }
    expect((await disconnected).reason).to.equal('remote_closed')
  }).timeout(TEST_TIMEOUT_MS)
}

interface Smoldot {
  client: Client
  /** Resolves when its log has told of this, before or after the call. */
  heard(what: string): Promise<void>
}

/** Its only peer is ours, and it is allowed no other kind of socket. */
async function dial(address: string, transport: string): Promise<Smoldot> {
  const told = new Set<string>()
  const waiting = new Map<string, () => void>()
  const client = start({
    maxLogLevel: 4,
    forbidTcp: transport !== 'tcp',
    forbidWs: transport !== 'ws',
    forbidNonLocalWs: true,
    forbidWss: true,
    forbidWebRtc: true,
    logCallback: (_level, _target, message) => {
      const what = message.split(';')[0] ?? ''
      told.add(what)
      waiting.get(what)?.()
    },
  })
  const spec = JSON.parse(chainSpec) as Record<string, unknown>
  const alone = { ...spec, bootNodes: [address], telemetryEndpoints: null }
  await client.addChain({ chainSpec: JSON.stringify(alone), disableJsonRpc: true })
  return {
    client,
    heard: async (what) => {
      if (told.has(what)) return
      await new Promise<void>((resolve) => waiting.set(what, resolve))
    },
  }
}
