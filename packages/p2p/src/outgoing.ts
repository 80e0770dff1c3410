/**
 * One request of ours, from the call to its answer: checked by our own rules, packed, sent, unpacked. How it reaches the
 * peer, and how often it has to be sent, is the business of `calls.ts`.
 */
import type { Checked } from '@stronghold/core'

import type { CallInit, CallTaker, StartedCall } from './calls.ts'
import type { Inflow, Outflow } from './channel/flow.ts'
import { P2pError } from './errors.ts'
import type { Decision } from './firewall/decide.ts'
import type { PeerId } from './identity.ts'
import { sendItems } from './items.ts'
import type { Items } from './items.ts'
import type { P2pLimits } from './limits.ts'
import type { BoundMethod, CallOptions, Facts } from './protocol.ts'

/** What a request of ours needs of its node. */
export interface OutgoingInit {
  readonly limits: P2pLimits
  /** The calls to the target; asked for each time, since an address tells its peer only once connected. */
  calls(signal: AbortSignal | undefined): CallTaker | Promise<CallTaker>
  /** Whether our own rules let a request out. `facts` is asked for where a rule is a function. */
  decide(
    peer: PeerId,
    method: BoundMethod,
    outgoing: { readonly facts: Facts | undefined },
  ): Decision | Promise<Decision>
}

/** The options of any call. */
export interface AnyOptions extends CallOptions {
  upload?: Items
}

const EMPTY = new Uint8Array(0)

/** What both kinds of calls have in common. */
abstract class Outgoing implements CallInit {
  readonly init: OutgoingInit
  readonly name: BoundMethod
  readonly #request: unknown
  readonly #options: AnyOptions
  protected peer: PeerId | undefined
  protected call: StartedCall | undefined
  protected over = false
  message: Uint8Array = EMPTY

  constructor(init: OutgoingInit, method: BoundMethod, request: unknown, options: AnyOptions) {
    this.init = init
    this.name = method
    this.#request = request
    this.#options = options
  }

  get timeoutMs(): number {
    const { requestTimeoutMs, maxTimeoutMs } = this.init.limits
    return Math.min(Math.ceil(this.#options.timeoutMs ?? requestTimeoutMs), maxTimeoutMs)
  }

  get readOnly(): boolean {
    return this.name.definition.readOnly
  }

  get downloads(): boolean {
    return this.name.download !== undefined
  }

  get uploads(): boolean {
    return this.name.upload !== undefined
  }

  /** What our own rules see of the request. */
  get facts(): Facts | undefined {
    return this.name.definition.facts?.(this.#request as never)
  }

  /** The answer, once. Undefined: the download ended. */
  abstract done(answer: Uint8Array | undefined): void
  /** It failed, once. */
  protected abstract rejected(error: unknown): void

  started(_inflow: Inflow | undefined, outflow: Outflow | undefined): void {
    // Nothing is taken from the caller's iterator before the other side wants it: it can be read only once.
    outflow?.onFirstGrant(() => {
      this.#upload(outflow)
    })
  }

  failed(error: unknown): void {
    if (this.over) return
    this.finish()
    this.rejected(error)
  }

  /** The caller aborted: called by its signal. */
  handleEvent(): void {
    this.call?.cancel()
    this.failed(this.#options.signal?.reason)
  }

  protected start(): void {
    const { signal } = this.#options
    if (signal?.aborted === true) {
      this.failed(signal.reason)
      return
    }
    signal?.addEventListener('abort', this, { once: true })
    try {
      this.message = this.name.request.pack(this.#request)
      const { maxMessageBytes } = this.init.limits
      if (this.message.byteLength > maxMessageBytes) {
        const text = `Cannot call ${this.name.method}: the request is longer than ${maxMessageBytes} bytes`
        throw new P2pError('resource_exhausted', text, { layer: 'limit' })
      }
      const calls = this.init.calls(signal)
      if (calls instanceof Promise) this.#later(calls, (found) => this.#decide(found))
      else this.#decide(calls)
    } catch (error) {
      this.failed(error)
    }
  }

  /** No more is told to anybody. */
  protected finish(): void {
    this.over = true
    this.#options.signal?.removeEventListener('abort', this)
  }

  protected problem(text: string): P2pError {
    const { peer } = this
    return new P2pError('data_loss', `Cannot read the answer: ${text}`, {
      layer: 'request',
      ran: 'yes',
      ...(peer === undefined ? {} : { peer }),
    })
  }

  #later<T>(promise: Promise<T>, then: (value: T) => void): void {
    promise.then(then).catch((error: unknown) => {
      this.failed(error)
    })
  }

  #decide(calls: CallTaker): void {
    if (this.over) return
    this.peer = calls.peer
    const decision = this.init.decide(calls.peer, this.name, this)
    if (decision instanceof Promise) this.#later(decision, (final) => this.#begin(calls, final))
    else this.#begin(calls, decision)
  }

  #begin(calls: CallTaker, decision: Decision): void {
    if (this.over) return
    if (decision.verdict !== 'allow') {
      const message = `Cannot call ${this.name.method}: our own firewall denied it`
      throw new P2pError('permission_denied', message, { layer: 'firewall', peer: calls.peer })
    }
    this.call = calls.start(this)
  }

  #upload(outflow: Outflow): void {
    const { upload } = this.#options
    const carrier = this.name.upload
    if (upload === undefined || carrier === undefined) return
    sendItems(upload, carrier, outflow, this.init.limits).catch((error: unknown) => {
      // The caller's own iterator failed: that is what the caller hears.
      this.call?.cancel()
      this.failed(error)
    })
  }
}

/** A call with one answer. */
export class AnswerCall extends Outgoing {
  #resolve: ((value: unknown) => void) | undefined
  #reject: ((error: unknown) => void) | undefined

  /** Sends the request. Once. */
  answer(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.start()
    })
  }

  done(answer: Uint8Array | undefined): void {
    if (this.over) return
    this.finish()
    const carrier = this.name.response
    if (carrier === undefined) {
      this.#resolve?.(undefined)
      return
    }
    try {
      const checked = carrier.unpack(answer ?? EMPTY, this.init.limits)
      if (checked instanceof Promise) {
        checked.then(
          (later) => {
            this.#checked(later)
          },
          (error: unknown) => {
            this.#reject?.(error)
          },
        )
      } else this.#checked(checked)
    } catch (error) {
      this.#reject?.(error)
    }
  }

  protected rejected(error: unknown): void {
    this.#reject?.(error)
  }

  #checked(checked: Checked<unknown>): void {
    if (checked.ok) this.#resolve?.(checked.value)
    else this.#reject?.(this.problem(checked.problem))
  }
}

/** A call with a stream of items. Asks nothing of anybody before the first `next`. */
export class DownloadCall extends Outgoing implements AsyncIterableIterator<unknown> {
  readonly #ended = Promise.withResolvers<undefined>()
  // The flow that items come from; a request that is sent again gets another one.
  #flow: PromiseWithResolvers<Inflow> = newFlow()
  #inflow: Inflow | undefined
  #begun = false
  #left = false
  // Reads are answered in order, one at a time.
  #last: Promise<unknown> = Promise.resolve()

  constructor(init: OutgoingInit, method: BoundMethod, request: unknown, options: AnyOptions) {
    super(init, method, request, options)
    // It may fail while nobody reads.
    this.#ended.promise.catch(() => {})
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<unknown>> {
    const result = this.#last.then(() => this.#next())
    this.#last = result.catch(() => {})
    return result
  }

  return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#leave()
    return Promise.resolve({ done: true, value })
  }

  override started(inflow: Inflow | undefined, outflow: Outflow | undefined): void {
    if (inflow !== undefined) {
      if (this.#inflow !== undefined) this.#flow = newFlow()
      this.#inflow = inflow
      this.#flow.resolve(inflow)
    }
    super.started(inflow, outflow)
  }

  done(): void {
    if (this.over) return
    this.finish()
    this.#ended.resolve(undefined)
  }

  protected rejected(error: unknown): void {
    this.#ended.reject(error)
    this.#inflow?.end(error)
    this.#flow.reject(error)
  }

  async #next(): Promise<IteratorResult<unknown>> {
    if (this.#left) return { done: true, value: undefined }
    if (!this.#begun) {
      this.#begun = true
      this.start()
    }
    try {
      const message = await this.#item()
      if (message !== undefined) return { done: false, value: await this.#check(message) }
    } catch (error) {
      this.#leave()
      throw error
    }
    this.#left = true
    return { done: true, value: undefined }
  }

  async #item(): Promise<Uint8Array | undefined> {
    for (;;) {
      const flow = this.#flow
      const inflow = await flow.promise
      const item = await inflow.next()
      if (item !== undefined) return item
      if (this.over) return this.#ended.promise
      // The connection broke before the first item: the request goes again, with another flow.
      if (this.#flow === flow) {
        this.#flow = newFlow()
        this.#inflow = undefined
      }
    }
  }

  async #check(message: Uint8Array): Promise<unknown> {
    const checked = await this.name.download?.unpack(message, this.init.limits)
    if (checked?.ok === true) return checked.value
    throw this.problem(checked?.problem ?? 'no item was due')
  }

  /** The reader wants no more. */
  #leave(): void {
    this.#left = true
    if (this.over) {
      this.#inflow?.abandon()
      return
    }
    this.finish()
    this.#ended.resolve(undefined)
    this.#inflow?.abandon()
    this.call?.cancel()
    this.#flow.reject(new Error('the reader left'))
  }
}

function newFlow(): PromiseWithResolvers<Inflow> {
  const flow = Promise.withResolvers<Inflow>()
  // It may fail while nobody reads.
  flow.promise.catch(() => {})
  return flow
}
