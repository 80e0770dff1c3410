/**
 * Who writes next on one channel. Frames queued in one turn leave in one write; small messages go first, long ones and
 * streams take turns of one frame each. Knows nothing of pipes.
 */
import { FLAG_CONT, FLAG_MORE, HEADER_BYTES, MAX_PRELUDE_BYTES, writeHeader } from './frame.ts'
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

  /** Told when its last frame was taken for writing. */
  written(): void {}

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
    const batch = new Batch()
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
      const frame = message.next(this.#maxFrameBytes)
      if (frame !== undefined) batch.add(frame)
    }
    this.#small = taken === this.#small.length ? [] : this.#small.slice(taken)
    // Apart, so that long frames begin where one of the muxer's does.
    const long = new Batch()
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

/** Joins short pieces into one buffer and keeps long ones as they are. */
class Batch {
  readonly #pieces: (OutgoingFrame | Uint8Array)[] = []
  bytes = 0

  raw(frame: Uint8Array): void {
    this.#pieces.push(frame)
    this.bytes += frame.byteLength
  }

  add(frame: OutgoingFrame): void {
    this.#pieces.push(frame)
    this.bytes += HEADER_BYTES + (frame.prelude?.byteLength ?? 0) + frame.body.byteLength
  }

  chunks(): Uint8Array[] {
    const chunks: Uint8Array[] = []
    let copied = 0
    for (const piece of this.#pieces) copied += copiedBytes(piece)
    const buffer = new Uint8Array(copied)
    let start = 0
    let at = 0
    for (const piece of this.#pieces) {
      if (piece instanceof Uint8Array) {
        buffer.set(piece, at)
        at += piece.byteLength
        continue
      }
      const { prelude, body } = piece
      const length = (prelude?.byteLength ?? 0) + body.byteLength
      at = writeHeader(buffer, at, piece.kind, piece.flags, piece.number, length)
      if (prelude !== undefined) {
        buffer.set(prelude, at)
        at += prelude.byteLength
      }
      if (body.byteLength < COPY_BYTES) {
        buffer.set(body, at)
        at += body.byteLength
      } else {
        chunks.push(buffer.subarray(start, at), body)
        start = at
      }
    }
    if (at > start) chunks.push(buffer.subarray(start, at))
    return chunks
  }
}

function copiedBytes(piece: OutgoingFrame | Uint8Array): number {
  if (piece instanceof Uint8Array) return piece.byteLength
  const body = piece.body.byteLength < COPY_BYTES ? piece.body.byteLength : 0
  return HEADER_BYTES + (piece.prelude?.byteLength ?? 0) + body
}
