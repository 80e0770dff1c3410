/**
 * A pipe over a WebSocket of whatever kind: writes of one turn leave as one binary frame. It knows neither `ws` nor
 * the browser. A WebSocket has no half-close: after `end` the other side may finish what it sends, no more.
 */
import { concat } from '@stronghold/core'

import type { Pipe, PipeEvents } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import type { P2pLimits } from '../limits.ts'

import { Inbox } from './inbox.ts'

/** Bytes unsent from which `write` says false; as a socket of Node.js has it. */
export const HIGH_WATER_BYTES: number = 64 * 1024
/** Longest frame sent, so that every receiver takes it and nobody waits for its end. */
const MAX_SENT_FRAME_BYTES = 64 * 1024

const CLEAN: ReadonlySet<number> = new Set([1000, 1001, 1005])

/** Whether a close code says that all is well: done, going away, or no code at all (RFC 6455 §7.4.1). */
export function isCleanClose(code: number): boolean {
  return CLEAN.has(code)
}

/** A WebSocket as the pipe needs it. */
export interface Frames {
  /** Sends one binary frame; `FrameEvents.sent` follows when the socket has taken it. */
  send(frame: Uint8Array): void
  /** Bytes sent and not yet taken by the socket. */
  readonly bufferedBytes: number
  /** The closing handshake, with code 1000, after what was sent. */
  close(): void
  /** Cuts the connection. */
  terminate(): void
  /** Slows the sender down, where that can be done. */
  pause(): void
  resume(): void
}

/** What the WebSocket tells the pipe. */
export interface FrameEvents {
  data(chunk: Uint8Array): void
  sent(): void
  /** Over; without an error after a closing handshake. */
  closed(error?: Error): void
}

/** Which bounds hold for one WebSocket. */
export type WebSocketPipeLimits = Pick<
  P2pLimits,
  'maxSocketQueueBytes' | 'maxConnectionReceiveBytes'
>

/** Bytes on a WebSocket that is open. */
export class WebSocketPipe implements Pipe {
  readonly #frames: Frames
  readonly #inbox: Inbox
  readonly #limits: WebSocketPipeLimits
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  #scheduled = false
  #full = false
  #ended = false
  #over = false
  #reason: { error: Error | undefined } | undefined

  constructor(open: (events: FrameEvents) => Frames, limits: WebSocketPipeLimits) {
    this.#limits = limits
    this.#frames = open({
      data: (chunk) => {
        this.#arrived(chunk)
      },
      sent: () => {
        this.#sent()
      },
      closed: (error) => {
        this.#closed(error)
      },
    })
    this.#inbox = new Inbox(this.#frames)
    this.#frames.pause()
  }

  get queuedBytes(): number {
    return this.#pendingBytes + this.#frames.bufferedBytes
  }

  get closed(): boolean {
    return this.#inbox.closed
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.#ended || this.#over || this.closed) return true
    if (this.queuedBytes > this.#limits.maxSocketQueueBytes) {
      const message = 'Cannot write to the connection: too many bytes wait already'
      this.destroy(new P2pError('resource_exhausted', message, { layer: 'limit' }))
      return true
    }
    for (const chunk of chunks) {
      if (chunk.byteLength === 0) continue
      this.#pending.push(chunk)
      this.#pendingBytes += chunk.byteLength
    }
    if (this.#pendingBytes >= MAX_SENT_FRAME_BYTES) this.#flush()
    else this.#schedule()
    this.#full = this.queuedBytes >= HIGH_WATER_BYTES
    return !this.#full
  }

  end(): void {
    if (this.#ended || this.#over || this.closed) return
    this.#flush()
    this.#ended = true
    this.#frames.close()
  }

  destroy(error?: Error): void {
    if (this.closed) return
    this.#reason = { error }
    this.#pending = []
    this.#pendingBytes = 0
    this.#inbox.drop()
    if (this.#over) this.#inbox.close(error)
    else this.#frames.terminate()
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

  #schedule(): void {
    if (this.#scheduled || this.#pendingBytes === 0) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.#pendingBytes === 0 || this.#over || this.closed) return
    const [first] = this.#pending
    const all = this.#pending.length === 1 && first !== undefined ? first : concat(this.#pending)
    this.#pending = []
    this.#pendingBytes = 0
    for (let at = 0; at < all.byteLength; at += MAX_SENT_FRAME_BYTES) {
      this.#frames.send(all.subarray(at, at + MAX_SENT_FRAME_BYTES))
    }
  }

  #arrived(chunk: Uint8Array): void {
    if (this.closed) return
    this.#inbox.data(chunk)
    // Where the sender cannot be slowed down, this is what stops it.
    if (this.#inbox.heldBytes > this.#limits.maxConnectionReceiveBytes) {
      const message = 'Cannot read the connection: too many bytes wait already'
      this.destroy(new P2pError('resource_exhausted', message, { layer: 'limit' }))
    }
  }

  #sent(): void {
    if (!this.#full || this.queuedBytes >= HIGH_WATER_BYTES) return
    this.#full = false
    this.#inbox.drain()
  }

  #closed(error?: Error): void {
    if (this.#over) return
    this.#over = true
    if (this.#reason !== undefined) {
      this.#inbox.close(this.#reason.error)
      return
    }
    if (error === undefined) this.#inbox.end()
    this.#inbox.close(error)
  }
}
