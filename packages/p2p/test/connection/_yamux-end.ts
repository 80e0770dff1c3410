/** One end of a Yamux session for tests: a session whose streams remember what they were told, and frames by hand. */
import { concat } from '@stronghold/core'

import { DEFAULT_LIMITS } from '../../src/limits.ts'
import { decodeHeader, encodeHeader, FLAG, TYPE } from '../../src/connection/yamux-frame.ts'
import { YamuxSession } from '../../src/connection/yamux.ts'
import type { YamuxHeader } from '../../src/connection/yamux-frame.ts'
import type {
  StreamFailure,
  YamuxStream,
  YamuxStreamHandler,
} from '../../src/connection/yamux-stream.ts'
import type { ByteBudget, YamuxLimits } from '../../src/connection/yamux.ts'

export const LIMITS: YamuxLimits = DEFAULT_LIMITS

/** A stream that remembers. */
export class Upper implements YamuxStreamHandler {
  stream: YamuxStream | undefined
  holding = false
  received = 0
  chunks: Uint8Array[] = []
  told: string[] = []

  data(chunk: Uint8Array): void {
    this.received += chunk.byteLength
    this.chunks.push(chunk.slice())
  }

  drain(): void {
    this.told.push('drain')
  }

  remoteEnd(): void {
    this.told.push('end')
  }

  finished(): void {
    this.told.push('finished')
  }

  failed(why: StreamFailure): void {
    this.told.push(`failed ${why}`)
  }

  get bytes(): Uint8Array {
    return concat(this.chunks)
  }
}

/** A session, what it was asked and what it said. */
export class End {
  readonly session: YamuxSession
  readonly inbound: Upper[] = []
  readonly pongs: number[] = []
  readonly goAways: number[] = []
  failure: string | undefined
  nowMs = 1000
  accepts = true
  /** How inbound streams begin. */
  holding = false

  constructor(initiator: boolean, limits: Partial<YamuxLimits> = {}, budget?: ByteBudget) {
    this.session = new YamuxSession({
      initiator,
      limits: { ...LIMITS, ...limits },
      budget,
      nowMs: this.nowMs,
      events: {
        wake: () => {},
        opened: (stream) => {
          if (!this.accepts) return undefined
          const upper = new Upper()
          upper.stream = stream
          upper.holding = this.holding
          this.inbound.push(upper)
          return upper
        },
        pong: (opaque) => this.pongs.push(opaque),
        goAway: (code) => this.goAways.push(code),
        failed: (message) => {
          this.failure = message
        },
      },
    })
  }

  open(): Upper {
    const upper = new Upper()
    upper.stream = this.session.open(upper)
    if (upper.stream === undefined) throw new Error('the session opens no stream')
    return upper
  }

  write(upper: Upper, ...chunks: Uint8Array[]): boolean {
    return this.session.write(streamOf(upper), chunks)
  }

  /** Takes what the other side wrote, frame by frame. */
  receive(...frames: Uint8Array[]): void {
    this.session.receive(concat(frames), this.nowMs)
  }

  /** Everything there is to send. */
  take(): Uint8Array {
    const all = concat(this.session.take(Infinity))
    this.session.drained()
    return all
  }

  /** The same, as headers. */
  takeHeaders(): YamuxHeader[] {
    return headersOf(this.take())
  }
}

export function streamOf(upper: Upper): YamuxStream {
  if (upper.stream === undefined) throw new Error('no stream')
  return upper.stream
}

/** The headers in a run of whole frames. */
export function headersOf(bytes: Uint8Array): YamuxHeader[] {
  const headers: YamuxHeader[] = []
  for (let at = 0; at < bytes.byteLength;) {
    const header = decodeHeader(bytes, at)
    headers.push(header)
    at += 12 + (header.type === TYPE.data ? header.length : 0)
  }
  return headers
}

/** A frame by hand; data frames with as many zeros as they announce. */
export function frame(type: number, flags: number, streamId: number, length = 0): Uint8Array {
  const header = encodeHeader({ version: 0, type, flags, streamId, length })
  return type === TYPE.data ? concat([header, new Uint8Array(length)]) : header
}

export const syn = (id: number): Uint8Array => frame(TYPE.windowUpdate, FLAG.syn, id)
export const ack = (id: number): Uint8Array => frame(TYPE.windowUpdate, FLAG.ack, id)
export const fin = (id: number): Uint8Array => frame(TYPE.data, FLAG.fin, id)
export const rst = (id: number): Uint8Array => frame(TYPE.windowUpdate, FLAG.rst, id)
export const data = (id: number, length: number): Uint8Array => frame(TYPE.data, 0, id, length)
export const update = (id: number, delta: number): Uint8Array =>
  frame(TYPE.windowUpdate, 0, id, delta)
