/**
 * Multicast DNS (libp2p/specs discovery/mdns.md, RFC 6762): peers on the same network, on every interface and by both
 * families of IP. It decides when to ask and when to answer; what stands in a packet is `mdns-message.ts`'s matter, and
 * sockets are the platform's.
 */
import { encodeUtf8, toHex } from '@stronghold/core'

import { cryptoRuntime } from '#runtime'

import type { Clock } from '../clock.ts'
import { TokenBucket } from '../connection/token-bucket.ts'
import { P2pError } from '../errors.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import type { Endpoint, InterfaceAddress, Link, MulticastRuntime } from '../runtime/multicast.ts'

import { Arrivals } from './arrivals.ts'
import { decodeDns, encodeDns } from './dns-message.ts'
import type { DnsMessage } from './dns-message.ts'
import type {
  Advertisement,
  AdvertisementState,
  Advertiser,
  Discoverer,
  FoundPeer,
  SearchOptions,
  Wanted,
} from './find.ts'
import { HeardPeers } from './mdns-heard.ts'
import type { HeardPeer } from './mdns-heard.ts'
import {
  MDNS_TTL_SECONDS,
  mdnsAnnouncement,
  mdnsAnswer,
  mdnsQuery,
  orderFor,
  readMdnsResponse,
} from './mdns-message.ts'
import type { MdnsSelf } from './mdns-message.ts'

/** The port of multicast DNS and its groups (RFC 6762 §3). */
const MDNS_PORT = 5353
const GROUPS = { 4: '224.0.0.251', 6: 'ff02::fb' } as const

// RFC 6762 §5.2 and §8.3: the first two, of questions and of announcements, one second apart; §6: answers wait a little,
// so that not everybody speaks at once.
const FIRST_INTERVAL_MS = 1000
const MIN_ANSWER_DELAY_MS = 20
const MAX_ANSWER_DELAY_MS = 120
// Ours. A search that does not follow waits this long for answers.
const ANSWER_WINDOW_MS = 1500
// RFC 6762 §6.7: an asker that is no multicast DNS node keeps an answer this long.
const LEGACY_TTL_SECONDS = 10
const PEER_NAME_BYTES = 20

/** How mDNS is set up. */
export interface MdnsInit {
  readonly peer: PeerId
  readonly clock: Clock
  readonly limits: Readonly<P2pLimits>
  /** So many bytes nobody can foresee. */
  random(length: number): Uint8Array
  readonly multicast: MulticastRuntime
  /** Where others reach us now, each with our peer id. */
  addresses(): readonly Address[]
  /** Names of interfaces to use. Default: all that lead off this machine, or where there is none those within it. */
  readonly interfaces?: readonly string[] | undefined
  /** Somebody was heard of, asked for or not. */
  onFound(found: FoundPeer): void
  /** It does not work on this link, or without one at all. Told once until it works again. */
  onProblem(message: string): void
  /** For tests. Default 5353. */
  readonly port?: number
}

interface OpenLink {
  readonly on: InterfaceAddress
  networks: readonly InterfaceAddress[]
  link: Link | undefined
  /** Undefined while it works. */
  problem: string | undefined
  readonly answers: TokenBucket
  pending: (() => void) | undefined
}

interface Search {
  readonly wanted: Wanted
  readonly arrivals: Arrivals
}

/** mDNS of one node. */
export class Mdns implements Advertiser, Discoverer {
  readonly source = 'mdns'
  readonly #init: MdnsInit
  readonly #peerName: string
  readonly #links = new Map<string, OpenLink>()
  readonly #heard: HeardPeers
  readonly #searches = new Set<Search>()
  readonly #advertised = new Map<symbol, string | undefined>()
  readonly #queries: TokenBucket
  #intervalMs = FIRST_INTERVAL_MS
  #stopQuery: (() => void) | undefined
  #stopPoll: (() => void) | undefined
  #stopAnnounce: (() => void) | undefined
  #problem: string | undefined
  #polling: Promise<void> | undefined
  #stopped = false

  constructor(init: MdnsInit) {
    this.#init = init
    this.#peerName = toHex(init.random(PEER_NAME_BYTES))
    this.#heard = new HeardPeers(init)
    this.#queries = new TokenBucket(2, 1, init.clock.nowMs())
  }

  /** Opens what can be opened, and begins to ask. Does not reject: what does not work is told. */
  async start(): Promise<void> {
    await this.#poll()
  }

  /** Says goodbye and closes everything. Idempotent. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    for (const stop of [this.#stopQuery, this.#stopPoll, this.#stopAnnounce]) stop?.()
    await this.#polling
    if (this.#advertised.size > 0) await this.#announce(0)
    this.#advertised.clear()
    for (const { arrivals } of [...this.#searches]) arrivals.finish()
    await Promise.all([...this.#links.values()].map((open) => this.#close(open)))
    this.#links.clear()
  }

  find(wanted: Wanted, { signal, follow }: SearchOptions): AsyncIterable<FoundPeer> {
    const { clock, limits } = this.#init
    const search: Search = {
      wanted,
      arrivals: new Arrivals(limits, () => {
        this.#searches.delete(search)
        signal.removeEventListener('abort', end)
        stopWindow?.()
      }),
    }
    const end = (): void => search.arrivals.finish()
    let stopWindow: (() => void) | undefined
    if (signal.aborted || this.#stopped) {
      end()
      return search.arrivals
    }
    signal.addEventListener('abort', end, { once: true })
    this.#searches.add(search)
    for (const heard of this.#heard.all()) this.#tell(search, heard)
    if (!this.#works()) {
      const state = this.#problem ?? 'no interface can multicast'
      search.arrivals.finish(
        new P2pError('unavailable', `Cannot find peers on this network: ${state}`, {
          layer: 'dial',
        }),
      )
      return search.arrivals
    }
    if (!follow) stopWindow = clock.setTimer(ANSWER_WINDOW_MS, end)
    this.#intervalMs = FIRST_INTERVAL_MS
    this.#ask()
    return search.arrivals
  }

  advertise(namespace?: string): Advertisement {
    const key = Symbol(namespace)
    this.#advertised.set(key, namespace)
    this.refresh()
    return {
      namespace,
      states: () => [this.#state()],
      [Symbol.asyncDispose]: async () => {
        if (!this.#advertised.delete(key)) return
        if (this.#advertised.size === 0) await this.#announce(0)
        else this.refresh()
      },
    }
  }

  refresh(): void {
    if (this.#stopped || this.#advertised.size === 0) return
    this.#stopAnnounce?.()
    void this.#announce(MDNS_TTL_SECONDS)
    // RFC 6762 §8.3: twice, since the first may be lost.
    this.#stopAnnounce = this.#init.clock.setTimer(FIRST_INTERVAL_MS, () => {
      void this.#announce(MDNS_TTL_SECONDS)
    })
  }

  #works(): boolean {
    return [...this.#links.values()].some((open) => open.link !== undefined)
  }

  #state(): AdvertisementState {
    const problems = [...this.#links.values()].filter(({ problem }) => problem !== undefined)
    const works = this.#links.size > problems.length
    const message = works ? undefined : (problems[0]?.problem ?? this.#problem)
    return {
      source: 'mdns',
      state: works ? 'told' : 'trying',
      ...(message === undefined ? {} : { message }),
    }
  }

  // Links

  async #poll(): Promise<void> {
    if (this.#stopped) return
    this.#polling = this.#openAndClose()
    await this.#polling
    if (this.#hasStopped()) return
    this.#stopPoll = this.#init.clock.setTimer(this.#init.limits.interfacePollMs, () => {
      void this.#poll()
    })
  }

  async #openAndClose(): Promise<void> {
    const wanted = this.#wantedLinks()
    const problems = new Map<string, string | undefined>()
    for (const [key, open] of [...this.#links]) {
      const networks = wanted.get(key)
      const same = networks?.some(({ address }) => address === open.on.address) === true
      if (same && open.link !== undefined) {
        open.networks = networks
        continue
      }
      this.#links.delete(key)
      problems.set(key, open.problem)
      await this.#close(open)
    }
    let opened = false
    for (const [key, networks] of wanted) {
      if (this.#links.has(key)) continue
      if (await this.#open(key, networks, problems.get(key))) opened = true
    }
    if (!this.#works()) this.#tellProblem('no interface can multicast')
    else this.#problem = undefined
    if (!opened) return
    // A new network: somebody may be there.
    this.#intervalMs = FIRST_INTERVAL_MS
    this.#ask()
    this.refresh()
  }

  /** One link for each interface and family, with all addresses it has there. */
  #wantedLinks(): Map<string, InterfaceAddress[]> {
    const { multicast, interfaces } = this.#init
    const all = multicast.interfaces()
    const outside = all.filter(({ internal }) => !internal)
    const chosen =
      interfaces === undefined
        ? outside.length > 0
          ? outside
          : all
        : all.filter(({ name }) => interfaces.includes(name))
    const links = new Map<string, InterfaceAddress[]>()
    for (const address of chosen) {
      const key = `${address.name} IPv${address.family}`
      const others = links.get(key)
      if (others === undefined) links.set(key, [address])
      // Of IPv6 the address of the link itself goes first: every interface has one, and it stays.
      else if (/^fe[89ab]/i.test(address.address)) others.unshift(address)
      else others.push(address)
    }
    return links
  }

  async #open(
    key: string,
    networks: readonly InterfaceAddress[],
    problem: string | undefined,
  ): Promise<boolean> {
    const { multicast, clock, limits, port = MDNS_PORT } = this.#init
    const [on] = networks
    if (on === undefined || this.#stopped) return false
    const perSecond = limits.mdnsAnswersPerSecond
    const open: OpenLink = {
      on,
      networks,
      link: undefined,
      problem,
      answers: new TokenBucket(perSecond, perSecond, clock.nowMs()),
      pending: undefined,
    }
    this.#links.set(key, open)
    try {
      open.link = await multicast.open({
        on,
        networks,
        group: GROUPS[on.family],
        port,
        onPacket: (bytes, from) => {
          this.#take(open, bytes, from)
        },
        onError: (error) => {
          open.link = undefined // the next look at the interfaces opens it again
          this.#tellLinkProblem(open, error)
        },
      })
    } catch (error) {
      this.#tellLinkProblem(open, error)
      return false
    }
    return true
  }

  async #close(open: OpenLink): Promise<void> {
    open.pending?.()
    const { link } = open
    open.link = undefined
    await link?.close()
  }

  async #send(open: OpenLink, message: DnsMessage, to?: Endpoint): Promise<void> {
    if (open.link === undefined) return
    try {
      await open.link.send(encodeDns(message), to)
      if (to === undefined) open.problem = undefined
    } catch (error) {
      // An answer to one that cannot be reached says nothing of the link.
      if (to === undefined && !this.#hasStopped()) this.#tellLinkProblem(open, error)
    }
  }

  #tellLinkProblem(open: OpenLink, error: unknown): void {
    const { name, family } = open.on
    const why = error instanceof Error ? error.message.slice(0, 128) : String(error)
    const message = `Cannot multicast on ${name} by IPv${family}: ${why}`
    if (open.problem === message) return
    open.problem = message
    this.#init.onProblem(message)
  }

  #tellProblem(state: string): void {
    if (this.#problem === state) return
    this.#problem = state
    this.#init.onProblem(`Cannot find peers on this network: ${state}`)
  }

  // A turn of the event loop may have stopped us since the last look.
  #hasStopped(): boolean {
    return this.#stopped
  }

  // Asking

  /** Asks on every link, and again after a while that doubles each time. */
  #ask(): void {
    this.#stopQuery?.()
    if (this.#stopped) return
    const { clock, limits } = this.#init
    if (this.#queries.take(clock.nowMs())) {
      for (const open of this.#links.values()) void this.#send(open, mdnsQuery())
    }
    const waitMs = Math.min(this.#intervalMs, limits.mdnsQueryIntervalMs)
    this.#intervalMs = Math.min(waitMs * 2, limits.mdnsQueryIntervalMs)
    this.#stopQuery = clock.setTimer(waitMs, () => {
      this.#ask()
    })
  }

  // Answering

  #self(open: OpenLink): MdnsSelf {
    const namespaces = [...this.#advertised.values()].filter((one) => one !== undefined)
    return {
      peerName: this.#peerName,
      addresses: orderFor(this.#init.addresses(), open.networks),
      hosts: open.networks.map(({ address }) => address),
      namespaces: [...new Set(namespaces)].map(mdnsNamespace),
    }
  }

  async #announce(ttl: number): Promise<void> {
    const sent = [...this.#links.values()].map(async (open) => {
      const message = mdnsAnnouncement(this.#self(open), ttl)
      if (message !== undefined) await this.#send(open, message)
    })
    await Promise.all(sent)
  }

  #answer(open: OpenLink, query: DnsMessage, from: Endpoint): void {
    const { clock, port = MDNS_PORT } = this.#init
    if (this.#stopped || this.#advertised.size === 0) return
    const answer = mdnsAnswer(query, this.#self(open))
    if (answer === undefined) return
    const legacy = from.port !== port
    if (legacy || query.questions.every(({ unicast }) => unicast)) {
      if (!open.answers.take(clock.nowMs())) return
      void this.#send(open, legacy ? legacyAnswer(query, answer) : answer, from)
      return
    }
    // One answer for everybody who asks meanwhile.
    if (open.pending !== undefined || !open.answers.take(clock.nowMs())) return
    const [byte = 0] = this.#init.random(1)
    const spreadMs = MAX_ANSWER_DELAY_MS - MIN_ANSWER_DELAY_MS
    const stop = clock.setTimer(MIN_ANSWER_DELAY_MS + (spreadMs * byte) / 255, () => {
      open.pending = undefined
      if (!this.#hasStopped()) void this.#send(open, answer)
    })
    open.pending = () => {
      open.pending = undefined
      stop()
    }
  }

  // Hearing

  #take(open: OpenLink, bytes: Uint8Array, from: Endpoint): void {
    const { limits } = this.#init
    if (this.#stopped || !this.#heard.mayCost(from.address)) return
    let message: DnsMessage
    try {
      message = decodeDns(bytes, {
        maxBytes: limits.maxMdnsPacketBytes,
        maxRecords: limits.maxMdnsRecords,
      })
    } catch {
      return // whoever it was may have meant somebody else
    }
    if (!message.response) return this.#answer(open, message, from)
    // RFC 6762 §6: an answer from another port is none.
    if (from.port !== (this.#init.port ?? MDNS_PORT)) return
    const { address: sender } = from
    const own = this.#init.multicast.interfaces()
    const by = { from: sender, networks: own.filter(({ name }) => name === open.on.name), own }
    for (const one of readMdnsResponse(message, limits.maxAddressesPerPeer)) {
      const heard = this.#heard.hear(one, by)
      if (heard === undefined) continue
      this.#init.onFound(heard.found)
      for (const search of this.#searches) this.#tell(search, heard)
    }
  }

  #tell({ wanted, arrivals }: Search, { found, namespaces }: HeardPeer): void {
    if (wanted.peer !== undefined && wanted.peer !== found.peer) return
    const { namespace } = wanted
    if (namespace === undefined) return arrivals.push(found)
    if (!namespaces.includes(mdnsNamespace(namespace))) return
    arrivals.push(Object.freeze({ ...found, namespace }))
  }
}

/** What stands for a namespace on the network: the first half of its hash, in hex. */
function mdnsNamespace(namespace: string): string {
  return toHex(cryptoRuntime.sha256(encodeUtf8(namespace)).subarray(0, 16))
}

/** RFC 6762 §6.7: the question and its id come back, and nothing is kept for long or flushed. */
function legacyAnswer(query: DnsMessage, answer: DnsMessage): DnsMessage {
  const short = (records: DnsMessage['answers']): DnsMessage['answers'] =>
    records.map((one) => ({ ...one, ttl: Math.min(one.ttl, LEGACY_TTL_SECONDS), flush: false }))
  return {
    ...answer,
    id: query.id,
    questions: query.questions.slice(0, 1),
    answers: short(answer.answers),
    additionals: short(answer.additionals),
  }
}
