/**
 * One channel on one pipe: frames in and out, one write a turn, hello, ping and acks (`wire.md §3`). What requests mean
 * is the business of the asker or responder inside.
 */
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import type { P2pLimits } from '../limits.ts'

import { Asker } from './asker.ts'
import {
  encodeFrame,
  FLAG_REPLY,
  FrameParser,
  KIND_HELLO,
  KIND_PING,
  PING_BYTES,
  violation,
} from './frame.ts'
import type { OnFrame, Side } from './frame.ts'
import type { Held } from './held.ts'
import { Responder } from './responder.ts'
import type { ResponderHost } from './responder.ts'
import { Outbox } from './turn.ts'

/** Protocol id (`wire.md §3`). */
export const CHANNEL_PROTOCOL = '/stronghold/channel/1.0.0'

// Ours: bytes handed to the pipe in one write, and what a responder lets wait before it stops reading requests.
const WRITE_BYTES = 256 * 1024
const MAX_WAITING_BYTES = 1024 * 1024
// Ours: pings of one channel that wait for their answer.
const MAX_PINGS = 16
// Ours: how long answers stay unacknowledged while no request carries the count.
const ACK_DELAY_MS = 250

/** Whoever may hold back new requests for a while. */
export interface Hold {
  readonly held: boolean
  /** Calls back each time `held` becomes false. Returns how to stop that. */
  onRelease(released: () => void): () => void
}

/** What a connection may carry, where somebody bounds that. */
export interface ChannelBudget {
  /** Half used up: what is new had better go elsewhere. */
  readonly tired: boolean
  /** How long the connection stands. */
  readonly ageMs: number
  /** The longest message that it can carry at all. */
  readonly mostBytes: number
}

/** What both sides of a channel need. */
export interface ChannelInit {
  /** 16 random bytes of this node (`wire.md §4.1`). */
  instance: Uint8Array
  limits: P2pLimits
  clock: Clock
  /** Bytes held for the peer at the other end. */
  held: Held
  /** Runs a function after the present turn of the event loop. */
  afterTurn(run: () => void): void
  /** What the connection underneath may carry; undefined: anything. */
  budget?: () => ChannelBudget | undefined
  /** Whether there is a better connection to the peer: what is new had better go there. */
  replaced?: () => boolean
  /** The channel is gone; its requests were told before. */
  onClose(error?: Error): void
}

function ended(cause?: Error): P2pError {
  return new P2pError('unavailable', 'Cannot ask: the channel ended', { layer: 'protocol', cause })
}

/** The half that both sides share: the pipe, its turns, hello and ping. */
class Line {
  readonly outbox: Outbox
  readonly #pipe: Pipe
  readonly #init: ChannelInit
  readonly #parser: FrameParser
  readonly #onFrame: OnFrame
  readonly #onOver: () => void
  readonly #onRead: () => void
  readonly #pauses: boolean
  readonly #hold: Hold | undefined
  readonly #stopHold: (() => void) | undefined
  readonly #hello = Promise.withResolvers<Uint8Array>()
  readonly #pings = new Map<number, PromiseWithResolvers<undefined>>()
  #pong: Uint8Array | undefined
  #scheduled = false
  #writable = true
  #paused = false
  #pingNumber = 0
  knownInstance: Uint8Array | undefined
  closedWith: Error | undefined
  closed = false

  constructor(
    pipe: Pipe,
    init: ChannelInit,
    ours: {
      side: Side
      onFrame: OnFrame
      onRead: () => void
      onOver: () => void
      hold?: Hold | undefined
    },
  ) {
    this.#pipe = pipe
    this.#init = init
    this.#onFrame = ours.onFrame
    this.#onOver = ours.onOver
    this.#onRead = ours.onRead
    this.#pauses = ours.side === 'responder'
    this.#hold = ours.hold
    this.#stopHold = ours.hold?.onRelease(() => {
      this.#resume()
    })
    this.outbox = new Outbox(init.limits.maxFrameBytes)
    this.#parser = new FrameParser(
      ours.side === 'asker' ? 'responder' : 'asker',
      init.limits.maxFrameBytes,
      (kind, flags, number, body, owned) => {
        this.#frame(kind, flags, number, body, owned)
      },
    )
    this.#hello.promise.catch(() => {})
    this.outbox.control(encodeFrame(KIND_HELLO, 0, 0, init.instance))
    this.wake()
  }

  start(): void {
    this.#pipe.listen({
      borrows: true,
      data: (chunk) => {
        this.#read(chunk)
      },
      drain: () => {
        this.#writable = true
        this.#flush()
      },
      end: () => {
        this.close()
      },
      close: (error) => {
        this.#over(error)
      },
    })
    this.#pipe.resume()
  }

  /** The other side's instance, once its hello is here. Rejects when the channel ends before. */
  get remoteInstance(): Promise<Uint8Array> {
    return this.#hello.promise
  }

  wake(): void {
    if (this.#scheduled || this.closed) return
    this.#scheduled = true
    this.#init.afterTurn(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  async ping(): Promise<number> {
    if (this.closed || this.#pings.size >= MAX_PINGS) throw ended()
    const number = (this.#pingNumber + 1) >>> 0
    this.#pingNumber = number
    const body = new Uint8Array(PING_BYTES)
    new DataView(body.buffer).setUint32(4, number)
    const startedMs = this.#init.clock.nowMs()
    const answered = Promise.withResolvers<undefined>()
    this.#pings.set(number, answered)
    this.outbox.control(encodeFrame(KIND_PING, 0, 0, body))
    this.wake()
    await answered.promise
    return this.#init.clock.nowMs() - startedMs
  }

  /** Ends both directions; what was queued still leaves. */
  close(): void {
    if (this.closed) return
    this.#flush()
    this.#pipe.end()
    this.#over()
  }

  /** Ends at once. */
  destroy(error: Error): void {
    if (this.closed) return
    this.#pipe.destroy(error)
    this.#over(error)
  }

  #read(chunk: Uint8Array): void {
    if (this.closed) return
    try {
      this.#parser.push(chunk)
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error))
      this.destroy(cause)
      return
    }
    this.#onRead()
    if (!this.#pauses || this.#paused) return
    if (this.outbox.waitingBytes > MAX_WAITING_BYTES || this.#hold?.held === true) {
      this.#paused = true
      this.#pipe.pause()
    }
  }

  #frame(kind: number, flags: number, number: number, body: Uint8Array, owned: boolean): void {
    // What a frame led to may have ended the channel: nothing of those behind it is begun, that nobody would end.
    if (this.closed) return
    if (kind === KIND_HELLO) {
      this.knownInstance = body.slice()
      this.#hello.resolve(this.knownInstance)
    } else if (kind === KIND_PING) this.#pinged(flags, body)
    else this.#onFrame(kind, flags, number, body, owned)
  }

  #pinged(flags: number, body: Uint8Array): void {
    if ((flags & FLAG_REPLY) === 0) {
      this.#pong = encodeFrame(KIND_PING, FLAG_REPLY, 0, body)
      this.wake()
      return
    }
    const number = new DataView(body.buffer, body.byteOffset).getUint32(4)
    if (!this.#pings.has(number)) throw violation('a reply to no ping')
    // Of several pings only the last may be answered: its answer answers those before it.
    for (const [sent, answered] of this.#pings) {
      this.#pings.delete(sent)
      answered.resolve(undefined)
      if (sent === number) break
    }
  }

  #flush(): void {
    while (this.#writable && !this.closed && (this.#pong !== undefined || !this.outbox.empty)) {
      if (this.#pong !== undefined) this.outbox.control(this.#pong)
      this.#pong = undefined
      for (const chunks of this.outbox.take(WRITE_BYTES)) {
        if (chunks.length > 0) this.#writable = this.#pipe.write(chunks)
      }
    }
    this.#resume()
  }

  /** Reads on, once what waits is half written and nobody holds requests back. */
  #resume(): void {
    if (!this.#paused || this.closed || this.#hold?.held === true) return
    if (this.outbox.waitingBytes * 2 >= MAX_WAITING_BYTES) return
    this.#paused = false
    this.#pipe.resume()
  }

  #over(error?: Error): void {
    if (this.closed) return
    this.closed = true
    this.closedWith = error
    this.#hello.reject(ended(error))
    this.#stopHold?.()
    this.outbox.clear()
    for (const answered of this.#pings.values()) answered.reject(ended(error))
    this.#pings.clear()
    this.#onOver()
    this.#init.onClose(error)
  }
}

/** The channel of somebody who asks. */
export class AskingChannel {
  readonly asker: Asker
  readonly #line: Line
  readonly #clock: Clock
  readonly #budget: (() => ChannelBudget | undefined) | undefined
  readonly #replaced: (() => boolean) | undefined
  #stopAck: (() => void) | undefined

  constructor(pipe: Pipe, init: ChannelInit) {
    this.#clock = init.clock
    this.#budget = init.budget
    this.#replaced = init.replaced
    const line = new Line(pipe, init, {
      side: 'asker',
      onFrame: (kind, flags, number, body, owned) => {
        this.asker.frame(kind, flags, number, body, owned)
      },
      onRead: () => {
        if (this.asker.owesAck) this.#ackLater()
      },
      onOver: () => {
        this.#stopAck?.()
        this.asker.lose()
      },
    })
    this.#line = line
    const { outbox } = line
    const { held, limits } = init
    const wake = (): void => {
      line.wake()
    }
    this.asker = new Asker({ outbox, wake, held, limits })
    line.start()
  }

  get closed(): boolean {
    return this.#line.closed
  }

  /** Whether requests are in flight. */
  get busy(): boolean {
    return this.asker.size > 0
  }

  /** What the connection underneath may carry; undefined: anything. */
  get budget(): ChannelBudget | undefined {
    return this.#budget?.()
  }

  /** Whether what is new had better go elsewhere. */
  get tired(): boolean {
    return this.budget?.tired === true || this.#replaced?.() === true
  }

  /** Why it is closed, where there is more to say than that. */
  get closedWith(): Error | undefined {
    return this.#line.closedWith
  }

  /** The responder's instance. */
  get remoteInstance(): Promise<Uint8Array> {
    return this.#line.remoteInstance
  }

  /** The responder's instance, if its hello is here. */
  get knownInstance(): Uint8Array | undefined {
    return this.#line.knownInstance
  }

  /** Round trip in milliseconds. */
  ping(): Promise<number> {
    return this.#line.ping()
  }

  close(): void {
    this.asker.ack()
    this.#line.close()
  }

  destroy(error: Error): void {
    this.#line.destroy(error)
  }

  #ackLater(): void {
    this.#stopAck ??= this.#clock.setTimer(ACK_DELAY_MS, () => {
      this.#stopAck = undefined
      this.asker.ack()
    })
  }
}

/** The channel of somebody who answers. */
export class AnsweringChannel {
  readonly responder: Responder
  readonly #line: Line

  constructor(pipe: Pipe, init: ChannelInit & { host: ResponderHost; hold?: Hold }) {
    const line = new Line(pipe, init, {
      side: 'responder',
      onFrame: (kind, flags, number, body, owned) => {
        this.responder.frame(kind, flags, number, body, owned)
      },
      onRead: () => {},
      hold: init.hold,
      onOver: () => {
        this.responder.lose()
      },
    })
    this.#line = line
    const { outbox } = line
    const { held, limits, host } = init
    const wake = (): void => {
      line.wake()
    }
    const { budget } = init
    this.responder = new Responder({
      outbox,
      wake,
      held,
      limits,
      host,
      mostBytes: () => budget?.()?.mostBytes ?? Infinity,
    })
    line.start()
  }

  get closed(): boolean {
    return this.#line.closed
  }

  /** Whether requests are in flight. */
  get busy(): boolean {
    return this.responder.size > 0
  }

  close(): void {
    this.#line.close()
  }

  destroy(error: Error): void {
    this.#line.destroy(error)
  }
}
