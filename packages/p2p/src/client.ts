/**
 * The caller's end of a protocol: its methods as functions. Values in, messages out, and back; what lies between is
 * the business of `calls.ts`.
 */
import type { Checked } from '@stronghold/core'

import type { CallInit, CallTaker, StartedCall } from './calls.ts'
import type { Carrier } from './carry.ts'
import type { Inflow, Outflow } from './channel/flow.ts'
import { P2pError } from './errors.ts'
import type { Decision } from './firewall/decide.ts'
import type { PeerId } from './identity.ts'
import type { P2pLimits } from './limits.ts'
import { bindMethods } from './protocol.ts'
import type { BoundMethod, CallOptions, Client, Facts, Methods, Protocol } from './protocol.ts'

/** What a client needs of its node. */
export interface ClientInit {
  readonly limits: P2pLimits
  /** The calls to the target; asked for at each call, since it may be reached under another peer id only once known. */
  calls(signal: AbortSignal | undefined): CallTaker | Promise<CallTaker>
  /** Whether our own rules let a request out. `facts` is asked for where a rule is a function. */
  decide(
    peer: PeerId,
    method: BoundMethod,
    facts: () => Facts | undefined,
  ): Decision | Promise<Decision>
}

type Items = Iterable<unknown> | AsyncIterable<unknown>

interface AnyOptions extends CallOptions {
  upload?: Items
}

/**
 * The methods of a protocol as functions; a frozen plain object.
 *
 * @param only - the one method that the other side's framing carries, as it carries it; calls of others throw
 */
export function createClient<M extends Methods>(
  protocol: Protocol<M>,
  init: ClientInit,
  only?: BoundMethod,
): Client<M> {
  const client: Record<string, unknown> = {}
  for (const [name, bound] of bindMethods(protocol)) {
    const method = only?.method === name ? only : bound
    if (only !== undefined && method !== only) {
      client[name] = (): never => {
        throw new TypeError(`Cannot call ${name}: the framing carries ${only.method} alone`)
      }
      continue
    }
    client[name] = (request?: unknown, options: AnyOptions = {}): unknown => {
      checkOptions(options, method)
      const work = new Work(init, method, request, options)
      return method.download === undefined ? work.answer() : new Download(work)
    }
  }
  return Object.freeze(client) as Client<M>
}

const OPTIONS: ReadonlySet<string> = new Set(['signal', 'timeoutMs', 'upload'])

function checkOptions(options: AnyOptions, { method, upload }: BoundMethod): void {
  for (const name of Object.keys(options)) {
    if (!OPTIONS.has(name)) {
      throw new TypeError(`Cannot call ${method}: unknown option ${name.slice(0, 64)}`)
    }
  }
  const { timeoutMs } = options
  if (timeoutMs !== undefined && !(Number.isFinite(timeoutMs) && timeoutMs >= 1)) {
    throw new RangeError(`Cannot call ${method}: timeoutMs is not at least 1`)
  }
  if ((upload === undefined) !== (options.upload === undefined)) {
    const state = upload === undefined ? 'it takes no upload' : 'its upload is missing'
    throw new TypeError(`Cannot call ${method}: ${state}`)
  }
}

/** One call. */
class Work implements CallInit {
  readonly #init: ClientInit
  readonly #method: BoundMethod
  readonly #request: unknown
  readonly #options: AnyOptions
  readonly #settled = Promise.withResolvers<Uint8Array | undefined>()
  #peer: PeerId | undefined
  #call: StartedCall | undefined
  #over = false
  // The flow that items come from; a request that is sent again gets another one.
  #flow: PromiseWithResolvers<Inflow> = Promise.withResolvers()
  #flowing = false
  message: Uint8Array = new Uint8Array(0)

  constructor(init: ClientInit, method: BoundMethod, request: unknown, options: AnyOptions) {
    this.#init = init
    this.#method = method
    this.#request = request
    this.#options = options
    // Either may fail while nobody looks.
    this.#settled.promise.catch(() => {})
    this.#flow.promise.catch(() => {})
  }

  get name(): BoundMethod {
    return this.#method
  }

  get timeoutMs(): number {
    const { requestTimeoutMs, maxTimeoutMs } = this.#init.limits
    return Math.min(Math.ceil(this.#options.timeoutMs ?? requestTimeoutMs), maxTimeoutMs)
  }

  get readOnly(): boolean {
    return this.#method.definition.readOnly
  }

  get downloads(): boolean {
    return this.#method.download !== undefined
  }

  get uploads(): boolean {
    return this.#method.upload !== undefined
  }

  /** The one answer of a method without download. */
  async answer(): Promise<unknown> {
    this.start()
    const message = (await this.#settled.promise) ?? new Uint8Array(0)
    return this.check(this.#method.response, message)
  }

  /** Sends the request. Idempotent is its caller's part. */
  start(): void {
    const { signal } = this.#options
    if (signal?.aborted === true) {
      this.#reject(signal.reason)
      return
    }
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    try {
      this.message = this.#method.request.pack(this.#request)
      const { maxMessageBytes } = this.#init.limits
      if (this.message.byteLength > maxMessageBytes) {
        const text = `Cannot call ${this.#method.method}: the request is longer than ${maxMessageBytes} bytes`
        throw new P2pError('resource_exhausted', text, { layer: 'limit' })
      }
      const calls = this.#init.calls(signal)
      if (calls instanceof Promise) calls.then((found) => this.#decide(found), this.#onFailed)
      else this.#decide(calls)
    } catch (error) {
      this.#reject(error)
    }
  }

  /** The next item of a download; nothing after the last. */
  async item(): Promise<Uint8Array | undefined> {
    for (;;) {
      const flow = this.#flow
      const inflow = await flow.promise
      const item = await inflow.next()
      if (item !== undefined) return item
      if (this.#over) return void (await this.#settled.promise)
      // The connection broke before the first item: the request goes again, with another flow.
      if (this.#flow === flow) this.#newFlow()
    }
  }

  /** The reader wants no more. */
  stop(): void {
    if (this.#over) return
    this.#finish()
    this.#settled.resolve(undefined)
    this.#call?.asked?.inflow?.abandon()
    this.#call?.cancel()
    this.#flow.reject(new Error('the reader left'))
  }

  async check(carrier: Carrier | undefined, message: Uint8Array): Promise<unknown> {
    if (carrier === undefined) return undefined
    let checked: Checked<unknown> | Promise<Checked<unknown>>
    checked = carrier.unpack(message, this.#init.limits)
    if (checked instanceof Promise) checked = await checked
    if (checked.ok) return checked.value
    throw new P2pError('data_loss', `Cannot read the answer: ${checked.problem}`, {
      layer: 'request',
      ran: 'yes',
      ...(this.#peer === undefined ? {} : { peer: this.#peer }),
    })
  }

  get carrier(): Carrier | undefined {
    return this.#method.download
  }

  started(flows: { inflow: Inflow | undefined; outflow: Outflow | undefined }): void {
    const { inflow, outflow } = flows
    if (inflow !== undefined) {
      if (this.#flowing) this.#newFlow()
      this.#flowing = true
      this.#flow.resolve(inflow)
    }
    // Nothing is taken from the caller's iterator before the other side wants it: it can be read only once.
    outflow?.onFirstGrant(() => {
      this.#upload(outflow)
    })
  }

  done(answer: Uint8Array | undefined): void {
    this.#finish()
    this.#settled.resolve(answer)
  }

  failed(error: unknown): void {
    this.#reject(error)
  }

  #decide(calls: CallTaker): void {
    if (this.#over) return
    this.#peer = calls.peer
    const decision = this.#init.decide(calls.peer, this.#method, () => this.#facts())
    if (decision instanceof Promise) {
      decision.then((decided) => {
        this.#begin(calls, decided)
      }, this.#onFailed)
    } else this.#begin(calls, decision)
  }

  #begin(calls: CallTaker, decision: Decision): void {
    if (this.#over) return
    if (decision.verdict !== 'allow') {
      const message = `Cannot call ${this.#method.method}: our own firewall denied it`
      this.#reject(
        new P2pError('permission_denied', message, { layer: 'firewall', peer: calls.peer }),
      )
      return
    }
    try {
      this.#call = calls.start(this)
    } catch (error) {
      this.#reject(error)
    }
  }

  #facts(): Facts | undefined {
    const { facts } = this.#method.definition
    return facts === undefined ? undefined : facts(this.#request as never)
  }

  #upload(outflow: Outflow): void {
    const { upload } = this.#options
    const carrier = this.#method.upload
    if (upload === undefined || carrier === undefined) return
    send(upload, carrier, outflow, this.#init.limits).catch((error: unknown) => {
      // The caller's own iterator failed: that is what the caller hears.
      this.#call?.cancel()
      this.#reject(error)
    })
  }

  readonly #onAbort = (): void => {
    this.#call?.cancel()
    this.#reject(this.#options.signal?.reason)
  }

  readonly #onFailed = (error: unknown): void => {
    this.#reject(error)
  }

  #reject(error: unknown): void {
    if (this.#over) return
    this.#finish()
    this.#settled.reject(error as Error)
    this.#call?.asked?.inflow?.end(error)
    this.#flow.reject(error as Error)
  }

  #finish(): void {
    this.#over = true
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
  }

  #newFlow(): void {
    this.#flowing = false
    this.#flow = Promise.withResolvers()
    this.#flow.promise.catch(() => {})
  }
}

/** Sends items as fast as the other side takes them; stops, and closes the iterator, when nobody wants more. */
export async function send(
  items: Items,
  carrier: Carrier,
  outflow: Outflow,
  limits: P2pLimits,
): Promise<void> {
  for await (const item of items) {
    if (outflow.stopped) return
    const message = carrier.pack(item)
    if (message.byteLength > limits.maxMessageBytes) {
      const text = `Cannot send the item: longer than ${limits.maxMessageBytes} bytes`
      throw new P2pError('resource_exhausted', text, { layer: 'limit', ran: 'yes' })
    }
    outflow.push(message)
    const room = outflow.room()
    if (room !== undefined) await room
    if (outflow.stopped) return
  }
  outflow.end()
}

/** Items on their way to the caller. Asks nothing of anybody before the first `next`. */
class Download implements AsyncIterableIterator<unknown> {
  readonly #work: Work
  #started = false
  #over = false
  // Reads are answered in order, one at a time.
  #last: Promise<unknown> = Promise.resolve()

  constructor(work: Work) {
    this.#work = work
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<unknown>> {
    const result = this.#last.then(() => this.#next())
    this.#last = result.catch(() => {})
    return result
  }

  async #next(): Promise<IteratorResult<unknown>> {
    if (this.#over) return { done: true, value: undefined }
    if (!this.#started) {
      this.#started = true
      this.#work.start()
    }
    try {
      const message = await this.#work.item()
      if (message !== undefined) {
        return { done: false, value: await this.#work.check(this.#work.carrier, message) }
      }
    } catch (error) {
      this.#over = true
      this.#work.stop()
      throw error
    }
    this.#over = true
    return { done: true, value: undefined }
  }

  return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#over = true
    this.#work.stop()
    return Promise.resolve({ done: true, value })
  }
}
