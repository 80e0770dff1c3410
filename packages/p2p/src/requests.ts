/**
 * Requests over connections that somebody else makes: channels and framings in both directions, calls by peer, what is
 * served, what is held. `node.ts` and `libp2p.ts` hand it pipes; it knows nothing of dialing or muxers.
 */
import { toHex } from '@stronghold/core'

import { transportRuntime } from '#runtime'

import { Calls } from './calls.ts'
import type { CallTaker } from './calls.ts'
import { AnsweringChannel, AskingChannel, CHANNEL_PROTOCOL } from './channel/channel.ts'
import type { ChannelBudget, ChannelInit } from './channel/channel.ts'
import { requestIds } from './channel/ids.ts'
import { createClient } from './client.ts'
import type { ClientInit } from './client.ts'
import type { Clock } from './clock.ts'
import type { Pipe } from './connection/pipe.ts'
import { P2pError } from './errors.ts'
import type { EventHub } from './events.ts'
import type { Firewall } from './firewall/firewall.ts'
import type { ConnectionFacts, RequestFacts, ServeRule } from './firewall/rules.ts'
import { FramedArrival } from './framings/answer.ts'
import { FramedCalls } from './framings/ask.ts'
import type { FramedPlace } from './framings/ask.ts'
import { carriedMethod } from './framings/framing.ts'
import type { Framing } from './framings/framing.ts'
import type { Address, PeerId } from './identity.ts'
import { requestFacts, tellDenied } from './job.ts'
import type { Served } from './job.ts'
import type { P2pLimits } from './limits.ts'
import { bindMethods } from './protocol.ts'
import type { BoundMethod, Client, Facts, Handlers, Methods, Protocol } from './protocol.ts'
import { Server } from './serve.ts'

/** How a protocol is served. */
export interface ServeOptions {
  /** Framings of others to serve it in, beside the channel. */
  as?: Framing | readonly Framing[]
  /**
   * Who may ask, in the place of the node's rules: the protocol is offered also where they deny. Blocked peers are denied all
   * the same. A promise is waited for within the request's deadline. Default: the node's rules.
   */
  inbound?: ServeRule
}

/** How a protocol is asked. */
export interface ClientOptions {
  /** The framing of the other side. Default: the channel. */
  as?: Framing
}

/** A connection as requests see it. */
export interface Link {
  readonly peer: PeerId
  /** What rules see of it. */
  readonly facts: ConnectionFacts
  /** What is open on it; whatever is busy keeps it from being idle. */
  readonly channels: Set<{ readonly busy: boolean }>
  /** When it last had something to do. */
  usedAtMs: number
  /** What it may carry, where a relay bounds that. */
  readonly budget?: ChannelBudget | undefined
  /** Whether a direct connection to the peer stands beside it. */
  readonly replaced?: boolean
}

/** A substream that was opened, and the connection it is on. */
export interface Opened {
  readonly pipe: Pipe
  readonly link: Link
}

/** What requests need of whoever has the connections. */
export interface RequestsInit {
  readonly limits: Readonly<P2pLimits>
  readonly clock: Clock
  readonly firewall: Firewall
  readonly events: EventHub
  /** So many bytes nobody can foresee. */
  random(length: number): Uint8Array
  /** Connects if need be and opens a substream. @throws `P2pError` */
  open(peer: PeerId, protocol: string, signal: AbortSignal): Promise<Opened>
}

/** A framing that is served. */
interface ServedFraming {
  readonly framing: Framing
  readonly method: Served
}

/** All requests of one node. */
export class Requests {
  readonly #init: RequestsInit
  readonly #instance: Uint8Array
  readonly #server: Server
  readonly #calls = new Map<PeerId, Calls>()
  readonly #answering = new Set<AnsweringChannel>()
  readonly #framings = new Map<string, ServedFraming>()
  readonly #framedInbound: PerPeer
  readonly #framedOutbound: PerPeer

  constructor(init: RequestsInit) {
    const { limits, clock, firewall, events } = init
    this.#init = init
    this.#instance = init.random(16)
    this.#framedInbound = new PerPeer(limits.maxFramedPerPeer)
    this.#framedOutbound = new PerPeer(limits.maxFramedPerPeer)
    this.#server = new Server({
      limits,
      clock,
      firewall,
      randomText: () => toHex(init.random(8)),
      observer: {
        wants: (type) => events.hasListeners(type),
        tell: (event) => {
          events.emit(event)
        },
      },
    })
  }

  /** Ids of the framings that are served now. */
  get framings(): string[] {
    return [...this.#framings.keys()]
  }

  /**
   * Serves a protocol until the result is disposed.
   *
   * @throws `TypeError` when it, or one of the framings' protocol ids, is served already or the rule is none, and as
   *   `carriedMethod`
   */
  serve<M extends Methods>(
    protocol: Protocol<M>,
    handlers: Handlers<M>,
    options: ServeOptions = {},
  ): Disposable {
    const what = `Cannot serve ${protocol.id}`
    const { as = [], inbound } = checkOptions(options, what, SERVE_OPTIONS)
    const chosen = framingsOf(as, bindMethods(protocol), what)
    for (const id of chosen.keys()) {
      if (this.#framings.has(id)) throw new TypeError(`${what} as ${id}: that is served already`)
    }
    const served = this.#server.serve(protocol, handlers, inbound)
    for (const [id, { framing, bound }] of chosen) {
      const method = this.#server.find(protocol.id, bound.method)
      if (method !== undefined) {
        this.#framings.set(id, { framing, method: { ...method, bound } })
      }
    }
    let over = false
    return {
      [Symbol.dispose]: () => {
        if (over) return
        over = true
        served[Symbol.dispose]()
        for (const id of chosen.keys()) this.#framings.delete(id)
      },
    }
  }

  /**
   * A protocol's methods as functions.
   *
   * @param reach - the peer to ask, before each call; it remembers where the peer is
   * @throws as `carriedMethod`
   */
  client<M extends Methods>(
    protocol: Protocol<M>,
    reach: (signal: AbortSignal | undefined) => PeerId | Promise<PeerId>,
    options: ClientOptions = {},
  ): Client<M> {
    const what = `Cannot ask ${protocol.id}`
    const { as: framing } = checkOptions(options, what, CLIENT_OPTIONS)
    const taker = (peer: PeerId): CallTaker =>
      framing === undefined ? this.#callsTo(peer) : this.#framedCallsTo(peer, framing)
    const init: ClientInit = {
      limits: this.#init.limits,
      calls: (signal) => {
        const peer = reach(signal)
        return typeof peer === 'string' ? taker(peer) : peer.then(taker)
      },
      decide: (to, method, outgoing) =>
        this.#init.firewall.outbound(new OutboundFacts(to, method, outgoing)),
    }
    if (framing === undefined) return createClient(protocol, init)
    const { maxFramedRequestBytes: maxMessageBytes, framedTimeoutMs } = this.#init.limits
    const limits = { ...init.limits, maxMessageBytes, requestTimeoutMs: framedTimeoutMs }
    const carried = carriedMethod(framing, bindMethods(protocol), what)
    return createClient(protocol, { ...init, limits }, carried)
  }

  /** Whether a channel to the peer is open: it then needs no address. */
  reaches(peer: PeerId): boolean {
    return this.#calls.get(peer)?.channel !== undefined
  }

  /** The first look, by peer alone, before a substream says what it wants. Undefined: not one of ours. */
  offers(protocol: string, peer: PeerId, link: () => Link): boolean | undefined {
    const served = this.#framings.get(protocol)
    if (protocol !== CHANNEL_PROTOCOL && served === undefined) return undefined
    const { firewall, events } = this.#init
    const look =
      served === undefined
        ? this.#server.lookAtChannel(peer)
        : firewall.firstLook('inbound', peer, served.method.rule)
    if (look.verdict !== 'deny') return true
    if (events.hasListeners('denied')) {
      const { facts } = link()
      const what = { protocol, method: '', ...namesOf(served) }
      const observer = { wants: () => true, tell: events.emit.bind(events) }
      tellDenied(observer, requestFacts({ peer, connection: facts }, what, undefined), look)
    }
    return false
  }

  /** Whether anything is there for the peer to ask. */
  serves(peer: PeerId): boolean {
    return this.#server.lookAtChannel(peer).verdict !== 'deny'
  }

  /** Takes an inbound substream. False: not one of ours. */
  take(protocol: string, pipe: Pipe, link: Link): boolean {
    if (protocol === CHANNEL_PROTOCOL) {
      this.#answerChannel(pipe, link)
      return true
    }
    const served = this.#framings.get(protocol)
    if (served === undefined) return false
    this.#answerFramed(pipe, link, served)
    return true
  }

  /** A connection with the peer is gone: forgets what nobody waits for. */
  forget(peer: PeerId): void {
    const calls = this.#calls.get(peer)
    if (calls?.size === 0 && calls.channel?.closed !== false) this.#calls.delete(peer)
  }

  /** Every call to the peer fails. */
  drop(peer: PeerId): void {
    this.#calls.get(peer)?.close()
    this.#calls.delete(peer)
  }

  /** Every call fails. Connections may close after this. */
  stopAsking(): void {
    for (const calls of this.#calls.values()) calls.close()
    this.#calls.clear()
  }

  /** Lets the answers that are there leave, and takes no more requests. */
  async stopAnswering(): Promise<void> {
    // What a handler answers in this turn still counts as there.
    await new Promise<void>((resolve) => {
      transportRuntime.afterTurn(resolve)
    })
    for (const channel of [...this.#answering]) channel.close()
  }

  /** Stops what is left once all connections are closed. */
  close(): void {
    this.#framings.clear()
    this.#server.close()
  }

  #answerChannel(pipe: Pipe, link: Link): void {
    const answering = [...link.channels].filter((one) => one instanceof AnsweringChannel)
    if (answering.length >= CHANNELS_PER_CONNECTION) {
      pipe.destroy(new P2pError('resource_exhausted', 'Cannot open a channel', { layer: 'limit' }))
      return
    }
    const lease = this.#server.lease(link.peer)
    const host = this.#server.host({ peer: link.peer, connection: link.facts })
    const channel: AnsweringChannel = new AnsweringChannel(pipe, {
      ...this.#channelInit(lease.held, link),
      host,
      hold: this.#init.events,
      onClose: () => {
        this.#answering.delete(channel)
        this.#left(link, channel)
        lease.close()
      },
    })
    this.#answering.add(channel)
    link.channels.add(channel)
  }

  #answerFramed(pipe: Pipe, link: Link, { framing, method }: ServedFraming): void {
    const { peer } = link
    const { limits, clock } = this.#init
    if (!this.#framedInbound.enter(peer)) {
      const state = `${limits.maxFramedPerPeer} requests of this peer are in flight`
      pipe.destroy(
        new P2pError('resource_exhausted', `Cannot take the request: ${state}`, { layer: 'limit' }),
      )
      return
    }
    const lease = this.#server.lease(peer)
    const open = { busy: true }
    link.channels.add(open)
    const { bound } = method
    new FramedArrival(pipe, {
      framing,
      protocol: bound.protocol,
      method: bound.method,
      limits,
      clock,
      held: lease.held,
      request: (arrival) => {
        this.#server.answer({ peer, connection: link.facts }, arrival, method, bound)
      },
      onClose: () => {
        this.#left(link, open)
        this.#framedInbound.leave(peer)
        lease.close()
      },
    })
  }

  #left(link: Link, channel: { readonly busy: boolean }): void {
    link.channels.delete(channel)
    link.usedAtMs = this.#init.clock.nowMs()
  }

  #channelInit(held: ChannelInit['held'], link: Link): Omit<ChannelInit, 'onClose'> {
    const { limits, clock } = this.#init
    return {
      instance: this.#instance,
      limits,
      clock,
      held,
      budget: () => link.budget,
      replaced: () => link.replaced === true,
      afterTurn: (run) => {
        transportRuntime.afterTurn(run)
      },
    }
  }

  #callsTo(peer: PeerId): Calls {
    const known = this.#calls.get(peer)
    if (known !== undefined) return known
    const { limits, clock } = this.#init
    const calls = new Calls({
      peer,
      limits,
      clock,
      randomId: requestIds((length) => this.#init.random(length)),
      open: (signal) => this.#openChannel(peer, signal),
      onIdle: () => {
        this.forget(peer)
      },
    })
    this.#calls.set(peer, calls)
    return calls
  }

  async #openChannel(peer: PeerId, signal: AbortSignal): Promise<AskingChannel> {
    const { pipe, link } = await this.#init.open(peer, CHANNEL_PROTOCOL, signal)
    const lease = this.#server.lease(peer)
    const channel: AskingChannel = new AskingChannel(pipe, {
      ...this.#channelInit(lease.held, link),
      onClose: () => {
        this.#left(link, channel)
        lease.close()
      },
    })
    link.channels.add(channel)
    return channel
  }

  #framedCallsTo(peer: PeerId, framing: Framing): FramedCalls {
    const { limits, clock } = this.#init
    return new FramedCalls({
      peer,
      framing,
      limits,
      clock,
      enter: () => this.#enter(peer, framing),
    })
  }

  #enter(peer: PeerId, { protocols: [protocol = ''] }: Framing): FramedPlace {
    if (!this.#framedOutbound.enter(peer)) {
      const { maxFramedPerPeer } = this.#init.limits
      const text = `Cannot call: ${maxFramedPerPeer} requests to this peer are in flight`
      throw new P2pError('resource_exhausted', text, { layer: 'limit', peer })
    }
    const lease = this.#server.lease(peer)
    const open = { busy: true }
    let on: Link | undefined
    let over = false
    const leaveLink = (): void => {
      if (on !== undefined) this.#left(on, open)
    }
    return {
      held: lease.held,
      open: async (signal) => {
        leaveLink()
        const { pipe, link } = await this.#init.open(peer, protocol, signal)
        on = link
        if (!over) link.channels.add(open)
        return pipe
      },
      leave: () => {
        if (over) return
        over = true
        leaveLink()
        lease.close()
        this.#framedOutbound.leave(peer)
      },
    }
  }
}

// wire.md §3: a responder takes two channels per connection.
const CHANNELS_PER_CONNECTION = 2

/** Counts by peer, up to a limit; remembers nobody who has nothing. */
class PerPeer {
  readonly #max: number
  readonly #counts = new Map<PeerId, number>()

  constructor(max: number) {
    this.#max = max
  }

  enter(peer: PeerId): boolean {
    const count = this.#counts.get(peer) ?? 0
    if (count >= this.#max) return false
    this.#counts.set(peer, count + 1)
    return true
  }

  leave(peer: PeerId): void {
    const count = this.#counts.get(peer) ?? 0
    if (count > 1) this.#counts.set(peer, count - 1)
    else this.#counts.delete(peer)
  }
}

const SERVE_OPTIONS: readonly string[] = ['as', 'inbound']
const CLIENT_OPTIONS: readonly string[] = ['as']

function checkOptions<O extends ServeOptions | ClientOptions>(
  options: O,
  what: string,
  known: readonly string[],
): O {
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw new TypeError(`${what}: unknown option ${key.slice(0, 64)}`)
  }
  return options
}

function framingsOf(
  as: Framing | readonly Framing[],
  methods: ReadonlyMap<string, BoundMethod>,
  what: string,
): Map<string, { framing: Framing; bound: BoundMethod }> {
  const all = new Map<string, { framing: Framing; bound: BoundMethod }>()
  for (const framing of 'protocols' in as ? [as] : as) {
    const bound = carriedMethod(framing, methods, what)
    for (const id of framing.protocols) {
      if (all.has(id)) throw new TypeError(`${what} as ${id}: that is served already`)
      all.set(id, { framing, bound })
    }
  }
  return all
}

function namesOf(served: ServedFraming | undefined): { protocol?: string; method?: string } {
  if (served === undefined) return {}
  const { protocol, method } = served.method.bound
  return { protocol, method }
}

/** What our own rules see of a request. Its facts are computed only where a rule looks at them. */
class OutboundFacts implements RequestFacts {
  readonly peer: PeerId
  readonly #method: BoundMethod
  readonly #outgoing: { readonly facts: Facts | undefined }

  constructor(peer: PeerId, method: BoundMethod, outgoing: { readonly facts: Facts | undefined }) {
    this.peer = peer
    this.#method = method
    this.#outgoing = outgoing
  }

  get connection(): ConnectionFacts {
    return NOT_CONNECTED
  }

  get protocol(): string {
    return this.#method.protocol
  }

  get method(): string {
    return this.#method.method
  }

  get facts(): Facts | undefined {
    return this.#outgoing.facts
  }
}

// Our own rules decide before anything is dialed.
const NOT_CONNECTED: ConnectionFacts = Object.freeze({
  id: '',
  direction: 'outbound',
  remoteAddress: '' as Address,
  security: '',
  relayed: false,
})
