/** mDNS over the machine's own sockets, where it can multicast at all, with stock js-libp2p as its partner. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { mdns as stockMdns } from '@libp2p/mdns'
import type { PeerInfo } from '@libp2p/interface'
import { tcp as stockTcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { expect, test } from 'vitest'

import { createNode } from '../../src/node.ts'
import type { Node } from '../../src/node-interface.ts'
import type { MulticastRuntime } from '../../src/runtime/multicast.ts'
import { multicastRuntime } from '../../src/runtime/node.ts'

import { findSuite } from './find-suite.ts'

/** Whether a packet to the group comes back, on an interface that leads off this machine. */
async function canMulticast(runtime: MulticastRuntime | undefined): Promise<boolean> {
  const on = runtime?.interfaces().find(({ family, internal }) => family === 4 && !internal)
  if (runtime === undefined || on === undefined) return false
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), 1000)
  try {
    const link = await runtime.open({
      on,
      networks: [on],
      group: '224.0.0.251',
      port: 5353,
      onPacket: () => resolve(true),
      onError: () => resolve(false),
    })
    await link.send(new Uint8Array(12))
    const heard = await promise
    await link.close()
    return heard
  } catch {
    return false
  } finally {
    clearTimeout(timer)
  }
}

const multicasts = await canMulticast(multicastRuntime)
const listen = ['/ip4/0.0.0.0/tcp/0']
/** Within which a peer that moved is to be found again. */
const FOUND_AGAIN_MS = 30_000

if (multicasts) {
  findSuite('mDNS, over sockets', {
    source: 'mdns',
    open: async () => {
      const make = (): Promise<Node> => createNode({ listen, find: { mdns: true } })
      const [alice, bob] = [await make(), await make()]
      return {
        alice,
        bob,
        [Symbol.asyncDispose]: async () => {
          await Promise.all([alice.stop(), bob.stop()])
        },
      }
    },
  })
}
// A machine without a multicast route has nobody to be found by; packets byte by byte are tested without sockets.
else test.skip('mDNS over sockets: this machine cannot multicast', () => {})

test.skipIf(!multicasts)(
  'stock js-libp2p and we find each other, where the machine can multicast',
  { timeout: 40_000 },
  async () => {
    const ours = await createNode({ listen: ['/ip4/0.0.0.0/tcp/0'], find: { mdns: true } })
    const stock = await createLibp2p({
      addresses: { listen: ['/ip4/0.0.0.0/tcp/0'] },
      transports: [stockTcp()],
      peerDiscovery: [stockMdns({ interval: 1000 })],
    })
    const seen: string[] = []
    stock.addEventListener('peer:discovery', ({ detail }: CustomEvent<PeerInfo>) => {
      seen.push(detail.id.toString())
    })
    try {
      const wanted = stock.peerId.toString()
      const found = Promise.resolve().then(async () => {
        for await (const { peer, addresses } of ours.find({}, { follow: true })) {
          if (peer === wanted) return addresses
        }
        return []
      })
      await expect.poll(() => seen, { timeout: 15_000 }).toContain(ours.peer)
      expect((await found).every((address) => address.endsWith(wanted))).toBe(true)
    } finally {
      await stock.stop()
      await ours.stop()
    }
  },
)

test.skipIf(!multicasts)(
  'a peer that moved to another port is found again without a person',
  { timeout: 40_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mdns-'))
    const identity = join(folder, 'identity')
    const bob = await createNode({ listen, find: { mdns: true } })
    const before = await createNode({ identity, listen, find: { mdns: true } })
    const old = before.addresses
    await bob.connect(old)
    await before.stop()
    const alice = await createNode({ identity, listen, find: { mdns: true } })
    try {
      const fromMs = performance.now()
      const connection = await bob.connect(alice.peer)
      expect(performance.now() - fromMs).toBeLessThan(FOUND_AGAIN_MS)
      expect(old).not.toContain(connection.remoteAddress)
    } finally {
      await Promise.all([alice.stop(), bob.stop()])
      await rm(folder, { recursive: true })
    }
  },
)
