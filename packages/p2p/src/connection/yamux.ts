/**
 * One Yamux session as a state machine: bytes and local calls in, frames and callbacks out. Knows no pipe, no timer
 * and no libp2p; time is handed in. Never throws for what the other side sends, and never holds its payload.
 */
import { FLAG, FrameWriter, GO_AWAY, HEADER_BYTES, INITIAL_WINDOW_BYTES } from './yamux-frame.ts'
import { MAX_UINT32, readUint16, readUint32, TYPE } from './yamux-frame.ts'
import type { GoAwayCode } from './yamux-frame.ts'

/** What bounds a session. All of them stand in `P2pLimits` with unit, default and effect. */
export interface YamuxLimits {
  maxStreamsPerConnection: number
  maxMuxerFrameBytes: number
  streamWindowBytes: number
  maxConnectionReceiveBytes: number
  maxConnectionSendBytes: number
  muxerControlBurst: number
  muxerControlPerSecond: number
}

/** Bytes that several connections share, those of one peer for example. */
export interface ByteBudget {
  /** Takes bytes; false when they are not there, and nothing was taken. */
  reserve(bytes: number): boolean
  /** Gives them back. */
  release(bytes: number): void
}

/**
 * Why a stream failed: `reset` by the other side; `refused` here, for breaking the protocol of streams; `unread` bytes
 * past a limit; `session` over.
 */
export type StreamFailure = 'reset' | 'refused' | 'unread' | 'session'

/** The upper end of one stream. Every call may come from within a call to the session. */
export interface YamuxStreamHandler {
  /** Whether data would be kept and given to `consume` later, instead of being consumed in the call. */
  readonly holding: boolean
  /** Payload as it arrived: a view of what was received. */
  data(chunk: Uint8Array): void
  /** A stream whose `write` said false takes more. */
  drain(): void
  /** The other side half-closed. */
  remoteEnd(): void
  /** Both sides half-closed and everything was consumed. The last call. */
  finished(): void
  /** Over at once. The last call. */
  failed(why: StreamFailure): void
}

/** What a session tells its owner. */
export interface YamuxEvents {
  /** There is something to `take`, or a writer to tell by `drained`: call both when this turn is over. */
  wake(): void
  /** The other side opens a stream. Undefined refuses it. */
  opened(stream: YamuxStream): YamuxStreamHandler | undefined
  /** A ping was answered. */
  pong(opaque: number): void
  /** The other side opens and takes no stream any more; with another code than normal, `failed` follows. */
  goAway(code: number): void
  /** The session is over; its streams are told next. A last `take` may hold the go away frame. */
  failed(message: string): void
}

/** What a session needs. */
export interface YamuxInit {
  /** Odd stream ids are ours, else even ones. */
  initiator: boolean
  limits: YamuxLimits
  events: YamuxEvents
  budget?: ByteBudget | undefined
  nowMs: number
}

// Our own choices

/** Longest payload sent in one frame: bulk gives way to others after it. */
const MAX_DATA_BYTES = 65_536
/** Unacknowledged streams; libp2p/specs yamux: at most 256. Further ones wait for acknowledgements. */
const MAX_UNACKNOWLEDGED = 256
/** A stream's queue past which its writer waits, and below which it goes on. */
const STREAM_QUEUE_BYTES = 262_144
const STREAM_QUEUE_LOW_BYTES = 131_072
/** Replies that may wait for a pipe that takes nothing: past it the other side asks and does not read the answers. */
const CONTROL_BYTES_PER_TOKEN = 64
const CONTROL_BYTES_PER_STREAM = 2 * HEADER_BYTES
/** Streams that are over, and ids that were skipped, still known: what crossed on the wire is told from abuse. */
const MAX_PAST = 256
const MAX_SKIPPED = 256

const KNOWN_FLAGS = FLAG.syn | FLAG.ack | FLAG.fin | FLAG.rst

/** State of one stream. Owned by its session; others read `id`, `inbound` and `queuedBytes`. */
export class YamuxStream {
  readonly id: number
  readonly inbound: boolean
  handler: YamuxStreamHandler | undefined
  over = false

  queue: Uint8Array[] = []
  queueHead = 0
  headOffset = 0
  writes: number[] = [] // bytes left of each write: one ends its last frame
  writesHead = 0
  queuedBytes = 0
  sendWindow: number = INITIAL_WINDOW_BYTES
  uncreditedBytes = 0 // sent and not yet granted again: window updates that may still come
  flags: number // SYN or ACK that goes with the next frame
  acknowledged: boolean
  ending = false
  finSent = false
  ready = false
  waiting = false // for an acknowledgement of other streams
  full = false

  receiveWindow: number = INITIAL_WINDOW_BYTES
  consumedBytes = 0 // since the last window update
  heldBytes = 0
  grant = false // a window update is due however small
  remoteEnded = false

  constructor(id: number, inbound: boolean) {
    this.id = id
    this.inbound = inbound
    this.flags = inbound ? FLAG.ack : FLAG.syn
    this.acknowledged = inbound
  }
}

/** Counts what a peer may do at once, refilled by the second. */
class TokenBucket {
  readonly #burst: number
  readonly #perSecond: number
  #tokens: number
  #atMs: number

  constructor(burst: number, perSecond: number, nowMs: number) {
    this.#burst = burst
    this.#perSecond = perSecond
    this.#tokens = burst
    this.#atMs = nowMs
  }

  take(nowMs: number): boolean {
    const elapsedMs = nowMs - this.#atMs
    this.#atMs = nowMs // a clock set back gives nothing
    if (elapsedMs > 0) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs * this.#perSecond) / 1000)
    }
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

/** One session over one connection. */
export class YamuxSession {
  readonly #limits: YamuxLimits
  readonly #events: YamuxEvents
  readonly #budget: ByteBudget | undefined
  readonly #firstRemoteId: number
  readonly #updateBytes: number
  readonly #maxControlBytes: number
  readonly #streams = new Map<number, YamuxStream>()
  #inboundCount = 0
  #outboundCount = 0
  #nowMs: number

  // Sending
  readonly #writer = new FrameWriter()
  #ready: YamuxStream[] = []
  #readyHead = 0
  readonly #waiting = new Set<YamuxStream>()
  #unacknowledged = 0
  readonly #full = new Set<YamuxStream>()
  #queuedBytes = 0
  #nextId: number
  #nextPing = 0
  #awake = false
  #goneAway = false

  // Receiving
  readonly #header = new Uint8Array(HEADER_BYTES)
  #headerBytes = 0
  #bodyLeft = 0
  #bodyStream: YamuxStream | undefined
  #bodyEnds = false
  #lastRemoteId: number
  readonly #skipped = new Set<number>()
  readonly #past = new Map<number, number>()
  readonly #pings = new Set<number>()
  readonly #pingTokens: TokenBucket
  readonly #openTokens: TokenBucket
  readonly #resetTokens: TokenBucket
  readonly #strayTokens: TokenBucket
  #heldBytes = 0
  #over = false
  #remoteGoneAway = false

  /** @throws `RangeError` for a window below 256 KiB or above the length field */
  constructor(init: YamuxInit) {
    const { limits, nowMs } = init
    const { streamWindowBytes, muxerControlBurst: burst, muxerControlPerSecond: rate } = limits
    if (!(streamWindowBytes >= INITIAL_WINDOW_BYTES && streamWindowBytes <= MAX_UINT32)) {
      throw new RangeError(
        'Cannot start a session: streamWindowBytes is below 256 KiB or above 4 GiB',
      )
    }
    this.#limits = limits
    this.#events = init.events
    this.#budget = init.budget
    this.#updateBytes = Math.floor(streamWindowBytes / 2)
    this.#maxControlBytes =
      burst * CONTROL_BYTES_PER_TOKEN + limits.maxStreamsPerConnection * CONTROL_BYTES_PER_STREAM
    this.#nowMs = nowMs
    this.#nextId = init.initiator ? 1 : 2
    this.#firstRemoteId = init.initiator ? 2 : 1
    this.#lastRemoteId = this.#firstRemoteId - 2
    this.#pingTokens = new TokenBucket(burst, rate, nowMs)
    this.#openTokens = new TokenBucket(burst, rate, nowMs)
    this.#resetTokens = new TokenBucket(burst, rate, nowMs)
    this.#strayTokens = new TokenBucket(burst, rate, nowMs)
  }

  /** Streams that are not over, both directions. */
  get streamCount(): number {
    return this.#streams.size
  }

  /** Bytes received and not consumed. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Bytes written and not taken. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** No frame will be understood or made any more. */
  get over(): boolean {
    return this.#over
  }

  /** Whether streams may still be opened: neither side went away and ids are left. */
  get opens(): boolean {
    return !this.#over && !this.#goneAway && !this.#remoteGoneAway && this.#nextId <= MAX_UINT32
  }

  // Local calls

  /** Opens a stream; undefined past `maxStreamsPerConnection` or when `opens` is false. */
  open(handler: YamuxStreamHandler): YamuxStream | undefined {
    if (!this.opens || this.#outboundCount >= this.#limits.maxStreamsPerConnection) return undefined
    const stream = this.#add(this.#nextId, false)
    this.#nextId += 2
    stream.handler = handler
    if (this.#unacknowledged < MAX_UNACKNOWLEDGED) {
      this.#unacknowledged += 1
      this.#makeReady(stream)
    } else {
      stream.waiting = true
      this.#waiting.add(stream)
    }
    return stream
  }

  /** Queues bytes, which belong to the session from now on. False: nothing more before `drain`. */
  write(stream: YamuxStream, chunks: readonly Uint8Array[]): boolean {
    if (stream.over || stream.ending) return true
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
      if (stream.sendWindow > 0) this.#makeReady(stream)
    }
    if (
      stream.queuedBytes < STREAM_QUEUE_BYTES &&
      this.#queuedBytes < this.#limits.maxConnectionSendBytes
    ) {
      return true
    }
    stream.full = true
    this.#full.add(stream)
    this.#wake() // a queue that is empty already drains in the next turn
    return false
  }

  /** Half-closes once what is queued was taken. */
  end(stream: YamuxStream): void {
    if (stream.over || stream.ending) return
    stream.ending = true
    stream.full = false
    this.#full.delete(stream)
    this.#makeReady(stream)
  }

  /** Ends a stream at once and tells the other side; the handler is not told. */
  reset(stream: YamuxStream): void {
    if (stream.over) return
    const unknown = (stream.flags & FLAG.syn) !== 0
    const done = stream.finSent && stream.remoteEnded
    if (!unknown && !done) this.#control(TYPE.windowUpdate, FLAG.rst, stream.id, 0)
    this.#remove(
      stream,
      unknown ? 0 : stream.uncreditedBytes + (stream.remoteEnded ? 0 : stream.receiveWindow),
    )
  }

  /** The reader is done with bytes that were held; the other side may send as many again. */
  consume(stream: YamuxStream, bytes: number): void {
    if (stream.over) return
    stream.heldBytes -= bytes
    this.#heldBytes -= bytes
    this.#budget?.release(bytes)
    this.#consumed(stream, bytes)
    if (stream.heldBytes === 0) this.#settle(stream)
  }

  /** Half-closes every stream that is open for writing. */
  endAll(): void {
    for (const stream of [...this.#streams.values()]) this.end(stream)
  }

  /** Whether everything written and ended was taken. */
  get flushed(): boolean {
    if (this.#queuedBytes > 0 || this.#writer.bytes > 0) return false
    for (const stream of this.#streams.values()) {
      if (stream.ending && !stream.finSent) return false
    }
    return true
  }

  /** Asks for a sign of life; `pong` brings the number back. Undefined with 16 pings unanswered. */
  ping(): number | undefined {
    if (this.#over || this.#pings.size >= 16) return undefined
    const opaque = this.#nextPing
    this.#nextPing = (opaque + 1) % (MAX_UINT32 + 1)
    this.#pings.add(opaque)
    this.#control(TYPE.ping, FLAG.syn, 0, opaque)
    return opaque
  }

  /** A stream of the other side's came to nothing: counts like a reset by it. */
  strike(): void {
    if (!this.#over && !this.#resetTokens.take(this.#nowMs)) this.#fail('too many failed streams')
  }

  /** Says that no stream opens any more. Idempotent. */
  goAway(code: GoAwayCode): void {
    if (this.#over || this.#goneAway) return
    this.#goneAway = true
    this.#control(TYPE.goAway, 0, 0, code)
  }

  /** Ends everything: streams fail, a go away frame is left to take. `failed` is not called. */
  abort(code: GoAwayCode): void {
    if (this.#over) return
    this.#writer.header(TYPE.goAway, 0, 0, code)
    this.lost()
  }

  /** The connection is gone: streams fail. `failed` is not called. */
  lost(): void {
    if (this.#over) return
    this.#over = true
    this.#dropStreams()
  }

  #dropStreams(): void {
    for (const stream of [...this.#streams.values()]) {
      // What both sides ended was complete before; the reader may still finish it.
      if (stream.finSent && stream.remoteEnded) continue
      this.#remove(stream, 0)
      stream.handler?.failed('session')
    }
    this.#past.clear()
    this.#skipped.clear()
    this.#ready = []
    this.#waiting.clear()
  }

  // Sending

  /** Frames to send now, round-robin, up to `maxBytes` and at most one frame more; none when there is nothing. */
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
    const roomy = this.#queuedBytes < this.#limits.maxConnectionSendBytes / 2
    for (const stream of [...this.#full]) {
      if (stream.sendWindow === 0 || stream.queuedBytes > STREAM_QUEUE_LOW_BYTES) continue
      if (!roomy && stream.queuedBytes > 0) continue
      stream.full = false
      this.#full.delete(stream)
      stream.handler?.drain()
    }
  }

  #emit(stream: YamuxStream): void {
    const writer = this.#writer
    const { id } = stream
    const due = stream.grant || stream.consumedBytes >= this.#updateBytes
    if (due && !stream.remoteEnded) {
      writer.header(TYPE.windowUpdate, stream.flags, id, stream.consumedBytes)
      stream.flags = 0
      stream.receiveWindow += stream.consumedBytes
      stream.consumedBytes = 0
      stream.grant = false
    }
    // Many small writes of a turn share the stream's turn; what was written apart stays apart.
    let turn = Math.min(stream.queuedBytes, stream.sendWindow, MAX_DATA_BYTES)
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
      this.#settle(stream)
    } else if ((stream.flags & FLAG.syn) !== 0) {
      writer.header(TYPE.windowUpdate, FLAG.syn, id, 0)
      stream.flags = 0
    }
    if (stream.queuedBytes > 0 && stream.sendWindow > 0) this.#makeReady(stream)
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

  #makeReady(stream: YamuxStream): void {
    if (stream.ready || stream.waiting || this.#over) return
    stream.ready = true
    this.#ready.push(stream)
    this.#wake()
  }

  #wake(): void {
    if (this.#awake || this.#over) return
    this.#awake = true
    this.#events.wake()
  }

  #control(type: number, flags: number, id: number, length: number): void {
    if (this.#over) return
    this.#writer.header(type, flags, id, length)
    this.#wake()
    if (this.#writer.bytes > this.#maxControlBytes) this.#fail('replies are not read')
  }

  // Receiving

  /** Takes what arrived, in pieces of any size. */
  receive(chunk: Uint8Array, nowMs: number): void {
    this.#nowMs = nowMs
    const length = chunk.byteLength
    let at = 0
    while (at < length && !this.#over) {
      if (this.#bodyLeft > 0) {
        const take = Math.min(this.#bodyLeft, length - at)
        this.#bodyLeft -= take
        this.#body(take === length ? chunk : chunk.subarray(at, at + take))
        at += take
      } else if (this.#headerBytes === 0 && length - at >= HEADER_BYTES) {
        this.#frame(chunk, at)
        at += HEADER_BYTES
      } else {
        const take = Math.min(HEADER_BYTES - this.#headerBytes, length - at)
        this.#header.set(chunk.subarray(at, at + take), this.#headerBytes)
        this.#headerBytes += take
        at += take
        if (this.#headerBytes === HEADER_BYTES) {
          this.#headerBytes = 0
          this.#frame(this.#header, 0)
        }
      }
    }
  }

  #frame(bytes: Uint8Array, at: number): void {
    const version = bytes[at] as number
    const type = bytes[at + 1] as number
    const flags = readUint16(bytes, at + 2)
    const id = readUint32(bytes, at + 4)
    const length = readUint32(bytes, at + 8)
    if (version !== 0) return this.#fail('unknown version')
    if ((flags & ~KNOWN_FLAGS) !== 0) return this.#fail('unknown flags')
    if (type === TYPE.data || type === TYPE.windowUpdate) {
      if (id === 0) return this.#fail('stream frame for the session')
      return this.#streamFrame(type, flags, id, length)
    }
    if (type !== TYPE.ping && type !== TYPE.goAway) return this.#fail('unknown type')
    if (id !== 0) return this.#fail('session frame for a stream')
    if (type === TYPE.ping) this.#pinged(flags, length)
    else this.#wentAway(length)
  }

  #pinged(flags: number, opaque: number): void {
    if (flags === FLAG.syn) {
      if (!this.#pingTokens.take(this.#nowMs)) return this.#fail('too many pings')
      this.#control(TYPE.ping, FLAG.ack, 0, opaque)
    } else if (flags === FLAG.ack) {
      if (this.#pings.delete(opaque)) this.#events.pong(opaque)
      else if (!this.#pingTokens.take(this.#nowMs)) this.#fail('too many answers to no ping')
    } else {
      this.#fail('ping with other flags than SYN or ACK')
    }
  }

  #wentAway(code: number): void {
    if (this.#remoteGoneAway && !this.#strayTokens.take(this.#nowMs)) {
      return this.#fail('too many go away frames')
    }
    this.#remoteGoneAway = true
    this.#events.goAway(code)
    if (code !== GO_AWAY.normal && !this.#over) {
      this.#over = true
      this.#events.failed(`the other side went away with code ${code}`)
      this.#dropStreams()
    }
  }

  #streamFrame(type: number, flags: number, id: number, length: number): void {
    const isData = type === TYPE.data
    if (isData && length > this.#limits.maxMuxerFrameBytes) return this.#fail('frame too long')
    // Whatever becomes of the frame, its payload is skipped unless a stream takes it.
    this.#bodyLeft = isData ? length : 0
    this.#bodyStream = undefined
    this.#bodyEnds = false

    let stream: YamuxStream | undefined
    if ((flags & FLAG.syn) !== 0) {
      stream = this.#remoteOpens(id, flags)
      if (stream === undefined) return
    } else {
      stream = this.#streams.get(id)
      if (stream === undefined) return this.#stray(flags, id, length)
    }
    if ((flags & FLAG.rst) !== 0) return this.#remoteResets(stream)
    if ((flags & FLAG.ack) !== 0) this.#acknowledged(stream)

    const ends = (flags & FLAG.fin) !== 0
    if (stream.remoteEnded && (ends || (isData && length > 0))) return this.#refuse(stream)
    if (flags === 0 && length === 0 && !this.#strayTokens.take(this.#nowMs)) {
      return this.#fail('too many empty frames')
    }
    if (!isData) {
      if (length > 0) this.#granted(stream, length)
      if (ends) this.#remoteEnds(stream)
    } else if (length > stream.receiveWindow) {
      this.#fail('window exceeded')
    } else if (length > 0) {
      stream.receiveWindow -= length
      this.#bodyStream = stream
      this.#bodyEnds = ends
    } else if (ends) {
      this.#remoteEnds(stream)
    }
  }

  #body(chunk: Uint8Array): void {
    const stream = this.#bodyStream
    if (stream === undefined) return
    const handler = stream.handler
    if (!stream.over && handler !== undefined) {
      const { byteLength } = chunk
      if (!handler.holding) {
        handler.data(chunk)
        this.#consumed(stream, byteLength)
      } else if (this.#hold(stream, byteLength)) {
        handler.data(chunk)
      }
    }
    if (this.#bodyLeft > 0) return
    this.#bodyStream = undefined
    if (this.#bodyEnds) this.#remoteEnds(stream)
  }

  /** Reserves before anything is kept. Past the budget the fullest stream is reset, and this one when none is full. */
  #hold(stream: YamuxStream, bytes: number): boolean {
    while (!stream.over && !this.#over) {
      if (
        this.#heldBytes + bytes <= this.#limits.maxConnectionReceiveBytes &&
        (this.#budget?.reserve(bytes) ?? true)
      ) {
        this.#heldBytes += bytes
        stream.heldBytes += bytes
        return true
      }
      let fullest = stream
      for (const other of this.#streams.values()) {
        if (other.heldBytes > fullest.heldBytes) fullest = other
      }
      this.reset(fullest)
      fullest.handler?.failed('unread')
    }
    return false
  }

  #consumed(stream: YamuxStream, bytes: number): void {
    if (stream.over || stream.remoteEnded) return
    stream.consumedBytes += bytes
    if (stream.consumedBytes >= this.#updateBytes) this.#makeReady(stream)
  }

  #granted(stream: YamuxStream, delta: number): void {
    stream.uncreditedBytes = Math.max(0, stream.uncreditedBytes - delta)
    stream.sendWindow += delta
    if (stream.sendWindow > MAX_UINT32) return this.#fail('window grown too far')
    if (stream.queuedBytes > 0) this.#makeReady(stream)
    if (stream.full) this.#wake()
  }

  #remoteOpens(id: number, flags: number): YamuxStream | undefined {
    if (id % 2 !== this.#firstRemoteId % 2) {
      this.#fail('stream id of the wrong side')
    } else if ((flags & FLAG.ack) !== 0) {
      this.#fail('stream opened and acknowledged at once')
    } else if (!this.#isNew(id)) {
      this.#fail('stream id used twice')
    } else if ((flags & FLAG.rst) !== 0) {
      if (!this.#resetTokens.take(this.#nowMs)) this.#fail('too many resets')
    } else if (this.#goneAway || this.#inboundCount >= this.#limits.maxStreamsPerConnection) {
      this.#refuseOpen(id)
    } else {
      const stream = this.#add(id, true)
      stream.handler = this.#events.opened(stream)
      if (stream.handler !== undefined) {
        if (stream.grant) this.#makeReady(stream)
        return stream.over ? undefined : stream
      }
      this.#remove(stream, 0)
      this.#refuseOpen(id)
    }
    return undefined
  }

  #refuseOpen(id: number): void {
    if (!this.#openTokens.take(this.#nowMs)) return this.#fail('too many streams opened')
    this.#remember(id, INITIAL_WINDOW_BYTES)
    this.#control(TYPE.windowUpdate, FLAG.rst, id, 0)
  }

  /** Some peers number streams before they race to open them: an id may come a little late, but only once. */
  #isNew(id: number): boolean {
    if (id <= this.#lastRemoteId) return this.#skipped.delete(id)
    const from = Math.max(this.#lastRemoteId + 2, id - 2 * MAX_SKIPPED)
    for (let skipped = from; skipped < id; skipped += 2) this.#skipped.add(skipped)
    for (const oldest of this.#skipped) {
      if (this.#skipped.size <= MAX_SKIPPED) break
      this.#skipped.delete(oldest)
    }
    this.#lastRemoteId = id
    return true
  }

  #acknowledged(stream: YamuxStream): void {
    if (stream.acknowledged || (stream.flags & FLAG.syn) !== 0) {
      if (!this.#strayTokens.take(this.#nowMs)) this.#fail('too many acknowledgements')
      return
    }
    stream.acknowledged = true
    this.#unacknowledgedLess()
  }

  #unacknowledgedLess(): void {
    this.#unacknowledged -= 1
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      next.waiting = false
      this.#unacknowledged += 1
      this.#makeReady(next)
      return
    }
  }

  #remoteEnds(stream: YamuxStream): void {
    if (stream.over || stream.remoteEnded) return
    stream.remoteEnded = true
    stream.handler?.remoteEnd()
    this.#settle(stream)
  }

  #remoteResets(stream: YamuxStream): void {
    this.#remove(stream, 0)
    stream.handler?.failed('reset')
    if (!this.#resetTokens.take(this.#nowMs)) this.#fail('too many resets')
  }

  #refuse(stream: YamuxStream): void {
    this.reset(stream)
    stream.handler?.failed('refused')
    this.strike()
  }

  /** A frame for a stream that is over: free while it can have crossed with our end of it, else counted. */
  #stray(flags: number, id: number, length: number): void {
    const credit = this.#past.get(id)
    if (credit !== undefined && (flags & (FLAG.fin | FLAG.rst)) !== 0) {
      this.#past.delete(id)
    } else if (credit !== undefined && length > 0 && length <= credit) {
      this.#past.set(id, credit - length)
    } else if (!this.#strayTokens.take(this.#nowMs)) {
      this.#fail('too many frames for no stream')
    }
  }

  // Both

  #add(id: number, inbound: boolean): YamuxStream {
    const stream = new YamuxStream(id, inbound)
    stream.consumedBytes = this.#limits.streamWindowBytes - INITIAL_WINDOW_BYTES
    stream.grant = stream.consumedBytes > 0
    this.#streams.set(id, stream)
    if (inbound) this.#inboundCount += 1
    else this.#outboundCount += 1
    return stream
  }

  #settle(stream: YamuxStream): void {
    if (!stream.finSent || !stream.remoteEnded || stream.heldBytes > 0 || stream.over) return
    this.#remove(stream, stream.uncreditedBytes)
    stream.handler?.finished()
  }

  /** `credit`: bytes of data and window updates that may still arrive without anybody's fault. */
  #remove(stream: YamuxStream, credit: number): void {
    stream.over = true
    this.#streams.delete(stream.id)
    if (stream.inbound) this.#inboundCount -= 1
    else this.#outboundCount -= 1
    this.#full.delete(stream)
    this.#queuedBytes -= stream.queuedBytes
    stream.queuedBytes = 0
    stream.queue = []
    stream.writes = []
    this.#heldBytes -= stream.heldBytes
    this.#budget?.release(stream.heldBytes)
    stream.heldBytes = 0
    if (stream.waiting) this.#waiting.delete(stream)
    else if (!stream.acknowledged) this.#unacknowledgedLess()
    if (credit > 0) this.#remember(stream.id, credit)
  }

  #remember(id: number, credit: number): void {
    if (this.#over) return
    for (const oldest of this.#past.keys()) {
      if (this.#past.size < MAX_PAST) break
      this.#past.delete(oldest)
    }
    this.#past.set(id, credit)
  }

  /** One clear end: every stream is told, a go away frame says why, and nothing is read any more. */
  #fail(message: string): void {
    if (this.#over) return
    this.#writer.header(TYPE.goAway, 0, 0, GO_AWAY.protocolError)
    this.#over = true
    this.#events.failed(message)
    this.#dropStreams()
  }
}
