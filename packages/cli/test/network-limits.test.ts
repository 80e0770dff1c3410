/** Bounds of what the program keeps and takes about the network, each at its limit and one past it. */
import { expect, test } from 'vitest'

import type { EventOf } from '@stronghold/p2p'
import { parseAddress, parsePeerId } from '@stronghold/p2p'

import { Failure } from '../src/failure.ts'
import { locateHome } from '../src/home.ts'
import {
  MAX_CLOCK_BEHIND_MS,
  MAX_FIND_MS,
  MAX_HEARD_ADDRESSES,
  MAX_HEARD_PEERS,
  MAX_PINGS,
  MAX_RELAY_PEERS,
  MAX_TICKET_TEXT,
} from '../src/limits.ts'
import { NODE_METHODS } from '../src/node/door.ts'
import { Watch } from '../src/node/watch.ts'
import { readTerms, USUAL_TERMS, writeTerms } from '../src/relay-terms.ts'
import { Machine } from './machine.ts'

const PEER = '12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J'

test('a relay names MAX_RELAY_PEERS and no more', () => {
  using machine = new Machine()
  const home = locateHome({ env: {}, cwd: machine.cwd, userHome: machine.cwd }, 'home')
  const denied = Array.from({ length: MAX_RELAY_PEERS }, () => PEER)
  writeTerms(home, { ...USUAL_TERMS, denied })
  expect(readTerms(home).denied).toHaveLength(MAX_RELAY_PEERS)
  expect(() => {
    writeTerms(home, { ...USUAL_TERMS, denied: [...denied, PEER] })
  }).toThrow(Failure)
})

test('the node door takes tickets, counts and times up to their limits', () => {
  const takes = (method: keyof typeof NODE_METHODS, ...args: unknown[]): boolean =>
    NODE_METHODS[method].args.safeParse(args).success
  const whom = { peer: PEER, addresses: [] }
  expect(takes('joinPeer', 's'.repeat(MAX_TICKET_TEXT))).toBe(true)
  expect(takes('joinPeer', 's'.repeat(MAX_TICKET_TEXT + 1))).toBe(false)
  expect(takes('pings', whom, MAX_PINGS)).toBe(true)
  expect(takes('pings', whom, MAX_PINGS + 1)).toBe(false)
  expect(takes('discover', { forMs: MAX_FIND_MS, follow: true })).toBe(true)
  expect(takes('discover', { forMs: MAX_FIND_MS + 1, follow: true })).toBe(false)
})

test('MAX_HEARD_PEERS and MAX_HEARD_ADDRESSES are remembered, the oldest goes', async () => {
  const peer = parsePeerId(PEER)
  const address = (port: number) => parseAddress(`/ip4/192.0.2.1/tcp/${port}`)
  async function* events(): AsyncGenerator<EventOf<'peerIdentified' | 'observedAddress'>> {
    for (let port = 1; port <= MAX_HEARD_ADDRESSES + 1; port++) {
      yield { type: 'observedAddress', atMs: 0, peer, address: address(port) }
    }
    for (let n = 0; n <= MAX_HEARD_PEERS; n++) {
      yield {
        type: 'peerIdentified',
        atMs: 0,
        // One of each: the watch takes an id for what it is.
        peer: `${PEER}${n}` as typeof peer,
        connection: 'c1',
        protocols: [],
        addresses: [],
      }
    }
  }
  const watch = new Watch(events())
  const { signal } = new AbortController()
  expect(await watch.heard(`${PEER}${MAX_HEARD_PEERS}`, signal)).toMatchObject({ agent: '' })
  expect(await watch.heard(`${PEER}1`, signal)).toBeDefined()
  expect(await watch.heard(`${PEER}0`, AbortSignal.abort())).toBeUndefined()
  const seen = watch.seenAt().map((one) => one.address)
  expect(seen).toHaveLength(MAX_HEARD_ADDRESSES)
  expect(seen).not.toContain(address(1))
})

test('a clock may stand MAX_CLOCK_BEHIND_MS before what the home has seen', async () => {
  using machine = new Machine()
  await machine.done(`peer add ci ${PEER}`)
  const { mtimeMs } = (await import('node:fs')).statSync(machine.path('home', 'peers.json'))
  const doctorAt = async (nowMs: number): Promise<string> => {
    using other = new Machine(
      { STRONGHOLD_HOME: machine.path('home') },
      { nowMs: () => nowMs, setTimer: () => () => {} },
    )
    return (await other.run('doctor')).stdout
  }
  const least = Math.floor(mtimeMs) - MAX_CLOCK_BEHIND_MS
  expect(await doctorAt(least + 1000)).toMatch(/^ok {7}clock/m)
  expect(await doctorAt(least - 1000)).toMatch(/^bad {6}clock/m)
})
