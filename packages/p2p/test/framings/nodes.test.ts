/** The same handlers and the same firewall, asked by nodes in the framings of others. */
import { equalBytes } from '@stronghold/core'
import { expect, test } from 'vitest'
import { z } from 'zod'

import {
  bytes,
  defineProtocol,
  isP2pError,
  original,
  P2pError,
  requestResponse,
  serverStream,
  unary,
} from '../../src/index.ts'
import type { Framing, Node, NodeInit } from '../../src/index.ts'
import { memoryNetwork } from '../../src/testing.ts'
import type { MemoryNetwork } from '../../src/testing.ts'

const person = z.object({ name: z.string() })
const echo = defineProtocol('/example/echo/1.0.0', {
  bytes: unary({ request: bytes, response: bytes, readOnly: true }),
  greet: unary({ request: person, response: z.string(), facts: ({ name }) => ({ name }) }),
  ping: unary({}),
  count: serverStream({ download: bytes }),
})
const handlers = {
  bytes: (message: Uint8Array) => message,
  greet: ({ name }: { name: string }) => {
    if (name === 'nobody')
      throw new P2pError('not_found', 'Cannot greet: nobody', { layer: 'handler' })
    return `Hello, ${name}`
  },
  ping: () => undefined,
  count: () => [Uint8Array.of(1)],
}
const greetings: Framing[] = [
  original({ method: 'greet' }),
  requestResponse('/greet/json/1', 'json', { method: 'greet' }),
  requestResponse('/greet/cbor/1', 'cbor', { method: 'greet' }),
]

async function pair(
  network: MemoryNetwork,
  as: Framing[],
  init: NodeInit = { firewall: { inbound: { fallback: 'allow' } } },
): Promise<[Node, Node]> {
  const home = await network.createNode(init)
  home.serve(echo, handlers, { as })
  return [home, await network.createNode()]
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise
  } catch (error) {
    if (!isP2pError(error)) throw error
    const { code, ran, layer, reason } = error
    return reason === undefined ? { code, ran, layer } : { code, ran, layer, reason }
  }
}

test.each(greetings)('the same handler answers in $format.name, $protocols', async (framing) => {
  await using network = memoryNetwork()
  const [home, away] = await pair(network, greetings)
  const remote = away.client(echo, home.addresses, { as: framing })
  expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
  expect(
    await Promise.all(Array.from({ length: 50 }, () => remote.greet({ name: 'Bob' }))),
  ).toEqual(Array.from({ length: 50 }, () => 'Hello, Bob'))
  // The channel beside it, on the same connection.
  expect(await away.client(echo, home.addresses).greet({ name: 'Ada' })).toBe('Hello, Ada')
  expect(away.connections()).toHaveLength(1)
})

test('both protocol ids of the original are served; the one that is named is asked', async () => {
  await using network = memoryNetwork()
  const [home, away] = await pair(network, [original({ method: 'greet' })])
  for (const protocol of ['/stronghold-p2p/1.0.0', '/p2p/1.0.0'] as const) {
    const remote = away.client(echo, home.addresses, {
      as: original({ method: 'greet', protocol }),
    })
    expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
  }
})

test('bytes and nothing are carried in every format', async () => {
  await using network = memoryNetwork()
  const framings = (['json', 'cbor'] as const).flatMap((format) =>
    ['bytes', 'ping'].map((method) => requestResponse(`/${method}/${format}`, format, { method })),
  )
  const raw = requestResponse('/bytes/raw', 'raw', { method: 'bytes' })
  const asOriginal = original({ method: 'bytes' })
  const [home, away] = await pair(network, [...framings, raw, asOriginal])
  const all = Uint8Array.from({ length: 100_000 }, (_, at) => at)
  for (const as of [...framings, raw, asOriginal]) {
    const remote = away.client(echo, home.addresses, { as })
    if (as.method === 'ping') {
      await expect(remote.ping()).resolves.toBeUndefined()
    } else {
      for (const some of [all, new Uint8Array(0)]) {
        // The matchers compare element by element.
        expect(equalBytes(await remote.bytes(some), some)).toBe(true)
      }
    }
  }
})

test('a peer that is denied is not offered the protocol; any other denial and failure is a close', async () => {
  await using network = memoryNetwork()
  for (const as of greetings) {
    const rule = ({ facts }: { facts?: unknown }): 'allow' | 'deny' =>
      (facts as { name?: string } | undefined)?.name === 'Eve' ? 'deny' : 'allow'
    const [home, away] = await pair(network, [as], { firewall: { inbound: { fallback: rule } } })
    const denied = home.events({ types: ['denied'] })
    const remote = away.client(echo, home.addresses, { as })
    const closed = { code: 'unavailable', ran: 'maybe', layer: 'protocol', reason: 'no_answer' }
    expect(await failure(remote.greet({ name: 'Eve' }))).toEqual(closed)
    expect((await denied.next()).value).toMatchObject({ method: 'greet', facts: { name: 'Eve' } })
    expect(await failure(remote.greet({ name: 'nobody' }))).toEqual(closed)
    expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
    expect(await failure(remote.greet({ name: 7 } as never))).toEqual(closed)

    home.firewall.set('inbound', away.peer, 'deny')
    expect(await failure(remote.greet({ name: 'Ada' }))).toEqual({
      code: 'unimplemented',
      ran: 'no',
      layer: 'protocol',
    })
    expect((await denied.next()).value).toMatchObject({
      protocol: '/example/echo/1.0.0',
      method: 'greet',
      by: 'peer',
    })
    expect(away.connections(home.peer)).toHaveLength(1)
  }
})

test('what is not served, or was, is not offered', async () => {
  await using network = memoryNetwork()
  const [home, away] = await pair(network, [])
  const [as] = greetings as [Framing]
  const other = defineProtocol('/example/other/1.0.0', { greet: echo.methods.greet })
  const remote = away.client(other, home.addresses, { as })
  expect(await failure(remote.greet({ name: 'Ada' }))).toMatchObject({ code: 'unimplemented' })
  const served = home.serve(other, { greet: handlers.greet }, { as })
  expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
  served[Symbol.dispose]()
  expect(await failure(remote.greet({ name: 'Ada' }))).toMatchObject({ code: 'unimplemented' })
})

test('a signal ends a call, and the handler hears of it', async () => {
  await using network = memoryNetwork()
  const slow = defineProtocol('/example/slow/1.0.0', { wait: unary({ readOnly: true }) })
  for (const as of [original(), requestResponse('/slow/1', 'json')]) {
    const [home, away] = await pair(network, [])
    const started = Promise.withResolvers<AbortSignal>()
    home.serve(
      slow,
      {
        wait: (_, { signal }) => {
          started.resolve(signal)
          return new Promise(() => {})
        },
      },
      { as },
    )
    const control = new AbortController()
    const call = away
      .client(slow, home.addresses, { as })
      .wait(undefined, { signal: control.signal })
    const signal = await started.promise
    const heard = new Promise((resolve) => {
      signal.addEventListener('abort', resolve)
    })
    control.abort(new Error('enough'))
    await expect(call).rejects.toThrow('enough')
    await heard
  }
})

test('our own rules are asked before anything is sent', async () => {
  await using network = memoryNetwork()
  const [home] = await pair(network, greetings)
  const away = await network.createNode({ firewall: { outbound: { fallback: 'deny' } } })
  const remote = away.client(echo, home.addresses, { as: greetings[0] as Framing })
  expect(await failure(remote.greet({ name: 'Ada' }))).toEqual({
    code: 'permission_denied',
    ran: 'no',
    layer: 'firewall',
  })
  expect(away.connections()).toEqual([])
})

test('misuse throws at once', async () => {
  await using network = memoryNetwork()
  const [home, away] = await pair(network, [original({ method: 'greet' })])
  const other = defineProtocol('/example/other/1.0.0', echo.methods)
  const serve = (as: Framing): Disposable => home.serve(other, handlers, { as })
  expect(() => serve(original())).toThrow('name its method, the protocol has 3 unary ones')
  expect(() => serve(original({ method: 'count' }))).toThrow('it has no unary method count')
  expect(() => serve(original({ method: 'greet' }))).toThrow(
    '/stronghold-p2p/1.0.0: that is served',
  )
  expect(() => serve(requestResponse('/x', 'raw', { method: 'greet' }))).toThrow('is not bytes')
  expect(() => requestResponse('x', 'raw')).toThrow(SyntaxError)
  expect(() => requestResponse('/x', 'xml' as never)).toThrow('unknown format xml')
  expect(() => requestResponse('/x', 'raw', { methods: '' } as never)).toThrow('unknown option')
  expect(() => original({ protocol: '/x' as never })).toThrow('none of its protocol ids')
  expect(() => original({ methods: '' } as never)).toThrow('unknown option methods')
  expect(() => home.serve(other, handlers, { at: [] } as never)).toThrow('unknown option at')
  const remote = away.client(echo, home.addresses, { as: original({ method: 'greet' }) })
  expect(() => remote.ping()).toThrow('the framing carries greet alone')
  expect(() => away.client(echo, home.addresses, { as: original() })).toThrow('name its method')
  // Nothing of what failed stays served.
  home.serve(other, handlers)[Symbol.dispose]()
})
