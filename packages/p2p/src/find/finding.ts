/**
 * All ways of finding of one node as one: searches run over each of them at once, what is advertised goes to each. It
 * bounds both, and knows nothing of how a way works.
 */
import type { Clock } from '../clock.ts'
import { isP2pError, P2pError } from '../errors.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'

import { Arrivals } from './arrivals.ts'
import { assertNamespace } from './find.ts'
import type {
  Advertisement,
  Advertiser,
  Discoverer,
  FindSource,
  FoundPeer,
  Wanted,
} from './find.ts'

// Ours.
const REFRESH_DELAY_MS = 500

/** Options of one search. */
export interface FindOptions {
  /** Ends the search: the iteration is over, without an error. */
  signal?: AbortSignal
  /** Longest it may take, in milliseconds. Default `findTimeoutMs`. */
  timeoutMs?: number
  /** False: ends when what can be known now is told. True: goes on with who comes later. Default false. */
  follow?: boolean
  /** Which ways of finding. Default: all that are set up. */
  sources?: readonly FindSource[]
}

/** What a node's finding is made of. */
export interface FindingInit {
  readonly clock: Clock
  readonly limits: Pick<
    P2pLimits,
    'maxFoundPeers' | 'findTimeoutMs' | 'maxSearches' | 'maxAdvertisements' | 'interfacePollMs'
  >
  readonly advertisers: readonly Advertiser[]
  readonly discoverers: readonly Discoverer[]
  /** Where others reach us now. */
  addresses(): readonly Address[]
  /** @throws `SyntaxError` for what is no peer id */
  parsePeer(text: string): PeerId
  /** Whether a peer is to be known of. Blocked ones are not. */
  wants(peer: PeerId): boolean
  /** Somebody was found by a search. */
  onFound(found: FoundPeer): void
  /** A way of finding failed a search. */
  onFailed(source: FindSource, error: unknown): void
}

/** All ways of finding of one node. */
export class Finding {
  readonly #init: FindingInit
  readonly #stopping = new AbortController()
  readonly #again = new Map<PeerId, Promise<boolean>>()
  readonly #advertisements = new Set<Advertisement>()
  #searches = 0
  #stopRefresh: (() => void) | undefined
  #stopPoll: (() => void) | undefined

  constructor(init: FindingInit) {
    this.#init = init
  }

  /** Whether there is any way to find somebody. */
  get canFind(): boolean {
    return this.#init.discoverers.length > 0
  }

  /**
   * Whoever is wanted, by all ways at once.
   *
   * @throws `RangeError` for a namespace or time that is none, `SyntaxError` for no peer id, `TypeError` for both a
   *   namespace and a peer or an unknown option; `P2pError` `failed_precondition` where no such way is set up,
   *   `resource_exhausted` past `maxSearches`; on iteration, the first failure where every way failed
   */
  find(
    wanted: Wanted = {},
    options: FindOptions = {},
  ): AsyncIterableIterator<FoundPeer, undefined> {
    const { clock, limits, discoverers } = this.#init
    const what = this.#readWanted(wanted)
    const { signal, timeoutMs = limits.findTimeoutMs, follow = false, sources, ...rest } = options
    for (const key of Object.keys(rest)) throw misuse(`unknown option ${quote(key)}`)
    if (!(timeoutMs > 0)) throw new RangeError('Cannot find peers: timeoutMs is no positive number')
    const ways = discoverers.filter(({ source }) => sources?.includes(source) !== false)
    if (ways.length === 0) throw notSetUp()
    if (this.#searches >= limits.maxSearches) throw tooMany('find peers', 'too many searches')
    this.#searches += 1
    const over = new AbortController()
    const arrivals = new Arrivals(limits, () => {
      this.#searches -= 1
      stopTimer()
      signal?.removeEventListener('abort', end)
      this.#stopping.signal.removeEventListener('abort', end)
      over.abort()
    })
    const end = (): void => arrivals.finish()
    const stopTimer = clock.setTimer(timeoutMs, end)
    if (signal?.aborted === true || this.#stopping.signal.aborted) end()
    signal?.addEventListener('abort', end, { once: true })
    this.#stopping.signal.addEventListener('abort', end, { once: true })
    const searches = ways.map((way) =>
      this.#search(way, what, { signal: over.signal, follow }, arrivals),
    )
    void Promise.all(searches).then((errors) => {
      const failed = errors.filter((error) => error !== undefined)
      arrivals.finish(failed.length === ways.length ? failed[0] : undefined)
    })
    return arrivals
  }

  /**
   * Says that we serve a namespace, by all ways, until the result is disposed.
   *
   * @throws `RangeError` for a namespace that is none; `P2pError` `failed_precondition` where no way is set up,
   *   `resource_exhausted` past `maxAdvertisements`
   */
  advertise(namespace?: string): Advertisement {
    if (namespace !== undefined) assertNamespace(namespace)
    const { advertisers, limits } = this.#init
    if (advertisers.length === 0) throw notSetUp()
    if (this.#stopping.signal.aborted) throw stopped()
    if (this.#advertisements.size >= limits.maxAdvertisements) {
      throw tooMany('advertise', 'too many namespaces')
    }
    const each = advertisers.map((advertiser) => advertiser.advertise(namespace))
    const all: Advertisement = {
      namespace,
      states: () => each.flatMap((one) => one.states()),
      [Symbol.asyncDispose]: async () => {
        if (!this.#advertisements.delete(all)) return
        await Promise.all(each.map((one) => one[Symbol.asyncDispose]()))
      },
    }
    this.#advertisements.add(all)
    if (this.#stopPoll === undefined) this.#watchAddresses(this.#ownAddresses())
    return all
  }

  /** Our addresses are others now. What changes in one moment is told once. */
  refresh(): void {
    if (this.#stopRefresh !== undefined || this.#advertisements.size === 0) return
    this.#stopRefresh = this.#init.clock.setTimer(REFRESH_DELAY_MS, () => {
      this.#stopRefresh = undefined
      for (const advertiser of this.#init.advertisers) advertiser.refresh()
    })
  }

  /** Looks for one peer that is not where it was. True as soon as another address than these is known. Never rejects. */
  again(peer: PeerId, tried: readonly Address[], signal: AbortSignal): Promise<boolean> {
    const running = this.#again.get(peer)
    if (running !== undefined) return running
    const search = this.#lookAgain(peer, tried, signal).finally(() => this.#again.delete(peer))
    this.#again.set(peer, search)
    return search
  }

  /** Ends all searches and takes back what is advertised. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#stopRefresh?.()
    this.#stopPoll?.()
    await Promise.all([...this.#advertisements].map((one) => one[Symbol.asyncDispose]()))
  }

  /** A machine that moves to another network is told so by nobody. */
  #watchAddresses(before: string): void {
    const { clock, limits } = this.#init
    this.#stopPoll = clock.setTimer(limits.interfacePollMs, () => {
      const now = this.#ownAddresses()
      if (now !== before) this.refresh()
      this.#watchAddresses(now)
    })
  }

  #ownAddresses(): string {
    return [...this.#init.addresses()].sort().join(' ')
  }

  async #lookAgain(peer: PeerId, tried: readonly Address[], signal: AbortSignal): Promise<boolean> {
    if (!this.canFind) return false
    try {
      for await (const { addresses } of this.find({ peer }, { signal })) {
        if (addresses.some((address) => !tried.includes(address))) return true
      }
    } catch {
      // The dial that failed before says what there is to say.
    }
    return false
  }

  /** Runs one way of finding to its end. @returns its failure */
  async #search(
    way: Discoverer,
    wanted: Wanted,
    options: { signal: AbortSignal; follow: boolean },
    arrivals: Arrivals,
  ): Promise<unknown> {
    try {
      for await (const found of way.find(wanted, options)) {
        if (!this.#init.wants(found.peer)) continue
        this.#init.onFound(found)
        arrivals.push(found)
      }
      return undefined
    } catch (error) {
      if (options.signal.aborted) return undefined
      this.#init.onFailed(way.source, error)
      return isP2pError(error) ? error : failed(way.source, error)
    }
  }

  #readWanted({ namespace, peer, ...rest }: Wanted): Wanted {
    for (const key of Object.keys(rest)) throw misuse(`unknown key ${quote(key)}`)
    if (namespace !== undefined && peer !== undefined) throw misuse('a namespace and a peer')
    if (peer !== undefined) return { peer: this.#init.parsePeer(peer) }
    if (namespace === undefined) return {}
    assertNamespace(namespace)
    return { namespace }
  }
}

function misuse(state: string): TypeError {
  return new TypeError(`Cannot find peers: ${state}`)
}

function notSetUp(): P2pError {
  return new P2pError(
    'failed_precondition',
    'Cannot find peers: no such way is set up, see the option find',
    { layer: 'request' },
  )
}

function stopped(): P2pError {
  return new P2pError('failed_precondition', 'Cannot advertise: the node has stopped', {
    layer: 'request',
  })
}

function tooMany(action: string, state: string): P2pError {
  return new P2pError('resource_exhausted', `Cannot ${action}: ${state}`, { layer: 'limit' })
}

function failed(source: FindSource, cause: unknown): P2pError {
  const state = cause instanceof Error ? cause.message.slice(0, 128) : String(cause)
  return new P2pError('unavailable', `Cannot find peers by ${source}: ${state}`, {
    layer: 'dial',
    cause,
  })
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}
