/**
 * The answering end: which methods are served, what the firewall says of a request, the run of its handler, and its
 * one answer. It knows nothing of frames; channels and other framings bring it their requests.
 */
import type { WireError } from './channel/frame.ts'
import { Held } from './channel/held.ts'
import { Kept } from './channel/kept.ts'
import type { KeptEntry } from './channel/kept.ts'
import type { Incoming, ResponderHost } from './channel/responder.ts'
import { Deadlines } from './deadlines.ts'
import type { Decision } from './firewall/decide.ts'
import { isServeRule } from './firewall/rules.ts'
import type { ServeRule } from './firewall/rules.ts'
import type { PeerId } from './identity.ts'
import { cut, Job, requestFacts, tellDenied } from './job.ts'
import type { Arrival, Carriers, Home, JobSeams, Origin, Served } from './job.ts'
import { KeptArrival } from './kept-arrival.ts'
import { bindMethods } from './protocol.ts'
import type { Handlers, Methods, Protocol } from './protocol.ts'

/** What a server needs of its node. */
export type ServerInit = Omit<JobSeams, 'deadlines'>

/** What is counted and kept for one peer, over all its connections. */
interface PeerState {
  readonly running: Held
  readonly held: Held
  readonly kept: Kept<Incoming>
  leases: number
}

/** See `Server.lease`. */
export interface Lease {
  /** Bytes held for the peer. */
  readonly held: Held
  /** Idempotent. */
  close(): void
}

// Ours: how often kept answers whose time is over are looked for.
const SWEEP_MS = 60_000

/** All that a node serves. */
export class Server {
  readonly #init: ServerInit
  readonly #protocols = new Map<string, ReadonlyMap<string, Served>>()
  readonly #peers = new Map<PeerId, PeerState>()
  readonly #running: Held
  readonly #held: Held
  readonly #keptAnswers: Held
  readonly #keptBytes: Held
  readonly #deadlines: Deadlines
  readonly #seams: JobSeams
  #stopSweep: (() => void) | undefined

  constructor(init: ServerInit) {
    this.#init = init
    const { limits, clock } = init
    this.#running = new Held(limits.maxInboundTotal)
    this.#held = new Held(limits.maxHeldBytesTotal)
    this.#keptAnswers = new Held(limits.maxKeptAnswersTotal)
    this.#keptBytes = new Held(limits.maxKeptBytesTotal)
    this.#deadlines = new Deadlines(clock)
    this.#seams = { ...init, deadlines: this.#deadlines }
  }

  /**
   * Serves a protocol until the result is disposed.
   *
   * @param rule - who may ask, in the place of the node's rules
   * @throws `TypeError` when it is served already, a handler is missing or unknown, or the rule is none
   */
  serve<M extends Methods>(
    protocol: Protocol<M>,
    handlers: Handlers<M>,
    rule?: ServeRule,
  ): Disposable {
    if (rule !== undefined && !isServeRule(rule)) {
      throw new TypeError(
        `Cannot serve ${protocol.id}: its inbound rule is neither allow, deny nor a function`,
      )
    }
    if (this.#protocols.has(protocol.id)) {
      throw new TypeError(`Cannot serve ${protocol.id}: it is served already`)
    }
    const bound = bindMethods(protocol)
    for (const name of Object.keys(handlers)) {
      if (!bound.has(name))
        throw new TypeError(`Cannot serve ${protocol.id}: it has no method ${name}`)
    }
    const served = new Map<string, Served>()
    for (const [name, method] of bound) {
      const handler: unknown = (handlers as Record<string, unknown>)[name]
      if (typeof handler !== 'function') {
        throw new TypeError(`Cannot serve ${protocol.id}: the handler of ${name} is no function`)
      }
      served.set(name, {
        bound: method,
        rule,
        handler: handler.bind(handlers) as Served['handler'],
      })
    }
    this.#protocols.set(protocol.id, served)
    return {
      [Symbol.dispose]: () => {
        if (this.#protocols.get(protocol.id) === served) this.#protocols.delete(protocol.id)
      },
    }
  }

  /** What is served under a protocol id and a method's name. */
  find(protocol: string, method: string): Served | undefined {
    return this.#protocols.get(protocol)?.get(method)
  }

  /** The first look at who opens a channel: it is there for whoever any protocol may be there for. */
  lookAtChannel(peer: PeerId): Decision {
    const { firewall } = this.#init
    const look = firewall.firstLook('inbound', peer)
    if (look.verdict !== 'deny') return look
    for (const methods of this.#protocols.values()) {
      for (const { rule } of methods.values()) {
        const own = rule === undefined ? look : firewall.firstLook('inbound', peer, rule)
        if (own.verdict !== 'deny') return own
        break
      }
    }
    return look
  }

  /** Keeps what is counted for a peer while something of it is open: all its channels share the same counts. */
  lease(peer: PeerId): Lease {
    const state = this.#state(peer)
    state.leases += 1
    let open = true
    return {
      held: state.held,
      close: () => {
        if (!open) return
        open = false
        state.leases -= 1
        this.#forgetIfIdle(peer, state)
      },
    }
  }

  /** Whoever answers the requests of a channel with this origin. Lives as long as its lease. */
  host(origin: Origin): ResponderHost {
    const state = this.#state(origin.peer)
    const home = this.#home(origin, state)
    return {
      admit: (id) => this.#admit(state, id),
      dismiss: () => {
        home.leave()
      },
      request: (incoming) => {
        this.#request(home, state, incoming)
      },
      acknowledged: (entry) => {
        state.kept.forget(entry)
      },
    }
  }

  /**
   * Answers one request of another framing: the same admission, rules and handlers.
   *
   * @param method - what is served
   */
  answer(origin: Origin, arrival: Arrival, method: Served, carriers: Carriers): void {
    const state = this.#state(origin.peer)
    const refused = this.#admit(state, undefined)
    if (refused !== undefined) {
      arrival.fail(refused)
      this.#forgetIfIdle(origin.peer, state)
      return
    }
    new Job(this.#seams, this.#home(origin, state), arrival, method, carriers).start()
  }

  /** How many requests of a peer with side effects run or wait to be acknowledged. */
  keptOf(peer: PeerId): number {
    return this.#peers.get(peer)?.kept.size ?? 0
  }

  /** Stops what runs and forgets what is kept. */
  close(): void {
    this.#stopSweep?.()
    this.#deadlines.clear()
    this.#protocols.clear()
  }

  #state(peer: PeerId): PeerState {
    const known = this.#peers.get(peer)
    if (known !== undefined) return known
    const { limits } = this.#init
    const state: PeerState = {
      running: new Held(limits.maxInboundPerPeer, this.#running),
      held: new Held(limits.maxHeldBytesPerPeer, this.#held),
      kept: new Kept(
        limits,
        new Held(limits.maxKeptAnswers, this.#keptAnswers),
        new Held(limits.maxKeptBytes, this.#keptBytes),
      ),
      leases: 0,
    }
    this.#peers.set(peer, state)
    return state
  }

  #forgetIfIdle(peer: PeerId, state: PeerState): void {
    if (state.leases > 0 || state.running.bytes > 0 || state.held.bytes > 0) return
    if (state.kept.size === 0) this.#peers.delete(peer)
    else this.#sweepLater()
  }

  #sweepLater(): void {
    this.#stopSweep ??= this.#init.clock.setTimer(SWEEP_MS, () => {
      this.#stopSweep = undefined
      for (const [peer, state] of this.#peers) {
        state.kept.sweep(this.#init.clock.nowMs())
        this.#forgetIfIdle(peer, state)
      }
    })
  }

  #admit(state: PeerState, id: Uint8Array | undefined): WireError | undefined {
    if (state.running.reserve(1)) return undefined
    const { maxInboundPerPeer, maxInboundTotal } = this.#init.limits
    const full = state.running.bytes >= maxInboundPerPeer
    return {
      code: 'resource_exhausted',
      // A copy of a request that is known here may have run.
      ran: id !== undefined && state.kept.get(id) !== undefined ? 'maybe' : 'no',
      layer: 'limit',
      reason: undefined,
      message: full
        ? `Cannot take the request: ${maxInboundPerPeer} of this peer are in flight`
        : `Cannot take the request: ${maxInboundTotal} are in flight in all`,
    }
  }

  #home({ peer, connection }: Origin, state: PeerState): Home {
    return {
      peer,
      connection,
      leave: () => {
        state.running.release(1)
        if (state.leases === 0) this.#forgetIfIdle(peer, state)
      },
    }
  }

  #request(home: Home, state: PeerState, incoming: Incoming): void {
    const method = this.find(incoming.protocol, incoming.method)
    const look = this.#init.firewall.firstLook('inbound', home.peer, method?.rule)
    if (method === undefined || look.verdict === 'deny') {
      home.leave()
      incoming.fail({
        code: 'unimplemented',
        ran: 'no',
        layer: 'protocol',
        reason: undefined,
        message: `Cannot run ${cut(incoming.protocol)} ${cut(incoming.method)}: not offered`,
      })
      if (method !== undefined) {
        tellDenied(this.#init.observer, requestFacts(home, incoming, undefined), look)
      }
      return
    }
    const { kind, readOnly } = method.bound.definition
    const keeps = kind === 'unary' && !readOnly
    const arrival = keeps ? this.#keep(state, incoming) : incoming
    if (arrival === undefined) home.leave()
    else new Job(this.#seams, home, arrival, method, method.bound).start()
  }

  /**
   * Where a request with side effects gets its answer kept; nothing when it was here before, or there is no place: it
   * is taken care of then.
   */
  #keep(state: PeerState, incoming: Incoming): KeptArrival | undefined {
    const { limits, clock } = this.#init
    const { maxKeptAnswers, maxKeptAnswersTotal } = limits
    const name = `${incoming.protocol} ${incoming.method}`
    const known = state.kept.get(incoming.id)
    if (known !== undefined) {
      this.#answerAgain(known, name, incoming)
      return undefined
    }
    const timeoutMs = Math.min(incoming.timeoutMs, limits.maxTimeoutMs)
    const entry = state.kept.open(incoming.id, name, clock.nowMs(), timeoutMs)
    incoming.kept = entry
    if (entry !== undefined) return new KeptArrival(incoming, entry, state.kept)
    const full = state.kept.size >= maxKeptAnswers
    incoming.fail({
      code: 'resource_exhausted',
      ran: 'no',
      layer: 'limit',
      reason: undefined,
      message: `Cannot take the request: ${full ? maxKeptAnswers : maxKeptAnswersTotal} answers wait to be acknowledged`,
    })
    return undefined
  }

  #answerAgain(entry: KeptEntry<Incoming>, name: string, incoming: Incoming): void {
    if (entry.method !== name) {
      incoming.fail({
        code: 'invalid_argument',
        ran: 'no',
        layer: 'request',
        reason: undefined,
        message: 'Cannot take the request: its id belongs to another one',
      })
      return
    }
    incoming.kept = entry
    if (entry.answer !== undefined) incoming.answer(entry.answer)
    else entry.attach?.(incoming)
  }
}
