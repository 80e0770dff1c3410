/** What peers say of where they reach us: judged as a list of all that was said would, and no flood changes it. */
import { fc, test } from '@fast-check/vitest'
import { expect, test as fact } from 'vitest'

import type { Address, PeerId } from '../../src/identity.ts'
import { Observed } from '../../src/reach/observed.ts'
import type { Observation, ObservedInit } from '../../src/reach/observed.ts'

const LIMITS: ObservedInit['limits'] = {
  minObservers: 3,
  maxObservations: 64,
  maxObservedAddresses: 4,
  observedTtlMs: 1000,
}

function told(connection: number, observer: number, network: number, port: number): Observation {
  return {
    connection: `c${connection}`,
    observer: `peer${observer}` as PeerId,
    from: `/ip4/8.0.${network}.${observer % 200}/tcp/4001` as Address,
    address: `/ip4/9.9.9.9/tcp/${port}` as Address,
  }
}

/** All that was said, in one list, counted anew each time. */
class Naive {
  said: (Observation & { untilMs: number })[] = []

  tell(one: Observation): void {
    this.said = this.said.filter(({ connection }) => connection !== one.connection)
    this.said.push({ ...one, untilMs: Infinity })
  }

  ended(connection: string, nowMs: number): void {
    for (const one of this.said) if (one.connection === connection) one.untilMs = nowMs + 1000
  }

  judged(nowMs: number): Address[] {
    const alive = this.said.filter(({ untilMs }) => untilMs > nowMs)
    const weights = [...new Set(alive.map(({ address }) => address))].map((address) => {
      const of = alive.filter((one) => one.address === address)
      const observers = new Set(of.map(({ observer }) => observer)).size
      const networks = new Set(of.map(({ from }) => from.split('.').slice(0, 3).join('.'))).size
      return { address, weight: Math.min(observers, networks) }
    })
    return weights
      .filter(({ weight }) => weight >= 3)
      .sort((a, b) => b.weight - a.weight || (a.address < b.address ? -1 : 1))
      .slice(0, 4)
      .map(({ address }) => address)
  }
}

const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max })
const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(small(20), small(6), small(6), small(3)) },
  { weight: 2, arbitrary: fc.record({ ended: small(20) }) },
  { weight: 1, arbitrary: fc.record({ advance: fc.integer({ min: 0, max: 800 }) }) },
)

test.prop([fc.array(step, { maxLength: 120 })], { numRuns: 500 })(
  'observations are judged as one list without bounds judges them',
  (steps) => {
    const observed = new Observed({ limits: LIMITS })
    const naive = new Naive()
    let nowMs = 0
    for (const one of steps) {
      if (Array.isArray(one)) {
        const [connection, observer, network, port] = one
        const said = told(connection, observer, network, port)
        expect(observed.tell(said, nowMs)).toBe(true)
        naive.tell(said)
      } else if ('ended' in one) {
        // A connection ends once.
        const connection = `c${one.ended}`
        observed.ended(connection, nowMs)
        naive.ended(connection, nowMs)
      } else nowMs += one.advance
      expect(observed.judged(nowMs)).toEqual(naive.judged(nowMs))
    }
  },
)

test.prop([fc.array(fc.tuple(small(5000), small(5000), fc.constantFrom(1, 2), small(9)))], {
  numRuns: 200,
})('one liar, or two, with any number of peer ids move nothing', (lies) => {
  const observed = new Observed({ limits: LIMITS })
  for (const [connection, observer, network, port] of lies) {
    observed.tell(told(connection, observer, network, port), 0)
  }
  expect(observed.judged(0)).toEqual([])
  expect(observed.size).toBeLessThanOrEqual(LIMITS.maxObservations)
})

fact('minObservers: so many peers in so many networks have to agree, not one fewer', () => {
  const observed = new Observed({ limits: LIMITS })
  observed.tell(told(1, 1, 1, 7430), 0)
  observed.tell(told(2, 2, 2, 7430), 0)
  // The same peer from elsewhere, and another peer from the same network.
  observed.tell(told(3, 1, 3, 7430), 0)
  observed.tell(told(4, 4, 1, 7430), 0)
  observed.tell(told(5, 4, 2, 7430), 0)
  observed.ended('c3', 0)
  expect(observed.judged(1000)).toEqual([])
  observed.tell(told(6, 6, 6, 7430), 1000)
  expect(observed.judged(1000)).toEqual(['/ip4/9.9.9.9/tcp/7430'])
})

fact('maxObservations: a flood from one network pushes out its own words and nobody else’s', () => {
  const observed = new Observed({ limits: LIMITS })
  for (const one of [1, 2, 3]) observed.tell(told(one, one, one, 7430), 0)
  for (let i = 0; i < 10_000; i++) observed.tell(told(100 + i, 100 + i, 9, 1 + (i % 9)), 0)
  expect(observed.size).toBe(LIMITS.maxObservations)
  expect(observed.judged(0)).toEqual(['/ip4/9.9.9.9/tcp/7430'])
})

fact('maxObservations: where every network said one thing, what is new is not kept', () => {
  const observed = new Observed({ limits: LIMITS })
  for (let i = 0; i < LIMITS.maxObservations; i++) observed.tell(told(i, i, i, 7430), 0)
  expect(observed.tell(told(999, 999, 200, 7431), 0)).toBe(false)
  expect(observed.size).toBe(LIMITS.maxObservations)
})

fact('maxObservedAddresses: those most agree on are announced', () => {
  const observed = new Observed({ limits: LIMITS })
  let connection = 0
  for (let port = 1; port <= 5; port++) {
    for (let one = 1; one <= 2 + port; one++) {
      observed.tell(told(++connection, 10 * port + one, 10 * port + one, port), 0)
    }
  }
  expect(observed.judged(0)).toEqual([5, 4, 3, 2].map((port) => `/ip4/9.9.9.9/tcp/${port}`))
})

fact('observedTtlMs: the word of a connection that is gone holds that long', () => {
  const observed = new Observed({ limits: LIMITS })
  for (const one of [1, 2, 3]) observed.tell(told(one, one, one, 7430), 0)
  expect(observed.nextExpiryMs).toBeUndefined()
  observed.ended('c2', 500)
  expect(observed.nextExpiryMs).toBe(1500)
  expect(observed.judged(1499)).toHaveLength(1)
  expect(observed.judged(1500)).toEqual([])
})

fact.each<[string, string, string]>([
  ['a loopback address', '/ip4/8.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/1'],
  ['a private one, told from outside', '/ip4/8.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/1'],
  ['a public one, told from inside', '/ip4/10.0.0.1/tcp/1', '/ip4/9.9.9.9/tcp/1'],
  ['a name', '/ip4/8.0.0.1/tcp/1', '/dns4/example.org/tcp/1'],
  ['one through a relay', '/ip4/8.0.0.1/tcp/1', '/ip4/9.9.9.9/tcp/1/p2p-circuit'],
  ['port zero', '/ip4/8.0.0.1/tcp/1', '/ip4/9.9.9.9/tcp/0'],
  ['UDP', '/ip4/8.0.0.1/tcp/1', '/ip4/9.9.9.9/udp/1'],
  ['one of an observer without an address', '/memory/a', '/ip4/9.9.9.9/tcp/1'],
])('%s is worth nothing', (_, from, address) => {
  const observed = new Observed({ limits: LIMITS })
  const said = { connection: 'c1', observer: 'peer1' as PeerId }
  expect(observed.tell({ ...said, from: from as Address, address: address as Address }, 0)).toBe(
    false,
  )
  expect(observed.size).toBe(0)
})
