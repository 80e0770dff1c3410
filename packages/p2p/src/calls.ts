/**
 * All calls to one peer: connects on first use, keeps one asking channel, and after a broken connection sends
 * again what may be sent again (`wire.md §6`). It knows nothing of schemas or of how a connection is made.
 */
import { equalBytes } from '@stronghold/core'

import type { Ask, Asked, MethodName, Outcome } from './channel/asker.ts'
import type { AskingChannel } from './channel/channel.ts'
import type { WireError } from './channel/frame.ts'
import type { Inflow, Outflow } from './channel/flow.ts'
import type { Clock } from './clock.ts'
import { Deadlines } from './deadlines.ts'
import type { DeadlinePlace } from './deadlines.ts'
import { isP2pError, P2pError } from './errors.ts'
import type { P2pLimits } from './limits.ts'
import type { PeerId } from './identity.ts'

/** What a call wants. */
export interface CallInit {
  readonly name: MethodName
  readonly message: Uint8Array
  readonly timeoutMs: number
  readonly readOnly: boolean
  readonly downloads: boolean
  readonly uploads: boolean
  /** The request was handed to a channel: its flows are there. May come again with other flows after a break. */
  started(inflow: Inflow | undefined, outflow: Outflow | undefined): void
  /** The answer, once. Undefined: the download ended. */
  done(answer: Uint8Array | undefined): void
  /** It failed, once. */
  failed(error: unknown): void
}

/** A call that was started. */
export interface StartedCall {
  /** What was asked on a channel, where a channel carries it. */
  readonly asked: { readonly inflow: Inflow | undefined } | undefined
  /** Gives up: nothing is told to the caller. */
  cancel(): void
}

/** Whoever takes calls to one peer. */
export interface CallTaker {
  readonly peer: PeerId
  /** Starts a call. @throws `P2pError` when it cannot be taken */
  start(init: CallInit): StartedCall
}

/** What the calls to a peer need. */
export interface CallsInit {
  readonly peer: PeerId
  readonly limits: P2pLimits
  readonly clock: Clock
  /** 16 random bytes. */
  randomId(): Uint8Array
  /** Connects if need be and opens a channel, or says why not. The signal ends the try. */
  open(signal: AbortSignal): Promise<AskingChannel>
  /** Nothing is in flight any more. */
  onIdle(): void
}

// Ours: how often one request is sent, so that one that breaks every connection is given up.
const MAX_SENDS = 8
// Ours: how often one request may be cut off by a relay whose bytes are used up, so that one too long is given up.
const MAX_CUTS = 3
// Ours: what of a relay's budget requests may take at once, and how many they may be, so that answers fit as well.
const AT_ONCE_PART = 0.125
const AT_ONCE = 32
// Ours: a relayed connection that stood this long was not broken by the request; relays cut them sooner or later.
const LASTING_MS = 30_000
// Ours: the pause after a failed try to connect, which doubles up to the longest.
const RETRY_DELAY_MS = 100
const MAX_RETRY_DELAY_MS = 5000

/** One call, from its start to its answer, over as many channels as it takes. */
export class Call implements StartedCall, Ask {
  readonly init: CallInit
  readonly id: Uint8Array
  readonly deadlineMs: number
  place: DeadlinePlace | undefined
  readonly #calls: Calls
  asked: Asked | undefined
  channel: AskingChannel | undefined
  /** What is left until the deadline when it is sent. */
  timeoutMs: number
  /** A frame of it may have left on a channel before. */
  wasSent = false
  sends = 0
  /** It is not on `channel` any more. */
  landed = false
  /** How often the bytes of a relayed connection ended under it. */
  cuts = 0
  /** How often it was sent again because the time of a relayed connection was over, which is nobody's fault. */
  renewals = 0
  /** The last connection ended before the responder said hello on it. */
  unheard = false
  /** The instance of the responder that may know it. */
  instance: Uint8Array | undefined
  over = false

  constructor(calls: Calls, init: CallInit, id: Uint8Array, nowMs: number) {
    this.#calls = calls
    this.init = init
    this.id = id
    this.timeoutMs = init.timeoutMs
    this.deadlineMs = nowMs + init.timeoutMs
  }

  get name(): MethodName {
    return this.init.name
  }

  get message(): Uint8Array {
    return this.init.message
  }

  get downloads(): boolean {
    return this.init.downloads
  }

  get uploads(): boolean {
    return this.init.uploads
  }

  /** Whether its handler may have started, as far as can be told here. */
  get ran(): 'no' | 'maybe' {
    return this.wasSent || this.asked?.left === true ? 'maybe' : 'no'
  }

  /** Gives up: nothing is told to the caller, the responder is told if it knows. */
  cancel(): void {
    this.#calls.cancel(this)
  }

  settle(outcome: Outcome): void {
    this.#calls.settle(this, outcome)
  }

  expire(): void {
    const { timeoutMs } = this.init
    this.#calls.fail(
      this,
      new P2pError('deadline_exceeded', `Cannot finish the request: ${timeoutMs} ms are over`, {
        layer: 'request',
        ran: this.ran,
        peer: this.#calls.peer,
      }),
    )
  }
}

/** The book of calls to one peer. */
export class Calls implements CallTaker {
  readonly #init: CallsInit
  /** All calls that are open, by their deadlines. */
  readonly #open: Deadlines<Call>
  #waiting: Call[] = []
  #channel: AskingChannel | undefined
  /** The channel whose budget is half used up, and in whose place no other could be had. */
  #last: AskingChannel | undefined
  /** Of messages that are on a channel and not answered. */
  #flyingBytes = 0
  #opening: AbortController | undefined
  #stopRetry: (() => void) | undefined
  #failures = 0
  #closed = false

  constructor(init: CallsInit) {
    this.#init = init
    this.#open = new Deadlines(init.clock)
  }

  get peer(): PeerId {
    return this.#init.peer
  }

  /** Calls without an answer. */
  get size(): number {
    return this.#open.size
  }

  /** The open channel, if there is one. */
  get channel(): AskingChannel | undefined {
    return this.#channel
  }

  /**
   * Starts a call.
   *
   * @throws `P2pError` `resource_exhausted` when too many are in flight, `unavailable` when the node has stopped
   */
  start(init: CallInit): Call {
    const { limits, clock, peer } = this.#init
    if (this.#closed) throw stopped(peer)
    if (this.#open.size >= limits.maxOutboundPerPeer) {
      const message = `Cannot call: ${limits.maxOutboundPerPeer} requests to this peer are in flight`
      throw new P2pError('resource_exhausted', message, { layer: 'limit', peer })
    }
    const call = new Call(this, init, this.#init.randomId(), clock.nowMs())
    this.#open.add(call)
    const channel = this.#channel
    if (channel === undefined || this.#isTired(channel)) this.#wait(call)
    else if (this.#hasRoom(channel, call)) this.#send(call, channel)
    else this.#waiting.push(call)
    return call
  }

  cancel(call: Call): void {
    if (call.over) return
    this.#remove(call)
    const { asked, channel } = call
    if (asked !== undefined && channel !== undefined && !channel.closed) channel.asker.cancel(asked)
    this.#next()
  }

  fail(call: Call, error: unknown): void {
    if (call.over) return
    const { inflow } = call.asked ?? {}
    this.cancel(call)
    inflow?.end(error)
    call.init.failed(error)
    this.#idle()
  }

  /** Every call fails; no more are taken. */
  close(): void {
    this.#closed = true
    this.#opening?.abort()
    this.#stopRetry?.()
    for (const call of this.#open.list()) this.fail(call, stopped(this.#init.peer, call.ran))
    this.#channel?.close()
    this.#channel = undefined
    this.#open.clear()
  }

  #remove(call: Call): void {
    call.over = true
    this.#land(call)
    this.#open.delete(call)
  }

  /** It is on no channel any more. */
  #land(call: Call): void {
    if (call.channel === undefined || call.landed) return
    call.landed = true
    this.#flyingBytes -= call.message.byteLength
  }

  #idle(): void {
    this.#next()
    if (this.#open.size === 0) this.#init.onIdle()
  }

  #wait(call: Call): void {
    this.#waiting.push(call)
    // A call that is new does not wait for the retries of others.
    if (this.#opening === undefined && (this.#stopRetry === undefined || call.sends === 0)) {
      this.#stopRetry?.()
      this.#stopRetry = undefined
      this.#connect()
    }
  }

  #retryLater(): void {
    if (this.#opening !== undefined || this.#stopRetry !== undefined) return
    const delayMs = Math.min(RETRY_DELAY_MS * 2 ** (this.#failures - 1), MAX_RETRY_DELAY_MS)
    this.#stopRetry = this.#init.clock.setTimer(delayMs, () => {
      this.#stopRetry = undefined
      this.#waiting = this.#waiting.filter((call) => !call.over)
      if (this.#waiting.length > 0) this.#connect()
    })
  }

  #connect(): void {
    const control = new AbortController()
    this.#opening = control
    this.#init.open(control.signal).then(
      (channel) => {
        this.#opening = undefined
        if (this.#closed) channel.close()
        else this.#opened(channel)
      },
      (error: unknown) => {
        this.#opening = undefined
        this.#unreachable(error)
      },
    )
  }

  #opened(channel: AskingChannel): void {
    if (channel.closed) {
      this.#unreachable(isOfRelay(channel) ? undefined : closedAtOnce(this.#init.peer, 'no'))
      return
    }
    this.#channel = channel
    this.#failures = 0
    this.#handOut(channel)
  }

  #handOut(channel: AskingChannel): void {
    const waiting = this.#waiting.filter((call) => !call.over)
    this.#waiting = []
    for (const [at, call] of waiting.entries()) {
      if (!this.#hasRoom(channel, call)) {
        this.#waiting.push(...waiting.slice(at))
        return
      }
      if (call.wasSent && !call.init.readOnly) this.#sendToSame(call, channel)
      else this.#send(call, channel)
    }
  }

  /** Whether a channel had better be replaced, and can be. */
  #isTired(channel: AskingChannel): boolean {
    return channel !== this.#last && channel.tired
  }

  /** A relay carries little: more at once would end the connection before the first answer. */
  #hasRoom({ asker, budget }: AskingChannel, { message }: Call): boolean {
    if (budget === undefined || asker.size === 0) return true
    const room = budget.mostBytes * AT_ONCE_PART
    return asker.size < AT_ONCE && this.#flyingBytes + message.byteLength <= room
  }

  /** Something is done: what waits for room may go, on another connection where this one is half used up. */
  #next(): void {
    const channel = this.#channel
    if (this.#closed || this.#waiting.length === 0) return
    if (channel === undefined || this.#opening !== undefined) return
    if (this.#isTired(channel)) this.#connect()
    else this.#handOut(channel)
  }

  #unreachable(error: unknown): void {
    if (this.#channel?.closed === false) {
      // It was to be renewed, and is still good for a while.
      this.#last = this.#channel
      this.#handOut(this.#channel)
      return
    }
    this.#failures += 1
    const waiting = this.#waiting.filter((call) => !call.over)
    this.#waiting = []
    for (const call of waiting) {
      // Nobody waits for a peer that cannot be reached, but a request that was on its way is tried until its deadline.
      if (call.sends === 0) this.fail(call, this.#describe(error, call))
      else this.#waiting.push(call)
    }
    if (this.#waiting.length > 0) this.#retryLater()
  }

  #describe(error: unknown, call: Call): P2pError {
    const ran = call.wasSent ? 'maybe' : 'no'
    if (isP2pError(error) && !call.wasSent) return error
    return new P2pError('unavailable', 'Cannot call: the peer cannot be reached', {
      layer: isP2pError(error) ? error.layer : 'dial',
      ran,
      peer: this.#init.peer,
      cause: error,
    })
  }

  /** Only to the responder that may have run it: somebody else would run it a second time. */
  #sendToSame(call: Call, channel: AskingChannel): void {
    channel.remoteInstance.then(
      (instance) => {
        if (call.over) return
        if (call.instance !== undefined && equalBytes(instance, call.instance)) {
          this.#send(call, channel)
        } else this.fail(call, lost(this.#init.peer))
      },
      () => {
        if (call.over) return
        // As good as sent: a peer that closes every connection at once would be dialled on and on.
        call.sends += 1
        call.unheard = !isOfRelay(channel)
        this.#again(call)
      },
    )
  }

  #send(call: Call, channel: AskingChannel): void {
    if (channel.closed) {
      this.#wait(call)
      return
    }
    const { mostBytes = Infinity } = channel.budget ?? {}
    if (call.message.byteLength > mostBytes) {
      this.fail(call, tooLongForRelay(this.#init.peer, call.ran))
      return
    }
    const timeoutMs = Math.max(1, Math.ceil(call.deadlineMs - this.#init.clock.nowMs()))
    call.channel = channel
    call.landed = false
    call.timeoutMs = timeoutMs
    call.sends += 1
    this.#flyingBytes += call.message.byteLength
    call.asked = channel.asker.start(call)
    call.init.started(call.asked.inflow, call.asked.outflow)
  }

  /** Its channel has told how it ended there. */
  settle(call: Call, outcome: Outcome): void {
    if (call.over) return
    const { inflow } = call.asked ?? {}
    switch (outcome.type) {
      case 'response':
        this.#remove(call)
        call.init.done(outcome.message)
        this.#idle()
        break
      case 'end':
        this.#remove(call)
        call.init.done(undefined)
        this.#idle()
        break
      case 'error':
        this.fail(call, fromWire(outcome.error, this.#init.peer))
        break
      case 'refused':
        this.fail(call, tooMuch(outcome.why, this.#init.peer))
        break
      case 'lost':
        this.#land(call)
        call.wasSent ||= outcome.left
        call.unheard = call.channel?.knownInstance === undefined && !isOfRelay(call.channel)
        call.instance = call.channel?.knownInstance ?? call.instance
        if (this.#channel === call.channel) this.#channel = undefined
        this.#countCut(call)
        if (call.asked?.streamed === true) this.fail(call, this.#lost(call))
        else {
          inflow?.end()
          this.#again(call)
        }
        break
    }
  }

  /** A relay's budget that ran out says something of the request; its time says nothing. */
  #countCut(call: Call): void {
    const why = call.channel?.closedWith
    const relay = isP2pError(why) && why.layer === 'relay' ? why : undefined
    const budget = call.channel?.budget
    if (relay?.reason === 'relay_bytes') call.cuts += 1
    else if (relay !== undefined || (budget?.ageMs ?? 0) >= LASTING_MS) call.renewals += 1
    // The other side, or the relay, may have counted a little faster.
    else if (budget?.tired === true) call.cuts += 1
  }

  #lost(call: Call): P2pError {
    const { peer } = this.#init
    if (call.cuts > 0) return tooLongForRelay(peer, 'maybe')
    if (call.unheard) return closedAtOnce(peer, 'maybe')
    if (call.channel?.budget === undefined) return lost(peer)
    const text = 'Cannot finish the request: the relayed connection ended, as a relay bounds it'
    const reason = 'relay_ended'
    return new P2pError('unavailable', text, { layer: 'relay', ran: 'maybe', peer, reason })
  }

  #again(call: Call): void {
    const { init } = call
    const why = call.channel?.closedWith
    if (isP2pError(why, 'unimplemented')) {
      // The peer offers no channel: asking again changes nothing.
      this.fail(call, why)
      return
    }
    const unary = !init.downloads && !init.uploads
    const may = !call.wasSent || init.readOnly || (unary && call.instance !== undefined)
    const spent = call.sends - call.renewals >= MAX_SENDS || call.cuts >= MAX_CUTS
    if (!may || spent || this.#closed) this.fail(call, this.#lost(call))
    else this.#wait(call)
  }
}

function lost(peer: PeerId): P2pError {
  return new P2pError('unavailable', 'Cannot finish the request: the connection broke', {
    layer: 'request',
    ran: 'maybe',
    peer,
  })
}

/** By a peer that refuses us once it knows who we are, that is full, or that goes away: which of them nobody tells. */
function closedAtOnce(peer: PeerId, ran: 'no' | 'maybe'): P2pError {
  const text = 'Cannot finish the request: the connection was closed before the peer said anything'
  const reason = 'closed_at_once'
  return new P2pError('unavailable', text, { layer: 'request', ran, peer, reason })
}

/** Whether a relay ended the channel. */
function isOfRelay(channel: AskingChannel | undefined): boolean {
  const why = channel?.closedWith
  return isP2pError(why) && why.layer === 'relay'
}

function tooLongForRelay(peer: PeerId, ran: 'no' | 'maybe'): P2pError {
  const text = 'Cannot finish the request: it is more than the relay carries on one connection'
  return new P2pError('resource_exhausted', text, {
    layer: 'relay',
    ran,
    peer,
    reason: 'relay_bytes',
  })
}

function stopped(peer: PeerId, ran: 'no' | 'maybe' = 'no'): P2pError {
  return new P2pError('unavailable', 'Cannot call: the node has stopped', {
    layer: 'request',
    ran,
    peer,
  })
}

function tooMuch(why: 'too_long' | 'too_much', peer: PeerId): P2pError {
  const what = why === 'too_long' ? 'longer than maxMessageBytes' : 'more than may be held'
  return new P2pError('resource_exhausted', `Cannot take the answer: ${what}`, {
    layer: 'limit',
    ran: 'maybe',
    peer,
  })
}

function fromWire(error: WireError, peer: PeerId): P2pError {
  const { code, ran, layer, reason, message } = error
  return new P2pError(code, message, {
    layer,
    ran,
    peer,
    ...(reason === undefined ? {} : { reason }),
  })
}
