import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import { Registry } from '../../src/find/registry.ts'
import type { Registration } from '../../src/find/registry.ts'
import type { PeerId } from '../../src/identity.ts'

const LIMITS = { maxRegistrations: 8, maxRegistrationsPerPeer: 3 }

type Step =
  | { do: 'register'; peer: number; namespace: number; ttl: number; size: number }
  | { do: 'unregister'; peer: number; namespace: number }
  | { do: 'forget'; peer: number }
  | { do: 'wait'; ms: number }
  | { do: 'expire' }
  | { do: 'discover'; namespace: number | undefined; after: number; limit: number; bytes: number }

const small = fc.nat(4)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('register' as const),
      peer: small,
      namespace: small,
      ttl: fc.integer({ min: 1, max: 50 }),
      size: fc.nat(40),
    }),
  },
  fc.record({ do: fc.constant('unregister' as const), peer: small, namespace: small }),
  fc.record({ do: fc.constant('forget' as const), peer: small }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.nat(40) }),
  fc.record({ do: fc.constant('expire' as const) }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('discover' as const),
      namespace: fc.option(small, { nil: undefined }),
      after: fc.nat(30),
      limit: fc.integer({ min: 1, max: 5 }),
      bytes: fc.nat(100),
    }),
  },
)

const peer = (n: number): PeerId => `peer${n}` as PeerId
const namespace = (n: number): string => `namespace ${n}`

/** One list, looked through from its beginning for everything. */
class Naive {
  all: (Registration & { sequence: number })[] = []
  sequence = 0

  register(one: Registration, nowMs: number): 'ok' | 'quota' | 'full' {
    const same = (other: Registration): boolean =>
      other.peer === one.peer && other.namespace === one.namespace
    if (!this.all.some(same)) {
      const live = this.all.filter(({ expiresAtMs }) => expiresAtMs > nowMs)
      if (live.filter((other) => other.peer === one.peer).length >= LIMITS.maxRegistrationsPerPeer)
        return 'quota'
      if (live.length >= LIMITS.maxRegistrations) return 'full'
    }
    this.all = this.all.filter((other) => !same(other))
    this.sequence += 1
    this.all.push({ ...one, sequence: this.sequence })
    return 'ok'
  }

  discover(
    name: string | undefined,
    after: number,
    limit: number,
    maxBytes: number,
    nowMs: number,
  ): { registrations: Registration[]; last: number } {
    const registrations: Registration[] = []
    let last = after
    let bytes = 0
    for (const { sequence, ...one } of this.all) {
      const wanted = name === undefined || one.namespace === name
      if (!wanted || sequence <= after || one.expiresAtMs <= nowMs) continue
      bytes += one.record.byteLength
      if (registrations.length === limit) break
      if (registrations.length > 0 && bytes > maxBytes) break
      registrations.push(one)
      last = sequence
    }
    return { registrations, last }
  }
}

test.prop([fc.array(step, { maxLength: 60 })], { numRuns: 500 })(
  'a registry is a list that is looked through, whatever happens in whatever order',
  (steps) => {
    const registry = new Registry(LIMITS)
    const naive = new Naive()
    let nowMs = 1000
    for (const one of steps) {
      switch (one.do) {
        case 'register': {
          const registration = {
            peer: peer(one.peer),
            namespace: namespace(one.namespace),
            record: new Uint8Array(one.size),
            expiresAtMs: nowMs + one.ttl,
          }
          expect(registry.register(registration, nowMs)).toBe(naive.register(registration, nowMs))
          break
        }
        case 'unregister': {
          registry.unregister(peer(one.peer), namespace(one.namespace))
          naive.all = naive.all.filter(
            (other) =>
              other.peer !== peer(one.peer) || other.namespace !== namespace(one.namespace),
          )
          break
        }
        case 'forget':
          registry.forget(peer(one.peer))
          naive.all = naive.all.filter((other) => other.peer !== peer(one.peer))
          break
        case 'wait':
          nowMs += one.ms
          break
        case 'expire':
          registry.expire(nowMs)
          naive.all = naive.all.filter(({ expiresAtMs }) => expiresAtMs > nowMs)
          expect(registry.size).toBe(naive.all.length)
          break
        case 'discover': {
          const name = one.namespace === undefined ? undefined : namespace(one.namespace)
          const args = [name, one.after, one.limit, one.bytes, nowMs] as const
          expect(registry.discover(...args)).toEqual(naive.discover(...args))
        }
      }
      expect(registry.size).toBeLessThanOrEqual(LIMITS.maxRegistrations)
    }
  },
)
