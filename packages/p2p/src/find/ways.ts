/**
 * Which ways of finding a node has, from its configuration. The only file that knows them all; none runs, and none is
 * loaded that need not be, unless it was asked for.
 */
import { multicastRuntime } from '#runtime'

import type { Clock } from '../clock.ts'
import type { ServiceFactory } from '../compose.ts'
import type { Pipe } from '../connection/pipe.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import type { Identity } from '../open-identity.ts'
import { LEGACY_PEER_RECORD, PEER_RECORD, sealPeerRecord } from '../peer-record.ts'
import type { MulticastRuntime } from '../runtime/multicast.ts'
import { readTarget } from '../target.ts'
import type { Found } from '../target.ts'

import type { Advertiser, Discoverer, FindSource, FoundPeer } from './find.ts'
import { Kademlia, PRIVATE_DHT_PROTOCOL, PUBLIC_DHT_PROTOCOL } from './kademlia.ts'
import { Mdns } from './mdns.ts'
import { Rendezvous } from './rendezvous.ts'
import type { PointAddress } from './rendezvous.ts'
import { RENDEZVOUS_PROTOCOL } from './rendezvous-message.ts'
import { RendezvousPoint } from './rendezvous-point.ts'

/** Multicast DNS: peers on the same network. */
export interface MdnsOptions {
  /** Names of interfaces, as `eth0`. Default: all that lead off this machine, or where there is none those within it. */
  interfaces?: readonly string[]
}

/** Rendezvous: peers that register at the same point. */
export interface RendezvousOptions {
  /** Addresses of points, each with its peer id at its end. Default: none. */
  points?: readonly string[]
  /** Is a point itself, for everybody who connects or for those that a function lets in. Default false. */
  serve?: boolean | ((peer: PeerId) => boolean)
  /** Which form of signed peer record is registered: that of go and js, or the older one of rust. Default `'current'`. */
  record?: 'current' | 'legacy'
}

/** Kademlia: a network in which every node knows some others. */
export interface KademliaOptions {
  /**
   * `'private'`: one of nodes like this one. `'public'`: that of strangers, in which addresses of private networks are left
   * out. Any other protocol id, as `/example/kad/1.0.0`: a private one of your own. Default `'private'`.
   */
  network?: string
  /** Answers others, too. Default true, in the public network false. */
  server?: boolean
  /** Addresses of nodes to begin with, each with its peer id at its end. Default: whoever of the network is connected. */
  bootstrap?: readonly string[]
}

/** How peers are found. What is not named is off. */
export interface FindInit {
  /** On the same network. Default false. */
  mdns?: boolean | MdnsOptions
  /** By points that others keep, and as one. */
  rendezvous?: RendezvousOptions
  /** By asking one's way through a network. Default false. */
  kademlia?: boolean | KademliaOptions
  /** Says where we are by every way that is set up, so that whoever knows our peer id finds us. Default true. */
  announce?: boolean
}

/** What the ways need of their node. */
export interface WaysParts {
  readonly peer: PeerId
  readonly clock: Clock
  readonly limits: Readonly<P2pLimits>
  random(length: number): Uint8Array
  /** For tests. Default: the platform's. */
  readonly multicast?: MulticastRuntime | undefined
  addresses(): readonly Address[]
  /** Opens a stream of a protocol, and connects for it. */
  open(to: Found, protocol: string, signal: AbortSignal): Promise<Pipe>
  /** Connects, or gives up when the signal aborts. */
  connect(to: Found, signal: AbortSignal): Promise<unknown>
  readonly identity: Pick<Identity, 'publicKey' | 'sign'>
  onFound(found: FoundPeer): void
  onProblem(source: FindSource, message: string): void
}

/** All ways of one node. */
export interface Ways {
  readonly advertisers: readonly Advertiser[]
  readonly discoverers: readonly Discoverer[]
  /** Protocols that are answered, and by what. */
  readonly serves: ReadonlyMap<string, (pipe: Pipe, peer: PeerId) => void>
  /** Services for the libp2p node, loaded now. */
  services(): Promise<Record<string, ServiceFactory>>
  /** Resolves when each has begun; what does not work is told by `onProblem`. */
  start(): Promise<void>
  /** Idempotent. */
  stop(): Promise<void>
}

/** @throws `TypeError` for what cannot be set up so */
export function checkFind(init: FindInit): void {
  const { mdns, rendezvous, kademlia, announce, ...rest } = init
  for (const key of Object.keys(rest)) throw misuse(`unknown key ${key.slice(0, 64)}`)
  if (announce !== undefined && typeof announce !== 'boolean')
    throw misuse('announce is no boolean')
  if (typeof mdns === 'object') {
    const { interfaces, ...others } = mdns
    for (const key of Object.keys(others)) throw misuse(`unknown key mdns.${key.slice(0, 64)}`)
    if (interfaces?.length === 0) throw misuse('mdns.interfaces is empty')
  }
  if (rendezvous !== undefined) checkRendezvous(rendezvous)
  if (typeof kademlia === 'object') checkKademlia(kademlia)
}

function checkRendezvous({ points, serve, record, ...rest }: RendezvousOptions): void {
  for (const key of Object.keys(rest)) throw misuse(`unknown key rendezvous.${key.slice(0, 64)}`)
  readPoints(points ?? [])
  if (serve !== undefined && typeof serve !== 'boolean' && typeof serve !== 'function') {
    throw misuse('rendezvous.serve is neither boolean nor function')
  }
  if (record !== undefined && record !== 'current' && record !== 'legacy') {
    throw misuse("rendezvous.record is neither 'current' nor 'legacy'")
  }
}

function checkKademlia({ network, server, bootstrap, ...rest }: KademliaOptions): void {
  for (const key of Object.keys(rest)) throw misuse(`unknown key kademlia.${key.slice(0, 64)}`)
  if (server !== undefined && typeof server !== 'boolean')
    throw misuse('kademlia.server is no boolean')
  if (network !== undefined && !/^(private|public|\/[\x21-\x7e]{1,127})$/.test(network)) {
    throw misuse("kademlia.network is neither 'private' nor 'public' nor a protocol id")
  }
  readPoints(bootstrap ?? [])
}

/** Points by their peer: one may have several addresses. */
function readPoints(texts: readonly string[]): PointAddress[] {
  const points = new Map<PeerId, Address[]>()
  for (const text of texts) {
    const { peer, addresses } = readTarget([text])
    if (peer === undefined) throw misuse(`${text.slice(0, 64)} does not end in a peer id`)
    points.set(peer, [...(points.get(peer) ?? []), ...addresses])
  }
  return [...points].map(([peer, addresses]) => ({ peer, addresses }))
}

/** Makes what is set up. Nothing runs yet. */
export function waysOf(init: FindInit, parts: WaysParts): Ways {
  const { mdns, rendezvous, kademlia } = init
  const running: (Mdns | Rendezvous | Kademlia)[] = []
  const serves = new Map<string, (pipe: Pipe, peer: PeerId) => void>()
  const multicast = parts.multicast ?? multicastRuntime
  const says: (() => void)[] = []
  if (mdns !== undefined && mdns !== false) {
    if (multicast === undefined) {
      says.push(() =>
        parts.onProblem('mdns', 'Cannot find peers on this network: not in a browser'),
      )
    } else {
      const { interfaces } = mdns === true ? {} : mdns
      const { peer, clock, limits } = parts
      running.push(
        new Mdns({
          peer,
          clock,
          limits,
          multicast,
          interfaces,
          random: (length) => parts.random(length),
          addresses: () => parts.addresses(),
          onFound: (found) => parts.onFound(found),
          onProblem: (message) => parts.onProblem('mdns', message),
        }),
      )
    }
  }
  const points = readPoints(rendezvous?.points ?? [])
  if (points.length > 0) running.push(rendezvousOf(points, rendezvous?.record, parts))
  const dht =
    kademlia === undefined || kademlia === false
      ? undefined
      : kademliaOf(kademlia === true ? {} : kademlia, parts)
  if (dht !== undefined) running.push(dht)
  const point = pointOf(rendezvous?.serve, parts)
  if (point !== undefined) {
    serves.set(RENDEZVOUS_PROTOCOL, (pipe, peer) => void point.serve(pipe, peer))
  }
  return {
    advertisers: running,
    discoverers: running,
    serves,
    services: async () => (dht === undefined ? {} : { kademlia: await dht.service() }),
    start: async () => {
      for (const say of says) say()
      point?.start()
      dht?.start()
      for (const one of running) if (one instanceof Mdns) await one.start()
    },
    stop: async () => {
      point?.stop()
      await Promise.all(running.map(async (one) => one.stop()))
    },
  }
}

function rendezvousOf(
  points: readonly PointAddress[],
  record: RendezvousOptions['record'],
  parts: WaysParts,
): Rendezvous {
  const { peer, clock, limits, identity } = parts
  const kind = record === 'legacy' ? LEGACY_PEER_RECORD : PEER_RECORD
  return new Rendezvous({
    peer,
    clock,
    limits,
    points,
    open: (point, signal) => parts.open(point, RENDEZVOUS_PROTOCOL, signal),
    addresses: () => parts.addresses(),
    seal: (own) => sealPeerRecord(identity, own, kind),
  })
}

function kademliaOf(options: KademliaOptions, parts: WaysParts): Kademlia {
  const { network = 'private', bootstrap = [] } = options
  const isPublic = network === 'public'
  const nodes = readPoints(bootstrap)
  const { peer, clock, limits } = parts
  return new Kademlia({
    peer,
    clock,
    limits,
    isPublic,
    protocol: isPublic
      ? PUBLIC_DHT_PROTOCOL
      : network === 'private'
        ? PRIVATE_DHT_PROTOCOL
        : network,
    server: options.server ?? !isPublic,
    bootstrap: async (signal) => {
      const tried = await Promise.allSettled(nodes.map((node) => parts.connect(node, signal)))
      return tried.some(({ status }) => status === 'fulfilled')
    },
  })
}

function pointOf(serve: RendezvousOptions['serve'], parts: WaysParts): RendezvousPoint | undefined {
  if (serve === undefined || serve === false) return undefined
  const { clock, limits } = parts
  return new RendezvousPoint({
    clock,
    limits,
    random: (length) => parts.random(length),
    ...(serve === true ? {} : { allows: serve }),
  })
}

function misuse(state: string): TypeError {
  return new TypeError(`Cannot set up finding: ${state}`)
}
