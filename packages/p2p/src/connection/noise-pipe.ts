/**
 * The pipe after a Noise handshake: seals what is written, opens what arrives. Knows nothing of who is at the other
 * end.
 */
import { P2pError } from '../errors.ts'

import { LENGTH_BYTES, NoiseFrames } from './noise-frames.ts'
import { MAX_MESSAGE_BYTES, TAG_BYTES } from './noise-handshake.ts'
import type { NoiseCipher } from './noise-handshake.ts'
import type { Pipe, PipeEvents } from './pipe.ts'
import { Slabs } from './slabs.ts'

/** Most plaintext in one message. */
export const MAX_PLAINTEXT_BYTES: number = MAX_MESSAGE_BYTES - TAG_BYTES

// Ours. Chunks from this length on begin a message, and are not split between two where they fit in one.
const WHOLE_BYTES = 4096
// Ours: messages of several chunks stay below this. Most of them arrive in one piece then, and are opened where they are.
const JOINED_BYTES = 16_384

/** Chunks written in one turn of the microtask queue leave as few messages as they fit in, all in one write. */
export class NoisePipe implements Pipe {
  readonly #below: Pipe
  readonly #outbound: NoiseCipher
  readonly #inbound: NoiseCipher
  readonly #join: boolean
  readonly #frames = new NoiseFrames()
  #events: PipeEvents | undefined
  // Outbound
  #queue: Uint8Array[] = []
  #queueBytes = 0
  #flushing = false
  readonly #slabs: Slabs
  // Whether the pipe below says when it is done with what was written.
  #releases = false
  #full = false
  #ended = false
  // Inbound
  #unread: Uint8Array[] = []
  #midChunk = false
  #paused = true
  #delivering = false
  #scheduled = false
  #remote: 'open' | 'ended' | 'told' = 'open'
  // A clean close waits for what the reader has not taken yet; others do not.
  #closing: { error: Error | undefined; clean: boolean } | undefined
  #closed = false

  /**
   * Takes the pipe over and starts paused. `join` false: every write leaves at once, in a message of its own. `slabs` may
   * be shared with other pipes.
   */
  constructor(
    below: Pipe,
    outbound: NoiseCipher,
    inbound: NoiseCipher,
    { join = true, slabs = new Slabs() }: { join?: boolean; slabs?: Slabs } = {},
  ) {
    this.#below = below
    this.#join = join
    this.#slabs = slabs
    this.#outbound = outbound
    this.#inbound = inbound
    below.listen({
      borrows: true,
      data: (chunk) => {
        this.#arrive(chunk)
      },
      drain: () => {
        this.#drain()
      },
      end: () => {
        this.#remote = 'ended'
        this.#deliver()
      },
      close: (error) => {
        this.#belowClosed(error)
      },
    })
  }

  get queuedBytes(): number {
    return this.#queueBytes + this.#below.queuedBytes
  }

  get closed(): boolean {
    return this.#closed || this.#closing !== undefined
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.#ended || this.closed) return true
    for (const chunk of chunks) {
      if (chunk.byteLength === 0) continue
      this.#queue.push(chunk)
      this.#queueBytes += chunk.byteLength
    }
    if (!this.#join || this.#queueBytes >= MAX_PLAINTEXT_BYTES) this.#flush()
    else if (this.#queueBytes > 0 && !this.#flushing) {
      this.#flushing = true
      queueMicrotask(() => {
        this.#flushing = false
        this.#flush()
      })
    }
    return !this.#full
  }

  end(): void {
    if (this.#ended || this.closed) return
    this.#flush()
    this.#ended = true
    this.#below.end()
  }

  destroy(error?: Error): void {
    if (this.closed) return
    this.#drop()
    this.#closing = { error, clean: false }
    this.#below.destroy(error)
    this.#schedule()
  }

  pause(): void {
    this.#paused = true
    this.#below.pause()
  }

  resume(): void {
    if (!this.#paused || this.#closed) return
    this.#paused = false
    if (this.#waiting) this.#schedule()
    else this.#below.resume()
  }

  unshift(chunk: Uint8Array): void {
    if (chunk.byteLength > 0) this.#unread.unshift(chunk)
    if (!this.#paused) this.#schedule()
  }

  listen(events: PipeEvents): void {
    this.#events = events
    if (this.#closing !== undefined) this.#schedule()
  }

  /** Whether the reader has something to take before the end. */
  get #waiting(): boolean {
    return this.#unread.length > 0 || this.#midChunk || this.#remote === 'ended'
  }

  #flush(): void {
    if (this.#queueBytes === 0 || this.closed) return
    const messages = cut(this.#queue)
    let bytes = this.#queueBytes + messages.length * (LENGTH_BYTES + TAG_BYTES)
    this.#queue = []
    this.#queueBytes = 0
    const slab = this.#releases ? this.#slabs.take(bytes) : undefined
    const sealed = slab === undefined ? new Uint8Array(bytes) : slab.subarray(0, bytes)
    bytes = 0
    try {
      for (const { parts, length } of messages) {
        const end = bytes + LENGTH_BYTES + length + TAG_BYTES
        sealed[bytes] = (length + TAG_BYTES) >> 8
        sealed[bytes + 1] = (length + TAG_BYTES) & 0xff
        this.#outbound.seal(parts, sealed.subarray(bytes + LENGTH_BYTES, end))
        bytes = end
      }
    } catch (cause) {
      this.#break('resource_exhausted', 'Cannot write: the channel is used up', cause)
      return
    }
    if (!this.#below.write([sealed], this.#whenReleased(slab))) this.#full = true
  }

  #whenReleased(slab: Uint8Array | undefined): (() => void) | undefined {
    if (slab !== undefined) return () => this.#slabs.give(slab)
    if (this.#releases) return undefined
    return () => {
      this.#releases = true
    }
  }

  #drain(): void {
    if (!this.#full || this.#closed) return
    this.#full = false
    this.#events?.drain()
  }

  #arrive(chunk: Uint8Array): void {
    if (this.closed) return
    this.#frames.push(chunk)
    this.#midChunk = true
    this.#deliver()
    if (this.#midChunk) this.#frames.keep()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  /** Everything that may be told now, in order: unread bytes, messages, the end, the close. */
  #deliver(): void {
    if (this.#delivering || this.#closed || this.#events === undefined) return
    this.#delivering = true
    try {
      this.#deliverData()
    } finally {
      this.#delivering = false
    }
    if (this.#closing?.clean !== false) this.#deliverEnd()
    this.#deliverClose()
  }

  #deliverData(): void {
    while (!this.#paused && this.#closing?.clean !== false) {
      const unread = this.#unread.shift()
      if (unread !== undefined) {
        this.#events?.data(unread)
        continue
      }
      if (!this.#midChunk) {
        if (this.#remote === 'open') this.#below.resume()
        return
      }
      const frame = this.#frames.next()
      if (frame === undefined) {
        this.#midChunk = false
        continue
      }
      const opened = this.#open(frame)
      const events = this.#events
      if (opened === undefined || opened.byteLength === 0 || events === undefined) continue
      // Opened where it arrived, in memory that is only borrowed.
      events.data(events.borrows === true ? opened : opened.slice())
    }
  }

  #open(frame: Uint8Array): Uint8Array | undefined {
    try {
      return this.#inbound.open(frame)
    } catch (cause) {
      this.#break('data_loss', 'Cannot read: a message is not authentic', cause)
      return undefined
    }
  }

  #deliverEnd(): void {
    if (this.#remote !== 'ended' || this.#paused || this.#midChunk || this.#unread.length > 0)
      return
    if (this.#frames.cut) {
      this.#break('data_loss', 'Cannot read: the connection ended inside a message')
      return
    }
    this.#remote = 'told'
    this.#events?.end()
  }

  #deliverClose(): void {
    const closing = this.#closing
    const events = this.#events
    if (closing === undefined || events === undefined || this.#closed) return
    if (closing.clean && this.#waiting) return
    this.#closed = true
    this.#drop()
    this.#events = undefined
    this.#outbound.wipe()
    this.#inbound.wipe()
    events.close(closing.error)
  }

  #belowClosed(error: Error | undefined): void {
    this.#closing ??= { error, clean: error === undefined }
    if (!this.#closing.clean) this.#drop()
    this.#deliver()
  }

  #break(code: 'data_loss' | 'resource_exhausted', message: string, cause?: unknown): void {
    this.destroy(new P2pError(code, message, { layer: 'security', ran: 'maybe', cause }))
  }

  #drop(): void {
    this.#queue = []
    this.#queueBytes = 0
    this.#unread = []
    this.#midChunk = false
  }
}

interface Message {
  readonly parts: Uint8Array[]
  length: number
}

/** Cuts what is queued into messages. */
function cut(queue: readonly Uint8Array[]): Message[] {
  let last: Message = { parts: [], length: 0 }
  const messages = [last]
  for (const chunk of queue) {
    let at = 0
    while (at < chunk.byteLength) {
      const left = chunk.byteLength - at
      const most = last.parts.length === 0 ? MAX_PLAINTEXT_BYTES : JOINED_BYTES - last.length
      if (left > most && last.parts.length > 0 && (left >= WHOLE_BYTES || most <= 0)) {
        last = { parts: [], length: 0 }
        messages.push(last)
        continue
      }
      const taken = Math.min(left, most)
      last.parts.push(taken === chunk.byteLength ? chunk : chunk.subarray(at, at + taken))
      last.length += taken
      at += taken
    }
  }
  return messages
}
