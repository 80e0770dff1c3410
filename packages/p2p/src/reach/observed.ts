/**
 * Where others see us: what peers tell by identify, collected and judged. An address counts once several peers in several
 * networks reached us there; one liar, however many peer ids it has, never suffices. Pure: it hears no identify and
 * announces nothing.
 */
import { ipPrefix, parseIp, prefixKey } from '../connection/ip.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import { scopeOf } from './scope.ts'

/** What one peer told on one connection. */
export interface Observation {
  /** The connection's id within the node. */
  readonly connection: string
  readonly observer: PeerId
  /** Where the observer is, as its connection says. */
  readonly from: Address
  /** Where it reached us, without a peer id. */
  readonly address: Address
}

/** What is kept of all that is told. */
export interface ObservedInit {
  readonly limits: Pick<
    P2pLimits,
    'minObservers' | 'maxObservations' | 'maxObservedAddresses' | 'observedTtlMs'
  >
}

// Ours. Whoever has one address of such a network has them all: RIPE-690 §4.2, and what IPv4 routes carry at least.
const NETWORK_BITS = { 4: 24, 6: 48 } as const

interface Voice {
  readonly connection: string
  readonly observer: PeerId
  readonly network: string
  readonly address: Address
  /** Since the epoch; Infinity as long as the connection stands. */
  expiresAtMs: number
}

/** What peers told, and what to make of it. */
export class Observed {
  readonly #limits: ObservedInit['limits']
  // By connection, the oldest first: who tells something else has changed its mind.
  readonly #voices = new Map<string, Voice>()

  constructor({ limits }: ObservedInit) {
    this.#limits = limits
  }

  /** How many observations are kept. */
  get size(): number {
    return this.#voices.size
  }

  /** Takes what a peer told. False: it is worth nothing, or there is no room. */
  tell({ connection, observer, from, address }: Observation, nowMs: number): boolean {
    const network = networkOf(from)
    // From a private network a public address is hearsay, and the other way round; our own machine knows nothing.
    const scope = scopeOf(address)
    if (network === undefined || scope === 'local' || scope !== scopeOf(from)) return false
    if (!isListenable(address)) return false
    this.#expire(nowMs)
    this.#voices.delete(connection)
    if (this.#voices.size >= this.#limits.maxObservations && !this.#makeRoom(network)) return false
    const expiresAtMs = Infinity
    this.#voices.set(connection, { connection, observer, network, address, expiresAtMs })
    return true
  }

  /** A connection is gone: what it told holds for a while still. */
  ended(connection: string, nowMs: number): void {
    const voice = this.#voices.get(connection)
    if (voice !== undefined) voice.expiresAtMs = nowMs + this.#limits.observedTtlMs
  }

  /** Where we are reached, as far as enough peers in enough networks agree; those most agree on come first. */
  judged(nowMs: number): Address[] {
    this.#expire(nowMs)
    const votes = new Map<Address, { observers: Set<PeerId>; networks: Set<string> }>()
    for (const { address, observer, network } of this.#voices.values()) {
      let vote = votes.get(address)
      if (vote === undefined) {
        vote = { observers: new Set(), networks: new Set() }
        votes.set(address, vote)
      }
      vote.observers.add(observer)
      vote.networks.add(network)
    }
    const { minObservers, maxObservedAddresses } = this.#limits
    const weighed = [...votes].map(([address, { observers, networks }]) => ({
      address,
      weight: Math.min(observers.size, networks.size),
    }))
    return weighed
      .filter(({ weight }) => weight >= minObservers)
      .sort((a, b) => b.weight - a.weight || (a.address < b.address ? -1 : 1))
      .slice(0, maxObservedAddresses)
      .map(({ address }) => address)
  }

  /** All that anybody told, those most agree on first. */
  told(nowMs: number): Address[] {
    this.#expire(nowMs)
    const votes = new Map<Address, Set<string>>()
    for (const { address, network } of this.#voices.values()) {
      votes.set(address, (votes.get(address) ?? new Set()).add(network))
    }
    return [...votes].sort(([, a], [, b]) => b.size - a.size).map(([address]) => address)
  }

  /** Until when nothing of what is judged can change by itself; undefined: for ever. */
  get nextExpiryMs(): number | undefined {
    let next = Infinity
    for (const { expiresAtMs } of this.#voices.values()) next = Math.min(next, expiresAtMs)
    return next === Infinity ? undefined : next
  }

  #expire(nowMs: number): void {
    for (const [connection, { expiresAtMs }] of [...this.#voices]) {
      if (expiresAtMs <= nowMs) this.#voices.delete(connection)
    }
  }

  /** The network that says most gives up its oldest: a flood from one place pushes out nobody else. */
  #makeRoom(newcomer: string): boolean {
    const counts = new Map<string, number>([[newcomer, 1]])
    for (const { network } of this.#voices.values()) {
      counts.set(network, (counts.get(network) ?? 0) + 1)
    }
    const most = Math.max(...counts.values())
    if (most === 1) return false
    for (const [connection, { network }] of this.#voices) {
      if (counts.get(network) === most) return this.#voices.delete(connection)
    }
    return false
  }
}

/** The network that an address belongs to, which one party may have whole; undefined without an IP address. */
export function networkOf(address: Address): string | undefined {
  const ip = ipOf(address)
  return ip === undefined ? undefined : prefixKey(ipPrefix(ip, NETWORK_BITS[ip.version]))
}

/** The IP address that an address begins with. */
export function ipOf(address: Address): ReturnType<typeof parseIp> {
  const [, kind, host = ''] = address.split('/')
  return kind === 'ip4' || kind === 'ip6' ? parseIp(host) : undefined
}

/** `/ip…/tcp/PORT` and WebSocket on it, and nothing longer: no relay, no name, no peer. */
export function isListenable(address: Address): boolean {
  return /^\/ip[46]\/[^/]+\/tcp\/[1-9]\d*(\/(ws|wss|tls\/ws))?$/.test(address)
}
