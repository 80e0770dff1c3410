import { concat, encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { beforeAll, describe, expect, test } from 'vitest'

import { decodeDns, encodeDns, nameOf } from '../../src/find/dns-message.ts'
import type { DnsMessage } from '../../src/find/dns-message.ts'
import type { FoundPeer } from '../../src/find/find.ts'
import { Mdns } from '../../src/find/mdns.ts'
import { MDNS_SERVICE, mdnsQuery, readMdnsResponse } from '../../src/find/mdns-message.ts'
import type { Address } from '../../src/identity.ts'
import { resolveLimits } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import type { Identity } from '../../src/open-identity.ts'

import { eth0, lan } from './lan.ts'
import type { Lan, Machine } from './lan.ts'
import { at, identities } from './_peers.ts'

const READ = { maxBytes: 9000, maxRecords: 256 }
const STRANGER = { address: '10.0.0.66', port: 5353 }

let alice: Identity
let bob: Identity
let carol: Identity
beforeAll(async () => {
  const [a, b, c] = await identities(3)
  if (a === undefined || b === undefined || c === undefined) throw new Error('no identities')
  ;[alice, bob, carol] = [a, b, c]
})

interface Fixture {
  readonly mdns: Mdns
  readonly found: FoundPeer[]
  readonly problems: string[]
  addresses: Address[]
}

function fixture(
  who: Identity,
  machine: Machine,
  clock: ManualClock,
  given: Partial<P2pLimits> = {},
  interfaces?: string[],
): Fixture {
  const found: FoundPeer[] = []
  const problems: string[] = []
  const [first] = machine.addresses
  const fixture = { found, problems, addresses: [at(`/ip4/${first?.address}/tcp/4001`, who)] }
  const mdns = new Mdns({
    peer: who.peer,
    clock,
    limits: resolveLimits(given),
    random: (length) => new Uint8Array(length).fill(who.peer.charCodeAt(20)),
    multicast: machine,
    interfaces,
    addresses: () => fixture.addresses,
    onFound: (one) => found.push(one),
    onProblem: (message) => problems.push(message),
  })
  return Object.assign(fixture, { mdns })
}

/** Lets promises that wait for nothing but each other settle. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve()
}

async function twoNodes(given: Partial<P2pLimits> = {}): Promise<{
  net: Lan
  clock: ManualClock
  a: Fixture
  b: Fixture
  machines: [Machine, Machine]
}> {
  const net = lan()
  const clock = manualClock()
  const machines: [Machine, Machine] = [
    net.machine(eth0('10.0.0.1'), eth0('fe80::1')),
    net.machine(eth0('10.0.0.2'), eth0('fe80::2')),
  ]
  const a = fixture(alice, machines[0], clock, given)
  const b = fixture(bob, machines[1], clock, given)
  await a.mdns.start()
  await b.mdns.start()
  return { net, clock, a, b, machines }
}

/** What a search gives within its time. */
async function collect(
  search: AsyncIterable<FoundPeer>,
  clock: ManualClock,
  forMs = 2000,
): Promise<FoundPeer[]> {
  const got: FoundPeer[] = []
  const done = (async () => {
    for await (const one of search) got.push(one)
  })()
  for (let ms = 0; ms < forMs; ms += 100) {
    await settle()
    clock.advance(100)
  }
  await settle()
  await Promise.race([done, settle()])
  return got
}

const now = { signal: new AbortController().signal, follow: false }

function response(
  strings: readonly string[],
  { inAnswers = false, ttl = 120, name = 'somebody' } = {},
): Uint8Array {
  const instance = nameOf([name, '_p2p', '_udp', 'local'])
  const txt = {
    name: instance,
    ttl,
    flush: true,
    data: { type: 'TXT' as const, strings: strings.map(encodeUtf8) },
  }
  const pointer = {
    name: MDNS_SERVICE,
    ttl,
    flush: false,
    data: { type: 'PTR' as const, target: instance },
  }
  return encodeDns({
    id: 0,
    response: true,
    questions: [],
    answers: inAnswers ? [pointer, txt] : [pointer],
    additionals: inAnswers ? [] : [txt],
  })
}

describe('packets', () => {
  test('the question is that of the specification, byte by byte', () => {
    const name = `04${toHex(encodeUtf8('_p2p'))}04${toHex(encodeUtf8('_udp'))}05${toHex(encodeUtf8('local'))}00`
    expect(toHex(encodeDns(mdnsQuery()))).toBe(`000000000001000000000000${name}000c0001`)
  })

  test('an answer has PTR alone in it, and TXT, SRV, A and AAAA beside, byte by byte', async () => {
    const { net, clock, a } = await twoNodes()
    a.addresses = [at('/ip4/10.0.0.1/tcp/4001', alice), at('/ip6/fd00::1/tcp/4001', alice)]
    a.mdns.advertise()
    await settle()
    net.seen.length = 0
    net.say('eth0', encodeDns(mdnsQuery()), STRANGER)
    clock.advance(120)
    await settle()
    const sent = net.seen.find(({ from }) => from.address === '10.0.0.1') ?? expect.fail()
    const peerName = toHex(new Uint8Array(20).fill(alice.peer.charCodeAt(20)))
    const hex = (text: string): string => toHex(encodeUtf8(text))
    const label = (text: string): string => text.length.toString(16).padStart(2, '0') + hex(text)
    const service = `${label('_p2p')}${label('_udp')}${label('local')}00` // at 12 = 0x0c; local at 0x16
    const [one, two] = a.addresses.map((address) => label(`dnsaddr=${address}`))
    const txt = `${one}${two}`
    const size = (text: string): string => (text.length / 2).toString(16).padStart(4, '0')
    const expected = [
      '0000 8400 0000 0001 0000 0004',
      service,
      `000c 0001 00000078 002b ${label(peerName)} c00c`, // the instance stands at 0x27
      `c027 0010 8001 00000078 ${size(txt)} ${txt}`,
      `c027 0021 8001 00000078`,
    ].join('')
    const wanted = expected.replaceAll(' ', '')
    expect(toHex(sent.bytes).slice(0, wanted.length)).toBe(wanted)
    const message = decodeDns(sent.bytes, READ)
    expect(message.answers.map(({ data }) => data.type)).toEqual(['PTR'])
    expect(message.additionals.map(({ data }) => data.type)).toEqual(['TXT', 'SRV', 'A', 'AAAA'])
    const [, srv, ...hosts] = message.additionals
    const host = `${peerName}.p2p.local`
    expect(srv?.data).toEqual({ type: 'SRV', priority: 0, weight: 0, port: 4001, target: host })
    expect(hosts.map(({ name }) => name)).toEqual([host, host])
    expect(hosts[0]?.data).toEqual({ type: 'A', address: Uint8Array.of(10, 0, 0, 1) })
    expect(message.answers[0]?.flush).toBe(false)
  })

  test('the list of services, and the records of one instance, can be asked for by name', async () => {
    const { net, clock, a } = await twoNodes()
    a.mdns.advertise()
    const ask = async (name: string, type: number): Promise<DnsMessage | undefined> => {
      await settle()
      clock.advance(5000)
      await settle()
      net.seen.length = 0
      const questions = [{ name, type, unicast: true }]
      const query = { id: 0, response: false, questions, answers: [], additionals: [] }
      net.say('eth0', encodeDns(query), STRANGER)
      await settle()
      const sent = net.seen.find(({ to }) => to !== undefined)
      return sent === undefined ? undefined : decodeDns(sent.bytes, READ)
    }
    const meta = await ask('_services._dns-sd._udp.local', 12)
    expect(meta?.answers[0]?.data).toEqual({ type: 'PTR', target: MDNS_SERVICE })
    const peerName = toHex(new Uint8Array(20).fill(alice.peer.charCodeAt(20)))
    const instance = `${peerName}.${MDNS_SERVICE}`
    expect((await ask(instance, 16))?.answers.map(({ data }) => data.type)).toEqual(['TXT'])
    expect((await ask(instance, 33))?.answers.map(({ data }) => data.type)).toEqual(['SRV'])
    expect((await ask(`${peerName}.p2p.local`, 1))?.answers[0]?.data.type).toBe('A')
    expect(await ask('printer._ipp._tcp.local', 12)).toBeUndefined()
  })

  test('TXT is read among the answers and among the additionals, one record or several', () => {
    const texts = [`dnsaddr=${at('/ip4/10.0.0.9/tcp/1', carol)}`, 'other=1', 'ns=00ff']
    for (const inAnswers of [true, false]) {
      const message = decodeDns(response(texts, { inAnswers }), READ)
      const [heard] = readMdnsResponse(message, 16)
      expect(heard?.addresses).toEqual([at('/ip4/10.0.0.9/tcp/1', carol)])
      expect(heard?.namespaces).toEqual(['00ff'])
      expect(heard?.ttlSeconds).toBe(120)
    }
  })

  test('a packet as stock js-libp2p writes it is understood', () => {
    // PTR and TXT among the answers, uncompressed, as its DNS library writes them.
    const instance = concat([Uint8Array.of(3), encodeUtf8('abc'), wire('_p2p', '_udp', 'local')])
    const address = encodeUtf8(`dnsaddr=${at('/ip4/192.168.1.7/tcp/9', carol)}`)
    const service = wire('_p2p', '_udp', 'local')
    const packet = concat([
      fromHex('000084000000000200000000'),
      service,
      fromHex('000c000100000078'),
      Uint8Array.of(0, instance.byteLength),
      instance,
      instance,
      fromHex('0010000100000078'),
      Uint8Array.of(0, address.byteLength + 1, address.byteLength),
      address,
    ])
    expect(readMdnsResponse(decodeDns(packet, READ), 16)).toEqual([
      {
        instance: `abc.${MDNS_SERVICE}`,
        ttlSeconds: 120,
        addresses: [at('/ip4/192.168.1.7/tcp/9', carol)],
        namespaces: [],
      },
    ])
  })
})

function wire(...labels: string[]): Uint8Array {
  const parts = labels.flatMap((one) => [Uint8Array.of(one.length), encodeUtf8(one)])
  return concat([...parts, Uint8Array.of(0)])
}

describe('two nodes', () => {
  test('find each other, on both families, by announcement and by question', async () => {
    const { clock, a, b, net } = await twoNodes()
    a.mdns.advertise()
    const got = await collect(b.mdns.find({}, now), clock)
    expect(got).toHaveLength(1)
    expect(got[0]).toMatchObject({ peer: alice.peer, source: 'mdns', addresses: a.addresses })
    expect(got[0]?.expiresAtMs).toBeGreaterThan(clock.nowMs())
    const families = new Set(net.seen.map(({ from }) => from.address.includes(':')))
    expect(families.size).toBe(2)
    expect(a.found).toEqual([])
    await Promise.all([a.mdns.stop(), b.mdns.stop()])
    expect(clock.timers).toBe(0)
  })

  test('who listens only is not found: nothing is said that nobody wants said', async () => {
    const { clock, b } = await twoNodes()
    expect(await collect(b.mdns.find({}, now), clock)).toEqual([])
  })

  test('a namespace finds those who serve it, and its name is not on the network', async () => {
    const { clock, a, b, net } = await twoNodes()
    a.mdns.advertise('a rare word')
    const got = await collect(b.mdns.find({ namespace: 'a rare word' }, now), clock)
    expect(got).toMatchObject([{ peer: alice.peer, namespace: 'a rare word' }])
    expect(await collect(b.mdns.find({ namespace: 'another' }, now), clock)).toEqual([])
    const all = net.seen.map(({ bytes }) => toHex(bytes)).join()
    expect(all).not.toContain(toHex(encodeUtf8('a rare word')))
  })

  test('a goodbye is taken from whoever said hello, and what runs out is forgotten', async () => {
    const { clock, a, b, net } = await twoNodes()
    const said = a.mdns.advertise()
    expect(await collect(b.mdns.find({}, now), clock)).toHaveLength(1)
    net.say('eth0', response([`dnsaddr=${a.addresses[0]}`], { ttl: 0 }), STRANGER)
    const search = b.mdns.find({}, { ...now, signal: AbortSignal.timeout(60_000) })
    expect(await collect(search, clock)).toHaveLength(1)
    await said[Symbol.asyncDispose]()
    await settle()
    expect(await collect(b.mdns.find({}, now), clock)).toEqual([])
  })

  test('an address that changes is said at once, and heard by a search that follows', async () => {
    const { clock, a, b } = await twoNodes()
    a.mdns.advertise()
    const stop = new AbortController()
    const search = b.mdns.find({ peer: alice.peer }, { signal: stop.signal, follow: true })
    const got: FoundPeer[] = []
    const done = (async () => {
      for await (const one of search) got.push(one)
    })()
    await settle()
    expect(got).toHaveLength(1)
    a.addresses = [at('/ip4/10.0.0.77/tcp/4001', alice)]
    a.mdns.refresh()
    clock.advance(50)
    await settle()
    expect(got[1]?.addresses).toEqual(a.addresses)
    stop.abort()
    await done
    await Promise.all([a.mdns.stop(), b.mdns.stop()])
    expect(clock.timers).toBe(0)
  })
})

describe('who is reached through relays only', () => {
  const circuit = (relay: string, to: Identity): Address =>
    at(`${at(relay, carol)}/p2p-circuit`, to)

  test('says so, with the addresses of its machine, and is found by them', async () => {
    const { net, clock, a, b } = await twoNodes()
    const circuits = [circuit('/ip4/8.8.8.8/tcp/1', alice), circuit('/ip4/10.0.0.5/tcp/1', alice)]
    const loopback = at('/ip4/127.0.0.1/tcp/1', alice)
    a.addresses = [...circuits, loopback]
    a.mdns.advertise()
    const got = await collect(b.mdns.find({}, now), clock)
    expect(got).toMatchObject([{ peer: alice.peer, addresses: circuits }])
    a.addresses = circuits
    a.mdns.refresh()
    await settle()
    const said = net.seen.findLast(({ from }) => from.address === '10.0.0.1') ?? expect.fail()
    // Its host is what it is itself on this link, not where its relays are.
    expect(decodeDns(said.bytes, READ).additionals.map(({ data }) => data)).toMatchObject([
      { type: 'TXT', strings: circuits.map((one) => encodeUtf8(`dnsaddr=${one}`)) },
      { type: 'SRV', port: 0 },
      { type: 'A', address: Uint8Array.of(10, 0, 0, 1) },
    ])
  })

  test('has no need of it where something of it can be dialled', async () => {
    const { net, clock, a, b } = await twoNodes()
    const [direct] = a.addresses
    a.addresses = [circuit('/ip4/8.8.8.8/tcp/1', alice), ...a.addresses]
    a.mdns.advertise()
    expect(await collect(b.mdns.find({}, now), clock)).toMatchObject([{ addresses: [direct] }])
    const all = net.seen.map(({ bytes }) => toHex(bytes)).join()
    expect(all).not.toContain(toHex(encodeUtf8('p2p-circuit')))
  })

  test('is believed for four relays, each with its id, at a host that can be', async () => {
    const { net, b } = await twoNodes()
    const say = (texts: string[], from = STRANGER): void =>
      net.say('eth0', response(texts.map((text) => `dnsaddr=${text}`)), from)
    const near = circuit('/ip4/127.0.0.1/tcp/1', bob)
    const lies = [
      circuit('/dns4/example.org/tcp/1', alice),
      circuit('/ip4/127.0.0.1/tcp/22', alice),
      circuit('/ip4/0.0.0.0/tcp/1', alice),
      at('/ip4/8.8.8.8/tcp/1/p2p-circuit', alice),
      at(`${circuit('/ip4/8.8.8.8/tcp/1', bob)}/p2p-circuit`, alice),
    ]
    say([...lies, near])
    expect(b.found).toEqual([])
    const relays = [1, 2, 3, 4, 5].map((port) => circuit(`/ip4/8.8.8.8/tcp/${port}`, alice))
    say([...lies, ...relays])
    expect(b.found.map(({ addresses }) => addresses)).toEqual([relays.slice(0, 4)])
  })
})

describe('interfaces', () => {
  test('that come are used within interfacePollMs, those that go are left', async () => {
    const { clock, a, b, machines } = await twoNodes({ interfacePollMs: 1000 })
    a.mdns.advertise()
    await settle()
    expect(machines[1].links).toBe(2)
    machines[1].addresses = [{ ...eth0('10.1.0.2'), name: 'wlan0' }]
    clock.advance(1000)
    await settle()
    expect(machines[1].links).toBe(1)
    machines[0].addresses = [...machines[0].addresses, { ...eth0('10.1.0.1'), name: 'wlan0' }]
    const before = b.found.length
    clock.advance(1000)
    await settle()
    clock.advance(2000)
    await settle()
    expect(b.found.length).toBeGreaterThan(before)
  })

  test('without one that can multicast it says so, and a search fails for it', async () => {
    const clock = manualClock()
    const machine = lan().machine(eth0('10.0.0.1'))
    machine.broken.set('eth0 IPv4', 'open')
    const { mdns, problems } = fixture(alice, machine, clock)
    await mdns.start()
    expect(problems).toEqual([
      'Cannot multicast on eth0 by IPv4: ENODEV',
      'Cannot find peers on this network: no interface can multicast',
    ])
    await expect(collect(mdns.find({}, now), clock)).rejects.toMatchObject({ code: 'unavailable' })
    expect(mdns.advertise().states()[0]?.state).toBe('trying')
    clock.advance(60_000)
    await settle()
    expect(problems).toHaveLength(2) // once, not every time
    machine.broken.clear()
    clock.advance(5000)
    await settle()
    expect(await collect(mdns.find({}, now), clock)).toEqual([])
    expect(mdns.advertise().states()[0]?.state).toBe('told')
    await mdns.stop()
    expect(clock.timers).toBe(0)
  })

  test('a route that is missing is told once, for its link', async () => {
    const clock = manualClock()
    const machine = lan().machine(eth0('10.0.0.1'), eth0('fe80::1'))
    machine.broken.set('eth0 IPv6', 'send')
    const { mdns, problems } = fixture(alice, machine, clock)
    await mdns.start()
    await settle()
    clock.advance(100_000)
    await settle()
    expect(problems).toEqual(['Cannot multicast on eth0 by IPv6: ENETUNREACH'])
  })

  test('only those that are named are used, loopback where there is no other', async () => {
    const clock = manualClock()
    const lo = {
      name: 'lo',
      family: 4,
      address: '127.0.0.1',
      prefixLength: 8,
      internal: true,
    } as const
    const machine = lan().machine(eth0('10.0.0.1'), lo)
    await fixture(alice, machine, clock).mdns.start()
    expect(machine.links).toBe(1)
    const alone = lan().machine(lo)
    await fixture(alice, alone, clock).mdns.start()
    expect(alone.links).toBe(1)
    const named = lan().machine(eth0('10.0.0.1'), lo)
    await fixture(alice, named, clock, {}, ['lo']).mdns.start()
    expect(named.links).toBe(1)
  })
})

describe('lies and floods', () => {
  test('hosts elsewhere, names, our loopback, addresses of others, and relays beside better ones are left out', async () => {
    const { net, b } = await twoNodes()
    const relay = at('/ip4/10.0.0.5/tcp/1', alice)
    const lies = [
      at('/ip4/8.8.8.8/tcp/1', carol),
      at('/dns4/example.org/tcp/1', carol),
      at('/dnsaddr/example.org', carol),
      at(`${relay}/p2p-circuit`, carol),
      at('/ip4/127.0.0.1/tcp/22', carol),
      at('/ip6/fe80::9/tcp/1', carol),
      at('/ip4/0.0.0.0/tcp/1', carol),
      '/ip4/10.0.0.9/tcp/1',
      'no address',
      '',
    ]
    const say = (texts: string[]): void =>
      net.say('eth0', response(texts.map((text) => `dnsaddr=${text}`)), STRANGER)
    say(lies.filter((text) => !text.includes('p2p-circuit')))
    expect(b.found).toEqual([])
    const good = at('/ip4/10.0.0.9/tcp/1', carol)
    say([...lies, good, at('/ip4/10.0.0.9/tcp/1', alice)])
    expect(b.found.map(({ peer, addresses }) => [peer, addresses])).toEqual([[carol.peer, [good]]])
    net.say('eth0', response([`dnsaddr=${at('/ip4/8.8.4.4/tcp/1', carol)}`]), STRANGER)
    expect(b.found).toHaveLength(1)
  })

  test('nobody writes over what another said, and ourselves we do not find', async () => {
    const { clock, net, a, b } = await twoNodes()
    a.mdns.advertise()
    await settle()
    const lie = at('/ip4/10.0.0.66/tcp/1', alice)
    net.say('eth0', response([`dnsaddr=${lie}`]), STRANGER)
    // Ended before anybody could answer: this is what was known.
    const stop = new AbortController()
    const search = b.mdns.find({ peer: alice.peer }, { ...now, signal: stop.signal })
    stop.abort()
    const got = await collect(search, clock, 0)
    expect(got.flatMap(({ addresses }) => addresses)).toContain(a.addresses[0])
    net.say('eth0', response([`dnsaddr=${at('/ip4/10.0.0.66/tcp/1', bob)}`]), STRANGER)
    expect(b.found.some(({ peer }) => peer === bob.peer)).toBe(false)
  })

  test('maxMdnsPeersPerSender and maxFoundPeers bound who is remembered', async () => {
    const { net, b, clock } = await twoNodes({ maxMdnsPeersPerSender: 2, maxFoundPeers: 3 })
    const many = await identities(6)
    for (const [i, one] of many.entries()) {
      const from = { address: i < 4 ? '10.0.0.66' : '10.0.0.67', port: 5353 }
      net.say('eth0', response([`dnsaddr=${at('/ip4/10.0.0.9/tcp/1', one)}`]), from)
    }
    const expected = [many[0], many[1], many[4]].map((one) => one?.peer)
    expect(b.found.map(({ peer }) => peer)).toEqual(expected)
    expect(await collect(b.mdns.find({}, now), clock)).toHaveLength(3)
    clock.advance(121_000)
    await settle()
    net.say('eth0', response([`dnsaddr=${at('/ip4/10.0.0.9/tcp/1', many[5] ?? carol)}`]), STRANGER)
    expect(b.found).toHaveLength(4) // what has run out makes room
  })

  test('maxFoundTtlMs cuts how long something is said to hold', async () => {
    const { net, b, clock } = await twoNodes({ maxFoundTtlMs: 5000 })
    const text = `dnsaddr=${at('/ip4/10.0.0.9/tcp/1', carol)}`
    net.say('eth0', response([text], { ttl: 0xffffffff }), STRANGER)
    expect(b.found[0]?.expiresAtMs).toBe(clock.nowMs() + 5000)
  })

  test('mdnsPacketsPerSecond: past it nothing of that sender is read, others are', async () => {
    const { net, b, clock } = await twoNodes({ mdnsPacketsPerSecond: 5 })
    for (let i = 0; i < 100; i++) net.say('eth0', Uint8Array.of(i), STRANGER)
    const good = response([`dnsaddr=${at('/ip4/10.0.0.9/tcp/1', carol)}`])
    net.say('eth0', good, STRANGER)
    expect(b.found).toEqual([])
    net.say('eth0', good, { address: '10.0.0.67', port: 5353 })
    expect(b.found).toHaveLength(1)
    clock.advance(1000)
    net.say('eth0', good, STRANGER)
    expect(b.found).toHaveLength(2)
  })

  test('mdnsAnswersPerSecond: a flood of questions is answered a few times', async () => {
    const { net, clock, a } = await twoNodes({ mdnsAnswersPerSecond: 2 })
    a.mdns.advertise()
    await settle()
    clock.advance(10_000)
    await settle()
    net.seen.length = 0
    const query = mdnsQuery()
    const unicast = {
      ...query,
      questions: query.questions.map((one) => ({ ...one, unicast: true })),
    }
    for (let i = 0; i < 200; i++) {
      const from = { address: `10.0.0.${100 + (i % 100)}`, port: 5353 }
      net.say('eth0', encodeDns(i % 2 === 0 ? query : unicast), from)
    }
    clock.advance(120)
    await settle()
    const answers = net.seen.filter(({ from }) => from.address === '10.0.0.1')
    expect(answers.length).toBeGreaterThan(0)
    expect(answers.length).toBeLessThanOrEqual(2)
  })

  test('maxMdnsPacketBytes and maxMdnsRecords: more is not read', async () => {
    const { net, b } = await twoNodes({ maxMdnsPacketBytes: 300, maxMdnsRecords: 2 })
    const text = `dnsaddr=${at('/ip4/10.0.0.9/tcp/1', carol)}`
    net.say('eth0', response([text, 'x'.repeat(200)]), STRANGER)
    expect(b.found).toEqual([])
    const message = decodeDns(response([text]), READ)
    const three = { ...message, answers: [...message.answers, ...message.answers] }
    net.say('eth0', encodeDns(three), STRANGER)
    expect(b.found).toEqual([])
    net.say('eth0', response([text]), STRANGER)
    expect(b.found).toHaveLength(1)
  })

  test('an answer from another port is none, a question from one is answered there, for a short time', async () => {
    const { net, b, a, clock } = await twoNodes()
    const text = `dnsaddr=${at('/ip4/10.0.0.9/tcp/1', carol)}`
    net.say('eth0', response([text]), { ...STRANGER, port: 4000 })
    expect(b.found).toEqual([])
    a.mdns.advertise()
    await settle()
    clock.advance(5000)
    await settle()
    net.seen.length = 0
    net.say('eth0', encodeDns({ ...mdnsQuery(), id: 7 }), { ...STRANGER, port: 4000 })
    await settle()
    const [sent] = net.seen.filter(({ to }) => to !== undefined)
    expect(sent?.to).toEqual({ ...STRANGER, port: 4000 })
    const answer = decodeDns(sent?.bytes ?? expect.fail(), READ)
    expect(answer.id).toBe(7)
    expect(answer.questions).toHaveLength(1)
    expect([...answer.answers, ...answer.additionals].every(({ ttl }) => ttl <= 10)).toBe(true)
  })

  test('mdnsQueryIntervalMs: questions become rarer up to it, and begin anew with a search', async () => {
    const { net, clock, b } = await twoNodes({ mdnsQueryIntervalMs: 8000 })
    const times: number[] = []
    const startedMs = clock.nowMs()
    net.seen.length = 0
    for (let s = 0; s < 40; s++) {
      clock.advance(1000)
      await settle()
      const asked = net.seen.splice(0).some(({ from }) => from.address === '10.0.0.2')
      if (asked) times.push((clock.nowMs() - startedMs) / 1000)
    }
    expect(times).toEqual([1, 3, 7, 15, 23, 31, 39])
    await collect(b.mdns.find({}, now), clock, 200)
    expect(net.seen.some(({ from }) => from.address === '10.0.0.2')).toBe(true)
  })
})
