/**
 * A transport inside one process: the same path as TCP from the pipe upwards, without sockets. Who listens where is
 * known to the hub that is handed in, and to nobody else.
 */
import { serviceCapabilities, transportSymbol, TypedEventEmitter } from '@libp2p/interface'
import type {
  Connection,
  CreateListenerOptions,
  DialTransportOptions,
  Listener,
  ListenerEvents,
  Logger,
  Transport,
  Upgrader,
} from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'

import type { Pipe } from '../connection/pipe.ts'
import { DEFAULT_LIMITS } from '../limits.ts'

import { Acceptor } from './acceptor.ts'
import { dialAddress } from './dial.ts'
import type { TransportComponents } from './dial.ts'
import { listenError } from './endpoint.ts'
import { pipePair } from './pipe-pair.ts'
import type { PipePairInit } from './pipe-pair.ts'

type Arrival = (pipe: Pipe, remoteAddr: Multiaddr) => void

/** Who listens where, and how its connections behave. One hub is one network; hubs know nothing of each other. */
export class MemoryHub {
  readonly #init: PipePairInit
  readonly #listeners = new Map<string, Arrival>()
  #dials = 0

  /** @param init - bytes in flight, latency and fragmentation of every connection */
  constructor(init: PipePairInit = {}) {
    this.#init = init
  }

  /** Takes a name until the returned function is called; undefined where somebody has it. */
  listen(name: string, arrived: Arrival): (() => void) | undefined {
    if (this.#listeners.has(name)) return undefined
    this.#listeners.set(name, arrived)
    return () => {
      if (this.#listeners.get(name) === arrived) this.#listeners.delete(name)
    }
  }

  /** @throws `Error` when nobody listens there */
  connect(name: string): Pipe {
    const arrived = this.#listeners.get(name)
    if (arrived === undefined) throw new Error('connection refused')
    const [near, far] = pipePair(this.#init)
    arrived(far, multiaddr(`/memory/dial-${++this.#dials}`))
    return near
  }
}

/** The in-memory transport over a hub. Dials and listens on `/memory/NAME`. */
export function memory(hub: MemoryHub): (components: TransportComponents) => Transport {
  return (components) => new MemoryTransport(components, hub)
}

class MemoryTransport implements Transport {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = '@stronghold/memory'
  readonly [serviceCapabilities]: string[] = ['@libp2p/transport']
  readonly #log: Logger
  readonly #hub: MemoryHub

  constructor(components: TransportComponents, hub: MemoryHub) {
    this.#log = components.logger.forComponent('stronghold:memory')
    this.#hub = hub
  }

  dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    return dialAddress(address, options, {
      resolver: undefined,
      limits: DEFAULT_LIMITS,
      log: this.#log,
      connect: async (target) => this.#hub.connect(nameOf(target) ?? ''),
    })
  }

  createListener({ upgrader }: CreateListenerOptions): Listener {
    return new MemoryListener(this.#hub, upgrader, this.#log.newScope('listener'))
  }

  listenFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => nameOf(address) !== undefined)
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return this.listenFilter(addresses)
  }
}

class MemoryListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  readonly #hub: MemoryHub
  readonly #acceptor: Acceptor
  #address: Multiaddr | undefined
  #leave: (() => void) | undefined

  constructor(hub: MemoryHub, upgrader: Upgrader, log: Logger) {
    super()
    this.#hub = hub
    this.#acceptor = new Acceptor(upgrader, log)
  }

  async listen(address: Multiaddr): Promise<void> {
    if (this.#address !== undefined) {
      throw new TypeError('Cannot listen: the listener was used before')
    }
    const name = nameOf(address)
    if (name === undefined) throw new TypeError('Cannot listen: not an address in memory')
    this.#leave = this.#hub.listen(name, (pipe, remoteAddr) => {
      this.#acceptor.accept(pipe, remoteAddr)
    })
    if (this.#leave === undefined) throw listenError(address, new Error('address in use'))
    this.#address = multiaddr(`/memory/${name}`)
    this.safeDispatchEvent('listening')
  }

  getAddrs(): Multiaddr[] {
    return this.#address === undefined || this.#leave === undefined ? [] : [this.#address]
  }

  updateAnnounceAddrs(): void {
    // Nothing about these addresses is only known later.
  }

  /** As a socket's: connections that stand, stay. */
  async close(): Promise<void> {
    const leave = this.#leave
    this.#leave = undefined
    this.#acceptor.stop()
    if (leave === undefined) return
    leave()
    // Not in this turn: who closes several listeners keeps a list of them that the event changes.
    await Promise.resolve()
    this.safeDispatchEvent('close')
  }
}

function nameOf(address: Multiaddr): string | undefined {
  const [memory, peer, ...more] = address.getComponents()
  if (memory?.name !== 'memory' || more.length > 0) return undefined
  return peer === undefined || peer.name === 'p2p' ? memory.value : undefined
}
