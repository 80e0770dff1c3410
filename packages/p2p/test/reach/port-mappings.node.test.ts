/** Ports mapped by a router, over real sockets on this machine. */
import { manualClock } from '@stronghold/testkit'
import { expect, test, vi } from 'vitest'

import { createNode } from '../../src/index.ts'
import type { Address, Node, NodeInit } from '../../src/index.ts'
import { DEFAULT_LIMITS } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import { openNode } from '../../src/node.ts'
import { PortMappings } from '../../src/reach/port-mappings.ts'
import type { PortMapping, PortMappingsInit } from '../../src/reach/port-mappings.ts'
import type { RouterRuntime } from '../../src/runtime/routers.ts'
import { routersAt } from '../../src/runtime/node-routers.ts'
import { tcp } from '../../src/transports/tcp.ts'
import { mapped, PUBLIC } from './mapped.ts'
import { Router } from './router.ts'

const HERE = ['/ip4/127.0.0.1/tcp/0']

function portOf(node: Node): number {
  return Number(/\/tcp\/(\d+)/.exec(node.addresses[0] ?? '')?.[1])
}

function behind(router: Router, init: NodeInit = {}): Promise<Node> {
  const { through: routers } = router
  const reach = { mapPorts: true, private: true }
  return openNode({ listen: HERE, reach, ...init }, { routers }, [tcp() as never])
}

test('the port listened on is mapped, announced once somebody came through, and removed at the end', async () => {
  await using router = await Router.start()
  // To whom the router's address outside is this machine.
  await using server = await openNode({ listen: HERE, reach: { dialBack: true } }, {}, [
    mapped(tcp()) as never,
  ])
  const node = await behind(router, { limits: { minDialBacks: 1 } })
  const port = portOf(node)
  const outside = `/ip4/${PUBLIC}/tcp/${port}`
  await vi.waitFor(() => {
    expect(node.portMappings()).toMatchObject([
      { port, state: 'mapped', outside: { host: PUBLIC, port } },
    ])
  }, 10_000)
  expect(router.mapped.get(port)).toEqual({ host: '127.0.0.1', port, leaseSeconds: 3600 })
  // Nobody came through yet.
  expect(node.addresses).toEqual([`/ip4/127.0.0.1/tcp/${port}/p2p/${node.peer}`])
  await node.connect(server.addresses[0] ?? '')
  await vi.waitFor(() => {
    expect(node.addresses).toContain(`${outside}/p2p/${node.peer}`)
  }, 10_000)
  expect(node.reachability()).toMatchObject([{ address: outside, state: 'reachable' }, {}])
  await node.stop()
  expect(router.mapped.size).toBe(0)
})

test('what stops listening is no more mapped', async () => {
  await using router = await Router.start()
  await using node = await behind(router)
  await vi.waitFor(() => {
    expect(router.mapped.size).toBe(1)
  }, 10_000)
  expect(await node.unlisten(`/ip4/127.0.0.1/tcp/${portOf(node)}`)).toBe(true)
  await vi.waitFor(() => {
    expect(router.mapped.size).toBe(0)
  }, 10_000)
  expect(node.portMappings()).toEqual([])
})

test('nothing is asked of a router unless that is wanted', async () => {
  await using router = await Router.start()
  await using node = await behind(router, { reach: { private: true } })
  await node.listen('/ip4/127.0.0.1/tcp/0')
  expect([node.portMappings(), router.asked]).toEqual([[], []])
})

test('without a router it says so, and goes on', async () => {
  const routers = routersAt({ group: '127.0.0.1', port: 9, from: () => ['127.0.0.1'] })
  const reach = { mapPorts: true, private: true }
  const limits = { routerTimeoutMs: 50 }
  await using node = await openNode({ listen: HERE, reach, limits }, { routers }, [tcp() as never])
  const told = node.events({ types: ['portMapping'] })
  const message = `Cannot map port ${portOf(node)}: no router answers UPnP`
  expect((await told.next()).value).toMatchObject({ state: 'failed', message })
  expect(node.portMappings()).toMatchObject([{ state: 'failed', message }])
  expect(node.addresses).toHaveLength(1)
})

test('a setting that is none is refused', async () => {
  await expect(createNode({ reach: { mapPorts: 1 as never } })).rejects.toThrow(TypeError)
})

/** Mappings of one port by a router, with a clock of our own. */
function mappings(
  router: Router | RouterRuntime,
  init: Partial<PortMappingsInit> & { some?: Partial<P2pLimits> } = {},
): { all: PortMappings; clock: ReturnType<typeof manualClock>; told: PortMapping[] } {
  const clock = manualClock()
  const told: PortMapping[] = []
  const { some = {}, ...rest } = init
  const all = new PortMappings({
    limits: { ...DEFAULT_LIMITS, ...some },
    clock,
    runtime: router instanceof Router ? router.through : router,
    privately: false,
    random: () => Uint8Array.of(0, 7),
    onChange: (one) => told.push(one),
    ...rest,
  })
  return { all, clock, told }
}

async function settled({ told }: { told: PortMapping[] }): Promise<PortMapping | undefined> {
  await vi.waitFor(() => {
    expect(['mapped', 'failed']).toContain(told.at(-1)?.state)
  }, 10_000)
  return told.at(-1)
}

test('a mapping is renewed after half of portMappingLeaseMs', async () => {
  await using router = await Router.start()
  const one = mappings(router, { some: { portMappingLeaseMs: 10_000 } })
  one.all.want([7430])
  const { nextAtMs } = (await settled(one)) ?? {}
  expect(nextAtMs).toBe(one.clock.nowMs() + 5000)
  expect(router.mapped.get(7430)?.leaseSeconds).toBe(10)
  router.mapped.clear()
  one.clock.advance(5000)
  await vi.waitFor(() => {
    expect(router.mapped.has(7430)).toBe(true)
  }, 10_000)
  await vi.waitFor(() => {
    expect(one.all.list[0]?.nextAtMs).toBe(one.clock.nowMs() + 5000)
  }, 10_000)
  expect(one.all.outside('/ip4/10.0.0.2/tcp/7430/ws' as Address)).toBe('/ip4/9.9.9.9/tcp/7430/ws')
  expect(one.all.outside('/ip4/10.0.0.2/tcp/1' as Address)).toBeUndefined()
  await one.all.close()
  expect(router.mapped.size).toBe(0)
  expect(one.clock.timers).toBe(0)
})

test('where the port outside is taken another is, and it is kept', async () => {
  await using router = await Router.start()
  router.taken.add(7430)
  const one = mappings(router)
  one.all.want([7430])
  expect(await settled(one)).toMatchObject({ state: 'mapped', outside: { port: 20_007 } })
  await one.all.close()
  router.taken.add(20_007)
  const other = mappings(router)
  other.all.want([7430])
  expect((await settled(other))?.message).toBe(
    'Cannot map port 7430: the router refuses, ConflictInMappingEntry (718)',
  )
  await other.all.close()
})

test('a router that makes mappings without an end only is asked for one', async () => {
  await using router = await Router.start()
  router.onlyPermanent = true
  const one = mappings(router)
  one.all.want([7430])
  expect(await settled(one)).toMatchObject({ state: 'mapped' })
  expect(router.mapped.get(7430)?.leaseSeconds).toBe(0)
  await one.all.close()
  expect(router.mapped.size).toBe(0)
})

test('no more than maxPortMappings are asked for', async () => {
  await using router = await Router.start()
  const one = mappings(router, { some: { maxPortMappings: 2 } })
  one.all.want([1, 2, 3])
  await vi.waitFor(() => {
    expect(one.told.filter(({ state }) => state === 'mapped')).toHaveLength(2)
  }, 10_000)
  expect([...router.mapped.keys()]).toEqual([1, 2])
  await one.all.close()
})

test.each<[string, (router: Router) => void, string]>([
  [
    'behind another one',
    (router) => (router.outside = '100.64.0.9'),
    'the router is behind another one, its address outside is 100.64.0.9',
  ],
  ['without an address', (router) => (router.outside = 'x'), 'the router has no address outside'],
  [
    'that points elsewhere',
    (router) => (router.location = 'http://127.0.0.2:1/x'),
    'no router answers UPnP',
  ],
  [
    'that says more than maxRouterAnswerBytes',
    (router) => (router.description = ' '.repeat(70_000)),
    'no router answers UPnP',
  ],
  [
    'whose control is elsewhere',
    (router) =>
      (router.description =
        '<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>http://10.0.0.1/x</controlURL></service>'),
    'no router answers UPnP',
  ],
])('a router %s maps nothing, and it is tried again', async (_, spoil, state) => {
  await using router = await Router.start()
  spoil(router)
  const one = mappings(router, { some: { portMappingRetryMs: 1000 } })
  one.all.want([7430])
  await vi.waitFor(() => {
    // Whoever is found answers; nobody answers only once time is over.
    const silent = state === 'no router answers UPnP' && one.told.at(-1)?.state !== 'failed'
    if (silent) one.clock.advance(3000)
    expect(one.told.at(-1)?.state).toBe('failed')
  }, 10_000)
  expect(one.told.at(-1)?.message).toBe(`Cannot map port 7430: ${state}`)
  router.outside = '9.9.9.9'
  router.location = undefined
  router.description = undefined
  one.clock.advance(1000)
  await vi.waitFor(() => {
    expect(one.told.at(-1)?.state).toBe('mapped')
  }, 10_000)
  await one.all.close()
})

test('a router that is silent holds nothing up longer than routerTimeoutMs', async () => {
  const silent: RouterRuntime = {
    search: async () => {},
    exchange: () => new Promise(() => {}),
  }
  const one = mappings(silent, { some: { routerTimeoutMs: 1000 } })
  one.all.want([7430])
  await vi.waitFor(() => {
    expect(one.clock.timers).toBe(1)
  }, 10_000)
  one.clock.advance(1000)
  expect(await settled(one)).toMatchObject({ state: 'failed' })
  await one.all.close()
})
