/** Through relays over real sockets: ours with ours, a stock relay for us, ours for stock peers. */
import { expect, test } from 'vitest'

import { bytes, createNode, defineProtocol, unary } from '../../src/index.ts'
import type { NodeInit } from '../../src/index.ts'

const echo = defineProtocol('/example/echo/1.0.0', {
  bytes: unary({ request: bytes, response: bytes }),
})
const handlers = { bytes: (message: Uint8Array) => message }
const OPEN: NodeInit = { firewall: { inbound: { fallback: 'allow' } } }
const LISTEN = ['/ip4/127.0.0.1/tcp/0']

test('a peer that listens through our relay is asked through it', async () => {
  await using relay = await createNode({ listen: LISTEN, relay: { serve: true } })
  await using home = await createNode({ ...OPEN, listen: [`${relay.addresses[0]}/p2p-circuit`] })
  home.serve(echo, handlers)
  expect(home.addresses).toEqual([`${relay.addresses[0]}/p2p-circuit/p2p/${home.peer}`])
  await using away = await createNode()
  const remote = away.client(echo, home.addresses)
  expect(await remote.bytes(Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2))
  expect(away.connections(home.peer)).toMatchObject([
    { relayed: true, transport: 'relay', security: 'noise', direction: 'outbound' },
  ])
  expect(home.connections(away.peer)).toMatchObject([{ relayed: true, direction: 'inbound' }])
})
