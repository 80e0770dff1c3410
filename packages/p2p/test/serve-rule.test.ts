/** Protocols with a rule of their own, over a network in memory. */
import { expect, test } from 'vitest'

import { bytes, defineProtocol, requestResponse, unary } from '../src/index.ts'
import type { NodeEvent, RequestFacts } from '../src/index.ts'
import { memoryNetwork } from '../src/testing.ts'

const handlers = { echo: (message: Uint8Array): Uint8Array => message }
const methods = { echo: unary({ request: bytes, response: bytes }) }
const own = defineProtocol('/example/own/1.0.0', methods)
const other = defineProtocol('/example/other/1.0.0', methods)
const MESSAGE = Uint8Array.of(1)
const NOT_OFFERED = { code: 'unimplemented', ran: 'no', layer: 'protocol' }
const DENIED = { code: 'permission_denied', ran: 'no', layer: 'firewall' }

test('a protocol with a rule of its own is there where the node lets nobody in, and no other', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode()
  const served = home.serve(own, handlers, { inbound: 'allow' })
  home.serve(other, handlers)
  const away = await network.createNode()
  expect(await away.client(own, home.addresses).echo(MESSAGE)).toEqual(MESSAGE)
  await expect(away.client(other, home.addresses).echo(MESSAGE)).rejects.toMatchObject(NOT_OFFERED)
  served[Symbol.dispose]()
  await expect(away.client(own, home.addresses).echo(MESSAGE)).rejects.toMatchObject(NOT_OFFERED)
})

test('a rule of its own is asked, not those of the node, also where they let everybody in', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode({ firewall: { inbound: { fallback: 'allow' } } })
  const seen: RequestFacts[] = []
  home.serve(own, handlers, {
    inbound: (request) => {
      seen.push(request)
      return seen.length === 1 ? 'deny' : 'allow'
    },
  })
  home.serve(other, handlers, { inbound: 'deny' })
  const away = await network.createNode()
  const events: NodeEvent[] = []
  void (async () => {
    for await (const event of home.events({ types: ['denied'] })) events.push(event)
  })()
  const remote = away.client(own, home.addresses)
  await expect(remote.echo(MESSAGE)).rejects.toMatchObject(DENIED)
  expect(await remote.echo(MESSAGE)).toEqual(MESSAGE)
  expect(seen[0]).toMatchObject({ peer: away.peer, protocol: own.id, method: 'echo' })
  await expect(away.client(other, home.addresses).echo(MESSAGE)).rejects.toMatchObject(NOT_OFFERED)
  await expect.poll(() => events).toHaveLength(2)
  expect(events).toMatchObject([{ by: 'protocol' }, { by: 'protocol' }])
})

test('a rule may answer later; what throws, rejects or says anything else denies', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode()
  const say: { rule: () => unknown } = { rule: () => 'deny' }
  home.serve(own, handlers, { inbound: () => say.rule() as 'allow' })
  const remote = (await network.createNode()).client(own, home.addresses)
  say.rule = () => Promise.resolve('allow')
  expect(await remote.echo(MESSAGE)).toEqual(MESSAGE)
  const wrong = [
    () => Promise.resolve('deny'),
    () => Promise.resolve('ask'),
    () => Promise.reject(new Error('no')),
    () => 'ask',
    () => undefined,
    () => {
      throw new Error('no')
    },
  ]
  for (const rule of wrong) {
    say.rule = rule
    await expect(remote.echo(MESSAGE)).rejects.toMatchObject(DENIED)
  }
})

test('a rule that never answers ends with the deadline', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode()
  home.serve(own, handlers, { inbound: () => new Promise(() => {}) })
  const remote = (await network.createNode()).client(own, home.addresses)
  await expect(remote.echo(MESSAGE, { timeoutMs: 50 })).rejects.toMatchObject({
    code: 'deadline_exceeded',
  })
})

test('who is blocked is denied whatever a rule says, also while it thinks', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode()
  const thinking = Promise.withResolvers<'allow'>()
  const begun = Promise.withResolvers<undefined>()
  let ran = false
  const take = (message: Uint8Array): Uint8Array => {
    ran = true
    return message
  }
  home.serve(
    own,
    { echo: take },
    {
      inbound: () => {
        begun.resolve(undefined)
        return thinking.promise
      },
    },
  )
  const away = await network.createNode()
  const asked = away.client(own, home.addresses).echo(MESSAGE, { timeoutMs: 300 })
  const failed = expect(asked).rejects.toThrow()
  await begun.promise
  home.block(away.peer)
  thinking.resolve('allow')
  await failed
  expect(ran).toBe(false)
})

test('the framings of others follow the rule of their protocol', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode()
  const as = requestResponse('/example/plain/1', 'raw')
  home.serve(own, handlers, { as, inbound: 'allow' })
  const closed = requestResponse('/example/closed/1', 'raw')
  home.serve(other, handlers, { as: closed, inbound: 'deny' })
  const away = await network.createNode()
  expect(await away.client(own, home.addresses, { as }).echo(MESSAGE)).toEqual(MESSAGE)
  await expect(
    away.client(other, home.addresses, { as: closed }).echo(MESSAGE),
  ).rejects.toMatchObject({ code: 'unimplemented' })
})

test('what is no rule is misuse', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode()
  const inbound = 'ask' as 'deny'
  expect(() => home.serve(own, handlers, { inbound })).toThrow(TypeError)
  expect(() => home.serve(own, handlers, { outbound: 'allow' } as object)).toThrow(TypeError)
})
