/**
 * Messages that arrive in parts, and streams of items with credit (`wire.md §4.4, §5`), each in one direction of one
 * request. Knows nothing of who asks and who answers.
 */
import { concat } from '@stronghold/core'

import { FIRST_MESSAGE_BLOCK_BYTES, MAX_MESSAGE_BLOCK_BYTES } from '../limits.ts'

import {
  FLAG_CONT,
  FLAG_MORE,
  HEADER_BYTES,
  KIND_END,
  KIND_ERROR,
  KIND_ITEM,
  violation,
} from './frame.ts'
import type { Held } from './held.ts'
import type { OutgoingFrame, Source } from './turn.ts'

/** Why a message could not be taken: longer than allowed, or more bytes than may be held. */
export type Refusal = 'too_long' | 'too_much'

/** A message that came in one frame, from `at` on, in memory of its own; its bytes are reserved. */
export function takeWhole(
  held: Held,
  maxBytes: number,
  body: Uint8Array,
  at: number,
  owned: boolean,
): Uint8Array | Refusal {
  const bytes = body.byteLength - at
  if (bytes > maxBytes) return 'too_long'
  if (!held.reserve(bytes)) return 'too_much'
  return owned ? body.subarray(at) : body.slice(at)
}

/** Joins the frames of one message. Its bytes are reserved as they come, and stay so until `release`. */
export class Assembly {
  readonly #held: Held
  readonly #maxBytes: number
  #started = false
  // Blocks of our own: all but the last are full, up to `#at`.
  #blocks: Uint8Array<ArrayBuffer>[] = []
  #last: Uint8Array<ArrayBuffer> | undefined
  #at = 0
  bytes = 0

  constructor(held: Held, maxBytes: number) {
    this.#held = held
    this.#maxBytes = maxBytes
  }

  /** The whole message, in memory of its own, when this frame was its last; else nothing, or why not. */
  push(flags: number, body: Uint8Array, owned: boolean): Uint8Array | Refusal | undefined {
    if (((flags & FLAG_CONT) !== 0) !== this.#started) throw violation('a part out of place')
    if (this.bytes + body.byteLength > this.#maxBytes) return 'too_long'
    if (!this.#held.reserve(body.byteLength)) return 'too_much'
    this.bytes += body.byteLength
    this.#started = (flags & FLAG_MORE) !== 0
    if ((flags & (FLAG_CONT | FLAG_MORE)) === 0) return owned ? body : body.slice()
    this.#copy(body)
    return this.#started ? undefined : this.#join()
  }

  /** Whether a message began and is not whole. */
  get unfinished(): boolean {
    return this.#started
  }

  /** Gives back what is reserved and forgets a message that is not whole. */
  release(): void {
    this.#held.release(this.bytes)
    this.bytes = 0
    this.#forget()
    this.#started = false
  }

  #copy(part: Uint8Array): void {
    for (let from = 0; from < part.byteLength;) {
      if (this.#last === undefined || this.#at === this.#last.byteLength) {
        const length = Math.min(
          MAX_MESSAGE_BLOCK_BYTES,
          Math.max(FIRST_MESSAGE_BLOCK_BYTES, this.bytes),
        )
        this.#last = new Uint8Array(length)
        this.#blocks.push(this.#last)
        this.#at = 0
      }
      const to = Math.min(part.byteLength, from + this.#last.byteLength - this.#at)
      this.#last.set(part.subarray(from, to), this.#at)
      this.#at += to - from
      from = to
    }
  }

  #join(): Uint8Array {
    const blocks = this.#blocks
    const last = blocks.length - 1
    const message = concat(
      blocks.map((block, i) => (i < last ? block : block.subarray(0, this.#at))),
    )
    // At once: memory that waits for the collector makes it run, and that costs more than all of this.
    for (const { buffer } of blocks) buffer.transfer(0)
    this.#forget()
    return message
  }

  #forget(): void {
    this.#blocks = []
    this.#last = undefined
    this.#at = 0
  }
}

/** What an inflow needs. */
export interface InflowInit {
  /** How much the sender may be ahead of the reader, in bytes. */
  windowBytes: number
  maxMessageBytes: number
  held: Held
  /** Tells the sender how much more it may send. */
  grant(bytes: number): void
  /** The reader left before the end. */
  onAbandon?(): void
}

/** Items on their way in: the receiver of an upload or download. One reader. */
export class Inflow {
  readonly #init: InflowInit
  readonly #assembly: Assembly
  #credit: number
  #owed = 0
  #items: { message: Uint8Array; cost: number }[] = []
  #over: { error: unknown } | undefined
  #waiting: PromiseWithResolvers<Uint8Array | undefined> | undefined
  /** Whether an item, or a part of one, arrived. */
  touched = false
  /** Bytes of items that arrived. */
  bytes = 0

  /** `credit` is what the sender was granted already. */
  constructor(init: InflowInit, credit: number) {
    this.#init = init
    this.#credit = credit
    this.#assembly = new Assembly(init.held, init.maxMessageBytes)
  }

  /** Grants the first window. */
  open(): void {
    this.#credit += this.#init.windowBytes
    this.#init.grant(this.#init.windowBytes)
  }

  /**
   * Takes one frame; says why when it cannot.
   *
   * @throws `P2pError` for a frame that is not covered by credit
   */
  frame(flags: number, body: Uint8Array, owned: boolean): Refusal | undefined {
    const cost = HEADER_BYTES + body.byteLength
    this.#credit -= cost
    if (this.#credit < 0) throw violation('an item without credit')
    this.touched = true
    this.bytes += body.byteLength
    // Nobody reads any more, but what was under way still comes.
    if (this.#over !== undefined) return undefined
    const message = this.#assembly.push(flags, body, owned)
    if (typeof message === 'string') return message
    if (message === undefined) this.#owe(cost)
    else {
      // The message keeps its reservation until it is read; the assembly starts anew.
      this.#assembly.bytes = 0
      this.#items.push({ message, cost })
      this.#serve()
    }
    return undefined
  }

  /**
   * The sender said that there are no more items.
   *
   * @throws `P2pError` when it stopped within one
   */
  ended(): void {
    if (this.#assembly.unfinished) throw violation('an end within an item')
    this.end()
  }

  /** No more items will come. Without an error the reader sees those that came, then the end. */
  end(error?: unknown): void {
    if (this.#over !== undefined) return
    this.#over = { error }
    this.#assembly.release()
    if (error !== undefined) this.#drop()
    this.#serve()
  }

  /** The request is over: what was not read is dropped, and whoever reads on hears the error, not an end. */
  close(error: unknown): void {
    if (this.#over !== undefined && this.#items.length === 0) return
    this.#over = { error }
    this.#assembly.release()
    this.#drop()
    this.#serve()
  }

  /** The next item; nothing at the end. Rejects with what `end` was told. */
  next(): Promise<Uint8Array | undefined> {
    if (this.#waiting !== undefined) throw new TypeError('Cannot read: another read is waiting')
    const waiting = Promise.withResolvers<Uint8Array | undefined>()
    this.#waiting = waiting
    this.#serve()
    return waiting.promise
  }

  /** The reader wants no more. */
  abandon(): void {
    if (this.#over !== undefined) {
      this.#drop()
      return
    }
    this.#over = { error: undefined }
    this.#assembly.release()
    this.#drop()
    this.#serve()
    this.#init.onAbandon?.()
  }

  #drop(): void {
    for (const { message } of this.#items) this.#init.held.release(message.byteLength)
    this.#items = []
  }

  #serve(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    const item = this.#items.shift()
    if (item !== undefined) {
      this.#waiting = undefined
      this.#init.held.release(item.message.byteLength)
      if (this.#over === undefined) this.#owe(item.cost)
      waiting.resolve(item.message)
      return
    }
    if (this.#over === undefined) return
    this.#waiting = undefined
    if (this.#over.error === undefined) waiting.resolve(undefined)
    else waiting.reject(this.#over.error)
  }

  #owe(cost: number): void {
    this.#owed += cost
    if (this.#owed * 2 < this.#init.windowBytes) return
    this.#credit += this.#owed
    this.#init.grant(this.#owed)
    this.#owed = 0
  }
}

const MAX_CREDIT = 0xffffffff
// Ours: items that wait for credit or their turn; more wait in the caller's iterator.
const MAX_WAITING_BYTES = 64 * 1024
const MAX_WAITING_ITEMS = 64

/** Items on their way out: the sender of an upload or download. */
export class Outflow implements Source {
  readonly #number: number
  readonly #wake: (source: Source) => void
  readonly #onLast: (() => void) | undefined
  #credit: number
  #items: Uint8Array[] = []
  #itemsBytes = 0
  #at = 0
  #last: { kind: number; body: Uint8Array } | undefined
  #stopped = false
  #room: PromiseWithResolvers<undefined> | undefined
  #done: PromiseWithResolvers<undefined> | undefined
  #firstGrant: (() => void) | undefined
  /** Whether an item was pushed. */
  touched = false
  /** Bytes of items written. */
  bytes = 0

  /** `wake` is called whenever the flow may have become ready, `onLast` when its end or error is written. */
  constructor(number: number, credit: number, wake: (source: Source) => void, onLast?: () => void) {
    this.#number = number
    this.#credit = credit
    this.#wake = wake
    this.#onLast = onLast
  }

  get ready(): boolean {
    if (this.#stopped) return false
    const item = this.#items[0]
    if (item === undefined) return this.#last !== undefined
    return this.#credit >= HEADER_BYTES + (item.byteLength > this.#at ? 1 : 0)
  }

  /** Whether no more may be pushed. */
  get stopped(): boolean {
    return this.#stopped || this.#last !== undefined
  }

  /** More may be sent. */
  grant(bytes: number): void {
    this.#credit = Math.min(MAX_CREDIT, this.#credit + bytes)
    const first = this.#firstGrant
    this.#firstGrant = undefined
    first?.()
    this.#wake(this)
  }

  /** Calls back once, with the first credit. */
  onFirstGrant(first: () => void): void {
    this.#firstGrant = first
  }

  /** Queues one item. Wait for `room` before the next. */
  push(item: Uint8Array): void {
    if (this.stopped) return
    this.touched = true
    this.#items.push(item)
    this.#itemsBytes += item.byteLength
    this.#wake(this)
  }

  /** Resolves when another item may be pushed, or when none is wanted any more: see `stopped`. */
  room(): Promise<undefined> | undefined {
    if (this.stopped || !this.#full()) return undefined
    this.#room ??= Promise.withResolvers()
    return this.#room.promise
  }

  /** Resolves when the end or error is written, or nobody wants it any more. */
  done(): Promise<undefined> {
    if (this.#stopped) return Promise.resolve(undefined)
    this.#done ??= Promise.withResolvers()
    return this.#done.promise
  }

  /** After the queued items: no more. */
  end(): void {
    this.#finish(KIND_END, new Uint8Array(0))
  }

  /** Instead of the queued items, and of an end that is not written yet: it failed. False: too late. */
  fail(body: Uint8Array): boolean {
    if (this.#stopped) return false
    this.#items = []
    this.#itemsBytes = 0
    this.#last = undefined
    this.#finish(KIND_ERROR, body)
    return true
  }

  stop(): void {
    this.#stopped = true
    this.#items = []
    this.#itemsBytes = 0
    this.#makeRoom()
    this.#done?.resolve(undefined)
  }

  next(maxBytes: number): OutgoingFrame | undefined {
    if (!this.ready) return undefined
    const item = this.#items[0]
    if (item === undefined) {
      const last = this.#last
      this.stop()
      if (last === undefined) return undefined
      this.#onLast?.()
      return {
        kind: last.kind,
        flags: 0,
        number: this.#number,
        prelude: undefined,
        body: last.body,
      }
    }
    const room = Math.min(maxBytes, this.#credit - HEADER_BYTES)
    const end = Math.min(item.byteLength, this.#at + room)
    const more = end < item.byteLength
    const flags = (more ? FLAG_MORE : 0) | (this.#at > 0 ? FLAG_CONT : 0)
    const body = item.subarray(this.#at, end)
    this.#credit -= HEADER_BYTES + body.byteLength
    this.#itemsBytes -= body.byteLength
    this.bytes += body.byteLength
    this.#at = more ? end : 0
    if (!more) this.#items.shift()
    if (!this.#full()) this.#makeRoom()
    return { kind: KIND_ITEM, flags, number: this.#number, prelude: undefined, body }
  }

  #finish(kind: number, body: Uint8Array): void {
    if (this.stopped) return
    this.#last = { kind, body }
    this.#makeRoom()
    this.#wake(this)
  }

  #full(): boolean {
    return this.#itemsBytes >= MAX_WAITING_BYTES || this.#items.length >= MAX_WAITING_ITEMS
  }

  #makeRoom(): void {
    this.#room?.resolve(undefined)
    this.#room = undefined
  }
}
