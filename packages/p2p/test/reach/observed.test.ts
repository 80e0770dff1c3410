/** Nodes that learn from others where they are reached. */
import { manualClock } from '@stronghold/testkit'
import { expect, test, vi } from 'vitest'

import { Internet } from './internet.ts'

const INSIDE = '/ip4/10.0.0.5/tcp/7430'
const OUTSIDE = '/ip4/9.9.9.9/tcp/7430'

test('where three peers in three networks reached a node it announces itself, until that is over', async () => {
  await using internet = new Internet()
  const clock = manualClock(Date.now())
  // Its router lets the port through: it knows its address inside only.
  const limits = { observedTtlMs: 1000 }
  const home = await internet.node('9.9.9.9', { listen: [INSIDE], limits }, 'none', { clock })
  const outside = `${OUTSIDE}/p2p/${home.peer}`
  const peers = []
  for (const host of ['8.0.1.1', '8.0.1.2', '8.0.2.1']) {
    const peer = await internet.node(host)
    peers.push(peer)
    await peer.connect(outside)
    await vi.waitFor(() => expect(home.connections(peer.peer)).toHaveLength(1))
    await peer.ping(home.peer)
  }
  expect(home.addresses).toEqual([`${INSIDE}/p2p/${home.peer}`])
  const third = await internet.node('8.0.3.1')
  await third.connect(outside)
  await vi.waitFor(() => {
    expect(home.addresses).toEqual([`${INSIDE}/p2p/${home.peer}`, outside])
  }, 10_000)
  await third.stop()
  await vi.waitFor(() => expect(home.connections()).toHaveLength(3))
  expect(home.addresses).toContain(outside)
  clock.advance(1000)
  expect(home.addresses).toEqual([`${INSIDE}/p2p/${home.peer}`])
})

test('addresses announced by hand are stronger than what peers say', async () => {
  await using internet = new Internet()
  const announce = ['/dns4/home.example.org/tcp/443']
  const home = await internet.node('9.9.9.9', { listen: [INSIDE], announce })
  for (const host of ['8.0.1.1', '8.0.2.1', '8.0.3.1']) {
    const peer = await internet.node(host)
    const observed = home.events({ types: ['observedAddress'] })
    await peer.connect(`${OUTSIDE}/p2p/${home.peer}`)
    expect((await observed.next()).value).toMatchObject({ address: OUTSIDE })
  }
  expect(home.addresses).toEqual([`${announce[0]}/p2p/${home.peer}`])
})

test('an address that one peer saw is announced once minDialBacks could dial it, and no more once they cannot', async () => {
  await using internet = new Internet()
  const clock = manualClock(Date.now())
  const limits = { minDialBacks: 2, checkIntervalMs: 5000 }
  const home = await internet.node('9.9.9.9', { listen: [INSIDE], limits }, 'none', { clock })
  const outside = `${OUTSIDE}/p2p/${home.peer}`
  const hosts = ['8.0.1.1', '8.0.2.1']
  for (const host of hosts) {
    const peer = await internet.node(host, {
      reach: { dialBack: true },
      limits: { dialTimeoutMs: 100 },
    })
    expect(home.addresses).not.toContain(outside)
    await peer.connect(outside)
  }
  await vi.waitFor(() => {
    expect(home.addresses).toContain(outside)
  }, 10_000)
  expect(home.reachability()).toMatchObject([{ address: OUTSIDE, state: 'reachable' }])
  // Its router forgot the port.
  internet.listeners.delete('9.9.9.9:7430')
  clock.advance(5000)
  await vi.waitFor(() => {
    expect(home.reachability()).toMatchObject([{ state: 'unreachable' }])
  }, 10_000)
  expect(home.addresses).not.toContain(outside)
})
