/**
 * The Kademlia network (libp2p/specs kad-dht/README.md) behind our two interfaces, as client and server, in a network of
 * its own unless told otherwise. `@libp2p/kad-dht` does it; here stand what bounds it, and the time limits of all it is
 * asked. It is loaded when a node is set up with it, and not before.
 */
import { serviceCapabilities, serviceDependencies } from '@libp2p/interface'
import type { Connection, PeerInfo, PeerStore, Startable } from '@libp2p/interface'
import type { KadDHT, KadDHTComponents, QueryEvent } from '@libp2p/kad-dht'
import { encodeUtf8 } from '@stronghold/core'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import * as Digest from 'multiformats/hashes/digest'

import { cryptoRuntime } from '#runtime'

import type { Clock } from '../clock.ts'
import { P2pError } from '../errors.ts'
import { addressFromBytes, peerIdOf, toLibp2pPeerId } from '../identity.ts'
import type { PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'

import { Arrivals } from './arrivals.ts'
import { DhtRecords } from './dht-records.ts'
import type {
  Advertisement,
  AdvertisementState,
  Advertiser,
  Discoverer,
  FoundPeer,
  SearchOptions,
  Wanted,
} from './find.ts'
import { pause } from './pause.ts'
import { peerNamespace } from './rendezvous.ts'

/** The network that strangers share (kad-dht/README.md "Protocol ID"). */
export const PUBLIC_DHT_PROTOCOL = '/ipfs/kad/1.0.0'
/** Ours, apart from it. */
export const PRIVATE_DHT_PROTOCOL = '/stronghold/kad/1.0.0'

const SHA2_256 = 0x12
// Ours. Well before a record runs out anywhere, and often enough for those who joined since.
const PROVIDE_AGAIN_MS = 60 * 60_000
const FIRST_RETRY_MS = 1000
const MAX_RETRY_MS = 60_000
const MAX_INBOUND_STREAMS = 32

/** How it is set up. */
export interface KademliaInit {
  readonly peer: PeerId
  readonly clock: Clock
  readonly limits: Readonly<P2pLimits>
  readonly protocol: string
  /** Leaves addresses of private networks out, both ways. */
  readonly isPublic: boolean
  /** Answers others, beside asking them. */
  readonly server: boolean
  /** Connects to nodes of the network, as long as none is known. False where none is to be had. */
  bootstrap(signal: AbortSignal): Promise<boolean>
}

/** Who of the network is known: the nearest, by distance. */
interface RoutingTable extends Pick<EventTarget, 'addEventListener' | 'removeEventListener'> {
  readonly size: number
}

interface Telling {
  readonly cid: CID
  readonly stopping: AbortController
  state: AdvertisementState
  retryMs: number
  stopTimer: (() => void) | undefined
}

/** Kademlia of one node. */
export class Kademlia implements Advertiser, Discoverer {
  readonly source = 'kademlia'
  readonly #init: KademliaInit
  readonly #stopping = new AbortController()
  readonly #tellings = new Set<Telling>()
  #dht: (KadDHT & { readonly routingTable: RoutingTable }) | undefined
  #peers: PeerStore | undefined
  #stopBootstrap: (() => void) | undefined

  constructor(init: KademliaInit) {
    this.#init = init
  }

  /** The libp2p service. Loads the package. */
  async service(): Promise<(components: never) => Startable> {
    const { kadDHT, passthroughMapper, removePrivateAddressesMapper } =
      await import('@libp2p/kad-dht')
    const { limits, peer, protocol, isPublic, server } = this.#init
    const refuse = (): never => {
      throw new Error('values are not kept')
    }
    const make = kadDHT({
      protocol,
      clientMode: !server,
      peerInfoMapper: isPublic ? removePrivateAddressesMapper : passthroughMapper,
      // Without anybody in the table a search ends at once instead of never.
      allowQueryWithZeroPeers: true,
      maxInboundStreams: MAX_INBOUND_STREAMS,
      validators: { pk: refuse, ipns: refuse },
    })
    return (components: KadDHTComponents & { ping: OurPing }): Startable => {
      const bounded = Object.create(components, {
        datastore: { value: new DhtRecords(limits, peer) },
        ping: { value: pingOf(components) },
      }) as KadDHTComponents
      const dht = make(bounded) as KadDHT & Startable & { routingTable: RoutingTable } & PeerTold
      const told = new ToldPeers(components.peerStore, limits)
      dht.addEventListener('peer', ({ detail }) => {
        told.take(detail)
      })
      this.#dht = dht
      this.#peers = components.peerStore
      // Not the object itself: libp2p would search with it, without bounds, whenever something is dialled.
      return new DhtService(dht)
    }
  }

  /** Begins to look for its network. */
  start(): void {
    this.#bootstrap(FIRST_RETRY_MS)
  }

  /** Idempotent. */
  stop(): void {
    this.#stopping.abort()
    this.#stopBootstrap?.()
    for (const telling of this.#tellings) {
      telling.stopping.abort()
      telling.stopTimer?.()
    }
  }

  find(wanted: Wanted, { signal, follow }: SearchOptions): AsyncIterable<FoundPeer> {
    const over = new AbortController()
    const end = (): void => arrivals.finish()
    const arrivals: Arrivals = new Arrivals(this.#init.limits, () => {
      signal.removeEventListener('abort', end)
      this.#stopping.signal.removeEventListener('abort', end)
      over.abort()
    })
    if (signal.aborted || this.#stopping.signal.aborted) end()
    else {
      signal.addEventListener('abort', end, { once: true })
      this.#stopping.signal.addEventListener('abort', end, { once: true })
      void this.#searchAll(wanted, arrivals, over.signal, follow)
    }
    return arrivals
  }

  advertise(namespace?: string): Advertisement {
    const telling: Telling = {
      cid: cidOf(namespace ?? peerNamespace(this.#init.peer)),
      stopping: new AbortController(),
      state: { source: 'kademlia', state: 'trying' },
      retryMs: FIRST_RETRY_MS,
      stopTimer: undefined,
    }
    this.#tellings.add(telling)
    this.#tell(telling)
    return {
      namespace,
      states: () => [telling.state],
      [Symbol.asyncDispose]: async () => {
        if (!this.#tellings.delete(telling)) return
        telling.stopping.abort()
        telling.stopTimer?.()
        // Others forget it when it runs out: the protocol has no word for taking it back.
        await this.#dht?.cancelReprovide(telling.cid).catch(() => {})
      },
    }
  }

  refresh(): void {
    for (const telling of this.#tellings) this.#tell(telling)
  }

  // The network

  #bootstrap(waitMs: number): void {
    if (this.#stopping.signal.aborted) return
    const { clock } = this.#init
    const isAlone = this.#dht?.routingTable.size === 0
    const tried = isAlone
      ? this.#within((signal) => this.#init.bootstrap(signal)).catch(() => false)
      : Promise.resolve(false)
    void tried.then(() => {
      if (this.#stopping.signal.aborted) return
      this.#stopBootstrap = clock.setTimer(waitMs, () => {
        this.#bootstrap(Math.min(isAlone ? waitMs * 2 : MAX_RETRY_MS, MAX_RETRY_MS))
      })
    })
  }

  /** Runs something within `findTimeoutMs`, and not longer than the node. */
  async #within<T>(run: (signal: AbortSignal) => Promise<T>, also?: AbortSignal): Promise<T> {
    const { clock, limits } = this.#init
    const late = new AbortController()
    const stopTimer = clock.setTimer(limits.findTimeoutMs, () => {
      late.abort(
        new P2pError('deadline_exceeded', 'Cannot use Kademlia: it took too long', {
          layer: 'dial',
        }),
      )
    })
    const signals = [late.signal, this.#stopping.signal, ...(also === undefined ? [] : [also])]
    try {
      return await run(AbortSignal.any(signals))
    } finally {
      stopTimer()
    }
  }

  // Advertising

  #tell(telling: Telling): void {
    telling.stopTimer?.()
    void this.#provide(telling).then((waitMs) => {
      if (telling.stopping.signal.aborted || this.#stopping.signal.aborted) return
      telling.stopTimer?.()
      telling.stopTimer = this.#init.clock.setTimer(waitMs, () => {
        this.#tell(telling)
      })
    })
  }

  /** @returns when to say it again */
  async #provide(telling: Telling): Promise<number> {
    try {
      const dht = this.#ready()
      const heard = await this.#within(async (signal) => {
        let count = 0
        for await (const event of dht.provide(telling.cid, { signal })) {
          if (event.name === 'PEER_RESPONSE' && event.messageName === 'ADD_PROVIDER') count++
        }
        return count
      }, telling.stopping.signal)
      if (heard === 0) throw unavailable('nobody of its network took it')
      telling.state = { source: 'kademlia', state: 'told' }
      telling.retryMs = FIRST_RETRY_MS
      return PROVIDE_AGAIN_MS
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      telling.state = { source: 'kademlia', state: 'trying', message }
      const waitMs = telling.retryMs
      telling.retryMs = Math.min(waitMs * 2, MAX_RETRY_MS)
      return waitMs
    }
  }

  // Discovering

  async #searchAll(
    wanted: Wanted,
    arrivals: Arrivals,
    signal: AbortSignal,
    follow: boolean,
  ): Promise<void> {
    for (;;) {
      let failed: unknown
      try {
        await this.#within((within) => this.#search(wanted, arrivals, within), signal)
      } catch (error) {
        failed = error
      }
      if (signal.aborted) return
      if (!follow) {
        arrivals.finish(failed)
        return
      }
      await pause(this.#init.clock, this.#init.limits.findPollMs, signal)
    }
  }

  async #search(wanted: Wanted, arrivals: Arrivals, signal: AbortSignal): Promise<void> {
    const dht = await this.#joined(signal)
    const { peer, namespace } = wanted
    const take = (info: PeerInfo): boolean => {
      const found = this.#read(info, namespace)
      if (found === undefined || (peer !== undefined && found.peer !== peer)) return false
      arrivals.push(found)
      return true
    }
    if (namespace !== undefined) {
      await each(dht.findProviders(cidOf(namespace), { signal }), take)
    } else if (peer === undefined) {
      // Whoever is near a place that nobody chose. Those who are connected come without their addresses.
      for await (const event of dht.getClosestPeers(cryptoRuntime.random(32), { signal })) {
        if (event.name === 'PEER_RESPONSE') event.closer.forEach(take)
        if (event.name !== 'FINAL_PEER') continue
        take((await this.#peers?.getInfo(event.peer.id).catch(() => event.peer)) ?? event.peer)
      }
    } else {
      // Servers stand in the table; who only asks is found by what it says of itself.
      const found = await each(dht.findPeer(toLibp2pPeerId(peer), { signal }), take).catch(() => 0)
      if (found === 0) await each(dht.findProviders(cidOf(peerNamespace(peer)), { signal }), take)
    }
  }

  /** Who has only begun knows nobody yet: the first search waits until somebody of the network is known, but not for ever. */
  async #joined(signal: AbortSignal): Promise<KadDHT> {
    const table = this.#dht?.routingTable
    if (table?.size === 0 && (await this.#init.bootstrap(signal))) {
      const { clock, limits } = this.#init
      await new Promise<void>((resolve) => {
        const done = (): void => {
          stopTimer()
          table.removeEventListener('peer:add', done)
          signal.removeEventListener('abort', done)
          resolve()
        }
        const stopTimer = clock.setTimer(limits.identifyTimeoutMs, done)
        table.addEventListener('peer:add', done)
        signal.addEventListener('abort', done)
        if (table.size > 0 || signal.aborted) done()
      })
    }
    return this.#ready()
  }

  #ready(): KadDHT {
    const dht = this.#dht
    if (dht === undefined || this.#stopping.signal.aborted) throw unavailable('it does not run')
    if (dht.routingTable.size === 0) throw unavailable('no node of its network is known yet')
    return dht
  }

  #read({ id, multiaddrs }: PeerInfo, namespace: string | undefined): FoundPeer | undefined {
    const { limits, clock, peer: self } = this.#init
    const peer = readPeer(id)
    if (peer === undefined || peer === self) return undefined
    const addresses = multiaddrs
      .slice(0, limits.maxAddressesPerPeer)
      .map(({ bytes }) => addressFromBytes(bytes, peer))
      .filter((address) => address !== undefined)
    if (addresses.length === 0) return undefined
    return Object.freeze({
      peer,
      addresses: [...new Set(addresses)],
      source: this.source,
      expiresAtMs: clock.nowMs() + limits.maxFoundTtlMs,
      ...(namespace === undefined ? {} : { namespace }),
    })
  }
}

/** Gives everybody in the events of a query to `take`. @returns how many it took */
async function each(
  events: AsyncIterable<QueryEvent>,
  take: (info: PeerInfo) => boolean,
): Promise<number> {
  let taken = 0
  for await (const event of events) {
    const infos =
      event.name === 'PROVIDER' ? event.providers : event.name === 'FINAL_PEER' ? [event.peer] : []
    for (const info of infos) if (take(info)) taken++
  }
  return taken
}

/** What stands for a namespace in the network: a CID of its SHA2-256. */
function cidOf(namespace: string): CID {
  const hash = cryptoRuntime.sha256(encodeUtf8(namespace))
  return CID.createV1(raw.code, Digest.create(SHA2_256, hash))
}

function readPeer(id: PeerInfo['id']): PeerId | undefined {
  try {
    return peerIdOf(id)
  } catch {
    return undefined
  }
}

interface OurPing {
  ping(connection: Connection, signal?: AbortSignal): Promise<number>
}

/** The ping that the package expects, which takes a peer. */
function pingOf(components: KadDHTComponents & { ping: OurPing }): KadDHTComponents['ping'] {
  return {
    ping: async (peer, options = {}) => {
      const { connectionManager } = components
      const connection = await connectionManager.openConnection(peer, options)
      return components.ping.ping(connection, options.signal)
    },
  }
}

interface PeerTold {
  addEventListener(type: 'peer', listener: (event: CustomEvent<PeerInfo>) => void): void
}

/** Addresses that the network told, where its next query looks for them: no more than so many. */
export class ToldPeers {
  readonly #store: PeerStore
  readonly #limits: Pick<P2pLimits, 'maxDhtPeers' | 'maxAddressesPerPeer'>
  readonly #told = new Map<string, PeerInfo['id']>()

  constructor(store: PeerStore, limits: Pick<P2pLimits, 'maxDhtPeers' | 'maxAddressesPerPeer'>) {
    this.#store = store
    this.#limits = limits
  }

  take({ id, multiaddrs }: PeerInfo): void {
    const key = id.toString()
    this.#told.delete(key)
    this.#told.set(key, id)
    const some = multiaddrs.slice(0, this.#limits.maxAddressesPerPeer)
    this.#store.merge(id, { multiaddrs: some }).catch(() => {})
    if (this.#told.size <= this.#limits.maxDhtPeers) return
    for (const [oldest, peer] of this.#told) {
      this.#told.delete(oldest)
      this.#store.delete(peer).catch(() => {})
      break
    }
  }
}

class DhtService implements Startable {
  readonly [serviceCapabilities]: string[] = ['@libp2p/kad-dht']
  readonly [serviceDependencies]: string[] = ['@libp2p/identify', '@libp2p/ping']
  readonly #dht: Startable

  constructor(dht: Startable) {
    this.#dht = dht
  }

  async start(): Promise<void> {
    await this.#dht.start()
  }

  async stop(): Promise<void> {
    await this.#dht.stop()
  }
}

function unavailable(state: string): P2pError {
  return new P2pError('unavailable', `Cannot find peers by Kademlia: ${state}`, { layer: 'dial' })
}
