/**
 * What a pipe over a socket tells its listener, in order: held while paused, given back by `unshift`, the end
 * after the last byte, the close last. It knows nothing of sockets.
 */
import type { PipeEvents } from '../connection/pipe.ts'

/** What delivers into an inbox, as far as the inbox controls it. */
export interface InboxSource {
  /** Bytes that come in spite of it are held. */
  pause(): void
  /** More bytes, on a later turn. */
  resume(): void
}

/** Starts paused and without a listener, as a pipe does. */
export class Inbox {
  readonly #source: InboxSource
  #events: PipeEvents | undefined
  #held: Uint8Array[] = []
  #heldBytes = 0
  #paused = true
  #scheduled = false
  #end: 'no' | 'came' | 'told' = 'no'
  #close: { error: Error | undefined } | undefined
  #closed = false

  constructor(source: InboxSource) {
    this.#source = source
  }

  /** Bytes that came and are not delivered. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Whether the close was told, or would have been told to a listener. */
  get closed(): boolean {
    return this.#closed
  }

  /** Bytes came. True: whoever got them borrowed them, and nobody has them any more. */
  data(chunk: Uint8Array): boolean {
    if (this.#closed || chunk.byteLength === 0) return false
    const events = this.#events
    if (this.#paused || events === undefined || this.#heldBytes > 0) {
      this.#held.push(chunk)
      this.#heldBytes += chunk.byteLength
      this.#schedule()
      return false
    }
    events.data(chunk)
    return events.borrows === true
  }

  /** There is room to write again. */
  drain(): void {
    if (!this.#closed) this.#events?.drain()
  }

  /** The other side ended. */
  end(): void {
    if (this.#end === 'no') this.#end = 'came'
    this.#schedule()
  }

  /** Over: with an error at once and without what is held, else after the last byte and the end. */
  close(error?: Error): void {
    this.#close = { error }
    if (error !== undefined) this.drop()
    this.#schedule()
  }

  /** Nothing more is delivered but the close. */
  drop(): void {
    this.#closed = true
    this.#held = []
    this.#heldBytes = 0
  }

  /** Takes out what is held and forgets the listener. */
  take(): Uint8Array[] {
    const held = this.#held
    this.#events = undefined
    this.drop()
    return held
  }

  /** As `Pipe.pause`. */
  pause(): void {
    this.#paused = true
    this.#source.pause()
  }

  /** As `Pipe.resume`. */
  resume(): void {
    this.#paused = false
    if (this.#heldBytes > 0 || this.#end === 'came' || this.#close !== undefined) this.#schedule()
    else if (!this.#closed) this.#source.resume()
  }

  /** As `Pipe.unshift`. */
  unshift(chunk: Uint8Array): void {
    if (this.#closed || chunk.byteLength === 0) return
    this.#held.unshift(chunk)
    this.#heldBytes += chunk.byteLength
    if (!this.#paused) this.#schedule()
  }

  /** As `Pipe.listen`. */
  listen(events: PipeEvents): void {
    this.#events = events
    if (this.#close !== undefined || this.#heldBytes > 0 || this.#end === 'came') this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    while (!this.#paused && !this.#closed && this.#events !== undefined) {
      const chunk = this.#held.shift()
      if (chunk === undefined) break
      this.#heldBytes -= chunk.byteLength
      this.#events.data(chunk)
    }
    if (this.#events === undefined) return
    if (!this.#closed) {
      if (this.#paused || this.#heldBytes > 0) return
      if (this.#end === 'came') {
        this.#end = 'told'
        this.#events.end()
      }
      if (this.#close === undefined) {
        // What `end` did may have paused or closed it.
        if (!this.#paused && !this.#closed) this.#source.resume()
        return
      }
      this.#closed = true
    }
    if (this.#close === undefined) return
    const events = this.#events
    this.#events = undefined
    events.close(this.#close.error)
  }
}
