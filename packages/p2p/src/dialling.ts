/**
 * Getting to a peer: the connection there is, or a new one by what is known, directly first and then through relays,
 * and where nothing answers, by what can be found. It keeps the address book honest; what runs on a connection is not
 * its business.
 */
import type { Composed } from './compose.ts'
import type { Connections, Live } from './connections.ts'
import { isP2pError } from './errors.ts'
import type { P2pError } from './errors.ts'
import type { NewEvent } from './events.ts'
import type { Finding } from './find/finding.ts'
import { toMultiaddr } from './identity.ts'
import type { Address, PeerId } from './identity.ts'
import type { AddressBook, AddressEntry } from './reach/addresses.ts'
import { blockedError, dialError, isRelayed, nowhere, noWay } from './target.ts'
import type { Found } from './target.ts'

/** What dialling needs of the node. */
export interface DiallingInit {
  readonly book: AddressBook
  readonly connections: Connections
  /** How a peer that moved is found again. Asked for when one is. */
  finding(): Pick<Finding, 'canFind' | 'again'>
  isBlocked(peer: PeerId): boolean
  /** @throws `P2pError` when the node has stopped */
  running(): Pick<Composed, 'libp2p' | 'upgrader'>
  /** Fires when the node stops. */
  readonly stopping: AbortSignal
  emit(event: NewEvent): void
}

/** Makes the connections of one node. */
export class Dialling {
  readonly #init: DiallingInit

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
    const ways = [all.filter((one) => !isRelayed(one)), relayed].filter((way) => way.length > 0)
    const ended = signal === undefined ? stopping : either(signal, stopping)
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
    const { book, connections } = this.#init
    const { libp2p, upgrader } = this.#init.running()
    const connection = await libp2p.dial(
      way.map((one) => toMultiaddr(one)),
      // Where one is up that is used up or not direct, another is meant.
      { signal, force: peer !== undefined && connections.best(peer, true) !== undefined },
    )
    const info = upgrader.infoOf(connection)
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

function either(a: AbortSignal, b: AbortSignal): AbortSignal {
  return AbortSignal.any([a, b])
}
