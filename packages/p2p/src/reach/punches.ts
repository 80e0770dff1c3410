/**
 * When to try for a direct connection, with whom and where: after each connection through a relay, once at a time and not
 * again for a while where it failed. How two sides agree on the moment is `punch.ts`; sockets are the node's.
 */
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { isP2pError } from '../errors.ts'
import type { NewEvent } from '../events.ts'
import { addressFromBytes, toMultiaddr } from '../identity.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import { followPunch, leadPunch, PUNCH_ATTEMPTS, PUNCH_PROTOCOL } from './punch.ts'
import type { PunchInit, PunchRole } from './punch.ts'
import { scopeOf } from './scope.ts'

/** A connection through a relay, and what a direct one needs of the node. */
export interface Relayed {
  readonly peer: PeerId
  /** Inbound: the peer dialled us, so we lead. */
  readonly direction: 'inbound' | 'outbound'
  /** Where the relay is. */
  readonly relay: Address
  /** Where our router lets answers in, without a peer id. */
  own(): readonly Address[]
  /** Opens a stream on it. @throws `P2pError` where none can be opened */
  open(protocol: string): Pipe
}

/** How an address is dialled. */
export interface PunchDial {
  readonly address: Address
  /** Undefined: as always, from any port. Else from the port used towards the relay. */
  readonly role: PunchRole | undefined
}

/** What the node gives. */
export interface PunchesInit {
  readonly limits: Pick<
    P2pLimits,
    | 'punchTimeoutMs'
    | 'punchRetryMs'
    | 'maxPunches'
    | 'maxPunchAddresses'
    | 'maxPunchFailures'
    | 'relayTimeoutMs'
  >
  readonly clock: Clock
  /** Resolves once a direct connection to the peer stands, or stood already. @throws the signal's reason */
  direct(peer: PeerId, signal: AbortSignal): Promise<void>
  /** One dial. @throws where it failed */
  dial(connection: Relayed, dial: PunchDial, signal: AbortSignal): Promise<void>
  /** Whether the peer, which dialled us, is let in at all: others make us dial nothing. */
  wants(peer: PeerId): boolean
  emit(event: NewEvent): void
}

// Ours. Routers that refuse what they did not expect, where others are silent, forget it as quickly.
const REDIAL_MS = 200

/** All that is tried by one node. */
export class Punches {
  readonly #init: PunchesInit
  readonly #running = new Map<PeerId, AbortController>()
  // When to try again, by peer; the oldest first.
  readonly #failures = new Map<PeerId, number>()
  readonly #followed = new WeakMap<object, number>()
  #closed = false

  constructor(init: PunchesInit) {
    this.#init = init
  }

  /** How many are under way. */
  get size(): number {
    return this.#running.size
  }

  /**
   * A peer that came through a relay said where it is: dials it there, and failing that punches. Never throws; what comes
   * of it is told as an event.
   *
   * @param speaks - whether it says that it knows how to punch
   */
  async lead(connection: Relayed, told: readonly Address[], speaks: boolean): Promise<void> {
    const { peer, direction } = connection
    if (direction !== 'inbound' || !this.#init.wants(peer) || !this.#mayTry(peer)) return
    await this.#run(peer, async (signal) => {
      const addresses = this.#worth(connection, told)
      if (addresses.length > 0 && (await this.#reverse(connection, addresses, signal))) return 0
      if (!speaks || this.#own(connection).length === 0) return undefined
      return leadPunch(connection.open(PUNCH_PROTOCOL), this.#punchInit(connection, signal))
    })
  }

  /**
   * Takes a stream on which the other side of a connection through a relay wants to punch. False: not taken.
   *
   * @param on - stands for the connection: what it may ask for is counted
   */
  follow(pipe: Pipe, connection: Relayed, on: object): boolean {
    const before = this.#followed.get(on) ?? 0
    const { peer, direction } = connection
    if (direction !== 'outbound' || before >= PUNCH_ATTEMPTS) return false
    if (!this.#hasRoom(peer)) return false
    void this.#run(peer, async (signal) => {
      let attempts = 0
      const init = this.#punchInit(connection, signal)
      const counted: PunchInit = {
        ...init,
        dial: (addresses, role, until) => {
          attempts += 1
          this.#followed.set(on, before + attempts)
          return init.dial(addresses, role, until)
        },
      }
      try {
        await followPunch(pipe, counted, PUNCH_ATTEMPTS - before)
        pipe.end()
      } catch (error) {
        pipe.destroy()
        throw error
      }
      return attempts
    })
    return true
  }

  /** Ends all of it. Idempotent. */
  close(): void {
    this.#closed = true
    for (const control of this.#running.values()) control.abort(new Error('the node stops'))
    this.#running.clear()
  }

  #hasRoom(peer: PeerId): boolean {
    const { maxPunches } = this.#init.limits
    return !this.#closed && !this.#running.has(peer) && this.#running.size < maxPunches
  }

  #mayTry(peer: PeerId): boolean {
    const retryAtMs = this.#failures.get(peer) ?? 0
    return this.#hasRoom(peer) && retryAtMs <= this.#init.clock.nowMs()
  }

  /** `work` gives how many attempts it took; undefined: there was nothing to try. */
  async #run(
    peer: PeerId,
    work: (signal: AbortSignal) => Promise<number | undefined>,
  ): Promise<void> {
    const { clock, limits } = this.#init
    const control = new AbortController()
    this.#running.set(peer, control)
    try {
      const attempts = await work(control.signal)
      if (attempts === undefined) return
      this.#failures.delete(peer)
      this.#init.emit({ type: 'direct', peer, reached: true, attempts })
    } catch (error) {
      if (this.#closed) return
      this.#failures.delete(peer)
      if (this.#failures.size >= limits.maxPunchFailures) {
        for (const oldest of this.#failures.keys()) {
          this.#failures.delete(oldest)
          break
        }
      }
      this.#failures.set(peer, clock.nowMs() + limits.punchRetryMs)
      const message = error instanceof Error ? error.message : String(error)
      const attempts = isP2pError(error) && error.reason === 'punch_failed' ? PUNCH_ATTEMPTS : 0
      this.#init.emit({ type: 'direct', peer, reached: false, attempts, message })
    } finally {
      if (this.#running.get(peer) === control) this.#running.delete(peer)
    }
  }

  /** The other side may be reachable as it is (DCUtR.md "The Protocol": unilateral connection upgrade). */
  async #reverse(
    connection: Relayed,
    addresses: readonly Address[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const { clock, limits } = this.#init
    const late = new AbortController()
    const stopTimer = clock.setTimer(limits.punchTimeoutMs, () => {
      late.abort(new Error('it took too long'))
    })
    const until = AbortSignal.any([late.signal, signal])
    try {
      await Promise.any(
        addresses.map((address) =>
          this.#init.dial(connection, { address, role: undefined }, until),
        ),
      )
      return true
    } catch {
      signal.throwIfAborted()
      return false
    } finally {
      stopTimer()
      late.abort(new Error('over'))
    }
  }

  #punchInit(connection: Relayed, signal: AbortSignal): PunchInit {
    const { limits, clock } = this.#init
    return {
      limits,
      clock,
      signal,
      own: () => this.#own(connection).map((one) => toMultiaddr(one).bytes),
      dial: async (bytes, role, until) => {
        const told = bytes
          .slice(0, MAX_READ_ADDRESSES)
          .map((one) => addressFromBytes(one, connection.peer))
          .filter((one) => one !== undefined)
        const dials = this.#worth(connection, told).map((address) =>
          this.#again(connection, { address, role }, until),
        )
        // The other side's dial may be the one that comes through.
        await Promise.race([this.#init.direct(connection.peer, until), ...dials])
      },
    }
  }

  /** Dials until it works or time is over. */
  async #again(connection: Relayed, dial: PunchDial, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await this.#init.dial(connection, dial, signal)
        return
      } catch {
        signal.throwIfAborted()
        await new Promise<void>((resolve) => {
          this.#init.clock.setTimer(REDIAL_MS, resolve)
        })
        signal.throwIfAborted()
      }
    }
  }

  /**
   * Addresses of TCP on IP, without repeats, a few; of a peer that nobody vouches for, so none of a network that the relay
   * is not in itself.
   */
  #worth({ peer, relay }: Relayed, told: readonly Address[]): Address[] {
    const bare = told.map((one) => one.replace(/\/p2p\/[^/]+$/, '') as Address)
    return this.#few(bare, relay).map((one) => `${one}/p2p/${peer}` as Address)
  }

  #own(connection: Relayed): Address[] {
    return this.#few(connection.own(), connection.relay)
  }

  #few(all: readonly Address[], relay: Address): Address[] {
    const worth = [...new Set(all)].filter((one) => isTcp(one) && isAsFar(one, relay))
    return worth.slice(0, this.#init.limits.maxPunchAddresses)
  }
}

// Ours. What comes after is not even parsed.
const MAX_READ_ADDRESSES = 32

function isTcp(address: Address): boolean {
  return /^\/ip[46]\/[^/]+\/tcp\/[1-9]\d*$/.test(address)
}

function isAsFar(address: Address, relay: Address): boolean {
  const scope = scopeOf(address)
  return scope === 'public' || (scope === 'private' && scopeOf(relay) === 'private')
}
