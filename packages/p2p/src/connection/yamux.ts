/**
 * One Yamux session as a state machine: bytes and local calls in, frames and callbacks out. Knows no pipe, no timer
 * and no libp2p; time is handed in. Never throws for what the other side sends, and never holds its payload.
 */
import { TokenBucket } from './token-bucket.ts'
import { FLAG, GO_AWAY, HEADER_BYTES, INITIAL_WINDOW_BYTES, MAX_UINT32 } from './yamux-frame.ts'
import { readUint16, readUint32, TYPE } from './yamux-frame.ts'
import { YamuxIds } from './yamux-ids.ts'
import { YamuxSender } from './yamux-sender.ts'
import { YamuxStream } from './yamux-stream.ts'
import type { GoAwayCode } from './yamux-frame.ts'
import type { YamuxStreamHandler } from './yamux-stream.ts'

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

/** Replies that may wait for a pipe that takes nothing: past it the other side asks and does not read the answers. */
const CONTROL_BYTES_PER_TOKEN = 64
const CONTROL_BYTES_PER_STREAM = 2 * HEADER_BYTES

const KNOWN_FLAGS = FLAG.syn | FLAG.ack | FLAG.fin | FLAG.rst

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
  readonly #sender: YamuxSender
  #nextId: number
  #nextPing = 0
  #goneAway = false

  // Receiving
  readonly #header = new Uint8Array(HEADER_BYTES)
  #headerBytes = 0
  #bodyLeft = 0
  #bodyStream: YamuxStream | undefined
  #bodyEnds = false
  readonly #ids: YamuxIds
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
    this.#sender = new YamuxSender({
      maxQueuedBytes: limits.maxConnectionSendBytes,
      updateBytes: this.#updateBytes,
      wake: () => {
        this.#events.wake()
      },
      finished: (stream) => {
        this.#settle(stream)
      },
    })
    this.#nowMs = nowMs
    this.#nextId = init.initiator ? 1 : 2
    this.#firstRemoteId = init.initiator ? 2 : 1
    this.#ids = new YamuxIds(this.#firstRemoteId)
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
    return this.#sender.queuedBytes
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
    this.#sender.open(stream)
    return stream
  }

  /** Queues bytes, which belong to the session from now on. False: nothing more before `drain`. */
  write(stream: YamuxStream, chunks: readonly Uint8Array[]): boolean {
    return stream.over || stream.ending || this.#sender.write(stream, chunks)
  }

  /** Half-closes once what is queued was taken. */
  end(stream: YamuxStream): void {
    if (!stream.over && !stream.ending) this.#sender.end(stream)
  }

  /** Frames to send now, round-robin, up to `maxBytes` and at most one stream's turn more. */
  take(maxBytes: number): Uint8Array[] {
    return this.#sender.take(maxBytes)
  }

  /** Tells writers that were told to wait and now have room. */
  drained(): void {
    this.#sender.drained()
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
    if (this.#sender.queuedBytes > 0 || this.#sender.frameBytes > 0) return false
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
    this.#sender.control(TYPE.goAway, 0, 0, code)
    this.lost()
  }

  /** The connection is gone: streams fail. `failed` is not called. */
  lost(): void {
    if (this.#over) return
    this.#over = true
    this.#dropStreams()
  }

  #dropStreams(): void {
    this.#sender.stop()
    for (const stream of [...this.#streams.values()]) {
      // What both sides ended was complete before; the reader may still finish it.
      if (stream.finSent && stream.remoteEnded) continue
      this.#remove(stream, 0)
      stream.handler?.failed('session')
    }
    this.#ids.clear()
  }

  #control(type: number, flags: number, id: number, length: number): void {
    if (this.#over) return
    this.#sender.control(type, flags, id, length)
    if (this.#sender.frameBytes > this.#maxControlBytes) this.#fail('replies are not read')
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
    if (stream.consumedBytes >= this.#updateBytes) this.#sender.ready(stream)
  }

  #granted(stream: YamuxStream, delta: number): void {
    stream.uncreditedBytes = Math.max(0, stream.uncreditedBytes - delta)
    stream.sendWindow += delta
    if (stream.sendWindow > MAX_UINT32) return this.#fail('window grown too far')
    if (stream.queuedBytes > 0) this.#sender.ready(stream)
    if (stream.full) this.#sender.wake()
  }

  #remoteOpens(id: number, flags: number): YamuxStream | undefined {
    if (id % 2 !== this.#firstRemoteId % 2) {
      this.#fail('stream id of the wrong side')
    } else if ((flags & FLAG.ack) !== 0) {
      this.#fail('stream opened and acknowledged at once')
    } else if (!this.#ids.use(id)) {
      this.#fail('stream id used twice')
    } else if ((flags & FLAG.rst) !== 0) {
      if (!this.#resetTokens.take(this.#nowMs)) this.#fail('too many resets')
    } else if (this.#goneAway || this.#inboundCount >= this.#limits.maxStreamsPerConnection) {
      this.#refuseOpen(id)
    } else {
      const stream = this.#add(id, true)
      stream.handler = this.#events.opened(stream)
      if (stream.handler !== undefined) {
        if (stream.grant) this.#sender.ready(stream)
        return stream.over ? undefined : stream
      }
      this.#remove(stream, 0)
      this.#refuseOpen(id)
    }
    return undefined
  }

  #refuseOpen(id: number): void {
    if (!this.#openTokens.take(this.#nowMs)) return this.#fail('too many streams opened')
    this.#ids.remember(id, INITIAL_WINDOW_BYTES)
    this.#control(TYPE.windowUpdate, FLAG.rst, id, 0)
  }

  #acknowledged(stream: YamuxStream): void {
    if (stream.acknowledged || (stream.flags & FLAG.syn) !== 0) {
      if (!this.#strayTokens.take(this.#nowMs)) this.#fail('too many acknowledgements')
      return
    }
    stream.acknowledged = true
    this.#sender.acknowledged()
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
    if (!this.#ids.crossed(id, flags, length) && !this.#strayTokens.take(this.#nowMs)) {
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
    this.#sender.forget(stream)
    if (stream.inbound) this.#inboundCount -= 1
    else this.#outboundCount -= 1
    this.#heldBytes -= stream.heldBytes
    this.#budget?.release(stream.heldBytes)
    stream.heldBytes = 0
    if (!this.#over) this.#ids.remember(stream.id, credit)
  }

  /** One clear end: every stream is told, a go away frame says why, and nothing is read any more. */
  #fail(message: string): void {
    if (this.#over) return
    this.#sender.control(TYPE.goAway, 0, 0, GO_AWAY.protocolError)
    this.#over = true
    this.#events.failed(message)
    this.#dropStreams()
  }
}
