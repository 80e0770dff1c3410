/**
 * WebSocket: dial and listen, as a libp2p transport. It does not know what a WebSocket is made of: the runtime hands
 * in how to open one and, where that is possible, how to listen.
 */
import { serviceCapabilities, transportSymbol } from '@libp2p/interface'
import type {
  Connection,
  CreateListenerOptions,
  DialTransportOptions,
  Listener,
  Logger,
  Transport,
  Upgrader,
} from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

import type { Pipe } from '../connection/pipe.ts'
import type { P2pLimits } from '../limits.ts'

import { dialAddress } from './dial.ts'
import type { TransportComponents } from './dial.ts'
import type { Resolver } from './dns.ts'
import { isIp, webSocketEndpoint } from './endpoint.ts'
import type { WebSocketEndpoint } from './endpoint.ts'

/** What a runtime gives. */
export interface WebSocketRuntime {
  limits: Readonly<P2pLimits>
  /** Asked for names in addresses; without one the runtime resolves them itself. */
  resolver: Resolver | undefined
  /** Opens one connection. Rejects at once when the signal aborts. */
  connect(endpoint: WebSocketEndpoint, signal: AbortSignal): Promise<Pipe>
  /** Makes a listener; absent where none can be. */
  listen: ((upgrader: Upgrader, log: Logger) => Listener) | undefined
  /** Whether this end may listen with TLS: it has a certificate. */
  hasCertificate: boolean
}

/** The transport over a runtime. Dials and listens on `/ws`, `/wss`, `/tls/ws` and `/tls/sni/NAME/ws`. */
export function webSocketTransport(
  runtime: WebSocketRuntime,
): (components: TransportComponents) => Transport {
  return (components) => new WebSocketTransport(components, runtime)
}

class WebSocketTransport implements Transport {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = '@stronghold/websocket'
  readonly [serviceCapabilities]: string[] = ['@libp2p/transport']
  readonly #log: Logger
  readonly #runtime: WebSocketRuntime

  constructor(components: TransportComponents, runtime: WebSocketRuntime) {
    this.#log = components.logger.forComponent('stronghold:websocket')
    this.#runtime = runtime
  }

  dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    const { limits, resolver } = this.#runtime
    return dialAddress(address, options, {
      resolver,
      limits,
      log: this.#log,
      connect: (target, signal) => {
        const endpoint = webSocketEndpoint(target)
        if (endpoint === undefined) return Promise.reject(new TypeError('not a WebSocket address'))
        return this.#runtime.connect(endpoint, signal)
      },
    })
  }

  createListener({ upgrader }: CreateListenerOptions): Listener {
    const { listen } = this.#runtime
    if (listen === undefined)
      throw new TypeError('Cannot listen: this runtime has no WebSocket server')
    return listen(upgrader, this.#log.newScope('listener'))
  }

  listenFilter(addresses: Multiaddr[]): Multiaddr[] {
    const { listen, hasCertificate } = this.#runtime
    if (listen === undefined) return []
    return addresses.filter((address) => {
      const endpoint = webSocketEndpoint(address)
      return endpoint !== undefined && isIp(endpoint) && (!endpoint.secure || hasCertificate)
    })
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => webSocketEndpoint(address) !== undefined)
  }
}
