import { manualClock } from '@stronghold/testkit'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { isP2pError } from '../../src/errors.ts'
import type { Address } from '../../src/identity.ts'
import { AddressBook } from '../../src/reach/addresses.ts'
import { addressNamed, peerNamed } from './names.ts'

const PEERS = ['Ann', 'Bob', 'Cid', 'Dan', 'Eve']

const peer = fc.constantFrom(...PEERS)
const port = fc.integer({ min: 1, max: 5 })
const step = fc.oneof(
  fc.record({
    do: fc.constant('add' as const),
    peer,
    port,
    source: fc.constantFrom('user' as const, 'identify' as const, 'discovery' as const),
    ttlMs: fc.constantFrom(undefined, 50, 5000),
  }),
  fc.record({ do: fc.constant('succeeded' as const), peer, port }),
  fc.record({ do: fc.constant('failed' as const), peer, port }),
  fc.record({
    do: fc.constant('remove' as const),
    peer,
    port: fc.option(port, { nil: undefined }),
  }),
  fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 3000 }) }),
  fc.record({ do: fc.constant('reload' as const) }),
)

interface Known {
  peer: string
  port: number
  own: boolean
  expiresAtMs: number
  lastSuccessMs: number | undefined
  failures: number
}

/** The book as one list without bounds. */
class NaiveBook {
  nowMs = 0
  known: Known[] = []

  add(peer: string, port: number, own: boolean, ttlMs: number): void {
    const known = this.#known(peer, port)
    known.own ||= own
    known.expiresAtMs = Math.max(known.expiresAtMs, this.nowMs + ttlMs)
  }

  succeeded(peer: string, port: number): void {
    this.add(peer, port, false, 7 * 24 * 3_600_000)
    const known = this.#known(peer, port)
    known.failures = 0
    known.lastSuccessMs = this.nowMs
  }

  failed(peer: string, port: number): void {
    for (const known of this.known) {
      if (known.peer === peer && known.port === port) known.failures++
    }
  }

  remove(peer: string, port: number | undefined): void {
    this.known = this.known.filter(
      (k) => k.peer !== peer || (port !== undefined && k.port !== port),
    )
  }

  advance(ms: number): void {
    this.nowMs += ms
    this.known = this.known.filter(({ expiresAtMs }) => expiresAtMs > this.nowMs)
  }

  #known(peer: string, port: number): Known {
    let known = this.known.find((k) => k.peer === peer && k.port === port)
    if (known === undefined) {
      known = { peer, port, own: false, expiresAtMs: 0, lastSuccessMs: undefined, failures: 0 }
      this.known.push(known)
    }
    return known
  }
}

function run(
  steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[],
  limits: { maxPeersInBook: number; maxAddressesPerPeer: number },
  check: (book: AddressBook, naive: NaiveBook) => void,
): void {
  const clock = manualClock(0)
  const bookOf = (): AddressBook =>
    new AddressBook({ limits, clock, parsePeer: peerNamed, parseAddress: addressNamed })
  let book = bookOf()
  const naive = new NaiveBook()
  for (const step of steps) {
    const at = 'port' in step ? (`/ip4/192.0.2.1/tcp/${step.port}` as Address) : undefined
    switch (step.do) {
      case 'add': {
        const { source, ttlMs } = step
        try {
          const options = ttlMs === undefined ? { source } : { source, ttlMs }
          book.add(peerNamed(step.peer), at ?? [], options)
        } catch (error) {
          if (!isP2pError(error, 'resource_exhausted')) throw error
          continue
        }
        naive.add(
          step.peer,
          step.port,
          source === 'user',
          ttlMs ?? (source === 'user' ? Infinity : 3_600_000),
        )
        break
      }
      case 'succeeded':
        book.succeeded(peerNamed(step.peer), at ?? ('/' as Address))
        naive.succeeded(step.peer, step.port)
        break
      case 'failed':
        book.failed(peerNamed(step.peer), at ?? ('/' as Address))
        naive.failed(step.peer, step.port)
        break
      case 'remove':
        book.remove(peerNamed(step.peer), step.port === undefined ? undefined : at)
        naive.remove(step.peer, step.port)
        break
      case 'advance':
        clock.advance(step.ms)
        naive.advance(step.ms)
        break
      case 'reload': {
        const exported: unknown = JSON.parse(JSON.stringify(book.export()))
        book = bookOf()
        book.import(exported)
        for (const known of naive.known) known.failures = 0
        break
      }
    }
    check(book, naive)
  }
  expect(clock.timers).toBe(0)
}

function contents(book: AddressBook): Known[] {
  return book.peers().flatMap((peer) =>
    book.list(peer).map((entry) => ({
      peer,
      port: Number(entry.address.split('/')[4]),
      own: entry.source === 'user',
      expiresAtMs: entry.expiresAtMs ?? Infinity,
      lastSuccessMs: entry.lastSuccessMs,
      failures: entry.failures,
    })),
  )
}

function sorted(known: readonly Known[]): Known[] {
  return [...known].sort((a, b) => a.peer.localeCompare(b.peer) || a.port - b.port)
}

test('within its bounds the book holds what a plain list holds', () => {
  const limits = { maxPeersInBook: 5, maxAddressesPerPeer: 5 }
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50, size: 'max' }), (steps) => {
      run(steps, limits, (book, naive) => {
        expect(sorted(contents(book))).toEqual(sorted(naive.known))
      })
    }),
    { numRuns: 300 },
  )
}, 60_000)

test("past its bounds it forgets what was found, and nothing of the user's", () => {
  const limits = { maxPeersInBook: 2, maxAddressesPerPeer: 2 }
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50, size: 'max' }), (steps) => {
      run(steps, limits, (book, naive) => {
        const held = contents(book)
        expect(book.peers().length).toBeLessThanOrEqual(2)
        for (const peer of book.peers()) expect(book.list(peer).length).toBeLessThanOrEqual(2)
        // What is here was put here, and all that the user put here for good is.
        for (const { peer, port } of held) {
          expect(naive.known.some((k) => k.peer === peer && k.port === port)).toBe(true)
        }
        const own = ({ own, expiresAtMs }: Known): boolean => own && expiresAtMs === Infinity
        const name = ({ peer, port }: Known): string => `${peer} ${port}`
        expect(held.filter(own).map(name).sort()).toEqual(naive.known.filter(own).map(name).sort())
      })
    }),
    { numRuns: 300 },
  )
}, 60_000)
