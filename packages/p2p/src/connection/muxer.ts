/**
 * A Yamux session over a pipe: substreams that are pipes, each also to be had as a libp2p stream. Batches what is
 * written in one turn, negotiates inbound streams, and watches for silence. Knows nothing of what streams carry.
 */
import {
  MuxerClosedError,
  TooManyOutboundProtocolStreamsError,
  TypedEventEmitter,
} from '@libp2p/interface'
import type {
  AbortOptions,
  CreateStreamOptions,
  EventHandler,
  Logger,
  Stream,
  StreamMuxer,
  StreamMuxerEvents,
  StreamMuxerFactory,
  StreamMuxerStatus,
} from '@libp2p/interface'

import { systemClock } from '../clock.ts'
import { isP2pError, P2pError } from '../errors.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import type { Clock } from '../clock.ts'
import type { P2pLimits } from '../limits.ts'

import { PipeStream, pipeOf } from './message-stream.ts'
import { MuxedPipe } from './muxed-pipe.ts'
import { handleProtocol, selectLazily } from './negotiate.ts'
import { GO_AWAY, YAMUX_PROTOCOL } from './yamux-frame.ts'
import { YamuxSession } from './yamux.ts'
import type { MultistreamLimits } from './multistream.ts'
import type { Pipe } from './pipe.ts'
import type { StreamFailure, YamuxStream, YamuxStreamHandler } from './yamux-stream.ts'
import type { ByteBudget, YamuxLimits } from './yamux.ts'

export { YAMUX_PROTOCOL } from './yamux-frame.ts'
export type { ByteBudget } from './yamux.ts'

/** The limits of a muxer, by their names in `P2pLimits`. */
export type MuxerLimits = YamuxLimits &
  MultistreamLimits &
  Pick<
    P2pLimits,
    'maxUnnegotiatedStreams' | 'negotiationTimeoutMs' | 'keepAliveIntervalMs' | 'keepAliveTimeoutMs'
  >

/** What a muxer needs to know. */
export interface MuxerInit {
  /** Whether this side began the connection: it then numbers its streams oddly. */
  initiator: boolean
  limits: MuxerLimits
  clock: Clock
  log: Logger
  /**
   * Whether an inbound stream may speak a protocol. Then inbound streams are negotiated before anybody hears of them,
   * and `createStream({ protocol })` sends its proposal with the first data. Without it streams are raw.
   */
  offers?: ((protocol: string) => boolean) | undefined
  /** Takes a negotiated inbound stream as a pipe; false leaves it to the `stream` event. */
  onPipe?: ((protocol: string, pipe: Pipe) => boolean) | undefined
  /** Bytes of this connection's peer, all its connections together. */
  budget?: ByteBudget | undefined
}

// Our own choices

/** Bytes handed to the pipe below in one write. What is written meanwhile waits for no more than this. */
const BATCH_BYTES = 131_072
/** How long the pipe below may take to send the last frames after the session failed. */
const HANG_UP_MS = 500

interface Pinging {
  opaque: number
  sentMs: number
  answer: PromiseWithResolvers<number>
}

/** A muxer on `/yamux/1.0.0`. */
export class Muxer extends TypedEventEmitter<StreamMuxerEvents> implements StreamMuxer {
  readonly protocol: string = YAMUX_PROTOCOL
  status: StreamMuxerStatus = 'open'
  /** Streams that libp2p has; those that were taken as pipes are not among them. */
  streams: Stream[] = []
  /** The session underneath, for what it counts: streams, bytes held, bytes queued. */
  readonly session: YamuxSession
  /** Bytes that came and went, inside the security channel. */
  receivedBytes = 0
  sentBytes = 0

  readonly #pipe: Pipe
  readonly #init: MuxerInit
  readonly #log: Logger
  readonly #clock: Clock
  #scheduled = false
  #blocked = false
  #why: Error | undefined
  #early: Stream[] = []
  #unnegotiated = 0
  #flushed: PromiseWithResolvers<undefined> | undefined

  #lastHeardMs: number
  #stopTimer: () => void
  #probedMs: number | undefined
  #pinging: Pinging | undefined

  /** Takes the pipe over: listens to it, and resumes it. */
  constructor(pipe: Pipe, init: MuxerInit) {
    super()
    this.#pipe = pipe
    this.#init = init
    this.#clock = init.clock
    this.#log = init.log.newScope('yamux')
    this.#lastHeardMs = init.clock.nowMs()
    this.session = new YamuxSession({
      initiator: init.initiator,
      limits: init.limits,
      budget: init.budget,
      nowMs: this.#lastHeardMs,
      events: {
        wake: () => {
          this.#schedule()
        },
        opened: (stream) => this.#opened(stream),
        pong: (opaque) => {
          this.#pong(opaque)
        },
        goAway: (code) => {
          this.#log('the other side goes away with code %d', code)
        },
        failed: (message) => {
          this.#fail(
            new P2pError('unavailable', `Cannot keep the connection: ${message}`, {
              layer: 'protocol',
            }),
          )
        },
      },
    })
    this.#stopTimer = this.#clock.setTimer(init.limits.keepAliveIntervalMs, () => {
      this.#watch()
    })
    pipe.listen({
      borrows: true,
      data: (chunk) => {
        this.#lastHeardMs = this.#clock.nowMs()
        this.#probedMs = undefined
        this.receivedBytes += chunk.byteLength
        this.session.receive(chunk, this.#lastHeardMs)
      },
      drain: () => {
        this.#blocked = false
        this.#flush()
      },
      end: () => {
        this.#lost()
        pipe.end()
      },
      close: (cause) => {
        this.#lost(cause)
      },
    })
    if (pipe.closed) queueMicrotask(() => this.#lost())
    else pipe.resume()
  }

  /** When the other side last sent a byte, by the clock handed in. */
  get lastHeardMs(): number {
    return this.#lastHeardMs
  }

  /**
   * Opens a substream. With `offers` set and a protocol given, the proposal leaves with the first data.
   *
   * @throws `P2pError` `unavailable` when the connection is closing, `resource_exhausted` past
   *   `maxStreamsPerConnection`
   */
  openPipe(protocol = ''): Pipe & { readonly id: number } {
    const pipe = this.#open()
    if (pipe === undefined) {
      throw this.#opens()
        ? new P2pError('resource_exhausted', 'Cannot open a stream: too many are open', {
            layer: 'limit',
          })
        : new P2pError('unavailable', 'Cannot open a stream: the connection is closing', {
            layer: 'protocol',
          })
    }
    return protocol === '' || this.#init.offers === undefined
      ? pipe
      : Object.assign(selectLazily(pipe, protocol, { limits: this.#init.limits }), { id: pipe.id })
  }

  /**
   * Opens a substream as a libp2p stream, whose `protocol` is set when one was given and `offers` is.
   *
   * @throws `MuxerClosedError` when the connection is closing, `TooManyOutboundProtocolStreamsError` past
   *   `maxStreamsPerConnection`
   */
  async createStream(options: CreateStreamOptions = {}): Promise<Stream> {
    options.signal?.throwIfAborted()
    if (!this.#opens()) throw new MuxerClosedError('the connection is closing')
    const pipe = this.#open()
    if (pipe === undefined)
      throw new TooManyOutboundProtocolStreamsError('too many streams are open')
    const protocol = this.#init.offers === undefined ? '' : (options.protocol ?? '')
    const upper =
      protocol === '' ? pipe : selectLazily(pipe, protocol, { limits: this.#init.limits })
    return this.#present(upper, pipe.id, 'outbound', protocol, options)
  }

  /**
   * Asks the other side for a sign of life. Concurrent calls share one ping.
   *
   * @returns the round trip in milliseconds
   * @throws `P2pError` `deadline_exceeded` after `keepAliveTimeoutMs`, `unavailable` when the connection ends first;
   *   the signal's reason
   */
  async ping(signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted()
    this.#pinging ??= this.#startPing()
    const { answer } = this.#pinging
    if (signal === undefined) return answer.promise
    const aborted = Promise.withResolvers<never>()
    const onAbort = (): void => {
      aborted.reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([answer.promise, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /**
   * Half-closes every stream, waits until what was written has left, but no longer than `keepAliveTimeoutMs`, says
   * goodbye and ends the pipe below.
   *
   * @throws the signal's reason when it fires first
   */
  async close({ signal }: AbortOptions = {}): Promise<void> {
    if (this.status === 'closed') return
    signal?.throwIfAborted()
    this.status = 'closing'
    const options = signal === undefined ? {} : { signal }
    const closing = [...this.streams].map((stream) => stream.close(options))
    const done = Promise.allSettled(closing).then(() => this.#allSent())
    const cut = Promise.withResolvers<undefined>()
    const onAbort = (): void => {
      cut.reject(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    // The other side may have stopped reading: what it does not take is dropped.
    const stopTimer = this.#clock.setTimer(this.#init.limits.keepAliveTimeoutMs, () => {
      cut.resolve(undefined)
    })
    try {
      await Promise.race([done, cut.promise])
    } finally {
      stopTimer()
      signal?.removeEventListener('abort', onAbort)
    }
    if (!this.#ends()) return
    this.session.goAway(GO_AWAY.normal)
    this.#flush()
    this.#pipe.end()
    this.#stopTimer = this.#clock.setTimer(this.#init.limits.keepAliveTimeoutMs, () => {
      this.#pipe.destroy()
    })
  }

  /** Ends everything at once: streams are aborted, the other side gets a go away frame, the pipe below closes. */
  abort(error: Error): void {
    if (this.status === 'closed') return
    for (const stream of [...this.streams]) stream.abort(error)
    this.#fail(error)
  }

  override addEventListener<K extends keyof StreamMuxerEvents>(
    type: K,
    listener: EventHandler<StreamMuxerEvents[K]> | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener, options)
    if (this.#early.length === 0) return
    // Listeners are often added in constructors: they hear of streams once those are done.
    queueMicrotask(() => {
      const early = this.#early
      this.#early = []
      for (const stream of early) this.#announce(stream)
    })
  }

  // Streams

  #opens(): boolean {
    return this.status === 'open' && this.session.opens
  }

  #open(): MuxedPipe | undefined {
    return this.#opens() ? MuxedPipe.open(this.#owner) : undefined
  }

  readonly #owner = {
    muxer: this as Muxer,
    get session(): YamuxSession {
      return this.muxer.session
    },
    failure(why: StreamFailure): Error {
      return this.muxer.#failure(why)
    },
  }

  #opened(stream: YamuxStream): YamuxStreamHandler | undefined {
    if (this.status !== 'open') return undefined
    const { offers, limits } = this.#init
    if (offers === undefined) {
      const pipe = new MuxedPipe(this.#owner, stream)
      this.#announce(this.#present(pipe, stream.id, 'inbound', '', {}))
      return pipe
    }
    if (this.#unnegotiated >= limits.maxUnnegotiatedStreams) return undefined
    const pipe = new MuxedPipe(this.#owner, stream)
    this.#negotiate(pipe, offers).catch((error: unknown) => {
      this.#log('cannot take stream %d: %e', stream.id, error)
      this.session.strike()
    })
    return pipe
  }

  async #negotiate(pipe: MuxedPipe, offers: (protocol: string) => boolean): Promise<void> {
    const { limits, onPipe } = this.#init
    this.#unnegotiated += 1
    const controller = new AbortController()
    const stopTimer = this.#clock.setTimer(limits.negotiationTimeoutMs, () => {
      controller.abort(
        new P2pError('deadline_exceeded', 'Cannot agree on a protocol: it took too long', {
          layer: 'protocol',
        }),
      )
    })
    let protocol: string
    try {
      protocol = await handleProtocol(pipe, { offers, limits, signal: controller.signal })
    } finally {
      this.#unnegotiated -= 1
      stopTimer()
    }
    if (pipe.closed || onPipe?.(protocol, pipe) === true) return
    this.#announce(this.#present(pipe, pipe.id, 'inbound', protocol, {}))
  }

  #present(
    pipe: Pipe,
    id: number,
    direction: 'inbound' | 'outbound',
    protocol: string,
    options: CreateStreamOptions,
  ): Stream {
    const { inactivityTimeout, maxReadBufferLength, maxWriteBufferLength } = options
    const stream = new PipeStream(pipe, {
      id: `${id}`,
      log: this.#log.newScope(`${direction}:${id}`),
      direction,
      protocol,
      ...(inactivityTimeout === undefined ? {} : { inactivityTimeout }),
      ...(maxReadBufferLength === undefined ? {} : { maxReadBufferLength }),
      ...(maxWriteBufferLength === undefined ? {} : { maxWriteBufferLength }),
    })
    this.streams.push(stream)
    stream.addEventListener('close', () => {
      const at = this.streams.indexOf(stream)
      if (at !== -1) this.streams.splice(at, 1)
    })
    return stream
  }

  #announce(stream: Stream): void {
    if (this.listenerCount('stream') === 0) this.#early.push(stream)
    else this.safeDispatchEvent('stream', { detail: stream })
  }

  // Writing

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    while (!this.#blocked) {
      const chunks = this.session.take(BATCH_BYTES)
      if (chunks.length === 0) break
      for (const chunk of chunks) this.sentBytes += chunk.byteLength
      this.#blocked = !this.#pipe.write(chunks)
    }
    // While the pipe below is full nobody is told to write on.
    if (!this.#blocked) this.session.drained()
    if (this.#flushed !== undefined && this.session.flushed) this.#flushed.resolve(undefined)
  }

  #allSent(): Promise<undefined> {
    this.session.endAll()
    this.#flushed ??= Promise.withResolvers()
    this.#schedule()
    return this.#flushed.promise
  }

  // Watching

  #watch(): void {
    const { keepAliveIntervalMs, keepAliveTimeoutMs } = this.#init.limits
    const nowMs = this.#clock.nowMs()
    const silentMs = Math.max(0, nowMs - this.#lastHeardMs)
    let nextMs = keepAliveIntervalMs - silentMs
    if (this.#probedMs !== undefined) {
      nextMs = this.#probedMs + keepAliveTimeoutMs - nowMs
      if (nextMs <= 0) {
        const message = 'Cannot keep the connection: nothing was heard'
        const error = new P2pError('unavailable', message, { layer: 'protocol' })
        this.#fail(error)
        this.#pipe.destroy(error)
        return
      }
    } else if (nextMs <= 0) {
      this.session.ping()
      this.#probedMs = nowMs
      nextMs = keepAliveTimeoutMs
    }
    this.#stopTimer = this.#clock.setTimer(nextMs, () => {
      this.#watch()
    })
  }

  #startPing(): Pinging {
    const opaque = this.session.over ? undefined : this.session.ping()
    if (opaque === undefined) throw this.#failure('session')
    const answer = Promise.withResolvers<number>()
    const stopTimer = this.#clock.setTimer(this.#init.limits.keepAliveTimeoutMs, () => {
      answer.reject(
        new P2pError('deadline_exceeded', 'Cannot ping: no answer', { layer: 'protocol' }),
      )
    })
    const done = (): void => {
      stopTimer()
      if (this.#pinging?.opaque === opaque) this.#pinging = undefined
    }
    answer.promise.then(done, done)
    return { opaque, sentMs: this.#clock.nowMs(), answer }
  }

  #pong(opaque: number): void {
    if (this.#pinging?.opaque !== opaque) return
    this.#pinging.answer.resolve(Math.max(0, this.#clock.nowMs() - this.#pinging.sentMs))
  }

  // Ends

  /** True once. Nothing opens from now on; whoever waits is told. */
  #ends(error?: Error): boolean {
    if (this.status === 'closed') return false
    this.status = 'closed'
    this.#why ??= error
    this.#stopTimer()
    this.#flushed?.resolve(undefined)
    this.#pinging?.answer.reject(this.#failure('session'))
    this.#early = []
    return true
  }

  #fail(error: Error): void {
    if (!this.#ends(error)) return
    this.#log('ends: %e', error)
    this.session.abort(GO_AWAY.internalError)
    const chunks = this.session.take(Infinity)
    if (this.#pipe.closed) return
    if (!this.#blocked) this.#pipe.write(chunks)
    this.#pipe.pause()
    this.#pipe.end()
    this.#stopTimer = this.#clock.setTimer(HANG_UP_MS, () => {
      this.#pipe.destroy(error)
    })
  }

  #lost(cause?: Error): void {
    // What a relay's budget ended says why; anything else is the other side's business.
    const own = isP2pError(cause) && cause.layer === 'relay'
    const gone = 'Cannot keep the connection: the other side is gone'
    this.#ends(own ? cause : new P2pError('unavailable', gone, { layer: 'protocol', cause }))
    if (this.#pipe.closed) this.#stopTimer()
    this.session.lost()
    // What is left was complete before; its reader may finish it, but it is no stream of ours any more.
    this.streams = []
  }

  #failure(why: StreamFailure): Error {
    switch (why) {
      case 'reset':
        return new P2pError('unavailable', 'Cannot use the stream: the other side reset it', {
          layer: 'protocol',
          reason: 'reset',
        })
      case 'refused':
        return new P2pError('unavailable', 'Cannot use the stream: it broke the protocol', {
          layer: 'protocol',
        })
      case 'unread':
        return new P2pError(
          'resource_exhausted',
          'Cannot use the stream: too many bytes wait to be read',
          { layer: 'limit' },
        )
      case 'session':
        return (
          this.#why ??
          new P2pError('unavailable', 'Cannot use the stream: the connection is closed', {
            layer: 'protocol',
          })
        )
    }
  }
}

/** What a factory may be told; everything has a default. */
export interface YamuxFactoryInit extends Partial<Omit<MuxerInit, 'initiator' | 'limits' | 'log'>> {
  limits?: Partial<MuxerLimits>
}

/** A factory for upgraders: a muxer on the connection it is given, whose direction says who began it. */
export function yamux(init: YamuxFactoryInit = {}): StreamMuxerFactory<Muxer> {
  const { limits, clock = systemClock, ...rest } = init
  return {
    protocol: YAMUX_PROTOCOL,
    createStreamMuxer: (connection) =>
      new Muxer(pipeOf(connection), {
        ...rest,
        clock,
        limits: { ...DEFAULT_LIMITS, ...limits },
        initiator: connection.direction === 'outbound',
        log: connection.log,
      }),
  }
}
