import { manualClock } from '@stronghold/testkit'
import { beforeAll, describe, expect, test } from 'vitest'

import { Arrivals } from '../../src/find/arrivals.ts'
import { DhtRecords } from '../../src/find/dht-records.ts'
import type { Discoverer, FindSource, FoundPeer } from '../../src/find/find.ts'
import { Finding } from '../../src/find/finding.ts'
import type { FindingInit } from '../../src/find/finding.ts'
import { isNamespace } from '../../src/find/find.ts'
import { ToldPeers } from '../../src/find/kademlia.ts'
import { MessageReader } from '../../src/find/message-reader.ts'
import { parsePeerId } from '../../src/identity.ts'
import type { PeerId } from '../../src/identity.ts'
import { resolveLimits } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import { createNode } from '../../src/node.ts'
import { memoryNetwork } from '../../src/testing.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'

import { at, identities } from './_peers.ts'

let peers: PeerId[] = []
beforeAll(async () => {
  peers = (await identities(6)).map(({ peer }) => peer)
})

function foundPeer(index: number, port = 1, source: FindSource = 'mdns'): FoundPeer {
  const peer = peers[index] ?? expect.fail()
  const addresses = [at(`/ip4/10.0.0.1/tcp/${port}`, { peer })]
  return { peer, addresses, source, expiresAtMs: 1 }
}

/** Tells these, then waits for the end where it is to follow. */
function tells(source: FindSource, ...found: (FoundPeer | Error)[]): Discoverer {
  return {
    source,
    find: async function* (_wanted, { signal, follow }) {
      for (const one of found) {
        if (one instanceof Error) throw one
        yield one
      }
      if (follow && !signal.aborted) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
      }
    },
  }
}

function findingOf(
  discoverers: Discoverer[],
  given: Partial<P2pLimits> = {},
  more: Partial<FindingInit> = {},
): { finding: Finding; clock: ReturnType<typeof manualClock>; failed: FindSource[] } {
  const clock = manualClock()
  const failed: FindSource[] = []
  const finding = new Finding({
    clock,
    limits: resolveLimits(given),
    advertisers: [],
    discoverers,
    addresses: () => [],
    parsePeer: parsePeerId,
    wants: () => true,
    onFound: () => {},
    onFailed: (source) => failed.push(source),
    ...more,
  })
  return { finding, clock, failed }
}

async function all(search: AsyncIterable<FoundPeer>): Promise<FoundPeer[]> {
  const got: FoundPeer[] = []
  for await (const one of search) got.push(one)
  return got
}

describe('finding', () => {
  test('all ways are asked at once, and one that fails does not fail the others', async () => {
    const good = foundPeer(0)
    const { finding, failed } = findingOf([
      tells('mdns', good),
      tells('rendezvous', new Error('away')),
      tells('kademlia', foundPeer(1, 1, 'kademlia')),
    ])
    expect((await all(finding.find())).map(({ source }) => source)).toEqual(['mdns', 'kademlia'])
    expect(failed).toEqual(['rendezvous'])
    const one = await all(finding.find({}, { sources: ['mdns'] }))
    expect(one).toEqual([good])
  })

  test('where every way fails, the search fails', async () => {
    const { finding } = findingOf([tells('mdns', new Error('no route'))])
    await expect(all(finding.find())).rejects.toMatchObject({
      code: 'unavailable',
      message: 'Cannot find peers by mdns: no route',
    })
  })

  test('what nobody can look for is refused at once', () => {
    const { finding } = findingOf([tells('mdns')])
    expect(() => finding.find({ namespace: '' })).toThrow(RangeError)
    expect(() => finding.find({ namespace: 'a', peer: peers[0] ?? expect.fail() })).toThrow(
      TypeError,
    )
    expect(() => finding.find({ peer: 'nobody' as PeerId })).toThrow(SyntaxError)
    expect(() => finding.find({}, { timeoutMs: 0 })).toThrow(RangeError)
    expect(() => finding.find({}, { timeout: 1 } as object)).toThrow(TypeError)
    const code = 'failed_precondition'
    expect(() => finding.find({}, { sources: ['kademlia'] })).toThrow(
      expect.objectContaining({ code }),
    )
    expect(() => finding.advertise('a')).toThrow(expect.objectContaining({ code }))
  })

  test('findTimeoutMs ends a search that names no time, maxSearches refuses one more', async () => {
    const { finding, clock } = findingOf([tells('mdns', foundPeer(0))], {
      findTimeoutMs: 500,
      maxSearches: 2,
    })
    const searches = [finding.find({}, { follow: true }), finding.find({}, { follow: true })]
    expect(() => finding.find()).toThrow(expect.objectContaining({ code: 'resource_exhausted' }))
    const results = Promise.all(searches.map((search) => all(search)))
    for (let i = 0; i < 20; i++) await Promise.resolve()
    clock.advance(500)
    for (const got of await results) expect(got).toHaveLength(1)
    expect(clock.timers).toBe(0)
    expect(await all(finding.find())).toHaveLength(1)
  })

  test('maxAdvertisements refuses one more, and disposing makes room', async () => {
    const { finding } = findingOf(
      [],
      { maxAdvertisements: 1 },
      {
        advertisers: [
          {
            source: 'mdns',
            refresh: () => {},
            advertise: (namespace) => ({
              namespace,
              states: () => [],
              [Symbol.asyncDispose]: async () => {},
            }),
          },
        ],
      },
    )
    const one = finding.advertise('a')
    expect(() => finding.advertise('b')).toThrow(
      expect.objectContaining({ code: 'resource_exhausted' }),
    )
    await one[Symbol.asyncDispose]()
    finding.advertise('b')
    await finding.stop()
  })

  test('addresses that change are told within interfacePollMs, once for each moment', () => {
    let own = [at('/ip4/10.0.0.1/tcp/1', { peer: peers[0] ?? expect.fail() })]
    let refreshed = 0
    const { finding, clock } = findingOf(
      [],
      { interfacePollMs: 1000 },
      {
        addresses: () => own,
        advertisers: [
          {
            source: 'mdns',
            refresh: () => refreshed++,
            advertise: (namespace) => ({
              namespace,
              states: () => [],
              [Symbol.asyncDispose]: async () => {},
            }),
          },
        ],
      },
    )
    finding.advertise()
    clock.advance(10_000)
    expect(refreshed).toBe(0)
    own = [at('/ip4/10.0.0.2/tcp/1', { peer: peers[0] ?? expect.fail() })]
    finding.refresh()
    clock.advance(10_000)
    expect(refreshed).toBeGreaterThan(0)
    expect(refreshed).toBeLessThanOrEqual(2)
  })

  test('looking again ends at the first other address, and one search serves all', async () => {
    let asked = 0
    const way: Discoverer = {
      source: 'mdns',
      find: async function* () {
        asked++
        yield foundPeer(0, 1)
        yield foundPeer(0, 2)
      },
    }
    const { finding } = findingOf([way])
    const peer = peers[0] ?? expect.fail()
    const { signal } = new AbortController()
    const tried = foundPeer(0, 1).addresses
    const both = [finding.again(peer, tried, signal), finding.again(peer, tried, signal)]
    expect(await Promise.all(both)).toEqual([true, true])
    expect(asked).toBe(1)
    const known = [...tried, ...foundPeer(0, 2).addresses]
    expect(await finding.again(peer, known, signal)).toBe(false)
  })
})

describe('arrivals', () => {
  test('maxFoundPeers bounds what is unread: the oldest goes', async () => {
    const arrivals = new Arrivals({ maxFoundPeers: 2 })
    for (let i = 0; i < 5; i++) arrivals.push(foundPeer(i))
    arrivals.finish()
    expect((await all(arrivals)).map(({ peer }) => peer)).toEqual([peers[3], peers[4]])
  })

  test('the same again is told once, a new address again, however many there are', async () => {
    const arrivals = new Arrivals({ maxFoundPeers: 300 })
    for (let i = 0; i < 3; i++) arrivals.push(foundPeer(0, 1))
    for (let port = 1; port <= 200; port++) arrivals.push(foundPeer(0, port))
    arrivals.finish()
    expect(await all(arrivals)).toHaveLength(200)
  })
})

describe('names and records', () => {
  test('a namespace is 1 to 255 bytes of plain text', () => {
    for (const good of ['a', 'x'.repeat(255), 'ü'.repeat(127), '/a b/🦉'])
      expect(isNamespace(good)).toBe(true)
    for (const bad of ['', 'x'.repeat(256), 'ü'.repeat(128), 'a\n', '\u007f', '\ud800']) {
      expect(isNamespace(bad)).toBe(false)
    }
  })

  test('maxDhtRecords: the oldest of others makes room, our own never; maxDhtRecordsPerPeer refuses', () => {
    const records = new DhtRecords({ maxDhtRecords: 4, maxDhtRecordsPerPeer: 2 }, 'self')
    const value = Uint8Array.of(1)
    const key = (content: number, peer: string): Parameters<DhtRecords['put']>[0] =>
      ({ toString: () => `/dht/provider/${content}/${peer}` }) as never
    for (let i = 0; i < 3; i++) records.put(key(i, 'self'), value)
    records.put(key(1, 'bob'), value)
    records.put(key(1, 'carol'), value) // bob's makes room
    expect(records.has(key(1, 'bob'))).toBe(false)
    expect(records.has(key(0, 'self'))).toBe(true)
    expect(() => records.get(key(1, 'bob'))).toThrow('not found')
    const roomy = new DhtRecords({ maxDhtRecords: 9, maxDhtRecordsPerPeer: 2 }, 'self')
    roomy.put(key(1, 'bob'), value)
    roomy.put(key(2, 'bob'), value)
    expect(() => roomy.put(key(3, 'bob'), value)).toThrow(RangeError)
    roomy.put(key(2, 'bob'), value)
    roomy.delete(key(1, 'bob'))
    roomy.put(key(3, 'bob'), value)
    expect(roomy.size).toBe(2)
  })
})

test('maxDhtPeers: of those that the Kademlia network told, the oldest is forgotten', async () => {
  const kept = new Set<string>()
  const store = {
    merge: async ({ toString }: object) => void kept.add(toString()),
    delete: async ({ toString }: object) => void kept.delete(toString()),
  }
  const told = new ToldPeers(store as never, { maxDhtPeers: 2, maxAddressesPerPeer: 16 })
  for (const id of ['a', 'b', 'a', 'c']) {
    told.take({ id: { toString: () => id } as never, multiaddrs: [] })
  }
  expect([...kept].sort()).toEqual(['a', 'c'])
})

describe('a message reader', () => {
  test('gives whole messages, however they are cut, and the end between two', async () => {
    const [ours, theirs] = pipePair()
    const reader = new MessageReader(theirs, {
      maxBytes: 10,
      timeoutMs: 1000,
      clock: manualClock(),
    })
    for (const byte of [3, 1, 2, 3, 0, 1, 9]) ours.write([Uint8Array.of(byte)])
    ours.end()
    expect(await reader.read()).toEqual(Uint8Array.of(1, 2, 3))
    expect(await reader.read()).toEqual(new Uint8Array(0))
    expect(await reader.read()).toEqual(Uint8Array.of(9))
    expect(await reader.read()).toBeUndefined()
  })

  test('an end inside one, a longer one and silence fail', async () => {
    const clock = manualClock()
    const cases: [number[], string][] = [
      [[3, 1], 'unavailable'],
      [[11], 'resource_exhausted'],
      [[0x80, 0], 'invalid_argument'],
    ]
    for (const [bytes, code] of cases) {
      const [ours, theirs] = pipePair()
      const reader = new MessageReader(theirs, { maxBytes: 10, timeoutMs: 1000, clock })
      ours.write([Uint8Array.from(bytes)])
      ours.end()
      await expect(reader.read()).rejects.toMatchObject({ code })
    }
    const [, silent] = pipePair()
    const reader = new MessageReader(silent, { maxBytes: 10, timeoutMs: 1000, clock })
    const failed = expect(reader.read()).rejects.toMatchObject({ code: 'deadline_exceeded' })
    clock.advance(1000)
    await failed
    expect(clock.timers).toBe(0)
  })
})

describe('a node', () => {
  test('without a way to find says how to get one', async () => {
    await using network = memoryNetwork()
    const node = await network.createNode()
    const error = expect.objectContaining({ code: 'failed_precondition' })
    expect(() => node.find()).toThrow(error)
    expect(() => node.advertise('a')).toThrow(error)
  })

  test('set up with what does not exist is refused before anything runs', async () => {
    const bad: object[] = [
      { dns: true },
      { mdns: { interface: 'eth0' } },
      { mdns: { interfaces: [] } },
      { announce: 'no' },
      { rendezvous: { point: [] } },
      { rendezvous: { points: ['/ip4/10.0.0.1/tcp/1'] } },
      { rendezvous: { serve: 'yes' } },
      { rendezvous: { record: 'new' } },
      { kademlia: { network: 'everybody' } },
      { kademlia: { server: 1 } },
      { kademlia: { bootstrap: ['/ip4/10.0.0.1/tcp/1'] } },
    ]
    for (const find of bad)
      await expect(createNode({ find }), JSON.stringify(find)).rejects.toThrow(TypeError)
  })

  test('a peer that moved is found by rendezvous, and the request goes through', async () => {
    await using network = memoryNetwork()
    const point = await network.createNode({ find: { rendezvous: { serve: true } } })
    const find = { rendezvous: { points: [...point.addresses] } }
    const bob = await network.createNode({ find })
    const alice = await network.createNode({ find })
    // The announcement of its own comes first.
    const other = alice.advertise('chess')
    await expect.poll(() => other.states()[0]?.state).toBe('told')
    const events = bob.events({ types: ['found'] })
    bob.book.add(alice.peer, '/memory/gone' as never)
    const connection = await bob.connect(alice.peer)
    expect(connection.peer).toBe(alice.peer)
    expect((await events.next()).value).toMatchObject({ type: 'found', source: 'rendezvous' })
  })
})
