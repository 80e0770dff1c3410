/**
 * The address book: where peers may be reached, in the order worth trying, and through which relays. Bounded and
 * pure: it dials nothing, reads no file, and time is handed in.
 */
import type { Clock } from '../clock.ts'
import { P2pError } from '../errors.ts'
import type { Address, PeerId } from '../identity.ts'
import { readBook, readRelayMode } from './book-file.ts'
import type { AddressSource, BookParsers, ExportedBook, RelayMode } from './book-file.ts'
import { scopeOf } from './scope.ts'
import type { Scope } from './scope.ts'

/** How to add addresses. */
export interface AddAddressOptions {
  /** Default `'user'`. */
  source?: AddressSource
  /** How long it stays. Default: for ever from the user, else one hour. */
  ttlMs?: number
}

/** One address in the book. */
export interface AddressEntry {
  /** With the peer's `/p2p/…` at its end: ready to dial. */
  readonly address: Address
  readonly source: AddressSource
  readonly relayed: boolean
  /** Since the epoch; undefined: does not expire. */
  readonly expiresAtMs: number | undefined
  /** When it last worked. */
  readonly lastSuccessMs: number | undefined
  /** Failures since it last worked. */
  readonly failures: number
  /** Not worth a try before, unless there is nothing else. */
  readonly retryAtMs: number | undefined
}

/** What the book is made of. */
export interface AddressBookInit extends BookParsers {
  readonly limits: { readonly maxPeersInBook: number; readonly maxAddressesPerPeer: number }
  readonly clock: Clock
}

// Ours. Found addresses are told again while they hold; one that worked is worth more than that.
const FOUND_TTL_MS = 60 * 60_000
const WORKED_TTL_MS = 7 * 24 * 60 * 60_000
// Ours. The first failure may be chance, later ones hardly.
const FIRST_RETRY_MS = 1000
const MAX_RETRY_MS = 5 * 60_000

interface Entry {
  readonly address: Address
  readonly relayed: boolean
  readonly scope: Scope
  source: AddressSource
  expiresAtMs: number
  lastSuccessMs: number | undefined
  failures: number
  retryAtMs: number
}

type Entries = Map<Address, Entry>

/** The address book of one node. */
export class AddressBook {
  readonly #init: AddressBookInit
  readonly #peers = new Map<PeerId, Entries>()
  // Peers that may be forgotten, the least recently useful first: those that never worked before those that did.
  readonly #unproven = new Set<PeerId>()
  readonly #proven = new Set<PeerId>()
  readonly #relays: Address[] = []
  readonly #modes = new Map<PeerId, RelayMode>()
  #revision = 0

  constructor(init: AddressBookInit) {
    this.#init = init
  }

  /** Grows with every change, so that whoever stores the book knows when to. */
  get revision(): number {
    return this.#revision
  }

  /**
   * Adds addresses, or renews them. Ones from the user stay until removed, unless they have a `ttlMs`; for others
   * the least useful makes room, and those that name another peer are ignored.
   *
   * @throws `SyntaxError` for what is no peer or address; `RangeError` for a user's address of another peer or a
   *   `ttlMs` that is no positive number; `P2pError` `resource_exhausted` where only the user's own could make room
   */
  add(
    peer: PeerId,
    addresses: Address | readonly Address[],
    options: AddAddressOptions = {},
  ): void {
    const { source = 'user' } = options
    const ttlMs = options.ttlMs ?? (source === 'user' ? Infinity : FOUND_TTL_MS)
    if (!(ttlMs > 0)) throw new RangeError('Cannot add an address: ttlMs is no positive number')
    const parsedPeer = this.#init.parsePeer(peer)
    const given = typeof addresses === 'string' ? [addresses] : addresses
    const bare: Address[] = []
    for (const address of given) {
      const stripped = bareAddress(this.#init.parseAddress(address), parsedPeer)
      if (stripped !== undefined) bare.push(stripped)
      else if (source === 'user') {
        throw new RangeError(`Cannot add an address: ${quote(address)} names another peer`)
      }
    }
    if (source === 'user') this.#assertRoom(new Map([[parsedPeer, new Set(bare)]]))
    const expiresAtMs = this.#init.clock.nowMs() + ttlMs
    for (const address of bare) this.#put(parsedPeer, { address, source, expiresAtMs })
  }

  /** Removes one address, or a peer with all of them. True where there was something to remove. */
  remove(peer: PeerId, address?: Address): boolean {
    const parsedPeer = this.#init.parsePeer(peer)
    const entries = this.#peers.get(parsedPeer)
    if (entries === undefined) return false
    if (address === undefined) this.#forget(parsedPeer)
    else {
      const bare = bareAddress(this.#init.parseAddress(address), parsedPeer)
      if (bare === undefined || !entries.delete(bare)) return false
      this.#rank(parsedPeer, entries)
    }
    this.#revision++
    return true
  }

  /** The addresses of a peer, the one most worth trying first. */
  list(peer: PeerId): AddressEntry[] {
    const parsedPeer = this.#init.parsePeer(peer)
    return this.#ordered(parsedPeer).map((entry) => ({
      address: `${entry.address}/p2p/${parsedPeer}` as Address,
      source: entry.source,
      relayed: entry.relayed,
      expiresAtMs: entry.expiresAtMs === Infinity ? undefined : entry.expiresAtMs,
      lastSuccessMs: entry.lastSuccessMs,
      failures: entry.failures,
      retryAtMs: entry.failures === 0 ? undefined : entry.retryAtMs,
    }))
  }

  /** All peers with an address. */
  peers(): PeerId[] {
    for (const [peer, entries] of [...this.#peers]) this.#expire(peer, entries)
    return [...this.#peers.keys()]
  }

  /**
   * What to dial to reach a peer, in order, as its relay mode wants it: known addresses and, after them, the
   * dialing relays.
   */
  candidates(peer: PeerId): Address[] {
    const parsedPeer = this.#init.parsePeer(peer)
    const mode = this.relayMode(parsedPeer)
    const known = this.list(parsedPeer)
    const direct = known.filter(({ relayed }) => !relayed).map(({ address }) => address)
    if (mode === 'never') return direct
    const named = mode === 'only' || mode === 'fallback' ? undefined : mode
    const own = named === undefined ? [] : this.#direct(named)
    const relays = [...this.#relays, ...own].filter((relay) => peerOfAddress(relay) !== parsedPeer)
    const relayed = [
      ...known.filter((entry) => entry.relayed).map(({ address }) => address),
      ...relays.map((relay) => `${relay}/p2p-circuit/p2p/${parsedPeer}` as Address),
    ]
    const through = new Set(
      named === undefined
        ? relayed
        : relayed.filter((address) => address.includes(`/p2p/${named}/p2p-circuit/`)),
    )
    return mode === 'fallback' ? [...direct, ...through] : [...through]
  }

  /** A dial of this address succeeded. Not for inbound connections: their addresses are nobody's listener. */
  succeeded(peer: PeerId, address: Address): void {
    const bare = bareAddress(address, peer)
    if (bare === undefined) return
    const nowMs = this.#init.clock.nowMs()
    const expiresAtMs = nowMs + WORKED_TTL_MS
    this.#put(peer, { address: bare, source: 'connection', expiresAtMs, lastSuccessMs: nowMs })
  }

  /** A dial of this address failed: it waits twice as long as before, up to five minutes. */
  failed(peer: PeerId, address: Address): void {
    const bare = bareAddress(address, peer)
    const entry = bare === undefined ? undefined : this.#peers.get(peer)?.get(bare)
    if (entry === undefined) return
    const waitMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(entry.failures, 30), MAX_RETRY_MS)
    entry.failures++
    entry.retryAtMs = this.#init.clock.nowMs() + waitMs
    this.#revision++
  }

  /**
   * Adds a relay through which peers may be dialed.
   *
   * @throws `SyntaxError` for what is no address, `RangeError` for one that names no peer at its end or is relayed
   */
  addDialingRelay(relay: Address): void {
    const address = assertRelay(this.#init.parseAddress(relay))
    if (this.#relays.includes(address)) return
    this.#relays.push(address)
    this.#revision++
  }

  /** True where there was such a relay. */
  removeDialingRelay(relay: Address): boolean {
    const at = this.#relays.indexOf(this.#init.parseAddress(relay))
    if (at < 0) return false
    this.#relays.splice(at, 1)
    this.#revision++
    return true
  }

  /** Relays through which peers may be dialed, in order. */
  dialingRelays(): Address[] {
    return [...this.#relays]
  }

  /**
   * How relays are used towards a peer. Default `'fallback'`.
   *
   * @throws `SyntaxError` for what is no peer, or no mode
   */
  setRelayMode(peer: PeerId, mode: RelayMode): void {
    const parsedPeer = this.#init.parsePeer(peer)
    const parsedMode = readRelayMode(mode, this.#init)
    if (parsedMode === 'fallback') this.#modes.delete(parsedPeer)
    else this.#modes.set(parsedPeer, parsedMode)
    this.#revision++
  }

  /** How relays are used towards a peer. */
  relayMode(peer: PeerId): RelayMode {
    return this.#modes.get(peer) ?? 'fallback'
  }

  /** The book as JSON, without what is expired. Failures stay here. */
  export(): ExportedBook {
    const peers = this.peers().map((peer) => ({
      peer,
      addresses: this.#ordered(peer).map(({ address, source, expiresAtMs, lastSuccessMs }) => ({
        address,
        source,
        ...(expiresAtMs === Infinity ? {} : { expiresAtMs }),
        ...(lastSuccessMs === undefined ? {} : { lastSuccessMs }),
      })),
    }))
    return {
      version: 1,
      peers,
      dialingRelays: this.dialingRelays(),
      relayModes: [...this.#modes].map(([peer, relay]) => ({ peer, relay })),
    }
  }

  /**
   * Adds what was exported to what is here, all or nothing: the later expiry and success win, relay modes are
   * replaced, what is expired is left out.
   *
   * @throws `TypeError` for another version or shape, `SyntaxError` for what is no peer or address, `RangeError` for
   *   an address of another peer, `P2pError` `resource_exhausted` where the user's own would not fit
   */
  import(json: unknown): void {
    const book = readBook(json, this.#init)
    const nowMs = this.#init.clock.nowMs()
    const pinned = new Map<PeerId, Set<Address>>()
    const puts: [PeerId, Put][] = []
    for (const { peer, addresses } of book.peers) {
      for (const { address, source, expiresAtMs = Infinity, lastSuccessMs } of addresses) {
        const bare = bareAddress(address, peer)
        if (bare === undefined) {
          throw new RangeError(
            `Cannot import the address book: ${quote(address)} names another peer`,
          )
        }
        if (expiresAtMs <= nowMs) continue
        const put: Put = { address: bare, source, expiresAtMs }
        // A clock that ran ahead must not make an address the best for ever.
        if (lastSuccessMs !== undefined) put.lastSuccessMs = Math.min(lastSuccessMs, nowMs)
        puts.push([peer, put])
        if (source === 'user') pinned.set(peer, (pinned.get(peer) ?? new Set()).add(bare))
      }
    }
    const relays = book.dialingRelays.map(assertRelay)
    this.#assertRoom(pinned)
    // The user's own first: what was found makes room for them, and never the other way round.
    for (const own of [true, false]) {
      for (const [peer, put] of puts) if ((put.source === 'user') === own) this.#put(peer, put)
    }
    for (const relay of relays) this.addDialingRelay(relay)
    for (const { peer, relay } of book.relayModes) this.setRelayMode(peer, relay)
  }

  /** Addresses of a peer that is itself a relay, in order, direct ones only. */
  #direct(peer: PeerId): Address[] {
    const direct = this.#ordered(peer).filter(({ relayed }) => !relayed)
    return direct.map(({ address }) => `${address}/p2p/${peer}` as Address)
  }

  #ordered(peer: PeerId): Entry[] {
    const entries = this.#peers.get(peer)
    if (entries === undefined) return []
    this.#expire(peer, entries)
    const nowMs = this.#init.clock.nowMs()
    return [...entries.values()].sort((a, b) => compareEntries(a, b, nowMs))
  }

  #put(peer: PeerId, put: Put): void {
    let entries = this.#peers.get(peer)
    if (entries === undefined) {
      if (!this.#makeRoom()) return
      entries = new Map()
      this.#peers.set(peer, entries)
    } else this.#expire(peer, entries, false)
    const entry = entries.get(put.address)
    if (entry !== undefined) renew(entry, put)
    else if (this.#makeRoomFor(entries, put)) entries.set(put.address, entryOf(put))
    this.#rank(peer, entries)
    this.#revision++
  }

  /** Room for one more peer. False: all are the user's own. */
  #makeRoom(): boolean {
    const { maxPeersInBook } = this.#init.limits
    if (this.#peers.size < maxPeersInBook) return true
    for (const candidates of [this.#unproven, this.#proven]) {
      for (const peer of candidates) {
        this.#forget(peer)
        return true
      }
    }
    return this.peers().length < maxPeersInBook
  }

  /** Room for one more address. False: the others are worth more. */
  #makeRoomFor(entries: Entries, put: Put): boolean {
    if (entries.size < this.#init.limits.maxAddressesPerPeer) return true
    let least: Entry | undefined
    for (const entry of entries.values()) {
      if (!isOwn(entry) && (least === undefined || isLessUseful(entry, least))) least = entry
    }
    if (least === undefined) return false
    // What merely was told never pushes out what works: else a peer's lies would cost us its true address.
    const works = least.lastSuccessMs !== undefined && least.failures === 0
    if (works && put.source !== 'user' && put.lastSuccessMs === undefined) return false
    return entries.delete(least.address)
  }

  /** @throws `P2pError` where the user's own addresses, these included, would be more than fit */
  #assertRoom(added: ReadonlyMap<PeerId, ReadonlySet<Address>>): void {
    const { maxPeersInBook, maxAddressesPerPeer } = this.#init.limits
    let known = this.#pinnedPeers()
    if (known + added.size > maxPeersInBook) {
      this.peers() // some of them may be expired
      known = this.#pinnedPeers()
    }
    for (const [peer, addresses] of added) {
      const entries: Entries = this.#peers.get(peer) ?? new Map<Address, Entry>()
      this.#expire(peer, entries)
      const own = [...entries.values()].filter(isOwn).map(({ address }) => address)
      if (own.length === 0 && addresses.size > 0) known++
      const all = new Set([...own, ...addresses])
      if (all.size > maxAddressesPerPeer) throw noRoom(`${maxAddressesPerPeer} addresses`, peer)
      if (known > maxPeersInBook) throw noRoom(`${maxPeersInBook} peers`, peer)
    }
  }

  /** Peers with an address of the user. */
  #pinnedPeers(): number {
    return this.#peers.size - this.#unproven.size - this.#proven.size
  }

  #expire(peer: PeerId, entries: Entries, thenRank = true): void {
    const nowMs = this.#init.clock.nowMs()
    let changed = false
    for (const { address, expiresAtMs } of [...entries.values()]) {
      if (expiresAtMs <= nowMs) changed = entries.delete(address)
    }
    if (!changed) return
    this.#revision++
    if (thenRank) this.#rank(peer, entries)
  }

  /** Puts a peer where it stands now among those that may be forgotten. */
  #rank(peer: PeerId, entries: Entries): void {
    this.#unproven.delete(peer)
    this.#proven.delete(peer)
    const all = [...entries.values()]
    if (all.length === 0) this.#peers.delete(peer)
    else if (!all.some(isOwn)) {
      const proven = all.some(({ lastSuccessMs }) => lastSuccessMs !== undefined)
      ;(proven ? this.#proven : this.#unproven).add(peer)
    }
  }

  #forget(peer: PeerId): void {
    this.#peers.delete(peer)
    this.#unproven.delete(peer)
    this.#proven.delete(peer)
  }
}

/** What is known of an address when it is put into the book. */
interface Put {
  readonly address: Address
  readonly source: AddressSource
  readonly expiresAtMs: number
  lastSuccessMs?: number
}

function entryOf(put: Put): Entry {
  return {
    address: put.address,
    relayed: put.address.includes('/p2p-circuit'),
    scope: scopeOf(put.address),
    source: put.source,
    expiresAtMs: put.expiresAtMs,
    lastSuccessMs: put.lastSuccessMs,
    failures: 0,
    retryAtMs: 0,
  }
}

function renew(entry: Entry, put: Put): void {
  if (put.source === 'user') entry.source = 'user'
  entry.expiresAtMs = Math.max(entry.expiresAtMs, put.expiresAtMs)
  if (put.lastSuccessMs === undefined) return
  entry.failures = 0
  entry.lastSuccessMs = Math.max(entry.lastSuccessMs ?? 0, put.lastSuccessMs)
}

function isOwn({ source }: Entry): boolean {
  return source === 'user'
}

/** Whether the first is to be forgotten before the second. */
function isLessUseful(a: Entry, b: Entry): boolean {
  const worked = Number(a.lastSuccessMs !== undefined) - Number(b.lastSuccessMs !== undefined)
  return (worked || b.failures - a.failures || a.expiresAtMs - b.expiresAtMs) < 0
}

const SCOPES: readonly Scope[] = ['public', 'private', 'local']

/**
 * The order of dialing: what is not waiting after a failure; direct before relayed; what worked, the latest first;
 * the user's before what was told; public before private before this machine, which others mean as theirs.
 */
function compareEntries(a: Entry, b: Entry, nowMs: number): number {
  return (
    Number(isWaiting(a, nowMs)) - Number(isWaiting(b, nowMs)) ||
    Number(a.relayed) - Number(b.relayed) ||
    a.failures - b.failures ||
    (b.lastSuccessMs ?? 0) - (a.lastSuccessMs ?? 0) ||
    Number(isOwn(b)) - Number(isOwn(a)) ||
    SCOPES.indexOf(a.scope) - SCOPES.indexOf(b.scope)
  )
}

function isWaiting({ failures, retryAtMs }: Entry, nowMs: number): boolean {
  return failures > 0 && retryAtMs > nowMs
}

/** The peer that a canonical address names at its end. */
function peerOfAddress(address: Address): string | undefined {
  return /\/p2p\/([^/]+)$/.exec(address)?.[1]
}

/** An address without the peer's own id at its end; undefined where it names another peer. */
function bareAddress(address: Address, peer: PeerId): Address | undefined {
  const named = peerOfAddress(address)
  if (named === undefined) return address
  if (named !== peer) return undefined
  const bare = address.slice(0, -`/p2p/${peer}`.length)
  return bare === '' ? undefined : (bare as Address)
}

function assertRelay(address: Address): Address {
  if (peerOfAddress(address) === undefined || address.includes('/p2p-circuit')) {
    throw new RangeError(`Cannot add a relay: ${quote(address)} does not end in its peer id`)
  }
  return address
}

function noRoom(what: string, peer: PeerId): P2pError {
  const message = `Cannot add an address: ${what} of the user are in the book already`
  return new P2pError('resource_exhausted', message, { layer: 'limit', peer })
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}
