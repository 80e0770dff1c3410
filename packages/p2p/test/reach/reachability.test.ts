/** What checks found, weighed. */
import { expect, test } from 'vitest'

import type { Address, PeerId } from '../../src/identity.ts'
import { Reachability } from '../../src/reach/reachability.ts'
import type { Verdict } from '../../src/reach/reachability.ts'

const limits = { minDialBacks: 3, maxCheckedAddresses: 2, checkIntervalMs: 1000 }
const ADDRESS = '/ip4/9.9.9.9/tcp/1' as Address

function verdict(network: number, found: Verdict['found'], more: Partial<Verdict> = {}): Verdict {
  const by = `peer${network}` as PeerId
  return { address: ADDRESS, by, from: from(network), found, trusted: false, ...more }
}

function from(network: number): Address {
  return `/ip4/8.0.${network}.1/tcp/1` as Address
}

test('minDialBacks networks decide, fewer do not, and one network has one voice', () => {
  const found = new Reachability({ limits })
  for (const network of [1, 2, 2, 2]) found.tell(verdict(network, 'reachable'), 0)
  expect(found.stateOf(ADDRESS, 0)).toBe('unknown')
  found.tell(verdict(3, 'reachable'), 0)
  expect(found.stateOf(ADDRESS, 0)).toBe('reachable')
})

test('the majority of those that said something decides, and a tie is unknown', () => {
  const found = new Reachability({ limits })
  for (const network of [1, 2, 3]) found.tell(verdict(network, 'unreachable'), 0)
  expect(found.stateOf(ADDRESS, 0)).toBe('unreachable')
  for (const network of [4, 5, 6]) found.tell(verdict(network, 'reachable'), 0)
  expect(found.stateOf(ADDRESS, 0)).toBe('unknown')
  found.tell(verdict(7, 'reachable'), 0)
  found.tell(verdict(8, 'refused'), 0)
  expect(found.stateOf(ADDRESS, 0)).toBe('reachable')
})

test('a trusted word suffices alone', () => {
  const found = new Reachability({ limits })
  found.tell(verdict(1, 'reachable', { trusted: true }), 0)
  expect(found.stateOf(ADDRESS, 0)).toBe('reachable')
  expect(found.wants(ADDRESS, from(2), 0)).toBe(false)
})

test('it is asked again after checkIntervalMs, and what was found holds twice as long', () => {
  const found = new Reachability({ limits })
  expect(found.wants(ADDRESS, from(1), 0)).toBe(true)
  found.tell(verdict(1, 'reachable', { trusted: true }), 0)
  expect(found.checkedAtMs(ADDRESS, 10)).toBe(0)
  expect(found.nextChangeMs(0)).toBe(1000)
  expect(found.wants(ADDRESS, from(1), 999)).toBe(false)
  expect(found.wants(ADDRESS, from(1), 1000)).toBe(true)
  expect(found.stateOf(ADDRESS, 1999)).toBe('reachable')
  expect(found.nextChangeMs(1000)).toBe(2000)
  expect(found.stateOf(ADDRESS, 2000)).toBe('unknown')
  expect(found.nextChangeMs(2000)).toBeUndefined()
})

test('who refused to dial is not asked again soon, and nobody who has no network', () => {
  const found = new Reachability({ limits })
  found.tell(verdict(1, 'refused'), 0)
  expect(found.stateOf(ADDRESS, 0)).toBe('unknown')
  expect(found.wants(ADDRESS, from(1), 0)).toBe(false)
  expect(found.wants(ADDRESS, from(2), 0)).toBe(true)
  expect(found.wants(ADDRESS, '/dns4/a.example/tcp/1' as Address, 0)).toBe(false)
})

test('twice maxCheckedAddresses are remembered, the oldest is forgotten', () => {
  const found = new Reachability({ limits })
  const address = (at: number): Address => `/ip4/9.9.9.9/tcp/${at}` as Address
  for (let at = 1; at <= 5; at++) {
    found.tell(verdict(1, 'reachable', { address: address(at), trusted: true }), 0)
  }
  expect(found.stateOf(address(1), 0)).toBe('unknown')
  expect(found.stateOf(address(2), 0)).toBe('reachable')
})
