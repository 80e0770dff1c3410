/**
 * Everything of a node that has to do with being reached directly from outside: which of its addresses others can dial,
 * asked of peers that can tell; dialling back peers that ask the same; and ports that a router lets through. It announces
 * nothing itself.
 */
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import type { NewEvent } from '../events.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import type { RouterRuntime } from '../runtime/routers.ts'
import { DIAL_BACK_PROTOCOL, DIAL_REQUEST_PROTOCOL } from './autonat-message.ts'
import { Checks } from './check.ts'
import type { CheckResult, ProofConnection } from './check.ts'
import { DialBacks } from './dial-back.ts'
import type { DialledBack } from './dial-back.ts'
import { isListenable } from './observed.ts'
import { PortMappings } from './port-mappings.ts'
import type { PortMapping } from './port-mappings.ts'
import { Reachability } from './reachability.ts'
import type { ReachabilityState } from './reachability.ts'
import { scopeOf } from './scope.ts'

/** Being reached from outside. */
export interface ReachInit {
  /** Has peers that know how (AutoNAT v2) check which of our addresses can be reached. Default: yes. */
  check?: boolean
  /** Dials peers back that ask for it. Default: where the node serves as a relay. */
  dialBack?: boolean
  /**
   * Whether addresses of private networks and of this machine are checked, and dialled back, too. Default: no, so that
   * nobody outside makes us dial what only we can reach.
   */
  private?: boolean
  /**
   * Asks the router of the network (UPnP) to let the ports through that we listen on. Their addresses outside are announced
   * once peers could dial them. Default: no.
   */
  mapPorts?: boolean
}

/** How it stands with one of our addresses. Frozen, prints as JSON. */
export interface AddressReachability {
  /** Without our peer id. */
  readonly address: Address
  readonly state: ReachabilityState
  /** Since the epoch; absent where no peer said anything yet. */
  readonly checkedAtMs?: number
}

/** A direct connection on which a check can be asked for. */
export interface Checker {
  readonly peer: PeerId
  readonly address: Address
  /** Whether it is a relay that we use: its word suffices alone. */
  trusted(): boolean
  /** Opens a stream on it. @throws where none can be opened */
  open(protocol: string): Pipe
}

/** What being reached needs of the node. */
export interface ReachParts {
  readonly limits: Readonly<P2pLimits>
  readonly clock: Clock
  readonly check: boolean
  readonly dialBack: boolean
  readonly privately: boolean
  readonly mapPorts: boolean
  readonly routers: RouterRuntime | undefined
  random(length: number): Uint8Array
  /** By hand: nothing else is checked then. */
  readonly announced: readonly Address[]
  /** Where we listen, without peer ids. */
  listened(): readonly Address[]
  /** Where else we may be reached, without peer ids, the likeliest first. */
  supposed(): readonly Address[]
  speaks(version: 4 | 6): boolean
  dial(address: Address, signal: AbortSignal): Promise<DialledBack>
  /** A state is another now. */
  onChange(): void
  emit(event: NewEvent): void
}

interface Known extends Checker {
  busy: boolean
  notBeforeMs: number
}

const KEYS: ReadonlySet<string> = new Set(['check', 'dialBack', 'private', 'mapPorts'])

/** @throws `TypeError` for what nobody can set up so */
export function checkReachInit(init: ReachInit): void {
  for (const [key, value] of Object.entries(init) as [string, unknown][]) {
    if (!KEYS.has(key)) throw misused(`unknown key ${key.slice(0, 64)}`)
    if (typeof value !== 'boolean') throw misused(`${key} is neither true nor false`)
  }
}

/** The reachability of one node. */
export class Reach {
  readonly #parts: ReachParts
  readonly #checks: Checks
  readonly #dialBacks: DialBacks | undefined
  readonly #mappings: PortMappings | undefined
  readonly #found: Reachability
  readonly #checkers = new Map<PeerId, Known>()
  readonly #states = new Map<Address, ReachabilityState>()
  readonly #stopping = new AbortController()
  #running = 0
  #stopTimer: (() => void) | undefined

  constructor(parts: ReachParts) {
    const { limits, clock, dialBack, privately } = parts
    this.#parts = parts
    this.#checks = new Checks({ limits, clock, random: (length) => parts.random(length) })
    this.#found = new Reachability({ limits })
    this.#dialBacks = !dialBack
      ? undefined
      : new DialBacks({
          limits,
          clock,
          privately,
          speaks: (version) => parts.speaks(version),
          dial: (address, signal) => parts.dial(address, signal),
        })
    this.#mappings = !parts.mapPorts
      ? undefined
      : new PortMappings({
          limits,
          clock,
          privately,
          runtime: parts.routers,
          random: (length) => parts.random(length),
          onChange: (mapping) => {
            parts.emit({ type: 'portMapping', ...mapping })
            this.pump()
          },
        })
  }

  /** The ports that a router maps to us, or was asked to. */
  get mappings(): PortMapping[] {
    return this.#mappings?.list ?? []
  }

  /** What it answers. */
  get protocols(): string[] {
    return [
      ...(this.#parts.check ? [DIAL_BACK_PROTOCOL] : []),
      ...(this.#dialBacks === undefined ? [] : [DIAL_REQUEST_PROTOCOL]),
    ]
  }

  /** How it stands with each of our addresses that can be checked. */
  states(): AddressReachability[] {
    const nowMs = this.#parts.clock.nowMs()
    return this.#candidates().map((address) => {
      const checkedAtMs = this.#found.checkedAtMs(address, nowMs)
      const state = this.#found.stateOf(address, nowMs)
      return Object.freeze({
        address,
        state,
        ...(checkedAtMs === undefined ? {} : { checkedAtMs }),
      })
    })
  }

  /** How it stands with one. */
  stateOf(address: Address): ReachabilityState {
    return this.#found.stateOf(address, this.#parts.clock.nowMs())
  }

  /** Takes a stream of one of its protocols. False: not taken. */
  take(protocol: string, pipe: Pipe, connection: ProofConnection & { peer: PeerId }): boolean {
    if (protocol === DIAL_BACK_PROTOCOL && this.#parts.check) {
      return this.#checks.take(pipe, connection)
    }
    if (protocol !== DIAL_REQUEST_PROTOCOL || this.#dialBacks === undefined) return false
    const { peer, remoteAddress: address, relayed } = connection
    this.#dialBacks.take(pipe, { peer, address, relayed })
    return true
  }

  /** A peer said what it speaks. */
  met(checker: Checker, protocols: readonly string[]): void {
    if (!this.#parts.check || !protocols.includes(DIAL_REQUEST_PROTOCOL)) return
    const { busy = false, notBeforeMs = 0 } = this.#checkers.get(checker.peer) ?? {}
    this.#checkers.set(checker.peer, { ...checker, busy, notBeforeMs })
    this.pump()
  }

  /** No direct connection with a peer is left. */
  gone(peer: PeerId): void {
    this.#checkers.delete(peer)
  }

  /** Has checked what is to be checked now, by whom there is. To be called when candidates change, too. */
  pump(): void {
    const { limits, clock } = this.#parts
    const nowMs = clock.nowMs()
    for (const address of this.#candidates()) {
      for (const checker of this.#checkers.values()) {
        if (this.#running >= limits.maxChecks || this.#stopping.signal.aborted) return
        if (checker.busy || checker.notBeforeMs > nowMs) continue
        if (!this.#suits(address, checker)) continue
        if (this.#found.wants(address, checker.address, nowMs)) void this.#check(address, checker)
      }
    }
    this.#wait(nowMs)
  }

  /** What is listened on is another now. */
  listening(): void {
    const ports = this.#parts.listened().filter((one) => this.#isMappable(one))
    this.#mappings?.want(ports.map((one) => Number(one.split('/')[4])))
    this.pump()
  }

  /** Ends all of it. Idempotent. */
  async close(): Promise<void> {
    this.#stopping.abort(new Error('the node stops'))
    this.#stopTimer?.()
    this.#dialBacks?.close()
    this.#checkers.clear()
    await this.#mappings?.close()
  }

  #isMappable(address: Address): boolean {
    if (!address.startsWith('/ip4/') || !isListenable(address)) return false
    return this.#parts.privately || scopeOf(address) === 'private'
  }

  async #check(address: Address, checker: Known): Promise<void> {
    const { clock, limits } = this.#parts
    const { peer: by, address: from } = checker
    checker.busy = true
    this.#running += 1
    let found: CheckResult = 'unknown'
    try {
      found = await this.#checks.check(
        address,
        (protocol) => checker.open(protocol),
        this.#stopping.signal,
      )
    } catch {
      // Said nothing, and is left alone for a while.
    }
    this.#running -= 1
    const known = this.#checkers.get(by)
    if (known !== undefined) known.busy = false
    if (this.#stopping.signal.aborted) return
    const nowMs = clock.nowMs()
    const trusted = checker.trusted()
    if (found !== 'unknown') this.#found.tell({ address, by, from, found, trusted }, nowMs)
    else if (known !== undefined) known.notBeforeMs = nowMs + limits.checkIntervalMs
    this.#judge()
    this.pump()
  }

  /** From a private network a public address is hearsay, and the other way round. */
  #suits(address: Address, { address: from }: Checker): boolean {
    return this.#parts.privately || scopeOf(address) === scopeOf(from)
  }

  #candidates(): Address[] {
    const { limits, privately, announced } = this.#parts
    const listened = this.#parts.listened()
    const mapped = listened.flatMap((one) => this.#mappings?.outside(one) ?? [])
    const found = [...mapped, ...listened, ...this.#parts.supposed()]
    const all = [...new Set(announced.length > 0 ? announced : found)].filter(
      (one) => isListenable(one) && (privately || scopeOf(one) === 'public'),
    )
    return all.slice(0, limits.maxCheckedAddresses)
  }

  #judge(): void {
    let changed = false
    const now = this.states()
    for (const address of [...this.#states.keys()]) {
      if (!now.some((one) => one.address === address)) this.#states.delete(address)
    }
    for (const { address, state } of now) {
      if ((this.#states.get(address) ?? 'unknown') === state) continue
      this.#states.set(address, state)
      changed = true
      this.#parts.emit({ type: 'reachability', address, state })
    }
    if (changed) this.#parts.onChange()
  }

  #wait(nowMs: number): void {
    this.#stopTimer?.()
    const pauses = [...this.#checkers.values()].map(({ notBeforeMs }) => notBeforeMs)
    const times = [this.#found.nextChangeMs(nowMs), ...pauses.filter((one) => one > nowMs)]
    const next = Math.min(...times.filter((one) => one !== undefined))
    if (next === Infinity) return
    this.#stopTimer = this.#parts.clock.setTimer(next - nowMs, () => {
      this.#judge()
      this.pump()
    })
  }
}

function misused(state: string): TypeError {
  return new TypeError(`Cannot set up reach: ${state}`)
}
