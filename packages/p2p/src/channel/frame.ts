/**
 * Frames of the channel: bytes from and to fields, nothing else (`wire.md §3.1, §4`). What a frame may carry and who
 * may send it is checked here; what it means is the business of `asker.ts` and `responder.ts`.
 */
import { RAN, STATUS_CODES } from '@stronghold/core'
import type { Ran, StatusCode } from '@stronghold/core'

import { LAYERS, P2pError } from '../errors.ts'
import type { Layer } from '../errors.ts'

// wire.md §3.1
export const HEADER_BYTES = 10
export const KIND_HELLO = 1
export const KIND_REQUEST = 2
export const KIND_RESPONSE = 3
export const KIND_ITEM = 4
export const KIND_END = 5
export const KIND_ERROR = 6
export const KIND_CANCEL = 7
export const KIND_CREDIT = 8
export const KIND_ACK = 9
export const KIND_PING = 10
export const FLAG_MORE = 0x01
export const FLAG_REPLY = 0x02
export const FLAG_CONT = 0x04

// wire.md §4
export const INSTANCE_BYTES = 16
export const REQUEST_ID_BYTES = 16
export const PING_BYTES = 8
/** Names of methods that get a number on one channel. */
export const MAX_NUMBERED_METHODS = 256
/** Longest message of an error, in bytes. */
export const MAX_ERROR_MESSAGE_BYTES = 512

/** A prelude whose method has a number. */
export const FIXED_PRELUDE_BYTES = 30
/** Longest prelude of a request: the fixed part and two names. */
export const MAX_PRELUDE_BYTES: number = FIXED_PRELUDE_BYTES + 2 * 256

const NO_BYTES = new Uint8Array(0)

/** Which side of the channel wrote a frame. */
export type Side = 'asker' | 'responder'

/** The other side broke a rule of `wire.md §3.1`. */
export function violation(what: string): P2pError {
  return new P2pError('invalid_argument', `Cannot read the channel: ${what}`, { layer: 'protocol' })
}

/** Writes a header at `at` and returns where the body goes. */
export function writeHeader(
  into: Uint8Array,
  at: number,
  kind: number,
  flags: number,
  number: number,
  length: number,
): number {
  into[at] = kind
  into[at + 1] = flags
  writeUint32(into, at + 2, number)
  writeUint32(into, at + 6, length)
  return at + HEADER_BYTES
}

/** One whole small frame. */
export function encodeFrame(
  kind: number,
  flags: number,
  number: number,
  body: Uint8Array,
): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + body.byteLength)
  frame.set(body, writeHeader(frame, 0, kind, flags, number, body.byteLength))
  return frame
}

/** A credit or ack frame: four bytes of body. */
export function encodeCount(kind: number, number: number, count: number): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + 4)
  writeUint32(frame, writeHeader(frame, 0, kind, 0, number, 4), count)
  return frame
}

/** Writes 32 bits, big-endian. */
export function writeUint32(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24
  into[at + 1] = value >>> 16
  into[at + 2] = value >>> 8
  into[at + 3] = value
}

/** Reads 32 bits, big-endian; bytes past the end count as zero. */
export function readUint32(from: Uint8Array, at: number): number {
  return (
    (((from[at] ?? 0) << 24) |
      ((from[at + 1] ?? 0) << 16) |
      ((from[at + 2] ?? 0) << 8) |
      (from[at + 3] ?? 0)) >>>
    0
  )
}

/** What stands before the message of a request (`wire.md §4.2`). */
export interface Prelude {
  /** 16 bytes. */
  id: Uint8Array
  timeoutMs: number
  acked: number
  credit: number
  /** 0 when the name is given, else a number given to a name before. */
  method: number
  name?: { protocol: string; method: string }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * Writes a prelude without names, `FIXED_PRELUDE_BYTES` long; the method is a number given before, or 0.
 *
 * @returns where the message goes
 */
export function writePrelude(
  into: Uint8Array,
  at: number,
  { id, timeoutMs, acked, credit, method }: Omit<Prelude, 'name'>,
): number {
  for (let i = 0; i < REQUEST_ID_BYTES; i++) into[at + i] = id[i] as number
  writeUint32(into, at + 16, timeoutMs)
  writeUint32(into, at + 20, acked)
  writeUint32(into, at + 24, credit)
  into[at + 28] = method >>> 8
  into[at + 29] = method
  return at + FIXED_PRELUDE_BYTES
}

/**
 * The bytes of a prelude.
 *
 * @throws `RangeError` for a name that is not 1 to 255 bytes long
 */
export function encodePrelude(prelude: Prelude): Uint8Array {
  const { name } = prelude
  const protocol = name === undefined ? undefined : encodeName(name.protocol)
  const method = name === undefined ? undefined : encodeName(name.method)
  const nameBytes =
    protocol === undefined || method === undefined ? 0 : 2 + protocol.byteLength + method.byteLength
  const bytes = new Uint8Array(FIXED_PRELUDE_BYTES + nameBytes)
  writePrelude(bytes, 0, prelude)
  if (protocol !== undefined && method !== undefined) {
    bytes[30] = protocol.byteLength
    bytes.set(protocol, 31)
    bytes[31 + protocol.byteLength] = method.byteLength
    bytes.set(method, 32 + protocol.byteLength)
  }
  return bytes
}

function encodeName(name: string): Uint8Array {
  const bytes = encoder.encode(name)
  if (bytes.byteLength < 1 || bytes.byteLength > 255) {
    throw new RangeError(`Cannot name a method: ${name.slice(0, 64)} is not 1 to 255 bytes long`)
  }
  return bytes
}

/**
 * The prelude at the start of a request's first frame, and where its message begins.
 *
 * @throws `P2pError` when it is cut off or malformed
 */
export function decodePrelude(body: Uint8Array): { prelude: Prelude; messageAt: number } {
  if (body.byteLength < FIXED_PRELUDE_BYTES) throw violation('a request without its prelude')
  const prelude: Prelude = {
    // A copy: it outlives the buffer that the frame arrived in.
    id: body.slice(0, REQUEST_ID_BYTES),
    timeoutMs: readUint32(body, 16),
    acked: readUint32(body, 20),
    credit: readUint32(body, 24),
    method: ((body[28] ?? 0) << 8) | (body[29] ?? 0),
  }
  if (prelude.timeoutMs === 0) throw violation('a request without a deadline')
  if (prelude.method !== 0) return { prelude, messageAt: FIXED_PRELUDE_BYTES }
  const protocol = decodeName(body, FIXED_PRELUDE_BYTES)
  const method = decodeName(body, protocol.end)
  prelude.name = { protocol: protocol.name, method: method.name }
  return { prelude, messageAt: method.end }
}

function decodeName(body: Uint8Array, at: number): { name: string; end: number } {
  const length = body[at] ?? 0
  const end = at + 1 + length
  if (length === 0 || end > body.byteLength) throw violation('a method name that is cut off')
  try {
    return { name: decoder.decode(body.subarray(at + 1, end)), end }
  } catch {
    throw violation('a method name that is not UTF-8')
  }
}

/** What a frame of kind error says (`wire.md §4.5`). */
export interface WireError {
  code: StatusCode
  ran: Ran
  layer: Layer
  reason: string | undefined
  message: string
}

/** The body of an error frame; a message past 512 bytes is cut at a character. */
export function encodeError(error: WireError): Uint8Array {
  const reason = encoder.encode(error.reason ?? '')
  const room = new Uint8Array(MAX_ERROR_MESSAGE_BYTES)
  const { written } = encoder.encodeInto(error.message, room)
  const body = new Uint8Array(4 + reason.byteLength + written)
  body[0] = STATUS_CODES.indexOf(error.code) + 1
  body[1] = RAN.indexOf(error.ran)
  body[2] = LAYERS.indexOf(error.layer)
  body[3] = reason.byteLength
  body.set(reason, 4)
  body.set(room.subarray(0, written), 4 + reason.byteLength)
  return body
}

/**
 * What an error frame says; unknown numbers read as `internal`, `maybe`, `handler`.
 *
 * @throws `P2pError` when it is cut off or longer than `wire.md §4.5` allows
 */
export function decodeError(body: Uint8Array): WireError {
  const reasonLength = body[3] ?? 0
  const messageAt = 4 + reasonLength
  if (body.byteLength < messageAt) throw violation('an error that is cut off')
  if (reasonLength > 32 || body.byteLength - messageAt > MAX_ERROR_MESSAGE_BYTES) {
    throw violation('an error that is too long')
  }
  const reason = String.fromCharCode(...body.subarray(4, messageAt))
  if (!/^[\x20-\x7e]*$/.test(reason)) throw violation('a reason that is not ASCII')
  let message: string
  try {
    message = decoder.decode(body.subarray(messageAt))
  } catch {
    throw violation('an error that is not UTF-8')
  }
  return {
    code: STATUS_CODES[(body[0] ?? 0) - 1] ?? 'internal',
    ran: RAN[body[1] ?? 3] ?? 'maybe',
    layer: LAYERS[body[2] ?? 8] ?? 'handler',
    reason: reason === '' ? undefined : reason,
    message,
  }
}

/** Per kind: who sends it, whether it is about a request, the length of its body where fixed, its flags. */
interface KindRule {
  sender: Side | 'both'
  aboutRequest: boolean
  length: number | undefined
  flags: number
}

const PARTS = FLAG_MORE | FLAG_CONT
const KINDS: readonly (KindRule | undefined)[] = [
  undefined,
  { sender: 'both', aboutRequest: false, length: INSTANCE_BYTES, flags: 0 },
  { sender: 'asker', aboutRequest: true, length: undefined, flags: PARTS },
  { sender: 'responder', aboutRequest: true, length: undefined, flags: PARTS },
  { sender: 'both', aboutRequest: true, length: undefined, flags: PARTS },
  { sender: 'both', aboutRequest: true, length: 0, flags: 0 },
  { sender: 'responder', aboutRequest: true, length: undefined, flags: 0 },
  { sender: 'asker', aboutRequest: true, length: 0, flags: 0 },
  { sender: 'both', aboutRequest: true, length: 4, flags: 0 },
  { sender: 'asker', aboutRequest: false, length: 4, flags: 0 },
  { sender: 'both', aboutRequest: false, length: PING_BYTES, flags: FLAG_REPLY },
]

/**
 * Gets one whole frame, or a piece of a long message: parts are cut further where they arrive in pieces, as if the other
 * side had cut them so. The body is a view of what was pushed, which the receiver keeps nothing of, unless it is `owned`:
 * then it has memory of its own that nothing else is in.
 */
export type OnFrame = (
  kind: number,
  flags: number,
  number: number,
  body: Uint8Array,
  owned: boolean,
) => void

/**
 * Cuts a byte stream into frames and checks their headers. Holds less than one frame; an announced length allocates
 * nothing. Of chunks pushed nothing is kept.
 */
export class FrameParser {
  readonly #sender: Side
  readonly #maxFrameBytes: number
  readonly #onFrame: OnFrame
  readonly #header = new Uint8Array(HEADER_BYTES)
  #headerBytes = 0
  // The body of the frame whose header is whole, as far as it came.
  #length = 0
  #held: Uint8Array = NO_BYTES
  #heldBytes = 0
  // Bytes of the body that were handed out in pieces.
  #handedBytes = 0
  #greeted = false

  /** `sender` is the side whose frames are read. */
  constructor(sender: Side, maxFrameBytes: number, onFrame: OnFrame) {
    this.#sender = sender
    this.#maxFrameBytes = maxFrameBytes
    this.#onFrame = onFrame
  }

  /** Bytes of the unfinished frame. */
  get heldBytes(): number {
    return this.#headerBytes + this.#heldBytes
  }

  /**
   * Takes the next bytes and hands out the frames that are whole.
   *
   * @throws `P2pError` at the first violation; nothing should be pushed after it
   */
  push(chunk: Uint8Array): void {
    let at = this.#headerBytes > 0 ? this.#resume(chunk) : 0
    const end = chunk.byteLength
    while (at < end) {
      if (end - at < HEADER_BYTES) {
        this.#startHeader(chunk, at)
        return
      }
      const length = this.#check(chunk, at)
      const bodyAt = at + HEADER_BYTES
      if (end - bodyAt < length) {
        this.#startHeader(chunk, at)
        this.#length = length
        if (end > bodyAt) this.#take(chunk.subarray(bodyAt))
        return
      }
      at = bodyAt + length
      this.#emit(chunk, bodyAt - HEADER_BYTES, chunk.subarray(bodyAt, at), false)
    }
  }

  #startHeader(chunk: Uint8Array, at: number): void {
    const bytes = Math.min(HEADER_BYTES, chunk.byteLength - at)
    for (let i = 0; i < bytes; i++) this.#header[i] = chunk[at + i] as number
    this.#headerBytes = bytes
  }

  /** Goes on with the unfinished frame; returns where it stopped reading. */
  #resume(chunk: Uint8Array): number {
    let at = 0
    if (this.#headerBytes < HEADER_BYTES) {
      while (this.#headerBytes < HEADER_BYTES && at < chunk.byteLength) {
        this.#header[this.#headerBytes] = chunk[at] as number
        this.#headerBytes += 1
        at += 1
      }
      if (this.#headerBytes < HEADER_BYTES) return at
      this.#length = this.#check(this.#header, 0)
    }
    const wanted = this.#length - this.#handedBytes - this.#heldBytes
    const left = chunk.byteLength - at
    if (left < wanted) {
      if (left > 0) this.#take(at === 0 ? chunk : chunk.subarray(at))
      return chunk.byteLength
    }
    const end = at + wanted
    if (this.#heldBytes === 0) {
      // All of it in one chunk, only its header was in another.
      this.#emit(this.#header, 0, chunk.subarray(at, end), false)
      return end
    }
    this.#hold(chunk.subarray(at, end))
    const body = this.#held
    this.#held = NO_BYTES
    this.#emit(this.#header, 0, body, true)
    return end
  }

  /** Takes what is there of a body: a piece of a long message goes on at once, anything else waits until it is whole. */
  #take(part: Uint8Array): void {
    const kind = this.#header[0] as number
    const flags = this.#header[1] as number
    const piece =
      (kind === KIND_RESPONSE && (flags & PARTS) !== 0) ||
      (kind === KIND_REQUEST && (flags & FLAG_CONT) !== 0)
    if (!piece) {
      this.#hold(part)
      return
    }
    const first = this.#handedBytes === 0 ? flags & FLAG_CONT : FLAG_CONT
    this.#handedBytes += part.byteLength
    this.#onFrame(kind, first | FLAG_MORE, readUint32(this.#header, 2), part, false)
  }

  /**
   * Holds a part of a body, in memory that grows with what came: to at most four times that, however much was announced.
   */
  #hold(part: Uint8Array): void {
    const bytes = this.#heldBytes + part.byteLength
    if (bytes > this.#held.byteLength) {
      const grown = new Uint8Array(Math.max(bytes, Math.min(this.#length, 4 * bytes)))
      grown.set(this.#held.subarray(0, this.#heldBytes))
      this.#held = grown
    }
    this.#held.set(part, this.#heldBytes)
    this.#heldBytes = bytes
  }

  #emit(header: Uint8Array, at: number, body: Uint8Array, owned: boolean): void {
    const kind = header[at] as number
    const flags = (header[at + 1] as number) | (this.#handedBytes > 0 ? FLAG_CONT : 0)
    const number = readUint32(header, at + 2)
    this.#greeted = true
    this.#headerBytes = 0
    this.#heldBytes = 0
    this.#handedBytes = 0
    this.#onFrame(kind, flags, number, body, owned)
  }

  /** Judges the header at `at` and returns the length of its body. */
  #check(bytes: Uint8Array, at: number): number {
    const kind = bytes[at] ?? 0
    const flags = bytes[at + 1] ?? 0
    const number = readUint32(bytes, at + 2)
    const length = readUint32(bytes, at + 6)
    const rule = KINDS[kind]
    if (rule === undefined) throw violation(`unknown kind ${kind}`)
    if (rule.sender !== 'both' && rule.sender !== this.#sender) {
      throw violation(`kind ${kind} from the ${this.#sender}`)
    }
    if ((flags & ~rule.flags) !== 0) throw violation(`flags ${flags} on kind ${kind}`)
    if ((number !== 0) !== rule.aboutRequest) throw violation(`number ${number} on kind ${kind}`)
    if (length > this.#maxFrameBytes) throw violation(`a frame of ${length} bytes`)
    if (rule.length !== undefined && length !== rule.length) {
      throw violation(`${length} bytes of kind ${kind}`)
    }
    if ((flags & FLAG_MORE) !== 0 && length === 0) throw violation('an empty part')
    if (kind !== KIND_HELLO && !this.#greeted) throw violation('no hello first')
    if (kind === KIND_HELLO && this.#greeted) throw violation('a second hello')
    return length
  }
}
