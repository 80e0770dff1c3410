/**
 * Which of our addresses others can reach: what single checks found, weighed. One voice for each network, so that one
 * party with many peers never decides alone. Pure; it asks nobody.
 */
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import { networkOf } from './observed.ts'

/** How it stands with one address. */
export type ReachabilityState = 'unknown' | 'reachable' | 'unreachable'

/** What one check found. */
export interface Verdict {
  /** Without a peer id. */
  readonly address: Address
  readonly by: PeerId
  /** Where that peer is. */
  readonly from: Address
  /** `refused`: not dialled, so nothing is known and it need not be asked again soon. */
  readonly found: 'reachable' | 'unreachable' | 'refused'
  /** Whether its word suffices alone. */
  readonly trusted: boolean
}

/** What bounds it. */
export interface ReachabilityInit {
  readonly limits: Pick<P2pLimits, 'minDialBacks' | 'maxCheckedAddresses' | 'checkIntervalMs'>
}

interface Voice extends Verdict {
  readonly atMs: number
}

// Ours: more networks than that add nothing.
const MAX_VOICES = 16

/** What was found, and what to make of it. */
export class Reachability {
  readonly #limits: ReachabilityInit['limits']
  readonly #voices = new Map<Address, Map<string, Voice>>()

  constructor({ limits }: ReachabilityInit) {
    this.#limits = limits
  }

  /** Takes what a check found. */
  tell(verdict: Verdict, nowMs: number): void {
    const network = networkOf(verdict.from)
    if (network === undefined) return
    let voices = this.#voices.get(verdict.address)
    if (voices === undefined) {
      if (this.#voices.size >= 2 * this.#limits.maxCheckedAddresses) this.#forgetOldest()
      voices = new Map()
      this.#voices.set(verdict.address, voices)
    }
    voices.delete(network)
    if (voices.size >= MAX_VOICES) forgetFirst(voices)
    voices.set(network, { ...verdict, atMs: nowMs })
  }

  /** How it stands with an address now. */
  stateOf(address: Address, nowMs: number): ReachabilityState {
    const { minDialBacks } = this.#limits
    const weights = { reachable: 0, unreachable: 0, refused: 0 }
    for (const { found, trusted } of this.#standing(address, nowMs)) {
      weights[found] += trusted ? minDialBacks : 1
    }
    const { reachable, unreachable } = weights
    if (reachable >= minDialBacks && reachable > unreachable) return 'reachable'
    return unreachable >= minDialBacks && unreachable > reachable ? 'unreachable' : 'unknown'
  }

  /** When it was last checked, since the epoch. */
  checkedAtMs(address: Address, nowMs: number): number | undefined {
    const times = this.#standing(address, nowMs).map(({ atMs }) => atMs)
    return times.length === 0 ? undefined : Math.max(...times)
  }

  /** Whether a peer there is worth asking about an address: enough others did not say so lately, nor did its network. */
  wants(address: Address, from: Address, nowMs: number): boolean {
    const network = networkOf(from)
    if (network === undefined) return false
    const { checkIntervalMs, minDialBacks } = this.#limits
    const fresh = this.#standing(address, nowMs).filter(
      ({ atMs }) => nowMs - atMs < checkIntervalMs,
    )
    if (fresh.some((one) => networkOf(one.from) === network)) return false
    const decided = this.stateOf(address, nowMs) !== 'unknown'
    const said = fresh.filter(({ found }) => found !== 'refused')
    return !decided || !(said.length >= minDialBacks || said.some(({ trusted }) => trusted))
  }

  /** When the next word loses its weight, or is to be renewed; undefined: nothing was said. */
  nextChangeMs(nowMs: number): number | undefined {
    const { checkIntervalMs } = this.#limits
    let next = Infinity
    for (const voices of this.#voices.values()) {
      for (const { atMs } of voices.values()) {
        for (const at of [atMs + checkIntervalMs, atMs + 2 * checkIntervalMs]) {
          if (at > nowMs) next = Math.min(next, at)
        }
      }
    }
    return next === Infinity ? undefined : next
  }

  #standing(address: Address, nowMs: number): Voice[] {
    const voices = this.#voices.get(address)
    if (voices === undefined) return []
    for (const [network, { atMs }] of voices) {
      if (nowMs - atMs >= 2 * this.#limits.checkIntervalMs) voices.delete(network)
    }
    if (voices.size === 0) this.#voices.delete(address)
    return [...voices.values()]
  }

  #forgetOldest(): void {
    forgetFirst(this.#voices)
  }
}

function forgetFirst(map: Map<unknown, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key)
    return
  }
}
