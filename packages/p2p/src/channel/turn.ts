/**
 * Who writes next on one channel. Frames queued in one turn leave in one write; small messages go first, long ones and
 * streams take turns of one frame each. Knows nothing of pipes.
 */
import {
  FIXED_PRELUDE_BYTES,
  FLAG_CONT,
  FLAG_MORE,
  HEADER_BYTES,
  MAX_PRELUDE_BYTES,
  writeHeader,
} from './frame.ts'
import type { Held } from './held.ts'

/** One frame about to be written. The body is written as it is, after the prelude. */
export interface OutgoingFrame {
  kind: number
  flags: number
  number: number
  prelude: Uint8Array | undefined
  body: Uint8Array
}

/** Something that has several frames to write, one at a time: a long message, or a stream of items. */
export interface Source {
  /** The next frame with at most `maxBytes` of body, or nothing for now. */
  next(maxBytes: number): OutgoingFrame | undefined
  /** Writes no more. */
  stop(): void
  /** Whether `next` would give a frame. */
  readonly ready: boolean
}

/** A response, or a request without its prelude: one message, which may be longer than a frame. */
export class Message implements Source {
  readonly kind: number
  readonly number: number
  readonly payload: Uint8Array
  readonly #held: Held | undefined
  #at = 0
  #done = false
  /** Whether a frame of it was taken for writing. */
  left = false

  /** `held` is where the payload is reserved; it is released when its last byte was taken. */
  constructor(kind: number, number: number, payload: Uint8Array, held?: Held) {
    this.kind = kind
    this.number = number
    this.payload = payload
    this.#held = held
  }

  get ready(): boolean {
    return !this.#done
  }

  /** What stands before the payload in the first frame; asked for when that frame is written. */
  prelude(): Uint8Array | undefined {
    return undefined
  }

  /** How long a prelude `writePrelude` writes; undefined where only `prelude` has it. */
  get preludeBytes(): number | undefined {
    return 0
  }

  /** As `prelude`, into the place where it leaves from. Returns where the payload goes. */
  writePrelude(_into: Uint8Array, at: number): number {
    return at
  }

  /** Told when its last frame was taken for writing. */
  written(): void {}

  /** It was written whole, in one frame. */
  wroteWhole(): void {
    this.left = true
    this.stop()
    this.written()
  }

  next(maxBytes: number): OutgoingFrame | undefined {
    if (this.#done) return undefined
    const { kind, number, payload } = this
    const prelude = this.left ? undefined : this.prelude()
    const end = Math.min(payload.byteLength, this.#at + maxBytes - (prelude?.byteLength ?? 0))
    const more = end < payload.byteLength
    const flags = (more ? FLAG_MORE : 0) | (this.left ? FLAG_CONT : 0)
    const whole = end - this.#at === payload.byteLength
    const body = whole ? payload : payload.subarray(this.#at, end)
    this.#at = end
    this.left = true
    if (!more) {
      this.stop()
      this.written()
    }
    return { kind, flags, number, prelude, body }
  }

  stop(): void {
    if (this.#done) return
    this.#done = true
    this.#held?.release(this.payload.byteLength)
  }
}

// Ours: longest part of a message or item in one frame. With the headers of channel and muxer it fills one record of
// TLS, so that it arrives in one piece and is not put together again.
const PART_BYTES = 16_384 - 12 - HEADER_BYTES
// Ours: payloads up to this length count as small and go first; with any prelude they fit one frame.
const SMALL_BYTES = 16 * 1024
// Ours: shorter bodies are copied into the batch, longer ones are handed on as they are.
const COPY_BYTES = 4 * 1024

/** What waits to be written on one channel. */
export class Outbox {
  readonly #maxFrameBytes: number
  readonly #smallBytes: number
  readonly #partBytes: number
  #control: Uint8Array[] = []
  #small: Message[] = []
  #sources: Source[] = []
  /** Bytes of control frames and small messages that wait; long messages and items are bounded by themselves. */
  waitingBytes = 0
  readonly #joined = new Set<Source>()

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes
    this.#partBytes = Math.min(PART_BYTES, maxFrameBytes)
    this.#smallBytes = Math.min(SMALL_BYTES, maxFrameBytes - MAX_PRELUDE_BYTES)
  }

  get empty(): boolean {
    return this.#control.length === 0 && this.#small.length === 0 && this.#sources.length === 0
  }

  /** A whole frame that goes before everything else. */
  control(frame: Uint8Array): void {
    this.#control.push(frame)
    this.waitingBytes += frame.byteLength
  }

  /** A request or response. */
  message(message: Message): void {
    if (message.payload.byteLength > this.#smallBytes) {
      this.join(message)
      return
    }
    this.#small.push(message)
    this.waitingBytes += HEADER_BYTES + message.payload.byteLength
  }

  /** A source that became ready; it keeps its place while it is. */
  join(source: Source): void {
    if (this.#joined.has(source) || !source.ready) return
    this.#joined.add(source)
    this.#sources.push(source)
  }

  /** Drops everything: the channel is gone. */
  clear(): void {
    for (const message of this.#small) message.stop()
    for (const source of this.#sources) source.stop()
    this.#control = []
    this.#small = []
    this.#sources = []
    this.#joined.clear()
    this.waitingBytes = 0
  }

  /**
   * What to write now, at most about `budgetBytes`: each element to be handed to one `write`. Each call lets small
   * messages go first and at least one frame of the sources.
   */
  take(budgetBytes: number): Uint8Array[][] {
    const preludes = this.#small.length * FIXED_PRELUDE_BYTES
    const batch = new Batch(Math.min(this.waitingBytes + preludes, budgetBytes))
    for (const frame of this.#control) {
      batch.raw(frame)
      this.waitingBytes -= frame.byteLength
    }
    this.#control = []
    let taken = 0
    for (const message of this.#small) {
      if (batch.bytes >= budgetBytes) break
      taken += 1
      this.waitingBytes -= HEADER_BYTES + message.payload.byteLength
      if (!message.ready || batch.whole(message)) continue
      const frame = message.next(this.#maxFrameBytes)
      if (frame !== undefined) batch.add(frame)
    }
    this.#small = taken === this.#small.length ? [] : this.#small.slice(taken)
    // Apart, so that long frames begin where one of the muxer's does.
    const long = new Batch(0)
    while (
      this.#sources.length > 0 &&
      (long.bytes === 0 || batch.bytes + long.bytes < budgetBytes)
    ) {
      this.#turn(long)
    }
    return [batch.chunks(), long.chunks()]
  }

  /** Lets the source that is first write one frame and go to the end. */
  #turn(batch: Batch): void {
    const source = this.#sources.shift()
    if (source === undefined) return
    const frame = source.next(this.#partBytes)
    if (frame !== undefined) batch.add(frame)
    if (source.ready) this.#sources.push(source)
    else this.#joined.delete(source)
  }
}

// Ours: room for what a batch does not know beforehand.
const BLOCK_BYTES = 512

/** Joins short pieces into few buffers, each written once, and keeps long ones as they are. */
class Batch {
  readonly #chunks: Uint8Array[] = []
  #block: Uint8Array
  // What is in the block and not yet among the chunks.
  #start = 0
  #at = 0
  bytes = 0

  /** `expectedBytes` is how much is likely to come in short pieces. */
  constructor(expectedBytes: number) {
    this.#block = new Uint8Array(expectedBytes)
  }

  raw(frame: Uint8Array): void {
    this.#copy(frame)
    this.bytes += frame.byteLength
  }

  /** Writes a message as one frame, without a piece in between; false, and nothing, where that cannot be. */
  whole(message: Message): boolean {
    const { kind, number, payload, preludeBytes } = message
    if (preludeBytes === undefined || payload.byteLength >= COPY_BYTES) return false
    const length = preludeBytes + payload.byteLength
    this.#room(HEADER_BYTES + length)
    const block = this.#block
    const at = message.writePrelude(block, writeHeader(block, this.#at, kind, 0, number, length))
    block.set(payload, at)
    this.#at = at + payload.byteLength
    this.bytes += HEADER_BYTES + length
    message.wroteWhole()
    return true
  }

  add({ kind, flags, number, prelude, body }: OutgoingFrame): void {
    const length = (prelude?.byteLength ?? 0) + body.byteLength
    this.#room(HEADER_BYTES)
    this.#at = writeHeader(this.#block, this.#at, kind, flags, number, length)
    if (prelude !== undefined) this.#copy(prelude)
    if (body.byteLength < COPY_BYTES) this.#copy(body)
    else {
      this.#cut()
      this.#chunks.push(body)
    }
    this.bytes += HEADER_BYTES + length
  }

  chunks(): Uint8Array[] {
    this.#cut()
    return this.#chunks
  }

  #copy(bytes: Uint8Array): void {
    this.#room(bytes.byteLength)
    this.#block.set(bytes, this.#at)
    this.#at += bytes.byteLength
  }

  #cut(): void {
    if (this.#at === this.#start) return
    this.#chunks.push(this.#block.subarray(this.#start, this.#at))
    this.#start = this.#at
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#block.byteLength) return
    this.#cut()
    this.#block = new Uint8Array(Math.max(BLOCK_BYTES, bytes))
    this.#start = 0
    this.#at = 0
  }
}
