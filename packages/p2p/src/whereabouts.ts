/**
 * Where others reach a node, as far as its own connections and listeners take part: what peers see, what could be
 * dialled, and what is announced of it. Who checks which address, and when, is the business of `reach/`.
 */
import type { Clock } from './clock.ts'
import type { Composed } from './compose.ts'
import type { Pipe } from './connection/pipe.ts'
import type { ConnectionInfo } from './connection/upgrader.ts'
import type { Connections, Live } from './connections.ts'
import type { NewEvent } from './events.ts'
import { addressOf, bareOf, parseAddress, toMultiaddr } from './identity.ts'
import type { Address, PeerId } from './identity.ts'
import type { P2pLimits } from './limits.ts'
import { DIAL_BACK_PROTOCOL } from './reach/autonat-message.ts'
import type { DialledBack } from './reach/dial-back.ts'
import { ipOf, Observed } from './reach/observed.ts'
import type { PortMapping } from './reach/port-mappings.ts'
import { Reach } from './reach/reach.ts'
import type { AddressReachability, ReachInit } from './reach/reach.ts'
import { scopeOf } from './reach/scope.ts'
import type { RouterRuntime } from './runtime/routers.ts'
import { notConnected, nowhere } from './target.ts'

/** What it needs of the node. */
export interface WhereaboutsInit {
  readonly limits: Readonly<P2pLimits>
  readonly clock: Clock
  readonly reach: ReachInit
  /** Whether the node is a relay: whoever serves strangers dials them back, too. */
  readonly isRelay: boolean
  /** By hand: nothing else is announced then. */
  readonly announce: readonly Address[]
  readonly connections: Connections
  readonly routers: RouterRuntime | undefined
  random(length: number): Uint8Array
  /** @throws `P2pError` when the node has stopped */
  running(): Composed
  /** Undefined before the node starts. */
  composed(): Composed | undefined
  /** Whether we are reached through it. */
  usesRelay(peer: PeerId): boolean
  /** Opens a stream. @throws `P2pError` */
  openOn(live: Live, protocol: string): Pipe
  emit(event: NewEvent): void
}

// Ours: what is confirmed here is taken back here.
const CONFIRMED_MS = 0x7fffffff

/** The whereabouts of one node. */
export class Whereabouts {
  /** Through relays nobody checks anything. */
  readonly onLimited = false
  readonly #init: WhereaboutsInit
  readonly #observed: Observed
  readonly #reach: Reach
  readonly #confirmed = new Set<Address>()
  #announced: readonly Address[] = []
  #stopTimer: (() => void) | undefined
  #stopped = false

  constructor(init: WhereaboutsInit) {
    const { limits, clock, reach, isRelay, routers } = init
    const { check = true, dialBack = isRelay } = reach
    this.#init = init
    this.#observed = new Observed({ limits })
    this.#reach = new Reach({
      ...{ limits, clock, check, dialBack, routers },
      privately: reach.private === true,
      mapPorts: reach.mapPorts === true,
      announced: init.announce.map((one) => bareOf(one)),
      random: (length) => init.random(length),
      listened: () => this.#listened(),
      supposed: () => this.#supposed(),
      speaks: (version) => this.#speaks(version),
      dial: (address, signal) => this.#dialBack(address, signal),
      onChange: () => {
        this.#judge()
      },
      emit: (event) => {
        init.emit(event)
      },
    })
  }

  /** What is announced beside what is listened on, without our peer id. */
  get announced(): readonly Address[] {
    return this.#announced
  }

  /** What it answers. */
  get protocols(): string[] {
    return this.#reach.protocols
  }

  /** How it stands with each of our addresses that can be checked. */
  states(): AddressReachability[] {
    return this.#reach.states()
  }

  /** The ports that a router maps to us, or was asked to. */
  get mappings(): PortMapping[] {
    return this.#reach.mappings
  }

  /** Takes a stream of one of its protocols. False: not taken. */
  take(protocol: string, pipe: Pipe, info: ConnectionInfo): boolean {
    if (!this.#reach.take(protocol, pipe, info)) return false
    if (protocol === DIAL_BACK_PROTOCOL) this.#init.connections.of(info).passing = true
    return true
  }

  /**
   * A peer told where it sees us. What a connection that came in shows is where we listen. One that went out shows the
   * port it left from, where nobody listens.
   */
  seen(address: Address, info: ConnectionInfo): void {
    const { connections, clock, announce } = this.#init
    const { peer: observer, direction, relayed, remoteAddress: from } = info
    if (relayed) return
    const live = connections.of(info)
    live.observed = bareOf(address)
    if (announce.length > 0) return
    const told = { connection: live.info.id, observer, from, address: live.observed }
    const heard = direction === 'inbound' && this.#observed.tell(told, clock.nowMs())
    if (heard) this.#judge()
    this.#reach.pump()
  }

  /** A peer that is connected directly said what it speaks. */
  met({ peer, remoteAddress }: ConnectionInfo, protocols: readonly string[]): void {
    const open = (protocol: string): Pipe => {
      const direct = this.#init.connections.direct(peer)
      if (direct === undefined) throw notConnected(peer)
      return this.#init.openOn(direct, protocol)
    }
    const trusted = (): boolean => this.#init.usesRelay(peer)
    this.#reach.met({ peer, address: bareOf(remoteAddress), trusted, open }, protocols)
  }

  /** A connection is gone. */
  ended({ info }: Live): void {
    this.#observed.ended(info.id, this.#init.clock.nowMs())
    if (this.#announced.length > 0) this.#judge()
  }

  /** No direct connection with a peer is left. */
  gone(peer: PeerId): void {
    this.#reach.gone(peer)
  }

  /** What is listened on is another now. */
  listening(): void {
    this.#reach.listening()
  }

  /** Announces nothing new from now on. */
  stop(): void {
    this.#stopped = true
    this.#stopTimer?.()
  }

  /** Ends all of it. Idempotent. */
  async close(): Promise<void> {
    this.stop()
    await this.#reach.close()
  }

  /** Announces what enough peers agree on or could dial, and no more what they do not or could not. */
  #judge(): void {
    const composed = this.#init.composed()
    if (composed === undefined || this.#stopped) return
    const { clock } = this.#init
    const { addressManager } = composed.parts
    const addresses = (): Address[] => composed.libp2p.getMultiaddrs().map((one) => addressOf(one))
    const nowMs = clock.nowMs()
    const before = this.#announced
    const now = this.#worthAnnouncing(nowMs)
    const known = addresses().map((one) => bareOf(one))
    this.#announced = now
    this.#stopTimer?.()
    const next = this.#observed.nextExpiryMs
    this.#stopTimer =
      next === undefined
        ? undefined
        : clock.setTimer(Math.max(1, next - nowMs), () => {
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
    this.#init.emit({ type: 'addressesChanged', addresses: addresses() })
  }

  #worthAnnouncing(nowMs: number): Address[] {
    if (this.#init.announce.length > 0) return []
    const dialled = this.#reach.states().filter(({ state }) => state === 'reachable')
    const all = [...this.#observed.judged(nowMs), ...dialled.map(({ address }) => address)]
    return [...new Set(all)].filter((one) => this.#reach.stateOf(one) !== 'unreachable')
  }

  /** Where peers see us; and the ports listened on at the address that we come from. */
  #supposed(): Address[] {
    const seen = this.#init.connections
      .list()
      .flatMap(({ info, observed }) => (info.direction === 'inbound' ? [] : (observed ?? [])))
    const listened = this.#listened()
    const guessed = seen.flatMap((one) => listened.map((here) => atHostOf(one, here)))
    const told = this.#observed.told(this.#init.clock.nowMs())
    return [...told, ...guessed.filter((one) => one !== undefined)]
  }

  #listened(): Address[] {
    const listeners = this.#init.composed()?.parts.transportManager.getListeners() ?? []
    const all = listeners.flatMap((one) => one.getAddrs())
    return all.map((one) => bareOf(parseAddress(one.toString())))
  }

  #speaks(version: 4 | 6): boolean {
    const remote = this.#init.connections
      .list()
      .filter(({ info }) => info.direction === 'outbound')
      .map(({ info }) => info.remoteAddress)
    return [...this.#listened(), ...remote].some((one) => {
      const scope = scopeOf(one)
      // Behind a router that translates, IPv4 has a private address only.
      return (
        ipOf(one)?.version === version &&
        (scope === 'public' || (scope === 'private' && version === 4))
      )
    })
  }

  async #dialBack(address: Address, signal: AbortSignal): Promise<DialledBack> {
    const { connections } = this.#init
    const { parts, upgrader } = this.#init.running()
    const connection = await parts.transportManager.dial(toMultiaddr(address), { signal })
    const info = upgrader.infoOf(connection)
    if (info === undefined) throw nowhere(undefined)
    const live = connections.of(info)
    live.passing = true
    return {
      open: (protocol) => this.#init.openOn(live, protocol),
      close: () => {
        void connections.close(live, 'closed')
      },
    }
  }
}

/** An address listened on, at the host of another of the same IP version. */
function atHostOf(seen: Address, listened: Address): Address | undefined {
  const [, kind, host] = seen.split('/')
  const parts = listened.split('/')
  if (parts[1] !== kind || host === undefined) return undefined
  return ['', kind, host, ...parts.slice(3)].join('/') as Address
}
