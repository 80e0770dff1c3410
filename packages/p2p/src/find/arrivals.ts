/**
 * What was found and not yet read: a bounded buffer that is an iterator. Who is found again by the same way is told
 * again only with an address that is new. It knows nothing of those who find.
 */
import type { Address } from '../identity.ts'
import type { FoundPeer } from './find.ts'

type Result = IteratorResult<FoundPeer, undefined>

// Ours. Of one peer; past it what was told is forgotten and may come again.
const MAX_TOLD_ADDRESSES = 64

/** How much a search may hold. */
export interface ArrivalLimits {
  /** Found and unread, and remembered as told. */
  readonly maxFoundPeers: number
}

/** One search as its reader sees it. */
export class Arrivals implements AsyncIterableIterator<FoundPeer, undefined> {
  readonly #max: number
  readonly #onEnd: () => void
  readonly #told = new Map<string, Set<Address>>()
  readonly #readers: { resolve: (result: Result) => void; reject: (error: unknown) => void }[] = []
  #unread: FoundPeer[] = []
  #failed: { error: unknown } | undefined
  #over = false

  /** @param onEnd - called once, when nobody reads any more or everything was told */
  constructor(limits: ArrivalLimits, onEnd: () => void = () => {}) {
    this.#max = limits.maxFoundPeers
    this.#onEnd = onEnd
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Takes somebody who was found. Past the bound the oldest unread is dropped: the newest is the likeliest to be there. */
  push(found: FoundPeer): void {
    if (this.#over) return
    const key = `${found.source} ${found.peer} ${found.namespace ?? ''}`
    const told = this.#told.get(key) ?? new Set()
    if (found.addresses.every((address) => told.has(address))) return
    if (told.size >= MAX_TOLD_ADDRESSES) told.clear()
    for (const address of found.addresses) told.add(address)
    this.#told.delete(key)
    this.#told.set(key, told)
    if (this.#told.size > this.#max) {
      for (const oldest of this.#told.keys()) {
        this.#told.delete(oldest)
        break
      }
    }
    const reader = this.#readers.shift()
    if (reader !== undefined) return reader.resolve({ done: false, value: found })
    this.#unread.push(found)
    if (this.#unread.length > this.#max) this.#unread.shift()
  }

  /** Nothing more comes; what is unread can still be read. Idempotent. */
  finish(error?: unknown): void {
    if (this.#over) return
    this.#over = true
    if (error !== undefined) this.#failed = { error }
    for (const reader of this.#readers.splice(0)) this.#settle(reader)
    this.#onEnd()
  }

  next(): Promise<Result> {
    const value = this.#unread.shift()
    if (value !== undefined) return Promise.resolve({ done: false, value })
    return new Promise((resolve, reject) => {
      if (this.#over) this.#settle({ resolve, reject })
      else this.#readers.push({ resolve, reject })
    })
  }

  return(): Promise<Result> {
    this.#unread = []
    this.finish()
    return Promise.resolve({ done: true, value: undefined })
  }

  #settle(reader: { resolve: (result: Result) => void; reject: (error: unknown) => void }): void {
    const failed = this.#failed
    this.#failed = undefined
    if (failed === undefined) reader.resolve({ done: true, value: undefined })
    else reader.reject(failed.error)
  }
}
