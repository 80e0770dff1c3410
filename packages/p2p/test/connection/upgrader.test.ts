import { multiaddr } from '@multiformats/multiaddr'
import { expect, test } from 'vitest'

import { MemoryHub, memory } from '../../src/transports/memory.ts'

import { ourNode } from './_nodes.ts'

const NONE = [0, 0, 0, 0, 0, 0]

test('two nodes connect, know each other and what they run on, and leave nothing behind', async () => {
  const transport = memory(new MemoryHub())
  await using alice = await ourNode({ transport, listen: ['/memory/alice'] })
  await using bob = await ourNode({ transport })
  const connection = await bob.libp2p.dial(multiaddr(`/memory/alice/p2p/${alice.identity.peer}`))
  expect(connection.encryption).toBe('/noise')
  expect(connection.multiplexer).toBe('/yamux/1.0.0')
  expect(connection.remotePeer.toString()).toBe(alice.identity.peer)
  expect(bob.upgrader.infoOf(connection)).toMatchObject({
    peer: alice.identity.peer,
    direction: 'outbound',
    transport: 'memory',
    security: 'noise',
    muxer: '/yamux/1.0.0',
    relayed: false,
  })
  const [inbound] = alice.libp2p.getConnections()
  expect(inbound?.encryption).toBe('/noise')
  expect(alice.upgrader.infoOf(inbound ?? expect.fail())).toMatchObject({
    peer: bob.identity.peer,
    direction: 'inbound',
  })
  expect(await bob.libp2p.services.ping.ping(connection)).toBeGreaterThanOrEqual(0)
  const known = await bob.libp2p.services.identify.identify(connection)
  expect(known.agentVersion).toBe('stronghold/0.1.0')
  expect(known.protocols).toContain('/ipfs/ping/1.0.0')
  expect(alice.admission.counts.inbound).toBe(1)
  expect(bob.admission.counts.outbound).toBe(1)
  const closed = new Promise((resolve) => inbound?.addEventListener('close', resolve))
  await connection.close()
  await closed
  expect(Object.values(alice.admission.counts)).toEqual(NONE)
  expect(Object.values(bob.admission.counts)).toEqual(NONE)
})
