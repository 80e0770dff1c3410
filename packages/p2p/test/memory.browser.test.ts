/** In a browser, with its own cryptography: two nodes on one page, everything above the socket included. */
import { expect, test } from 'vitest'
import { z } from 'zod'

import { createNode, defineProtocol, isP2pError, serverStream, unary } from '../src/index.ts'
import { memoryNetwork } from '../src/testing.ts'

const echo = defineProtocol('/example/echo/1.0.0', {
  greet: unary({ request: z.object({ name: z.string() }), response: z.string() }),
  count: serverStream({ request: z.object({ to: z.int() }), download: z.int() }),
})

test('two nodes in one browser ask and answer', async () => {
  const network = memoryNetwork()
  const home = await network.createNode({ firewall: { inbound: { fallback: 'allow' } } })
  home.serve(echo, {
    greet: ({ name }) => `Hello, ${name}`,
    count: function* ({ to }) {
      for (let n = 0; n < to; n++) yield n
    },
  })
  const away = await network.createNode()
  const remote = away.client(echo, home.addresses)
  expect(await remote.greet({ name: 'Ada' })).toBe('Hello, Ada')
  expect(await Array.fromAsync(remote.count({ to: 3 }))).toEqual([0, 1, 2])
  await network.stop()
})

test('a browser refuses to listen, in one sentence', async () => {
  const failed: unknown = await createNode({ listen: ['/ip4/127.0.0.1/tcp/0/ws'] }).catch(
    (error: unknown) => error,
  )
  expect(isP2pError(failed) || failed instanceof TypeError).toBe(true)
})
