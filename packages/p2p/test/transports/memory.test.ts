import { multiaddr } from '@multiformats/multiaddr'
import { expect, test } from 'vitest'

import { memory, MemoryHub } from '../../src/transports/memory.ts'

import { transportSuite } from './transport-suite.ts'
import { components, PipeUpgrader } from './upgraders.ts'

transportSuite('a hub in memory', {
  transport: memory(new MemoryHub())(components),
  addresses: [multiaddr('/memory/one'), multiaddr('/memory/two')],
  nowhere: multiaddr('/memory/three'),
  maxUnreadBytes: 200_000,
})

test('hubs know nothing of each other', async () => {
  const upgrader = new PipeUpgrader()
  const here = memory(new MemoryHub())(components)
  const there = memory(new MemoryHub())(components)
  const listener = here.createListener({ upgrader })
  await listener.listen(multiaddr('/memory/one'))
  const { signal } = new AbortController()
  await expect(there.dial(multiaddr('/memory/one'), { upgrader, signal })).rejects.toThrow(
    'Cannot dial "/memory/one": connection refused',
  )
  await here.dial(multiaddr('/memory/one'), { upgrader, signal })
})

test('takes only addresses in memory', () => {
  const transport = memory(new MemoryHub())(components)
  const mine = [multiaddr('/memory/one')]
  const others = ['/ip4/1.2.3.4/tcp/1', '/memory/one/p2p-circuit', '/dns4/a/tcp/1/ws'].map((text) =>
    multiaddr(text),
  )
  expect(transport.dialFilter([...others, ...mine])).toEqual(mine)
  expect(transport.listenFilter([...others, ...mine])).toEqual(mine)
})
