/**
 * What a node is, and what it is made from: the words that whoever uses one reads. Nothing here does anything but
 * refuse what is no set-up.
 */
import type { Clock } from './clock.ts'
import type { NodeConnection, Traffic } from './connections.ts'
import type { EventOf, EventsOptions, EventStream, EventType, MissedEvent } from './events.ts'
import type { ExportedNode } from './exported-node.ts'
import type { Advertisement, FoundPeer, Wanted } from './find/find.ts'
import type { FindOptions } from './find/finding.ts'
import { checkFind } from './find/ways.ts'
import type { FindInit } from './find/ways.ts'
import type { FirewallControl } from './firewall/firewall.ts'
import type { FirewallInit } from './firewall/rules.ts'
import type { Address, PeerId } from './identity.ts'
import type { P2pLimits } from './limits.ts'
import type { IdentitySource } from './open-identity.ts'
import type { EnvelopeKind } from './peer-record.ts'
import type { Client, Handlers, Methods, Protocol } from './protocol.ts'
import type { AddressBook } from './reach/addresses.ts'
import type { PortMapping } from './reach/port-mappings.ts'
import { checkReachInit } from './reach/reach.ts'
import type { AddressReachability, ReachInit } from './reach/reach.ts'
import { checkRelayInit } from './reach/relays.ts'
import type { RelayControl, RelayInit } from './reach/relays.ts'
import type { ClientOptions, ServeOptions } from './requests.ts'
import type { MulticastRuntime } from './runtime/multicast.ts'
import type { RouterRuntime } from './runtime/routers.ts'
import type { SecurityName } from './securities.ts'
import type { Target } from './target.ts'
import type { Resolver } from './transports/dns.ts'

/** How a node is set up. Everything is optional. */
export interface NodeInit {
  /** Default: a new Ed25519 key that lives as long as the node. */
  identity?: IdentitySource
  /** Where to listen. Default: nowhere. */
  listen?: readonly string[]
  /** Addresses to announce in the place of those listened on, as behind a router. */
  announce?: readonly string[]
  /** Security channels in order of preference. Default: noise, tls where there is one. */
  security?: readonly SecurityName[]
  /** Default: nobody may ask us, we may ask everybody. */
  firewall?: FirewallInit
  limits?: Partial<P2pLimits>
  /** Certificate and key (PEM) for listening on `/wss` and `/tls/ws`. */
  webSocketCertificate?: { key: string; cert: string }
  /** Authorities (PEM) trusted when dialling `/wss`; the peer id is verified in any case. Default: the platform's. */
  webSocketAuthorities?: string | readonly string[]
  /** Asked for names in addresses. Default: the system's. */
  resolver?: Resolver
  /** How peers are found, and we by them. Default: not at all. */
  find?: FindInit
  /** Relays that we are reached through, and being one. Default: neither. */
  relay?: RelayInit
  /** How it is found out whether others can reach us. Default: by asking peers that know how. */
  reach?: ReachInit
  /** Transports beside or in the place of ours: see `@stronghold/p2p/libp2p`. */
  transports?: readonly CustomTransport[]
}

/** A transport of somebody else, made by `customTransport()` of `@stronghold/p2p/libp2p`. */
export interface CustomTransport {
  readonly '~transport': unknown
}

/** Handed in by tests alone. */
export interface NodeSeams {
  clock?: Clock
  /** So many bytes nobody can foresee. */
  random?: (length: number) => Uint8Array
  /** How packets reach everybody on a network. */
  multicast?: MulticastRuntime
  /** How the network's router is reached. */
  routers?: RouterRuntime
}

/** Options of what may take long. */
export interface DialOptions {
  signal?: AbortSignal
}

/** Typed, firewalled requests: of a node, or as a service of a libp2p node that somebody already has. */
export interface RequestsService {
  /** Rules at run time. */
  readonly firewall: FirewallControl
  /**
   * Serves a protocol until the result is disposed.
   *
   * @throws `TypeError` when it is served already, or a framing cannot carry it
   */
  serve<M extends Methods>(
    protocol: Protocol<M>,
    handlers: Handlers<M>,
    options?: ServeOptions,
  ): Disposable
  /**
   * A protocol's methods as functions that ask one peer. Connects on first use.
   *
   * @throws `SyntaxError` or `TypeError` for what is no target, or for a framing that cannot carry the protocol
   */
  client<M extends Methods>(
    protocol: Protocol<M>,
    target: Target,
    options?: ClientOptions,
  ): Client<M>
  /** What happens, to whoever wants to know: as a service, to requests and to all connections of the node. */
  events<T extends EventType = EventType>(
    options?: EventsOptions<T>,
  ): EventStream<EventOf<T> | MissedEvent>
}

/** A node. */
export interface Node extends RequestsService, AsyncDisposable {
  readonly peer: PeerId
  /** Where others reach us, each with our peer id. */
  readonly addresses: Address[]
  /**
   * Which of our addresses others can reach, as far as peers found out: those listened on, those where peers see us and
   * those announced by hand, IP addresses of the internet only unless `reach.private` says otherwise.
   */
  reachability(): AddressReachability[]
  /** The ports that the network's router lets through to us, or was asked to (`reach.mapPorts`). */
  portMappings(): PortMapping[]
  /** Where peers are. */
  readonly book: AddressBook
  /** Relays at run time: those that we are reached through, and this node as one. */
  readonly relay: RelayControl
  /** Connects, or gives the connection there is. @throws `P2pError` */
  connect(target: Target, options?: DialOptions): Promise<NodeConnection>
  /** Closes all connections with a peer. */
  disconnect(peer: PeerId): Promise<void>
  /** All connections that are up, or those with one peer. */
  connections(peer?: PeerId): NodeConnection[]
  /** What a connection that is up carried so far; undefined where it is gone, or its muxer does not count. */
  traffic(connection: NodeConnection): Traffic | undefined
  /**
   * Finds peers by all ways that are set up: whoever serves a namespace, one peer, or anybody. Their addresses go into
   * the book; nothing is dialled, and nobody is trusted for having been found. `break` ends the search.
   *
   * @throws `RangeError`, `SyntaxError` and `TypeError` for what nobody can look for; `P2pError` `failed_precondition`
   *   where no way is set up, `resource_exhausted` past `maxSearches`; on iteration, where every way failed
   */
  find(wanted?: Wanted, options?: FindOptions): AsyncIterableIterator<FoundPeer, undefined>
  /**
   * Says by all ways that are set up that we serve a namespace, until the result is disposed.
   *
   * @throws `RangeError` for a namespace that is none; `P2pError` as `find`, past `maxAdvertisements`
   */
  advertise(namespace: string): Advertisement
  /** Round trip to a connected peer, in milliseconds. @throws `P2pError` */
  ping(peer: PeerId, options?: DialOptions): Promise<number>
  /**
   * Listens on one more address, and says on which ones it came out. On `RELAY/p2p-circuit` it waits for the first
   * reservation, on `/p2p-circuit` for that of any relay in the book; both are kept from then on.
   *
   * @throws `P2pError`
   */
  listen(address: string): Promise<Address[]>
  /** Stops listening there; connections stay. False where nothing listened. */
  unlisten(address: string): Promise<boolean>
  /** Closes and refuses every connection with a peer, from now on. */
  block(peer: PeerId): void
  unblock(peer: PeerId): boolean
  /** Closes and refuses every connection with an IP address or prefix, from now on. */
  ban(address: string): void
  unban(address: string): boolean
  readonly blocked: PeerId[]
  readonly banned: string[]
  /**
   * Rules, blocks, bans, address book, relays to be reached through, and the terms on which it is one itself.
   *
   * @throws `TypeError` for a rule that is a function
   */
  export(): ExportedNode
  /**
   * Takes over what `export` gave. Relays to be reached through are kept from then on; it does not wait for them.
   *
   * @throws `TypeError` for another shape, `SyntaxError` for what is no peer or address; `P2pError` `failed_precondition`
   *   for a relay's terms where the node is none, `resource_exhausted` past a limit
   */
  restore(exported: unknown): Promise<void>
  /**
   * Signs a payload with the node's key as a libp2p signed envelope (RFC 0002), which `openEnvelope` reads against the
   * peer id alone.
   *
   * @param kind - its domain: at most 64 printable ASCII characters, none of libp2p's own
   * @throws `RangeError` for another domain
   */
  sealEnvelope(kind: EnvelopeKind, payload: Uint8Array): Promise<Uint8Array>
  /** Ends everything. Idempotent. */
  stop(): Promise<void>
}

const KEYS: ReadonlySet<string> = new Set([
  'identity',
  'listen',
  'announce',
  'security',
  'firewall',
  'limits',
  'webSocketCertificate',
  'webSocketAuthorities',
  'resolver',
  'transports',
  'relay',
  'reach',
  'find',
])

/** @throws `TypeError` and `RangeError` for what cannot be set up so */
export function checkInit(init: NodeInit): void {
  for (const key of Object.keys(init)) {
    if (!KEYS.has(key)) throw new TypeError(`Cannot create a node: unknown key ${key.slice(0, 64)}`)
  }
  if (init.relay !== undefined) checkRelayInit(init.relay)
  if (init.reach !== undefined) checkReachInit(init.reach)
  if (init.find !== undefined) checkFind(init.find)
}
