/**
 * A pipe over a TCP socket of Node.js. It knows nothing of addresses, upgrades and libp2p.
 */
import type { Socket } from 'node:net'

import { concat } from '@stronghold/core'

import type { LocalEnd, Pipe, PipeEvents } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import { MIN_FREED_BYTES } from '../limits.ts'
import type { P2pLimits } from '../limits.ts'

import { Inbox } from './inbox.ts'

/** Below this, joining chunks is quicker than handing the system a list of them (measured on Node.js 24). */
const JOIN_BELOW_BYTES = 16 * 1024

/** A socket taken out of its pipe. */
export interface TakenSocket {
  socket: Socket
  /** Bytes that came and were not delivered: they go before what the socket still brings. */
  head: Uint8Array
}

/** Bytes on a connected socket: chunks of one write leave in one system call, a destroyed one is reset. */
export class SocketPipe implements Pipe {
  readonly #socket: Socket
  readonly #inbox: Inbox
  readonly #limits: Pick<P2pLimits, 'maxSocketQueueBytes' | 'closeTimeoutMs'>
  readonly #off: () => void
  #full = false
  // To be told once nothing waits in the socket.
  #released: (() => void)[] = []
  #ended = false
  #failure: Error | undefined
  #reason: { error: Error | undefined } | undefined

  /** Takes a connected socket that was made with `allowHalfOpen` and that nobody has read from. Turns Nagle off. */
  constructor(socket: Socket, limits: Pick<P2pLimits, 'maxSocketQueueBytes' | 'closeTimeoutMs'>) {
    this.#socket = socket
    this.#limits = limits
    this.#inbox = new Inbox(socket)
    socket.setNoDelay(true)
    socket.pause()
    const onData = (chunk: Buffer): void => {
      // A plain array: on a Buffer `slice` gives a view where everybody expects a copy.
      const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      if (this.#inbox.data(bytes)) free(bytes)
    }
    const onEnd = (): void => {
      this.#inbox.end()
    }
    const onDrain = (): void => {
      this.#release()
      if (!this.#full) return
      this.#full = false
      this.#inbox.drain()
    }
    const onTimeout = (): void => {
      this.destroy(new Error('the other side left the connection open'))
    }
    const onClose = (): void => {
      if (this.#reason !== undefined) this.#inbox.close(this.#reason.error)
      else if (this.#failure !== undefined) this.#inbox.close(this.#failure)
      else if (socket.readableEnded) this.#inbox.close()
      else this.#inbox.close(new Error('the connection was cut'))
    }
    // Never taken off: a socket without it would end the process.
    socket.on('error', (error) => {
      this.#failure ??= error
    })
    socket.on('data', onData)
    socket.on('end', onEnd)
    socket.on('drain', onDrain)
    socket.on('timeout', onTimeout)
    socket.on('close', onClose)
    this.#off = () => {
      socket.off('data', onData)
      socket.off('end', onEnd)
      socket.off('drain', onDrain)
      socket.off('timeout', onTimeout)
      socket.off('close', onClose)
    }
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  get closed(): boolean {
    return this.#inbox.closed
  }

  get local(): LocalEnd | undefined {
    const { localAddress: host, localPort: port } = this.#socket
    return host === undefined || port === undefined ? undefined : { host, port }
  }

  write(chunks: readonly Uint8Array[], released?: () => void): boolean {
    if (this.#ended || this.closed) return true
    const socket = this.#socket
    if (socket.writableLength > this.#limits.maxSocketQueueBytes) {
      const message = 'Cannot write to the connection: too many bytes wait already'
      this.destroy(new P2pError('resource_exhausted', message, { layer: 'limit' }))
      return true
    }
    const [first] = chunks
    if (chunks.length === 1 && first !== undefined) {
      if (first.byteLength > 0) socket.write(first)
    } else if (chunks.length > 1) {
      writeAll(socket, chunks)
    }
    // Asked after the write: what the system took at once does not count.
    this.#full = socket.writableLength >= socket.writableHighWaterMark
    if (released !== undefined) this.#released.push(released)
    this.#release()
    return !this.#full
  }

  /** What is in the socket's queue may still be read from; a broken one is never trusted to be done. */
  #release(): void {
    if (this.#released.length === 0 || this.#socket.writableLength > 0) return
    if (this.#socket.destroyed) return
    const released = this.#released
    this.#released = []
    for (const tell of released) tell()
  }

  end(): void {
    if (this.#ended || this.closed) return
    this.#ended = true
    this.#socket.end()
    // A peer that neither sends nor ends would hold the socket for ever.
    this.#socket.setTimeout(this.#limits.closeTimeoutMs)
  }

  destroy(error?: Error): void {
    if (this.closed) return
    this.#reason = { error }
    this.#inbox.drop()
    // A reset cannot be mixed with an end that is under way.
    if (this.#socket.writableEnded) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
    // The socket may be gone while bytes from it are still unread.
    if (this.#socket.closed) this.#inbox.close(error)
  }

  pause(): void {
    if (!this.closed) this.#inbox.pause()
  }

  resume(): void {
    this.#inbox.resume()
  }

  unshift(chunk: Uint8Array): void {
    this.#inbox.unshift(chunk)
  }

  listen(events: PipeEvents): void {
    this.#inbox.listen(events)
  }

  /**
   * Hands over the socket itself, paused, with the bytes not yet delivered; this pipe is dead from then on, and only
   * `closed` hears when the socket is. Undefined when the pipe ended, broke, or still has bytes to send.
   */
  takeSocket(closed?: (error?: Error) => void): TakenSocket | undefined {
    const socket = this.#socket
    if (this.closed || this.#ended || socket.destroyed || socket.writableLength > 0)
      return undefined
    if (socket.readableEnded) return undefined
    this.#off()
    socket.once('close', () => closed?.(this.#failure))
    socket.pause()
    const held = this.#inbox.take()
    for (let rest = read(socket); rest !== null; rest = read(socket)) held.push(rest)
    return { socket, head: concat(held) }
  }
}

/** Gives memory back at once: what waits for the collector makes it run, and that costs more than reading. */
function free({ buffer, byteLength }: Uint8Array): void {
  if (byteLength < MIN_FREED_BYTES || byteLength !== buffer.byteLength) return
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}

function read(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null
}

function writeAll(socket: Socket, chunks: readonly Uint8Array[]): void {
  let length = 0
  for (const chunk of chunks) length += chunk.byteLength
  if (length === 0) return
  if (length <= JOIN_BELOW_BYTES) {
    const joined = Buffer.allocUnsafe(length)
    let at = 0
    for (const chunk of chunks) {
      joined.set(chunk, at)
      at += chunk.byteLength
    }
    socket.write(joined)
    return
  }
  socket.cork()
  for (const chunk of chunks) if (chunk.byteLength > 0) socket.write(chunk)
  socket.uncork()
}
