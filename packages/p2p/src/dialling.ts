/**
 * Getting to a peer: the connection there is, or a new one by what is known, directly first and then through relays,
 * and where nothing answers, by what can be found. It keeps the address book honest; what runs on a connection is not
 * its business.
 */
import type { Connection as Libp2pConnection } from '@libp2p/interface'

import type { Clock } from './clock.ts'
import type { Composed } from './compose.ts'
import type { Connections, Live } from './connections.ts'
import { isP2pError } from './errors.ts'
import type { P2pError } from './errors.ts'
import type { NewEvent } from './events.ts'
import type { Finding } from './find/finding.ts'
import { toMultiaddr } from './identity.ts'
import type { Address, PeerId } from './identity.ts'
import type { P2pLimits } from './limits.ts'
import type { AddressBook, AddressEntry } from './reach/addresses.ts'
import { race } from './reach/race.ts'
import { blockedError, dialError, isRelayed, nowhere, noWay } from './target.ts'
import type { Found } from './target.ts'

/** What dialling needs of the node. */
export interface DiallingInit {
  readonly limits: Pick<P2pLimits, 'dialTimeoutMs'>
  readonly clock: Clock
  readonly self: PeerId
  readonly book: AddressBook
  readonly connections: Connections
  /** How a peer that moved is found again. Asked for when one is. */
  finding(): Pick<Finding, 'canFind' | 'again'>
  isBlocked(peer: PeerId): boolean
  /** @throws `P2pError` when the node has stopped */
  running(): Pick<Composed, 'libp2p' | 'upgrader' | 'parts'>
  /** Fires when the node stops. */
  readonly stopping: AbortSignal
  emit(event: NewEvent): void
}

// Ours. RFC 8305 §5 suggests the first for addresses of one host; a relay costs somebody else, and is left more time.
const NEXT_ADDRESS_MS = 250
const RELAY_AFTER_MS = 2000

/** Makes the connections of one node. */
export class Dialling {
  readonly #init: DiallingInit
  // Whoever wants the same peer meanwhile gets the same connection.
  readonly #races = new Map<string, Promise<Live>>()

  constructor(init: DiallingInit) {
    this.#init = init
  }

  /**
   * The connection to a peer, found again where it moved.
   *
   * @param directly - no relay will do
   * @throws `P2pError`; the signal's reason
   */
  async connect(found: Found, signal: AbortSignal | undefined, directly = false): Promise<Live> {
    const tried = found.peer === undefined ? [] : this.#init.book.list(found.peer)
    try {
      return await this.connectKnown(found, signal, directly)
    } catch (error) {
      if (!(await this.#isElsewhere(found.peer, tried, error, signal))) throw error
      return this.connectKnown(found, signal, directly)
    }
  }

  /** As `connect`, by what is known alone: direct ways first, and where none of them works, through relays. */
  async connectKnown(
    { peer, addresses }: Found,
    signal: AbortSignal | undefined,
    directly = false,
  ): Promise<Live> {
    const { book, connections, stopping } = this.#init
    this.#init.running()
    const known = peer === undefined ? undefined : connections.best(peer)
    if (known !== undefined && !(directly && known.info.relayed)) return known
    if (peer !== undefined && this.#init.isBlocked(peer)) throw blockedError(peer)
    const all = peer === undefined ? addresses : this.dialable(peer, addresses)
    const relayed = directly ? [] : all.filter((one) => isRelayed(one))
    const direct = all.filter((one) => !isRelayed(one))
    const ended = signal === undefined ? stopping : either(signal, stopping)
    // What has no end yet, as a name that stands for several addresses, is libp2p's to look up.
    const several = direct.length + relayed.length > 1 && !all.some((one) => isManifold(one))
    if (peer !== undefined && peer !== this.#init.self && several) {
      try {
        return await this.#joined(peer, direct, relayed, ended)
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        throw dialError(error, peer, all)
      }
    }
    const ways = [direct, relayed].filter((way) => way.length > 0)
    const failures: P2pError[] = []
    for (const way of ways) {
      try {
        return await this.#dial(peer, way, ended)
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        const failed = dialError(error, peer, way)
        if (peer !== undefined) for (const one of way) book.failed(peer, one)
        this.#tellFailed(failed, way, peer)
        failures.push(failed)
        if (ended.aborted) break
      }
    }
    throw noWay(peer, failures)
  }

  /** The race for a peer that there is, or a new one. It goes on as long as anybody wants it. */
  async #joined(
    peer: PeerId,
    direct: readonly Address[],
    relayed: readonly Address[],
    signal: AbortSignal,
  ): Promise<Live> {
    const key = [...direct, ...relayed].join()
    const running = this.#races.get(key)
    if (running !== undefined) {
      try {
        return await unlessAborted(running, signal)
      } catch (error) {
        // It was somebody else's to end.
        if (signal.aborted || isP2pError(error)) throw error
      }
    }
    const made = this.#race(peer, direct, relayed, signal).finally(() => this.#races.delete(key))
    this.#races.set(key, made)
    return made
  }

  /** All addresses of a peer, the best first, those through relays last; what answers first is taken. */
  async #race(
    peer: PeerId,
    direct: readonly Address[],
    relayed: readonly Address[],
    signal: AbortSignal,
  ): Promise<Live> {
    const { clock, limits, connections } = this.#init
    const relayMs = direct.length === 0 ? 0 : direct.length * NEXT_ADDRESS_MS + RELAY_AFTER_MS
    const errors = new Map<Address, unknown>()
    const attempt = (
      address: Address,
      afterMs: number,
    ): Parameters<typeof race<Live>>[0][number] => ({
      afterMs,
      run: async (until) => {
        // Where it does not answer before another does, this is what is said of it.
        errors.set(address, new Error('nobody answered in time'))
        try {
          const live = await this.#dialOne(address, until)
          errors.delete(address)
          return live
        } catch (error) {
          if (!until.aborted) errors.set(address, dialError(error, peer, [address]))
          throw error
        }
      },
    })
    try {
      const won = await race(
        [
          ...direct.map((one, at) => attempt(one, at * NEXT_ADDRESS_MS)),
          ...relayed.map((one, at) => attempt(one, relayMs + at * NEXT_ADDRESS_MS)),
        ],
        {
          clock,
          timeoutMs: limits.dialTimeoutMs,
          signal,
          discard: (late) => {
            void late.connection?.close().catch(() => {})
          },
        },
      )
      // What lost by a moment is no worse for it; who lost to a relay did not answer.
      if (won.info.relayed) this.#failed(peer, direct, errors)
      return won
    } catch {
      signal.throwIfAborted()
      // Another of its connections may have come meanwhile: the peer dialled us.
      const came = connections.best(peer)
      if (came !== undefined) return came
      const failures = [direct, relayed].map((way) => this.#failed(peer, way, errors))
      throw noWay(
        peer,
        failures.filter((one) => one !== undefined),
      )
    }
  }

  async #dialOne(address: Address, signal: AbortSignal): Promise<Live> {
    const { parts } = this.#init.running()
    return this.#taken(
      await parts.transportManager.dial(toMultiaddr(address), { signal }),
      undefined,
    )
  }

  /** Writes down what failed of one way. */
  #failed(
    peer: PeerId,
    way: readonly Address[],
    errors: ReadonlyMap<Address, unknown>,
  ): P2pError | undefined {
    const tried = way.filter((one) => errors.has(one))
    if (tried.length === 0) return undefined
    for (const one of tried) this.#init.book.failed(peer, one)
    const all = tried.map((one) => errors.get(one))
    const cause = all.length === 1 ? all[0] : new AggregateError(all, 'nobody answered in time')
    const failed = dialError(cause, peer, tried)
    this.#tellFailed(failed, tried, peer)
    return failed
  }

  /** Addresses to try for a peer, each with its id at the end; those given are kept. */
  dialable(peer: PeerId, addresses: readonly Address[]): Address[] {
    const { book } = this.#init
    if (addresses.length > 0) book.add(peer, addresses, { source: 'connection' })
    return book.candidates(peer)
  }

  /** A peer may have moved: whether it was found where it was not looked for. */
  async #isElsewhere(
    peer: PeerId | undefined,
    before: readonly AddressEntry[],
    error: unknown,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const { book, stopping } = this.#init
    const finding = this.#init.finding()
    const ended = signal === undefined ? stopping : either(signal, stopping)
    if (peer === undefined || ended.aborted || !finding.canFind) return false
    if (isP2pError(error, 'permission_denied')) return false
    const tried = before.map(({ address }) => address)
    // It may have been found while what was known was tried.
    if (book.list(peer).some((one) => one.failures === 0 && !tried.includes(one.address))) {
      return true
    }
    return finding.again(peer, tried, ended)
  }

  async #dial(
    peer: PeerId | undefined,
    way: readonly Address[],
    signal: AbortSignal,
  ): Promise<Live> {
    const { connections } = this.#init
    const { libp2p } = this.#init.running()
    const connection = await libp2p.dial(
      way.map((one) => toMultiaddr(one)),
      // Where one is up that is used up or not direct, another is meant.
      { signal, force: peer !== undefined && connections.best(peer, true) !== undefined },
    )
    return this.#taken(connection, peer)
  }

  #taken(connection: Libp2pConnection, peer: PeerId | undefined): Live {
    const { book, connections } = this.#init
    const info = this.#init.running().upgrader.infoOf(connection)
    if (info === undefined) throw nowhere(peer)
    book.succeeded(info.peer, info.remoteAddress)
    return connections.of(info)
  }

  #tellFailed(error: P2pError, dial: readonly Address[], peer: PeerId | undefined): void {
    const address = error.address ?? dial[0]
    if (address === undefined) return
    const { code, layer, message } = error
    const who = peer === undefined ? {} : { peer }
    this.#init.emit({ type: 'dialFailed', address, code, layer, message, ...who })
  }
}

/** Whether it stands for addresses that nobody knows yet. */
function isManifold(address: Address): boolean {
  return address.includes('/dnsaddr/')
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      reject(signal.reason as Error)
    }
    if (signal.aborted) aborted()
    signal.addEventListener('abort', aborted, { once: true })
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', aborted)
    })
  })
}

function either(a: AbortSignal, b: AbortSignal): AbortSignal {
  return AbortSignal.any([a, b])
}
