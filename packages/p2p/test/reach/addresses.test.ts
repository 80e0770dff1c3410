import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { beforeEach, describe, expect, test } from 'vitest'

import { P2pError } from '../../src/errors.ts'
import type { Address, PeerId } from '../../src/identity.ts'
import { AddressBook } from '../../src/reach/addresses.ts'
import { addressNamed, peerNamed } from './names.ts'

const HOUR = 3_600_000
const ANN = peerNamed('Ann')
const BOB = peerNamed('Bob')
const RELAY = '/ip4/192.0.2.9/tcp/1/p2p/Relay' as Address

let clock: ManualClock
let book: AddressBook

function bookOf(maxPeersInBook = 3, maxAddressesPerPeer = 3): AddressBook {
  const limits = { maxPeersInBook, maxAddressesPerPeer }
  return new AddressBook({ limits, clock, parsePeer: peerNamed, parseAddress: addressNamed })
}

/** A short address: `a(7)` is port 7 of a public host. */
function a(port: number, host = '192.0.2.1'): Address {
  return `/ip4/${host}/tcp/${port}` as Address
}

/** The ports of what is listed, in order. */
function ports(peer: PeerId, of = book): (number | string)[] {
  return of.list(peer).map(({ address }) => Number(address.split('/')[4]))
}

beforeEach(() => {
  clock = manualClock(1_000_000)
  book = bookOf()
})

describe('add() and remove()', () => {
  test('what is added is listed, with the peer at its end', () => {
    book.add(ANN, [a(1), `${a(2)}/p2p/Ann` as Address])
    book.add(ANN, a(1))
    expect(book.list(ANN).map(({ address }) => address)).toEqual([
      '/ip4/192.0.2.1/tcp/1/p2p/Ann',
      '/ip4/192.0.2.1/tcp/2/p2p/Ann',
    ])
    expect(book.list(ANN)[0]).toMatchObject({ source: 'user', relayed: false, failures: 0 })
    expect(book.list(BOB)).toEqual([])
    expect(book.peers()).toEqual([ANN])
  })

  test('one address is removed, or the peer with all of them', () => {
    book.add(ANN, [a(1), a(2), a(3)])
    expect(book.remove(ANN, `${a(2)}/p2p/Ann` as Address)).toBe(true)
    expect(book.remove(ANN, a(2))).toBe(false)
    expect(book.remove(ANN, `${a(1)}/p2p/Bob` as Address)).toBe(false)
    expect(ports(ANN)).toEqual([1, 3])
    expect(book.remove(ANN)).toBe(true)
    expect(book.remove(ANN)).toBe(false)
    expect(book.peers()).toEqual([])
  })

  test('an address that names another peer is refused from the user and ignored from others', () => {
    const other = `${a(1)}/p2p/Bob` as Address
    expect(() => book.add(ANN, other)).toThrow(RangeError)
    book.add(ANN, [other, a(2)], { source: 'identify' })
    expect(ports(ANN)).toEqual([2])
  })

  test('misuse throws', () => {
    expect(() => book.add('ann' as PeerId, a(1))).toThrow(SyntaxError)
    expect(() => book.add(ANN, 'tcp' as Address)).toThrow(SyntaxError)
    for (const ttlMs of [0, -1, NaN]) {
      expect(() => book.add(ANN, a(1), { ttlMs })).toThrow(RangeError)
    }
    expect(book.peers()).toEqual([])
  })

  test('the revision grows with every change and with nothing else', () => {
    const seen = [book.revision]
    const changes = [
      () => book.add(ANN, a(1)),
      () => book.failed(ANN, a(1)),
      () => book.succeeded(ANN, a(1)),
      () => book.remove(ANN, a(1)),
      () => book.addDialingRelay(RELAY),
      () => book.setRelayMode(ANN, 'never'),
      () => book.removeDialingRelay(RELAY),
    ]
    for (const change of changes) {
      change()
      seen.push(book.revision)
    }
    expect(new Set(seen).size).toBe(seen.length)
    book.list(ANN)
    book.remove(BOB)
    book.failed(BOB, a(1))
    expect(book.revision).toBe(seen.at(-1))
  })
})

describe('expiry', () => {
  test("found addresses stay an hour, the user's for ever, both as long as `ttlMs` says", () => {
    book.add(ANN, a(1))
    book.add(ANN, a(2), { source: 'discovery' })
    book.add(ANN, a(3), { ttlMs: 10 })
    expect(book.list(ANN).map(({ expiresAtMs }) => expiresAtMs)).toEqual([
      undefined,
      1_000_010,
      1_000_000 + HOUR,
    ])
    clock.advance(10)
    expect(ports(ANN)).toEqual([1, 2])
    clock.advance(HOUR - 10)
    expect(ports(ANN)).toEqual([1])
  })

  test('being told again renews, and never shortens', () => {
    book.add(ANN, a(1), { source: 'discovery' })
    book.add(ANN, a(1), { source: 'identify', ttlMs: 10 })
    clock.advance(HOUR - 1)
    book.add(ANN, a(1), { source: 'discovery' })
    clock.advance(HOUR - 1)
    expect(ports(ANN)).toEqual([1])
    clock.advance(1)
    expect(book.peers()).toEqual([])
  })

  test('what worked stays for a week', () => {
    book.succeeded(ANN, a(1))
    clock.advance(7 * 24 * HOUR - 1)
    expect(ports(ANN)).toEqual([1])
    clock.advance(1)
    expect(ports(ANN)).toEqual([])
  })
})

describe('the order', () => {
  test('what worked comes first, the latest before the others', () => {
    book.add(ANN, [a(1), a(2), a(3)])
    book.succeeded(ANN, a(2))
    clock.advance(1)
    book.succeeded(ANN, `${a(3)}/p2p/Ann` as Address)
    expect(ports(ANN)).toEqual([3, 2, 1])
  })

  test('what failed comes last while it waits, and after what did not fail from then on', () => {
    book.add(ANN, [a(1), a(2), a(3)])
    book.succeeded(ANN, a(1))
    book.failed(ANN, a(1))
    book.failed(ANN, a(1))
    expect(ports(ANN)).toEqual([2, 3, 1])
    expect(book.list(ANN)[2]).toMatchObject({ failures: 2, retryAtMs: 1_002_000 })
    book.failed(ANN, a(2))
    expect(ports(ANN)).toEqual([3, 2, 1])
    book.succeeded(ANN, a(1))
    expect(ports(ANN)).toEqual([1, 3, 2])
    expect(book.list(ANN)[0]).toMatchObject({ failures: 0, retryAtMs: undefined })
  })

  test('the wait doubles from one second to five minutes', () => {
    book.add(ANN, a(1))
    const waits = Array.from({ length: 40 }, () => {
      book.failed(ANN, a(1))
      return (book.list(ANN)[0]?.retryAtMs ?? 0) - 1_000_000
    })
    expect(waits.slice(0, 4)).toEqual([1000, 2000, 4000, 8000])
    expect(Math.max(...waits)).toBe(300_000)
    expect(waits.at(-1)).toBe(300_000)
  })

  test('direct comes before relayed, public before private before this machine', () => {
    book = bookOf(3, 9)
    const addresses = [
      '/ip4/198.51.100.1/tcp/1/p2p/Relay/p2p-circuit',
      '/ip4/127.0.0.1/tcp/2',
      '/ip4/10.1.2.3/tcp/3',
      '/ip6/fe80::1/tcp/4',
      '/ip4/198.51.100.1/tcp/5',
      '/dns4/example.com/tcp/6',
    ] as Address[]
    book.add(ANN, addresses, { source: 'identify' })
    expect(ports(ANN)).toEqual([5, 6, 3, 2, 4, 1])
  })

  test("the user's come before what was told", () => {
    book.add(ANN, a(1), { source: 'identify' })
    book.add(ANN, a(2, '127.0.0.1'))
    expect(ports(ANN)).toEqual([2, 1])
  })
})

describe('bounds', () => {
  test('maxAddressesPerPeer: what never worked goes first, then what fails, then what expires soonest', () => {
    book.add(ANN, a(1), { source: 'identify' })
    book.succeeded(ANN, a(2))
    book.add(ANN, a(3), { source: 'identify', ttlMs: 10 })
    book.add(ANN, a(4), { source: 'identify' })
    expect(ports(ANN)).toEqual([2, 1, 4])
    book.failed(ANN, a(4))
    book.add(ANN, a(5), { source: 'identify' })
    expect(ports(ANN)).toEqual([2, 1, 5])
  })

  test('what is told never pushes out what works', () => {
    for (const port of [1, 2, 3]) book.succeeded(ANN, a(port))
    book.add(ANN, a(4), { source: 'identify' })
    expect(ports(ANN).sort()).toEqual([1, 2, 3])
    book.succeeded(ANN, a(5))
    expect(ports(ANN)).toHaveLength(3)
    expect(ports(ANN)).toContain(5)
    book.failed(ANN, a(5))
    book.add(ANN, a(6), { source: 'identify' })
    expect(ports(ANN)).not.toContain(5)
  })

  test("maxAddressesPerPeer of the user's own fit, and the next one is refused", () => {
    book.add(ANN, a(9), { source: 'identify' })
    book.add(ANN, [a(1), a(2), a(3)])
    expect(ports(ANN)).toEqual([1, 2, 3])
    expect(() => book.add(ANN, a(4))).toThrow(P2pError)
    expect(() => book.add(ANN, a(4))).toThrow(
      expect.objectContaining({ code: 'resource_exhausted', layer: 'limit' }),
    )
    book.add(ANN, a(4), { source: 'identify' })
    book.add(ANN, a(3))
    expect(ports(ANN)).toEqual([1, 2, 3])
  })

  test('maxPeersInBook: the least recently useful goes, and those that worked go last', () => {
    const found = { source: 'discovery' } as const
    book.succeeded(peerNamed('Old'), a(1))
    book.add(ANN, a(1), found)
    book.add(BOB, a(1), found)
    book.add(ANN, a(1), found)
    book.add(peerNamed('Cid'), a(1), found)
    expect(book.peers().sort()).toEqual(['Ann', 'Cid', 'Old'])
    for (const name of ['E', 'F', 'G', 'H']) book.add(peerNamed(name), a(1), found)
    expect(book.peers().sort()).toEqual(['G', 'H', 'Old'])
  })

  test("maxPeersInBook of the user's own fit; the next is refused, a found one ignored", () => {
    const found = { source: 'discovery' } as const
    book.add(peerNamed('Zoe'), a(1), found)
    for (const name of ['E', 'F', 'G']) book.add(peerNamed(name), a(1))
    expect(book.peers()).toEqual(['E', 'F', 'G'])
    expect(() => book.add(ANN, a(1))).toThrow(P2pError)
    book.add(ANN, a(1), found)
    book.succeeded(ANN, a(1))
    book.add(peerNamed('E'), a(2))
    expect(book.peers()).toEqual(['E', 'F', 'G'])
  })

  test("the user's own make room once they are expired", () => {
    for (const name of ['E', 'F', 'G']) book.add(peerNamed(name), a(1), { ttlMs: 10 })
    clock.advance(10)
    book.add(ANN, a(1), { source: 'discovery' })
    expect(book.peers()).toEqual(['Ann'])
    for (const name of ['E', 'F', 'G']) book.add(peerNamed(name), a(1), { ttlMs: 10 })
    clock.advance(10)
    book.add(BOB, a(1))
    expect(book.peers()).toEqual(['Bob'])
  })
})

describe('relays', () => {
  const through = (peer: string, relay: Address = RELAY): string =>
    `${relay}/p2p-circuit/p2p/${peer}`

  test('dialing relays are added once, listed in order and removed', () => {
    const second = '/dns4/relay.example.com/tcp/1/p2p/Second' as Address
    for (const relay of [RELAY, second, RELAY]) book.addDialingRelay(relay)
    expect(book.dialingRelays()).toEqual([RELAY, second])
    expect(book.removeDialingRelay(RELAY)).toBe(true)
    expect(book.removeDialingRelay(RELAY)).toBe(false)
    expect(book.dialingRelays()).toEqual([second])
  })

  test('a relay names its peer and is not relayed itself', () => {
    expect(() => book.addDialingRelay(a(1))).toThrow(RangeError)
    expect(() => book.addDialingRelay(through('Ann') as Address)).toThrow(RangeError)
  })

  test.each([
    ['fallback', [`${a(1)}/p2p/Ann`, `${a(2)}/p2p/Other/p2p-circuit/p2p/Ann`, through('Ann')]],
    ['only', [`${a(2)}/p2p/Other/p2p-circuit/p2p/Ann`, through('Ann')]],
    ['never', [`${a(1)}/p2p/Ann`]],
    ['Relay', [through('Ann')]],
    ['Other', [`${a(2)}/p2p/Other/p2p-circuit/p2p/Ann`]],
    ['Third', [`${a(3)}/p2p/Third/p2p-circuit/p2p/Ann`]],
  ])('candidates() with relay mode %s', (mode, candidates) => {
    book.addDialingRelay(RELAY)
    book.add(ANN, [a(1), `${a(2)}/p2p/Other/p2p-circuit` as Address])
    book.add(peerNamed('Third'), a(3))
    book.setRelayMode(ANN, mode as PeerId)
    expect(book.relayMode(ANN)).toBe(mode)
    expect(book.candidates(ANN)).toEqual(candidates)
  })

  test('a relay is not reached through itself', () => {
    book.addDialingRelay(RELAY)
    expect(book.candidates(peerNamed('Relay'))).toEqual([])
  })

  test('a mode that is none is refused', () => {
    expect(() => book.setRelayMode(ANN, 'always' as PeerId)).toThrow(SyntaxError)
  })
})

describe('export() and import()', () => {
  test('what is exported is imported, through JSON', () => {
    book.add(ANN, [a(1), a(2)])
    book.succeeded(ANN, a(2))
    book.failed(ANN, a(1))
    book.add(BOB, a(3), { source: 'discovery' })
    book.addDialingRelay(RELAY)
    book.setRelayMode(BOB, 'only')
    const exported = book.export()
    const other = bookOf()
    other.import(JSON.parse(JSON.stringify(exported)))
    expect(other.export()).toEqual(exported)
    expect(other.list(ANN).map(({ failures }) => failures)).toEqual([0, 0])
    expect(other.candidates(BOB)).toEqual(book.candidates(BOB))
  })

  test('importing merges: the later expiry and success win, and the own stay own', () => {
    const other = bookOf()
    other.add(ANN, a(1), { source: 'discovery' })
    clock.advance(5)
    other.succeeded(ANN, a(1))
    book.add(ANN, a(1))
    book.add(BOB, a(2))
    book.import(other.export())
    expect(book.list(ANN)[0]).toMatchObject({
      source: 'user',
      expiresAtMs: undefined,
      lastSuccessMs: 1_000_005,
    })
    expect(ports(BOB)).toEqual([2])
  })

  test('expired addresses are not imported, and no success lies in the future', () => {
    book.import({
      version: 1,
      peers: [
        {
          peer: 'Ann',
          addresses: [
            { address: a(1), source: 'identify', expiresAtMs: 1_000_000 },
            { address: a(2), source: 'user', lastSuccessMs: 9_999_999 },
          ],
        },
      ],
      dialingRelays: [],
      relayModes: [],
    })
    expect(ports(ANN)).toEqual([2])
    expect(book.list(ANN)[0]?.lastSuccessMs).toBe(1_000_000)
  })

  test("the user's own displace what was found, or nothing is imported", () => {
    const big = bookOf(9, 9)
    for (const name of ['E', 'F', 'G']) big.add(peerNamed(name), a(1))
    big.add(peerNamed('Found'), a(1), { source: 'identify' })
    book.add(BOB, a(1), { source: 'identify' })
    book.import(big.export())
    expect(book.peers()).toEqual(['E', 'F', 'G'])
    big.add(peerNamed('H'), a(1))
    const before = book.export()
    expect(() => book.import(big.export())).toThrow(P2pError)
    expect(book.export()).toEqual(before)
  })

  const empty = { version: 1, peers: [], dialingRelays: [], relayModes: [] }
  const one = (address: object): object => ({
    ...empty,
    peers: [{ peer: 'Ann', addresses: [{ address: a(1), source: 'user', ...address }] }],
  })
  test.each<[string, unknown, typeof TypeError | typeof SyntaxError | typeof RangeError]>([
    ['null', null, TypeError],
    ['another version', { ...empty, version: 2 }, TypeError],
    ['no version', { ...empty, version: undefined }, TypeError],
    ['a field more', { ...empty, more: 1 }, TypeError],
    ['no relays', { ...empty, dialingRelays: undefined }, TypeError],
    ['an object for a list', { ...empty, peers: {} }, TypeError],
    ['a peer that is none', { ...empty, peers: [{ peer: 'ann', addresses: [] }] }, SyntaxError],
    [
      'a peer with a field more',
      { ...empty, peers: [{ peer: 'Ann', addresses: [], x: 1 }] },
      TypeError,
    ],
    ['an address that is none', one({ address: 'tcp' }), SyntaxError],
    ['an address that is no text', one({ address: 1 }), TypeError],
    ['an address of another peer', one({ address: `${a(1)}/p2p/Bob` }), RangeError],
    ['an address with a field more', one({ failures: 1 }), TypeError],
    ['an unknown source', one({ source: 'admin' }), TypeError],
    ['a time that is none', one({ expiresAtMs: -1 }), TypeError],
    ['a time that is text', one({ lastSuccessMs: 'now' }), TypeError],
    ['a relay without a peer', { ...empty, dialingRelays: [a(1)] }, RangeError],
    [
      'a relay mode that is none',
      { ...empty, relayModes: [{ peer: 'Ann', relay: 'no' }] },
      SyntaxError,
    ],
  ])('%s is refused, and nothing is taken', (_, json, error) => {
    book.add(BOB, a(1))
    const before = book.export()
    expect(() => book.import(json)).toThrow(error)
    expect(book.export()).toEqual(before)
  })
})
