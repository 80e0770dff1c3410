/**
 * Whom multicast DNS was heard to speak of: a bounded table in which nobody can write over what another said, and a
 * measure of how much may be read. It knows no socket and sends nothing.
 */
import type { Clock } from '../clock.ts'
import { TokenBucket } from '../connection/token-bucket.ts'
import type { PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'

import type { FoundPeer } from './find.ts'
import { believable } from './mdns-message.ts'
import type { HeardFrom, MdnsHeard } from './mdns-message.ts'

// Ours. What all senders together may make us read, in the measure of one; and how many are told apart.
const SENDERS_AT_FULL_RATE = 10
const MAX_SENDERS = 1024

/** What the table needs to know. */
export interface HeardInit {
  /** Ourselves: not to be found. */
  readonly peer: PeerId
  readonly clock: Clock
  readonly limits: Pick<
    P2pLimits,
    'maxFoundPeers' | 'maxFoundTtlMs' | 'maxMdnsPeersPerSender' | 'mdnsPacketsPerSecond'
  >
}

/** Somebody who was heard of. */
export interface HeardPeer {
  readonly found: FoundPeer
  /** Hashes, as they were told. */
  readonly namespaces: readonly string[]
}

interface Entry extends HeardPeer {
  readonly sender: string
  /** What it was read from: the same again need not be read. */
  readonly texts: string
}

/** All that was heard of and still holds. */
export class HeardPeers {
  readonly #init: HeardInit
  /** By peer and sender: nobody can put other addresses in the place of those that a peer told itself. */
  readonly #entries = new Map<string, Entry>()
  readonly #senders = new Map<string, TokenBucket>()
  readonly #everybody: TokenBucket

  constructor(init: HeardInit) {
    const perSecond = init.limits.mdnsPacketsPerSecond * SENDERS_AT_FULL_RATE
    this.#init = init
    this.#everybody = new TokenBucket(perSecond, perSecond, init.clock.nowMs())
  }

  /** Whether a packet of this sender is read. */
  mayCost(sender: string): boolean {
    const { clock, limits } = this.#init
    const nowMs = clock.nowMs()
    let bucket = this.#senders.get(sender)
    if (bucket === undefined) {
      if (this.#senders.size >= MAX_SENDERS) this.#senders.clear()
      bucket = new TokenBucket(limits.mdnsPacketsPerSecond, limits.mdnsPacketsPerSecond, nowMs)
      this.#senders.set(sender, bucket)
    }
    return bucket.take(nowMs) && this.#everybody.take(nowMs)
  }

  /** Takes what somebody said. Undefined where there is nothing in it for us, or no room. */
  hear(heard: MdnsHeard, by: HeardFrom): HeardPeer | undefined {
    const { clock, limits, peer: self } = this.#init
    const texts = `${by.from} ${heard.addresses.join(' ')}`
    const same = [...this.#entries.values()].find((entry) => entry.texts === texts)
    const read = same?.found ?? believable(heard.addresses, by)
    if (read === undefined || read.peer === self) return undefined
    const { peer, addresses } = read
    const key = `${peer} ${by.from}`
    this.#expire()
    const known = this.#entries.delete(key)
    // RFC 6762 §10.1: it is gone. Who did not say it cannot take it back.
    if (heard.ttlSeconds === 0) return undefined
    if (!known && !this.#hasRoom(by.from)) return undefined
    const ttlMs = Math.min(heard.ttlSeconds * 1000, limits.maxFoundTtlMs)
    const expiresAtMs = clock.nowMs() + ttlMs
    const found = Object.freeze({ peer, addresses, source: 'mdns' as const, expiresAtMs })
    const entry = { found, namespaces: heard.namespaces, sender: by.from, texts }
    this.#entries.set(key, entry)
    return entry
  }

  /** Everybody who was heard of and did not go. */
  all(): HeardPeer[] {
    this.#expire()
    return [...this.#entries.values()]
  }

  #hasRoom(sender: string): boolean {
    const { maxFoundPeers, maxMdnsPeersPerSender } = this.#init.limits
    if (this.#entries.size >= maxFoundPeers) return false
    const own = [...this.#entries.values()].filter((entry) => entry.sender === sender)
    return own.length < maxMdnsPeersPerSender
  }

  #expire(): void {
    const nowMs = this.#init.clock.nowMs()
    for (const [key, { found }] of this.#entries) {
      if (found.expiresAtMs <= nowMs) this.#entries.delete(key)
    }
  }
}
