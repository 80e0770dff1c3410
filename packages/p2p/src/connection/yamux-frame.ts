/**
 * Frames of Yamux: what a header says, and many frames written into few buffers. Knows nothing of streams or windows.
 */
import { FIRST_FRAME_BLOCK_BYTES, MAX_FRAME_BLOCK_BYTES } from '../limits.ts'

// Specification (libp2p/specs yamux/README.md, hashicorp/yamux spec.md)

/** Protocol id for multistream-select. */
export const YAMUX_PROTOCOL = '/yamux/1.0.0'
/** Length of every header. */
export const HEADER_BYTES = 12
/** Receive window of both sides at the start of a stream. */
export const INITIAL_WINDOW_BYTES = 262_144
/** Largest value of the length field: a window never grows past it. */
export const MAX_UINT32 = 0xffff_ffff

/** Frame types. */
export const TYPE = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const
/** Flag bits. */
export const FLAG = { syn: 1, ack: 2, fin: 4, rst: 8 } as const
/** Codes of a go away frame. */
export const GO_AWAY = { normal: 0, protocolError: 1, internalError: 2 } as const

/** A code of a go away frame. */
export type GoAwayCode = (typeof GO_AWAY)[keyof typeof GO_AWAY]

/** A header: version (8 bits, always 0), type (8), flags (16), stream id (32), length (32), big endian. */
export interface YamuxHeader {
  version: number
  type: number
  flags: number
  streamId: number
  /** Data: bytes that follow. Window update: delta. Ping: opaque. Go away: code. */
  length: number
}

/**
 * Reads the header at `at`. Any 12 bytes are some header; what it may say is the session's part.
 *
 * @throws `RangeError` when fewer than 12 bytes are there
 */
export function decodeHeader(bytes: Uint8Array, at = 0): YamuxHeader {
  if (at < 0 || at + HEADER_BYTES > bytes.byteLength) {
    throw new RangeError('Cannot decode a header: fewer than 12 bytes')
  }
  return {
    version: bytes[at] as number,
    type: bytes[at + 1] as number,
    flags: readUint16(bytes, at + 2),
    streamId: readUint32(bytes, at + 4),
    length: readUint32(bytes, at + 8),
  }
}

/** The 12 bytes of a header. */
export function encodeHeader(header: YamuxHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES)
  writeHeader(bytes, 0, header.type, header.flags, header.streamId, header.length)
  bytes[0] = header.version
  return bytes
}

/** Sixteen bits, big endian. */
export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
}

/** Thirty-two bits, big endian, unsigned. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  )
}

function writeHeader(
  bytes: Uint8Array,
  at: number,
  type: number,
  flags: number,
  id: number,
  length: number,
): void {
  bytes[at] = 0
  bytes[at + 1] = type
  bytes[at + 2] = flags >>> 8
  bytes[at + 3] = flags
  bytes[at + 4] = id >>> 24
  bytes[at + 5] = id >>> 16
  bytes[at + 6] = id >>> 8
  bytes[at + 7] = id
  bytes[at + 8] = length >>> 24
  bytes[at + 9] = length >>> 16
  bytes[at + 10] = length >>> 8
  bytes[at + 11] = length
}

// Our own choices

/** Payloads up to this length are copied beside their header; longer ones leave as they are. Measured. */
const COPY_BYTES = 256

/** Collects frames as few buffers: headers and short payloads side by side, no byte of a block used twice. */
export class FrameWriter {
  #block = new Uint8Array(0)
  #blockBytes = FIRST_FRAME_BLOCK_BYTES / 2
  #start = 0 // of what is in the block and not yet in #chunks
  #at = 0
  #chunks: Uint8Array[] = []
  #bytes = 0

  /** Bytes collected since the last `take`. */
  get bytes(): number {
    return this.#bytes
  }

  header(type: number, flags: number, streamId: number, length: number): void {
    this.#room(HEADER_BYTES)
    writeHeader(this.#block, this.#at, type, flags, streamId, length)
    this.#at += HEADER_BYTES
    this.#bytes += HEADER_BYTES
  }

  /** Bytes of the payload that the last header announced; they belong to the writer from now on. */
  payload(bytes: Uint8Array): void {
    const { byteLength } = bytes
    this.#bytes += byteLength
    if (byteLength <= COPY_BYTES) {
      this.#room(byteLength)
      this.#block.set(bytes, this.#at)
      this.#at += byteLength
    } else {
      this.#cut()
      this.#chunks.push(bytes)
    }
  }

  /** What was collected, in order; nothing when nothing was. */
  take(): Uint8Array[] {
    this.#cut()
    const chunks = this.#chunks
    this.#chunks = []
    this.#bytes = 0
    return chunks
  }

  #cut(): void {
    if (this.#at === this.#start) return
    this.#chunks.push(this.#block.subarray(this.#start, this.#at))
    this.#start = this.#at
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#block.byteLength) return
    this.#cut()
    this.#blockBytes = Math.min(this.#blockBytes * 2, MAX_FRAME_BLOCK_BYTES)
    this.#block = new Uint8Array(Math.max(this.#blockBytes, bytes))
    this.#start = 0
    this.#at = 0
  }
}
