/**
 * Everything of a node that has to do with relays: the reservations it keeps, the circuits it opens and takes, and the
 * relay that it is itself, where it is one. It connects and listens through what it is handed.
 */
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import type { NewEvent } from '../events.ts'
import { parseAddress, parsePeerId } from '../identity.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import type { Identity } from '../open-identity.ts'

import { RelayAccounts } from './relay-accounts.ts'
import type { RelayQuota, RelayTotals, RelayUsage } from './relay-accounts.ts'
import { answerStop, askCircuit } from './relay-client.ts'
import type { RawCircuit, RelayLink } from './relay-client.ts'
import { RelayKeeper } from './relay-keeper.ts'
import type { RelayState } from './relay-keeper.ts'
import { HOP_PROTOCOL, STOP_PROTOCOL } from './relay-message.ts'
import { RelayServer } from './relay-server.ts'
import { checkQuota } from './relay-settings.ts'
import type { ExportedRelays } from './relay-settings.ts'
import { circuitAddress } from './relay-transport.ts'
import type { RelayArrivals, RelayPlace } from './relay-transport.ts'

/** How a node serves as a relay. */
export interface RelayServeInit {
  /** Who may be reached through it. Default: everybody who is not denied. Anybody who is not denied may dial through it. */
  allow?: readonly string[]
  /** What everybody may use in the place of the limits. Default: what they say. */
  quota?: RelayQuota
  /** What single peers may use in the place of that, by peer id. */
  quotas?: Readonly<Record<string, RelayQuota>>
}

/** A node and relays. */
export interface RelayInit {
  /** Serves as a relay, within the limits that begin with `maxRelay`. Default: no. */
  serve?: boolean | RelayServeInit
  /** Relays to be reached through, each `RELAY/p2p-circuit`: kept in the background, whether they are there now or not. */
  use?: readonly string[]
  /**
   * Whether to try for a direct connection, by dialling back and by hole punching, once one through a relay stands. Default:
   * yes. Where it fails the relayed one stays.
   */
  punch?: boolean
}

/** How it stands with relays. Frozen, prints as JSON. */
export interface RelayStatus {
  /** What this relay carries; undefined where the node is none. */
  readonly serving: (RelayTotals & { readonly everybody: boolean }) | undefined
  /** The relays that we are to be reached through. */
  readonly relays: readonly RelayState[]
}

/** Relays at run time. */
export interface RelayControl {
  /** How it stands. */
  status(): RelayStatus
  /** What each peer used of this relay, the most recently seen first. Empty where the node is none. */
  usage(): RelayUsage[]
  /**
   * Lets a peer, or everybody who is not denied, be reached through this relay.
   *
   * @throws `P2pError` `failed_precondition` where the node is no relay, `resource_exhausted` past `maxBlocked`
   */
  allow(peer: PeerId | 'everybody'): void
  /**
   * Refuses a peer and cuts its circuits, or refuses everybody who is not allowed by name.
   *
   * @throws as `allow`
   */
  deny(peer: PeerId | 'everybody'): void
  /** What a peer, or everybody, was given in the place of the limits. */
  quotaOf(peer: PeerId | 'everybody'): RelayQuota | undefined
  /**
   * Gives a peer, or everybody who has none by name, other bounds than the limits, from the next reservation and circuit
   * on; bytes of a day count at once. Undefined takes them back.
   *
   * @throws as `allow`; `TypeError` and `RangeError` for what is no quota
   */
  setQuota(peer: PeerId | 'everybody', quota: RelayQuota | undefined): void
  /**
   * Is reached through a relay from now on: keeps a reservation there, however often it is lost. Unlike `listen` it does
   * not wait for the first one.
   *
   * @throws `SyntaxError` or `TypeError` for what is no such address, `P2pError` `failed_precondition` where it is
   *   done already, and past `maxRelays`
   */
  use(address: string): Promise<void>
  /** Undoes `use`, or `listen` there. False where there was nothing to undo. */
  unuse(address: string): Promise<boolean>
}

/** Who is at the other end of a connection, and how. */
export interface RelayNeighbour {
  readonly peer: PeerId
  /** Where it is, as its connection says, without its peer id. */
  readonly address: Address
  readonly relayed: boolean
}

/** What relays need of the node. */
export interface RelaysInit {
  readonly identity: Pick<Identity, 'peer' | 'publicKey' | 'sign'>
  readonly limits: Readonly<P2pLimits>
  readonly clock: Clock
  readonly init: RelayInit
  /** So many bytes nobody can foresee. */
  random(length: number): Uint8Array
  /** Relays that are known, for whoever names none. */
  known(): Address[]
  /** Connects, directly. @throws `P2pError`; the signal's reason */
  connect(relay: Address, signal: AbortSignal): Promise<RelayLink>
  /** A stream on a direct connection that there is. @throws where none can be opened */
  open(peer: PeerId, protocol: string): Pipe | undefined
  /** Where we are reached directly, as multiaddr bytes. */
  addresses(): Uint8Array[]
  listen(address: Address): Promise<unknown>
  unlisten(address: Address): Promise<boolean>
  emit(event: NewEvent): void
}

interface Kept {
  readonly keeper: RelayKeeper
  readonly arrivals: RelayArrivals
  close(): void
}

/** The relays of one node. */
export class Relays implements RelayControl {
  readonly #init: RelaysInit
  readonly #accounts: RelayAccounts | undefined
  readonly #server: RelayServer | undefined
  readonly #kept = new Map<Address, Kept>()

  constructor(init: RelaysInit) {
    this.#init = init
    const { serve = false } = init.init
    if (serve === false) return
    const { identity, limits, clock } = init
    const { allow, quota, quotas = {} } = serve === true ? {} : serve
    this.#accounts = new RelayAccounts({
      limits,
      everybody: allow === undefined,
      allowed: (allow ?? []).map(parsePeerId),
      quota,
    })
    this.#server = new RelayServer({
      identity,
      limits,
      clock,
      accounts: this.#accounts,
      addresses: () => init.addresses(),
      open: (peer, protocol) => init.open(peer, protocol),
    })
    for (const [peer, quota] of Object.entries(quotas)) this.setQuota(parsePeerId(peer), quota)
  }

  /** The protocols that others may open to us because of relays. */
  get protocols(): string[] {
    return this.#server === undefined ? [STOP_PROTOCOL] : [HOP_PROTOCOL, STOP_PROTOCOL]
  }

  status(): RelayStatus {
    const totals = this.#accounts?.totals(this.#init.clock.nowMs())
    const everybody = this.#accounts?.everybody === true
    return Object.freeze({
      serving: totals === undefined ? undefined : { ...totals, everybody },
      relays: [...this.#kept.values()].map(({ keeper }) => keeper.state),
    })
  }

  usage(): RelayUsage[] {
    return this.#accounts?.usage(this.#init.clock.nowMs()) ?? []
  }

  allow(peer: PeerId | 'everybody'): void {
    const accounts = this.#serving('allow a peer')
    if (peer === 'everybody') accounts.everybody = true
    else if (!accounts.allow(parsePeerId(peer))) throw full('allow', peer)
  }

  deny(peer: PeerId | 'everybody'): void {
    const accounts = this.#serving('deny a peer')
    if (peer === 'everybody') {
      accounts.everybody = false
      return
    }
    const id = parsePeerId(peer)
    if (!accounts.deny(id)) throw full('deny', peer)
    this.#server?.cut(id)
  }

  quotaOf(peer: PeerId | 'everybody'): RelayQuota | undefined {
    if (peer !== 'everybody') return this.#accounts?.quotaOf(parsePeerId(peer))
    const quota = this.#accounts?.quota ?? {}
    return Object.keys(quota).length === 0 ? undefined : quota
  }

  setQuota(peer: PeerId | 'everybody', quota: RelayQuota | undefined): void {
    const accounts = this.#serving('set a quota')
    if (quota !== undefined) checkQuota(quota)
    if (peer === 'everybody') accounts.quota = quota ?? {}
    else if (!accounts.setQuota(parsePeerId(peer), quota)) throw full('give a quota to', peer)
  }

  async use(address: string): Promise<void> {
    await this.#init.listen(assertListen(parseAddress(address)))
  }

  unuse(address: string): Promise<boolean> {
    return this.#init.unlisten(assertListen(parseAddress(address)))
  }

  /** What it can be set up with again. */
  export(): ExportedRelays {
    const use = [...this.#kept.keys()]
    if (this.#accounts === undefined) return { use }
    const { everybody, allowed, denied, quota, quotas } = this.#accounts
    return { use, serving: { everybody, allowed, denied, quota, quotas } }
  }

  /** @throws `TypeError` for an address that is no relay's, `P2pError` where terms are of a relay and the node is none */
  checkRestore({ use, serving }: ExportedRelays): void {
    use.forEach(assertListen)
    if (serving !== undefined) this.#serving('restore the terms of a relay')
  }

  /** Takes over what `export` gave, beside what there is. @throws `P2pError` past `maxRelays` or `maxBlocked` */
  async restore({ use, serving }: ExportedRelays): Promise<void> {
    if (serving !== undefined) {
      this[serving.everybody ? 'allow' : 'deny']('everybody')
      for (const peer of serving.allowed) this.allow(peer)
      for (const peer of serving.denied) this.deny(peer)
      this.setQuota('everybody', serving.quota)
      for (const { peer, quota } of serving.quotas) this.setQuota(peer, quota)
    }
    for (const address of use) if (!this.#kept.has(address)) await this.use(address)
  }

  /** Listens through a relay: keeps a reservation until the place is closed. @throws `P2pError` past `maxRelays` */
  listen(address: Address, arrivals: RelayArrivals): RelayPlace {
    const { limits } = this.#init
    if (this.#kept.has(address)) {
      throw new P2pError('failed_precondition', `Cannot listen on ${address}: it is done already`, {
        layer: 'relay',
        address,
      })
    }
    if (this.#kept.size >= limits.maxRelays) {
      const text = `Cannot listen on ${address}: ${limits.maxRelays} relays are in use`
      throw new P2pError('resource_exhausted', text, { layer: 'limit', address })
    }
    const keeper = this.#keeper(address)
    // As a listening socket does: a process that waits for its relay to come back must not end meanwhile.
    const alive = setInterval(() => {}, 0x7fffffff)
    const kept: Kept = {
      keeper,
      arrivals,
      close: () => {
        clearInterval(alive)
        keeper.close()
      },
    }
    this.#kept.set(address, kept)
    return {
      get addresses() {
        return keeper.state.addresses
      },
      close: () => {
        if (this.#kept.get(address) === kept) this.#kept.delete(address)
        kept.close()
      },
    }
  }

  /** Waits for the first reservation there. @throws `P2pError`: the first try failed */
  async reserved(address: Address): Promise<readonly Address[]> {
    const kept = this.#kept.get(address)
    await kept?.keeper.first
    return kept?.keeper.state.addresses ?? []
  }

  /** A circuit to somebody, not secured. @throws `P2pError`; the signal's reason */
  async dial(relay: Address, to: PeerId, signal: AbortSignal): Promise<RawCircuit> {
    const link = await this.#init.connect(relay, signal)
    return askCircuit(link, to, this.#init, signal)
  }

  /** Takes an inbound stream. False: not one of ours. */
  take(protocol: string, pipe: Pipe, from: RelayNeighbour): boolean {
    if (protocol === STOP_PROTOCOL) {
      this.#stop(pipe, from).catch((error: unknown) => {
        pipe.destroy(error instanceof Error ? error : new Error(String(error)))
      })
      return true
    }
    if (protocol !== HOP_PROTOCOL || this.#server === undefined) return false
    const { peer, relayed } = from
    this.#server.take(pipe, { peer, relayed, host: hostOf(from.address) })
    return true
  }

  /** Whether a connection with the peer has to stay although nothing runs on it. */
  needs(peer: PeerId): boolean {
    return (
      this.#placeAt(peer) !== undefined ||
      this.#accounts?.holds(peer, this.#init.clock.nowMs()) === true
    )
  }

  /** No direct connection with the peer is left. */
  gone(peer: PeerId): void {
    this.#server?.gone(peer)
  }

  /** Ends all of it. Idempotent. */
  close(): void {
    for (const kept of this.#kept.values()) kept.close()
    this.#kept.clear()
    this.#server?.close()
  }

  async #stop(pipe: Pipe, { peer: relay, address, relayed }: RelayNeighbour): Promise<void> {
    const wanted = !relayed && this.#placeAt(relay) !== undefined
    const incoming = await answerStop(pipe, wanted, this.#init)
    if (incoming === undefined) return
    const place = this.#placeAt(relay)
    if (place === undefined) pipe.destroy()
    else place.arrivals.arrived(incoming, `${address}/p2p/${relay}` as Address, incoming.from)
  }

  #placeAt(relay: PeerId): Kept | undefined {
    for (const kept of this.#kept.values()) {
      const { state } = kept.keeper
      if (state.relay === relay && state.state === 'reserved') return kept
    }
    return undefined
  }

  #keeper(address: Address): RelayKeeper {
    const init = this.#init
    const { identity, limits, clock } = init
    const { relay } = assertParts(address)
    let before: RelayState | undefined
    const keeper: RelayKeeper = new RelayKeeper(address, {
      self: identity.peer,
      limits,
      clock,
      random: () => (init.random(1)[0] ?? 0) / 256,
      candidates: () => (relay === '' ? this.#unused() : [relay]),
      connect: (one, signal) => init.connect(one, signal),
      onChange: (state, error) => {
        const was = before
        before = state
        const kept = this.#kept.get(address)
        if (kept === undefined) return
        if (state.addresses.join() !== (was?.addresses ?? []).join()) kept.arrivals.changed()
        if (state.state === 'reserved' && state.relay !== undefined) {
          const { expiresAtMs = 0, addresses } = state
          init.emit({ type: 'relayReserved', address, relay: state.relay, addresses, expiresAtMs })
        } else if (state.state === 'waiting') {
          const { message = '', retryAtMs = 0, failures } = state
          const code = error?.code ?? 'unavailable'
          init.emit({ type: 'relayLost', address, code, message, failures, retryAtMs })
        }
      },
    })
    return keeper
  }

  /** Known relays through which nobody reaches us yet. */
  #unused(): Address[] {
    const used = new Set([...this.#kept.values()].map(({ keeper }) => keeper.state.relay))
    return this.#init.known().filter((one) => {
      const peer = /\/p2p\/([^/]+)$/.exec(one)?.[1]
      return !used.has(peer as PeerId | undefined)
    })
  }

  #serving(what: string): RelayAccounts {
    if (this.#accounts !== undefined) return this.#accounts
    const text = `Cannot ${what}: the node is no relay`
    throw new P2pError('failed_precondition', text, { layer: 'relay' })
  }
}

/** Whether an address is one to listen on through a relay. */
export function isRelayListen(address: Address): boolean {
  const parts = circuitAddress(address)
  return parts !== undefined && parts.to === undefined
}

/** @throws `TypeError` for what nobody can set up so, `SyntaxError` for what is no peer or address */
export function checkRelayInit(init: RelayInit): void {
  for (const key of Object.keys(init)) {
    if (key !== 'serve' && key !== 'use' && key !== 'punch')
      throw misused(`unknown key ${key.slice(0, 64)}`)
  }
  for (const one of init.use ?? []) assertListen(parseAddress(one))
  const { serve = false, punch = true } = init
  if (typeof punch !== 'boolean') throw misused('punch is neither true nor false')
  if (typeof serve === 'boolean') return
  for (const key of Object.keys(serve)) {
    if (key !== 'allow' && key !== 'quota' && key !== 'quotas')
      throw misused(`unknown key ${key.slice(0, 64)}`)
  }
  for (const one of serve.allow ?? []) parsePeerId(one)
  checkQuota(serve.quota ?? {})
  for (const [peer, quota] of Object.entries(serve.quotas ?? {})) {
    parsePeerId(peer)
    checkQuota(quota)
  }
}

function assertListen(address: Address): Address {
  assertParts(address)
  return address
}

function assertParts(address: Address): { relay: Address } {
  const parts = circuitAddress(address)
  if (parts === undefined || parts.to !== undefined) {
    throw misused(`${JSON.stringify(address.slice(0, 64))} is not RELAY/p2p-circuit`)
  }
  return parts
}

function misused(state: string): TypeError {
  return new TypeError(`Cannot set up relays: ${state}`)
}

function full(action: string, peer: string): P2pError {
  const text = `Cannot ${action} ${peer.slice(0, 64)}: too many are named already`
  return new P2pError('resource_exhausted', text, { layer: 'limit' })
}

/** The IP address that an address begins with. */
function hostOf(address: Address): string | undefined {
  const parts = address.split('/')
  const at = parts[1] === 'ip6zone' ? 3 : 1
  return parts[at] === 'ip4' || parts[at] === 'ip6' ? parts[at + 1] : undefined
}
