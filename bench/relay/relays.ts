/** What carries requests from one machine to another that it cannot reach. Each runs in a process of its own. */
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createNode } from '@stronghold/p2p'
import { createLibp2p } from 'libp2p'

/** One row of the table. */
export interface RelayEntry {
  label: string
  /** Whether it needs to be told where to, as it knows no peers. */
  forwards: boolean
  /** Starts it, and says where it is: an address to listen through, or a port. */
  start(to: number): Promise<string>
}

const LISTEN = ['/ip4/127.0.0.1/tcp/0']
const MANY = 4096

/** In the order of the table. */
export const RELAYS: Readonly<Record<string, RelayEntry>> = {
  stronghold: {
    label: 'Stronghold',
    forwards: false,
    async start() {
      const node = await createNode({
        listen: LISTEN,
        relay: { serve: true },
        // Without bounds, so that what is measured is carrying.
        limits: { maxRelayCircuitBytes: 0, maxRelayCircuitMs: 0, maxRelayBytesPerPeer: 0 },
      })
      return node.addresses[0] ?? ''
    },
  },
  libp2p: {
    label: 'js-libp2p',
    forwards: false,
    async start() {
      const node = await createLibp2p({
        addresses: { listen: LISTEN },
        transports: [tcp()],
        connectionEncrypters: [noise()],
        streamMuxers: [yamux({ maxInboundStreams: MANY, maxOutboundStreams: MANY })],
        connectionMonitor: { enabled: false },
        services: {
          identify: identify(),
          relay: circuitRelayServer({ reservations: { applyDefaultLimit: false } }),
        },
      })
      return String(node.getMultiaddrs()[0])
    },
  },
  forwarder: {
    label: 'plain TCP forwarder',
    forwards: true,
    async start(to) {
      const server = createServer({ noDelay: true }, (near) => {
        const far = connect({ port: to, host: '127.0.0.1', noDelay: true })
        near.pipe(far).pipe(near)
        near.on('error', () => far.destroy())
        far.on('error', () => near.destroy())
      })
      await new Promise<void>((resolve) => {
        server.listen(0, '127.0.0.1', resolve)
      })
      return String((server.address() as AddressInfo).port)
    },
  },
}

/** To which the others are held. */
export const RELAY_REFERENCE = 'forwarder'
