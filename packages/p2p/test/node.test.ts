import { expect, test } from 'vitest'
import { z } from 'zod'

import { bytes, defineProtocol, unary } from '../src/index.ts'
import { memoryNetwork } from '../src/testing.ts'

const echo = defineProtocol('/example/echo/1.0.0', {
  bytes: unary({ request: bytes, response: bytes, readOnly: true }),
  greet: unary({
    request: z.object({ name: z.string() }),
    response: z.string(),
    facts: ({ name }) => ({ name }),
  }),
})
const handlers = {
  bytes: (message: Uint8Array) => message,
  greet: ({ name }: { name: string }) => `Hello, ${name}`,
}

test('two nodes ask and answer', async () => {
  await using network = memoryNetwork()
  const home = await network.createNode({ firewall: { inbound: { fallback: 'allow' } } })
  home.serve(echo, handlers)
  const away = await network.createNode()
  const remote = away.client(echo, home.addresses)
  expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
  expect(await remote.bytes(Uint8Array.of(1))).toEqual(Uint8Array.of(1))
  expect(away.connections()).toMatchObject([
    { peer: home.peer, direction: 'outbound', transport: 'memory', security: 'noise' },
  ])
})
