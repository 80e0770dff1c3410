/**
 * `@stronghold/p2p/libp2p`: requests as a service of a libp2p node that somebody already has, with whatever transports,
 * security and muxer it has, and transports of others for nodes of ours. The one entry with libp2p's types in it.
 */
import { serviceCapabilities } from '@libp2p/interface'
import type {
  Connection,
  Libp2pEvents,
  PeerStore,
  Startable,
  Stream,
  Transport,
  TypedEventTarget,
} from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'

import { cryptoRuntime } from '#runtime'

import { CHANNEL_PROTOCOL } from './channel/channel.ts'
import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { pipeOf } from './connection/message-stream.ts'
import { transportOf } from './connection/upgrader.ts'
import { isP2pError, P2pError } from './errors.ts'
import { EventHub } from './events.ts'
import type { EventOf, EventsOptions, EventStream, EventType, MissedEvent } from './events.ts'
import { Firewall } from './firewall/firewall.ts'
import type { FirewallControl } from './firewall/firewall.ts'
import type { FirewallInit } from './firewall/rules.ts'
import { addressOf, parsePeerId, toLibp2pPeerId, toMultiaddr } from './identity.ts'
import type { PeerId } from './identity.ts'
import { resolveLimits } from './limits.ts'
import type { P2pLimits } from './limits.ts'
import type { CustomTransport, NodeSeams, RequestsService } from './node-interface.ts'
import type { Client, Handlers, Methods, Protocol } from './protocol.ts'
import { Requests } from './requests.ts'
import type { ClientOptions, Link, Opened, ServeOptions } from './requests.ts'
import { dialError, readTarget } from './target.ts'
import type { Found, Target } from './target.ts'

export type { RequestsService } from './node-interface.ts'

/**
 * A libp2p transport for `createNode({ transports })`. What it connects is secured and muxed as everything else.
 *
 * @param factory - as in `createLibp2p({ transports: [factory] })`
 */
export function customTransport(factory: (components: never) => Transport): CustomTransport {
  return Object.freeze({ '~transport': factory })
}

/** How the service is set up. Everything is optional. */
export interface RequestsServiceInit {
  /** Default: nobody may ask us, we may ask everybody. */
  firewall?: FirewallInit
  /** Those of requests, firewall and events count; connections and streams are the node's own. */
  limits?: Partial<P2pLimits>
}

/** The parts of a libp2p node that the service needs. */
export interface RequestsComponents {
  registrar: Registrar
  connectionManager: ConnectionManager
  peerStore: PeerStore
  events: TypedEventTarget<Libp2pEvents>
}

/**
 * Requests as a libp2p service: `createLibp2p({ services: { requests: requests({ firewall }) } })`, then
 * `node.services.requests.serve(…)` and `.client(…)`. It ends with its node, for good.
 *
 * @throws `TypeError` and `RangeError` for what cannot be set up so
 */
export function requests(
  init: RequestsServiceInit = {},
  seams: NodeSeams = {},
): (components: RequestsComponents) => RequestsService {
  const { firewall = {}, limits: given, ...rest } = init
  for (const key of Object.keys(rest)) {
    throw new TypeError(`Cannot set up requests: unknown key ${key.slice(0, 64)}`)
  }
  const limits = resolveLimits(given)
  return (components) => new MountedRequests(components, firewall, limits, seams)
}

// Ours decides how many channels a connection may have; the registrar must not be the one that does.
const MAX_CHANNEL_STREAMS = 8
// Yamux windows grow to 16 MiB in some muxers, and one that is full must not end a stream that waits for its reader.
const MAX_UNREAD_BYTES = 17 * 1024 * 1024

class MountedRequests implements RequestsService, Startable {
  readonly [Symbol.toStringTag] = '@stronghold/requests'
  readonly [serviceCapabilities] = ['@stronghold/requests']
  readonly #components: RequestsComponents
  readonly #limits: Readonly<P2pLimits>
  readonly #clock: Clock
  readonly #firewall: Firewall
  readonly #events: EventHub
  readonly #requests: Requests
  readonly #links = new WeakMap<Connection, Link>()
  readonly #stopping = new AbortController()

  constructor(
    components: RequestsComponents,
    firewall: FirewallInit,
    limits: Readonly<P2pLimits>,
    seams: NodeSeams,
  ) {
    const clock = seams.clock ?? systemClock
    this.#components = components
    this.#limits = limits
    this.#clock = clock
    this.#events = new EventHub(limits, clock)
    this.#firewall = new Firewall(firewall, { clock, limits, parsePeer: parsePeerId })
    this.#requests = new Requests({
      limits,
      clock,
      firewall: this.#firewall,
      events: this.#events,
      random: seams.random ?? ((length) => cryptoRuntime.random(length)),
      open: (peer, protocol, signal) => this.#open(peer, protocol, signal),
    })
  }

  get firewall(): FirewallControl {
    return this.#firewall
  }

  serve<M extends Methods>(
    protocol: Protocol<M>,
    handlers: Handlers<M>,
    options?: ServeOptions,
  ): Disposable {
    this.#running()
    const before = new Set(this.#requests.framings)
    const served = this.#requests.serve(protocol, handlers, options)
    const ids = this.#requests.framings.filter((id) => !before.has(id))
    const taken = ids.find((id) => this.#components.registrar.getProtocols().includes(id))
    if (taken !== undefined) {
      served[Symbol.dispose]()
      throw new TypeError(`Cannot serve ${protocol.id} as ${taken}: the node serves that already`)
    }
    for (const id of ids) this.#handle(id, this.#limits.maxFramedPerPeer).catch(() => {})
    let over = false
    return {
      [Symbol.dispose]: () => {
        if (over) return
        over = true
        served[Symbol.dispose]()
        for (const id of ids) this.#components.registrar.unhandle(id).catch(() => {})
      },
    }
  }

  client<M extends Methods>(
    protocol: Protocol<M>,
    target: Target,
    options?: ClientOptions,
  ): Client<M> {
    const found = readTarget(target)
    const reach = (signal: AbortSignal | undefined): PeerId | Promise<PeerId> => {
      this.#running()
      const { peer } = found
      return peer !== undefined && this.#requests.reaches(peer) ? peer : this.#find(found, signal)
    }
    return this.#requests.client(protocol, reach, options)
  }

  events<T extends EventType = EventType>(
    options?: EventsOptions<T>,
  ): EventStream<EventOf<T> | MissedEvent> {
    return this.#events.events(options)
  }

  async start(): Promise<void> {
    this.#running()
    this.#components.events.addEventListener('connection:open', this.#onOpen)
    await this.#handle(CHANNEL_PROTOCOL, MAX_CHANNEL_STREAMS)
  }

  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return
    this.#stopping.abort(new DOMException('The node stops', 'AbortError'))
    const { registrar, events } = this.#components
    for (const id of [CHANNEL_PROTOCOL, ...this.#requests.framings]) await registrar.unhandle(id)
    events.removeEventListener('connection:open', this.#onOpen)
    this.#requests.stopAsking()
    this.#firewall.close()
    await this.#requests.stopAnswering()
  }

  afterStop(): void {
    this.#requests.close()
    this.#events.close()
  }

  #running(): void {
    if (!this.#stopping.signal.aborted) return
    throw new P2pError('failed_precondition', 'Cannot use requests: the node has stopped', {
      layer: 'request',
    })
  }

  #handle(protocol: string, maxInboundStreams: number): Promise<void> {
    const take = (stream: Stream, connection: Connection): void => {
      this.#take(protocol, stream, connection)
    }
    const options = { runOnLimitedConnection: true, maxInboundStreams }
    return this.#components.registrar.handle(protocol, take, options)
  }

  #take(protocol: string, stream: Stream, connection: Connection): void {
    const link = this.#linkOf(connection)
    // The node's own muxer offers to everybody. A channel says itself what is not offered; a framing cannot.
    const refused =
      protocol !== CHANNEL_PROTOCOL &&
      this.#requests.offers(protocol, link.peer, () => link) !== true
    if (refused) stream.abort(new P2pError('unimplemented', 'Not offered', { layer: 'protocol' }))
    else this.#requests.take(protocol, this.#pipeOf(stream), link)
  }

  #pipeOf(stream: Stream): Opened['pipe'] {
    stream.maxReadBufferLength = Math.max(stream.maxReadBufferLength, MAX_UNREAD_BYTES)
    return pipeOf(stream)
  }

  /** Who answers there, and that libp2p knows where. */
  async #find({ peer, addresses }: Found, signal: AbortSignal | undefined): Promise<PeerId> {
    const { connectionManager, peerStore } = this.#components
    const multiaddrs = addresses.map((one) => toMultiaddr(one))
    if (peer === undefined) {
      try {
        const options = { signal: this.#either(signal) }
        const { remotePeer } = await connectionManager.openConnection(multiaddrs, options)
        return parsePeerId(remotePeer.toString())
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        throw dialError(error, undefined, addresses)
      }
    }
    const id = toLibp2pPeerId(peer)
    if (connectionManager.getConnections(id).length === 0 && multiaddrs.length > 0) {
      await peerStore.merge(id, { multiaddrs })
    }
    return peer
  }

  async #open(peer: PeerId, protocol: string, signal: AbortSignal): Promise<Opened> {
    this.#running()
    const { connectionManager } = this.#components
    const ended = this.#either(signal)
    let connection: Connection
    try {
      connection = await connectionManager.openConnection(toLibp2pPeerId(peer), { signal: ended })
    } catch (error) {
      throw dialError(error, peer, [])
    }
    try {
      const options = {
        signal: ended,
        runOnLimitedConnection: true,
        maxOutboundStreams: Math.max(MAX_CHANNEL_STREAMS, this.#limits.maxFramedPerPeer),
      }
      const stream = await connection.newStream(protocol, options)
      return { pipe: this.#pipeOf(stream), link: this.#linkOf(connection) }
    } catch (error) {
      throw streamError(error, protocol, peer)
    }
  }

  #either(signal: AbortSignal | undefined): AbortSignal {
    const { signal: stopping } = this.#stopping
    return signal === undefined ? stopping : AbortSignal.any([signal, stopping])
  }

  readonly #onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
    const { peer, facts } = this.#linkOf(connection)
    const { id, direction, remoteAddress: address, security, relayed } = facts
    const about = { peer, connection: id, address, direction }
    const names = connection.remoteAddr.getComponents().map(({ name }) => name)
    const { multiplexer: muxer = 'unknown' } = connection
    const transport = transportOf(names)
    this.#events.emit({ type: 'connected', ...about, transport, security, muxer, relayed })
    connection.addEventListener('close', ({ error, local }) => {
      const reason = error !== undefined ? 'error' : local === true ? 'closed' : 'remote_closed'
      const message = error === undefined ? {} : { message: error.message }
      this.#events.emit({ type: 'disconnected', ...about, reason, ...message })
      this.#requests.forget(peer)
    })
  }

  #linkOf(connection: Connection): Link {
    const known = this.#links.get(connection)
    if (known !== undefined) return known
    const { remoteAddr, remotePeer, encryption, id, direction } = connection
    const names = remoteAddr.getComponents().map(({ name }) => name)
    const link: Link = {
      peer: parsePeerId(remotePeer.toString()),
      facts: Object.freeze({
        id,
        direction,
        remoteAddress: addressOf(remoteAddr),
        security: encryption?.split('/')[1] ?? encryption ?? 'none',
        relayed: names.includes('p2p-circuit'),
      }),
      channels: new Set(),
      usedAtMs: this.#clock.nowMs(),
    }
    this.#links.set(connection, link)
    return link
  }
}

function streamError(error: unknown, protocol: string, peer: PeerId): P2pError {
  if (isP2pError(error)) return error
  const name = error instanceof Error ? error.name : ''
  const [code, layer] =
    name === 'UnsupportedProtocolError'
      ? (['unimplemented', 'protocol'] as const)
      : name === 'TooManyOutboundProtocolStreamsError'
        ? (['resource_exhausted', 'limit'] as const)
        : (['unavailable', 'protocol'] as const)
  const state = error instanceof Error ? error.message.slice(0, 128) : 'it failed'
  return new P2pError(code, `Cannot speak ${protocol}: ${state}`, { layer, peer, cause: error })
}
