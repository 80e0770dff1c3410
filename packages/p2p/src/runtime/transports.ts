/** What this package asks of the platform's network. */
import type { Transport } from '@libp2p/interface'

import type { TransportComponents } from '../transports/dial.ts'
import type { Resolver } from '../transports/dns.ts'
import type { TcpInit } from '../transports/tcp.ts'
import type { WebSocketInit } from '../transports/websocket-node.ts'

/** The platform's network; undefined is what it does not have. */
export interface TransportRuntime {
  tcp: ((init?: TcpInit) => (components: TransportComponents) => Transport) | undefined
  /** Browsers dial only, and take no certificates. */
  webSocket: (init?: WebSocketInit) => (components: TransportComponents) => Transport
  /** Without one, names stay in addresses and `dnsaddr` cannot be dialled. */
  systemResolver: (() => Resolver) | undefined
  /** Calls back when what is ready in this turn of the event loop has been handled. */
  afterTurn(callback: () => void): void
}
