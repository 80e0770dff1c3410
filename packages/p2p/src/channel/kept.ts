/**
 * Answers kept so that a request with side effects that is sent again is answered and not repeated (`wire.md §6`).
 * One window per peer, which refuses when it is full and never evicts. Pure: time is handed in.
 */
import type { Held } from './held.ts'

/** A last frame to be given again. */
export type Answer =
  | { type: 'response'; message: Uint8Array }
  | { type: 'error'; body: Uint8Array }
  /** It ran, but the answer was more than may be kept. */
  | { type: 'gone' }

/** One request with side effects, from its arrival until its answer may be forgotten. */
export interface KeptEntry<Copy> {
  readonly key: string
  readonly method: string
  readonly expiresAtMs: number
  answer: Answer | undefined
  /** While it runs: another copy of the request came, which shall get the answer. */
  attach: ((copy: Copy) => void) | undefined
}

/** Bounds of one window. */
export interface KeptLimits {
  keepAnswersMs: number
}

/** The window of one peer. */
export class Kept<Copy> {
  readonly #limits: KeptLimits
  readonly #bytes: Held
  readonly #places: Held
  readonly #entries = new Map<string, KeptEntry<Copy>>()
  #sweptAtMs = 0

  /** `places` and `bytes` bound the answers of this peer, and through their parents those of all peers. */
  constructor(limits: KeptLimits, places: Held, bytes: Held) {
    this.#limits = limits
    this.#places = places
    this.#bytes = bytes
  }

  get size(): number {
    return this.#entries.size
  }

  /** What is known of a request. */
  get(id: Uint8Array): KeptEntry<Copy> | undefined {
    return this.#entries.get(keyOf(id))
  }

  /** Makes a place for a request that will run; nothing when the window is full. */
  open(
    id: Uint8Array,
    method: string,
    nowMs: number,
    timeoutMs: number,
  ): KeptEntry<Copy> | undefined {
    if (!this.#places.reserve(1)) {
      this.sweep(nowMs)
      if (!this.#places.reserve(1)) return undefined
    }
    const entry: KeptEntry<Copy> = {
      key: keyOf(id),
      method,
      expiresAtMs: nowMs + timeoutMs + this.#limits.keepAnswersMs,
      answer: undefined,
      attach: undefined,
    }
    this.#entries.set(entry.key, entry)
    return entry
  }

  /** Keeps the answer, or that there was one. */
  settle(entry: KeptEntry<Copy>, answer: Answer): void {
    if (this.#entries.get(entry.key) !== entry || entry.answer !== undefined) return
    entry.attach = undefined
    entry.answer = this.#bytes.reserve(bytesOf(answer)) ? answer : { type: 'gone' }
  }

  /** Forgets a request: acknowledged, or it never ran. */
  forget(entry: KeptEntry<Copy>): void {
    if (this.#entries.get(entry.key) !== entry) return
    this.#entries.delete(entry.key)
    this.#places.release(1)
    if (entry.answer !== undefined) this.#bytes.release(bytesOf(entry.answer))
    // A table that the map left behind may keep the entry until the next full collection, but nothing beside it.
    entry.answer = undefined
    entry.attach = undefined
  }

  /** Forgets answers whose time is over; those that still run stay. */
  sweep(nowMs: number): void {
    // Once a second at most: a full window under load is not walked for every request.
    if (nowMs - this.#sweptAtMs < 1000 && nowMs >= this.#sweptAtMs) return
    this.#sweptAtMs = nowMs
    for (const entry of this.#entries.values()) {
      if (entry.answer !== undefined && entry.expiresAtMs <= nowMs) this.forget(entry)
    }
  }
}

function bytesOf(answer: Answer): number {
  if (answer.type === 'response') return answer.message.byteLength
  return answer.type === 'error' ? answer.body.byteLength : 0
}

/** Sixteen bytes as eight characters: a short key that costs no hex. */
function keyOf(id: Uint8Array): string {
  let key = ''
  for (let at = 0; at < id.byteLength; at += 2) {
    key += String.fromCharCode(((id[at] ?? 0) << 8) | (id[at + 1] ?? 0))
  }
  return key
}
