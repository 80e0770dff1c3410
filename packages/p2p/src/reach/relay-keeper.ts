/**
 * Keeps one reservation alive: gets it, renews it before it ends, and gets it back when the relay or the network was
 * gone, with pauses that grow to a limit. It connects through what it is handed, and stops for nothing but `close`.
 */
import type { Clock } from '../clock.ts'
import { isP2pError, P2pError } from '../errors.ts'
import { parseAddress } from '../identity.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import { multiaddr } from '@multiformats/multiaddr'

import { askReservation } from './relay-client.ts'
import type { Granted, RelayLink } from './relay-client.ts'
import type { CircuitLimit } from './relay-message.ts'

/** How it stands with one relay that we are to be reached through. A frozen object that prints as JSON. */
export interface RelayState {
  /** As it was asked for: `RELAY/p2p-circuit`, or `/p2p-circuit` for any known relay. */
  readonly address: Address
  /** `waiting`: until `retryAtMs`, after a failure. */
  readonly state: 'connecting' | 'reserved' | 'waiting'
  /** The relay, where it is known by now. */
  readonly relay?: PeerId
  /** Where others reach us, without our own peer id. Empty unless reserved. */
  readonly addresses: readonly Address[]
  /** When the reservation ends unless it is renewed, since the epoch, by our clock. */
  readonly expiresAtMs?: number
  /** What the relay lets a circuit carry, where it says so. */
  readonly limit?: CircuitLimit
  /** When it is tried again, since the epoch. */
  readonly retryAtMs?: number
  /** Failures since it last stood. */
  readonly failures: number
  /** Why it does not stand, for people. */
  readonly message?: string
}

/** What a keeper is made of. */
export interface RelayKeeperInit {
  readonly self: PeerId
  readonly limits: Pick<
    P2pLimits,
    'relayTimeoutMs' | 'maxRelayMessageBytes' | 'maxRelayRetryMs' | 'maxAddressesPerPeer'
  >
  readonly clock: Clock
  /** Between 0 and 1, evenly: spreads those who lost the same relay. */
  random: () => number
  /** The relays to try, in order; asked before each try. */
  candidates: () => readonly Address[]
  /** Connects, directly. @throws `P2pError`; the signal's reason */
  connect: (relay: Address, signal: AbortSignal) => Promise<RelayLink>
  /** The state is another, or the addresses are. */
  onChange(state: RelayState, error?: P2pError): void
}

// Ours. The first failure may be a restart; a relay is asked again for its last half, and never more often than that.
const FIRST_RETRY_MS = 500
const RENEW_PART = 0.5
const MIN_RENEW_MS = 30_000
const MAX_RESERVATION_MS = 24 * 60 * 60_000

/** Keeps one reservation, from its making to its `close`. */
export class RelayKeeper {
  readonly address: Address
  /** The first reservation; rejects when every relay to be tried failed once. */
  readonly first: Promise<undefined>
  readonly #init: RelayKeeperInit
  readonly #stop = new AbortController()
  readonly #first = Promise.withResolvers<undefined>()
  #state: RelayState
  #failures = 0
  #tries = 0
  /** Relays that were not tried yet in this round. */
  #others = 0

  constructor(address: Address, init: RelayKeeperInit) {
    this.address = address
    this.#init = init
    this.#state = Object.freeze({ address, state: 'connecting', addresses: [], failures: 0 })
    this.first = this.#first.promise
    this.first.catch(() => {})
    void this.#run()
  }

  /** How it stands now. */
  get state(): RelayState {
    return this.#state
  }

  /** Gives the reservation up: it ends with its time, or with the connection. Idempotent. */
  close(): void {
    if (this.#stop.signal.aborted) return
    const error = new P2pError('canceled', 'Cannot keep the relay: given up', { layer: 'relay' })
    this.#stop.abort(error)
    this.#first.reject(error)
  }

  /** Tries again at once, where it waits: the network may be another now. */
  wake(): void {
    this.#awake?.()
  }

  #awake: (() => void) | undefined

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await this.#hold(signal)
      } catch (error) {
        if (signal.aborted) break
        await this.#fail(error)
      }
    }
  }

  /** One connection with one relay, from the dial to its end. Always throws. */
  async #hold(signal: AbortSignal): Promise<never> {
    const { candidates, connect } = this.#init
    const all = candidates()
    const relay = all[this.#tries % Math.max(1, all.length)]
    this.#tries += 1
    this.#others = all.length === 0 ? 0 : (all.length - (this.#tries % all.length)) % all.length
    if (relay === undefined) throw noRelay()
    this.#tell({ state: 'connecting' })
    const link = await connect(relay, signal)
    let untilMs = 0
    for (;;) {
      let pauseMs: number
      try {
        const granted = await askReservation(link, this.#init.self, this.#init, signal)
        signal.throwIfAborted()
        const leftMs = this.#reserved(link, relay, granted)
        untilMs = this.#init.clock.nowMs() + leftMs
        pauseMs = Math.max(leftMs * RENEW_PART, Math.min(MIN_RENEW_MS, leftMs))
      } catch (error) {
        // One failed renewal is no loss: the reservation stands until its end.
        pauseMs = this.#retryMs()
        this.#failures += 1
        if (untilMs - this.#init.clock.nowMs() <= pauseMs || signal.aborted) throw error
      }
      if (await this.#pause(pauseMs, link.closed)) throw lost(link)
    }
  }

  /** Says for how long it stands. */
  #reserved(link: RelayLink, asked: Address, granted: Granted): number {
    const { clock, limits } = this.#init
    const nowMs = clock.nowMs()
    // The relay's clock may be another: what it says is taken within reason.
    const saidMs = granted.expiresAtMs - nowMs
    const leftMs = Math.min(Math.max(saidMs, MIN_RENEW_MS), MAX_RESERVATION_MS)
    const addresses = circuitAddresses(
      [asked, link.address],
      granted.addresses,
      link.peer,
      limits.maxAddressesPerPeer,
    )
    this.#failures = 0
    this.#tries -= 1
    this.#others = 0
    this.#tell({
      state: 'reserved',
      relay: link.peer,
      addresses,
      expiresAtMs: nowMs + leftMs,
      ...(granted.limit === undefined ? {} : { limit: granted.limit }),
    })
    this.#first.resolve(undefined)
    return leftMs
  }

  async #fail(cause: unknown): Promise<void> {
    const error = isP2pError(cause) ? cause : unusable(cause)
    // Another relay need not wait because this one failed.
    if (this.#others > 0) return
    const pauseMs = this.#retryMs()
    this.#failures += 1
    const retryAtMs = this.#init.clock.nowMs() + pauseMs
    this.#tell({ state: 'waiting', retryAtMs, message: error.message }, error)
    this.#first.reject(error)
    await this.#pause(pauseMs, undefined)
  }

  /** Doubles with each failure up to the limit; between half of that and all of it. */
  #retryMs(): number {
    const { limits, random } = this.#init
    const most = FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 30)
    return Math.min(most, limits.maxRelayRetryMs) * (0.5 + random() / 2)
  }

  /** True where `ended` came first. */
  #pause(ms: number, ended: Promise<void> | undefined): Promise<boolean> {
    const { signal } = this.#stop
    return new Promise((resolve) => {
      const done = (cut: boolean): void => {
        this.#awake = undefined
        stopTimer()
        signal.removeEventListener('abort', aborted)
        resolve(cut)
      }
      const aborted = (): void => {
        done(false)
      }
      const stopTimer = this.#init.clock.setTimer(ms, aborted)
      signal.addEventListener('abort', aborted, { once: true })
      if (ended === undefined) this.#awake = aborted
      else
        void ended.then(() => {
          done(true)
        })
      if (signal.aborted) aborted()
    })
  }

  #tell(
    state: Omit<RelayState, 'address' | 'addresses' | 'failures'> & {
      addresses?: readonly Address[]
    },
    error?: P2pError,
  ): void {
    const { address } = this
    const failures = this.#failures
    this.#state = Object.freeze({ address, addresses: [], failures, ...state })
    this.#init.onChange(this.#state, error)
  }
}

/**
 * Where we are reached through a relay: what was asked for and works, then what the relay says of itself. An address of
 * anybody else is not announced for it.
 */
function circuitAddresses(
  known: readonly Address[],
  told: readonly Uint8Array[],
  relay: PeerId,
  most: number,
): Address[] {
  const all = new Set<Address>()
  for (const one of known) all.add(relayAddress(one, relay))
  for (const bytes of told.slice(0, most)) {
    try {
      const address = parseAddress(multiaddr(bytes).toString())
      const named = /\/p2p\/([^/]+)$/.exec(address)?.[1]
      if (address.includes('/p2p-circuit') || (named !== undefined && named !== relay)) continue
      all.add(relayAddress(address, relay))
    } catch {
      // Not an address: the others may be.
    }
  }
  return [...all].slice(0, most).map((address) => `${address}/p2p-circuit` as Address)
}

function relayAddress(address: Address, relay: PeerId): Address {
  return address.endsWith(`/p2p/${relay}`) ? address : (`${address}/p2p/${relay}` as Address)
}

function noRelay(): P2pError {
  return new P2pError('unavailable', 'Cannot use a relay: none is known', { layer: 'relay' })
}

function lost({ peer, address }: RelayLink): P2pError {
  const text = `Cannot keep the relay ${peer}: the connection to it ended`
  return new P2pError('unavailable', text, { layer: 'relay', address })
}

function unusable(cause: unknown): P2pError {
  const state = cause instanceof Error ? cause.message.slice(0, 128) : String(cause).slice(0, 128)
  return new P2pError('unavailable', `Cannot use the relay: ${state}`, { layer: 'relay', cause })
}
