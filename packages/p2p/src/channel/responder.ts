/**
 * The answering side of one channel: collects requests, sees that each gets exactly one last frame, moves items
 * both ways (`wire.md §3.2, §4, §5`). It knows nothing of handlers, rules or pipes.
 */
import { ByNumber } from './by-number.ts'
import {
  decodePrelude,
  encodeCount,
  encodeError,
  FLAG_CONT,
  KIND_ACK,
  KIND_CANCEL,
  KIND_CREDIT,
  KIND_END,
  KIND_ERROR,
  KIND_ITEM,
  KIND_REQUEST,
  KIND_RESPONSE,
  encodeFrame,
  MAX_NUMBERED_METHODS,
  readUint32,
  violation,
} from './frame.ts'
import type { Prelude, WireError } from './frame.ts'
import { P2pError } from '../errors.ts'

import { Assembly, Inflow, Outflow, takeWhole } from './flow.ts'
import type { Refusal } from './flow.ts'
import type { Held } from './held.ts'
import type { Answer, KeptEntry } from './kept.ts'
import { Message } from './turn.ts'
import type { Outbox } from './turn.ts'

/** Why the asker wants no answer any more. */
export type Gone = 'canceled' | 'lost'

/** Who answers the requests of a channel. */
export interface ResponderHost {
  /** A request begins: its place is taken, or it is refused before a byte of it is buffered. */
  admit(id: Uint8Array): WireError | undefined
  /** A request that was admitted is whole. */
  request(incoming: Incoming): void
  /** A request that was admitted will never be whole. */
  dismiss(): void
  /** The asker has the answer. */
  acknowledged(entry: KeptEntry<Incoming>): void
}

/** What the responder needs of its channel and node. */
export interface ResponderInit {
  outbox: Outbox
  /** Something was queued: write it after this turn. */
  wake(): void
  held: Held
  limits: { maxMessageBytes: number; requestWindowBytes: number }
  /** The longest answer that the connection can carry at all. Default: any. */
  mostBytes?: (() => number) | undefined
  host: ResponderHost
}

class Response extends Message {
  readonly #responder: Responder
  readonly #kept: KeptEntry<Incoming> | undefined

  constructor(responder: Responder, { number, kept }: Incoming, payload: Uint8Array, held: Held) {
    super(KIND_RESPONSE, number, payload, held)
    this.#responder = responder
    this.#kept = kept
  }

  override written(): void {
    this.#responder.written(this.#kept)
  }
}

interface Name {
  protocol: string
  method: string
}

/** One request being answered. Everything after its last frame, or after the channel's end, is ignored. */
export class Incoming {
  readonly number: number
  readonly id: Uint8Array
  readonly protocol: string
  readonly method: string
  readonly timeoutMs: number
  /** The message of the request, once it is whole. */
  message: Uint8Array = new Uint8Array(0)
  /** Told once, when the asker wants no answer any more. */
  onGone: ((gone: Gone) => void) | undefined
  /** Where the answer is kept until it is acknowledged. */
  kept: KeptEntry<Incoming> | undefined
  readonly #responder: Responder
  readonly credit: number
  /** A message that comes in parts. */
  assembly: Assembly | undefined
  /** Bytes of a message that came whole. */
  reservedBytes = 0
  whole = false
  inflow: Inflow | undefined
  outflow: Outflow | undefined
  /** The upload ended before somebody asked for it. */
  uploadEnded = false

  constructor(responder: Responder, number: number, prelude: Prelude, name: Name) {
    this.#responder = responder
    this.number = number
    this.id = prelude.id
    this.protocol = name.protocol
    this.method = name.method
    this.timeoutMs = prelude.timeoutMs
    this.credit = prelude.credit
  }

  /** Whether the last frame was queued or the channel is gone. */
  get over(): boolean {
    return !this.#responder.has(this)
  }

  /** The one answer. */
  respond(message: Uint8Array): void {
    this.#responder.respond(this, message)
  }

  /** It failed. After items this comes instead of those that were not sent. */
  fail(error: WireError): void {
    this.answer({ type: 'error', body: encodeError(error) })
  }

  /** An answer that is kept, given again. */
  answer(answer: Answer): void {
    if (answer.type === 'response') this.#responder.respond(this, answer.message)
    else if (answer.type === 'error') this.#responder.fail(this, answer.body)
    else {
      this.fail({
        code: 'unavailable',
        ran: 'yes',
        layer: 'request',
        reason: 'answer_gone',
        message: 'Cannot answer again: the request ran and its answer is gone',
      })
    }
  }

  /** Lets the upload come: grants the first credit. */
  upload(): Inflow {
    return (this.inflow ??= this.#responder.upload(this))
  }

  /** The items of the answer. `end` on it is the last frame. */
  download(): Outflow {
    return (this.outflow ??= this.#responder.download(this))
  }
}

function uploadOver(): P2pError {
  return new P2pError('canceled', 'Cannot read the upload: the request is over', {
    layer: 'request',
    ran: 'yes',
  })
}

/** The book of requests answered on one channel. */
export class Responder {
  readonly #init: ResponderInit
  readonly #open = new ByNumber<Incoming>()
  readonly #names: Name[] = []
  // Kept answers in the order of their last frames, so that one count acknowledges them.
  #unacked: { at: number; entry: KeptEntry<Incoming> }[] = []
  #lasts = 0
  #acked = 0

  constructor(init: ResponderInit) {
    this.#init = init
  }

  /** Requests without last frame. */
  get size(): number {
    return this.#open.size
  }

  has(incoming: Incoming): boolean {
    return this.#open.get(incoming.number) === incoming
  }

  /**
   * Takes one frame from the asker.
   *
   * @throws `P2pError` for a violation
   */
  frame(kind: number, flags: number, number: number, body: Uint8Array, owned: boolean): void {
    if (kind === KIND_ACK) {
      this.#ack(readUint32(body, 0))
      return
    }
    const incoming = this.#open.get(number)
    if (kind === KIND_REQUEST) {
      if ((flags & FLAG_CONT) === 0) this.#begin(incoming, flags, number, body, owned)
      else if (incoming !== undefined) this.#collect(incoming, flags, body, 0, owned)
      return
    }
    // It crossed with the last frame.
    if (incoming === undefined) return
    switch (kind) {
      case KIND_ITEM: {
        const refusal = this.#uploadOf(incoming).frame(flags, body, owned)
        if (refusal !== undefined) this.#refuse(incoming, refusal)
        break
      }
      case KIND_END:
        if (!incoming.whole) throw violation('an end within a request')
        if (incoming.uploadEnded) throw violation('a second end')
        incoming.uploadEnded = true
        incoming.inflow?.ended()
        break
      case KIND_CREDIT:
        if (!incoming.whole) throw violation('credit within a request')
        incoming.download().grant(readUint32(body, 0))
        break
      case KIND_CANCEL:
        this.#cancel(incoming)
        break
      default:
        throw violation(`kind ${kind} from the asker`)
    }
  }

  /** The channel is gone. */
  lose(): void {
    for (const incoming of this.#open.takeAll()) this.#end(incoming, 'lost')
    this.#unacked = []
  }

  respond(incoming: Incoming, message: Uint8Array): void {
    if (!this.has(incoming)) return
    const { held, outbox, mostBytes } = this.#init
    if (mostBytes !== undefined && message.byteLength > mostBytes()) {
      incoming.fail({
        code: 'resource_exhausted',
        ran: 'yes',
        layer: 'relay',
        reason: 'relay_bytes',
        message: `Cannot answer: ${message.byteLength} bytes are more than the relay carries`,
      })
      return
    }
    if (
      message.byteLength > this.#init.limits.maxMessageBytes ||
      !held.reserve(message.byteLength)
    ) {
      incoming.fail({
        code: 'resource_exhausted',
        ran: 'yes',
        layer: 'limit',
        reason: undefined,
        message: `Cannot answer: ${message.byteLength} bytes are more than may be held`,
      })
      return
    }
    this.#close(incoming)
    outbox.message(new Response(this, incoming, message, held))
    this.#init.wake()
  }

  fail(incoming: Incoming, body: Uint8Array): void {
    if (!this.has(incoming)) return
    const { outflow } = incoming
    this.#close(incoming)
    if (outflow?.fail(body) !== true) {
      this.#init.outbox.control(encodeFrame(KIND_ERROR, 0, incoming.number, body))
      this.written(incoming.kept)
    }
    this.#init.wake()
  }

  upload(incoming: Incoming): Inflow {
    const { held, limits, outbox } = this.#init
    const inflow = new Inflow(
      {
        windowBytes: limits.requestWindowBytes,
        maxMessageBytes: limits.maxMessageBytes,
        held,
        grant: (bytes) => {
          if (!this.has(incoming) || incoming.uploadEnded) return
          outbox.control(encodeCount(KIND_CREDIT, incoming.number, bytes))
          this.#init.wake()
        },
      },
      0,
    )
    if (incoming.uploadEnded) inflow.end()
    else if (!incoming.over) inflow.open()
    return inflow
  }

  download(incoming: Incoming): Outflow {
    const { outbox } = this.#init
    return new Outflow(
      incoming.number,
      incoming.credit,
      (source) => {
        outbox.join(source)
        this.#init.wake()
      },
      () => {
        // Not before: until the end is written, items may wait for credit.
        if (this.has(incoming)) this.#close(incoming)
        this.written(undefined)
      },
    )
  }

  #begin(
    earlier: Incoming | undefined,
    flags: number,
    number: number,
    body: Uint8Array,
    owned: boolean,
  ): void {
    if (earlier !== undefined) throw violation(`a request under number ${number}, which is open`)
    const { host } = this.#init
    const { prelude, messageAt } = decodePrelude(body)
    this.#ack(prelude.acked)
    const name = this.#name(prelude)
    const incoming = new Incoming(this, number, prelude, name)
    this.#open.add(incoming)
    const refused = host.admit(incoming.id)
    if (refused !== undefined) {
      // Not whole: `#close` must not give back the place that it never had.
      incoming.whole = true
      incoming.fail(refused)
      return
    }
    this.#collect(incoming, flags, body, messageAt, owned)
  }

  /** The message, or a part of it, is in the body from `at` on. */
  #collect(incoming: Incoming, flags: number, body: Uint8Array, at: number, owned: boolean): void {
    if (incoming.whole) throw violation('a part of a request that is whole')
    const message = this.#assemble(incoming, flags, body, at, owned)
    if (message === undefined) return
    if (typeof message === 'string') {
      this.#refuse(incoming, message)
      return
    }
    incoming.whole = true
    incoming.message = message
    this.#init.host.request(incoming)
  }

  #assemble(
    incoming: Incoming,
    flags: number,
    body: Uint8Array,
    at: number,
    owned: boolean,
  ): Uint8Array | Refusal | undefined {
    const { held, limits } = this.#init
    if (flags === 0 && incoming.assembly === undefined) {
      const message = takeWhole(held, limits.maxMessageBytes, body, at, owned)
      if (typeof message !== 'string') incoming.reservedBytes = message.byteLength
      return message
    }
    incoming.assembly ??= new Assembly(held, limits.maxMessageBytes)
    return incoming.assembly.push(flags, at === 0 ? body : body.subarray(at), owned)
  }

  #refuse(incoming: Incoming, why: Refusal): void {
    const { maxMessageBytes } = this.#init.limits
    const { onGone } = incoming
    incoming.fail({
      code: 'resource_exhausted',
      ran: onGone === undefined ? 'no' : 'maybe',
      layer: 'limit',
      reason: undefined,
      message:
        why === 'too_long'
          ? `Cannot take the message: longer than ${maxMessageBytes} bytes`
          : 'Cannot take the message: too many bytes are held for this peer',
    })
    onGone?.('canceled')
  }

  #uploadOf(incoming: Incoming): Inflow {
    if (incoming.inflow === undefined) throw violation('an item without credit')
    if (incoming.uploadEnded) throw violation('an item after the end')
    return incoming.inflow
  }

  #cancel(incoming: Incoming): void {
    const { onGone, whole } = incoming
    incoming.fail({
      code: 'canceled',
      ran: whole ? 'maybe' : 'no',
      layer: 'request',
      reason: undefined,
      message: 'Cannot go on: the asker canceled',
    })
    onGone?.('canceled')
  }

  /** A last frame is queued: the request is over. */
  #close(incoming: Incoming): void {
    this.#open.delete(incoming.number)
    this.#release(incoming)
  }

  /** A last frame is written: the count that the asker acknowledges goes by this order. */
  written(kept: KeptEntry<Incoming> | undefined): void {
    this.#lasts += 1
    if (kept !== undefined) this.#unacked.push({ at: this.#lasts, entry: kept })
  }

  #end(incoming: Incoming, gone: Gone): void {
    const { onGone } = incoming
    this.#release(incoming)
    incoming.outflow?.stop()
    onGone?.(gone)
  }

  #release(incoming: Incoming): void {
    incoming.assembly?.release()
    this.#init.held.release(incoming.reservedBytes)
    incoming.reservedBytes = 0
    // A reader must not take a cut upload for a whole one.
    incoming.inflow?.close(uploadOver())
    incoming.onGone = undefined
    if (incoming.whole) return
    incoming.whole = true
    this.#init.host.dismiss()
  }

  #name(prelude: Prelude): Name {
    const { name, method } = prelude
    if (name !== undefined) {
      if (this.#names.length < MAX_NUMBERED_METHODS) this.#names.push(name)
      return name
    }
    const known = this.#names[method - 1]
    if (known === undefined) throw violation(`method number ${method}, which has no name`)
    return known
  }

  #ack(acked: number): void {
    const more = (acked - this.#acked) >>> 0
    if (more === 0) return
    if (this.#acked + more > this.#lasts) throw violation('an ack of what was not answered')
    this.#acked += more
    let count = 0
    for (const { at, entry } of this.#unacked) {
      if (at > this.#acked) break
      count += 1
      this.#init.host.acknowledged(entry)
    }
    if (count > 0) this.#unacked = this.#unacked.slice(count)
  }
}
