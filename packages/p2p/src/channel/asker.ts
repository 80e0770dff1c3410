/**
 * The asking side of one channel: numbers requests, follows them to their last frame, counts what was answered
 * (`wire.md §3.2, §4.2–§4.6, §6`). Frames in, frames out; it knows nothing of pipes, deadlines or sending again.
 */
import { ByNumber } from './by-number.ts'
import {
  decodeError,
  encodeCount,
  encodeFrame,
  encodePrelude,
  FIXED_PRELUDE_BYTES,
  KIND_ACK,
  KIND_CANCEL,
  KIND_CREDIT,
  KIND_END,
  KIND_ERROR,
  KIND_ITEM,
  KIND_REQUEST,
  KIND_RESPONSE,
  MAX_NUMBERED_METHODS,
  readUint32,
  violation,
  writePrelude,
} from './frame.ts'
import type { Prelude, WireError } from './frame.ts'
import { Assembly, Inflow, Outflow, takeWhole } from './flow.ts'
import type { Refusal } from './flow.ts'
import type { Held } from './held.ts'
import { Message } from './turn.ts'
import type { Outbox } from './turn.ts'

/** The name of a method. The same object gets the same number on a channel. */
export interface MethodName {
  readonly protocol: string
  readonly method: string
}

/** How a request ended on this channel. */
export type Outcome =
  | { type: 'response'; message: Uint8Array }
  | { type: 'end' }
  | { type: 'error'; error: WireError }
  /** Too long or too much for us to take; the responder may have run it. */
  | { type: 'refused'; why: Refusal }
  /** The channel ended first; `left` tells whether a frame of the request was written. */
  | { type: 'lost'; left: boolean }

/** One request to be sent. */
export interface Ask {
  /** 16 bytes. */
  readonly id: Uint8Array
  readonly name: MethodName
  readonly message: Uint8Array
  readonly timeoutMs: number
  /** Whether the answer is a stream of items. */
  readonly downloads: boolean
  /** Whether items follow the request. */
  readonly uploads: boolean
  /** Told exactly once, unless the request was given up before. */
  settle(outcome: Outcome): void
}

/** What the asker needs of its channel and node. */
export interface AskerInit {
  outbox: Outbox
  /** Something was queued: write it after this turn. */
  wake(): void
  held: Held
  limits: { maxMessageBytes: number; requestWindowBytes: number }
}

// Ours: an ack of its own is sent when this many answers were not acknowledged by requests.
const MAX_UNACKED = 128

/** A request on its way: its message, and what is known of its answer. */
export class Asked extends Message {
  readonly ask: Ask
  inflow: Inflow | undefined
  outflow: Outflow | undefined
  /** An answer that comes in parts. */
  answer: Assembly | undefined
  /** Settled or given up: only its last frame is waited for. */
  over = false
  readonly #asker: Asker

  constructor(asker: Asker, number: number, ask: Ask) {
    super(KIND_REQUEST, number, ask.message)
    this.#asker = asker
    this.ask = ask
  }

  /** Whether items went or came, so that it cannot be sent again. */
  get streamed(): boolean {
    return this.inflow?.touched === true || this.outflow?.touched === true
  }

  // Names are numbered, and answers acknowledged, in the order in which frames leave.
  override prelude(): Uint8Array {
    return this.#asker.prelude(this.ask)
  }

  override get preludeBytes(): number | undefined {
    return this.#asker.isNumbered(this.ask) ? FIXED_PRELUDE_BYTES : undefined
  }

  override writePrelude(into: Uint8Array, at: number): number {
    return this.#asker.writePrelude(this.ask, into, at)
  }
}

/** The book of requests asked on one channel. */
export class Asker {
  readonly #init: AskerInit
  readonly #open = new ByNumber<Asked>()
  readonly #numbers = new Map<MethodName, number>()
  #named = 0
  #next = 1
  #answered = 0
  #acked = 0

  constructor(init: AskerInit) {
    this.#init = init
  }

  /** Requests that have not got their last frame. */
  get size(): number {
    return this.#open.size
  }

  /** Whether answers wait to be acknowledged. */
  get owesAck(): boolean {
    return this.#answered !== this.#acked
  }

  /** Queues a request. */
  start(ask: Ask): Asked {
    const { outbox } = this.#init
    const number = this.#number()
    const asked = new Asked(this, number, ask)
    if (ask.downloads) asked.inflow = this.#inflow(number)
    if (ask.uploads) {
      asked.outflow = new Outflow(number, 0, (source) => {
        outbox.join(source)
        this.#init.wake()
      })
    }
    this.#open.add(asked)
    outbox.message(asked)
    this.#init.wake()
    return asked
  }

  /** Nobody waits for the answer any more. */
  cancel(asked: Asked): void {
    if (asked.over) return
    this.#giveUp(asked)
    if (!asked.left) {
      // Nothing of it left: the responder never hears of it.
      asked.stop()
      this.#open.delete(asked.number)
      return
    }
    this.#init.outbox.control(encodeFrame(KIND_CANCEL, 0, asked.number, new Uint8Array(0)))
    this.#init.wake()
  }

  /**
   * Takes one frame from the responder.
   *
   * @throws `P2pError` for a violation
   */
  frame(kind: number, flags: number, number: number, body: Uint8Array, owned: boolean): void {
    const asked = this.#open.get(number)
    if (asked === undefined)
      throw violation(`kind ${kind} about request ${number}, which is not open`)
    switch (kind) {
      case KIND_RESPONSE:
        this.#response(asked, flags, body, owned)
        break
      case KIND_ITEM:
        this.#item(asked, flags, body, owned)
        break
      case KIND_CREDIT:
        // Credit for an upload that is over crossed with its end.
        asked.outflow?.grant(readUint32(body, 0))
        break
      case KIND_END:
        if (asked.inflow === undefined) throw violation('an end where an answer was due')
        if (!asked.over) asked.inflow.ended()
        this.#last(asked)
        this.#settle(asked, { type: 'end' })
        break
      case KIND_ERROR: {
        const error = decodeError(body)
        this.#last(asked)
        this.#settle(asked, { type: 'error', error })
        break
      }
      default:
        throw violation(`kind ${kind} from the responder`)
    }
  }

  /** Says what was answered, if that was not said yet. */
  ack(): void {
    if (!this.owesAck) return
    this.#acked = this.#answered
    this.#init.outbox.control(encodeCount(KIND_ACK, 0, this.#answered))
    this.#init.wake()
  }

  /** The channel is gone. */
  lose(): void {
    for (const asked of this.#open.takeAll())
      this.#settle(asked, { type: 'lost', left: asked.left })
  }

  #response(asked: Asked, flags: number, body: Uint8Array, owned: boolean): void {
    if (asked.inflow !== undefined) throw violation('an answer where items were due')
    const last = (flags & 1) === 0
    if (asked.over) {
      if (last) this.#last(asked)
      return
    }
    const message = this.#collect(asked, flags, body, owned)
    if (last) this.#last(asked)
    if (message === undefined) return
    if (typeof message === 'string') {
      this.#refuse(asked, message, last)
      return
    }
    // Held no longer: it is the caller's from now on.
    if (asked.answer === undefined) this.#init.held.release(message.byteLength)
    this.#settle(asked, { type: 'response', message })
  }

  #collect(
    asked: Asked,
    flags: number,
    body: Uint8Array,
    owned: boolean,
  ): Uint8Array | Refusal | undefined {
    const { held, limits } = this.#init
    if (flags === 0 && asked.answer === undefined) {
      return takeWhole(held, limits.maxMessageBytes, body, 0, owned)
    }
    asked.answer ??= new Assembly(held, limits.maxMessageBytes)
    return asked.answer.push(flags, body, owned)
  }

  #item(asked: Asked, flags: number, body: Uint8Array, owned: boolean): void {
    if (asked.inflow === undefined) throw violation('an item where an answer was due')
    const refusal = asked.inflow.frame(flags, body, owned)
    if (refusal !== undefined) this.#refuse(asked, refusal, false)
  }

  /** We cannot take what comes: stop it, and tell the caller. */
  #refuse(asked: Asked, why: Refusal, last: boolean): void {
    if (last) this.#giveUp(asked)
    else this.cancel(asked)
    asked.ask.settle({ type: 'refused', why })
  }

  #settle(asked: Asked, outcome: Outcome): void {
    if (asked.over) return
    this.#giveUp(asked)
    asked.ask.settle(outcome)
  }

  #giveUp(asked: Asked): void {
    asked.over = true
    asked.answer?.release()
    asked.outflow?.stop()
    if (asked.left) asked.stop()
  }

  #last(asked: Asked): void {
    this.#open.delete(asked.number)
    this.#answered = (this.#answered + 1) >>> 0
    if ((this.#answered - this.#acked) >>> 0 >= MAX_UNACKED) this.ack()
  }

  #number(): number {
    let number = this.#next
    while (this.#open.get(number) !== undefined) number = number === 0xffffffff ? 1 : number + 1
    this.#next = number === 0xffffffff ? 1 : number + 1
    return number
  }

  /** Whether the method of a request has a number. */
  isNumbered({ name }: Ask): boolean {
    return this.#numbers.has(name)
  }

  /** Writes what stands before a request that leaves now, whose method has a number. */
  writePrelude(ask: Ask, into: Uint8Array, at: number): number {
    return writePrelude(into, at, this.#fixed(ask, this.#numbers.get(ask.name) ?? 0))
  }

  /** What stands before a request that leaves now. */
  prelude(ask: Ask): Uint8Array {
    const { name } = ask
    const known = this.#numbers.get(name)
    if (known !== undefined) return encodePrelude(this.#fixed(ask, known))
    const bytes = encodePrelude({ ...this.#fixed(ask, 0), name })
    if (this.#named < MAX_NUMBERED_METHODS) this.#numbers.set(name, ++this.#named)
    return bytes
  }

  #fixed({ id, timeoutMs, downloads }: Ask, method: number): Omit<Prelude, 'name'> {
    const credit = downloads ? this.#init.limits.requestWindowBytes : 0
    this.#acked = this.#answered
    return { id, timeoutMs, acked: this.#answered, credit, method }
  }

  #inflow(number: number): Inflow {
    const { held, limits, outbox } = this.#init
    const windowBytes = limits.requestWindowBytes
    const init = {
      windowBytes,
      maxMessageBytes: limits.maxMessageBytes,
      held,
      grant: (bytes: number): void => {
        if (this.#open.get(number) === undefined) return
        outbox.control(encodeCount(KIND_CREDIT, number, bytes))
        this.#init.wake()
      },
      onAbandon: (): void => {
        const asked = this.#open.get(number)
        if (asked !== undefined) this.cancel(asked)
      },
    }
    return new Inflow(init, windowBytes)
  }
}
