/**
 * A request with side effects and its kept answer: it runs on when its connection is lost, answers whichever copy of
 * it came last, and is never run twice (`wire.md §6`).
 */
import type { Inflow, Outflow } from './channel/flow.ts'
import { encodeError } from './channel/frame.ts'
import type { WireError } from './channel/frame.ts'
import type { Answer, Kept, KeptEntry } from './channel/kept.ts'
import type { Gone, Incoming } from './channel/responder.ts'
import type { Arrival } from './job.ts'

/** One for all copies of a request. */
export class KeptArrival implements Arrival {
  readonly #first: Incoming
  readonly #entry: KeptEntry<Incoming>
  readonly #kept: Kept<Incoming>
  #claim: Incoming
  #onGone: ((gone: Gone) => void) | undefined
  #ran = false

  constructor(first: Incoming, entry: KeptEntry<Incoming>, kept: Kept<Incoming>) {
    this.#first = first
    this.#claim = first
    this.#entry = entry
    this.#kept = kept
    entry.attach = (copy) => {
      this.#attach(copy)
    }
  }

  get protocol(): string {
    return this.#first.protocol
  }

  get method(): string {
    return this.#first.method
  }

  get message(): Uint8Array {
    return this.#first.message
  }

  get timeoutMs(): number {
    return this.#first.timeoutMs
  }

  set onGone(gone: ((gone: Gone) => void) | undefined) {
    this.#onGone = gone
    this.#listen()
  }

  starts(): void {
    this.#ran = true
  }

  respond(message: Uint8Array): void {
    this.#kept.settle(this.#entry, { type: 'response', message })
    this.#claim.respond(message)
  }

  fail(error: WireError): void {
    if (error.ran === 'no') this.#forget()
    else this.#settle(error)
    this.#claim.fail(error)
  }

  upload(): Inflow {
    return this.#first.upload()
  }

  download(): Outflow {
    return this.#first.download()
  }

  #attach(copy: Incoming): void {
    const earlier = this.#claim
    this.#claim = copy
    this.#listen()
    if (earlier.over) return
    earlier.kept = undefined
    earlier.onGone = undefined
    earlier.fail(canceled('Cannot answer here: the request was sent again'))
  }

  /** Lost is not canceled: the asker comes back for the answer. */
  #listen(): void {
    this.#claim.onGone = (gone) => {
      if (gone === 'lost') return
      // Who is not let in and cancels leaves nothing behind.
      if (this.#ran) this.#settle(canceled('Cannot answer: the asker canceled'))
      else this.#forget()
      this.#onGone?.(gone)
    }
  }

  /** It never ran: sent again, it is a new request. */
  #forget(): void {
    this.#claim.kept = undefined
    this.#kept.forget(this.#entry)
  }

  #settle(error: WireError): void {
    const answer: Answer = { type: 'error', body: encodeError(error) }
    this.#kept.settle(this.#entry, answer)
  }
}

function canceled(message: string): WireError {
  return { code: 'canceled', ran: 'maybe', layer: 'request', reason: undefined, message }
}
