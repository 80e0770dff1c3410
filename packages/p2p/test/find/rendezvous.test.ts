import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { multiaddr } from '@multiformats/multiaddr'
import { beforeAll, describe, expect, test } from 'vitest'

import type { Pipe } from '../../src/connection/pipe.ts'
import type { FoundPeer } from '../../src/find/find.ts'
import { Rendezvous, peerNamespace } from '../../src/find/rendezvous.ts'
import type { PointAddress } from '../../src/find/rendezvous.ts'
import {
  MAX_REGISTRATION_SECONDS,
  RENDEZVOUS_STATUS,
  frameRendezvous,
} from '../../src/find/rendezvous-message.ts'
import type { RendezvousMessage } from '../../src/find/rendezvous-message.ts'
import { RendezvousPoint } from '../../src/find/rendezvous-point.ts'
import type { Address } from '../../src/identity.ts'
import { resolveLimits } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import type { Identity } from '../../src/open-identity.ts'
import {
  LEGACY_PEER_RECORD,
  PEER_RECORD,
  sealEnvelope,
  sealPeerRecord,
} from '../../src/peer-record.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'

import { at, identities } from './_peers.ts'

let alice: Identity
let bob: Identity
let carol: Identity
beforeAll(async () => {
  const [a, b, c] = await identities(3)
  if (a === undefined || b === undefined || c === undefined) throw new Error('no identities')
  ;[alice, bob, carol] = [a, b, c]
})

const PUBLIC = '/ip4/198.51.100.7/tcp/1'

function recordOf(
  who: Identity,
  seq = 1n,
  kind = PEER_RECORD,
  where = PUBLIC,
): Promise<Uint8Array> {
  return sealPeerRecord(who, { seq, addresses: [multiaddr(where).bytes] }, kind)
}

function pointOf(
  given: Partial<P2pLimits> = {},
  allows?: (peer: string) => boolean,
): { point: RendezvousPoint; clock: ManualClock; limits: Readonly<P2pLimits> } {
  const clock = manualClock()
  const limits = resolveLimits({ rendezvousRequestsPerSecond: 1000, ...given })
  const random = (length: number): Uint8Array => new Uint8Array(length).fill(7)
  const init = { clock, limits, random }
  return {
    point: new RendezvousPoint(allows === undefined ? init : { ...init, allows }),
    clock,
    limits,
  }
}

type Answer = Extract<RendezvousMessage, { type: 'registered' | 'discovered' }>

async function ask(
  point: RendezvousPoint,
  who: Identity,
  message: RendezvousMessage,
): Promise<Answer | undefined> {
  const answer = await point.answer(message, who.peer)
  return answer?.type === 'registered' || answer?.type === 'discovered' ? answer : undefined
}

async function register(
  point: RendezvousPoint,
  who: Identity,
  namespace = 'chess',
  more: { record?: Uint8Array; ttlSeconds?: number } = {},
): Promise<number | undefined> {
  const record = more.record ?? (await recordOf(who))
  const answer = await ask(point, who, { type: 'register', namespace, record, ...more })
  return answer?.status
}

async function peersIn(point: RendezvousPoint, namespace?: string): Promise<number> {
  const what = namespace === undefined ? {} : { namespace }
  const answer = await ask(point, carol, { type: 'discover', ...what })
  return answer?.type === 'discovered' ? answer.registrations.length : -1
}

const { ok, invalidNamespace, invalidRecord, invalidTtl, invalidCookie } = RENDEZVOUS_STATUS
const { notAuthorized, unavailable } = RENDEZVOUS_STATUS

describe('a point', () => {
  test('keeps both kinds of signed records, tells them, and forgets on request', async () => {
    const { point } = pointOf()
    expect(await register(point, alice)).toBe(ok)
    const legacy = await recordOf(bob, 1n, LEGACY_PEER_RECORD)
    expect(await register(point, bob, 'chess', { record: legacy })).toBe(ok)
    expect(await register(point, bob, 'go')).toBe(ok)
    expect(await peersIn(point, 'chess')).toBe(2)
    expect(await peersIn(point)).toBe(3)
    expect(await peersIn(point, 'draughts')).toBe(0)
    expect(await ask(point, alice, { type: 'unregister', namespace: 'chess' })).toBeUndefined()
    expect(await ask(point, alice, { type: 'unregister', namespace: 'go' })).toBeUndefined()
    expect(await peersIn(point, 'chess')).toBe(1)
    expect(await peersIn(point, 'go')).toBe(1) // bob's is not hers to take back
    expect(point.usage).toEqual({ registrations: 2, streams: 0 })
  })

  test('takes nobody’s record but of the peer that is connected, whole and of its own key', async () => {
    const { point } = pointOf()
    const own = await recordOf(alice)
    const forged = own.slice()
    forged[forged.byteLength - 1] = (forged.at(-1) ?? 0) ^ 1
    const another = await sealEnvelope(alice, { ...PEER_RECORD, domain: 'other' }, own)
    for (const record of [
      await recordOf(bob),
      forged,
      another,
      own.subarray(9),
      new Uint8Array(0),
    ]) {
      expect(await register(point, alice, 'chess', { record })).toBe(invalidRecord)
    }
    expect(await peersIn(point)).toBe(0)
  })

  test('names, times and cookies that are none are refused, each with its number', async () => {
    const { point } = pointOf()
    for (const name of ['', 'x'.repeat(256), 'ü'.repeat(128), 'a\u0007b']) {
      expect(await register(point, alice, name)).toBe(invalidNamespace)
    }
    expect(await register(point, alice, 'x'.repeat(255))).toBe(ok)
    for (const ttlSeconds of [0, MAX_REGISTRATION_SECONDS + 1, Number.MAX_SAFE_INTEGER]) {
      expect(await register(point, alice, 'chess', { ttlSeconds })).toBe(invalidTtl)
    }
    expect(await register(point, alice, 'chess', { ttlSeconds: MAX_REGISTRATION_SECONDS })).toBe(ok)
    for (const cookie of [new Uint8Array(0), new Uint8Array(40), new Uint8Array(4000)]) {
      const answer = await ask(point, bob, { type: 'discover', namespace: 'chess', cookie })
      expect(answer?.status).toBe(invalidCookie)
    }
    const long = await ask(point, bob, { type: 'discover', namespace: 'x'.repeat(256) })
    expect(long?.status).toBe(invalidNamespace)
  })

  test('a cookie goes on where the page before ended, in its own namespace and no other', async () => {
    const { point, limits } = pointOf({ maxRegistrationsPerAnswer: 2 })
    expect(limits.maxRegistrationsPerAnswer).toBe(2)
    const many = await identities(5)
    for (const one of many) await register(point, one)
    const pages: number[] = []
    let cookie: Uint8Array | undefined
    for (let page = 0; page < 4; page++) {
      const more = cookie === undefined ? {} : { cookie }
      const answer = await ask(point, carol, {
        type: 'discover',
        namespace: 'chess',
        limit: 99,
        ...more,
      })
      if (answer?.type !== 'discovered') throw new Error('no answer')
      pages.push(answer.registrations.length)
      cookie = answer.cookie
    }
    expect(pages).toEqual([2, 2, 1, 0])
    await register(point, alice) // what is new comes after
    const last = { type: 'discover', namespace: 'chess', cookie: cookie ?? expect.fail() } as const
    expect(await ask(point, carol, last)).toMatchObject({ registrations: [{ namespace: 'chess' }] })
    expect((await ask(point, carol, { ...last, namespace: 'go' }))?.status).toBe(invalidCookie)
    const { namespace: _none, ...all } = last
    expect((await ask(point, carol, all))?.status).toBe(invalidCookie)
    // What clients in rust read of it: a position, then text.
    expect(new TextDecoder('utf-8', { fatal: true }).decode(last.cookie.subarray(8))).toHaveLength(
      32,
    )
  })

  test('time runs out for every registration, and makes room', async () => {
    const { point, clock } = pointOf({ maxRegistrationsPerPeer: 1 })
    point.start()
    await register(point, alice, 'chess', { ttlSeconds: 10 })
    expect(await register(point, alice, 'go')).toBe(notAuthorized)
    clock.advance(9_999)
    expect(await peersIn(point)).toBe(1)
    clock.advance(1)
    expect(await peersIn(point)).toBe(0)
    expect(await register(point, alice, 'go', { ttlSeconds: 1 })).toBe(ok)
    clock.advance(60_000)
    expect(point.usage.registrations).toBe(0)
    point.stop()
    expect(clock.timers).toBe(0)
  })

  test('maxRegistrationsPerPeer and maxRegistrations refuse, renewing is always possible', async () => {
    const { point } = pointOf({ maxRegistrationsPerPeer: 2, maxRegistrations: 3 })
    expect(await register(point, alice, 'a')).toBe(ok)
    expect(await register(point, alice, 'b')).toBe(ok)
    expect(await register(point, alice, 'c')).toBe(notAuthorized)
    expect(await register(point, bob, 'a')).toBe(ok)
    expect(await register(point, bob, 'b')).toBe(unavailable)
    expect(await register(point, alice, 'a')).toBe(ok)
    expect(await peersIn(point)).toBe(3)
  })

  test('rendezvousRequestsPerSecond: a peer that asks too fast hears so, others are answered', async () => {
    const { point, clock } = pointOf({ rendezvousRequestsPerSecond: 1 })
    const statuses: (number | undefined)[] = []
    for (let i = 0; i < 6; i++)
      statuses.push((await ask(point, alice, { type: 'discover' }))?.status)
    expect(statuses).toEqual([ok, ok, ok, ok, unavailable, unavailable])
    expect((await ask(point, bob, { type: 'discover' }))?.status).toBe(ok)
    clock.advance(1000)
    expect((await ask(point, alice, { type: 'discover' }))?.status).toBe(ok)
  })

  test('whom it does not allow may neither register nor ask', async () => {
    const { point } = pointOf({}, (peer) => peer !== bob.peer)
    expect(await register(point, alice)).toBe(ok)
    expect(await register(point, bob)).toBe(notAuthorized)
    expect((await ask(point, bob, { type: 'discover' }))?.status).toBe(notAuthorized)
    expect(await peersIn(point)).toBe(1)
  })

  test('maxRendezvousRequestBytes, rendezvousTimeoutMs and maxRendezvousStreams end a stream', async () => {
    const { point, clock } = pointOf({ maxRendezvousRequestBytes: 100, maxRendezvousStreams: 2 })
    const streams = [open(point), open(point), open(point)]
    expect(streams.map(({ pipe }) => pipe.closed)).toEqual([false, false, true])
    expect(point.usage.streams).toBe(2)
    streams[0]?.pipe.write([Uint8Array.of(101)]) // a length is enough
    await streams[0]?.served
    clock.advance(10_000)
    await streams[1]?.served
    expect(point.usage.streams).toBe(0)
    for (const junk of ['ffffffffffffffffffff', '020805', '050000000000']) {
      const { pipe, served } = open(point)
      pipe.write([Uint8Array.from(Buffer.from(junk, 'hex'))])
      await served
      expect(pipe.closed).toBe(true)
    }
    expect(clock.timers).toBe(0)
  })

  test('answers stay within half of what a client takes', async () => {
    const { point } = pointOf({ maxRendezvousAnswerBytes: 1000 })
    for (const one of await identities(5)) await register(point, one)
    expect(await peersIn(point)).toBe(3)
  })
})

/** A stream to the point, our end resumed. */
function open(point: RendezvousPoint): { pipe: Pipe; served: Promise<void> } {
  const [ours, theirs] = pipePair()
  ours.listen({ data: () => {}, drain: () => {}, end: () => {}, close: () => {} })
  ours.resume()
  return { pipe: ours, served: point.serve(theirs, alice.peer) }
}

interface Client {
  readonly client: Rendezvous
  readonly clock: ManualClock
  addresses: Address[]
  /** Streams that were opened. */
  opened: number
}

/** A client of one point, which is answered by a function. */
function clientOf(
  who: Identity,
  answer: (pipe: Pipe) => void,
  given: Partial<P2pLimits> = {},
  clock: ManualClock = manualClock(),
  where = PUBLIC,
): Client {
  const points: PointAddress[] = [{ peer: carol.peer, addresses: [at(where, carol)] }]
  const made = { addresses: [at(PUBLIC, who)], opened: 0, clock }
  const client = new Rendezvous({
    peer: who.peer,
    clock,
    limits: resolveLimits(given),
    points,
    open: async () => {
      made.opened += 1
      const [ours, theirs] = pipePair()
      answer(theirs)
      return ours
    },
    addresses: () => made.addresses,
    seal: (record) => sealPeerRecord(who, record),
  })
  return Object.assign(made, { client })
}

/** Says one thing to whatever is asked. */
function says(...messages: (RendezvousMessage | Uint8Array)[]): (pipe: Pipe) => void {
  let asked = 0
  return (pipe) => {
    const message = messages[Math.min(asked, messages.length - 1)]
    asked += 1
    pipe.listen({
      data: () => {
        if (message === undefined) return
        pipe.write([message instanceof Uint8Array ? message : frameRendezvous(message)])
      },
      drain: () => {},
      end: () => pipe.end(),
      close: () => {},
    })
    pipe.resume()
  }
}

const now = { signal: new AbortController().signal, follow: false }

async function all(search: AsyncIterable<FoundPeer>): Promise<FoundPeer[]> {
  const got: FoundPeer[] = []
  for await (const one of search) got.push(one)
  return got
}

async function turns(count = 30): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

function discovered(
  ...registrations: { namespace: string; record: Uint8Array; ttlSeconds?: number }[]
): RendezvousMessage {
  return { type: 'discovered', status: ok, registrations }
}

describe('a client', () => {
  test('registers, renews before the time is over, and tries again where it failed', async () => {
    const { point, clock } = pointOf()
    let away = false
    const { client } = clientOf(
      alice,
      (pipe) => {
        if (away) pipe.destroy()
        else void point.serve(pipe, alice.peer)
      },
      {},
      clock,
    )
    const advertisement = client.advertise('chess')
    expect(advertisement.states()[0]).toMatchObject({ state: 'trying', at: carol.peer })
    await turns()
    expect(advertisement.states()[0]).toMatchObject({ state: 'told' })
    expect(advertisement.states()[0]?.expiresAtMs).toBe(clock.nowMs() + 7_200_000)
    away = true
    clock.advance(5_400_000)
    await turns()
    expect(advertisement.states()[0]).toMatchObject({ state: 'told' })
    expect(advertisement.states()[0]?.message).toContain('rendezvous')
    for (let ms = 0; ms < 1_900_000; ms += 50_000) {
      clock.advance(50_000)
      await turns(5)
    }
    expect(advertisement.states()[0]).toMatchObject({ state: 'trying' })
    away = false
    clock.advance(60_000)
    await turns()
    expect(advertisement.states()[0]).toMatchObject({ state: 'told' })
    await advertisement[Symbol.asyncDispose]()
    await turns()
    expect(await peersIn(point)).toBe(0)
    client.stop()
    expect(clock.timers).toBe(0)
  })

  test('says it again when its addresses changed, the newer record counting', async () => {
    const { point, clock } = pointOf()
    const serve = (pipe: Pipe): void => void point.serve(pipe, alice.peer)
    const registering = clientOf(alice, serve, {}, clock)
    registering.client.advertise()
    await turns()
    registering.addresses = [at('/ip4/198.51.100.8/tcp/2', alice)]
    registering.client.refresh()
    await turns()
    const { client } = clientOf(bob, (pipe) => void point.serve(pipe, bob.peer), {}, clock)
    const got = await all(client.find({ peer: alice.peer }, now))
    expect(got.map(({ addresses, namespace }) => [addresses, namespace])).toEqual([
      [registering.addresses, undefined],
    ])
    expect(await all(client.find({ peer: carol.peer }, now))).toEqual([])
  })

  test('without an address there is nothing to register', async () => {
    const made = clientOf(alice, says())
    made.addresses = [at('/ip4/127.0.0.1/tcp/1', alice)] // means nothing to those who meet elsewhere
    const advertisement = made.client.advertise('chess')
    await turns()
    expect(advertisement.states()[0]?.message).toContain('no address to tell')
    expect(made.opened).toBe(0)
  })

  test('believes no record that is another’s, forged, old, of another namespace or run out', async () => {
    const namespace = 'chess'
    const forged = await recordOf(bob)
    forged[forged.byteLength - 1] = (forged.at(-1) ?? 0) ^ 1
    const good = await recordOf(bob, 5n)
    const { client } = clientOf(
      alice,
      says(
        discovered(
          { namespace, record: forged },
          { namespace: 'go', record: good },
          { namespace, record: good, ttlSeconds: 0 },
          { namespace, record: await recordOf(alice) },
          { namespace, record: await recordOf(bob, 5n, PEER_RECORD, '/ip4/127.0.0.1/tcp/22') },
          {
            namespace,
            record: await recordOf(bob, 5n, PEER_RECORD, `${PUBLIC}/p2p/${carol.peer}`),
          },
          { namespace, record: new Uint8Array(3) },
          { namespace, record: good },
          { namespace, record: await recordOf(bob, 4n, PEER_RECORD, '/ip4/198.51.100.9/tcp/9') },
        ),
      ),
    )
    const got = await all(client.find({ namespace }, now))
    expect(got).toHaveLength(1)
    expect(got[0]).toMatchObject({ peer: bob.peer, addresses: [at(PUBLIC, bob)], namespace })
    expect(await all(client.find({ peer: bob.peer }, now))).toEqual([])
  })

  test('a peer that is looked for is that peer, whatever stands in its namespace', async () => {
    const namespace = peerNamespace(bob.peer)
    const answer = discovered({ namespace, record: await recordOf(carol) })
    const { client } = clientOf(alice, says(answer))
    expect(await all(client.find({ peer: bob.peer }, now))).toEqual([])
  })

  test('a point that never comes to an end is left after some pages', async () => {
    const record = await recordOf(bob)
    const cookie = new Uint8Array(40)
    const endless = { ...discovered({ namespace: 'chess', record }), cookie }
    const made = clientOf(alice, says(endless))
    expect(await all(made.client.find({ namespace: 'chess' }, now))).toHaveLength(1)
    expect(made.opened).toBe(64)
  })

  test('maxRegistrationsPerAnswer bounds what is read of one answer', async () => {
    const many = await identities(4)
    const registrations = await Promise.all(
      many.map(async (one) => ({ namespace: 'chess', record: await recordOf(one) })),
    )
    const { client } = clientOf(alice, says(discovered(...registrations)), {
      maxRegistrationsPerAnswer: 2,
    })
    expect(await all(client.find({ namespace: 'chess' }, now))).toHaveLength(2)
  })

  test('maxRendezvousAnswerBytes, junk, silence and refusals each fail the search, and say why', async () => {
    const limits = { maxRendezvousAnswerBytes: 100 }
    const cases: [(pipe: Pipe) => void, string][] = [
      [says(Uint8Array.of(101)), 'resource_exhausted'],
      [says(Uint8Array.of(1, 0xff)), 'unavailable'],
      [(pipe) => pipe.destroy(), 'unavailable'],
      [says({ type: 'registered', status: ok }), 'unavailable'],
      [says({ type: 'discovered', status: notAuthorized, registrations: [] }), 'permission_denied'],
      [says({ type: 'discovered', status: unavailable, registrations: [] }), 'unavailable'],
      [
        says({ type: 'discovered', status: invalidNamespace, registrations: [] }),
        'invalid_argument',
      ],
    ]
    for (const [answer, code] of cases) {
      const { client, clock } = clientOf(alice, answer, limits)
      await expect(all(client.find({ namespace: 'a' }, now))).rejects.toMatchObject({ code })
      expect(clock.timers).toBe(0)
    }
    const { client, clock } = clientOf(alice, says())
    const failed = expect(all(client.find({}, now))).rejects.toMatchObject({
      code: 'deadline_exceeded',
    })
    await turns()
    clock.advance(10_000)
    await failed
  })

  test('a search that follows asks again every findPollMs, and outlives a point that went away', async () => {
    const { point, clock } = pointOf()
    let away = true
    const { client } = clientOf(
      bob,
      (pipe) => {
        if (away) pipe.destroy()
        else void point.serve(pipe, bob.peer)
      },
      { findPollMs: 1000 },
      clock,
    )
    const stop = new AbortController()
    const search = all(client.find({ namespace: 'chess' }, { signal: stop.signal, follow: true }))
    await turns()
    away = false
    await register(point, alice)
    clock.advance(1000)
    await turns()
    clock.advance(1000)
    await turns()
    stop.abort()
    expect(await search).toMatchObject([{ peer: alice.peer }])
    expect(clock.timers).toBe(0)
  })
})
