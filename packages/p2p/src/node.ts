/**
 * `createNode()`: a peer that asks and answers typed requests. The only file that puts the parts together; each part
 * knows its own matter and nothing of the node.
 */
import type { Connection as Libp2pConnection } from '@libp2p/interface'

import { cryptoRuntime, routerRuntime } from '#runtime'

import { CHANNEL_PROTOCOL } from './channel/channel.ts'
import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { compose } from './compose.ts'
import type { Answerer, Composed, TransportFactory } from './compose.ts'
import { Admission } from './connection/admission.ts'
import type { Pipe } from './connection/pipe.ts'
import type { ConnectionInfo, RefusedConnection } from './connection/upgrader.ts'
import { Connections, reasonOf } from './connections.ts'
import type { Live, NodeConnection, Traffic } from './connections.ts'
import { Dialling } from './dialling.ts'
import { Direct } from './direct.ts'
import { Discovery } from './discovery.ts'
import { P2pError } from './errors.ts'
import { EventHub } from './events.ts'
import type {
  EventOf,
  EventsOptions,
  EventStream,
  EventType,
  MissedEvent,
  NewEvent,
} from './events.ts'
import { readExported } from './exported-node.ts'
import type { ExportedNode } from './exported-node.ts'
import type { Advertisement, FoundPeer, Wanted } from './find/find.ts'
import type { FindOptions } from './find/finding.ts'
import { Firewall } from './firewall/firewall.ts'
import type { FirewallControl } from './firewall/firewall.ts'
import { addressOf, parseAddress, parsePeerId, toMultiaddr } from './identity.ts'
import type { Address, PeerId } from './identity.ts'
import { Lifetimes } from './lifetimes.ts'
import { resolveLimits } from './limits.ts'
import type { P2pLimits } from './limits.ts'
import { Listeners } from './listeners.ts'
import { checkInit } from './node-interface.ts'
import type { DialOptions, Node, NodeInit, NodeSeams } from './node-interface.ts'
import { openIdentity } from './open-identity.ts'
import type { Identity } from './open-identity.ts'
import { sealEnvelope } from './peer-record.ts'
import type { EnvelopeKind } from './peer-record.ts'
import type { Client, Handlers, Methods, Protocol } from './protocol.ts'
import { AddressBook } from './reach/addresses.ts'
import type { AddressReachability } from './reach/reach.ts'
import { readRelays } from './reach/relay-settings.ts'
import { budgetOf, relayTransport } from './reach/relay-transport.ts'
import { isRelayListen } from './reach/relays.ts'
import type { RelayControl } from './reach/relays.ts'
import type { PortMapping } from './reach/port-mappings.ts'
import { Relaying } from './relaying.ts'
import { Requests } from './requests.ts'
import type { ClientOptions, Opened, ServeOptions } from './requests.ts'
import { securitiesOf } from './securities.ts'
import { notConnected, readTarget } from './target.ts'
import type { Target } from './target.ts'
import { platformTransports } from './transports/platform.ts'
import { Whereabouts } from './whereabouts.ts'

/** What this node says it is, to peers that ask (identify). */
const AGENT = 'stronghold/0.1.0'

/** The same as `createNode`, over the transports given. For `testing.ts`. */
export async function openNode(
  init: NodeInit,
  seams: NodeSeams,
  transports: readonly TransportFactory[],
): Promise<Node> {
  checkInit(init)
  const identity = await openIdentity(init.identity ?? { generate: 'ed25519' })
  const node = new P2pNode(init, seams, identity)
  try {
    await node.start(transports)
  } catch (error) {
    await node.stop()
    throw error
  }
  return node
}

/**
 * Makes a node and starts it; resolves when every listener is up.
 *
 * @throws `TypeError` and `RangeError` for what cannot be set up so, `P2pError` for an identity that cannot be opened or
 *   an address that cannot be listened on
 */
export function createNode(init: NodeInit = {}, seams: NodeSeams = {}): Promise<Node> {
  return openNode(init, seams, platformTransports(init))
}

class P2pNode implements Node {
  readonly peer: PeerId
  readonly book: AddressBook
  readonly #init: NodeInit
  readonly #identity: Identity
  readonly #limits: Readonly<P2pLimits>
  readonly #clock: Clock
  readonly #random: (length: number) => Uint8Array
  readonly #events: EventHub
  readonly #firewall: Firewall
  readonly #admission: Admission
  readonly #requests: Requests
  readonly #relaying: Relaying
  readonly #dialling: Dialling
  readonly #direct: Direct | undefined
  readonly #lifetimes: Lifetimes
  readonly #whereabouts: Whereabouts
  readonly #discovery: Discovery
  /** Whoever answers something else than requests. */
  readonly #answerers: readonly Answerer[]
  readonly #connections = new Connections()
  readonly #stopping = new AbortController()
  #composed: Composed | undefined
  #listeners: Listeners | undefined
  #stopped: Promise<void> | undefined

  constructor(init: NodeInit, seams: NodeSeams, identity: Identity) {
    const limits = resolveLimits(init.limits)
    const clock = seams.clock ?? systemClock
    this.#init = init
    this.#identity = identity
    this.#limits = limits
    this.#clock = clock
    this.#random = seams.random ?? ((length) => cryptoRuntime.random(length))
    this.peer = identity.peer
    this.book = new AddressBook({ limits, clock, parsePeer: parsePeerId, parseAddress })
    this.#events = new EventHub(limits, clock)
    const emit = (event: NewEvent): void => {
      this.#events.emit(event)
    }
    this.#firewall = new Firewall(init.firewall ?? {}, {
      clock,
      limits,
      parsePeer: parsePeerId,
      isBlocked: (peer) => this.#admission.isBlocked(peer),
    })
    this.#admission = new Admission({
      limits,
      // A place is reserved for whoever the owner named in a rule that lets in.
      reserved: (peer) => {
        const rule = this.#firewall.get('inbound', peer)
        return rule !== undefined && rule !== 'deny'
      },
    })
    this.#requests = new Requests({
      limits,
      clock,
      firewall: this.#firewall,
      events: this.#events,
      random: (length) => this.#random(length),
      open: (peer, protocol, signal) => this.#open(peer, protocol, signal),
    })
    const shared = {
      ...{ limits, clock, emit, connections: this.#connections, book: this.book },
      random: (length: number) => this.#random(length),
      running: () => this.#running(),
      composed: () => this.#composed,
      openOn: (live: Live, protocol: string) => this.#openOn(live, protocol),
    }
    this.#relaying = new Relaying({
      ...shared,
      identity,
      relay: init.relay ?? {},
      dialling: () => this.#dialling,
      listen: (address) => this.#listenersUp().listen(address),
      unlisten: (address) => this.unlisten(address),
      onEvent: (event) => {
        this.#onRelay(event)
      },
    })
    this.#dialling = new Dialling({
      ...shared,
      self: this.peer,
      finding: () => this.#discovery.finding,
      isBlocked: (peer) => this.#admission.isBlocked(peer),
      stopping: this.#stopping.signal,
    })
    const wants = (peer: PeerId): boolean => this.#requests.serves(peer)
    this.#direct = (init.relay?.punch ?? true) ? new Direct({ ...shared, wants }) : undefined
    this.#lifetimes = new Lifetimes({
      clock,
      connections: this.#connections,
      running: () => (this.#stopped === undefined ? this.#composed : undefined),
      needs: (peer) => this.#relaying.relays.needs(peer),
      close: (live, why) => {
        void this.#connections.close(live, why)
      },
    })
    this.#whereabouts = new Whereabouts({
      ...shared,
      reach: init.reach ?? {},
      isRelay: (init.relay?.serve ?? false) !== false,
      announce: (init.announce ?? []).map((one) => parseAddress(one)),
      routers: seams.routers ?? routerRuntime,
      usesRelay: (peer) => this.#relaying.uses(peer),
    })
    this.#discovery = new Discovery({
      ...{ ...shared, identity, find: init.find ?? {}, multicast: seams.multicast },
      dialling: () => this.#dialling,
      isBlocked: (peer) => this.#admission.isBlocked(peer),
    })
    const direct = this.#direct === undefined ? [] : [this.#direct]
    this.#answerers = [this.#relaying, ...direct, this.#whereabouts, this.#discovery]
  }

  get addresses(): Address[] {
    const { libp2p } = this.#running()
    return libp2p.getMultiaddrs().map((one) => addressOf(one))
  }

  reachability(): AddressReachability[] {
    this.#running()
    return this.#whereabouts.states()
  }

  portMappings(): PortMapping[] {
    this.#running()
    return this.#whereabouts.mappings
  }

  get firewall(): FirewallControl {
    return this.#firewall
  }

  get relay(): RelayControl {
    return this.#relaying.relays
  }

  get blocked(): PeerId[] {
    return this.#admission.blocked
  }

  get banned(): string[] {
    return this.#admission.banned
  }

  async start(transports: readonly TransportFactory[]): Promise<void> {
    const { announce = [], listen = [], resolver } = this.#init
    const custom = (this.#init.transports ?? []).map(
      (transport) => transport['~transport'] as TransportFactory,
    )
    const composed = await compose({
      identity: this.#identity,
      limits: this.#limits,
      clock: this.#clock,
      securities: securitiesOf(this.#init.security, {
        identity: this.#identity,
        clock: this.#clock,
        limits: this.#limits,
      }),
      admission: this.#admission,
      transports: [
        ...transports,
        ...custom,
        relayTransport({
          clock: this.#clock,
          dial: (relay, to, signal) => this.#relaying.relays.dial(relay, to, signal),
          listen: (address, arrivals) => this.#relaying.relays.listen(address, arrivals),
        }),
      ],
      answerers: this.#answerers,
      services: await this.#discovery.services(),
      resolver,
      announce: announce.map((one) => parseAddress(one)),
      agent: AGENT,
      offers: (protocol, info) => this.#offers(protocol, info),
      onPipe: (protocol, pipe, info) => this.#onPipe(protocol, pipe, info),
      onRefused: (refused) => {
        this.#onRefused(refused)
      },
      alsoAnnounced: () => this.#whereabouts.announced.map((one) => toMultiaddr(one)),
      onObserved: (address, connection) => {
        this.#onObserved(addressOf(address), connection)
      },
    })
    this.#composed = composed
    const { libp2p } = composed
    libp2p.addEventListener('connection:open', ({ detail }) => {
      this.#onOpen(detail)
    })
    libp2p.addEventListener('peer:identify', ({ detail }) => {
      const info = composed.upgrader.infoOf(detail.connection)
      if (info === undefined) return
      const told = detail.listenAddrs.map((one) => addressOf(one))
      this.#events.emit({
        type: 'peerIdentified',
        peer: info.peer,
        connection: this.#connections.of(info).info.id,
        protocols: detail.protocols,
        addresses: told,
        ...(detail.agentVersion === undefined ? {} : { agent: detail.agentVersion }),
      })
      if (info.relayed) this.#direct?.lead(info, told, detail.protocols)
      else this.#whereabouts.met(info, detail.protocols)
    })
    libp2p.addEventListener('self:peer:update', () => {
      this.#discovery.finding.refresh()
    })
    await libp2p.start()
    this.#listeners = new Listeners(composed.parts.transportManager, this.#events)
    for (const address of listen) await this.listen(address)
    for (const address of this.#init.relay?.use ?? []) await this.#relaying.relays.use(address)
    await this.#discovery.start()
    if (this.#limits.idleTimeoutMs > 0) this.#lifetimes.watchIdle(this.#limits.idleTimeoutMs)
  }

  serve<M extends Methods>(
    protocol: Protocol<M>,
    handlers: Handlers<M>,
    options?: ServeOptions,
  ): Disposable {
    this.#running()
    return this.#requests.serve(protocol, handlers, options)
  }

  client<M extends Methods>(
    protocol: Protocol<M>,
    target: Target,
    options?: ClientOptions,
  ): Client<M> {
    const found = readTarget(target)
    const { peer, addresses } = found
    const reach = (signal: AbortSignal | undefined): PeerId | Promise<PeerId> => {
      this.#running()
      if (peer === undefined) return this.#dialling.connect(found, signal).then((live) => live.peer)
      // The book may have forgotten what the caller still knows.
      if (!this.#requests.reaches(peer)) this.#dialling.dialable(peer, addresses)
      return peer
    }
    return this.#requests.client(protocol, reach, options)
  }

  events<T extends EventType = EventType>(
    options?: EventsOptions<T>,
  ): EventStream<EventOf<T> | MissedEvent> {
    return this.#events.events(options)
  }

  async connect(target: Target, options: DialOptions = {}): Promise<NodeConnection> {
    return (await this.#dialling.connect(readTarget(target), options.signal)).info
  }

  async disconnect(peer: PeerId): Promise<void> {
    const all = this.#connections.list(peer)
    await Promise.all(all.map((live) => this.#connections.close(live, 'closed')))
  }

  connections(peer?: PeerId): NodeConnection[] {
    return this.#connections.list(peer).map(({ info }) => info)
  }

  traffic({ peer, id }: NodeConnection): Traffic | undefined {
    const live = this.#connections.list(peer).find(({ info }) => info.id === id)
    const connection = live?.connection
    const muxer =
      connection === undefined ? undefined : this.#composed?.upgrader.muxerOf(connection)
    if (muxer === undefined) return undefined
    const { receivedBytes, sentBytes } = muxer
    return Object.freeze({ receivedBytes, sentBytes })
  }

  find(wanted?: Wanted, options?: FindOptions): AsyncIterableIterator<FoundPeer, undefined> {
    this.#running()
    return this.#discovery.finding.find(wanted, options)
  }

  advertise(namespace: string): Advertisement {
    this.#running()
    return this.#discovery.finding.advertise(namespace)
  }

  async ping(peer: PeerId, options: DialOptions = {}): Promise<number> {
    const { libp2p, upgrader } = this.#running()
    const live = this.#connections.best(peer)
    if (live?.connection === undefined) throw notConnected(peer)
    // Every muxer answers pings; a peer need not know libp2p's protocol for it.
    const muxer = upgrader.muxerOf(live.connection)
    if (muxer !== undefined) return muxer.ping(options.signal)
    return libp2p.services.ping.ping(live.connection, options.signal)
  }

  async listen(address: string): Promise<Address[]> {
    this.#running()
    const parsed = parseAddress(address)
    const opened = await this.#listenersUp().listen(parsed)
    if (isRelayListen(parsed)) return this.#reserved(parsed)
    this.#whereabouts.listening()
    this.#events.emit({ type: 'addressesChanged', addresses: this.addresses })
    return opened
  }

  async unlisten(address: string): Promise<boolean> {
    const stopped = await this.#listenersUp().unlisten(parseAddress(address))
    if (stopped) this.#events.emit({ type: 'addressesChanged', addresses: this.addresses })
    this.#whereabouts.listening()
    return stopped
  }

  block(peer: PeerId): void {
    const id = parsePeerId(peer)
    this.#connections.mark(this.#connections.list(id), 'blocked')
    this.#running().upgrader.block(id)
    this.#firewall.recheck(id)
    this.#requests.drop(id)
  }

  unblock(peer: PeerId): boolean {
    return this.#admission.unblock(parsePeerId(peer))
  }

  ban(address: string): void {
    this.#running().upgrader.ban(address)
  }

  unban(address: string): boolean {
    return this.#admission.unban(address)
  }

  export(): ExportedNode {
    return {
      version: 1,
      firewall: this.#firewall.export(),
      blocked: this.blocked,
      banned: this.banned,
      book: this.book.export(),
      relay: this.#relaying.relays.export(),
    }
  }

  async restore(exported: unknown): Promise<void> {
    const { firewall, blocked, banned, book, relay } = readExported(exported)
    const relays = readRelays(relay)
    this.#relaying.relays.checkRestore(relays)
    this.#firewall.restore(firewall)
    this.book.import(book)
    for (const peer of blocked) this.block(parsePeerId(peer))
    for (const address of banned) this.ban(address)
    await this.#relaying.relays.restore(relays)
  }

  async sealEnvelope(kind: EnvelopeKind, payload: Uint8Array): Promise<Uint8Array> {
    // Its length goes ahead of the domain: a longer one could make it the beginning of what handshakes sign.
    if (!/^[\x21-\x7e]{1,64}$/.test(kind.domain) || kind.domain.startsWith('libp2p')) {
      throw new RangeError(
        `Cannot seal envelope: ${JSON.stringify(kind.domain.slice(0, 64))} is no domain for it`,
      )
    }
    return sealEnvelope(this.#identity, kind, payload)
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(): Promise<void> {
    this.#lifetimes.stop()
    this.#whereabouts.stop()
    this.#stopping.abort(new DOMException('The node stops', 'AbortError'))
    this.#requests.stopAsking()
    await this.#discovery.stop()
    this.#firewall.close()
    this.#direct?.close()
    await this.#whereabouts.close()
    this.#relaying.relays.close()
    await this.#requests.stopAnswering()
    this.#connections.mark(this.#connections.list(), 'closed')
    await this.#composed?.libp2p.stop()
    this.#requests.close()
    this.#events.close()
  }

  #running(): Composed {
    if (this.#composed === undefined || this.#stopped !== undefined) {
      throw new P2pError('failed_precondition', 'Cannot use the node: it has stopped', {
        layer: 'request',
      })
    }
    return this.#composed
  }

  #listenersUp(): Listeners {
    this.#running()
    if (this.#listeners === undefined)
      throw new TypeError('Cannot listen: the node has not started')
    return this.#listeners
  }

  #onOpen(connection: Libp2pConnection): void {
    const info = this.#composed?.upgrader.infoOf(connection)
    if (info === undefined) return
    const live = this.#connections.of(info)
    live.connection = connection
    live.budget = budgetOf(connection)
    if (info.relayed) this.#lifetimes.watchTired(live)
    else this.#direct?.came(info.peer)
    const { peer, direction, remoteAddress: address, transport, security, muxer, relayed } = info
    const about = { peer, connection: live.info.id, address, direction }
    this.#events.emit({ type: 'connected', ...about, transport, security, muxer, relayed })
    connection.addEventListener('close', (event) => {
      this.#connections.remove(info)
      this.#whereabouts.ended(live)
      const reason = reasonOf(live, event.error)
      const message = event.error === undefined ? {} : { message: event.error.message }
      this.#events.emit({ type: 'disconnected', ...about, reason, ...message })
      this.#requests.forget(peer)
      if (this.#connections.list(peer).some((one) => !one.info.relayed)) return
      this.#relaying.relays.gone(peer)
      this.#whereabouts.gone(peer)
    })
  }

  #onRefused({ direction, address, reason, error, peer }: RefusedConnection): void {
    const who = peer === undefined ? {} : { peer }
    this.#events.emit({
      type: 'refused',
      direction,
      address,
      reason,
      message: error.message,
      ...who,
    })
  }

  #onObserved(address: Address, connection: Libp2pConnection): void {
    const info = this.#composed?.upgrader.infoOf(connection)
    if (info === undefined) return
    this.#events.emit({ type: 'observedAddress', peer: info.peer, address })
    this.#whereabouts.seen(address, info)
  }

  /** What was listened on, once the relay granted it; where it did not, nothing is left. */
  async #reserved(address: Address): Promise<Address[]> {
    try {
      const opened = await this.#relaying.relays.reserved(address)
      for (const one of opened) this.#events.emit({ type: 'listening', address: one })
      return [...opened]
    } catch (error) {
      await this.#listeners?.unlisten(address)
      const message = error instanceof Error ? error.message : String(error)
      this.#events.emit({ type: 'listenError', address, message })
      throw error
    }
  }

  #onRelay(event: NewEvent): void {
    this.#events.emit(event)
    if (this.#composed === undefined || this.#stopped !== undefined) return
    this.#events.emit({ type: 'addressesChanged', addresses: this.addresses })
  }

  #offers(protocol: string, info: ConnectionInfo): boolean {
    if (this.#admission.isBlocked(info.peer)) return false
    const ours = this.#requests.offers(protocol, info.peer, () => this.#connections.of(info))
    if (ours !== undefined) return ours
    return this.#composed?.parts.registrar.getProtocols().includes(protocol) === true
  }

  #onPipe(protocol: string, pipe: Pipe, info: ConnectionInfo): boolean {
    if (this.#requests.take(protocol, pipe, this.#connections.of(info))) return true
    return this.#answerers.some((one) => one.take(protocol, pipe, info))
  }

  async #open(peer: PeerId, protocol: string, signal: AbortSignal): Promise<Opened> {
    let link: Live
    try {
      link = await this.#dialling.connect({ peer, addresses: [] }, signal)
    } catch (error) {
      // A channel that there is goes on by itself; what needs a stream of its own takes what is left of a budget.
      const tired = this.#connections.best(peer, true)
      if (protocol === CHANNEL_PROTOCOL || tired === undefined || signal.aborted) throw error
      link = tired
    }
    return { pipe: this.#openOn(link, protocol), link }
  }

  #openOn({ peer, connection }: Live, protocol: string): Pipe {
    const muxer =
      connection === undefined ? undefined : this.#running().upgrader.muxerOf(connection)
    if (muxer === undefined) throw notConnected(peer)
    return muxer.openPipe(protocol)
  }
}
