/**
 * How peers are found, whatever finds them: `Advertiser` says what a node serves, `Discoverer` finds who serves it. What
 * is found is an address and never a right: nobody is trusted, allowed or dialled for having been found.
 */
import { encodeUtf8 } from '@stronghold/core'

import type { Address, PeerId } from '../identity.ts'

/** A way of finding. */
export type FindSource = 'mdns' | 'rendezvous' | 'kademlia'

/** Who is looked for: whoever serves a namespace, one peer, or with neither anybody. Not both. */
export interface Wanted {
  /** 1 to 255 bytes of UTF-8 without control characters. */
  readonly namespace?: string
  readonly peer?: PeerId
}

/** Somebody was found. A frozen object that prints as JSON. Nothing in it is proven before the peer is dialled. */
export interface FoundPeer {
  readonly peer: PeerId
  /** Each with the peer's id at its end. At least one. */
  readonly addresses: readonly Address[]
  readonly source: FindSource
  /** The namespace under which it was found, where one was asked for or told. */
  readonly namespace?: string
  /** Since the epoch. */
  readonly expiresAtMs: number
}

/** How one search goes. */
export interface SearchOptions {
  /** Ends the search: the iteration is over, without an error. */
  readonly signal: AbortSignal
  /** False: ends when what can be known now is told. True: goes on with who comes later. */
  readonly follow: boolean
}

/** Finds peers. */
export interface Discoverer {
  readonly source: FindSource
  /**
   * Whoever is wanted, as they are found; a peer comes again with an address that is new. Never ourselves. `break`
   * ends the search.
   *
   * @throws `P2pError` on iteration where the way of finding does not work at all
   */
  find(wanted: Wanted, options: SearchOptions): AsyncIterable<FoundPeer>
}

/** How one way of saying it stands. */
export interface AdvertisementState {
  readonly source: FindSource
  /** The rendezvous point, where there is one. */
  readonly at?: PeerId
  /** `trying` has never succeeded, or not since it last ran out; it goes on by itself. */
  readonly state: 'trying' | 'told'
  /** Until when others keep it, since the epoch. */
  readonly expiresAtMs?: number
  /** Why it last failed. */
  readonly message?: string
}

/** What is being said, over and over, until it is disposed. */
export interface Advertisement extends AsyncDisposable {
  /** Undefined: only where we are, to whoever looks for our peer id. */
  readonly namespace: string | undefined
  states(): AdvertisementState[]
  /** Takes it back, best effort. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Says what this node serves. */
export interface Advertiser {
  readonly source: FindSource
  /** Says that we serve a namespace, or without one where we are, and keeps saying it. Never throws for the network. */
  advertise(namespace?: string): Advertisement
  /** Our addresses are others now: say it again. */
  refresh(): void
}

/** Longest namespace in bytes (libp2p/specs rendezvous/README.md "Recommendations"). */
export const MAX_NAMESPACE_BYTES = 255

/** Whether this may name a namespace. Control characters may not: names end in logs and terminals. */
export function isNamespace(text: string): boolean {
  if (text.length === 0 || text.length > MAX_NAMESPACE_BYTES || /[\0-\x1f\x7f]/.test(text)) {
    return false
  }
  return text.isWellFormed() && encodeUtf8(text).byteLength <= MAX_NAMESPACE_BYTES
}

/** @throws `RangeError` for a text that cannot name a namespace */
export function assertNamespace(text: string): void {
  if (isNamespace(text)) return
  const shown = JSON.stringify(text.slice(0, 64))
  throw new RangeError(
    `Cannot use the namespace ${shown}: not 1 to ${MAX_NAMESPACE_BYTES} bytes of plain text`,
  )
}
