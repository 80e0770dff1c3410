/**
 * What happens in a node, told to whoever listens: one union on `type`, one async iterable for each subscriber, each
 * with its own buffer and its own answer to "too slow". It knows nothing of those who tell.
 */
import type { Ran, StatusCode } from '@stronghold/core'

import type { Clock } from './clock.ts'
import type { Refusal } from './connection/admission.ts'
import type { Layer } from './errors.ts'
import type { FindSource, FoundPeer } from './find/find.ts'
import type { DecidedBy } from './firewall/decide.ts'
import type { AskEnd } from './firewall/firewall.ts'
import type { Direction } from './firewall/rules.ts'
import type { Address, PeerId } from './identity.ts'
import type { PortMapping } from './reach/port-mappings.ts'
import type { ReachabilityState } from './reach/reachability.ts'
import { Subscriber } from './subscriber.ts'

/** What every event has. Events are frozen and print as JSON. */
export interface EventBase {
  /** When it was told, since the epoch. */
  readonly atMs: number
}

/** What events of one connection have. */
export interface ConnectionEvent extends EventBase {
  readonly peer: PeerId
  /** The connection's id within this node. */
  readonly connection: string
  /** The other side's address. */
  readonly address: Address
  /** Inbound: the other side dialed. */
  readonly direction: Direction
}

/** A connection is up: both sides proven, muxer agreed. */
export interface ConnectedEvent extends ConnectionEvent {
  readonly type: 'connected'
  /** As `tcp`, `ws`, `wss`, `memory`, `relay`, or the name of a custom one. */
  readonly transport: string
  /** As `noise` or `tls`. */
  readonly security: string
  /** As `/yamux/1.0.0`. */
  readonly muxer: string
  /** Whether a relay carries it. */
  readonly relayed: boolean
}

/** Why a connection ended: which side ended it, or what broke. */
export type DisconnectReason =
  | 'closed'
  | 'remote_closed'
  | 'blocked'
  | 'banned'
  | 'idle'
  | 'silent'
  | 'limit'
  | 'replaced'
  | 'error'

/** A connection that was up is gone. */
export interface DisconnectedEvent extends ConnectionEvent {
  readonly type: 'disconnected'
  readonly reason: DisconnectReason
  /** For people, where there is more to say. */
  readonly message?: string
}

/** A connection was refused before it was up: admission, negotiation or handshake. */
export interface RefusedEvent extends EventBase {
  readonly type: 'refused'
  readonly direction: Direction
  readonly address: Address
  /** Known where the handshake came that far. */
  readonly peer?: PeerId
  /** Admission's reason, or `'handshake'` where the other side did not get through it. */
  readonly reason: Refusal | 'handshake'
  /** For people, where there is more to say. */
  readonly message?: string
}

/** One of our dials failed. */
export interface DialFailedEvent extends EventBase {
  readonly type: 'dialFailed'
  readonly address: Address
  /** Whom we meant to reach, where known. */
  readonly peer?: PeerId
  readonly code: StatusCode
  readonly layer: Layer
  readonly message: string
}

/** What events of one request have. */
export interface RequestEventBase extends EventBase {
  readonly peer: PeerId
  readonly connection: string
  /** Inbound: the peer asks us. */
  readonly direction: Direction
  readonly protocol: string
  readonly method: string
}

/** The firewall denied a request. */
export interface DeniedEvent extends RequestEventBase {
  readonly type: 'denied'
  readonly facts?: Readonly<Record<string, unknown>>
  readonly by: DecidedBy
  /** How asking ended, where somebody was to be asked. */
  readonly asked?: AskEnd
}

/** A request waits for `onAsk` or `onNewPeer`. */
export interface AskedEvent extends RequestEventBase {
  readonly type: 'asked'
  readonly facts?: Readonly<Record<string, unknown>>
}

/** A request was allowed and begins: inbound, its handler starts. */
export interface RequestEvent extends RequestEventBase {
  readonly type: 'request'
  readonly facts?: Readonly<Record<string, unknown>>
}

/** A request that began is over. */
export interface ResponseEvent extends RequestEventBase {
  readonly type: 'response'
  readonly code: 'ok' | StatusCode
  readonly ran: Ran
  /** From its `request` event. */
  readonly durationMs: number
  /** Bytes of bodies and items that came in and went out. */
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** A handler threw what is no `P2pError`. The asker was told `internal` and the id, nothing else. */
export interface HandlerFailedEvent extends RequestEventBase {
  readonly type: 'handlerFailed'
  /** Correlates what the asker heard with this. */
  readonly id: string
  readonly error: unknown
}

/** A listener is up. */
export interface ListeningEvent extends EventBase {
  readonly type: 'listening'
  readonly address: Address
}

/** A listener was stopped. */
export interface StoppedEvent extends EventBase {
  readonly type: 'stopped'
  readonly address: Address
}

/** A listener failed, to come up or later. */
export interface ListenErrorEvent extends EventBase {
  readonly type: 'listenError'
  readonly address: Address
  readonly message: string
}

/** A peer said who it is (identify). */
export interface PeerIdentifiedEvent extends EventBase {
  readonly type: 'peerIdentified'
  readonly peer: PeerId
  readonly connection: string
  /** Its software, as it says. */
  readonly agent?: string
  readonly protocols: readonly string[]
  /** Where it says it listens. */
  readonly addresses: readonly Address[]
}

/** Our own addresses are others now. */
export interface AddressesChangedEvent extends EventBase {
  readonly type: 'addressesChanged'
  readonly addresses: readonly Address[]
}

/** A peer told us from which address it sees us. */
export interface ObservedAddressEvent extends EventBase {
  readonly type: 'observedAddress'
  readonly peer: PeerId
  readonly address: Address
}

/** Somebody was found: an address, and no more than that. */
export interface FoundEvent extends EventBase, FoundPeer {
  readonly type: 'found'
}

/** A way of finding does not work, or failed a search. */
export interface FindFailedEvent extends EventBase {
  readonly type: 'findFailed'
  readonly source: FindSource
  readonly message: string
}

/** A relay granted or renewed a reservation: others reach us through it. */
export interface RelayReservedEvent extends EventBase {
  readonly type: 'relayReserved'
  /** As it was listened on: `RELAY/p2p-circuit`. */
  readonly address: Address
  readonly relay: PeerId
  /** Where others reach us, without our own peer id. */
  readonly addresses: readonly Address[]
  /** Since the epoch. It is renewed before. */
  readonly expiresAtMs: number
}

/** A relay cannot be used, or no more: it is tried again. */
export interface RelayLostEvent extends EventBase {
  readonly type: 'relayLost'
  /** As it was listened on: `RELAY/p2p-circuit`. */
  readonly address: Address
  readonly code: StatusCode
  readonly message: string
  /** Failures since it last stood, this one included. */
  readonly failures: number
  /** Since the epoch. */
  readonly retryAtMs: number
}

/** A direct connection was tried for, in the place of one through a relay. */
export interface DirectEvent extends EventBase {
  readonly type: 'direct'
  readonly peer: PeerId
  /** Whether one stands now. Where not, the relayed one stays. */
  readonly reached: boolean
  /** Attempts to punch: 0 where none was needed, or it came to none. */
  readonly attempts: number
  /** For people, where it failed. */
  readonly message?: string
}

/** Whether others can reach one of our addresses is known now, or no more. */
export interface ReachabilityEvent extends EventBase {
  readonly type: 'reachability'
  /** Without our peer id. */
  readonly address: Address
  readonly state: ReachabilityState
}

/** A router mapped a port to us, or did not. That says nothing yet of whether others reach it. */
export interface PortMappingEvent extends EventBase, PortMapping {
  readonly type: 'portMapping'
}

/** This subscriber was too slow: so many events were dropped just here. */
export interface MissedEvent extends EventBase {
  readonly type: 'missed'
  readonly count: number
  readonly peer?: never
}

/** Everything that is told. Switch on `type`. */
export type NodeEvent =
  | ConnectedEvent
  | DisconnectedEvent
  | RefusedEvent
  | DialFailedEvent
  | DeniedEvent
  | AskedEvent
  | RequestEvent
  | ResponseEvent
  | HandlerFailedEvent
  | ListeningEvent
  | StoppedEvent
  | ListenErrorEvent
  | PeerIdentifiedEvent
  | AddressesChangedEvent
  | ObservedAddressEvent
  | ReachabilityEvent
  | PortMappingEvent
  | RelayReservedEvent
  | RelayLostEvent
  | DirectEvent
  | FoundEvent
  | FindFailedEvent
  | MissedEvent

/** What can be asked for; `'missed'` comes unasked. */
export type EventType = Exclude<NodeEvent['type'], 'missed'>

/** The event of that type. */
export type EventOf<T extends NodeEvent['type']> = Extract<NodeEvent, { type: T }>

/** An event as it is told, before it has its time. */
export type NewEvent = WithoutTime<Exclude<NodeEvent, MissedEvent>>
type WithoutTime<E> = E extends NodeEvent ? Omit<E, 'atMs'> : never

const EVENT_TYPES: Readonly<Record<EventType, true>> = {
  connected: true,
  disconnected: true,
  refused: true,
  dialFailed: true,
  denied: true,
  asked: true,
  request: true,
  response: true,
  handlerFailed: true,
  listening: true,
  stopped: true,
  listenError: true,
  peerIdentified: true,
  addressesChanged: true,
  observedAddress: true,
  found: true,
  findFailed: true,
  relayReserved: true,
  relayLost: true,
  direct: true,
  reachability: true,
  portMapping: true,
}

/** How to subscribe. */
export interface EventsOptions<T extends EventType = EventType> {
  /** Which events. Default: all. */
  types?: readonly T[]
  /**
   * When the buffer is full: `'block'` holds back new inbound connections and requests until there is room (what
   * runs goes on, and its events are kept past the buffer); `'drop-latest'` drops what is new; `'keep-latest'` drops
   * what is oldest. What was dropped is told as `missed`. Default `'keep-latest'`.
   */
  overflow?: 'block' | 'drop-latest' | 'keep-latest'
  /** Events kept for this subscriber. Default and most: `maxBufferedEvents`. */
  buffer?: number
  /** Ends the subscription: the iteration is over, without an error. */
  signal?: AbortSignal
}

/** Events of one subscription, as they come. */
export interface EventStream<E> extends AsyncIterableIterator<E, undefined>, AsyncDisposable {
  /** Ends the subscription; `break` calls it. Idempotent. */
  return(): Promise<IteratorResult<E, undefined>>
}

/** The limits of events; see `P2pLimits`. */
export interface EventLimits {
  readonly maxBufferedEvents: number
  readonly maxHeldBackEvents: number
}

/** Those who tell and those who listen, of one node. */
export class EventHub {
  readonly #limits: EventLimits
  readonly #clock: Clock
  readonly #subscribers = new Set<Subscriber>()
  readonly #listeners = new Map<EventType, number>()
  readonly #released = new Set<() => void>()
  #full = 0
  #closed = false

  constructor(limits: EventLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  /** Whether anybody wants such events: ask before building one. */
  hasListeners(type: EventType): boolean {
    return this.#listeners.has(type)
  }

  /** Whether new inbound connections and requests are to wait, for a subscriber with `block` that is full. */
  get held(): boolean {
    return this.#full > 0
  }

  /** Calls back each time `held` becomes false. Returns how to stop that. */
  onRelease(released: () => void): () => void {
    const own = (): void => {
      released()
    }
    this.#released.add(own)
    return () => {
      this.#released.delete(own)
    }
  }

  /** Tells everybody who wants it. */
  emit(event: NewEvent): void {
    if (!this.#listeners.has(event.type)) return
    const told: NodeEvent = Object.freeze({ ...event, atMs: this.#clock.nowMs() })
    for (const subscriber of this.#subscribers) subscriber.offer(told)
  }

  /**
   * Subscribes, from this call on. `break`, `return()`, an abort and the end of the node unsubscribe; whoever does
   * none of these and reads no more holds a full buffer, with `block` the whole node.
   *
   * @throws `TypeError` for an unknown type, option or overflow, `RangeError` for a buffer out of bounds
   */
  events<T extends EventType = EventType>(
    options: EventsOptions<T> = {},
  ): EventStream<EventOf<T> | MissedEvent> {
    const { types, overflow, buffer, signal } = this.#check(options)
    const subscriber: Subscriber = new Subscriber(types, overflow, buffer, this.#limits, {
      nowMs: () => this.#clock.nowMs(),
      full: (full) => this.#hold(full),
      over: () => {
        signal?.removeEventListener('abort', end)
        if (this.#subscribers.delete(subscriber)) this.#count(types, -1)
      },
    })
    const end = (): void => subscriber.end()
    if (this.#closed || signal?.aborted === true) subscriber.end()
    else {
      signal?.addEventListener('abort', end)
      this.#subscribers.add(subscriber)
      this.#count(types, 1)
    }
    return subscriber as EventStream<NodeEvent> as EventStream<EventOf<T> | MissedEvent>
  }

  /** No more events: every iteration gives what it still has and is over. Idempotent. */
  close(): void {
    this.#closed = true
    for (const subscriber of [...this.#subscribers]) subscriber.finish()
  }

  #check(options: EventsOptions): {
    types: ReadonlySet<EventType>
    overflow: 'block' | 'drop-latest' | 'keep-latest'
    buffer: number
    signal: AbortSignal | undefined
  } {
    const { maxBufferedEvents } = this.#limits
    const { types, overflow = 'keep-latest', buffer = maxBufferedEvents, signal, ...rest } = options
    for (const key of Object.keys(rest)) {
      throw new TypeError(`Cannot subscribe: unknown option ${quote(key)}`)
    }
    for (const type of types ?? []) {
      if (!Object.hasOwn(EVENT_TYPES, type)) {
        throw new TypeError(`Cannot subscribe: unknown event ${quote(type)}`)
      }
    }
    if (!['block', 'drop-latest', 'keep-latest'].includes(overflow)) {
      throw new TypeError(`Cannot subscribe: unknown overflow ${quote(overflow)}`)
    }
    if (!Number.isInteger(buffer) || buffer < 1 || buffer > maxBufferedEvents) {
      throw new RangeError(`Cannot subscribe: buffer is not between 1 and ${maxBufferedEvents}`)
    }
    const all = Object.keys(EVENT_TYPES) as EventType[]
    return { types: new Set(types ?? all), overflow, buffer, signal }
  }

  #count(types: ReadonlySet<EventType>, by: number): void {
    for (const type of types) {
      const count = (this.#listeners.get(type) ?? 0) + by
      if (count > 0) this.#listeners.set(type, count)
      else this.#listeners.delete(type)
    }
  }

  #hold(full: boolean): void {
    this.#full += full ? 1 : -1
    if (full || this.#full > 0) return
    // One that is called back may let in what fills the buffer again; the others then find `held` true.
    for (const released of [...this.#released]) released()
  }
}

function quote(value: unknown): string {
  return JSON.stringify(String(value).slice(0, 64))
}
