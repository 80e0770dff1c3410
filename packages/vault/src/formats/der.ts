/**
 * DER, the strict binary form of ASN.1 (X.690 §10), as far as keys and signatures need it: one-byte tags, definite
 * lengths in their shortest form. It knows no structure and never recurses: the depth is that of the code that enters.
 * What it reads are views, so secrets stay where they lie.
 */
import { concat } from '@stronghold/core'

// X.690 §8.1.2 and §8.3–§8.19: universal tags.
export const INTEGER = 0x02
export const BIT_STRING = 0x03
export const OCTET_STRING = 0x04
export const OID = 0x06
export const SEQUENCE = 0x30

/** The tag of a context-specific element, `[number]`; constructed where it holds elements. */
export function contextTag(number: number, form: 'primitive' | 'constructed'): number {
  return (form === 'constructed' ? 0xa0 : 0x80) + number
}

/** Reads elements one after another. */
export class DerReader {
  readonly #bytes: Uint8Array
  readonly #what: string
  /** Where these bytes begin in the whole, so that errors name the place in the file. */
  readonly #offset: number
  #at = 0

  /** @param what - what is read, for the messages of errors */
  constructor(bytes: Uint8Array, what: string, offset = 0) {
    this.#bytes = bytes
    this.#what = what
    this.#offset = offset
  }

  /** The tag of the next element, undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#at]
  }

  /**
   * What the next element holds, a view.
   *
   * @throws `SyntaxError` with the place, when it has another tag or is no strict DER
   */
  next(tag: number): Uint8Array {
    const found = this.#byte()
    if (found !== tag) {
      this.#at -= 1
      throw this.refuse(`tag ${hex(found)} where ${hex(tag)} is expected`)
    }
    const length = this.#length()
    if (length > this.#bytes.byteLength - this.#at) throw this.refuse('cut off')
    const from = this.#at
    this.#at += length
    return this.#bytes.subarray(from, this.#at)
  }

  /** A reader of the elements inside the next one. @throws as `next` */
  enter(tag: number): DerReader {
    const inside = this.next(tag)
    return new DerReader(inside, this.#what, this.#offset + this.#at - inside.byteLength)
  }

  /** A whole number from 0 to 127, as versions are. @throws as `next` */
  smallInteger(): number {
    const content = this.next(INTEGER)
    const value = content[0]
    if (content.byteLength !== 1 || value === undefined || value > 127) {
      throw this.refuse('no small integer')
    }
    return value
  }

  /** The bytes of the next BIT STRING, which must be whole bytes. @throws as `next` */
  bitString(tag: number = BIT_STRING): Uint8Array {
    const content = this.next(tag)
    if (content[0] !== 0) throw this.refuse('a bit string that is no whole bytes')
    return content.subarray(1)
  }

  /** Says that nothing is left. @throws `SyntaxError` */
  end(): void {
    if (this.#at !== this.#bytes.byteLength) throw this.refuse('more than there should be')
  }

  /** An error that names the place read last. The caller throws it. */
  refuse(state: string): SyntaxError {
    return new SyntaxError(`Cannot read ${this.#what}: ${state} at byte ${this.#offset + this.#at}`)
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw this.refuse('cut off')
    this.#at += 1
    return byte
  }

  #length(): number {
    const first = this.#byte()
    if (first < 0x80) return first
    const count = first - 0x80
    if (count === 0) throw this.refuse('an indefinite length')
    // Two bytes count to 64 KiB, which is longer than anything that is read here.
    if (count > 2) throw this.refuse('a length that is too long')
    let length = 0
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte()
    if (length < 0x80 || (count === 2 && length < 0x100)) {
      throw this.refuse('a length that is not in its shortest form')
    }
    return length
  }
}

/**
 * An element with that tag around parts.
 *
 * @throws `RangeError` for 64 KiB or more
 */
export function derElement(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0)
  if (length > 0xffff) throw new RangeError(`Cannot write DER: ${length} bytes are too many`)
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff]
  return concat([Uint8Array.from(head), ...parts])
}

/** A BIT STRING of whole bytes. */
export function derBitString(bytes: Uint8Array): Uint8Array {
  return derElement(BIT_STRING, Uint8Array.of(0), bytes)
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`
}
