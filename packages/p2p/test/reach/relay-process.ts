/** A relay in a process of its own, which can be killed: told its key, port and limits, telling its peer and its memory. */
import { createNode } from '../../src/index.ts'
import type { NodeInit } from '../../src/index.ts'

const [key = '', port = '0', limits = '{}'] = process.argv.slice(2)

const node = await createNode({
  identity: new Uint8Array(Buffer.from(key, 'hex')),
  listen: [`/ip4/127.0.0.1/tcp/${port}`],
  relay: { serve: true },
  limits: JSON.parse(limits) as NonNullable<NodeInit['limits']>,
})

process.on('message', () => {
  globalThis.gc?.()
  globalThis.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  const { reservations = 0, openCircuits = 0 } = node.relay.status().serving ?? {}
  const connections = node.connections().length
  process.send?.({ rss, heapUsed, external, reservations, openCircuits, connections })
})
process.on('disconnect', () => process.exit())
process.send?.({ address: node.addresses[0] })
