import { manualClock } from '@stronghold/testkit'
import { concat, encodeUtf8 } from '@stronghold/core'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, test, vi } from 'vitest'
import type { Connection, IdentifyResult, Libp2p, Stream } from '@libp2p/interface'

import {
  decodeIdentify,
  encodeIdentify,
  frameIdentify,
  unframeIdentify,
} from '../../src/connection/identify-message.ts'
import { IDENTIFY_PROTOCOL, IDENTIFY_PUSH_PROTOCOL } from '../../src/connection/identify.ts'
import { pipeOf } from '../../src/connection/message-stream.ts'
import { openIdentity } from '../../src/open-identity.ts'
import { LEGACY_PEER_RECORD, sealPeerRecord } from '../../src/peer-record.ts'
import { MemoryHub, memory } from '../../src/transports/memory.ts'
import type { IdentifyMessage } from '../../src/connection/identify-message.ts'
import type { Pipe } from '../../src/connection/pipe.ts'

import { ourNode } from './_nodes.ts'
import type { OurNode, OurNodeInit } from './_nodes.ts'

const address = (text: string): Uint8Array => multiaddr(text).bytes

interface Pair extends AsyncDisposable {
  alice: OurNode
  bob: OurNode
  /** From bob to alice. */
  connect(): Promise<Connection>
}

/** Bob asks; alice answers as the test says. */
async function pair(
  answer?: (pipe: Pipe, connection: Connection) => void,
  bobInit: Partial<OurNodeInit> = {},
): Promise<Pair> {
  const transport = memory(new MemoryHub())
  const alice = await ourNode({ transport, listen: ['/memory/alice'] })
  const bob = await ourNode({ transport, ...bobInit })
  if (answer !== undefined) {
    await alice.libp2p.unhandle(IDENTIFY_PROTOCOL)
    await alice.libp2p.handle(IDENTIFY_PROTOCOL, (stream: Stream, connection: Connection) => {
      answer(pipeOf(stream), connection)
    })
  }
  return {
    alice,
    bob,
    connect: () => bob.libp2p.dial(multiaddr(`/memory/alice/p2p/${alice.identity.peer}`)),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([alice.libp2p.stop(), bob.libp2p.stop()])
    },
  }
}

const nobody = { drain: (): void => {}, end: (): void => {}, close: (): void => {} }

function say(message: Partial<IdentifyMessage>): (pipe: Pipe) => void {
  return (pipe) => {
    pipe.listen({ ...nobody, data: () => {} })
    pipe.write([
      frameIdentify(encodeIdentify({ listenAddresses: [], protocols: [], ...message }, 100_000)),
    ])
    pipe.end()
    pipe.resume()
  }
}

function told(node: Libp2p): Promise<IdentifyResult> {
  return new Promise((resolve) => {
    node.addEventListener('peer:identify', ({ detail }) => resolve(detail), { once: true })
  })
}

test('every connection is asked once, on both sides, and topologies hear of it', async () => {
  await using nodes = await pair()
  const { alice, bob } = nodes
  const asked = vi.fn()
  alice.libp2p.addEventListener('peer:identify', asked)
  bob.libp2p.addEventListener('peer:identify', asked)
  const connected = vi.fn()
  await bob.libp2p.register('/ipfs/ping/1.0.0', { onConnect: connected })
  const connection = await nodes.connect()
  const answer = bob.libp2p.services.identify.identify(connection)
  expect(bob.libp2p.services.identify.identify(connection)).toBe(answer)
  await answer
  await expect.poll(() => asked.mock.calls.length).toBe(2)
  expect(connected).toHaveBeenCalledOnce()
  const peer = await bob.libp2p.peerStore.get(alice.libp2p.peerId)
  expect(peer.protocols).toContain(IDENTIFY_PUSH_PROTOCOL)
  expect(new TextDecoder().decode(peer.metadata.get('AgentVersion'))).toBe('stronghold/0.1.0')
  expect(peer.addresses).toEqual([{ multiaddr: multiaddr('/memory/alice'), isCertified: true }])
})

test('what we say of ourselves is our name and version, and no more', async () => {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  await using nodes = await pair()
  const connection = await nodes.connect()
  const pipe = pipeOf(await connection.newStream(IDENTIFY_PROTOCOL))
  const chunks: Uint8Array[] = []
  pipe.listen({
    ...nobody,
    data: (chunk) => chunks.push(chunk),
    end: () => {
      resolve(concat(chunks))
      pipe.end()
    },
  })
  pipe.resume()
  const message = decodeIdentify(unframeIdentify(await promise) ?? expect.fail())
  expect(message.agentVersion).toBe('stronghold/0.1.0')
  expect(message.protocolVersion).toBe('ipfs/0.1.0')
  expect(message.observedAddress).toBeUndefined()
  expect(message.publicKey).toEqual(nodes.alice.identity.publicKey)
})

test('a peer without identify is as good as any other', async () => {
  await using nodes = await pair()
  await nodes.alice.libp2p.unhandle([IDENTIFY_PROTOCOL, IDENTIFY_PUSH_PROTOCOL])
  const connection = await nodes.connect()
  await expect(nodes.bob.libp2p.services.identify.identify(connection)).rejects.toMatchObject({
    name: 'P2pError',
    ran: 'no',
  })
  expect(connection.status).toBe('open')
  expect(await nodes.bob.libp2p.services.ping.ping(connection)).toBeGreaterThanOrEqual(0)
})

test('a node with many protocols and addresses stays within maxIdentifyBytes', async () => {
  const transport = memory(new MemoryHub())
  await using alice = await ourNode({
    transport,
    listen: ['/memory/alice'],
    libp2p: {
      addresses: {
        listen: ['/memory/alice'],
        announce: Array.from(
          { length: 40 },
          (_, at) => `/dns4/${'n'.repeat(50)}${at.toString()}.example/tcp/1`,
        ),
      },
    },
  })
  for (let count = 0; count < 300; count++) {
    await alice.libp2p.handle(`/many/${'p'.repeat(40)}/${count.toString()}`, () => {})
  }
  await using bob = await ourNode({ transport })
  const connection = await bob.libp2p.dial(multiaddr(`/memory/alice/p2p/${alice.identity.peer}`))
  const result = await bob.libp2p.services.identify.identify(connection)
  expect(result.listenAddrs.length).toBe(16)
  expect(result.protocols.length).toBeGreaterThan(20)
  expect(result.signedPeerRecord?.addresses.length).toBe(16)
})

test('the address under which a peer sees us is told to whoever wants it', async () => {
  const observed = vi.fn()
  const seen = address('/ip4/198.51.100.7/tcp/4001')
  await using nodes = await pair(say({ observedAddress: seen }), {
    identify: { onObserved: observed },
  })
  const connection = await nodes.connect()
  const result = await nodes.bob.libp2p.services.identify.identify(connection)
  expect(result.observedAddr?.toString()).toBe('/ip4/198.51.100.7/tcp/4001')
  expect(observed.mock.calls).toEqual([[multiaddr(seen), connection]])
})

test('a record in the form of RFC 0003 counts as one, a forged one counts as none', async () => {
  const stranger = await openIdentity({ generate: 'ed25519' })
  const addresses = [address('/ip4/192.0.2.1/tcp/1')]
  const beside = [address('/ip4/192.0.2.2/tcp/2')]
  const signers = [
    ['own', true],
    ['strange', false],
    ['changed', false],
  ] as const
  for (const [kind, certified] of signers) {
    const made: { alice?: OurNode } = {}
    await using nodes = await pair((pipe) => {
      const identity = kind === 'strange' ? stranger : (made.alice?.identity ?? expect.fail())
      void sealPeerRecord(identity, { seq: 1n, addresses }, LEGACY_PEER_RECORD).then((record) => {
        if (kind === 'changed') record[record.byteLength - 1] = (record.at(-1) ?? 0) ^ 1
        say({ signedPeerRecord: record, listenAddresses: beside })(pipe)
      })
    })
    made.alice = nodes.alice
    const connection = await nodes.connect()
    const result = await nodes.bob.libp2p.services.identify.identify(connection)
    expect(result.signedPeerRecord !== undefined).toBe(certified)
    const { addresses: stored } = await nodes.bob.libp2p.peerStore.get(nodes.alice.libp2p.peerId)
    expect(stored.map((one) => [one.multiaddr.toString(), one.isCertified])).toEqual([
      certified ? ['/ip4/192.0.2.1/tcp/1', true] : ['/ip4/192.0.2.2/tcp/2', false],
    ])
  }
})

test('a push replaces what was known', async () => {
  await using nodes = await pair()
  const { alice, bob } = nodes
  const connection = await nodes.connect()
  await bob.libp2p.services.identify.identify(connection)
  await expect
    .poll(async () => (await alice.libp2p.peerStore.get(bob.libp2p.peerId)).protocols)
    .toContain(IDENTIFY_PUSH_PROTOCOL)
  await alice.libp2p.handle('/new/1.0.0', () => {})
  const heard = told(bob.libp2p)
  await alice.libp2p.services.identify.push()
  expect((await heard).protocols).toContain('/new/1.0.0')
})

test('a change of ourselves is pushed a moment later, once', async () => {
  const clock = manualClock()
  const transport = memory(new MemoryHub())
  await using alice = await ourNode({ transport, listen: ['/memory/alice'], identify: { clock } })
  await using bob = await ourNode({ transport })
  const first = [told(alice.libp2p), told(bob.libp2p)]
  await bob.libp2p.dial(multiaddr(`/memory/alice/p2p/${alice.identity.peer}`))
  await Promise.all(first)
  const heard = vi.fn()
  bob.libp2p.addEventListener('peer:identify', heard)
  await alice.libp2p.handle('/new/1.0.0', () => {})
  await alice.libp2p.handle('/new/2.0.0', () => {})
  clock.advance(1000)
  await expect.poll(() => heard.mock.calls.length).toBeGreaterThan(0)
  const event = heard.mock.calls.at(-1)?.[0] as CustomEvent<IdentifyResult>
  expect(event.detail.protocols).toEqual(expect.arrayContaining(['/new/1.0.0', '/new/2.0.0']))
})

test('a message of exactly maxIdentifyBytes is taken and one byte more is not', async () => {
  for (const [maxIdentifyBytes, taken] of [
    [1000, true],
    [999, false],
  ] as const) {
    // Two bytes of tag and length less than the field.
    const text = '/'.padEnd(1000 - 3, 'x')
    await using nodes = await pair(say({ protocols: [text] }), { limits: { maxIdentifyBytes } })
    const connection = await nodes.connect()
    const asked = nodes.bob.libp2p.services.identify.identify(connection)
    if (taken) expect((await asked).protocols).toEqual([text])
    else await expect(asked).rejects.toMatchObject({ code: 'resource_exhausted' })
  }
})

test('no more than maxAddressesPerPeer addresses are kept, and none of another peer', async () => {
  const other = await openIdentity({ generate: 'ed25519' })
  const listenAddresses = [
    address(`/ip4/192.0.2.9/tcp/1/p2p/${other.peer}`),
    Uint8Array.of(1, 2, 3),
    ...Array.from({ length: 10 }, (_, port) => address(`/ip4/192.0.2.1/tcp/${port.toString()}`)),
  ]
  await using nodes = await pair(say({ listenAddresses }), { limits: { maxAddressesPerPeer: 5 } })
  const connection = await nodes.connect()
  const result = await nodes.bob.libp2p.services.identify.identify(connection)
  expect(result.listenAddrs.map(String)).toEqual([
    '/ip4/192.0.2.1/tcp/0',
    '/ip4/192.0.2.1/tcp/1',
    '/ip4/192.0.2.1/tcp/2',
  ])
})

test('maxIdentifiedPeers: who came first is forgotten, but whoever is connected', async () => {
  const transport = memory(new MemoryHub())
  const limits = { maxIdentifiedPeers: 2 }
  await using alice = await ourNode({ transport, listen: ['/memory/alice'], limits })
  const { peerStore } = alice.libp2p
  const where = multiaddr(`/memory/alice/p2p/${alice.identity.peer}`)
  const come = async (): Promise<OurNode> => {
    const node = await ourNode({ transport })
    const heard = told(alice.libp2p)
    await node.libp2p.dial(where)
    await heard
    return node
  }
  await using stays = await come()
  const gone: OurNode[] = []
  for (let i = 0; i < 3; i++) {
    const node = await come()
    await node.libp2p.stop()
    await expect.poll(() => alice.libp2p.getConnections(node.libp2p.peerId).length).toBe(0)
    gone.push(node)
  }
  const known = async (): Promise<boolean[]> =>
    Promise.all([stays, ...gone].map(({ libp2p }) => peerStore.has(libp2p.peerId)))
  await expect.poll(known).toEqual([true, false, false, true])
})

test('addresses through a peer whose id is none, or with more than an address in them, are none', async () => {
  const relay = Uint8Array.of(0xa5, 0x03, 4, 0x00, 2, 0xff, 0xff, 0xa2, 0x02)
  const through = concat([address('/ip4/192.0.2.1/tcp/1'), relay])
  const named = (name: string): Uint8Array => {
    const bytes = encodeUtf8(name)
    return Uint8Array.of(54, bytes.byteLength, ...bytes, 6, 0, 1)
  }
  const odd = ['a\u001b[2J', 'a\nb', 'a b', '\u202ea', 'a/ip4/127.0.0.1'].map(named)
  for (const observedAddress of [through, ...odd]) {
    const observed = vi.fn()
    const listenAddresses = [through, ...odd, address('/dns4/a.example/tcp/1')]
    await using nodes = await pair(say({ listenAddresses, observedAddress }), {
      identify: { onObserved: observed },
    })
    const connection = await nodes.connect()
    const result = await nodes.bob.libp2p.services.identify.identify(connection)
    expect(result.listenAddrs.map(String)).toEqual(['/dns4/a.example/tcp/1'])
    expect(result.observedAddr).toBeUndefined()
    expect(observed).not.toHaveBeenCalled()
  }
})

test('too much, too late, nothing, junk and the key of another are refused, and the connection stays', async () => {
  const other = await openIdentity({ generate: 'ed25519' })
  const clock = manualClock()
  const cases: [string, (pipe: Pipe) => void, object][] = [
    [
      'too much',
      say({ protocols: ['/x'.repeat(3000)] }),
      { code: 'resource_exhausted', layer: 'limit' },
    ],
    [
      'endless',
      (pipe) => {
        pipe.listen({ ...nobody, data: () => {}, drain: () => pipe.write([new Uint8Array(1000)]) })
        pipe.write([new Uint8Array(100_000).fill(0x80)])
        pipe.resume()
      },
      { code: 'resource_exhausted' },
    ],
    [
      'nothing',
      (pipe) => {
        pipe.listen({ ...nobody, data: () => {} })
        pipe.end()
        pipe.resume()
      },
      { code: 'invalid_argument' },
    ],
    [
      'junk',
      (pipe) => {
        pipe.listen({ ...nobody, data: () => {} })
        pipe.write([frameIdentify(Uint8Array.of(0, 1, 2))])
        pipe.end()
        pipe.resume()
      },
      { code: 'invalid_argument' },
    ],
    ['another key', say({ publicKey: other.publicKey }), { code: 'invalid_argument' }],
    ['too late', () => setImmediate(() => clock.advance(5000)), { code: 'deadline_exceeded' }],
  ]
  for (const [name, answer, error] of cases) {
    await using nodes = await pair(answer, { identify: { clock } })
    const connection = await nodes.connect()
    const asked = nodes.bob.libp2p.services.identify.identify(connection)
    await expect(asked, name).rejects.toMatchObject(error)
    expect(connection.status).toBe('open')
    await expect.poll(() => clock.timers).toBe(0)
  }
})

test('who sends a message and stays is understood when time is up', async () => {
  const clock = manualClock()
  await using nodes = await pair(
    (pipe) => {
      pipe.listen({ ...nobody, data: () => {} })
      pipe.write([frameIdentify(encodeIdentify({ listenAddresses: [], protocols: ['/a'] }, 100))])
      pipe.resume()
      setImmediate(() => clock.advance(5000))
    },
    { identify: { clock } },
  )
  const connection = await nodes.connect()
  const result = await nodes.bob.libp2p.services.identify.identify(connection)
  expect(result.protocols).toEqual(['/a'])
})
