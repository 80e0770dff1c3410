/**
 * Between pipes and libp2p's message streams, both ways. The only file that knows both.
 */
import { AbstractMultiaddrConnection, AbstractStream } from '@libp2p/utils'
import type { MessageStream } from '@libp2p/interface'
import type { AbstractMultiaddrConnectionInit, AbstractStreamInit, SendResult } from '@libp2p/utils'

import type { Pipe, PipeEvents } from './pipe.ts'

type Chunks = Iterable<Uint8Array>

/** A pipe as a libp2p connection that is neither secured nor muxed: what a transport hands to an upgrader. */
export class PipeConnection extends AbstractMultiaddrConnection {
  readonly #side: Side
  readonly #closed = Promise.withResolvers<undefined>()

  constructor(pipe: Pipe, init: AbstractMultiaddrConnectionInit) {
    super(init)
    this.#side = new Side(pipe, {
      data: (chunk) => {
        this.onData(chunk)
      },
      drain: () => this.safeDispatchEvent('drain'),
      end: () => {
        this.onRemoteCloseWrite()
        pipe.end()
      },
      close: (error) => {
        this.#closed.resolve(undefined)
        this.onTransportClosed(error)
      },
    })
  }

  /** Hands out the pipe underneath, whole: nobody may have read this stream. */
  takePipe(): Pipe {
    return this.#side.take()
  }

  override addEventListener(...args: Parameters<AbstractMultiaddrConnection['addEventListener']>): void {
    super.addEventListener(...args)
    if (args[0] === 'message') this.#side.attach()
  }

  sendData(data: Chunks & { byteLength: number }): SendResult {
    return this.#side.send(data)
  }

  sendReset(error: Error): void {
    this.#side.pipe.destroy(error)
  }

  async sendClose(): Promise<void> {
    this.#side.attach()
    this.#side.pipe.end()
    if (!this.#side.pipe.closed) await this.#closed.promise
  }

  sendPause(): void {
    this.#side.pipe.pause()
  }

  sendResume(): void {
    this.#side.resume()
  }
}

/** A pipe as a libp2p stream: what a muxer hands out. */
export class PipeStream extends AbstractStream {
  readonly #side: Side

  constructor(pipe: Pipe, init: AbstractStreamInit) {
    super(init)
    this.#side = new Side(pipe, {
      data: (chunk) => {
        this.onData(chunk)
      },
      drain: () => this.safeDispatchEvent('drain'),
      end: () => {
        this.onRemoteCloseWrite()
      },
      close: (error) => {
        if (error === undefined) this.onTransportClosed()
        else this.onRemoteReset()
      },
    })
  }

  /** Hands out the pipe underneath, whole: nobody may have read this stream. */
  takePipe(): Pipe {
    return this.#side.take()
  }

  override addEventListener(...args: Parameters<AbstractStream['addEventListener']>): void {
    super.addEventListener(...args)
    if (args[0] === 'message' || args[0] === 'remoteCloseWrite') this.#side.attach()
  }

  sendData(data: Chunks & { byteLength: number }): SendResult {
    return this.#side.send(data)
  }

  sendReset(error: Error): void {
    this.#side.pipe.destroy(error)
  }

  async sendCloseWrite(): Promise<void> {
    this.#side.attach()
    this.#side.pipe.end()
  }

  async sendCloseRead(): Promise<void> {
    // Yamux has no way to say it; what still comes is dropped by the reader.
  }

  sendPause(): void {
    this.#side.pipe.pause()
  }

  sendResume(): void {
    this.#side.resume()
  }
}

/** The pipe's half of both classes: taken out whole, or listened to from the first reader on. */
class Side {
  readonly pipe: Pipe
  readonly #events: PipeEvents
  #attached = false
  #taken = false

  constructor(pipe: Pipe, events: PipeEvents) {
    this.pipe = pipe
    this.#events = events
  }

  take(): Pipe {
    if (this.#attached) throw new TypeError('Cannot take the pipe: somebody reads its stream')
    this.#taken = true
    return this.pipe
  }

  attach(): void {
    if (this.#attached || this.#taken) return
    this.#attached = true
    this.pipe.listen(this.#events)
    this.pipe.resume()
  }

  resume(): void {
    this.#attached ? this.pipe.resume() : this.attach()
  }

  send(data: Chunks & { byteLength: number }): SendResult {
    this.attach()
    return { sentBytes: data.byteLength, canSendMore: this.pipe.write([...data]) }
  }
}

/**
 * The pipe of a message stream: the one underneath where there is one, else the stream itself seen as a pipe.
 * Whoever takes it owns the stream's data from now on.
 */
export function pipeOf(stream: MessageStream): Pipe {
  return stream instanceof PipeConnection || stream instanceof PipeStream ? stream.takePipe() : new MessageStreamPipe(stream)
}

class MessageStreamPipe implements Pipe {
  readonly #stream: MessageStream
  #events: PipeEvents | undefined
  #held: Uint8Array[] = []
  #paused = true
  #ended = false
  #remoteEnded = false
  #endTold = false

  constructor(stream: MessageStream) {
    this.#stream = stream
    stream.pause()
    stream.addEventListener('message', (event) => {
      const { data } = event
      if (data instanceof Uint8Array) this.#held.push(data)
      else this.#held.push(...data)
      this.#flush()
    })
    stream.addEventListener('drain', () => this.#events?.drain())
    stream.addEventListener('remoteCloseWrite', () => {
      this.#remoteEnded = true
      this.#flush()
    })
    stream.addEventListener('close', (event) => {
      if (event.error === undefined) {
        this.#remoteEnded = true
        this.#flush()
      }
      const events = this.#events
      this.#events = undefined
      events?.close(event.error)
    })
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
    let room = true
    try {
      for (const chunk of chunks) room = this.#stream.send(chunk)
    } catch (error) {
      this.#stream.abort(error instanceof Error ? error : new Error(String(error)))
    }
    return room
  }

  end(): void {
    if (this.#ended || this.closed) return
    this.#ended = true
    this.#stream.close().catch((error: unknown) => {
      this.#stream.abort(error instanceof Error ? error : new Error(String(error)))
    })
  }

  destroy(error?: Error): void {
    if (!this.closed) this.#stream.abort(error ?? new Error('the pipe was destroyed'))
  }

  pause(): void {
    this.#paused = true
    if (!this.closed && !this.#stream.readableEnded && !this.#remoteEnded) this.#stream.pause()
  }

  resume(): void {
    this.#paused = false
    this.#flush()
    if (!this.#paused && !this.closed && !this.#remoteEnded) this.#stream.resume()
  }

  unshift(chunk: Uint8Array): void {
    this.#held.unshift(chunk)
  }

  listen(events: PipeEvents): void {
    this.#events = events
  }

  #flush(): void {
    while (!this.#paused && this.#events !== undefined && this.#held.length > 0) {
      const chunk = this.#held.shift()
      if (chunk !== undefined) this.#events.data(chunk)
    }
    if (this.#remoteEnded && !this.#endTold && this.#held.length === 0 && !this.#paused) {
      this.#endTold = true
      this.#events?.end()
    }
  }
}
