/**
 * Circuits as a libp2p transport: dials `RELAY/p2p-circuit/p2p/PEER`, listens on `RELAY/p2p-circuit`. What it connects is
 * secured and muxed end to end like everything else. Reservations and circuits it gets from whom it is handed.
 */
import { serviceCapabilities, transportSymbol, TypedEventEmitter } from '@libp2p/interface'
import type {
  Connection,
  ConnectionLimits,
  CreateListenerOptions,
  DialTransportOptions,
  Listener,
  ListenerEvents,
  Logger,
  Transport,
  Upgrader,
} from '@libp2p/interface'
import type { AddressManager } from '@libp2p/interface-internal'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'

import type { Clock } from '../clock.ts'
import { PipeConnection } from '../connection/message-stream.ts'
import type { Pipe } from '../connection/pipe.ts'
import { addressOf } from '../identity.ts'
import type { Address, PeerId } from '../identity.ts'
import { Acceptor } from '../transports/acceptor.ts'
import type { TransportComponents } from '../transports/dial.ts'

import { Budget, BudgetPipe } from './budget.ts'
import type { RawCircuit } from './relay-client.ts'
import type { CircuitLimit } from './relay-message.ts'

/** One that listens, as whoever has the reservations sees it. */
export interface RelayPlace {
  /** Where others reach us now, without our own peer id. */
  readonly addresses: readonly Address[]
  /** Gives the place up. */
  close(): void
}

/** Whoever listens through a relay. */
export interface RelayArrivals {
  /** The addresses are others. */
  changed(): void
  /** A circuit came. `address` is the relay's, with its peer id. */
  arrived(circuit: RawCircuit, address: Address, from: PeerId): void
}

/** What the transport needs of whoever speaks with relays. */
export interface RelayTransportInit {
  readonly clock: Clock
  /** A circuit, not secured. @throws `P2pError`; the signal's reason */
  dial(relay: Address, to: PeerId, signal: AbortSignal): Promise<RawCircuit>
  /** Listens through a relay, from now on. @throws `P2pError` */
  listen(address: Address, arrivals: RelayArrivals): RelayPlace
}

/** What the transport takes from the libp2p node it is part of. */
export interface RelayTransportComponents extends TransportComponents {
  addressManager: AddressManager
}

/** The parts of a circuit's address. */
export interface CircuitAddress {
  /** What stands before `/p2p-circuit`; empty for any relay. */
  readonly relay: Address
  /** Who is at the other end; undefined in an address to listen on. */
  readonly to: PeerId | undefined
}

/** Reads `RELAY/p2p-circuit` with an optional `/p2p/PEER`; undefined for anything else, also for two relays. */
export function circuitAddress(address: Address): CircuitAddress | undefined {
  const found = /^(|\/.*\/p2p\/[^/]+|\/p2p\/[^/]+)\/p2p-circuit(?:\/p2p\/([^/]+))?$/.exec(address)
  const [, relay = '', to] = found ?? []
  if (found === null || relay.includes('/p2p-circuit')) return undefined
  return { relay: relay as Address, to: to as PeerId | undefined }
}

const BUDGETS = new WeakMap<ConnectionLimits, Budget>()

/** What a connection through a relay has left; undefined for any other, and where the relay sets no bounds. */
export function budgetOf(connection: { readonly limits?: ConnectionLimits }): Budget | undefined {
  return connection.limits === undefined ? undefined : BUDGETS.get(connection.limits)
}

/** Makes the transport. */
export function relayTransport(
  init: RelayTransportInit,
): (components: RelayTransportComponents) => Transport {
  return (components) => new RelayTransport(init, components)
}

class RelayTransport implements Transport {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = '@stronghold/relay'
  readonly [serviceCapabilities]: string[] = ['@libp2p/transport']
  readonly #init: RelayTransportInit
  readonly #components: RelayTransportComponents
  readonly #log: Logger

  constructor(init: RelayTransportInit, components: RelayTransportComponents) {
    this.#init = init
    this.#components = components
    this.#log = components.logger.forComponent('stronghold:relay')
  }

  async dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    const parts = circuitAddress(addressOf(address))
    if (parts?.to === undefined || parts.relay === '') {
      throw new TypeError('Cannot dial: no circuit with a relay and a peer')
    }
    const { signal, upgrader } = options
    const circuit = await this.#init.dial(parts.relay, parts.to, signal)
    const { pipe, limits } = metered(circuit, this.#init.clock)
    const connection = new PipeConnection(pipe, {
      remoteAddr: address,
      direction: 'outbound',
      log: this.#log.newScope('connection'),
    })
    try {
      signal.throwIfAborted()
      return await upgrader.upgradeOutbound(connection, {
        ...options,
        ...(limits === undefined ? {} : { limits }),
      })
    } catch (error) {
      connection.abort(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }

  createListener({ upgrader }: CreateListenerOptions): Listener {
    const log = this.#log.newScope('listener')
    return new RelayListener(this.#init, this.#components, upgrader, log)
  }

  listenFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((one) => {
      const parts = circuitAddress(addressOf(one))
      return parts !== undefined && parts.to === undefined
    })
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((one) => {
      const parts = circuitAddress(addressOf(one))
      return parts?.to !== undefined && parts.relay !== ''
    })
  }
}

/** Listens on one address, once; its addresses come and go with the reservation. */
class RelayListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  readonly #init: RelayTransportInit
  readonly #components: RelayTransportComponents
  readonly #acceptor: Acceptor
  #place: RelayPlace | undefined
  #told: readonly Address[] = []

  constructor(
    init: RelayTransportInit,
    components: RelayTransportComponents,
    upgrader: Upgrader,
    log: Logger,
  ) {
    super()
    this.#init = init
    this.#components = components
    this.#acceptor = new Acceptor(upgrader, log)
  }

  async listen(address: Multiaddr): Promise<void> {
    this.#place = this.#init.listen(addressOf(address), {
      changed: () => {
        this.#tell()
      },
      arrived: (circuit, relay, from) => {
        const { pipe, limits } = metered(circuit, this.#init.clock)
        this.#acceptor.accept(pipe, multiaddr(`${relay}/p2p-circuit/p2p/${from}`), limits)
      },
    })
  }

  getAddrs(): Multiaddr[] {
    return (this.#place?.addresses ?? []).map((one) => multiaddr(one))
  }

  updateAnnounceAddrs(): void {
    // Nothing about these addresses is only known later.
  }

  async close(): Promise<void> {
    const place = this.#place
    this.#place = undefined
    this.#acceptor.stop()
    if (place === undefined) return
    place.close()
    this.#tell()
    // Not in this turn: who closes several listeners keeps a list of them that the event changes.
    await Promise.resolve()
    this.safeDispatchEvent('close')
  }

  /** The relay reaches us there, so nobody else needs to confirm it. */
  #tell(): void {
    const { addressManager } = this.#components
    // What is on no network needs no word of anybody, and libp2p knows none for it.
    const now = (this.#place?.addresses ?? []).filter((one) => /^\/(ip4|ip6|dns)/.test(one))
    for (const one of this.#told) {
      if (!now.includes(one)) addressManager.removeObservedAddr(multiaddr(one))
    }
    for (const one of now) addressManager.confirmObservedAddr(multiaddr(one), { type: 'transport' })
    this.#told = now
    this.safeDispatchEvent('listening')
  }
}

/** The pipe of a circuit with its budget, and that as libp2p sees it. */
function metered(
  { pipe, limit }: RawCircuit,
  clock: Clock,
): { pipe: Pipe; limits: ConnectionLimits | undefined } {
  if (limit?.bytes === undefined && limit?.durationMs === undefined) {
    return { pipe, limits: undefined }
  }
  const budget = new Budget(limit, clock)
  return { pipe: new BudgetPipe(pipe, budget, clock), limits: limitsOf(budget, limit) }
}

function limitsOf(budget: Budget, { bytes, durationMs }: CircuitLimit): ConnectionLimits {
  const limits: ConnectionLimits = Object.defineProperties(
    {},
    {
      ...(bytes === undefined
        ? {}
        : {
            bytes: {
              enumerable: true,
              get: () => BigInt(Math.max(0, bytes - budget.usedBytes)),
            },
          }),
      ...(durationMs === undefined
        ? {}
        : {
            seconds: {
              enumerable: true,
              get: () => Math.max(0, Math.round((durationMs - budget.ageMs) / 1000)),
            },
          }),
    },
  )
  BUDGETS.set(limits, budget)
  return limits
}
