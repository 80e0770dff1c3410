/**
 * Who may connect: counts connections by address, peer and direction, refuses past the limits, and remembers what is
 * banned or blocked. Pure bookkeeping: it opens and closes nothing, and reads no byte.
 */
import { P2pError } from '../errors.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'

import { ipGroup, ipPrefix, parseIp, prefixKey } from './ip.ts'
import type { IpPrefix } from './ip.ts'

/** The limits that admission keeps. */
export type AdmissionLimits = Pick<
  P2pLimits,
  | 'maxPendingInbound'
  | 'maxPendingPerAddress'
  | 'maxConnectionsPerAddress'
  | 'maxConnectionsPerPeer'
  | 'maxInboundConnections'
  | 'maxOutboundConnections'
  | 'reservedConnections'
  | 'maxBlocked'
>

/** Why a connection is refused. */
export type Refusal =
  | 'banned'
  | 'blocked'
  | 'too_many_pending'
  | 'too_many_pending_from_address'
  | 'too_many_from_address'
  | 'too_many_with_peer'
  | 'too_many_inbound'
  | 'too_many_outbound'
  | 'closed'

// All of them: the compiler misses one that is left out.
const REFUSALS: Readonly<Record<Refusal, true>> = {
  banned: true,
  blocked: true,
  too_many_pending: true,
  too_many_pending_from_address: true,
  too_many_from_address: true,
  too_many_with_peer: true,
  too_many_inbound: true,
  too_many_outbound: true,
  closed: true,
}

/** Narrows the reason of an error. */
export function isRefusal(reason: unknown): reason is Refusal {
  return typeof reason === 'string' && Object.hasOwn(REFUSALS, reason)
}

/** A connection's place. Hold it as long as the connection lives; release it once that is gone. */
export interface Ticket {
  readonly direction: 'inbound' | 'outbound'
  /** Known once established. */
  readonly peer: PeerId | undefined
  /** The other side is proven: from pending to established, or a reason to close the connection. */
  establish(peer: PeerId): Refusal | undefined
  /** Gives the place back. Idempotent. */
  release(): void
}

/** A place, or the reason why there is none. */
export type Admitted = { ticket: Ticket } | { refused: Refusal }

/** What counts at the moment. Every number is zero once all tickets are released. */
export interface AdmissionCounts {
  pendingInbound: number
  /** Established. */
  inbound: number
  /** Pending ones included. */
  outbound: number
  /** Addresses with a pending inbound connection, and with any inbound connection. */
  pendingAddresses: number
  addresses: number
  /** Peers with an established connection. */
  peers: number
}

/** What admission is made of. */
export interface AdmissionInit {
  limits: AdmissionLimits
  /** Whether a peer may take one of the `reservedConnections`. Default: nobody. */
  reserved?: (peer: PeerId) => boolean
}

/** Counts, bans and blocks of one node. */
export class Admission {
  readonly #limits: AdmissionLimits
  readonly #reserved: (peer: PeerId) => boolean
  readonly #tickets = new Set<Place>()
  readonly #bans = new Bans()
  readonly #blocked = new Set<PeerId>()
  readonly #pendingByAddress = new Tally()
  readonly #inboundByAddress = new Tally()
  readonly #byPeer = new Tally()
  #pendingInbound = 0
  #inbound = 0
  #outbound = 0

  constructor(init: AdmissionInit) {
    this.#limits = init.limits
    this.#reserved = init.reserved ?? ((): boolean => false)
  }

  /**
   * A place for a connection that was opened to us, before a byte of it is read.
   *
   * @param host - an IP address, or any other text that one sender cannot change; without one only totals count
   */
  inbound(host: string | undefined): Admitted {
    const limits = this.#limits
    const ip = host === undefined ? undefined : parseIp(host)
    const group = ip === undefined ? host : ipGroup(ip)
    if (ip !== undefined && this.#bans.match(ip)) return { refused: 'banned' }
    if (this.#pendingInbound >= limits.maxPendingInbound) return { refused: 'too_many_pending' }
    // Who is at the other end shows later; here only the room of everybody together is known.
    if (this.#inbound >= limits.maxInboundConnections + limits.reservedConnections) {
      return { refused: 'too_many_inbound' }
    }
    if (group !== undefined) {
      if (this.#pendingByAddress.of(group) >= limits.maxPendingPerAddress) {
        return { refused: 'too_many_pending_from_address' }
      }
      if (this.#inboundByAddress.of(group) >= limits.maxConnectionsPerAddress) {
        return { refused: 'too_many_from_address' }
      }
      this.#pendingByAddress.add(group)
      this.#inboundByAddress.add(group)
    }
    this.#pendingInbound += 1
    return { ticket: this.#issue('inbound', ip, group) }
  }

  /**
   * A place for a connection that we open.
   *
   * @param host - as for `inbound`
   * @param peer - who is expected there, where that is known
   */
  outbound(host: string | undefined, peer?: PeerId): Admitted {
    const ip = host === undefined ? undefined : parseIp(host)
    if (ip !== undefined && this.#bans.match(ip)) return { refused: 'banned' }
    if (peer !== undefined && this.#blocked.has(peer)) return { refused: 'blocked' }
    if (this.#outbound >= this.#limits.maxOutboundConnections)
      return { refused: 'too_many_outbound' }
    this.#outbound += 1
    return { ticket: this.#issue('outbound', ip, undefined) }
  }

  /**
   * Refuses an address or a prefix (`10.0.0.0/8`, `2001:db8::/32`) from now on, in both directions.
   *
   * @returns the tickets whose connections are to be closed
   * @throws `SyntaxError` for no IP address, `P2pError` `resource_exhausted` past `maxBlocked`
   */
  ban(address: string): Ticket[] {
    const prefix = readPrefix(address, 'ban')
    if (!this.#bans.has(prefix) && this.#bans.size >= this.#limits.maxBlocked)
      throw full('ban', address)
    this.#bans.add(prefix)
    return [...this.#tickets].filter(({ ip }) => ip !== undefined && contains(prefix, ip))
  }

  /**
   * Undoes `ban` of the same address or prefix. False when there was none.
   *
   * @throws `SyntaxError` for no IP address
   */
  unban(address: string): boolean {
    return this.#bans.remove(readPrefix(address, 'unban'))
  }

  /** What is banned, as prefixes. */
  get banned(): string[] {
    return this.#bans.list()
  }

  /** Whether an IP address is banned. Anything but an IP address is not. */
  isBanned(host: string): boolean {
    const ip = parseIp(host)
    return ip !== undefined && this.#bans.match(ip)
  }

  /**
   * Refuses a peer from now on, in both directions.
   *
   * @returns the tickets whose connections are to be closed
   * @throws `P2pError` `resource_exhausted` past `maxBlocked`
   */
  block(peer: PeerId): Ticket[] {
    if (!this.#blocked.has(peer) && this.#blocked.size >= this.#limits.maxBlocked) {
      throw full('block', peer)
    }
    this.#blocked.add(peer)
    return [...this.#tickets].filter((ticket) => ticket.peer === peer)
  }

  /** Undoes `block`. False when the peer was not blocked. */
  unblock(peer: PeerId): boolean {
    return this.#blocked.delete(peer)
  }

  /** Who is blocked. */
  get blocked(): PeerId[] {
    return [...this.#blocked]
  }

  /** Whether a peer is blocked. */
  isBlocked(peer: PeerId): boolean {
    return this.#blocked.has(peer)
  }

  /** What counts at the moment. */
  get counts(): AdmissionCounts {
    return {
      pendingInbound: this.#pendingInbound,
      inbound: this.#inbound,
      outbound: this.#outbound,
      pendingAddresses: this.#pendingByAddress.size,
      addresses: this.#inboundByAddress.size,
      peers: this.#byPeer.size,
    }
  }

  #issue(
    direction: 'inbound' | 'outbound',
    ip: IpPrefix | undefined,
    group: string | undefined,
  ): Ticket {
    const place: Place = new Place(direction, ip, group, {
      establish: (peer) => this.#establish(place, peer),
      release: () => {
        this.#release(place)
      },
    })
    this.#tickets.add(place)
    return place
  }

  #establish(place: Place, peer: PeerId): Refusal | undefined {
    const limits = this.#limits
    if (!this.#tickets.has(place) || place.peer !== undefined) return 'closed'
    if (place.ip !== undefined && this.#bans.match(place.ip)) return 'banned'
    if (this.#blocked.has(peer)) return 'blocked'
    if (this.#byPeer.of(peer) >= limits.maxConnectionsPerPeer) return 'too_many_with_peer'
    if (place.direction === 'inbound') {
      const reserved =
        this.#inbound >= limits.maxInboundConnections && this.#reserved(peer)
          ? limits.reservedConnections
          : 0
      if (this.#inbound >= limits.maxInboundConnections + reserved) return 'too_many_inbound'
      this.#inbound += 1
      this.#leavePending(place)
    }
    this.#byPeer.add(peer)
    place.peer = peer
    return undefined
  }

  #release(place: Place): void {
    if (!this.#tickets.delete(place)) return
    if (place.peer !== undefined) this.#byPeer.remove(place.peer)
    if (place.direction === 'outbound') {
      this.#outbound -= 1
      return
    }
    if (place.peer !== undefined) this.#inbound -= 1
    else this.#leavePending(place)
    if (place.group !== undefined) this.#inboundByAddress.remove(place.group)
  }

  #leavePending(place: Place): void {
    this.#pendingInbound -= 1
    if (place.group !== undefined) this.#pendingByAddress.remove(place.group)
  }
}

/** The error with which a refused connection is closed or a refused dial fails. */
export function refusalError(
  refused: Refusal,
  about: { peer?: PeerId | undefined; address?: Address | undefined } = {},
): P2pError {
  const denied = refused === 'banned' || refused === 'blocked'
  const code = denied
    ? 'permission_denied'
    : refused === 'closed'
      ? 'canceled'
      : 'resource_exhausted'
  return new P2pError(code, `Cannot connect: ${refused.replaceAll('_', ' ')}`, {
    layer: denied ? 'firewall' : refused === 'closed' ? 'dial' : 'limit',
    reason: refused,
    ...(about.peer === undefined ? {} : { peer: about.peer }),
    ...(about.address === undefined ? {} : { address: about.address }),
  })
}

class Place implements Ticket {
  readonly direction: 'inbound' | 'outbound'
  readonly ip: IpPrefix | undefined
  readonly group: string | undefined
  readonly #book: Pick<Ticket, 'establish' | 'release'>
  peer: PeerId | undefined

  constructor(
    direction: 'inbound' | 'outbound',
    ip: IpPrefix | undefined,
    group: string | undefined,
    book: Pick<Ticket, 'establish' | 'release'>,
  ) {
    this.direction = direction
    this.ip = ip
    this.group = group
    this.#book = book
  }

  establish(peer: PeerId): Refusal | undefined {
    return this.#book.establish(peer)
  }

  release(): void {
    this.#book.release()
  }
}

/** Counts by key; what reaches zero is forgotten. */
class Tally {
  readonly #counts = new Map<string, number>()

  get size(): number {
    return this.#counts.size
  }

  of(key: string): number {
    return this.#counts.get(key) ?? 0
  }

  add(key: string): void {
    this.#counts.set(key, this.of(key) + 1)
  }

  remove(key: string): void {
    const left = this.of(key) - 1
    if (left > 0) this.#counts.set(key, left)
    else this.#counts.delete(key)
  }
}

/** Banned prefixes. Looks an address up once per length in use, however many prefixes there are. */
class Bans {
  readonly #keys = new Set<string>()
  readonly #lengths = new Map<string, { version: 4 | 6; length: number; uses: number }>()

  get size(): number {
    return this.#keys.size
  }

  has(prefix: IpPrefix): boolean {
    return this.#keys.has(prefixKey(prefix))
  }

  add(prefix: IpPrefix): void {
    if (this.has(prefix)) return
    this.#keys.add(prefixKey(prefix))
    const { version, length } = prefix
    const inUse = this.#lengths.get(lengthKey(prefix)) ?? { version, length, uses: 0 }
    inUse.uses += 1
    this.#lengths.set(lengthKey(prefix), inUse)
  }

  remove(prefix: IpPrefix): boolean {
    if (!this.#keys.delete(prefixKey(prefix))) return false
    const inUse = this.#lengths.get(lengthKey(prefix))
    if (inUse !== undefined && --inUse.uses === 0) this.#lengths.delete(lengthKey(prefix))
    return true
  }

  match(ip: IpPrefix): boolean {
    for (const { version, length } of this.#lengths.values()) {
      if (version === ip.version && this.#keys.has(prefixKey(ipPrefix(ip, length)))) return true
    }
    return false
  }

  list(): string[] {
    return [...this.#keys]
  }
}

function lengthKey({ version, length }: IpPrefix): string {
  return `${version.toString()}/${length.toString()}`
}

function contains(prefix: IpPrefix, ip: IpPrefix): boolean {
  return prefix.version === ip.version && ipPrefix(ip, prefix.length).bits === prefix.bits
}

function readPrefix(address: string, action: string): IpPrefix {
  const prefix = parseIp(address)
  if (prefix === undefined) {
    throw new SyntaxError(
      `Cannot ${action} ${JSON.stringify(address.slice(0, 64))}: neither an IP address nor a prefix`,
    )
  }
  return prefix
}

function full(action: string, what: string): P2pError {
  return new P2pError(
    'resource_exhausted',
    `Cannot ${action} ${JSON.stringify(what.slice(0, 64))}: too many are already`,
    { layer: 'limit' },
  )
}
