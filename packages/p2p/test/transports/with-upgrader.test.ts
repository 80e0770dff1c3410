import { isStartable, isTransport, serviceCapabilities, start, stop } from '@libp2p/interface'
import type { Transport } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, test } from 'vitest'

import { memory, MemoryHub } from '../../src/transports/memory.ts'
import { withUpgrader } from '../../src/transports/with-upgrader.ts'

import { components, PipeUpgrader } from './upgraders.ts'

test('what the transport connects is upgraded by the upgrader that was put in, both ways', async () => {
  const ours = new PipeUpgrader()
  const theirs = new PipeUpgrader()
  const transport = withUpgrader(memory(new MemoryHub())(components), ours)
  const listener = transport.createListener({ upgrader: theirs })
  const address = multiaddr('/memory/one')
  await listener.listen(address)
  const { signal } = new AbortController()
  await transport.dial(address, { upgrader: theirs, signal })
  await ours.arrivals(1)
  expect([ours.outbound.length, ours.outbound[0]?.options.signal]).toEqual([1, signal])
  expect([...theirs.inbound, ...theirs.outbound]).toEqual([])
})

test('the transport looks the same from outside, whatever its class keeps to itself', () => {
  const plain = memory(new MemoryHub())(components)
  const wrapped = withUpgrader(plain, new PipeUpgrader())
  expect(isTransport(wrapped)).toBe(true)
  expect(wrapped[Symbol.toStringTag]).toBe(plain[Symbol.toStringTag])
  expect(Reflect.get(wrapped, serviceCapabilities)).toEqual(['@libp2p/transport'])
  const addresses = ['/memory/one', '/ip4/1.2.3.4/tcp/1'].map((text) => multiaddr(text))
  expect(wrapped.dialFilter(addresses)).toEqual(addresses.slice(0, 1))
  expect(wrapped.listenFilter(addresses)).toEqual(addresses.slice(0, 1))
  expect(isStartable(wrapped)).toBe(false)
})

test('a transport that starts and stops is started and stopped', async () => {
  const calls: string[] = []
  const plain: Transport = memory(new MemoryHub())(components)
  const startable = Object.assign(plain, {
    start: () => void calls.push('start'),
    afterStart: () => void calls.push('afterStart'),
    stop: () => void calls.push('stop'),
  })
  const wrapped = withUpgrader(startable, new PipeUpgrader())
  await start(wrapped)
  await stop(wrapped)
  expect(calls).toEqual(['start', 'afterStart', 'stop'])
})
