/**
 * One stream of a Yamux session as a pipe. Holds what arrives while its reader is paused, compactly, and gives it
 * back to the session's window only as the reader takes it. Knows nothing of protocols or libp2p.
 */
import type { Pipe, PipeEvents } from './pipe.ts'
import type { StreamFailure, YamuxStream, YamuxStreamHandler } from './yamux-stream.ts'
import type { YamuxSession } from './yamux.ts'

/** Payloads below this length are copied together while held: a view of one byte may keep 64 KiB alive. */
const BLOCK_BYTES = 4096

/** What a muxed pipe needs of its muxer. */
export interface MuxedPipeOwner {
  readonly session: YamuxSession
  /** The error to close with. */
  failure(why: StreamFailure): Error
}

/** A stream that a session made, or is about to make. */
export class MuxedPipe implements Pipe, YamuxStreamHandler {
  readonly #owner: MuxedPipeOwner
  #stream: YamuxStream | undefined
  #events: PipeEvents | undefined
  #paused = true
  #closed = false
  #remoteEnded = false
  #endTold = false
  #closing: { error: Error | undefined } | undefined
  #scheduled = false

  #given: Uint8Array[] = [] // unread bytes that the reader gave back; consumed already
  #held: Uint8Array[] = []
  #heldHead = 0
  #block: Uint8Array | undefined // the last held bytes, between #blockFrom and #blockAt
  #blockFrom = 0
  #blockAt = 0

  constructor(owner: MuxedPipeOwner, stream?: YamuxStream) {
    this.#owner = owner
    this.#stream = stream
  }

  /** Opens a stream of our own; undefined when the session opens none. */
  static open(owner: MuxedPipeOwner): MuxedPipe | undefined {
    const pipe = new MuxedPipe(owner)
    pipe.#stream = owner.session.open(pipe)
    return pipe.#stream === undefined ? undefined : pipe
  }

  /** The stream's number, unique in its connection. */
  get id(): number {
    return this.#stream?.id ?? 0
  }

  get queuedBytes(): number {
    return this.#stream?.queuedBytes ?? 0
  }

  get closed(): boolean {
    return this.#closed
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.#stream === undefined || this.#closed) return true
    return this.#owner.session.write(this.#stream, chunks)
  }

  end(): void {
    if (this.#stream !== undefined && !this.#closed) this.#owner.session.end(this.#stream)
  }

  destroy(error?: Error): void {
    if (this.#closed) return
    if (this.#stream !== undefined) this.#owner.session.reset(this.#stream)
    this.#close(error)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#schedule()
  }

  unshift(chunk: Uint8Array): void {
    if (this.#closing !== undefined || chunk.byteLength === 0) return
    this.#given.unshift(chunk)
    this.#schedule()
  }

  listen(events: PipeEvents): void {
    this.#events = events
    this.#endTold = false
    this.#schedule()
  }

  // What the session tells

  get holding(): boolean {
    return this.#paused || this.#heldAny() || this.#given.length > 0 || this.#events === undefined
  }

  data(chunk: Uint8Array): void {
    const events = this.#events
    if (this.holding || events === undefined) this.#hold(chunk)
    else events.data(events.borrows === true ? chunk : chunk.slice())
  }

  drain(): void {
    this.#events?.drain()
  }

  /** Says that the other side half-closed. `end` of a pipe is ours, so the two share one name and no meaning. */
  remoteEnd(): void {
    this.#remoteEnded = true
    if (!this.#scheduled) this.#deliver()
  }

  finished(): void {
    this.#closed = true
    this.#closing = { error: undefined }
    this.#schedule()
  }

  failed(why: StreamFailure): void {
    if (!this.#closed) this.#close(this.#owner.failure(why))
  }

  #close(error: Error | undefined): void {
    this.#closed = true
    this.#closing = { error }
    this.#remoteEnded = false
    this.#given = []
    this.#held = []
    this.#heldHead = 0
    this.#block = undefined
    this.#blockAt = 0
    this.#blockFrom = 0
    this.#schedule(true)
  }

  #heldAny(): boolean {
    return this.#heldHead < this.#held.length || this.#blockAt > this.#blockFrom
  }

  #hold(chunk: Uint8Array): void {
    if (chunk.byteLength >= BLOCK_BYTES) {
      this.#seal()
      this.#held.push(chunk.slice())
      return
    }
    let from = 0
    while (from < chunk.byteLength) {
      if (this.#block === undefined || this.#blockAt === BLOCK_BYTES) {
        this.#seal()
        this.#block = new Uint8Array(BLOCK_BYTES)
        this.#blockFrom = 0
        this.#blockAt = 0
      }
      const length = Math.min(chunk.byteLength - from, BLOCK_BYTES - this.#blockAt)
      this.#block.set(chunk.subarray(from, from + length), this.#blockAt)
      this.#blockAt += length
      from += length
    }
  }

  #seal(): void {
    if (this.#block === undefined || this.#blockAt === this.#blockFrom) return
    this.#held.push(this.#block.subarray(this.#blockFrom, this.#blockAt))
    this.#blockFrom = this.#blockAt
  }

  #nextHeld(): Uint8Array | undefined {
    if (this.#heldHead === this.#held.length) this.#seal()
    if (this.#heldHead === this.#held.length) return undefined
    const chunk = this.#held[this.#heldHead]
    this.#heldHead += 1
    if (this.#heldHead === this.#held.length) {
      this.#held = []
      this.#heldHead = 0
      if (this.#blockAt === this.#blockFrom) this.#block = undefined
    }
    return chunk
  }

  /** Delivers on a later microtask, so that `resume`, `listen` and `destroy` return before anything is told. */
  #schedule(always = false): void {
    if (this.#scheduled) return
    const something =
      this.#heldAny() || this.#given.length > 0 || this.#remoteEnded || this.#closing !== undefined
    if (!always && !something) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  #deliver(): void {
    while (!this.#paused && this.#events !== undefined) {
      const given = this.#given.shift()
      if (given !== undefined) {
        this.#events.data(given)
        continue
      }
      const chunk = this.#nextHeld()
      if (chunk === undefined) break
      this.#events.data(chunk)
      if (this.#stream !== undefined) this.#owner.session.consume(this.#stream, chunk.byteLength)
    }
    if (this.#remoteEnded && !this.#endTold && !this.holding) {
      this.#endTold = true
      this.#events?.end()
    }
    const events = this.#events
    if (this.#closing === undefined || events === undefined) return
    // A clean end is read to its end first; a failure does not wait for the reader.
    if (this.#remoteEnded && !this.#endTold) return
    const { error } = this.#closing
    this.#events = undefined
    events.close(error)
  }
}
