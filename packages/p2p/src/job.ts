/**
 * One request from its arrival to its answer: check, firewall, handler, answer, deadline. It knows nothing of
 * frames, and nothing of who else asks.
 */
import type { Checked } from '@stronghold/core'

import type { Carrier } from './carry.ts'
import type { Inflow, Outflow } from './channel/flow.ts'
import type { WireError } from './channel/frame.ts'
import type { Gone } from './channel/responder.ts'
import type { Clock } from './clock.ts'
import type { DeadlinePlace, Deadlines } from './deadlines.ts'
import { isP2pError } from './errors.ts'
import type { NewEvent } from './events.ts'
import type { Firewall, FinalDecision } from './firewall/firewall.ts'
import type { ConnectionFacts, RequestFacts, ServeRule } from './firewall/rules.ts'
import type { PeerId } from './identity.ts'
import { readItems, sendItems } from './items.ts'
import type { P2pLimits } from './limits.ts'
import type { BoundMethod, HandlerContext } from './protocol.ts'

/** Whoever wants to know what happens to requests. */
export interface ServerObserver {
  /** Whether such events are wanted: asked before one is built. */
  wants(type: RequestEventType): boolean
  tell(event: Extract<NewEvent, { type: RequestEventType }>): void
}

type RequestEventType = 'asked' | 'denied' | 'request' | 'response' | 'handlerFailed'

/** A request in whatever framing, and the ways to answer it. */
export interface Arrival {
  readonly protocol: string
  readonly method: string
  readonly message: Uint8Array
  readonly timeoutMs: number
  onGone: ((gone: Gone) => void) | undefined
  /** Its handler starts; told where somebody keeps what comes of it. */
  readonly starts?: (() => void) | undefined
  respond(message: Uint8Array): void
  fail(error: WireError): void
  upload(): Inflow
  download(): Outflow
}

/** A method that is served. */
export interface Served {
  readonly bound: BoundMethod
  /** Of its protocol, where it has one: the node's rules say nothing then. */
  readonly rule: ServeRule | undefined
  readonly handler: (request: unknown, context: HandlerContext) => unknown
}

/** Where a request comes from. */
export interface Origin {
  readonly peer: PeerId
  readonly connection: ConnectionFacts
}

/** How a framing carries requests and answers. */
export type Carriers = Pick<BoundMethod, 'request' | 'response'>

/** Where jobs come from: one channel, or one request of another framing. */
export interface Home extends Origin {
  /** Nothing of a job runs any more. Called once for each. */
  leave(): void
}

/** What a job needs of its server. */
export interface JobSeams {
  readonly limits: P2pLimits
  readonly clock: Clock
  readonly firewall: Firewall
  readonly deadlines: Deadlines
  /** A new correlation id. */
  randomText(): string
  readonly observer: ServerObserver
}

/** One request from its arrival to its answer. */
export class Job {
  readonly #seams: JobSeams
  readonly #home: Home
  readonly #arrival: Arrival
  readonly #method: Served
  readonly #carriers: Carriers
  readonly #startedMs: number
  readonly deadlineMs: number
  place: DeadlinePlace | undefined
  #request: RequestFacts | undefined
  #control: AbortController | undefined
  #aborted: { reason: unknown } | undefined
  #upload: Inflow | undefined
  #sentBytes = 0
  #running = false
  #answered = false
  #finished = false

  constructor(seams: JobSeams, home: Home, arrival: Arrival, method: Served, carriers: Carriers) {
    this.#seams = seams
    this.#home = home
    this.#arrival = arrival
    this.#method = method
    this.#carriers = carriers
    this.#startedMs = seams.clock.nowMs()
    this.deadlineMs = this.#startedMs + Math.min(arrival.timeoutMs, seams.limits.maxTimeoutMs)
  }

  start(): void {
    const arrival = this.#arrival
    arrival.onGone = (gone) => {
      this.#gone(gone)
    }
    this.#seams.deadlines.add(this)
    try {
      const checked = this.#carriers.request.unpack(arrival.message, this.#seams.limits)
      if (checked instanceof Promise) {
        checked.then(
          (value) => {
            this.#checked(value)
          },
          (error: unknown) => {
            this.#crash(error)
          },
        )
      } else this.#checked(checked)
    } catch (error) {
      this.#crash(error)
    }
  }

  /** The deadline passed. */
  expire(): void {
    const ran = this.#running ? 'yes' : 'no'
    this.#answer(
      this.#problem(
        'deadline_exceeded',
        'request',
        ran,
        'Cannot finish the request: its time is over',
      ),
    )
    this.#abort(new DOMException('The deadline passed', 'TimeoutError'))
    if (!this.#running) this.#finish()
  }

  /** Made only for handlers that look at it. */
  get signal(): AbortSignal {
    if (this.#control === undefined) {
      this.#control = new AbortController()
      if (this.#aborted !== undefined) this.#control.abort(this.#aborted.reason)
    }
    return this.#control.signal
  }

  #checked(checked: Checked<unknown>): void {
    if (this.#answered) return
    if (!checked.ok) {
      const text = `Cannot read the request: ${checked.problem}`
      this.#answer(this.#problem('invalid_argument', 'request', 'no', text))
      this.#finish()
      return
    }
    const facts = factsOf(this.#method, checked.value)
    if (facts === undefined) {
      // Rules that cannot see the facts cannot decide.
      this.#answer(this.#problem('permission_denied', 'firewall', 'no', this.#deniedText()))
      this.#finish()
      return
    }
    const request = requestFacts(this.#home, this.#arrival, facts.value)
    this.#request = request
    const { firewall, observer } = this.#seams
    const { rule } = this.#method
    const decision =
      rule === undefined ? firewall.inbound(request, this) : firewall.byProtocol(rule, request)
    if (decision instanceof Promise) {
      if (rule === undefined) tell(observer, 'asked', request)
      void decision.then((final) => {
        this.#decided(request, checked.value, final)
      })
    } else this.#decided(request, checked.value, decision)
  }

  /** What is left until the deadline, for the firewall. */
  get timeoutMs(): number {
    return this.deadlineMs - this.#seams.clock.nowMs()
  }

  #decided(request: RequestFacts, value: unknown, decision: FinalDecision): void {
    if (this.#answered) return
    if (decision.verdict !== 'allow') {
      this.#answer(this.#problem('permission_denied', 'firewall', 'no', this.#deniedText()))
      tellDenied(this.#seams.observer, request, decision)
      this.#finish()
      return
    }
    this.#running = true
    this.#arrival.starts?.()
    tell(this.#seams.observer, 'request', request)
    try {
      this.#run(value)
    } catch (error) {
      this.#crash(error)
    }
  }

  #run(value: unknown): void {
    const { handler, bound } = this.#method
    const context = new Context(this, this.#home)
    if (bound.upload !== undefined) {
      this.#upload = this.#arrival.upload()
      context.upload = readItems(this.#upload, bound.upload, this.#seams.limits)
    }
    const result = handler(value, context)
    if (bound.download !== undefined) this.#ends(this.#stream(result, bound.download))
    else if (result instanceof Promise) {
      this.#ends(
        result.then((answer) => {
          this.#respond(answer)
        }),
      )
    } else {
      // At once: no promise for what needs none.
      this.#respond(result)
      this.#finish()
    }
  }

  #ends(done: Promise<void>): void {
    done.then(
      () => {
        this.#finish()
      },
      (error: unknown) => {
        this.#crash(error)
      },
    )
  }

  #respond(value: unknown): void {
    if (this.#answered) return
    const message = this.#carriers.response?.pack(value) ?? new Uint8Array(0)
    this.#answered = true
    this.#sentBytes += message.byteLength
    this.#arrival.respond(message)
    this.#tell('ok')
  }

  async #stream(result: unknown, carrier: Carrier): Promise<void> {
    const outflow = this.#arrival.download()
    await sendItems(result as AsyncIterable<unknown>, carrier, outflow, this.#seams.limits)
    // Items that wait for credit are held for the peer: it keeps its place until they are gone.
    await outflow.done()
    if (this.#answered) return
    this.#answered = true
    this.#sentBytes += outflow.bytes
    this.#tell('ok')
  }

  /** The handler, or the application's own schema, threw. */
  #crash(error: unknown): void {
    if (!this.#answered) this.#answer(this.#failure(error))
    this.#finish()
  }

  #failure(error: unknown): WireError {
    const ran = this.#running ? 'yes' : 'no'
    if (isP2pError(error)) {
      // What came from a third peer says nothing about whether this handler ran.
      const own = error.layer === 'handler' && error.peer === undefined
      return {
        code: error.code,
        ran: own ? error.ran : ran,
        layer: 'handler',
        reason: error.reason,
        message: error.message,
      }
    }
    const id = this.#seams.randomText()
    const { observer } = this.#seams
    if (observer.wants('handlerFailed')) {
      const request = this.#request ?? requestFacts(this.#home, this.#arrival, undefined)
      observer.tell({ type: 'handlerFailed', ...aboutOf(request), id, error })
    }
    return { code: 'internal', ran, layer: 'handler', reason: undefined, message: id }
  }

  #gone(gone: Gone): void {
    if (!this.#answered) {
      this.#answered = true
      this.#tell(gone === 'canceled' ? 'canceled' : 'unavailable')
    }
    this.#abort(new DOMException(`The request was ${gone}`, 'AbortError'))
    if (!this.#running) this.#finish()
  }

  #abort(reason: unknown): void {
    this.#aborted ??= { reason }
    this.#control?.abort(reason)
  }

  #answer(error: WireError): void {
    if (this.#answered) return
    this.#answered = true
    this.#arrival.fail(error)
    this.#tell(error.code)
  }

  #tell(code: 'ok' | WireError['code']): void {
    const { observer, clock } = this.#seams
    if (!this.#running || this.#request === undefined || !observer.wants('response')) return
    observer.tell({
      type: 'response',
      ...aboutOf(this.#request),
      code,
      ran: 'yes',
      durationMs: clock.nowMs() - this.#startedMs,
      receivedBytes: this.#arrival.message.byteLength + (this.#upload?.bytes ?? 0),
      sentBytes: this.#sentBytes,
    })
  }

  #problem(
    code: WireError['code'],
    layer: WireError['layer'],
    ran: WireError['ran'],
    message: string,
  ): WireError {
    return { code, ran, layer, reason: undefined, message }
  }

  #deniedText(): string {
    return `Cannot run ${cut(this.#arrival.method)}: denied`
  }

  #finish(): void {
    if (this.#finished) return
    this.#finished = true
    this.#seams.deadlines.delete(this)
    this.#home.leave()
  }
}

class Context implements HandlerContext {
  readonly #job: Job
  readonly #origin: Origin
  upload: AsyncIterable<unknown> | undefined

  constructor(job: Job, origin: Origin) {
    this.#job = job
    this.#origin = origin
  }

  get peer(): PeerId {
    return this.#origin.peer
  }

  get connection(): ConnectionFacts {
    return this.#origin.connection
  }

  get signal(): AbortSignal {
    return this.#job.signal
  }

  get deadlineMs(): number {
    return this.#job.deadlineMs
  }
}

function factsOf(method: Served, request: unknown): { value: RequestFacts['facts'] } | undefined {
  const { facts } = method.bound.definition
  if (facts === undefined) return { value: undefined }
  try {
    return { value: Object.freeze(facts(request as never)) }
  } catch {
    return undefined
  }
}

/** What rules, prompts and logs see of a request. */
export function requestFacts(
  origin: Origin,
  { protocol, method }: { protocol: string; method: string },
  facts: RequestFacts['facts'],
): RequestFacts {
  return { peer: origin.peer, connection: origin.connection, protocol, method, facts }
}

function aboutOf({ peer, connection, protocol, method }: RequestFacts): {
  peer: PeerId
  connection: string
  direction: 'inbound'
  protocol: string
  method: string
} {
  return { peer, connection: connection.id, direction: 'inbound', protocol, method }
}

function tell(observer: ServerObserver, type: 'asked' | 'request', request: RequestFacts): void {
  if (!observer.wants(type)) return
  const { facts } = request
  observer.tell({ type, ...aboutOf(request), ...(facts === undefined ? {} : { facts }) })
}

/** Tells that the firewall denied a request, or by peer alone what it asked for. */
export function tellDenied(
  observer: ServerObserver,
  request: RequestFacts,
  { by, asked }: Pick<FinalDecision, 'by' | 'asked'>,
): void {
  if (!observer.wants('denied')) return
  const { facts } = request
  observer.tell({
    type: 'denied',
    ...aboutOf(request),
    by,
    ...(facts === undefined ? {} : { facts }),
    ...(asked === undefined ? {} : { asked }),
  })
}

/** At most 64 characters. */
export function cut(text: string): string {
  return text.length > 64 ? `${text.slice(0, 63)}…` : text
}
