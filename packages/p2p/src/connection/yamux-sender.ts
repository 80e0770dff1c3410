/**
 * The sending half of a Yamux session: queues, turns and frames. Streams that have something to say take turns; those
 * past the acknowledgement limit wait. Knows nothing of what arrives, but for what it lets go out.
 */
import { FLAG, FrameWriter, HEADER_BYTES, TYPE } from './yamux-frame.ts'
import type { YamuxStream } from './yamux-stream.ts'

// Our own choices

/**
 * Longest payload sent in one frame: bulk gives way to others after it. With its header it fills one record of TLS, so
 * that it arrives in one piece.
 */
const MAX_DATA_BYTES = 16_384 - HEADER_BYTES
/** Unacknowledged streams; libp2p/specs yamux: at most 256. Further ones wait for acknowledgements. */
const MAX_UNACKNOWLEDGED = 256
/** A stream's queue past which its writer waits, and below which it goes on. */
const STREAM_QUEUE_BYTES = 262_144
const STREAM_QUEUE_LOW_BYTES = 131_072
/** Writes in a stream's queue past which its writer waits: each costs memory beside its bytes. */
const STREAM_QUEUE_WRITES = 1024

/** What a sender needs of its session. */
export interface YamuxSenderInit {
  /** Bytes queued on all streams past which every writer waits. */
  maxQueuedBytes: number
  /** Bytes consumed on a stream at which its window is opened again. */
  updateBytes: number
  /** There is something to `take`, or a writer to tell. Called once until the next `take`. */
  wake(): void
  /** The last frame of a stream was made. */
  finished(stream: YamuxStream): void
}

/** Who sends what next. */
export class YamuxSender {
  readonly #init: YamuxSenderInit
  readonly #writer = new FrameWriter()
  #ready: YamuxStream[] = []
  #readyHead = 0
  readonly #waiting = new Set<YamuxStream>()
  #unacknowledged = 0
  readonly #full = new Set<YamuxStream>()
  #queuedBytes = 0
  #awake = false
  #over = false

  constructor(init: YamuxSenderInit) {
    this.#init = init
  }

  /** Bytes written and not taken. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Bytes of frames that are made and not taken: between two calls of `take` those of no stream's data. */
  get frameBytes(): number {
    return this.#writer.bytes
  }

  /** A stream of ours begins: its SYN takes its turn, or waits while 256 streams are unacknowledged. */
  open(stream: YamuxStream): void {
    if (this.#unacknowledged < MAX_UNACKNOWLEDGED) {
      this.#unacknowledged += 1
      this.ready(stream)
    } else {
      stream.waiting = true
      this.#waiting.add(stream)
    }
  }

  /** A stream of ours was acknowledged: the next one that waits may begin. */
  acknowledged(): void {
    this.#unacknowledged -= 1
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      next.waiting = false
      this.#unacknowledged += 1
      this.ready(next)
      return
    }
  }

  /** Queues bytes, which belong to the sender from now on. False: nothing more before `drain`. */
  write(stream: YamuxStream, chunks: readonly Uint8Array[]): boolean {
    let bytes = 0
    for (const chunk of chunks) {
      if (chunk.byteLength === 0) continue
      stream.queue.push(chunk)
      bytes += chunk.byteLength
    }
    if (bytes > 0) {
      stream.writes.push(bytes)
      stream.queuedBytes += bytes
      this.#queuedBytes += bytes
      if (stream.sendWindow > 0) this.ready(stream)
    }
    const full =
      stream.queuedBytes >= STREAM_QUEUE_BYTES ||
      stream.writes.length - stream.writesHead >= STREAM_QUEUE_WRITES
    if (!full && this.#queuedBytes < this.#init.maxQueuedBytes) return true
    stream.full = true
    this.#full.add(stream)
    this.wake() // a queue that is empty already drains in the next turn
    return false
  }

  /** Nothing more will be written: FIN follows what is queued. */
  end(stream: YamuxStream): void {
    stream.ending = true
    stream.full = false
    this.#full.delete(stream)
    this.ready(stream)
  }

  /** The stream has something to send: data, flags or a window. */
  ready(stream: YamuxStream): void {
    if (stream.ready || stream.waiting || this.#over) return
    stream.ready = true
    this.#ready.push(stream)
    this.wake()
  }

  /** There is a writer to tell, or a frame to take. */
  wake(): void {
    if (this.#awake || this.#over) return
    this.#awake = true
    this.#init.wake()
  }

  /** A frame that waits for no turn. */
  control(type: number, flags: number, id: number, length: number): void {
    this.#writer.header(type, flags, id, length)
    this.wake()
  }

  /** Frames to send now, round-robin, up to `maxBytes` and at most one stream's turn more; none when there is nothing. */
  take(maxBytes: number): Uint8Array[] {
    this.#awake = false
    const writer = this.#writer
    while (writer.bytes < maxBytes && this.#readyHead < this.#ready.length) {
      const stream = this.#ready[this.#readyHead] as YamuxStream
      this.#readyHead += 1
      stream.ready = false
      if (!stream.over) this.#emit(stream)
    }
    if (this.#readyHead === this.#ready.length) {
      this.#ready.length = 0
      this.#readyHead = 0
    } else if (this.#readyHead > 1024) {
      this.#ready = this.#ready.slice(this.#readyHead)
      this.#readyHead = 0
    }
    return writer.take()
  }

  /** Tells writers that were told to wait and now have room. */
  drained(): void {
    if (this.#full.size === 0) return
    const roomy = this.#queuedBytes < this.#init.maxQueuedBytes / 2
    for (const stream of [...this.#full]) {
      if (stream.sendWindow === 0 || stream.queuedBytes > STREAM_QUEUE_LOW_BYTES) continue
      if (!roomy && stream.queuedBytes > 0) continue
      stream.full = false
      this.#full.delete(stream)
      stream.handler?.drain()
    }
  }

  /** A stream is over: what it had queued is dropped. */
  forget(stream: YamuxStream): void {
    this.#full.delete(stream)
    this.#queuedBytes -= stream.queuedBytes
    stream.queuedBytes = 0
    stream.queue = []
    stream.writes = []
    if (stream.waiting) this.#waiting.delete(stream)
    else if (!stream.acknowledged) this.acknowledged()
  }

  /** The session is over: what was made may be taken, and nothing else follows. */
  stop(): void {
    this.#over = true
    this.#ready = []
    this.#readyHead = 0
    this.#waiting.clear()
  }

  #emit(stream: YamuxStream): void {
    const writer = this.#writer
    const { id } = stream
    const due = stream.grant || stream.consumedBytes >= this.#init.updateBytes
    if (due && !stream.remoteEnded) {
      writer.header(TYPE.windowUpdate, stream.flags, id, stream.consumedBytes)
      stream.flags = 0
      stream.receiveWindow += stream.consumedBytes
      stream.consumedBytes = 0
      stream.grant = false
    }
    // Many small writes of a turn share the stream's turn; what was written apart stays apart.
    const wanted = Math.min(stream.queuedBytes, stream.cutBytes || MAX_DATA_BYTES)
    let turn = Math.min(wanted, stream.sendWindow)
    if (turn > 0) stream.cutBytes = wanted - turn
    while (turn > 0) {
      const write = stream.writes[stream.writesHead] as number
      const bytes = Math.min(write, turn)
      if (bytes === write) stream.writesHead += 1
      else stream.writes[stream.writesHead] = write - bytes
      turn -= bytes
      writer.header(TYPE.data, stream.flags, id, bytes)
      stream.flags = 0
      stream.sendWindow -= bytes
      stream.uncreditedBytes += bytes
      stream.queuedBytes -= bytes
      this.#queuedBytes -= bytes
      this.#moveQueued(stream, bytes)
    }
    if (stream.writesHead === stream.writes.length) {
      stream.writes.length = 0
      stream.writesHead = 0
    } else if (stream.writesHead >= 1024) {
      stream.writes.splice(0, stream.writesHead)
      stream.writesHead = 0
    }
    if (stream.queuedBytes === 0 && stream.ending && !stream.finSent) {
      // On a frame of its own: some readers look at FIN before they take the payload.
      writer.header(TYPE.data, stream.flags | FLAG.fin, id, 0)
      stream.flags = 0
      stream.finSent = true
      this.#init.finished(stream)
    } else if ((stream.flags & FLAG.syn) !== 0) {
      writer.header(TYPE.windowUpdate, FLAG.syn, id, 0)
      stream.flags = 0
    }
    if (stream.queuedBytes > 0 && stream.sendWindow > 0) this.ready(stream)
  }

  #moveQueued(stream: YamuxStream, bytes: number): void {
    const { queue } = stream
    let left = bytes
    while (left > 0) {
      const chunk = queue[stream.queueHead] as Uint8Array
      const from = stream.headOffset
      const length = Math.min(left, chunk.byteLength - from)
      const whole = length === chunk.byteLength
      this.#writer.payload(whole ? chunk : chunk.subarray(from, from + length))
      left -= length
      if (from + length === chunk.byteLength) {
        stream.queueHead += 1
        stream.headOffset = 0
      } else {
        stream.headOffset = from + length
      }
    }
    if (stream.queueHead === queue.length) {
      queue.length = 0
      stream.queueHead = 0
    } else if (stream.queueHead >= 1024) {
      queue.splice(0, stream.queueHead)
      stream.queueHead = 0
    }
  }
}
