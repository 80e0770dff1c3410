/**
 * Which ways of finding a node has, from its configuration. The only file that knows them all; none runs, and none is
 * loaded that need not be, unless it was asked for.
 */
import { multicastRuntime } from '#runtime'

import type { Clock } from '../clock.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import type { MulticastRuntime } from '../runtime/multicast.ts'

import type { Advertiser, Discoverer, FindSource, FoundPeer } from './find.ts'
import { Mdns } from './mdns.ts'

/** Multicast DNS: peers on the same network. */
export interface MdnsOptions {
  /** Names of interfaces, as `eth0`. Default: all that lead off this machine, or where there is none those within it. */
  interfaces?: readonly string[]
}

/** How peers are found. What is not named is off. */
export interface FindInit {
  /** On the same network. Default false. */
  mdns?: boolean | MdnsOptions
  /** Says where we are by every way that is set up, so that whoever knows our peer id finds us. Default true. */
  announce?: boolean
}

/** What the ways need of their node. */
export interface WaysParts {
  readonly peer: PeerId
  readonly clock: Clock
  readonly limits: Readonly<P2pLimits>
  random(length: number): Uint8Array
  /** For tests. Default: the platform's. */
  readonly multicast?: MulticastRuntime | undefined
  addresses(): readonly Address[]
  onFound(found: FoundPeer): void
  onProblem(source: FindSource, message: string): void
}

/** All ways of one node. */
export interface Ways {
  readonly advertisers: readonly Advertiser[]
  readonly discoverers: readonly Discoverer[]
  /** Resolves when each has begun; what does not work is told by `onProblem`. */
  start(): Promise<void>
  /** Idempotent. */
  stop(): Promise<void>
}

/** @throws `TypeError` for what cannot be set up so */
export function checkFind(init: FindInit): void {
  const { mdns, announce, ...rest } = init
  for (const key of Object.keys(rest)) throw misuse(`unknown key ${key.slice(0, 64)}`)
  if (announce !== undefined && typeof announce !== 'boolean')
    throw misuse('announce is no boolean')
  if (typeof mdns === 'object') {
    const { interfaces, ...others } = mdns
    for (const key of Object.keys(others)) throw misuse(`unknown key mdns.${key.slice(0, 64)}`)
    if (interfaces?.length === 0) throw misuse('mdns.interfaces is empty')
  }
}

/** Makes what is set up. Nothing runs yet. */
export function waysOf(init: FindInit, parts: WaysParts): Ways {
  const { mdns } = init
  const running: Mdns[] = []
  const multicast = parts.multicast ?? multicastRuntime
  const says: (() => void)[] = []
  if (mdns !== undefined && mdns !== false) {
    if (multicast === undefined) {
      says.push(() =>
        parts.onProblem('mdns', 'Cannot find peers on this network: not in a browser'),
      )
    } else {
      const { interfaces } = mdns === true ? {} : mdns
      const { peer, clock, limits } = parts
      running.push(
        new Mdns({
          peer,
          clock,
          limits,
          multicast,
          interfaces,
          random: (length) => parts.random(length),
          addresses: () => parts.addresses(),
          onFound: (found) => parts.onFound(found),
          onProblem: (message) => parts.onProblem('mdns', message),
        }),
      )
    }
  }
  return {
    advertisers: running,
    discoverers: running,
    start: async () => {
      for (const say of says) say()
      await Promise.all(running.map((one) => one.start()))
    },
    stop: async () => {
      await Promise.all(running.map((one) => one.stop()))
    },
  }
}

function misuse(state: string): TypeError {
  return new TypeError(`Cannot set up finding: ${state}`)
}
