/** Hostile clients of a relay, hostile relays, and what a relay sees: each limit at its edge, each status. */
import { concat, encodeUtf8 } from '@stronghold/core'
import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { defaultLogger } from '@libp2p/logger'
import { base58btc } from 'multiformats/bases/base58'
import { beforeAll, describe, expect, test } from 'vitest'

import { Muxer } from '../../src/connection/muxer.ts'
import { createNoise } from '../../src/connection/noise.ts'
import type { Pipe, PipeEvents } from '../../src/connection/pipe.ts'
import type { Address, PeerId } from '../../src/identity.ts'
import { resolveLimits } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import { openIdentity } from '../../src/open-identity.ts'
import type { Identity } from '../../src/open-identity.ts'
import { Budget, BudgetPipe } from '../../src/reach/budget.ts'
import { RelayAccounts } from '../../src/reach/relay-accounts.ts'
import { joinPipes } from '../../src/reach/relay-circuit.ts'
import { answerStop, askCircuit, askReservation } from '../../src/reach/relay-client.ts'
import type { RelayLink } from '../../src/reach/relay-client.ts'
import { RelayKeeper } from '../../src/reach/relay-keeper.ts'
import {
  decodeHop,
  decodeStop,
  encodeHop,
  encodeStop,
  frameRelayMessage,
  sealVoucher,
  STATUS,
} from '../../src/reach/relay-message.ts'
import type { HopMessage } from '../../src/reach/relay-message.ts'
import { RelayServer } from '../../src/reach/relay-server.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import { lending } from '../transports/lending.ts'
import { Recorder, turns } from '../transports/pipe-events.ts'

let relay: Identity
let home: Identity
let away: Identity
beforeAll(async () => {
  ;[relay, home, away] = await Promise.all([
    openIdentity({ generate: 'ed25519' }),
    openIdentity({ generate: 'ed25519' }),
    openIdentity({ generate: 'ed25519' }),
  ])
})

const NEVER = new AbortController().signal

/** A relay, with streams in memory in the place of connections. */
class Bench {
  readonly clock: ManualClock = manualClock()
  readonly limits: P2pLimits
  readonly accounts: RelayAccounts
  readonly server: RelayServer
  /** Stop streams that the relay opened: our ends of them. */
  readonly stops: Pipe[] = []
  reachable = true
  signed = 0

  constructor(limits: Partial<P2pLimits> = {}, everybody = true) {
    this.limits = resolveLimits(limits)
    this.accounts = new RelayAccounts({ limits: this.limits, everybody })
    this.server = new RelayServer({
      identity: {
        peer: relay.peer,
        publicKey: relay.publicKey,
        sign: (data) => {
          this.signed += 1
          return relay.sign(data)
        },
      },
      limits: this.limits,
      clock: this.clock,
      accounts: this.accounts,
      addresses: () => [Uint8Array.of(4, 127, 0, 0, 1)],
      open: () => {
        if (!this.reachable) return undefined
        const [near, far] = pipePair()
        this.stops.push(far)
        return near
      },
    })
  }

  /** A hop stream of a peer: its own end. */
  hop(peer: PeerId, host = '192.0.2.1', relayed = false): Pipe {
    const [near, far] = pipePair()
    this.server.take(far, { peer, host, relayed })
    return near
  }

  /** Says something on a new hop stream and reads the status. */
  async status(peer: PeerId, ask: HopMessage | Uint8Array, host?: string): Promise<number> {
    const pipe = this.hop(peer, host)
    const heard = new Recorder(pipe)
    pipe.write([ask instanceof Uint8Array ? ask : frameRelayMessage(encodeHop(ask))])
    await heard.until(() => heard.ended || heard.closed)
    const answer = decodeHop(
      heard.all().subarray(heard.all()[0] === undefined ? 0 : lengthOf(heard)),
    )
    return answer.type === 'status' ? answer.status : -1
  }

  /** A circuit from `away` to `home`: both ends, open. */
  async circuit(): Promise<{ from: Pipe; to: Pipe }> {
    await this.status(home.peer, { type: 'reserve' })
    const link = linkTo(() => this.hop(away.peer))
    const asked = askCircuit(link, home.peer, this, NEVER)
    await turns(2)
    const stop = this.stops.at(-1) ?? expect.fail('no stop stream')
    const incoming = (await answerStop(stop, true, this)) ?? expect.fail('not taken')
    expect(incoming.from).toBe(away.peer)
    return { from: (await asked).pipe, to: incoming.pipe }
  }
}

function lengthOf(heard: Recorder): number {
  return (heard.all()[0] ?? 0) >= 0x80 ? 2 : 1
}

function linkTo(open: () => Pipe, peer = relay.peer): RelayLink {
  const address = `/ip4/192.0.2.9/tcp/1/p2p/${peer}` as Address
  return { peer, address, open, closed: new Promise(() => {}) }
}

/** A peer id of a key that nobody has. */
function peerNumber(at: number): PeerId {
  return base58btc.baseEncode(Uint8Array.of(0x12, 32, at, ...new Uint8Array(31))) as PeerId
}

describe('a hostile client', () => {
  test('malformed, unexpected and relayed messages get their status', async () => {
    const bench = new Bench()
    const junk = Uint8Array.of(3, 0xff, 0xff, 0xff)
    expect(await bench.status(away.peer, junk)).toBe(STATUS.MALFORMED_MESSAGE)
    const status: HopMessage = { type: 'status', status: 100 }
    expect(await bench.status(away.peer, status)).toBe(STATUS.UNEXPECTED_MESSAGE)
    expect(await bench.status(away.peer, { type: 'connect', peer: home.peer })).toBe(
      STATUS.NO_RESERVATION,
    )
    const pipe = bench.hop(away.peer, '192.0.2.1', true)
    const heard = new Recorder(pipe)
    pipe.write([frameRelayMessage(encodeHop({ type: 'reserve' }))])
    await heard.until(() => heard.ended)
    expect(decodeHop(heard.all().subarray(1))).toMatchObject({ status: STATUS.PERMISSION_DENIED })
  })

  test('maxRelayMessageBytes: a longer message resets the stream before it is there', async () => {
    const bench = new Bench({ maxRelayMessageBytes: 64 })
    const pipe = bench.hop(away.peer)
    const heard = new Recorder(pipe)
    pipe.write([Uint8Array.of(65)])
    await heard.until(() => heard.closed)
    expect(heard.error).toBeDefined()
    const just = concat([Uint8Array.of(64), encodeHop({ type: 'reserve' }), filler(62)])
    expect(await bench.status(away.peer, just)).toBe(STATUS.OK)
  })

  test('relayTimeoutMs: a message that does not come resets its stream, an answer nobody takes too', async () => {
    const bench = new Bench({ relayTimeoutMs: 100 })
    const silent = new Recorder(bench.hop(away.peer))
    const pipe = bench.hop(home.peer)
    const lingering = new Recorder(pipe)
    pipe.write([frameRelayMessage(encodeHop({ type: 'reserve' }))])
    await lingering.until(() => lingering.ended)
    bench.clock.advance(99)
    await turns(2)
    expect(silent.closed || lingering.closed).toBe(false)
    bench.clock.advance(1)
    await silent.until(() => silent.closed)
    await lingering.until(() => lingering.closed)
    expect(bench.clock.timers).toBe(0)
  })

  test('a flood of reservations signs one voucher a second, and takes one place', async () => {
    const bench = new Bench()
    for (let i = 0; i < 50; i++) await bench.status(home.peer, { type: 'reserve' })
    expect(bench.signed).toBe(1)
    expect(bench.accounts.totals(bench.clock.nowMs())).toMatchObject({ reservations: 1 })
    bench.clock.advance(1000)
    await bench.status(home.peer, { type: 'reserve' })
    expect(bench.signed).toBe(2)
  })

  test('maxRelayReservations and maxRelayReservationsPerAddress: the next one is refused', async () => {
    const bench = new Bench({ maxRelayReservations: 3, maxRelayReservationsPerAddress: 2 })
    const reserve = { type: 'reserve' } as const
    expect(await bench.status(home.peer, reserve, '192.0.2.1')).toBe(STATUS.OK)
    expect(await bench.status(away.peer, reserve, '192.0.2.1')).toBe(STATUS.OK)
    expect(await bench.status(relay.peer, reserve, '192.0.2.1')).toBe(STATUS.RESERVATION_REFUSED)
    expect(await bench.status(relay.peer, reserve, '192.0.2.2')).toBe(STATUS.OK)
    // IPv6: one /64 counts as one address.
    const more = (await openIdentity({ generate: 'ed25519' })).peer
    expect(await bench.status(more, reserve, '2001:db8::1')).toBe(STATUS.RESERVATION_REFUSED)
    bench.server.gone(relay.peer)
    expect(await bench.status(more, reserve, '2001:db8::1')).toBe(STATUS.OK)
    // A renewal takes no second place.
    bench.clock.advance(2000)
    expect(await bench.status(home.peer, reserve, '192.0.2.1')).toBe(STATUS.OK)
  })

  test('relayReservationMs: a reservation ends unless it is renewed', async () => {
    const bench = new Bench({ relayReservationMs: 10_000 })
    await bench.status(home.peer, { type: 'reserve' })
    bench.clock.advance(9999)
    expect(bench.accounts.holds(home.peer, bench.clock.nowMs())).toBe(true)
    bench.clock.advance(1)
    expect(await bench.status(away.peer, { type: 'connect', peer: home.peer })).toBe(
      STATUS.NO_RESERVATION,
    )
  })

  test('a flood of circuits: maxRelayCircuits, maxRelayCircuitsPerPeer, PerAddress, PerTarget', async () => {
    const connect = { type: 'connect', peer: home.peer } as const
    const cases: [Partial<P2pLimits>, (at: number) => [PeerId, string]][] = [
      [{ maxRelayCircuits: 2 }, (at) => [peerNumber(at), `192.0.2.${at}`]],
      [{ maxRelayCircuitsPerPeer: 2 }, (at) => [peerNumber(0), `192.0.2.${at}`]],
      [{ maxRelayCircuitsPerAddress: 2 }, (at) => [peerNumber(at), '192.0.2.1']],
      [{ maxRelayCircuitsPerTarget: 2 }, (at) => [peerNumber(at), `192.0.2.${at}`]],
    ]
    for (const [limits, from] of cases) {
      const bench = new Bench(limits)
      await bench.status(home.peer, { type: 'reserve' }, '198.51.100.1')
      const open: Recorder[] = []
      for (let at = 1; at <= 2; at++) {
        const pipe = bench.hop(...from(at))
        open.push(new Recorder(pipe))
        pipe.write([frameRelayMessage(encodeHop(connect))])
      }
      await turns(3)
      expect(bench.accounts.totals(bench.clock.nowMs())).toMatchObject({ openCircuits: 2 })
      expect(await bench.status(from(3)[0], connect, from(3)[1])).toBe(
        STATUS.RESOURCE_LIMIT_EXCEEDED,
      )
    }
  })

  test('streams that say nothing are bounded per peer', async () => {
    const bench = new Bench({ maxRelayCircuitsPerPeer: 2 })
    const silent = Array.from({ length: 3 }, () => new Recorder(bench.hop(away.peer)))
    const oneTooMany = new Recorder(bench.hop(away.peer))
    await oneTooMany.until(() => oneTooMany.closed)
    expect(silent.map(({ closed }) => closed)).toEqual([false, false, false])
    expect(await bench.status(home.peer, { type: 'reserve' })).toBe(STATUS.OK)
  })

  test('who is denied, not allowed, or not there: PERMISSION_DENIED, CONNECTION_FAILED', async () => {
    const bench = new Bench({}, false)
    const connect = { type: 'connect', peer: home.peer } as const
    expect(await bench.status(home.peer, { type: 'reserve' })).toBe(STATUS.PERMISSION_DENIED)
    bench.accounts.allow(home.peer)
    expect(await bench.status(home.peer, { type: 'reserve' })).toBe(STATUS.OK)
    bench.reachable = false
    expect(await bench.status(away.peer, connect)).toBe(STATUS.CONNECTION_FAILED)
    bench.accounts.deny(away.peer)
    expect(await bench.status(away.peer, connect)).toBe(STATUS.PERMISSION_DENIED)
    expect(bench.accounts.totals(bench.clock.nowMs())).toMatchObject({ openCircuits: 0 })
  })

  test('a target that refuses, or says nothing, is a failed circuit whose place is free again', async () => {
    const bench = new Bench({ relayTimeoutMs: 100 })
    await bench.status(home.peer, { type: 'reserve' })
    const refused = bench.status(away.peer, { type: 'connect', peer: home.peer })
    await turns(2)
    const stop = bench.stops[0] ?? expect.fail('no stop stream')
    expect(await answerStop(stop, false, bench)).toBeUndefined()
    expect(await refused).toBe(STATUS.CONNECTION_FAILED)
    const silent = bench.status(away.peer, { type: 'connect', peer: home.peer })
    await turns(2)
    bench.clock.advance(100)
    expect(await silent).toBe(STATUS.CONNECTION_FAILED)
    expect(bench.accounts.totals(bench.clock.nowMs())).toMatchObject({ openCircuits: 0 })
  })

  test('maxRelayCircuitBytes: each direction carries that much, and is cut at one byte more', async () => {
    const bench = new Bench({ maxRelayCircuitBytes: 1000 })
    const { from, to } = await bench.circuit()
    const [near, far] = [new Recorder(from), new Recorder(to)]
    from.write([new Uint8Array(1000)])
    to.write([new Uint8Array(1000)])
    await far.until(() => far.bytes === 1000)
    await near.until(() => near.bytes === 1000)
    from.write([new Uint8Array(1)])
    await near.until(() => near.closed)
    await far.until(() => far.closed)
    expect(far.bytes).toBe(1000)
    expect(bench.accounts.totals(bench.clock.nowMs())).toMatchObject({
      openCircuits: 0,
      bytes: 2000,
    })
  })

  test('maxRelayCircuitMs: a circuit is cut when its time is over', async () => {
    const bench = new Bench({ maxRelayCircuitMs: 5000 })
    const { from, to } = await bench.circuit()
    const [near, far] = [new Recorder(from), new Recorder(to)]
    bench.clock.advance(4999)
    await turns(2)
    expect(near.closed || far.closed).toBe(false)
    bench.clock.advance(1)
    await near.until(() => near.closed)
    await far.until(() => far.closed)
  })

  test('maxRelayBytesPerPeer: past it circuits are cut and refused, until the day is over', async () => {
    const bench = new Bench({ maxRelayBytesPerPeer: 1500, maxRelayCircuitBytes: 0 })
    const { from, to } = await bench.circuit()
    const [near, far] = [new Recorder(from), new Recorder(to)]
    from.write([new Uint8Array(1500)])
    await far.until(() => far.bytes === 1500)
    to.write([new Uint8Array(1)])
    await near.until(() => near.closed)
    const connect = { type: 'connect', peer: home.peer } as const
    expect(await bench.status(away.peer, connect)).toBe(STATUS.RESOURCE_LIMIT_EXCEEDED)
    bench.clock.advance(24 * 3_600_000)
    await bench.status(home.peer, { type: 'reserve' })
    bench.reachable = false
    expect(await bench.status(away.peer, connect)).toBe(STATUS.CONNECTION_FAILED)
  })

  test('denying a peer cuts its circuits, stopping cuts all', async () => {
    const bench = new Bench()
    const { from } = await bench.circuit()
    const near = new Recorder(from)
    bench.server.cut(home.peer)
    await near.until(() => near.closed)
    const again = new Recorder((await bench.circuit()).to)
    bench.server.close()
    await again.until(() => again.closed)
    expect(bench.accounts.totals(bench.clock.nowMs())).toMatchObject({ openCircuits: 0 })
  })

  test('a slow receiver stops the sender: what the relay holds stays within the pipes', async () => {
    const high = 32 * 1024
    const [sender, a] = pipePair({ highWaterBytes: high })
    const [b, receiver] = pipePair({ highWaterBytes: high })
    let carried = 0
    joinPipes(a, b, {
      carry: (bytes) => {
        carried += bytes
        return undefined
      },
      onClose: () => {},
    })
    const slow = new Recorder(receiver, false)
    let sent = 0
    const write = (): void => {
      while (sent < 2_000_000 && sender.write([new Uint8Array(8192)])) sent += 8192
      sent += 8192
    }
    sender.listen({ data: () => {}, drain: write, end: () => {}, close: () => {} })
    write()
    for (let i = 0; i < 20; i++) await turns(1)
    expect(carried).toBeLessThanOrEqual(high + 8192)
    expect(sent).toBeLessThanOrEqual(2 * (high + 8192))
    receiver.resume()
    await slow.until(() => slow.bytes > 1_000_000)
    expect(slow.bytes).toBeGreaterThan(1_000_000)
    sender.destroy()
  })
})

describe('a hostile relay', () => {
  /** Answers one hop stream with some bytes. */
  function answering(bytes: Uint8Array | undefined): RelayLink {
    return linkTo(() => {
      const [near, far] = pipePair()
      new Recorder(far)
      if (bytes !== undefined) far.write([bytes])
      return near
    })
  }

  const bench = (): { limits: P2pLimits; clock: ManualClock } => ({
    limits: resolveLimits({ relayTimeoutMs: 100, maxRelayMessageBytes: 512 }),
    clock: manualClock(),
  })

  test('garbage, another message and each status are errors that say so', async () => {
    const cases: [Uint8Array, object][] = [
      [Uint8Array.of(2, 0xff, 0xff), { code: 'invalid_argument' }],
      [frameRelayMessage(encodeHop({ type: 'reserve' })), { code: 'invalid_argument' }],
      [Uint8Array.of(0x81, 0x04), { code: 'resource_exhausted' }],
      [Uint8Array.from({ length: 12 }, () => 0xff), { code: 'invalid_argument' }],
      [status(STATUS.OK), { code: 'invalid_argument' }],
      [status(STATUS.RESERVATION_REFUSED), { reason: 'reservation_refused' }],
      [status(STATUS.PERMISSION_DENIED), { code: 'permission_denied' }],
      [status(STATUS.MALFORMED_MESSAGE), { code: 'invalid_argument' }],
      [status(STATUS.UNEXPECTED_MESSAGE), { reason: 'unexpected_message' }],
      [status(7), { code: 'unavailable', reason: 'status 7' }],
    ]
    for (const [bytes, error] of cases) {
      const asked = askReservation(answering(bytes), home.peer, bench(), NEVER)
      await expect(asked).rejects.toMatchObject({ layer: 'relay', ...error })
    }
    const circuit = askCircuit(answering(status(STATUS.NO_RESERVATION)), home.peer, bench(), NEVER)
    await expect(circuit).rejects.toMatchObject({ code: 'unavailable', reason: 'no_reservation' })
  })

  test('silence ends after relayTimeoutMs, or with the signal', async () => {
    const { limits, clock } = bench()
    const asked = askReservation(answering(undefined), home.peer, { limits, clock }, NEVER)
    clock.advance(100)
    await expect(asked).rejects.toMatchObject({
      code: 'deadline_exceeded',
      layer: 'relay',
      address: answering(undefined).address,
      message: `Cannot use the relay ${relay.peer}: it took too long`,
    })
    const stop = new AbortController()
    const aborted = askCircuit(answering(undefined), home.peer, { limits, clock }, stop.signal)
    stop.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    expect(clock.timers).toBe(0)
  })

  test('a voucher of somebody else, or for somebody else, is no reservation; none is one', async () => {
    const expiresAtMs = 1_900_000_000_000
    const granted = (voucher: Uint8Array | undefined): Uint8Array =>
      frameRelayMessage(
        encodeHop({
          type: 'status',
          status: STATUS.OK,
          reservation: { expiresAtMs, addresses: [], voucher },
        }),
      )
    const ask = (voucher: Uint8Array | undefined): Promise<unknown> =>
      askReservation(answering(granted(voucher)), home.peer, bench(), NEVER)
    const voucher = { relay: relay.peer, peer: home.peer, expiresAtMs }
    expect(await ask(await sealVoucher(relay, voucher))).toMatchObject({ expiresAtMs })
    expect(await ask(undefined)).toMatchObject({ expiresAtMs })
    const wrong = [
      await sealVoucher(away, { ...voucher, relay: away.peer }),
      await sealVoucher(away, voucher),
      await sealVoucher(relay, { ...voucher, peer: away.peer }),
      Uint8Array.of(1, 2, 3),
    ]
    for (const one of wrong) {
      await expect(ask(one)).rejects.toMatchObject({ code: 'invalid_argument', layer: 'relay' })
    }
  })

  test('a reservation that ended in the past is asked for again, but not without pause', async () => {
    const clock = manualClock()
    const limits = resolveLimits({ maxRelayRetryMs: 4000 })
    let asked = 0
    const reservation = { expiresAtMs: 1000, addresses: [], voucher: undefined }
    const bytes = frameRelayMessage(encodeHop({ type: 'status', status: STATUS.OK, reservation }))
    const keeper = new RelayKeeper('/p2p-circuit' as Address, {
      self: home.peer,
      limits,
      clock,
      random: () => 1,
      candidates: () => [`/ip4/192.0.2.9/tcp/1/p2p/${relay.peer}` as Address],
      connect: async () => {
        asked += 1
        return answering(bytes)
      },
      onChange: () => {},
    })
    await keeper.first
    await turns(2)
    clock.advance(29_000)
    await turns(2)
    expect(asked).toBe(1)
    expect(keeper.state).toMatchObject({ state: 'reserved', relay: relay.peer })
    keeper.close()
  })

  test('maxRelayRetryMs: a relay that is not there is tried with pauses that grow to it', async () => {
    const clock = manualClock()
    const pauses: number[] = []
    let tries = 0
    const keeper = new RelayKeeper('/p2p-circuit' as Address, {
      self: home.peer,
      limits: resolveLimits({ maxRelayRetryMs: 4000 }),
      clock,
      random: () => 1,
      candidates: () => [`/ip4/192.0.2.9/tcp/1/p2p/${relay.peer}` as Address],
      connect: async () => {
        tries += 1
        throw new Error('nobody there')
      },
      onChange: ({ state, retryAtMs }) => {
        if (state === 'waiting') pauses.push((retryAtMs ?? 0) - clock.nowMs())
      },
    })
    await expect(keeper.first).rejects.toMatchObject({ code: 'unavailable', layer: 'relay' })
    for (let i = 0; i < 5; i++) {
      clock.advance(4000)
      await turns(2)
    }
    expect(pauses).toEqual([500, 1000, 2000, 4000, 4000, 4000])
    keeper.wake()
    await turns(2)
    expect(tries).toBe(7)
    keeper.close()
    await turns(1)
    expect(clock.timers).toBe(0)
  })

  test('circuits of a relay that was not asked, and lies on a stop stream, are refused', async () => {
    const cases: [Uint8Array, boolean, number][] = [
      [encodeStop({ type: 'connect', peer: away.peer }), false, STATUS.PERMISSION_DENIED],
      [encodeStop({ type: 'status', status: 100 }), true, STATUS.UNEXPECTED_MESSAGE],
      [Uint8Array.of(8, 9), true, STATUS.MALFORMED_MESSAGE],
    ]
    for (const [bytes, wanted, expected] of cases) {
      const [near, far] = pipePair()
      const heard = new Recorder(far)
      far.write([frameRelayMessage(bytes)])
      expect(await answerStop(near, wanted, bench())).toBeUndefined()
      await heard.until(() => heard.ended)
      expect(decodeStop(heard.all().subarray(1))).toMatchObject({ status: expected })
    }
  })
})

describe('a budget', () => {
  test('ends the connection with its reason, at one byte more in both directions together', async () => {
    const clock = manualClock()
    const [near, far] = pipePair()
    const budget = new Budget({ bytes: 100, durationMs: undefined }, clock)
    const pipe = new BudgetPipe(near, budget, clock)
    const told = new Recorder(pipe)
    const other = new Recorder(far)
    pipe.write([new Uint8Array(40)])
    expect(budget.tired).toBe(false)
    far.write([new Uint8Array(10)])
    await told.until(() => told.bytes === 10)
    expect(budget.tired).toBe(true)
    // What fits still leaves.
    pipe.write([new Uint8Array(50), new Uint8Array(1)])
    await told.until(() => told.closed)
    expect(told.error).toMatchObject({
      code: 'resource_exhausted',
      layer: 'relay',
      reason: 'relay_bytes',
    })
    await other.until(() => other.ended)
    expect(other.bytes).toBe(90)
    expect(pipe.closed).toBe(true)
  })

  test('lends what it is lent to whoever borrows, and to nobody else', async () => {
    const clock = manualClock()
    const [near, far] = pipePair()
    const budget = new Budget({ bytes: 100, durationMs: undefined }, clock)
    const pipe = new BudgetPipe(lending(near), budget, clock)
    const lent: { chunk: Uint8Array; was: number[] }[] = []
    const come = Promise.withResolvers<undefined>()
    pipe.listen({
      borrows: true,
      data: (chunk) => {
        lent.push({ chunk, was: [...chunk] })
        come.resolve(undefined)
      },
      drain: () => {},
      end: () => {},
      close: () => {},
    })
    pipe.resume()
    far.write([Uint8Array.of(1, 2)])
    await come.promise
    expect(lent.map(({ chunk, was }) => [was, [...chunk]])).toEqual([
      [
        [1, 2],
        [0xee, 0xee],
      ],
    ])
    const keeper = new Recorder(pipe)
    far.write([Uint8Array.of(3)])
    await keeper.until(() => keeper.bytes === 1)
    expect([...keeper.all()]).toEqual([3])
    expect(budget.usedBytes).toBe(3)
    far.destroy()
    await keeper.until(() => keeper.closed)
  })

  test('ends the connection a little before its time', async () => {
    const clock = manualClock()
    const [near] = pipePair()
    const budget = new Budget({ bytes: undefined, durationMs: 120_000 }, clock)
    const told = new Recorder(new BudgetPipe(near, budget, clock))
    clock.advance(60_000)
    expect(budget.tired).toBe(true)
    clock.advance(53_999)
    await turns(1)
    expect(told.closed).toBe(false)
    clock.advance(1)
    await told.until(() => told.closed)
    expect(told.error).toMatchObject({ layer: 'relay', reason: 'relay_time' })
    expect(clock.timers).toBe(0)
  })
})

test('what passes a relay shows neither what is said nor in which protocol', async () => {
  const bench = new Bench({ maxRelayCircuitBytes: 0 })
  const seen: Uint8Array[] = []
  const recorded = (pipe: Pipe): Pipe => recording(pipe, seen)
  await bench.status(home.peer, { type: 'reserve' })
  // The relay's ends of both streams, recorded from their first byte on.
  const link = linkTo(() => {
    const [near, far] = pipePair()
    bench.server.take(recorded(far), { peer: away.peer, host: undefined, relayed: false })
    return near
  })
  const asked = askCircuit(link, home.peer, bench, NEVER)
  await turns(2)
  const incoming = await answerStop(bench.stops[0] ?? expect.fail('no stop'), true, bench)
  const { pipe: from } = await asked
  const to = incoming?.pipe ?? expect.fail('not taken')
  const options = { signal: NEVER, muxers: ['/yamux/1.0.0'], maxHandshakeBytes: 65_536 }
  const noise = (identity: Identity): ReturnType<typeof createNoise> => createNoise({ identity })
  const [near, far] = await Promise.all([
    noise(away).secureOutbound(from, { ...options, expected: home.peer }),
    noise(home).secureInbound(to, options),
  ])
  const log = defaultLogger().forComponent('test')
  const common = { limits: bench.limits, clock: bench.clock, log, offers: () => true }
  const answered = Promise.withResolvers<Uint8Array>()
  new Muxer(far.pipe, {
    ...common,
    initiator: false,
    onPipe: (_, pipe) => {
      const heard = new Recorder(pipe)
      void heard
        .until(() => heard.bytes === SECRET.byteLength)
        .then(() => pipe.write([heard.all()]))
      return true
    },
  })
  const stream = new Muxer(near.pipe, { ...common, initiator: true }).openPipe(PROTOCOL)
  const heard = new Recorder(stream)
  stream.write([SECRET])
  void heard
    .until(() => heard.bytes === SECRET.byteLength)
    .then(() => {
      answered.resolve(heard.all())
    })
  expect(await answered.promise).toEqual(SECRET)
  const all = Buffer.concat(seen)
  expect(all.byteLength).toBeGreaterThan(2 * SECRET.byteLength)
  for (const word of [SECRET, encodeUtf8(PROTOCOL), encodeUtf8('/yamux/1.0.0')]) {
    expect(all.includes(Buffer.from(word))).toBe(false)
  }
  // It would be found: whom the circuit leads to stands there, as it has to.
  expect(all.includes(Buffer.from(base58btc.baseDecode(home.peer)))).toBe(true)
})

const SECRET = encodeUtf8('the key of the house is under the mat')
const PROTOCOL = '/example/secret/1.0.0'

/** The same pipe; everything that is read from it or written to it is written down. */
function recording(pipe: Pipe, seen: Uint8Array[]): Pipe {
  return new Proxy(pipe, {
    get(target, name) {
      if (name === 'write') {
        return (chunks: readonly Uint8Array[]) => {
          for (const chunk of chunks) seen.push(chunk.slice())
          return target.write(chunks)
        }
      }
      if (name === 'listen') {
        return (events: PipeEvents) => {
          target.listen({
            ...events,
            data: (chunk) => {
              seen.push(chunk.slice())
              events.data(chunk)
            },
          })
        }
      }
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

function status(number: number): Uint8Array {
  return frameRelayMessage(encodeHop({ type: 'status', status: number }))
}

/** A field that nobody knows, so many bytes long. */
function filler(length: number): Uint8Array {
  return concat([Uint8Array.of(0x7a, length - 2), new Uint8Array(length - 2)])
}
