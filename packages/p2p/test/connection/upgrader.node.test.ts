import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

import { identify as stockIdentify, identifyPush as stockPush } from '@libp2p/identify'
import { noise as stockNoise } from '@libp2p/noise'
import { ping as stockPing } from '@libp2p/ping'
import { tcp as stockTcp } from '@libp2p/tcp'
import { tls as stockTls } from '@libp2p/tls'
import { yamux as stockYamux } from '@libp2p/yamux'
import { manualClock } from '@stronghold/testkit'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { describe, expect, test } from 'vitest'
import type { ConnectionEncrypter, IdentifyResult, Libp2p } from '@libp2p/interface'

import { createNoise } from '../../src/connection/noise.ts'
import { createTls } from '../../src/connection/tls.ts'
import { tcp } from '../../src/transports/tcp.ts'
import type { Security } from '../../src/connection/security.ts'
import type { Identity } from '../../src/open-identity.ts'

import { ourNode } from './_nodes.ts'

const noise = (identity: Identity): Security => createNoise({ identity })
const tls = (identity: Identity): Security => createTls({ identity })

/** Of `/multistream/1.0.0` and `/tls/1.0.0`, each with its length and newline. */
const PROPOSAL_BYTES = 20 + 12

type Encrypters = ((components: never) => ConnectionEncrypter)[]

async function stockNode(
  connectionEncrypters: Encrypters,
  listen: boolean,
  early = true,
): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: listen ? ['/ip4/127.0.0.1/tcp/0'] : [] },
    transports: [stockTcp()],
    connectionEncrypters: connectionEncrypters as never,
    streamMuxers: early ? [stockYamux()] : [],
    services: { identify: stockIdentify(), push: stockPush(), ping: stockPing() },
  })
}

function identified(node: Libp2p): Promise<IdentifyResult> {
  return new Promise((resolve) => {
    node.addEventListener('peer:identify', ({ detail }) => resolve(detail), { once: true })
  })
}

describe.each([
  ['noise', noise, stockNoise(), '/noise'],
  ['tls', tls, stockTls(), '/tls/1.0.0'],
] as const)('with stock js-libp2p over TCP and %s', (_name, ours, theirs, encryption) => {
  test('it dials us', async () => {
    await using alice = await ourNode({
      transport: tcp(),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      securities: (identity) => [ours(identity)],
    })
    const bob = await stockNode([theirs] as Encrypters, false)
    try {
      const [seenByAlice, seenByBob] = [identified(alice.libp2p), identified(bob)]
      const [address] = alice.libp2p.getMultiaddrs()
      const connection = await bob.dial(address ?? expect.fail())
      expect(connection.encryption).toBe(encryption)
      expect((await seenByBob).agentVersion).toBe('stronghold/0.1.0')
      expect((await seenByBob).signedPeerRecord?.addresses.map(String)).toEqual([
        address?.toString().replace(/\/p2p\/.*/, ''),
      ])
      expect((await seenByAlice).protocols).toContain('/ipfs/ping/1.0.0')
      expect((await seenByAlice).observedAddr?.toString()).toMatch(/^\/ip4\/127\.0\.0\.1\/tcp\//)
      expect(
        await (bob.services as { ping: { ping(to: unknown): Promise<number> } }).ping.ping(address),
      ).toBeGreaterThanOrEqual(0)
      const [inbound] = alice.libp2p.getConnections()
      expect(inbound?.encryption).toBe(encryption)
      expect(
        await alice.libp2p.services.ping.ping(inbound ?? expect.fail()),
      ).toBeGreaterThanOrEqual(0)
    } finally {
      await bob.stop()
    }
    await expect
      .poll(() => Object.values<number>({ ...alice.admission.counts }))
      .toEqual([0, 0, 0, 0, 0, 0])
  })

  test('we dial it', async () => {
    await using alice = await ourNode({
      transport: tcp(),
      securities: (identity) => [ours(identity)],
    })
    const bob = await stockNode([theirs] as Encrypters, true)
    try {
      const [seenByAlice, seenByBob] = [identified(alice.libp2p), identified(bob)]
      const [address] = bob.getMultiaddrs()
      const connection = await alice.libp2p.dial(address ?? expect.fail())
      expect(connection.encryption).toBe(encryption)
      expect(await alice.libp2p.services.ping.ping(connection)).toBeGreaterThanOrEqual(0)
      expect((await seenByAlice).signedPeerRecord).toBeDefined()
      expect((await seenByBob).agentVersion).toBe('stronghold/0.1.0')
      const stored = await alice.libp2p.peerStore.get(bob.peerId)
      expect(stored.addresses[0]?.isCertified).toBe(true)
      expect(stored.protocols).toContain('/ipfs/id/1.0.0')
    } finally {
      await bob.stop()
    }
  })
})

test('a peer that refuses our first choice is dialed once more, step by step', async () => {
  // A channel that stock does not know, before one that it knows.
  const unknown = (identity: Identity): Security => {
    const real = createNoise({ identity })
    return {
      protocol: '/unknown/1.0.0',
      secureOutbound: (...args) => real.secureOutbound(...args),
      secureInbound: (...args) => real.secureInbound(...args),
    }
  }
  let dials = 0
  await using alice = await ourNode({
    transport: (components) => {
      const transport = tcp()(components)
      const dial = transport.dial.bind(transport)
      transport.dial = (...args) => {
        dials += 1
        return dial(...args)
      }
      return transport
    },
    securities: (identity) => [unknown(identity), noise(identity)],
  })
  const bob = await stockNode([stockNoise(), stockTls()] as Encrypters, true)
  try {
    const [address] = bob.getMultiaddrs()
    const connection = await alice.libp2p.dial(address ?? expect.fail())
    expect(connection.encryption).toBe('/noise')
    expect(dials).toBe(2)
    expect(alice.admission.counts.outbound).toBe(1)
    expect(await alice.libp2p.services.ping.ping(connection)).toBeGreaterThanOrEqual(0)
  } finally {
    await bob.stop()
  }
})

test('two of ours agree on the dialer’s first choice', async () => {
  await using alice = await ourNode({
    transport: tcp(),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    securities: (identity) => [noise(identity), tls(identity)],
  })
  const [address] = alice.libp2p.getMultiaddrs()
  for (const [securities, encryption] of [
    [[noise, tls], '/noise'],
    [[tls, noise], '/tls/1.0.0'],
    [[tls], '/tls/1.0.0'],
  ] as const) {
    await using bob = await ourNode({
      transport: tcp(),
      securities: (identity) => securities.map((make) => make(identity)),
    })
    const connection = await bob.libp2p.dial(address ?? expect.fail())
    expect(connection.encryption).toBe(encryption)
    expect(bob.upgrader.infoOf(connection)).toMatchObject({
      security: encryption.split('/')[1],
      transport: 'tcp',
    })
    expect(await bob.libp2p.services.ping.ping(connection)).toBeGreaterThanOrEqual(0)
  }
})

/** TLS that notes whether it got a pipe that can give out its socket. */
function watchedTls(onSocket: boolean[]): (identity: Identity) => Security[] {
  return (identity) => {
    const real = tls(identity)
    return [
      {
        protocol: real.protocol,
        secureOutbound: (pipe, options) => {
          onSocket.push(pipe.takeSocket !== undefined)
          return real.secureOutbound(pipe, options)
        },
        secureInbound: (pipe, options) => real.secureInbound(pipe, options),
      },
    ]
  }
}

test('TLS over TCP runs on the socket itself when the peer answers at once, else on a pipe', async () => {
  const listen = ['/ip4/127.0.0.1/tcp/0']
  await using alice = await ourNode({
    transport: tcp(),
    listen,
    securities: (identity) => [tls(identity)],
  })
  const [address] = alice.libp2p.getMultiaddrs()
  const port = Number(address?.toString().split('/')[4])
  const clock = manualClock()
  // Answers nothing before it has more than the proposal: whoever waits for the answer would wait for ever.
  const proxy = createServer((near) => {
    let came = 0
    const far = connect(port, '127.0.0.1')
    far.pause()
    near.on('data', (chunk: Buffer) => {
      came += chunk.byteLength
      far.write(chunk)
      if (came > PROPOSAL_BYTES) far.resume()
      else clock.advance(5)
    })
    far.on('data', (chunk) => near.write(chunk))
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => {}).on('close', () => other.destroy())
    }
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port: farPort } = proxy.address() as AddressInfo
  try {
    const onSocket: boolean[] = []
    for (const to of [port, farPort]) {
      await using bob = await ourNode({ transport: tcp(), clock, securities: watchedTls(onSocket) })
      const connection = await bob.libp2p.dial(
        multiaddr(`/ip4/127.0.0.1/tcp/${to}/p2p/${alice.identity.peer}`),
      )
      expect(connection.encryption).toBe('/tls/1.0.0')
      expect(await bob.libp2p.services.ping.ping(connection)).toBeGreaterThanOrEqual(0)
    }
    expect(onSocket).toEqual([true, false])
  } finally {
    proxy.close()
  }
})

test('a peer without the muxer inside its handshake is muxed all the same', async () => {
  // A channel that offers and takes no muxer, as some implementations have it.
  const late = (identity: Identity): Security => {
    const real = createNoise({ identity })
    return {
      protocol: real.protocol,
      secureOutbound: (pipe, options) => real.secureOutbound(pipe, { ...options, muxers: [] }),
      secureInbound: (pipe, options) => real.secureInbound(pipe, { ...options, muxers: [] }),
    }
  }
  await using alice = await ourNode({
    transport: tcp(),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    securities: (identity) => [late(identity)],
  })
  const bob = await stockNode([stockNoise()] as Encrypters, true)
  try {
    const out = await alice.libp2p.dial(bob.getMultiaddrs()[0] ?? expect.fail())
    expect(await alice.libp2p.services.ping.ping(out)).toBeGreaterThanOrEqual(0)
    await out.close()
    const [address] = alice.libp2p.getMultiaddrs()
    const connection = await bob.dial(address ?? expect.fail())
    expect(connection.multiplexer).toBe('/yamux/1.0.0')
    const [inbound] = alice.libp2p.getConnections()
    expect(await alice.libp2p.services.ping.ping(inbound ?? expect.fail())).toBeGreaterThanOrEqual(
      0,
    )
  } finally {
    await bob.stop()
  }
})
