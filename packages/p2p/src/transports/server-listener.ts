/**
 * A libp2p listener over a server of Node.js: what TCP and WebSocket have in common. What a connection is, says the
 * server that is handed in.
 */
import type { Server } from 'node:net'

import { TypedEventEmitter } from '@libp2p/interface'
import type { Listener, ListenerEvents, Logger, Upgrader } from '@libp2p/interface'
import { getThinWaistAddresses } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'

import type { Pipe } from '../connection/pipe.ts'

import { Acceptor } from './acceptor.ts'
import { listenError, socketAddress } from './endpoint.ts'
import type { TcpEndpoint } from './endpoint.ts'

/** Told of every connection; the host and port are the other side's, as its socket says them. */
export type Arrival = (pipe: Pipe, host: string | undefined, port: number | undefined) => void

/** A server that does not listen yet. */
export interface OpenServer {
  server: Server
  endpoint: TcpEndpoint
  /** Follows the port in the addresses of listener and connections, such as `/ws`. May be empty. */
  suffix: string
  /** Resets what has come in and is no pipe yet. */
  stop(): void
}

/** What a listener needs. */
export interface ServerListenerInit {
  upgrader: Upgrader
  log: Logger
  /** Connections that the system holds until they are accepted. */
  backlog: number
  /**
   * Makes the server for one address.
   *
   * @throws `TypeError` when the address is none for it
   */
  open(address: Multiaddr, arrived: Arrival): OpenServer
}

/** Listens on one address, once. Closing it leaves connections that stand. */
export class ServerListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  readonly #init: ServerListenerInit
  readonly #acceptor: Acceptor
  #open: OpenServer | undefined
  #address: Multiaddr | undefined
  #state: 'new' | 'used' | 'closed' = 'new'

  constructor(init: ServerListenerInit) {
    super()
    this.#init = init
    this.#acceptor = new Acceptor(init.upgrader, init.log)
  }

  /**
   * @throws `P2pError` `failed_precondition` when the system refuses, `TypeError` for another transport's address
   */
  async listen(address: Multiaddr): Promise<void> {
    if (this.#state !== 'new') throw new TypeError('Cannot listen: the listener was used before')
    this.#state = 'used'
    const open = this.#init.open(address, (pipe, host, port) => {
      this.#arrived(pipe, host, port)
    })
    const { server, endpoint } = open
    await new Promise<void>((resolve, reject) => {
      const failed = (error: Error): void => {
        open.stop()
        reject(listenError(address, error))
      }
      server.once('error', failed)
      server.listen(
        {
          host: endpoint.host,
          port: endpoint.port,
          ipv6Only: endpoint.kind === 'ip6',
          backlog: this.#init.backlog,
          exclusive: true,
        },
        () => {
          server.off('error', failed)
          resolve()
        },
      )
    })
    // From now on an error is a connection that could not be accepted; the next one may be.
    server.on('error', (error) => {
      this.#init.log.error('could not accept on %a - %e', address, error)
    })
    this.#open = open
    this.#address = address
    if (this.#isClosed()) {
      this.#shut(open)
      throw listenError(address, new Error('the listener was closed'))
    }
    this.safeDispatchEvent('listening')
  }

  getAddrs(): Multiaddr[] {
    const bound = this.#open?.server.address()
    if (this.#open === undefined || this.#address === undefined) return []
    if (bound === null || bound === undefined || typeof bound === 'string') return []
    const { suffix } = this.#open
    const plain = getThinWaistAddresses(this.#address, bound.port)
    return suffix === '' ? plain : plain.map((address) => address.encapsulate(suffix))
  }

  updateAnnounceAddrs(): void {
    // Nothing about these addresses is only known later.
  }

  /** Stops accepting, resets what is not upgraded yet, leaves the connections that stand. Idempotent. */
  async close(): Promise<void> {
    const open = this.#open
    this.#state = 'closed'
    this.#acceptor.stop()
    if (open === undefined) return
    this.#shut(open)
    await new Promise((resolve) => setImmediate(resolve))
    this.safeDispatchEvent('close')
  }

  #isClosed(): boolean {
    return this.#state === 'closed'
  }

  #shut(open: OpenServer): void {
    this.#open = undefined
    // Its 'close' would wait for the connections that stay; the port is free at once.
    open.server.close()
    open.stop()
  }

  #arrived(pipe: Pipe, host: string | undefined, port: number | undefined): void {
    if (host === undefined || port === undefined || this.#open === undefined) {
      pipe.destroy() // gone before it was accepted
      return
    }
    let remoteAddr: Multiaddr
    try {
      remoteAddr = socketAddress(host, port, this.#open.suffix)
    } catch (error) {
      this.#init.log.error('no address for a connection - %e', error)
      pipe.destroy()
      return
    }
    this.#acceptor.accept(pipe, remoteAddr)
  }
}
