/**
 * Deterministic CBOR (RFC 8949 §4.2.1): one value has one form, and what is not in that form is refused.
 * It knows null, booleans, undefined, integers of 64 bits, bytes, text, arrays and plain objects; no tags.
 * Floats only where the caller asks. It knows nothing of the messages it carries.
 */
import { decodeUtf8 } from './bytes.ts'

/** What may be encoded. */
export interface EncodeOptions {
  /** Numbers that are no safe integer become floats, in the shortest of 16, 32 and 64 bits. Default false: refused. */
  floats?: boolean
  /** Deepest nesting of arrays and objects. Default 32, at most 1,024. */
  maxDepth?: number
  /** Longest result, in bytes. Checked before it is allocated. Default: none. */
  maxBytes?: number
}

/** What may be decoded. The limits are the receiver's. */
export interface DecodeOptions {
  /** Floats are taken. Default false. */
  floats?: boolean
  /** Deepest nesting of arrays and objects. Default 32, at most 1,024. */
  maxDepth?: number
  /** Longest input, in bytes. Default 4 MiB. */
  maxBytes?: number
  /** Values in the input, nested ones and keys included: one byte can be an object. Default 262,144. */
  maxItems?: number
}

const DEFAULT_DEPTH = 32
const MAX_DEPTH = 1024 // recursion that deep stays far from the end of the stack
const DEFAULT_MAX_BYTES = 4 * 1024 * 1024
const DEFAULT_MAX_ITEMS = 262_144

// RFC 8949 §3.1, major types, in the upper three bits of the head.
const UNSIGNED = 0x00
const NEGATIVE = 0x20
const BYTES = 0x40
const TEXT = 0x60
const ARRAY = 0x80
const MAP = 0xa0
const TAG = 0xc0
const SIMPLE = 0xe0

// RFC 8949 §3.3.
const FALSE = 0xf4
const TRUE = 0xf5
const NULL = 0xf6
const UNDEFINED = 0xf7
const FLOAT16 = 0xf9
const FLOAT32 = 0xfa
const FLOAT64 = 0xfb

const TWO_32 = 2 ** 32

/**
 * One value as deterministic CBOR. Properties that are `undefined` are left out; -0 becomes 0; a safe integer
 * is an integer, also where floats are allowed; a bigint within the safe integers equals that number.
 *
 * @throws `TypeError` for a value without a form here, `RangeError` past `maxDepth` (so for a cycle) or `maxBytes`
 */
export function encode(value: unknown, options: EncodeOptions = {}): Uint8Array {
  const floats = options.floats ?? false
  // Sized first, written second: one allocation of the right size, and no scratch memory holding a copy.
  const size = sizeOf(value, floats, depthOf(options.maxDepth))
  if (options.maxBytes !== undefined && size > options.maxBytes) {
    throw new RangeError(`Cannot encode value: ${size} bytes where ${options.maxBytes} are allowed`)
  }
  const writer = new Writer(size, floats)
  writer.value(value)
  // A getter may answer differently the second time; writes past the end of a typed array are silently lost.
  if (writer.at !== size) throw new TypeError('Cannot encode value: it changed meanwhile')
  return writer.bytes
}

/**
 * The value that `bytes` is the one form of. Integers beyond the safe ones are bigints; byte strings are copies;
 * objects are plain, and a key `__proto__` is a property like any other.
 *
 * @throws `SyntaxError`, naming the offset, for anything that `encode` would not have written;
 *   `RangeError` past `maxDepth`, `maxBytes` or `maxItems`
 */
export function decode(bytes: Uint8Array, options: DecodeOptions = {}): unknown {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
  if (bytes.byteLength > maxBytes) {
    throw new RangeError(
      `Cannot decode CBOR: ${bytes.byteLength} bytes where ${maxBytes} are allowed`,
    )
  }
  const reader = new Reader(bytes, options.floats ?? false, options.maxItems ?? DEFAULT_MAX_ITEMS)
  const value = reader.value(depthOf(options.maxDepth))
  if (reader.at !== bytes.byteLength) throw reader.bad('bytes after the value', reader.at)
  return value
}

function depthOf(maxDepth: number = DEFAULT_DEPTH): number {
  if (!(maxDepth >= 0 && maxDepth <= MAX_DEPTH)) {
    throw new RangeError(`Cannot set maxDepth: not between 0 and ${MAX_DEPTH}`)
  }
  return maxDepth
}

// --- Encoding: size, then bytes

function sizeOf(value: unknown, floats: boolean, depth: number): number {
  switch (typeof value) {
    case 'string': {
      const length = utf8Length(value)
      return headSize(length) + length
    }
    case 'number':
      if (Number.isSafeInteger(value)) return headSize(value < 0 ? -1 - value : value)
      if (floats) return floatSize(value)
      throw cannot(Number.isInteger(value) ? 'an unsafe integer (use a bigint)' : 'a float')
    case 'boolean':
    case 'undefined':
      return 1
    case 'bigint': {
      const magnitude = value < 0n ? -1n - value : value
      if (magnitude >> 64n !== 0n) throw cannot('an integer beyond 64 bits')
      return magnitude >> 32n === 0n ? headSize(Number(magnitude)) : 9
    }
    case 'object':
      break
    default:
      throw cannot(`a ${typeof value}`)
  }
  if (value === null) return 1
  if (value instanceof Uint8Array) return headSize(value.byteLength) + value.byteLength
  if (depth === 0) throw new RangeError('Cannot encode value: nested too deep')
  if (Array.isArray(value)) {
    let size = headSize(value.length)
    for (const item of value as unknown[]) size += sizeOf(item, floats, depth - 1)
    return size
  }
  assertPlain(value)
  let size = 0
  let count = 0
  for (const key of Object.keys(value)) {
    const item = value[key]
    if (item === undefined) continue
    const length = utf8Length(key)
    size += headSize(length) + length + sizeOf(item, floats, depth - 1)
    count++
  }
  return headSize(count) + size
}

function headSize(argument: number): number {
  if (argument < 24) return 1
  if (argument < 0x100) return 2
  if (argument < 0x10000) return 3
  return argument < TWO_32 ? 5 : 9
}

function floatSize(value: number): number {
  if (Number.isNaN(value) || Math.f16round(value) === value) return 3
  return Math.fround(value) === value ? 5 : 9
}

/** Bytes of the text in UTF-8. */
function utf8Length(text: string): number {
  let length = text.length
  let surrogates = false
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    if (unit < 0x800) length++
    else if ((unit & 0xf800) !== 0xd800) length += 2
    else {
      length++ // two bytes for each half of a pair
      surrogates = true
    }
  }
  if (surrogates && !text.isWellFormed()) throw cannot('text with a lone surrogate')
  return length
}

function assertPlain(value: object): asserts value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return
  // Plain objects of another realm have another Object.prototype, which has no prototype either.
  if (
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype as object, 'hasOwnProperty')
  ) {
    return
  }
  throw cannot('an object that is not plain')
}

function cannot(what: string): TypeError {
  return new TypeError(`Cannot encode value: ${what} has no form here`)
}

const utf8 = new TextEncoder()
const SHORT_TEXT = 96 // below, a loop is faster than the call into TextEncoder

class Writer {
  readonly bytes: Uint8Array
  at = 0
  readonly #floats: boolean

  constructor(size: number, floats: boolean) {
    this.bytes = new Uint8Array(size)
    this.#floats = floats
  }

  value(value: unknown): void {
    switch (typeof value) {
      case 'string':
        this.#text(value, utf8Length(value))
        return
      case 'number':
        this.#number(value)
        return
      case 'boolean':
        this.bytes[this.at++] = value ? TRUE : FALSE
        return
      case 'undefined':
        this.bytes[this.at++] = UNDEFINED
        return
      case 'bigint':
        this.#bigint(value)
        return
      default:
        this.#object(value)
    }
  }

  #object(value: unknown): void {
    if (value === null) this.bytes[this.at++] = NULL
    else if (value instanceof Uint8Array) {
      this.#head(BYTES, value.byteLength)
      if (this.at + value.byteLength <= this.bytes.byteLength) this.bytes.set(value, this.at)
      this.at += value.byteLength
    } else if (Array.isArray(value)) {
      this.#head(ARRAY, value.length)
      for (const item of value as unknown[]) this.value(item)
    } else this.#map(value as Record<string, unknown>)
  }

  #head(major: number, argument: number): void {
    const { bytes } = this
    if (argument < 24) {
      bytes[this.at++] = major | argument
    } else if (argument < 0x100) {
      bytes[this.at++] = major | 24
      bytes[this.at++] = argument
    } else if (argument < 0x10000) {
      bytes[this.at++] = major | 25
      bytes[this.at++] = argument >>> 8
      bytes[this.at++] = argument
    } else if (argument < TWO_32) {
      bytes[this.at++] = major | 26
      this.#uint32(argument)
    } else {
      bytes[this.at++] = major | 27
      this.#uint32(Math.floor(argument / TWO_32))
      this.#uint32(argument % TWO_32)
    }
  }

  #uint32(value: number): void {
    const { bytes } = this
    bytes[this.at++] = value >>> 24
    bytes[this.at++] = value >>> 16
    bytes[this.at++] = value >>> 8
    bytes[this.at++] = value
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value)) {
      if (value < 0) this.#head(NEGATIVE, -1 - value)
      else this.#head(UNSIGNED, value)
    } else if (this.#floats) {
      const size = floatSize(value)
      const view = new DataView(this.bytes.buffer)
      this.bytes[this.at] = size === 3 ? FLOAT16 : size === 5 ? FLOAT32 : FLOAT64
      // Any NaN becomes the canonical one, 0x7e00: the engine may keep the bits of another.
      if (Number.isNaN(value)) view.setUint16(this.at + 1, 0x7e00)
      else if (size === 3) view.setFloat16(this.at + 1, value)
      else if (size === 5) view.setFloat32(this.at + 1, value)
      else view.setFloat64(this.at + 1, value)
      this.at += size
    }
  }

  #bigint(value: bigint): void {
    const major = value < 0n ? NEGATIVE : UNSIGNED
    const magnitude = value < 0n ? -1n - value : value
    if (magnitude >> 32n === 0n) {
      this.#head(major, Number(magnitude))
      return
    }
    this.bytes[this.at++] = major | 27
    this.#uint32(Number(magnitude >> 32n))
    this.#uint32(Number(magnitude & 0xffff_ffffn))
  }

  #text(text: string, length: number): void {
    this.#head(TEXT, length)
    const { bytes } = this
    if (length === text.length && length < SHORT_TEXT) {
      for (let i = 0; i < length; i++) bytes[this.at++] = text.charCodeAt(i)
    } else {
      utf8.encodeInto(text, bytes.subarray(this.at))
      this.at += length
    }
  }

  #map(value: Record<string, unknown>): void {
    const keys: string[] = []
    let ascii = true
    for (const key of Object.keys(value)) {
      if (value[key] === undefined) continue
      if (utf8Length(key) !== key.length) ascii = false
      keys.push(key)
    }
    sortKeys(keys, ascii ? compareAscii : compareKeys)
    this.#head(MAP, keys.length)
    for (const key of keys) {
      this.#text(key, ascii ? key.length : utf8Length(key))
      this.value(value[key])
    }
  }
}

/** Sorts in place. Maps are small and mostly in order, where this beats the general sort. */
function sortKeys(keys: string[], compare: (a: string, b: string) => number): void {
  if (keys.length > FEW_KEYS) {
    keys.sort(compare)
    return
  }
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i] as string
    let at = i
    while (at > 0 && compare(keys[at - 1] as string, key) > 0) {
      keys[at] = keys[at - 1] as string
      at--
    }
    keys[at] = key
  }
}

const FEW_KEYS = 16

/** `compareKeys` for keys of ASCII alone. */
function compareAscii(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1)
}

/** The order of the encoded keys: shorter first, as the head says the length, then by code point. */
function compareKeys(a: string, b: string): number {
  const difference = utf8Length(a) - utf8Length(b)
  if (difference !== 0) return difference
  for (let i = 0; i < a.length && i < b.length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    // Surrogates stand below U+E000 in UTF-16 and above U+FFFF in UTF-8.
    const high = (x & 0xf800) === 0xd800
    if (high !== ((y & 0xf800) === 0xd800)) return high ? 1 : -1
    return x - y
  }
  return a.length - b.length
}

// --- Decoding

class Reader {
  at = 0
  readonly #bytes: Uint8Array
  readonly #end: number
  readonly #floats: boolean
  #items: number

  constructor(bytes: Uint8Array, floats: boolean, maxItems: number) {
    // A plain view: a subclass may slice into views of itself, and what is given out must be copies.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#end = bytes.byteLength
    this.#floats = floats
    this.#items = maxItems
  }

  bad(what: string, at: number): SyntaxError {
    return new SyntaxError(`Cannot decode CBOR: ${what} at byte ${at}`)
  }

  /** @param depth - containers that may still be opened */
  value(depth: number): unknown {
    if (--this.#items < 0) throw new RangeError('Cannot decode CBOR: too many values')
    const start = this.at
    if (start >= this.#end) throw this.bad('ends too early', start)
    const initial = this.#bytes[this.at++] as number
    const major = initial & 0xe0
    if (major === SIMPLE) return this.#simple(initial, start)
    if (major === TAG) throw this.bad('a tag', start)
    const argument = this.#argument(initial & 0x1f, start)
    if (major === UNSIGNED) return argument
    if (major === NEGATIVE) {
      if (typeof argument === 'bigint') return -1n - argument
      return argument < Number.MAX_SAFE_INTEGER ? -1 - argument : -1n - BigInt(argument)
    }
    // Before anything is made from it, a length must fit into what is left: one byte at least for each item.
    const left = this.#end - this.at
    if (argument > (major === MAP ? left / 2 : left)) throw this.bad('ends too early', start)
    const length = Number(argument)
    if (major === BYTES) {
      const from = this.at
      this.at += length
      return this.#bytes.slice(from, this.at)
    }
    if (major === TEXT) return this.#text(length, start)
    if (depth === 0) throw new RangeError('Cannot decode CBOR: nested too deep')
    if (major === MAP) return this.#map(length, depth - 1)
    const items: unknown[] = []
    for (let i = 0; i < length; i++) items.push(this.value(depth - 1))
    return items
  }

  #argument(info: number, start: number): number | bigint {
    if (info < 24) return info
    if (info > 27) throw this.bad('an indefinite or reserved length', start)
    const bytes = this.#bytes
    const size = 1 << (info - 24)
    if (this.at + size > this.#end) throw this.bad('ends too early', start)
    let value: number | bigint
    let least: number
    if (size === 1) {
      value = bytes[this.at] as number
      least = 24
    } else if (size === 2) {
      value = ((bytes[this.at] as number) << 8) | (bytes[this.at + 1] as number)
      least = 0x100
    } else if (size === 4) {
      value = this.#uint32(this.at)
      least = 0x10000
    } else {
      const high = this.#uint32(this.at)
      const low = this.#uint32(this.at + 4)
      value = high < 0x20_0000 ? high * TWO_32 + low : (BigInt(high) << 32n) | BigInt(low)
      least = TWO_32
    }
    if (value < least) throw this.bad('a number not in its shortest form', start)
    this.at += size
    return value
  }

  #uint32(at: number): number {
    const bytes = this.#bytes
    return (
      (((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number)) >>>
      0
    )
  }

  #simple(initial: number, start: number): unknown {
    switch (initial) {
      case FALSE:
        return false
      case TRUE:
        return true
      case NULL:
        return null
      case UNDEFINED:
        return undefined
      case FLOAT16:
      case FLOAT32:
      case FLOAT64:
        return this.#float(initial, start)
    }
    throw this.bad('an unknown simple value', start)
  }

  #float(initial: number, start: number): number {
    if (!this.#floats) throw this.bad('a float', start)
    const size = initial === FLOAT16 ? 3 : initial === FLOAT32 ? 5 : 9
    if (start + size > this.#end) throw this.bad('ends too early', start)
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + start + 1, size - 1)
    const value =
      size === 3 ? view.getFloat16(0) : size === 5 ? view.getFloat32(0) : view.getFloat64(0)
    const canonical = Number.isNaN(value) ? size === 3 && view.getUint16(0) === 0x7e00 : true
    if (!canonical || floatSize(value) !== size || Number.isSafeInteger(value)) {
      throw this.bad('a float not in its shortest form', start)
    }
    this.at = start + size
    return value
  }

  #text(length: number, start: number): string {
    const from = this.at
    const to = from + length
    this.at = to
    const bytes = this.#bytes
    if (length < SHORT_TEXT) {
      let text = ''
      let at = from
      for (; at < to; at++) {
        const byte = bytes[at] as number
        if (byte > 0x7f) break
        text += String.fromCharCode(byte)
      }
      if (at === to) return text
    }
    try {
      return decodeUtf8(bytes.subarray(from, to))
    } catch {
      throw this.bad('text that is not UTF-8', start)
    }
  }

  #map(count: number, depth: number): Record<string, unknown> {
    const map: Record<string, unknown> = {}
    let lastFrom = 0
    let lastTo = 0
    for (let i = 0; i < count; i++) {
      const from = this.at
      if (from < this.#end && ((this.#bytes[from] as number) & 0xe0) !== TEXT) {
        throw this.bad('a key that is not text', from)
      }
      const key = this.value(0) as string
      if (i > 0 && !this.#ordered(lastFrom, lastTo, from, this.at)) {
        throw this.bad('keys repeated or out of order', from)
      }
      lastFrom = from
      lastTo = this.at
      const at = this.at
      const item = this.value(depth)
      // Encoding leaves such properties out, so bytes that hold one are not the one form of their value.
      if (item === undefined) throw this.bad('an undefined property', at)
      if (key === '__proto__') {
        // An assignment would set the prototype of the object.
        const own = { value: item, writable: true, enumerable: true, configurable: true }
        Object.defineProperty(map, key, own)
      } else map[key] = item
    }
    return map
  }

  /** Whether the first range of bytes stands strictly before the second. */
  #ordered(aFrom: number, aTo: number, bFrom: number, bTo: number): boolean {
    const bytes = this.#bytes
    for (let a = aFrom, b = bFrom; a < aTo && b < bTo; a++, b++) {
      const difference = (bytes[a] as number) - (bytes[b] as number)
      if (difference !== 0) return difference < 0
    }
    return false // heads tell lengths, so a prefix is the same key
  }
}
