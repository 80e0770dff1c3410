/**
 * Between pipes and libp2p's message streams, both ways. The only file that knows both.
 */
import { AbstractMultiaddrConnection, AbstractStream } from '@libp2p/utils'
import type {
  AbortOptions,
  EventHandler,
  MessageStream,
  MessageStreamEvents,
} from '@libp2p/interface'
import type { AbstractMultiaddrConnectionInit, AbstractStreamInit, SendResult } from '@libp2p/utils'

import { concat } from '@stronghold/core'

import { isP2pError } from '../errors.ts'

import type { LocalEnd, Pipe, PipeEvents } from './pipe.ts'

/** A list of chunks that knows its length, as libp2p passes them. */
type Chunks = Iterable<Uint8Array> & { byteLength: number }

/** A pipe as a libp2p connection that is neither secured nor muxed: what a transport hands to an upgrader. */
export class PipeConnection extends AbstractMultiaddrConnection {
  readonly #pipe: Pipe
  readonly #closed = Promise.withResolvers<undefined>()
  #gone: { error: Error | undefined } | undefined
  #taken = false
  #read = false

  constructor(pipe: Pipe, init: AbstractMultiaddrConnectionInit) {
    super(init)
    this.#pipe = pipe
    pipe.listen({
      data: (chunk) => {
        this.onData(chunk)
      },
      drain: () => this.safeDispatchEvent('drain'),
      end: () => {
        // A connection has no half-closed state: who reads the end ends too.
        this.onRemoteCloseWrite()
        pipe.end()
      },
      close: (error) => {
        this.#over(error)
      },
    })
  }

  /**
   * Hands out the pipe underneath, whole. This connection still tells of its end.
   *
   * @throws `TypeError` when it was taken, or somebody read the connection
   */
  takePipe(): Pipe {
    if (this.#taken) throw new TypeError('Cannot take the pipe: it was taken')
    if (this.#read) throw new TypeError('Cannot take the pipe: somebody reads its connection')
    this.#taken = true
    return new TakenPipe(
      this.#pipe,
      (error) => {
        this.#over(error)
      },
      () => this.#gone,
    )
  }

  override addEventListener<K extends keyof MessageStreamEvents>(
    type: K,
    listener: EventHandler<MessageStreamEvents[K]> | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener, options)
    // The class above adds listeners before this one has its fields.
    if (#pipe in this && type === 'message') this.#start()
  }

  sendData(data: Chunks): SendResult {
    return { sentBytes: data.byteLength, canSendMore: this.#pipe.write([...data]) }
  }

  sendReset(error: Error): void {
    this.#pipe.destroy(error)
  }

  async sendClose({ signal }: AbortOptions = {}): Promise<void> {
    this.#pipe.end()
    if (this.#pipe.closed) return
    // The other side's end is seen by whoever reads; nobody does when nobody took the pipe.
    if (!this.#taken) this.#start()
    const onAbort = (): void => {
      this.#pipe.destroy(signal?.reason instanceof Error ? signal.reason : undefined)
    }
    if (signal?.aborted === true) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    await this.#closed.promise
    signal?.removeEventListener('abort', onAbort)
    signal?.throwIfAborted()
  }

  sendPause(): void {
    if (!this.#taken) this.#pipe.pause()
  }

  sendResume(): void {
    if (this.#read) this.#pipe.resume()
  }

  #start(): void {
    if (this.#taken) return
    this.#read = true
    if (this.readStatus !== 'paused') this.#pipe.resume()
  }

  #over(error: Error | undefined): void {
    this.#gone = { error }
    this.#closed.resolve(undefined)
    this.onTransportClosed(error)
  }
}

/** A pipe as a libp2p stream: what a muxer hands out. */
export class PipeStream extends AbstractStream {
  readonly #pipe: Pipe
  #gone: { error: Error | undefined } | undefined
  #taken = false

  constructor(pipe: Pipe, init: AbstractStreamInit) {
    super(init)
    this.#pipe = pipe
    pipe.listen({
      data: (chunk) => {
        this.onData(chunk)
        if (!this.#wantsData()) pipe.pause()
      },
      drain: () => this.safeDispatchEvent('drain'),
      end: () => {
        this.onRemoteCloseWrite()
      },
      close: (error) => {
        this.#over(error)
      },
    })
    // Without a reader the first chunk stops the pipe again; until then an end is seen.
    pipe.resume()
  }

  /**
   * Hands out the pipe underneath, with what arrived and nobody read. This stream still tells of its end.
   *
   * @throws `TypeError` when it was taken
   */
  takePipe(): Pipe {
    if (this.#taken) throw new TypeError('Cannot take the pipe: it was taken')
    this.#taken = true
    this.#pipe.pause()
    const { byteLength } = this.readBuffer
    if (byteLength > 0) {
      this.#pipe.unshift(this.readBuffer.slice())
      this.readBuffer.consume(byteLength)
    }
    return new TakenPipe(
      this.#pipe,
      (error) => {
        this.#over(error)
      },
      () => this.#gone,
    )
  }

  override addEventListener<K extends keyof MessageStreamEvents>(
    type: K,
    listener: EventHandler<MessageStreamEvents[K]> | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener, options)
    // The class above adds listeners before this one has its fields.
    if (#pipe in this && type === 'message' && !this.#taken && this.readStatus !== 'paused') {
      this.#pipe.resume()
    }
  }

  sendData(data: Chunks): SendResult {
    return { sentBytes: data.byteLength, canSendMore: this.#pipe.write([...data]) }
  }

  sendReset(error: Error): void {
    this.#pipe.destroy(error)
  }

  async sendCloseWrite(): Promise<void> {
    this.#pipe.end()
  }

  async sendCloseRead(): Promise<void> {
    // Yamux cannot say it: what still comes is taken and dropped, so that the sender gets to its end.
    if (!this.#taken) this.#pipe.resume()
  }

  sendPause(): void {
    if (!this.#taken) this.#pipe.pause()
  }

  sendResume(): void {
    if (!this.#taken) this.#pipe.resume()
  }

  #wantsData(): boolean {
    if (this.readStatus === 'paused') return false
    return this.readStatus !== 'readable' || this.listenerCount('message') > 0
  }

  #over(error: Error | undefined): void {
    this.#gone = { error }
    if (this.status !== 'open' && this.status !== 'closing') return
    if (isP2pError(error) && error.reason === 'reset') this.onRemoteReset()
    else this.onTransportClosed(error)
  }
}

/** A pipe in new hands; the stream it came from still hears of its end. */
class TakenPipe implements Pipe {
  readonly #pipe: Pipe
  readonly #onClose: (error?: Error) => void
  readonly #gone: () => { error: Error | undefined } | undefined

  constructor(
    pipe: Pipe,
    onClose: (error?: Error) => void,
    gone: () => { error: Error | undefined } | undefined,
  ) {
    this.#pipe = pipe
    this.#onClose = onClose
    this.#gone = gone
  }

  get queuedBytes(): number {
    return this.#pipe.queuedBytes
  }

  get closed(): boolean {
    return this.#pipe.closed
  }

  get local(): LocalEnd | undefined {
    return this.#pipe.local
  }

  write(chunks: readonly Uint8Array[], released?: () => void): boolean {
    return this.#pipe.write(chunks, released)
  }

  end(): void {
    this.#pipe.end()
  }

  destroy(error?: Error): void {
    this.#pipe.destroy(error)
  }

  pause(): void {
    this.#pipe.pause()
  }

  resume(): void {
    this.#pipe.resume()
  }

  unshift(chunk: Uint8Array): void {
    this.#pipe.unshift(chunk)
  }

  takeSocket(): ReturnType<NonNullable<Pipe['takeSocket']>> {
    return this.#pipe.takeSocket?.(this.#onClose)
  }

  listen(events: PipeEvents): void {
    const gone = this.#gone()
    if (gone !== undefined) {
      // It closed while the stream was the only one to hear it.
      queueMicrotask(() => {
        events.close(gone.error)
      })
      return
    }
    this.#pipe.listen({
      borrows: events.borrows,
      data: (chunk) => {
        events.data(chunk)
      },
      drain: () => {
        events.drain()
      },
      end: () => {
        events.end()
      },
      close: (error) => {
        events.close(error)
        this.#onClose(error)
      },
    })
  }
}

/**
 * The pipe of a message stream: the one underneath where there is one, else the stream itself seen as a pipe.
 * Whoever takes it owns the stream's data from now on.
 */
export function pipeOf(stream: MessageStream): Pipe {
  return stream instanceof PipeConnection || stream instanceof PipeStream
    ? stream.takePipe()
    : new MessageStreamPipe(stream)
}

/** Somebody else's message stream. Its own buffers are used for nothing but what arrives between two turns. */
class MessageStreamPipe implements Pipe {
  readonly #stream: MessageStream
  #events: PipeEvents | undefined
  #held: Uint8Array[] = []
  #paused = true
  #ended = false
  #remoteEnded = false
  #endTold = false
  #closing: { error: Error | undefined } | undefined
  #scheduled = false

  constructor(stream: MessageStream) {
    this.#stream = stream
    this.#pauseStream()
    stream.addEventListener('message', ({ data }) => {
      if (data instanceof Uint8Array) this.#held.push(plain(data))
      else for (const chunk of data) this.#held.push(plain(chunk))
      this.#deliver()
    })
    stream.addEventListener('drain', () => this.#events?.drain())
    stream.addEventListener('remoteCloseWrite', () => {
      this.#remoteEnded = true
      this.#schedule()
    })
    stream.addEventListener('close', ({ error }) => {
      this.#closing = { error }
      if (error === undefined) this.#remoteEnded = true
      this.#schedule()
    })
    // What happened before somebody listened is not told again.
    this.#remoteEnded = 'remoteWriteStatus' in stream && stream.remoteWriteStatus === 'closed'
    if (this.closed) {
      this.#closing = { error: undefined }
      this.#remoteEnded = true
    }
  }

  get queuedBytes(): number {
    return this.#stream.writeBufferLength
  }

  get closed(): boolean {
    const { status } = this.#stream
    return status === 'closed' || status === 'aborted' || status === 'reset'
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.#ended || this.closed) return true
    const [first] = chunks
    if (first === undefined) return true
    try {
      return this.#stream.send(chunks.length === 1 ? first : concat(chunks))
    } catch (error) {
      this.#stream.abort(asError(error))
      return true
    }
  }

  end(): void {
    if (this.#ended || this.closed) return
    this.#ended = true
    this.#stream.close().catch((error: unknown) => {
      this.#stream.abort(asError(error))
    })
  }

  destroy(error?: Error): void {
    this.#held = []
    if (!this.closed) this.#stream.abort(error ?? new Error('the pipe was destroyed'))
  }

  pause(): void {
    this.#paused = true
    this.#pauseStream()
  }

  resume(): void {
    this.#paused = false
    this.#schedule()
  }

  unshift(chunk: Uint8Array): void {
    if (chunk.byteLength > 0) this.#held.unshift(chunk)
    this.#schedule()
  }

  listen(events: PipeEvents): void {
    this.#events = events
    this.#endTold = false
    this.#schedule()
  }

  #pauseStream(): void {
    try {
      this.#stream.pause()
    } catch {
      // A stream that reads no more cannot be paused, and need not be.
    }
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#deliver()
      if (this.#paused || this.#events === undefined || this.#held.length > 0) return
      try {
        this.#stream.resume()
      } catch {
        // As above: what it had was given.
      }
      this.#deliver()
    })
  }

  #deliver(): void {
    while (!this.#paused && this.#events !== undefined) {
      const chunk = this.#held.shift()
      if (chunk === undefined) break
      this.#events.data(chunk)
    }
    const failed = this.#closing?.error !== undefined
    // The stream may have ended while bytes still wait in it for `resume`.
    const unread = this.#held.length > 0 || this.#stream.readBufferLength > 0
    if (this.#remoteEnded && !this.#endTold && !this.#paused && !unread && !failed) {
      this.#endTold = this.#events !== undefined
      this.#events?.end()
    }
    const events = this.#events
    if (this.#closing === undefined || events === undefined) return
    if (!failed && !this.#endTold) return
    const { error } = this.#closing
    this.#events = undefined
    events.close(error)
  }
}

/** The same bytes as a `Uint8Array`: a Buffer's `slice` is no copy, and a Buffer is not what a caller was promised. */
function plain(chunk: Uint8Array): Uint8Array {
  if (Object.getPrototypeOf(chunk) === Uint8Array.prototype) return chunk
  return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
