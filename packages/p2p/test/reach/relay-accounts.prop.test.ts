/** A relay's books beside lists that are counted anew each time, and each limit at its edge. */
import fc from 'fast-check'
import { expect, test } from 'vitest'

import type { PeerId } from '../../src/identity.ts'
import { RelayAccounts } from '../../src/reach/relay-accounts.ts'
import type { CircuitAccount, RelayLimits } from '../../src/reach/relay-accounts.ts'

const NAMES = ['Ann', 'Bob', 'Cid', 'Dan', 'Eve', 'Fay'] as PeerId[]
const GROUPS = ['red', 'blue', undefined]
const DAY = 24 * 3_600_000

const LIMITS: RelayLimits = {
  maxRelayReservations: 3,
  maxRelayReservationsPerAddress: 2,
  relayReservationMs: 1000,
  maxRelayCircuits: 4,
  maxRelayCircuitsPerPeer: 2,
  maxRelayCircuitsPerAddress: 3,
  maxRelayCircuitsPerTarget: 3,
  maxRelayCircuitBytes: 100,
  maxRelayCircuitMs: 500,
  maxRelayBytesPerPeer: 250,
  maxRelayAccounts: 100,
  maxBlocked: 10,
}

const peer = fc.constantFrom(...NAMES)
const group = fc.constantFrom(...GROUPS)
// Circuits come and go most: the bounds on them are met only where reservations stand for a while.
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('reserve' as const), peer, group }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('release' as const), peer }) },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant('open' as const), from: peer, group, to: peer }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('close' as const), at: fc.nat(10) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('carry' as const),
      at: fc.nat(10),
      bytes: fc.integer({ min: 1, max: 60 }),
      forth: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('advance' as const),
      ms: fc.constantFrom(1, 400, 999, DAY),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('allow' as const), peer }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('deny' as const), peer }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('everybody' as const), on: fc.boolean() }) },
)

interface Open {
  from: PeerId
  to: PeerId
  group: string | undefined
  forth: number
  back: number
}

/** Everything that ever happened, as lists. */
class Naive {
  nowMs = 0
  everybody = true
  allowed = new Set<PeerId>()
  denied = new Set<PeerId>()
  reservations: { peer: PeerId; group: string | undefined; untilMs: number }[] = []
  open: Open[] = []
  carried: { peer: PeerId; bytes: number; atMs: number }[] = []
  dayFrom = new Map<PeerId, number>()

  reserve(peer: PeerId, group: string | undefined): string {
    if (this.denied.has(peer) || !(this.everybody || this.allowed.has(peer)))
      return 'PERMISSION_DENIED'
    const others = this.standing().filter((one) => one.peer !== peer)
    if (others.length >= LIMITS.maxRelayReservations) return 'RESERVATION_REFUSED'
    const near = others.filter((one) => group !== undefined && one.group === group)
    if (near.length >= LIMITS.maxRelayReservationsPerAddress) return 'RESERVATION_REFUSED'
    const untilMs = this.nowMs + LIMITS.relayReservationMs
    this.reservations = [...others, { peer, group, untilMs }]
    this.#known(peer)
    return 'OK'
  }

  connect(from: PeerId, group: string | undefined, to: PeerId): string {
    if (from === to || this.denied.has(from) || this.denied.has(to)) return 'PERMISSION_DENIED'
    if (!this.standing().some((one) => one.peer === to)) return 'NO_RESERVATION'
    const { open } = this
    const near = open.filter((one) => group !== undefined && one.group === group)
    const full =
      open.length >= LIMITS.maxRelayCircuits ||
      near.length >= LIMITS.maxRelayCircuitsPerAddress ||
      open.filter((one) => one.from === from).length >= LIMITS.maxRelayCircuitsPerPeer ||
      open.filter((one) => one.to === to).length >= LIMITS.maxRelayCircuitsPerTarget
    if (full || !this.fits(from, 1) || !this.fits(to, 1)) return 'RESOURCE_LIMIT_EXCEEDED'
    open.push({ from, to, group, forth: 0, back: 0 })
    this.#known(from)
    return 'OK'
  }

  carry(circuit: Open, bytes: number, forth: boolean): boolean {
    const sofar = forth ? circuit.forth : circuit.back
    if (sofar + bytes > LIMITS.maxRelayCircuitBytes) return false
    if (!this.fits(circuit.from, bytes) || !this.fits(circuit.to, bytes)) return false
    if (forth) circuit.forth += bytes
    else circuit.back += bytes
    for (const peer of [circuit.from, circuit.to]) {
      this.carried.push({ peer, bytes, atMs: this.nowMs })
    }
    return true
  }

  standing(): Naive['reservations'] {
    return this.reservations.filter(({ untilMs }) => untilMs > this.nowMs)
  }

  fits(peer: PeerId, bytes: number): boolean {
    const from = this.dayFrom.get(peer) ?? this.nowMs
    if (this.nowMs - from >= DAY) this.dayFrom.set(peer, this.nowMs)
    return this.today(peer) + bytes <= LIMITS.maxRelayBytesPerPeer
  }

  today(peer: PeerId): number {
    const from = this.dayFrom.get(peer) ?? this.nowMs
    if (this.nowMs - from >= DAY) return 0
    return sum(this.carried.filter((one) => one.peer === peer && one.atMs >= from))
  }

  #known(peer: PeerId): void {
    if (!this.dayFrom.has(peer)) this.dayFrom.set(peer, this.nowMs)
  }
}

function sum(all: readonly { bytes: number }[]): number {
  return all.reduce((total, { bytes }) => total + bytes, 0)
}

test('a relay counts as lists do, whatever happens in whatever order', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 40, maxLength: 120 }), (steps) => {
      const accounts = new RelayAccounts({ limits: LIMITS, everybody: true })
      const naive = new Naive()
      const open: CircuitAccount[] = []
      let refused = 0
      for (const one of steps) {
        const { nowMs } = naive
        switch (one.do) {
          case 'reserve': {
            const got = accounts.reserve(one.peer, one.group, nowMs)
            const want = naive.reserve(one.peer, one.group)
            expect('refused' in got ? got.refused : 'OK').toBe(want)
            refused += want === 'OK' ? 0 : 1
            break
          }
          case 'release':
            expect(accounts.release(one.peer)).toBe(
              naive.reservations.some(
                (r) => r.peer === one.peer && (r.untilMs > nowMs || accounts.holds(r.peer, 0)),
              ),
            )
            naive.reservations = naive.reservations.filter((r) => r.peer !== one.peer)
            break
          case 'open': {
            const got = accounts.open(one.from, one.group, one.to, nowMs)
            const want = naive.connect(one.from, one.group, one.to)
            expect('refused' in got ? got.refused : 'OK').toBe(want)
            if ('circuit' in got) open.push(got.circuit)
            else refused += 1
            break
          }
          case 'close': {
            const at = one.at % Math.max(1, open.length)
            open[at]?.release()
            open[at]?.release()
            open.splice(at, 1)
            naive.open.splice(at, 1)
            break
          }
          case 'carry': {
            const at = one.at % Math.max(1, open.length)
            const [circuit, known] = [open[at], naive.open[at]]
            if (circuit === undefined || known === undefined) break
            const want = naive.carry(known, one.bytes, one.forth)
            expect(circuit.carry(one.bytes, one.forth, nowMs)).toBe(want)
            break
          }
          case 'advance':
            naive.nowMs += one.ms
            break
          case 'allow':
            accounts.allow(one.peer)
            naive.allowed.add(one.peer)
            naive.denied.delete(one.peer)
            break
          case 'deny':
            accounts.deny(one.peer)
            naive.denied.add(one.peer)
            naive.allowed.delete(one.peer)
            naive.reservations = naive.reservations.filter((r) => r.peer !== one.peer)
            break
          case 'everybody':
            accounts.everybody = one.on
            naive.everybody = one.on
            break
        }
        expect(accounts.totals(naive.nowMs)).toMatchObject({
          reservations: naive.standing().length,
          openCircuits: naive.open.length,
          bytes: sum(naive.carried) / 2,
          refused,
        })
      }
      for (const used of accounts.usage(naive.nowMs)) {
        const theirs = naive.carried.filter((c) => c.peer === used.peer)
        const standing = naive.standing().find((r) => r.peer === used.peer)
        expect(used.reservedUntilMs).toBe(standing?.untilMs)
        expect(used.bytes).toBe(sum(theirs))
        expect(used.bytesToday).toBe(naive.today(used.peer))
        expect(used.openCircuits).toBe(
          naive.open.filter((c) => c.from === used.peer || c.to === used.peer).length,
        )
      }
    }),
    { numRuns: process.env['STRONGHOLD_LONG'] === '1' ? 20_000 : 500 },
  )
})

test('maxRelayAccounts: who uses the relay now is never forgotten, who does not is, the last seen first', () => {
  const limits = { ...LIMITS, maxRelayAccounts: 3, maxRelayReservations: 100 }
  const accounts = new RelayAccounts({ limits, everybody: true })
  accounts.reserve('Ann' as PeerId, undefined, 0)
  for (const name of ['Bob', 'Cid'] as PeerId[]) {
    const opened = accounts.open(name, undefined, 'Ann' as PeerId, 0)
    if ('circuit' in opened) opened.circuit.release()
  }
  expect(accounts.usage(0).map(({ peer: one }) => one)).toEqual(['Cid', 'Ann', 'Bob'])
  accounts.reserve('Dan' as PeerId, undefined, 1)
  expect(accounts.usage(1).map(({ peer: one }) => one)).toEqual(['Dan', 'Cid', 'Ann'])
  accounts.reserve('Eve' as PeerId, undefined, 2)
  expect(accounts.reserve('Fay' as PeerId, undefined, 3)).toEqual({
    refused: 'RESERVATION_REFUSED',
  })
  expect(accounts.usage(3).map(({ peer: one }) => one)).toEqual(['Eve', 'Dan', 'Ann'])
})

test('a quota stands in the place of the limits', () => {
  const accounts = new RelayAccounts({ limits: LIMITS, everybody: true })
  const [ann, bob] = ['Ann', 'Bob'] as PeerId[] as [PeerId, PeerId]
  accounts.setQuota(ann, { circuits: 1, circuitBytes: 0, circuitMs: 0, bytesPerDay: 0 })
  accounts.setQuota(bob, { bytesPerDay: 1000 })
  accounts.reserve(ann, undefined, 0)
  const opened = accounts.open(bob, undefined, ann, 0)
  if (!('circuit' in opened)) return expect.fail('refused')
  expect(opened.circuit.limit).toBeUndefined()
  expect(accounts.open('Cid' as PeerId, undefined, ann, 0)).toEqual({
    refused: 'RESOURCE_LIMIT_EXCEEDED',
  })
  expect(opened.circuit.carry(1000, true, 0)).toBe(true)
  expect(opened.circuit.carry(1, false, 0)).toBe(false)
  expect(opened.circuit.carry(1, false, DAY)).toBe(true)
  accounts.setQuota(ann, undefined)
  expect(accounts.limitOf(ann)).toEqual({ bytes: 100, durationMs: 500 })
})

test('a quota of everybody stands in the place of the limits, from its setting on, but for who has one', () => {
  const accounts = new RelayAccounts({ limits: LIMITS, everybody: true })
  const [ann, bob, cid] = ['Ann', 'Bob', 'Cid'] as PeerId[] as [PeerId, PeerId, PeerId]
  for (const name of [ann, bob]) accounts.reserve(name, undefined, 0)
  const open = (from: PeerId, to: PeerId): CircuitAccount | string => {
    const opened = accounts.open(from, undefined, to, 0)
    return 'circuit' in opened ? opened.circuit : opened.refused
  }
  const before = open(cid, ann)
  accounts.quota = { circuits: 1, circuitBytes: 7, bytesPerDay: 9 }
  // What stands goes on as it was granted; what is new is not.
  expect(before).toMatchObject({ limit: { bytes: 100, durationMs: 500 } })
  expect(accounts.limitOf(ann)).toEqual({ bytes: 7, durationMs: 500 })
  expect([open(cid, bob), open(bob, ann)]).toEqual(Array(2).fill('RESOURCE_LIMIT_EXCEEDED'))
  if (typeof before !== 'object') return expect.fail('refused')
  expect([before.carry(9, true, 0), before.carry(1, true, 0)]).toEqual([true, false])
  accounts.setQuota(cid, { circuits: 2, bytesPerDay: 0 })
  const named = open(cid, bob)
  expect(named).toMatchObject({ limit: { bytes: 7, durationMs: 500 } })
  accounts.quota = {}
  expect(open(bob, ann)).toMatchObject({ limit: { bytes: 100, durationMs: 500 } })
})

test('maxBlocked bounds those that are named', () => {
  const accounts = new RelayAccounts({ limits: { ...LIMITS, maxBlocked: 1 }, everybody: true })
  const [ann, bob] = ['Ann', 'Bob'] as PeerId[] as [PeerId, PeerId]
  expect([accounts.allow(ann), accounts.allow(bob), accounts.allow(ann)]).toEqual([
    true,
    false,
    true,
  ])
  expect([accounts.deny(ann), accounts.deny(bob)]).toEqual([true, false])
  expect([accounts.setQuota(ann, {}), accounts.setQuota(bob, {})]).toEqual([true, false])
})
