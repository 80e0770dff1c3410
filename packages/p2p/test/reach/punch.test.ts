/** Nodes behind routers that reach each other through a relay first, and directly after all. */
import { expect, test, vi } from 'vitest'

import { bytes, defineProtocol, parseAddress, unary } from '../../src/index.ts'
import type { Address, Node, NodeEvent, NodeInit } from '../../src/index.ts'
import { Internet } from './internet.ts'
import type { Router } from './internet.ts'

const protocol = defineProtocol('/example/punched/1.0.0', {
  echo: unary({ request: bytes, response: bytes }),
})
const OPEN: NodeInit = { firewall: { inbound: { fallback: 'allow' } } }
const RELAY = '9.0.0.1'
const HELLO = new TextEncoder().encode('hello')
const PATIENT = { timeout: 10_000 }

interface Scene {
  relay: Node
  home: Node
  away: Node
  told: NodeEvent[]
}

/** A relay, and two hosts behind routers of their own. */
async function scene(
  internet: Internet,
  [homeRouter, awayRouter]: readonly [Router, Router],
  home: NodeInit = {},
  away: NodeInit = {},
): Promise<Scene> {
  const relay = await internet.node(RELAY, {
    listen: [`/ip4/${RELAY}/tcp/4001`],
    announce: [`/ip4/${RELAY}/tcp/4001`],
    relay: { serve: true },
  })
  const through = `/ip4/${RELAY}/tcp/4001/p2p/${relay.peer}/p2p-circuit`
  const limits = { punchTimeoutMs: 300 }
  const host = await internet.node(
    '8.0.0.1',
    { ...OPEN, limits, listen: [through], ...home },
    homeRouter,
  )
  const guest = await internet.node('8.0.1.1', { limits, ...away }, awayRouter)
  const told: NodeEvent[] = []
  void (async () => {
    for await (const event of host.events({ types: ['direct'] })) told.push(event)
  })()
  return { relay, home: host, away: guest, told }
}

function toHome({ relay, home }: Scene): Address {
  const { peer } = relay
  return parseAddress(`/ip4/${RELAY}/tcp/4001/p2p/${peer}/p2p-circuit/p2p/${home.peer}`)
}

/** Whether each connection between the two is relayed, as one side sees it. */
function ways(node: Node, other: Node): boolean[] {
  return node.connections(other.peer).map(({ relayed }) => relayed)
}

test('two hosts behind routers punch through; new requests go direct, the relayed one goes', async () => {
  await using internet = new Internet()
  const all = await scene(internet, ['easy', 'easy'])
  const { home, away, told } = all
  const slow = Promise.withResolvers<undefined>()
  const froms: boolean[] = []
  home.serve(protocol, {
    echo: async (message, { connection }) => {
      froms.push(connection.relayed)
      if (message.byteLength === 1) await slow.promise
      return message
    },
  })
  const remote = away.client(protocol, toHome(all))
  const inFlight = remote.echo(Uint8Array.of(1))
  await vi.waitFor(() => expect(told).toMatchObject([{ reached: true, attempts: 1 }]), PATIENT)
  await vi.waitFor(() => expect(ways(away, home)).toEqual([true, false]), PATIENT)
  // One connection, dialled by both: one of them spoke first.
  expect(away.connections(home.peer)[1]).toMatchObject({ direction: 'outbound' })
  expect(home.connections(away.peer)[1]).toMatchObject({ direction: 'outbound' })
  expect(await remote.echo(HELLO)).toEqual(HELLO)
  expect(froms).toEqual([true, false])
  // What was under way ends where it began.
  slow.resolve(undefined)
  expect(await inFlight).toEqual(Uint8Array.of(1))
  await vi.waitFor(() => expect(ways(away, home)).toEqual([false]), PATIENT)
  expect(await remote.echo(HELLO)).toEqual(HELLO)
  expect(froms).toEqual([true, false, false])
})

test('a host that came through a relay and listens itself is dialled back', async () => {
  await using internet = new Internet()
  const listen = ['/ip4/8.0.1.1/tcp/7430']
  const all = await scene(internet, ['easy', 'none'], {}, { listen, announce: listen })
  const { home, away, told } = all
  await away.connect(toHome(all))
  await vi.waitFor(() => expect(told).toMatchObject([{ reached: true, attempts: 0 }]), PATIENT)
  await vi.waitFor(() => expect(ways(away, home)).toContain(false), PATIENT)
})

test('behind a router that never keeps a port the relayed connection stays, and is not tried again', async () => {
  await using internet = new Internet()
  const all = await scene(internet, ['symmetric', 'easy'])
  const { home, away, told } = all
  home.serve(protocol, { echo: (message) => message })
  const remote = away.client(protocol, toHome(all))
  expect(await remote.echo(HELLO)).toEqual(HELLO)
  await vi.waitFor(() => expect(told).toMatchObject([{ reached: false, attempts: 3 }]), PATIENT)
  expect(ways(away, home)).toEqual([true])
  expect(await remote.echo(HELLO)).toEqual(HELLO)
  // punchRetryMs has not passed.
  await away.disconnect(home.peer)
  expect(await remote.echo(HELLO)).toEqual(HELLO)
  await vi.waitFor(() => expect(ways(home, away)).toContain(true), PATIENT)
  expect(told).toHaveLength(1)
  expect(internet.waiting.size).toBe(0)
})

test.each<[string, NodeInit, NodeInit]>([
  ['at home', { relay: { punch: false } }, {}],
  ['at the other side', {}, { relay: { punch: false } }],
  ['for whom nobody serves anything', { firewall: { inbound: { fallback: 'deny' } } }, {}],
])('switched off %s nothing is tried', async (_, home, away) => {
  await using internet = new Internet()
  const all = await scene(internet, ['easy', 'easy'], home, away)
  const identified = all.home.events({ types: ['peerIdentified'] })
  await all.away.connect(toHome(all))
  expect((await identified.next()).value).toMatchObject({ peer: all.away.peer })
  await all.away.ping(all.home.peer)
  expect(ways(all.away, all.home)).toEqual([true])
  expect(internet.waiting.size).toBe(0)
  expect(all.told).toEqual([])
})
