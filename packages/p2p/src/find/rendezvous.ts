/**
 * Rendezvous as a client (libp2p/specs rendezvous/README.md): registers at points, renews in time, and asks them who is
 * registered. A point is believed nothing but that it passes on records that others signed.
 */
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { isP2pError, P2pError } from '../errors.ts'
import { addressFromBytes, toMultiaddr } from '../identity.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import { openPeerRecord } from '../peer-record.ts'
import type { PeerRecord } from '../peer-record.ts'
import { scopeOf } from '../reach/scope.ts'

import { Arrivals } from './arrivals.ts'
import { isNamespace } from './find.ts'
import type {
  Advertisement,
  AdvertisementState,
  Advertiser,
  Discoverer,
  FoundPeer,
  SearchOptions,
  Wanted,
} from './find.ts'
import { MessageReader } from './message-reader.ts'
import { pause } from './pause.ts'
import {
  DEFAULT_REGISTRATION_SECONDS,
  MAX_REGISTRATION_SECONDS,
  RENDEZVOUS_STATUS,
  decodeRendezvous,
  frameRendezvous,
} from './rendezvous-message.ts'
import type { RegistrationMessage, RendezvousMessage } from './rendezvous-message.ts'

/** A rendezvous point and how to reach it. */
export interface PointAddress {
  readonly peer: PeerId
  readonly addresses: readonly Address[]
}

/** How the client is set up. */
export interface RendezvousInit {
  readonly peer: PeerId
  readonly clock: Clock
  readonly limits: Readonly<P2pLimits>
  readonly points: readonly PointAddress[]
  /** Opens a stream to a point, and connects for it. */
  open(point: PointAddress, signal: AbortSignal): Promise<Pipe>
  /** Where others reach us now, each with our peer id. */
  addresses(): readonly Address[]
  /** Our signed peer record over these, multiaddrs as bytes. */
  seal(record: Omit<PeerRecord, 'peer'>): Promise<Uint8Array>
}

// Ours. Renewed when three quarters of the time are over; tried again after a second, then twice as long each time.
const RENEW_PART = 0.75
const FIRST_RETRY_MS = 1000
const MAX_RETRY_MS = 60_000
const MAX_PAGES = 64
// Ours: so that whoever knows our peer id finds us; the protocol itself knows namespaces alone.
const PEER_NAMESPACE = 'stronghold/peer/'

interface Telling {
  readonly point: PointAddress
  readonly namespace: string
  readonly stopping: AbortController
  state: AdvertisementState
  retryMs: number
  stopTimer: (() => void) | undefined
  running: Promise<void> | undefined
  again: boolean
}

/** Rendezvous of one node, as client. */
export class Rendezvous implements Advertiser, Discoverer {
  readonly source = 'rendezvous'
  readonly #init: RendezvousInit
  readonly #tellings = new Set<Telling>()
  readonly #searches = new Set<AbortController>()
  /** The newest record of each peer: a point that tells an older one again is not believed. */
  readonly #newest = new Map<PeerId, bigint>()
  #lastSeq = 0n
  #stopped = false

  constructor(init: RendezvousInit) {
    this.#init = init
  }

  /** Idempotent. What was advertised runs out by itself. */
  stop(): void {
    this.#stopped = true
    for (const telling of this.#tellings) this.#end(telling)
    for (const search of [...this.#searches]) search.abort()
  }

  find(wanted: Wanted, { signal, follow }: SearchOptions): AsyncIterable<FoundPeer> {
    const over = new AbortController()
    const end = (): void => arrivals.finish()
    const arrivals: Arrivals = new Arrivals(this.#init.limits, () => {
      signal.removeEventListener('abort', end)
      this.#searches.delete(over)
      over.abort()
    })
    if (signal.aborted || this.#stopped) end()
    else {
      signal.addEventListener('abort', end, { once: true })
      over.signal.addEventListener('abort', end, { once: true })
      this.#searches.add(over)
      void this.#searchAll(wanted, arrivals, over.signal, follow)
    }
    return arrivals
  }

  advertise(namespace?: string): Advertisement {
    const told = namespace ?? peerNamespace(this.#init.peer)
    const tellings = this.#init.points.map((point): Telling => ({
      point,
      namespace: told,
      stopping: new AbortController(),
      state: { source: 'rendezvous', at: point.peer, state: 'trying' },
      retryMs: FIRST_RETRY_MS,
      stopTimer: undefined,
      running: undefined,
      again: false,
    }))
    for (const telling of tellings) {
      if (this.#stopped) break
      this.#tellings.add(telling)
      this.#tell(telling)
    }
    return {
      namespace,
      states: () => tellings.map(({ state }) => state),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(tellings.map((telling) => this.#takeBack(telling)))
      },
    }
  }

  refresh(): void {
    for (const telling of this.#tellings) this.#tell(telling)
  }

  // Advertising

  /** Registers now, and keeps the registration from then on. One exchange at a time. */
  #tell(telling: Telling): void {
    if (telling.running !== undefined) {
      telling.again = true
      return
    }
    telling.stopTimer?.()
    telling.again = false
    telling.running = this.#register(telling).then((waitMs) => {
      telling.running = undefined
      if (telling.stopping.signal.aborted) return
      if (telling.again) this.#tell(telling)
      else
        telling.stopTimer = this.#init.clock.setTimer(waitMs, () => {
          this.#tell(telling)
        })
    })
  }

  /** @returns when to try again, or to renew */
  async #register(telling: Telling): Promise<number> {
    const { point, namespace, stopping } = telling
    const { clock } = this.#init
    const base = { source: 'rendezvous', at: point.peer } as const
    try {
      const record = await this.#record(point)
      const ttlSeconds = DEFAULT_REGISTRATION_SECONDS
      const request: RendezvousMessage = { type: 'register', namespace, record, ttlSeconds }
      const answer = await this.#exchange(point, request, stopping.signal)
      if (answer.type !== 'registered') throw refusal('register', point, 'another kind of answer')
      assertOk('register', point, answer)
      const seconds = Math.min(answer.ttlSeconds ?? ttlSeconds, MAX_REGISTRATION_SECONDS)
      const ttlMs = Math.max(seconds, 1) * 1000
      telling.state = { ...base, state: 'told', expiresAtMs: clock.nowMs() + ttlMs }
      telling.retryMs = FIRST_RETRY_MS
      return ttlMs * RENEW_PART
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      const { expiresAtMs = 0 } = telling.state
      const stands = expiresAtMs > clock.nowMs()
      telling.state = stands
        ? { ...base, state: 'told', expiresAtMs, message }
        : { ...base, state: 'trying', message }
      const waitMs = telling.retryMs
      telling.retryMs = Math.min(waitMs * 2, MAX_RETRY_MS)
      return waitMs
    }
  }

  async #takeBack(telling: Telling): Promise<void> {
    if (!this.#tellings.delete(telling)) return
    this.#end(telling)
    await telling.running
    if (telling.state.state !== 'told' || this.#stopped) return
    const { point, namespace } = telling
    try {
      const pipe = await this.#open(
        point,
        AbortSignal.timeout(this.#init.limits.rendezvousTimeoutMs),
      )
      pipe.write([frameRendezvous({ type: 'unregister', namespace })])
      pipe.end()
    } catch {
      // Best effort: it runs out by itself.
    }
  }

  #end(telling: Telling): void {
    telling.stopping.abort()
    telling.stopTimer?.()
  }

  #record(point: PointAddress): Promise<Uint8Array> {
    const { addresses, limits, clock } = { ...this.#init, addresses: this.#init.addresses() }
    const told = addresses
      .filter((address) => isTold(address, point))
      .slice(0, limits.maxAddressesPerPeer)
      .map((address) => toMultiaddr(withoutPeer(address, this.#init.peer)).bytes)
    if (told.length === 0) throw refusal('register', point, 'no address to tell')
    const now = BigInt(Math.floor(clock.nowMs()))
    this.#lastSeq = now > this.#lastSeq ? now : this.#lastSeq + 1n
    return this.#init.seal({ seq: this.#lastSeq, addresses: told })
  }

  // Discovering

  async #searchAll(
    wanted: Wanted,
    arrivals: Arrivals,
    signal: AbortSignal,
    follow: boolean,
  ): Promise<void> {
    const namespace = wanted.peer === undefined ? wanted.namespace : peerNamespace(wanted.peer)
    const cookies = new Map<PointAddress, Uint8Array>()
    for (;;) {
      const errors = await Promise.all(
        this.#init.points.map((point) =>
          this.#search(point, namespace, wanted, cookies, arrivals, signal).then(
            () => undefined,
            (error: unknown) => error ?? new Error('failed'),
          ),
        ),
      )
      const failed = errors.filter((error) => error !== undefined)
      if (signal.aborted) return
      // One that follows goes on: a point that is away comes back.
      if (!follow) {
        arrivals.finish(failed.length === errors.length ? failed[0] : undefined)
        return
      }
      await pause(this.#init.clock, this.#init.limits.findPollMs, signal)
    }
  }

  /** Asks one point page by page for what is new since its cookie. */
  async #search(
    point: PointAddress,
    namespace: string | undefined,
    wanted: Wanted,
    cookies: Map<PointAddress, Uint8Array>,
    arrivals: Arrivals,
    signal: AbortSignal,
  ): Promise<void> {
    const limit = this.#init.limits.maxRegistrationsPerAnswer
    for (let page = 0; page < MAX_PAGES && !signal.aborted; page++) {
      const cookie = cookies.get(point)
      const answer = await this.#exchange(
        point,
        {
          type: 'discover',
          limit,
          ...(namespace === undefined ? {} : { namespace }),
          ...(cookie === undefined ? {} : { cookie }),
        },
        signal,
      )
      if (answer.type !== 'discovered') throw refusal('ask', point, 'another kind of answer')
      if (answer.status === RENDEZVOUS_STATUS.invalidCookie && cookies.delete(point)) continue
      assertOk('ask', point, answer)
      for (const one of answer.registrations.slice(0, limit)) {
        const found = await this.#read(one, point, namespace)
        if (found === undefined) continue
        if (wanted.peer === undefined) arrivals.push(Object.freeze(found))
        else if (wanted.peer === found.peer) {
          const { namespace: _own, ...rest } = found
          arrivals.push(Object.freeze(rest))
        }
      }
      if (answer.cookie !== undefined) cookies.set(point, answer.cookie)
      if (answer.cookie === undefined || answer.registrations.length === 0) return
    }
  }

  /** What a point told of somebody, as far as that somebody signed it. */
  async #read(
    { namespace, record, ttlSeconds = DEFAULT_REGISTRATION_SECONDS }: RegistrationMessage,
    point: PointAddress,
    asked: string | undefined,
  ): Promise<FoundPeer | undefined> {
    const { limits, clock, peer: self } = this.#init
    if (asked === undefined ? !isNamespace(namespace) : namespace !== asked) return undefined
    if (ttlSeconds < 1) return undefined
    const opened = await openPeerRecord(record).catch(() => undefined)
    if (opened === undefined || opened.peer === self || !this.#isNew(opened)) return undefined
    const { peer } = opened
    const addresses = opened.addresses
      .slice(0, limits.maxAddressesPerPeer)
      .map((bytes) => addressFromBytes(bytes, peer))
      .filter((address) => address !== undefined)
      .filter((address) => isTold(address, point))
    if (addresses.length === 0) return undefined
    const ttlMs = Math.min(ttlSeconds * 1000, limits.maxFoundTtlMs)
    return {
      peer,
      addresses,
      source: 'rendezvous',
      expiresAtMs: clock.nowMs() + ttlMs,
      ...(namespace.startsWith(PEER_NAMESPACE) ? {} : { namespace }),
    }
  }

  #isNew({ peer, seq }: PeerRecord): boolean {
    const newest = this.#newest.get(peer)
    if (newest !== undefined && newest > seq) return false
    this.#newest.delete(peer)
    this.#newest.set(peer, seq)
    if (this.#newest.size > this.#init.limits.maxFoundPeers) {
      for (const oldest of this.#newest.keys()) {
        this.#newest.delete(oldest)
        break
      }
    }
    return true
  }

  // Exchanges

  async #exchange(
    point: PointAddress,
    request: RendezvousMessage,
    signal: AbortSignal,
  ): Promise<RendezvousMessage> {
    const { clock, limits } = this.#init
    const late = new AbortController()
    const stopTimer = clock.setTimer(limits.rendezvousTimeoutMs, () => {
      late.abort(refusal('reach', point, 'it took too long', 'deadline_exceeded'))
    })
    try {
      const pipe = await this.#open(point, AbortSignal.any([signal, late.signal]))
      const reader = new MessageReader(pipe, {
        maxBytes: limits.maxRendezvousAnswerBytes,
        timeoutMs: limits.rendezvousTimeoutMs,
        clock,
      })
      const aborted = (): void => pipe.destroy()
      signal.addEventListener('abort', aborted, { once: true })
      try {
        pipe.write([frameRendezvous(request)])
        const bytes = await reader.read()
        if (bytes === undefined) throw refusal('reach', point, 'it ended without an answer')
        pipe.end()
        return decodeRendezvous(bytes)
      } finally {
        signal.removeEventListener('abort', aborted)
      }
    } catch (error) {
      if (signal.aborted || isP2pError(error)) throw error
      throw refusal('reach', point, error instanceof Error ? error.message : String(error))
    } finally {
      stopTimer()
    }
  }

  #open(point: PointAddress, signal: AbortSignal): Promise<Pipe> {
    return this.#init.open(point, signal)
  }
}

/** The namespace in which a peer says where it is. */
export function peerNamespace(peer: PeerId): string {
  return PEER_NAMESPACE + peer
}

/** Addresses within one machine mean something to those alone who meet at a point within it. */
function isTold(address: Address, point: PointAddress): boolean {
  if (scopeOf(address) !== 'local') return true
  return point.addresses.some((one) => scopeOf(one) === 'local')
}

function withoutPeer(address: Address, peer: PeerId): Address {
  const end = `/p2p/${peer}`
  return address.endsWith(end) ? (address.slice(0, -end.length) as Address) : address
}

function assertOk(
  action: string,
  point: PointAddress,
  { status, text = '' }: { readonly status: number; readonly text?: string },
): void {
  if (status === RENDEZVOUS_STATUS.ok) return
  const code =
    status === RENDEZVOUS_STATUS.notAuthorized
      ? 'permission_denied'
      : status < RENDEZVOUS_STATUS.notAuthorized
        ? 'invalid_argument'
        : 'unavailable'
  const why = text === '' ? '' : ` (${JSON.stringify(text.slice(0, 64))})`
  throw refusal(action, point, `it answers ${status}${why}`, code)
}

function refusal(
  action: string,
  { peer }: PointAddress,
  state: string,
  code:
    'unavailable' | 'deadline_exceeded' | 'permission_denied' | 'invalid_argument' = 'unavailable',
): P2pError {
  const message = `Cannot ${action} at the rendezvous point ${peer}: ${state.slice(0, 128)}`
  return new P2pError(code, message, { layer: 'protocol', peer })
}
