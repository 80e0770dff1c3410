/** TCP: dial and listen, as a libp2p transport. Names are resolved by whoever is handed in. */
import { connect, createServer } from 'node:net'
import type { Server, Socket, TcpNetConnectOpts } from 'node:net'

import { serviceCapabilities, transportSymbol } from '@libp2p/interface'
import type {
  Connection,
  CreateListenerOptions,
  DialTransportOptions,
  Listener,
  Logger,
  Transport,
} from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

import { DEFAULT_LIMITS } from '../limits.ts'
import type { P2pLimits } from '../limits.ts'
import type { TcpInit } from '../runtime/transports.ts'

import { dialAddress } from './dial.ts'
import type { TransportComponents } from './dial.ts'
import type { Resolver } from './dns.ts'
import { isIp, tcpEndpoint } from './endpoint.ts'
import { ServerListener } from './server-listener.ts'
import type { Arrival, OpenServer } from './server-listener.ts'
import { SocketPipe } from './socket-pipe.ts'

/** What one dial may ask of TCP. */
export interface TcpDialOptions extends DialTransportOptions {
  /** Port to dial from. Two outgoing connections may share one; a listening port cannot be shared. */
  localPort?: number
  /** IP address to dial from. */
  localAddress?: string
}

/**
 * The TCP transport, to stand in `transports` of a libp2p node. Dials `/ip4|ip6|dns4|dns6|dns/…/tcp/…`, listens on
 * IP addresses.
 */
export function tcp(init: TcpInit = {}): (components: TransportComponents) => Transport {
  return (components) => new Tcp(components, init)
}

class Tcp implements Transport {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = '@stronghold/tcp'
  readonly [serviceCapabilities]: string[] = ['@libp2p/transport']
  readonly #log: Logger
  readonly #limits: Readonly<P2pLimits>
  readonly #resolver: Resolver | undefined
  readonly #backlog: number

  constructor(components: TransportComponents, init: TcpInit) {
    this.#log = components.logger.forComponent('stronghold:tcp')
    this.#limits = init.limits ?? DEFAULT_LIMITS
    this.#resolver = init.resolver
    this.#backlog = init.backlog ?? 511
  }

  dial(address: Multiaddr, options: TcpDialOptions): Promise<Connection> {
    return dialAddress(address, options, {
      resolver: this.#resolver,
      limits: this.#limits,
      log: this.#log,
      connect: async (target, signal) =>
        new SocketPipe(await connectSocket(target, options, signal), this.#limits),
    })
  }

  createListener({ upgrader }: CreateListenerOptions): Listener {
    return new ServerListener({
      upgrader,
      log: this.#log.newScope('listener'),
      backlog: this.#backlog,
      open: (address, arrived) => this.#open(address, arrived),
    })
  }

  listenFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => {
      const endpoint = tcpEndpoint(address)
      return endpoint !== undefined && isIp(endpoint)
    })
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => {
      const endpoint = tcpEndpoint(address)
      return endpoint !== undefined && (isIp(endpoint) || this.#resolver !== undefined)
    })
  }

  #open(address: Multiaddr, arrived: Arrival): OpenServer {
    const endpoint = tcpEndpoint(address)
    if (endpoint === undefined || !isIp(endpoint)) {
      throw new TypeError('Cannot listen: not a TCP address')
    }
    const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const { remoteAddress, remotePort } = socket
      arrived(new SocketPipe(socket, this.#limits), remoteAddress, remotePort)
    })
    return { server, endpoint, suffix: '', stop: () => {} }
  }
}

/** A connected socket, half-open allowed. Aborting destroys it at once, in whatever phase it is. */
function connectSocket(
  target: Multiaddr,
  options: TcpDialOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const endpoint = tcpEndpoint(target)
  if (endpoint === undefined || !isIp(endpoint)) {
    return Promise.reject(new TypeError('not a TCP address'))
  }
  // Bound to any address in any case: only a port that was bound can be shared with a later dial.
  const { localPort, localAddress = endpoint.kind === 'ip6' ? '::' : '0.0.0.0' } = options
  const to: TcpNetConnectOpts = {
    host: endpoint.host,
    port: endpoint.port,
    family: endpoint.kind === 'ip6' ? 6 : 4,
    allowHalfOpen: true,
    noDelay: true,
    ...(localPort === undefined ? {} : { localPort }),
    localAddress,
  }
  return new Promise((resolve, reject) => {
    const socket = connect(to)
    const aborted = (): void => {
      socket.destroy()
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', aborted)
    // Stays on until the pipe has one of its own: an error that nobody hears ends the process.
    socket.on('error', reject)
    socket.once('connect', () => {
      socket.pause()
      resolve(socket)
    })
    socket.once('connect', () => {
      signal.removeEventListener('abort', aborted)
    })
    socket.once('close', () => {
      signal.removeEventListener('abort', aborted)
    })
  })
}
