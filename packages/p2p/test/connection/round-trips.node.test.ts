import { manualClock } from '@stronghold/testkit'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, test } from 'vitest'

import { createNoise } from '../../src/connection/noise.ts'
import { createTls } from '../../src/connection/tls.ts'
import { MemoryHub, memory } from '../../src/transports/memory.ts'
import type { Security } from '../../src/connection/security.ts'
import type { Identity } from '../../src/open-identity.ts'

import { ourNode } from './_nodes.ts'

const ONE_WAY_MS = 100

/** Lets everything happen that needs no time, signatures on other threads among it. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
}

/** One-way trips until the first answer of an application, of which opening the TCP connection would be two more. */
async function tripsToFirstAnswer(securities: (identity: Identity) => Security[]): Promise<number> {
  const clock = manualClock()
  const transport = memory(new MemoryHub({ latencyMs: ONE_WAY_MS, clock }))
  await using alice = await ourNode({ transport, securities, clock, listen: ['/memory/alice'] })
  await using bob = await ourNode({ transport, securities, clock })
  let answered = false
  const answer = bob.libp2p
    .dial(multiaddr(`/memory/alice/p2p/${alice.identity.peer}`))
    .then((connection) => bob.libp2p.services.ping.ping(connection))
    .then(() => {
      answered = true
    })
  let trips = 0
  await settle()
  while (!answered && trips < 20) {
    trips += 1
    clock.advance(ONE_WAY_MS)
    await settle()
  }
  await answer
  // Closing takes time, too, which nobody else advances.
  const going = setInterval(() => {
    clock.advance(ONE_WAY_MS)
  }, 1)
  await Promise.all([bob.libp2p.stop(), alice.libp2p.stop()])
  clearInterval(going)
  return trips
}

test('the first answer over Noise comes after two round trips, and one for TCP', async () => {
  const trips = await tripsToFirstAnswer((identity) => [createNoise({ identity })])
  expect(trips).toBe(4)
})

test('over TLS it is the same', async () => {
  expect(await tripsToFirstAnswer((identity) => [createTls({ identity })])).toBe(4)
})

test('a channel that agrees on no muxer costs no round trip more', async () => {
  const trips = await tripsToFirstAnswer((identity) => {
    const real = createNoise({ identity })
    return [
      {
        protocol: real.protocol,
        secureOutbound: (pipe, options) => real.secureOutbound(pipe, { ...options, muxers: [] }),
        secureInbound: (pipe, options) => real.secureInbound(pipe, { ...options, muxers: [] }),
      },
    ]
  })
  expect(trips).toBe(4)
})
