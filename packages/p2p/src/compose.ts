/**
 * Puts a libp2p node together with our own parts: transports, upgrader, muxer, identify and ping. The only file that
 * calls `createLibp2p`; what is asked over its connections is not its business.
 */
import type { Connection, Libp2p, Transport } from '@libp2p/interface'
import type { AddressManager, Registrar } from '@libp2p/interface-internal'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

import { transportRuntime } from '#runtime'

import type { Clock } from './clock.ts'
import type { Admission } from './connection/admission.ts'
import { identify } from './connection/identify.ts'
import { pipeOf } from './connection/message-stream.ts'
import { ping } from './connection/ping.ts'
import type { PingService } from './connection/ping.ts'
import type { Pipe } from './connection/pipe.ts'
import type { Security } from './connection/security.ts'
import { createUpgrader } from './connection/upgrader.ts'
import type {
  ConnectionInfo,
  P2pUpgrader,
  UpgraderComponents,
  UpgraderInit,
} from './connection/upgrader.ts'
import type { P2pLimits } from './limits.ts'
import type { Identity } from './open-identity.ts'
import { dnsResolvers } from './transports/dns.ts'
import type { Resolver } from './transports/dns.ts'
import { withUpgrader } from './transports/with-upgrader.ts'

/** Makes a transport from the parts of a libp2p node. */
export type TransportFactory = (components: never) => Transport

/** Makes a service from the parts of a libp2p node. */
export type ServiceFactory = (components: never) => unknown

/** What a dial past libp2p's queue may ask of a transport. */
export interface PunchDialOptions {
  signal: AbortSignal
  /** Whether we speak first. Default true. */
  initiator?: boolean
  /** As `TcpDialOptions` has them. */
  localPort?: number
  localAddress?: string
}

/** The parts of libp2p that a node reaches beside its public interface. */
export interface Libp2pParts extends UpgraderComponents {
  transportManager: {
    listen(addresses: unknown[]): Promise<void>
    dial(address: Multiaddr, options: PunchDialOptions): Promise<Connection>
    getListeners(): { getAddrs(): { toString(): string }[]; close(): Promise<void> }[]
    /** Undefined: none can listen there. */
    listenTransportForMultiaddr(address: Multiaddr): unknown
  }
  registrar: Pick<Registrar, 'getProtocols' | 'handle'>
  addressManager: Pick<AddressManager, 'confirmObservedAddr' | 'removeObservedAddr'>
}

/** A part of a node that answers protocols of its own. */
export interface Answerer {
  readonly protocols: Iterable<string>
  /** Whether on connections through relays, too. */
  readonly onLimited: boolean
  /** Takes a stream of one of them. False: not taken. */
  take(protocol: string, pipe: Pipe, info: ConnectionInfo): boolean
}

/** What a composed node is made of. */
export interface ComposeInit extends Omit<UpgraderInit, 'securities' | 'admission' | 'limits'> {
  identity: Identity
  limits: P2pLimits
  clock: Clock
  securities: readonly Security[]
  admission: Admission
  transports: readonly TransportFactory[]
  answerers: readonly Answerer[]
  /** What else runs on the node, beside identify and ping. */
  services?: Readonly<Record<string, ServiceFactory>>
  resolver: Resolver | undefined
  announce: readonly string[]
  /** Announced beside what is listened on, unless `announce` names the addresses. Asked each time. */
  alsoAnnounced(): readonly Multiaddr[]
  /** Name and version, told by identify. */
  agent: string
  /** Told where a peer sees us. */
  onObserved(address: Multiaddr, connection: Connection): void
}

/** A libp2p node that is not started, and our hands on it. */
export interface Composed {
  libp2p: Libp2p<{ ping: PingService }>
  upgrader: P2pUpgrader
  parts: Libp2pParts
}

/** Puts it together. Nothing listens yet. */
export async function compose(init: ComposeInit): Promise<Composed> {
  const { identity, limits, clock, agent } = init
  let made: { parts: Libp2pParts; upgrader: P2pUpgrader } | undefined
  const own = (factory: TransportFactory) => (components: unknown) => {
    const parts = components as Libp2pParts
    // The stock upgrader exists when the first transport is made, and no other part is needed to make ours.
    made ??= { parts, upgrader: createUpgrader(parts, init) }
    const { upgrader } = made
    return withUpgrader(factory(partsWith(parts, upgrader) as never), upgrader)
  }
  const resolver = init.resolver ?? transportRuntime.systemResolver?.()
  const libp2p = await createLibp2p({
    start: false,
    privateKey: identity.libp2p.privateKey,
    nodeInfo: { name: agent, version: '', userAgent: agent },
    addresses: {
      listen: [],
      announce: [...init.announce],
      announceFilter: (own) => (init.announce.length > 0 ? own : withThese(own, init, identity)),
    },
    transports: init.transports.map(own),
    connectionEncrypters: [],
    streamMuxers: [],
    connectionMonitor: { enabled: false },
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: {
      // Admission is ours, before encryption; these must never be the ones that decide.
      maxConnections: Number.MAX_SAFE_INTEGER,
      inboundConnectionThreshold: Number.MAX_SAFE_INTEGER,
      maxIncomingPendingConnections: Number.MAX_SAFE_INTEGER,
      dialTimeout: limits.dialTimeoutMs,
      addressDialTimeout: limits.dialTimeoutMs,
      inboundUpgradeTimeout: limits.handshakeTimeoutMs,
      maxPeerAddrsToDial: limits.maxAddressesPerPeer,
      reconnectRetries: 0,
      ...(resolver === undefined ? {} : { resolvers: dnsResolvers({ resolver, limits }) }),
    },
    services: {
      ...init.services,
      identify: identify({
        identity,
        limits,
        clock,
        agentVersion: agent,
        onObserved: (address, connection) => {
          init.onObserved(address, connection)
        },
      }),
      ping: ping({ limits, clock }),
    },
  })
  if (made === undefined) {
    throw new TypeError('Cannot create a node: no transport')
  }
  for (const one of init.answerers) await answer(made, one)
  return { libp2p, ...made }
}

async function answer(
  { parts, upgrader }: Pick<Composed, 'parts' | 'upgrader'>,
  answerer: Answerer,
): Promise<void> {
  const { onLimited: runOnLimitedConnection } = answerer
  // How many there may be is the business of whoever answers.
  const bounds = { maxInboundStreams: Infinity, maxOutboundStreams: Infinity }
  for (const protocol of answerer.protocols) {
    await parts.registrar.handle(
      protocol,
      (stream, connection) => {
        const info = upgrader.infoOf(connection)
        const taken = info !== undefined && answerer.take(protocol, pipeOf(stream), info)
        if (!taken) stream.abort(new Error('not taken'))
      },
      { ...bounds, runOnLimitedConnection },
    )
  }
}

function withThese(
  own: readonly Multiaddr[],
  { alsoAnnounced }: Pick<ComposeInit, 'alsoAnnounced'>,
  { peer }: Identity,
): Multiaddr[] {
  const all = [...own, ...alsoAnnounced().map((one) => one.encapsulate(`/p2p/${peer}`))]
  return [...new Map(all.map((one) => [one.toString(), one])).values()]
}

/** Transports that upgrade on their own account, as the one for circuits does, find our upgrader too. */
function partsWith(parts: Libp2pParts, upgrader: P2pUpgrader): Libp2pParts {
  return Object.create(parts, { upgrader: { value: upgrader } }) as Libp2pParts
}
