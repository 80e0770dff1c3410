/**
 * As much of protobuf as libp2p's small messages need: length-delimited fields and varints, written in field
 * order, read within the bytes at hand. Knows no message.
 */
import { concat } from '@stronghold/core'

import { encodeVarint } from './varint.ts'

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

/**
 * A varint field.
 *
 * @throws `RangeError` for a number that is no safe integer of at least zero, or a bigint outside 64 bits
 */
export function varintField(field: number, value: number | bigint): Uint8Array {
  const tag = encodeVarint(field * 8 + VARINT)
  return concat([tag, typeof value === 'number' ? encodeVarint(value) : encodeUint64(value)])
}

function encodeUint64(value: bigint): Uint8Array {
  if (value < 0n || value >= 1n << 64n) {
    throw new RangeError('Cannot encode protobuf: no integer of 64 bits')
  }
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}

/** A field of bytes, a string or a message. */
export function bytesField(field: number, value: Uint8Array): Uint8Array {
  return concat([encodeVarint(field * 8 + BYTES), encodeVarint(value.byteLength), value])
}

/** A field of eight bytes, least significant first. @throws `RangeError` for a bigint outside 64 bits */
export function fixed64Field(field: number, value: bigint): Uint8Array {
  if (value < 0n || value >= 1n << 64n) {
    throw new RangeError('Cannot encode protobuf: no integer of 64 bits')
  }
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value, true)
  return concat([encodeVarint(field * 8 + FIXED64), bytes])
}

/** One field as it was read: varints as numbers, above 2^53 − 1 as bigints, everything else as a view of the bytes. */
export interface ProtobufField {
  field: number
  value: number | bigint | Uint8Array
}

/**
 * The fields of a message in their order, unknown ones too. Work and memory stay within a small multiple of the
 * message's length.
 *
 * @throws `SyntaxError` for a truncated message, field number zero, a group, or a varint above 2^64 − 1
 */
export function decodeFields(message: Uint8Array): ProtobufField[] {
  const fields: ProtobufField[] = []
  const reader = new Reader(message)
  while (!reader.done) {
    const tag = reader.varint()
    const field = Math.floor(tag / 8)
    if (field === 0 || field >= 2 ** 29)
      throw new SyntaxError('Cannot read protobuf: no such field number')
    fields.push({ field, value: reader.value(tag % 8) })
  }
  return fields
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at >= this.#bytes.byteLength
  }

  /** A varint that counts or names something here: no more than a safe integer. */
  varint(): number {
    const value = this.integer()
    if (typeof value === 'bigint') throw new SyntaxError('Cannot read protobuf: number too large')
    return value
  }

  // Protobuf allows longer forms of a number than needed, up to ten bytes.
  integer(): number | bigint {
    const from = this.#at
    let value = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw new SyntaxError('Cannot read protobuf: cut off')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return Number.isSafeInteger(value) ? value : this.#large(from)
      scale *= 0x80
    }
    throw new SyntaxError('Cannot read protobuf: number too long')
  }

  #large(from: number): bigint {
    let value = 0n
    for (let at = this.#at - 1; at >= from; at--) {
      value = (value << 7n) | BigInt((this.#bytes[at] ?? 0) & 0x7f)
    }
    if (value >= 1n << 64n) throw new SyntaxError('Cannot read protobuf: number too large')
    return value
  }

  value(wireType: number): number | bigint | Uint8Array {
    switch (wireType) {
      case VARINT:
        return this.integer()
      case FIXED64:
        return this.#take(8)
      case BYTES:
        return this.#take(this.varint())
      case FIXED32:
        return this.#take(4)
      default:
        throw new SyntaxError('Cannot read protobuf: unknown wire type')
    }
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.byteLength - this.#at)
      throw new SyntaxError('Cannot read protobuf: cut off')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}
