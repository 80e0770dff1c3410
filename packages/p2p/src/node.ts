/**
 * `createNode()`: a peer that asks and answers typed requests. The only file that puts the parts together; each part
 * knows its own matter and nothing of the node.
 */
import type { Connection as Libp2pConnection } from '@libp2p/interface'

import { cryptoRuntime, routerRuntime, transportRuntime } from '#runtime'

import { CHANNEL_PROTOCOL } from './channel/channel.ts'
import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { compose } from './compose.ts'
import type { Composed, TransportFactory } from './compose.ts'
import { Admission } from './connection/admission.ts'
import { pipeOf } from './connection/message-stream.ts'
import type { Pipe } from './connection/pipe.ts'
import type { ConnectionInfo, RefusedConnection } from './connection/upgrader.ts'
import { Connections } from './connections.ts'
import type { Live, NodeConnection, Traffic } from './connections.ts'
import { Dialling } from './dialling.ts'
import { Direct } from './direct.ts'
import type { DirectInit } from './direct.ts'
import { isP2pError, P2pError } from './errors.ts'
import { EventHub } from './events.ts'
import type {
  DisconnectReason,
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
import { Finding } from './find/finding.ts'
import type { FindOptions } from './find/finding.ts'
import { waysOf } from './find/ways.ts'
import type { Ways } from './find/ways.ts'
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
import { DIAL_BACK_PROTOCOL } from './reach/autonat-message.ts'
import type { DialledBack } from './reach/dial-back.ts'
import { ipOf, Observed } from './reach/observed.ts'
import { PUNCH_PROTOCOL } from './reach/punch.ts'
import { Reach } from './reach/reach.ts'
import type { AddressReachability } from './reach/reach.ts'
import type { RelayLink } from './reach/relay-client.ts'
import { readRelays } from './reach/relay-settings.ts'
import { budgetOf, relayTransport } from './reach/relay-transport.ts'
import { isRelayListen, Relays } from './reach/relays.ts'
import type { RelayControl } from './reach/relays.ts'
import type { PortMapping } from './reach/port-mappings.ts'
import type { RouterRuntime } from './runtime/routers.ts'
import { scopeOf } from './reach/scope.ts'
import { Requests } from './requests.ts'
import type { ClientOptions, Opened, ServeOptions } from './requests.ts'
import { securitiesOf } from './securities.ts'
import { notConnected, nowhere, readTarget } from './target.ts'
import type { Target } from './target.ts'

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

function platformTransports(init: NodeInit): TransportFactory[] {
  const limits = resolveLimits(init.limits)
  const { resolver, webSocketCertificate: certificate, webSocketAuthorities: ca } = init
  const names = resolver === undefined ? {} : { resolver }
  const { tcp, webSocket } = transportRuntime
  const trust = ca === undefined ? {} : { trust: { ca: typeof ca === 'string' ? ca : [...ca] } }
  return [
    ...(tcp === undefined ? [] : [tcp({ limits, ...names })]),
    webSocket({
      limits,
      ...names,
      ...trust,
      ...(certificate === undefined ? {} : { certificate }),
    }),
  ]
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
  readonly #relays: Relays
  readonly #dialling: Dialling
  readonly #direct: Direct | undefined
  readonly #lifetimes: Lifetimes
  readonly #reach: Reach
  readonly #ways: Ways
  readonly #finding: Finding
  readonly #connections = new Connections()
  readonly #observed: Observed
  #observedNow: readonly Address[] = []
  readonly #confirmed = new Set<Address>()
  #stopObserved: (() => void) | undefined
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
    this.#observed = new Observed({ limits })
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
    this.#relays = new Relays({
      identity,
      limits,
      clock,
      init: init.relay ?? {},
      random: (length) => this.#random(length),
      known: () => this.book.dialingRelays(),
      connect: (relay, signal) => this.#connectRelay(relay, signal),
      open: (peer, protocol) => this.#openDirect(peer, protocol),
      addresses: () => this.#directAddresses(),
      listen: (address) => this.#listenersUp().listen(address),
      unlisten: (address) => this.unlisten(address),
      emit: (event) => {
        this.#onRelay(event)
      },
    })
    this.#dialling = new Dialling({
      limits,
      clock,
      self: this.peer,
      book: this.book,
      connections: this.#connections,
      finding: () => this.#finding,
      isBlocked: (peer) => this.#admission.isBlocked(peer),
      running: () => this.#running(),
      stopping: this.#stopping.signal,
      emit,
    })
    this.#direct = (init.relay?.punch ?? true) ? new Direct(this.#directInit(emit)) : undefined
    this.#lifetimes = new Lifetimes({
      clock,
      connections: this.#connections,
      running: () => (this.#stopped === undefined ? this.#composed : undefined),
      needs: (peer) => this.#relays.needs(peer),
      close: (live, why) => {
        void this.#close(live, why)
      },
    })
    this.#reach = new Reach(this.#reachParts(limits, seams.routers ?? routerRuntime))
    this.#ways = waysOf(init.find ?? {}, {
      peer: this.peer,
      clock,
      limits,
      random: (length) => this.#random(length),
      multicast: seams.multicast,
      identity,
      open: async (to, protocol, signal) => {
        if (to.peer !== undefined) this.#dialling.dialable(to.peer, to.addresses)
        // Not by what is found: this is how it is found.
        const live = await this.#dialling.connectKnown(to, signal)
        return this.#openOn(live, protocol)
      },
      connect: (to, signal) => this.#dialling.connectKnown(to, signal),
      addresses: () => this.#ownAddresses(),
      onFound: (found) => {
        this.#keep(found)
      },
      onProblem: (source, message) => {
        this.#events.emit({ type: 'findFailed', source, message })
      },
    })
    this.#finding = new Finding({
      clock,
      limits,
      ...this.#ways,
      addresses: () => this.#ownAddresses(),
      parsePeer: parsePeerId,
      wants: (peer) => peer !== this.peer && !this.#admission.isBlocked(peer),
      onFound: (found) => {
        this.#keep(found)
        this.#events.emit({ type: 'found', ...found })
      },
      onFailed: (source, error) => {
        const message = error instanceof Error ? error.message : String(error)
        this.#events.emit({ type: 'findFailed', source, message })
      },
    })
  }

  get addresses(): Address[] {
    const { libp2p } = this.#running()
    return libp2p.getMultiaddrs().map((one) => addressOf(one))
  }

  reachability(): AddressReachability[] {
    this.#running()
    return this.#reach.states()
  }

  portMappings(): PortMapping[] {
    this.#running()
    return this.#reach.mappings
  }

  get firewall(): FirewallControl {
    return this.#firewall
  }

  get relay(): RelayControl {
    return this.#relays
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
          dial: (relay, to, signal) => this.#relays.dial(relay, to, signal),
          listen: (address, arrivals) => this.#relays.listen(address, arrivals),
        }),
      ],
      services: await this.#ways.services(),
      resolver,
      announce: announce.map((one) => parseAddress(one)),
      agent: AGENT,
      offers: (protocol, info) => this.#offers(protocol, info),
      onPipe: (protocol, pipe, info) => this.#onPipe(protocol, pipe, info),
      onRefused: (refused) => {
        this.#onRefused(refused)
      },
      alsoAnnounced: () => this.#observedNow.map((one) => toMultiaddr(one)),
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
      this.#events.emit({
        type: 'peerIdentified',
        peer: info.peer,
        connection: this.#connections.of(info).info.id,
        protocols: detail.protocols,
        addresses: detail.listenAddrs.map((one) => addressOf(one)),
        ...(detail.agentVersion === undefined ? {} : { agent: detail.agentVersion }),
      })
      const told = detail.listenAddrs.map((one) => addressOf(one))
      if (info.relayed) this.#direct?.lead(info, told, detail.protocols)
      else this.#meetChecker(info, detail.protocols)
    })
    libp2p.addEventListener('self:peer:update', () => {
      this.#finding.refresh()
    })
    for (const protocol of this.#relays.protocols) {
      await composed.parts.registrar.handle(
        protocol,
        (stream, connection) => {
          const info = composed.upgrader.infoOf(connection)
          const taken = info !== undefined && this.#takeRelay(protocol, pipeOf(stream), info)
          if (!taken) stream.abort(new Error('not taken'))
        },
        { maxInboundStreams: Infinity, maxOutboundStreams: Infinity },
      )
    }
    const direct = this.#direct
    if (direct !== undefined) {
      await composed.parts.registrar.handle(
        PUNCH_PROTOCOL,
        (stream, connection) => {
          const info = composed.upgrader.infoOf(connection)
          const taken = info !== undefined && direct.take(PUNCH_PROTOCOL, pipeOf(stream), info)
          if (!taken) stream.abort(new Error('not taken'))
        },
        { maxInboundStreams: Infinity, maxOutboundStreams: Infinity, runOnLimitedConnection: true },
      )
    }
    for (const protocol of this.#reach.protocols) {
      await composed.parts.registrar.handle(
        protocol,
        (stream, connection) => {
          const info = composed.upgrader.infoOf(connection)
          const taken = info !== undefined && this.#takeReach(protocol, pipeOf(stream), info)
          if (!taken) stream.abort(new Error('not taken'))
        },
        { maxInboundStreams: Infinity, maxOutboundStreams: Infinity },
      )
    }
    for (const protocol of this.#ways.serves.keys()) {
      await composed.parts.registrar.handle(
        protocol,
        (stream, connection) => {
          const info = composed.upgrader.infoOf(connection)
          const taken = info !== undefined && this.#takeServed(protocol, pipeOf(stream), info)
          if (!taken) stream.abort(new Error('not taken'))
        },
        { maxInboundStreams: Infinity, maxOutboundStreams: Infinity, runOnLimitedConnection: true },
      )
    }
    await libp2p.start()
    this.#listeners = new Listeners(composed.parts.transportManager, this.#events)
    for (const address of listen) await this.listen(address)
    for (const address of this.#init.relay?.use ?? []) await this.#relays.use(address)
    await this.#ways.start()
    const { find } = this.#init
    if (find !== undefined && find.announce !== false && this.#ways.advertisers.length > 0) {
      this.#finding.advertise()
    }
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
    await Promise.all(this.#connections.list(peer).map((live) => this.#close(live, 'closed')))
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
    return this.#finding.find(wanted, options)
  }

  advertise(namespace: string): Advertisement {
    this.#running()
    return this.#finding.advertise(namespace)
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
    this.#reach.listening()
    this.#events.emit({ type: 'addressesChanged', addresses: this.addresses })
    return opened
  }

  async unlisten(address: string): Promise<boolean> {
    const stopped = await this.#listenersUp().unlisten(parseAddress(address))
    if (stopped) this.#events.emit({ type: 'addressesChanged', addresses: this.addresses })
    this.#reach.listening()
    return stopped
  }

  block(peer: PeerId): void {
    const id = parsePeerId(peer)
    this.#mark(this.#connections.list(id), 'blocked')
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
      relay: this.#relays.export(),
    }
  }

  async restore(exported: unknown): Promise<void> {
    const { firewall, blocked, banned, book, relay } = readExported(exported)
    const relays = readRelays(relay)
    this.#relays.checkRestore(relays)
    this.#firewall.restore(firewall)
    this.book.import(book)
    for (const peer of blocked) this.block(parsePeerId(peer))
    for (const address of banned) this.ban(address)
    await this.#relays.restore(relays)
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
    this.#stopObserved?.()
    this.#stopping.abort(new DOMException('The node stops', 'AbortError'))
    this.#requests.stopAsking()
    await this.#finding.stop()
    await this.#ways.stop()
    this.#firewall.close()
    this.#direct?.close()
    await this.#reach.close()
    this.#relays.close()
    await this.#requests.stopAnswering()
    this.#mark(this.#connections.list(), 'closed')
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

  // Connections

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
      this.#observed.ended(live.info.id, this.#clock.nowMs())
      if (this.#observedNow.length > 0) this.#judge()
      const reason = live.why ?? reasonOf(event.error)
      const message = event.error === undefined ? {} : { message: event.error.message }
      this.#events.emit({ type: 'disconnected', ...about, reason, ...message })
      this.#requests.forget(peer)
      if (this.#connections.list(peer).some((one) => !one.info.relayed)) return
      this.#relays.gone(peer)
      this.#reach.gone(peer)
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

  /**
   * What a connection that came in shows is where we listen. One that went out shows the port it left from, where
   * nobody listens.
   */
  #onObserved(address: Address, connection: Libp2pConnection): void {
    const info = this.#composed?.upgrader.infoOf(connection)
    if (info === undefined) return
    const { peer, direction, relayed, remoteAddress: from } = info
    this.#events.emit({ type: 'observedAddress', peer, address })
    if (relayed) return
    const live = this.#connections.of(info)
    live.observed = bareOf(address)
    const { announce = [] } = this.#init
    if (announce.length > 0) return
    const told = { connection: live.info.id, observer: peer, from, address: live.observed }
    const heard = direction === 'inbound' && this.#observed.tell(told, this.#clock.nowMs())
    if (heard) this.#judge()
    this.#reach.pump()
  }

  /** Announces what enough peers agree on or could dial, and no more what they do not or could not. */
  #judge(): void {
    if (this.#composed === undefined || this.#stopped !== undefined) return
    const { addressManager } = this.#composed.parts
    const nowMs = this.#clock.nowMs()
    const before = this.#observedNow
    const now = this.#worthAnnouncing(nowMs)
    const known = this.addresses.map((one) => bareOf(one))
    this.#observedNow = now
    this.#stopObserved?.()
    const next = this.#observed.nextExpiryMs
    this.#stopObserved =
      next === undefined
        ? undefined
        : this.#clock.setTimer(Math.max(1, next - nowMs), () => {
            this.#judge()
          })
    if (now.join() === before.join()) return
    for (const one of [...this.#confirmed]) {
      if (now.includes(one)) continue
      this.#confirmed.delete(one)
      addressManager.removeObservedAddr(toMultiaddr(one))
    }
    // An address of an interface may be known and not announced as long as nobody confirmed it.
    for (const one of now) {
      if (known.includes(one)) continue
      this.#confirmed.add(one)
      addressManager.confirmObservedAddr(toMultiaddr(one), { type: 'transport', ttl: CONFIRMED_MS })
    }
    this.#events.emit({ type: 'addressesChanged', addresses: this.addresses })
  }

  #worthAnnouncing(nowMs: number): Address[] {
    if ((this.#init.announce ?? []).length > 0) return []
    const dialled = this.#reach.states().filter(({ state }) => state === 'reachable')
    const all = [...this.#observed.judged(nowMs), ...dialled.map(({ address }) => address)]
    return [...new Set(all)].filter((one) => this.#reach.stateOf(one) !== 'unreachable')
  }

  /** As `addresses`, also of a node that no longer runs: goodbyes are said then. */
  #ownAddresses(): Address[] {
    return this.#composed?.libp2p.getMultiaddrs().map((one) => addressOf(one)) ?? []
  }

  /** What was found goes into the book, where it pushes out nothing that works. */
  #keep({ peer, addresses, expiresAtMs }: FoundPeer): void {
    if (peer === this.peer || this.#admission.isBlocked(peer)) return
    const ttlMs = Math.min(expiresAtMs - this.#clock.nowMs(), this.#limits.maxFoundTtlMs)
    if (ttlMs > 0) this.book.add(peer, addresses, { source: 'discovery', ttlMs })
  }

  async #close(live: Live, why: DisconnectReason): Promise<void> {
    live.why ??= why
    await live.connection?.close().catch((error: unknown) => {
      live.connection?.abort(error instanceof Error ? error : new Error(String(error)))
    })
  }

  #mark(lives: readonly Live[], why: DisconnectReason): void {
    for (const live of lives) live.why ??= why
  }

  // Relays

  /** What was listened on, once the relay granted it; where it did not, nothing is left. */
  async #reserved(address: Address): Promise<Address[]> {
    try {
      const opened = await this.#relays.reserved(address)
      for (const one of opened) this.#events.emit({ type: 'listening', address: one })
      return [...opened]
    } catch (error) {
      await this.#listeners?.unlisten(address)
      const message = error instanceof Error ? error.message : String(error)
      this.#events.emit({ type: 'listenError', address, message })
      throw error
    }
  }

  async #connectRelay(relay: Address, signal: AbortSignal): Promise<RelayLink> {
    const live = await this.#dialling.connect(readTarget(relay), signal, true)
    const { connection, peer } = live
    if (connection === undefined) throw notConnected(peer)
    const address = bareOf(live.info.remoteAddress)
    return {
      peer,
      address: `${address}/p2p/${peer}` as Address,
      open: (protocol) => this.#openOn(live, protocol),
      closed: new Promise((resolve) => {
        connection.addEventListener('close', () => {
          resolve()
        })
        if (connection.status !== 'open') resolve()
      }),
    }
  }

  #openDirect(peer: PeerId, protocol: string): Pipe | undefined {
    const direct = this.#connections
      .list(peer)
      .findLast((one) => !one.info.relayed && !one.passing && one.connection?.status === 'open')
    return direct === undefined ? undefined : this.#openOn(direct, protocol)
  }

  #directAddresses(): Uint8Array[] {
    const all = this.#composed?.libp2p.getMultiaddrs() ?? []
    const names = all.map((one) => ({ one, text: one.toString() }))
    return names.filter(({ text }) => !text.includes('/p2p-circuit')).map(({ one }) => one.bytes)
  }

  #takeRelay(protocol: string, pipe: Pipe, info: ConnectionInfo): boolean {
    const { peer, remoteAddress, relayed } = info
    const address = bareOf(remoteAddress)
    return this.#relays.take(protocol, pipe, { peer, address, relayed })
  }

  #onRelay(event: NewEvent): void {
    this.#events.emit(event)
    if (this.#composed === undefined || this.#stopped !== undefined) return
    this.#events.emit({ type: 'addressesChanged', addresses: this.addresses })
  }

  #directInit(emit: (event: NewEvent) => void): DirectInit {
    return {
      limits: this.#limits,
      clock: this.#clock,
      book: this.book,
      connections: this.#connections,
      running: () => this.#running(),
      wants: (peer) => this.#requests.serves(peer),
      openOn: (live, protocol) => this.#openOn(live, protocol),
      emit,
    }
  }

  // Whether we are reached

  #reachParts(
    limits: Readonly<P2pLimits>,
    routers: RouterRuntime | undefined,
  ): ConstructorParameters<typeof Reach>[0] {
    const { reach = {}, relay = {} } = this.#init
    const { check = true, dialBack = (relay.serve ?? false) !== false } = reach
    return {
      ...{ limits, clock: this.#clock, check, dialBack },
      privately: reach.private === true,
      mapPorts: reach.mapPorts === true,
      routers,
      announced: (this.#init.announce ?? []).map((one) => bareOf(parseAddress(one))),
      random: (length) => this.#random(length),
      listened: () => this.#listened(),
      supposed: () => this.#supposed(),
      speaks: (version) => this.#speaks(version),
      dial: (address, signal) => this.#dialBack(address, signal),
      onChange: () => {
        this.#judge()
      },
      emit: (event) => {
        this.#events.emit(event)
      },
    }
  }

  /** Where peers see us; and the ports listened on at the address that we come from. */
  #supposed(): Address[] {
    const seen = this.#connections
      .list()
      .flatMap(({ info, observed }) => (info.direction === 'inbound' ? [] : (observed ?? [])))
    const listened = this.#listened()
    const guessed = seen.flatMap((one) => listened.map((here) => atHostOf(one, here)))
    const told = this.#observed.told(this.#clock.nowMs())
    return [...told, ...guessed.filter((one) => one !== undefined)]
  }

  #listened(): Address[] {
    const listeners = this.#composed?.parts.transportManager.getListeners() ?? []
    const all = listeners.flatMap((one) => one.getAddrs())
    return all.map((one) => bareOf(parseAddress(one.toString())))
  }

  #speaks(version: 4 | 6): boolean {
    const remote = this.#connections.list().filter(({ info }) => info.direction === 'outbound')
    const all = [...this.#listened(), ...remote.map(({ info }) => info.remoteAddress)]
    return all.some((one) => {
      const scope = scopeOf(one)
      // Behind a router that translates, IPv4 has a private address only.
      return (
        ipOf(one)?.version === version &&
        (scope === 'public' || (scope === 'private' && version === 4))
      )
    })
  }

  async #dialBack(address: Address, signal: AbortSignal): Promise<DialledBack> {
    const { parts, upgrader } = this.#running()
    const connection = await parts.transportManager.dial(toMultiaddr(address), { signal })
    const info = upgrader.infoOf(connection)
    if (info === undefined) throw nowhere(undefined)
    const live = this.#connections.of(info)
    live.passing = true
    return {
      open: (protocol) => this.#openOn(live, protocol),
      close: () => {
        void this.#close(live, 'closed')
      },
    }
  }

  #meetChecker({ peer, remoteAddress }: ConnectionInfo, protocols: readonly string[]): void {
    const address = bareOf(remoteAddress)
    const trusted = (): boolean => this.#relays.status().relays.some(({ relay }) => relay === peer)
    const open = (protocol: string): Pipe => {
      const pipe = this.#openDirect(peer, protocol)
      if (pipe === undefined) throw notConnected(peer)
      return pipe
    }
    this.#reach.met({ peer, address, trusted, open }, protocols)
  }

  #takeReach(protocol: string, pipe: Pipe, info: ConnectionInfo): boolean {
    if (!this.#reach.take(protocol, pipe, info)) return false
    if (protocol === DIAL_BACK_PROTOCOL) this.#connections.of(info).passing = true
    return true
  }

  // Requests

  #offers(protocol: string, info: ConnectionInfo): boolean {
    if (this.#admission.isBlocked(info.peer)) return false
    const ours = this.#requests.offers(protocol, info.peer, () => this.#connections.of(info))
    if (ours !== undefined) return ours
    return this.#composed?.parts.registrar.getProtocols().includes(protocol) === true
  }

  #onPipe(protocol: string, pipe: Pipe, info: ConnectionInfo): boolean {
    return (
      this.#requests.take(protocol, pipe, this.#connections.of(info)) ||
      this.#takeRelay(protocol, pipe, info) ||
      this.#direct?.take(protocol, pipe, info) === true ||
      this.#takeReach(protocol, pipe, info) ||
      this.#takeServed(protocol, pipe, info)
    )
  }

  /** What a way of finding answers. */
  #takeServed(protocol: string, pipe: Pipe, { peer }: ConnectionInfo): boolean {
    const serve = this.#ways.serves.get(protocol)
    serve?.(pipe, peer)
    return serve !== undefined
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

// Ours: what is confirmed here is taken back here.
const CONFIRMED_MS = 0x7fffffff

/** Without the peer id at its end. */
function bareOf(address: Address): Address {
  return address.replace(/\/p2p\/[^/]+$/, '') as Address
}

/** An address listened on, at the host of another of the same IP version. */
function atHostOf(seen: Address, listened: Address): Address | undefined {
  const [, kind, host] = seen.split('/')
  const parts = listened.split('/')
  if (parts[1] !== kind || host === undefined) return undefined
  return ['', kind, host, ...parts.slice(3)].join('/') as Address
}

const REASONS: Readonly<Record<string, DisconnectReason>> = { banned: 'banned', blocked: 'blocked' }

function reasonOf(error: Error | undefined): DisconnectReason {
  if (error === undefined) return 'remote_closed'
  if (!isP2pError(error)) return 'error'
  if (error.layer === 'relay') return 'limit'
  if (error.reason !== undefined) return REASONS[error.reason] ?? 'error'
  return 'error'
}
