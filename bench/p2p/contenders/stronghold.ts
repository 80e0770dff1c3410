/** The channel of `@stronghold/p2p` over TCP, as an application uses it. */
import { bytes, createNode, defineProtocol, unary } from '@stronghold/p2p'
import type { Node } from '@stronghold/p2p'

import type { Contender } from '../contender.ts'

const echo = defineProtocol('/bench/echo/1.0.0', {
  echo: unary({ request: bytes, response: bytes, readOnly: true }),
})

/** A thousand clients on one machine are no attack here. */
const MANY = 4096
const limits = {
  maxPendingInbound: MANY,
  maxPendingPerAddress: MANY,
  maxConnectionsPerAddress: MANY,
  maxInboundConnections: MANY,
}

/** See the file. */
export function stronghold(security: 'noise' | 'tls'): Contender {
  return {
    async serve() {
      const node = await createNode({
        listen: ['/ip4/127.0.0.1/tcp/0'],
        security: [security],
        firewall: { inbound: { fallback: 'allow' } },
        limits,
      })
      node.serve(echo, { echo: (body) => body })
      const port = Number(/\/tcp\/(\d+)/.exec(String(node.addresses[0]))?.[1])
      return { address: { port, peer: node.peer } }
    },
    async dialer({ port: own = 0, peer }) {
      const nodes: Node[] = []
      return {
        async prepare(slots) {
          while (nodes.length < slots) nodes.push(await createNode({ security: [security] }))
        },
        async connect(slot, port) {
          const node = nodes[slot]!
          const address = `/ip4/127.0.0.1/tcp/${port ?? own}/p2p/${String(peer)}`
          const connection = await node.connect(address)
          const client = node.client(echo, connection.peer)
          return {
            ask: (body) => client.echo(body),
            close: () => node.disconnect(connection.peer),
          }
        },
      }
    },
  }
}
