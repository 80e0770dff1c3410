/**
 * DER, the strict binary form of ASN.1 (X.690 §10), as far as keys and certificates need it: one-byte tags, definite
 * lengths in their shortest form. Knows no structure.
 */
import { concat } from '@stronghold/core'

// X.690 §8.1.2 and §8.4–§8.19: universal tags; 0xa0 and up are context-specific and constructed.
export const BOOLEAN = 0x01
export const INTEGER = 0x02
export const BIT_STRING = 0x03
export const OCTET_STRING = 0x04
export const NULL = 0x05
export const OID = 0x06
export const UTF8_STRING = 0x0c
export const UTC_TIME = 0x17
export const GENERALIZED_TIME = 0x18
export const SEQUENCE = 0x30
export const SET = 0x31

/** An element: its tag, what it holds, and the whole of it with tag and length. Both are views. */
export interface DerElement {
  tag: number
  content: Uint8Array
  whole: Uint8Array
}

/** Reads elements one after another out of bytes that hold nothing else. */
export class DerReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** True when every byte was read. */
  get done(): boolean {
    return this.#at === this.#bytes.byteLength
  }

  /** The tag of the next element, undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#at]
  }

  /** The next element, of that tag. @throws `SyntaxError` when it is another, or no strict DER */
  next(tag: number): DerElement {
    const from = this.#at
    if (this.#byte() !== tag) throw new SyntaxError('Cannot read DER: unexpected tag')
    const length = this.#length()
    if (length > this.#bytes.byteLength - this.#at)
      throw new SyntaxError('Cannot read DER: cut off')
    const start = this.#at
    this.#at += length
    return {
      tag,
      content: this.#bytes.subarray(start, this.#at),
      whole: this.#bytes.subarray(from, this.#at),
    }
  }

  /** The next element whatever its tag. @throws `SyntaxError` at the end, or for no strict DER */
  any(): DerElement {
    const tag = this.peek()
    if (tag === undefined) throw new SyntaxError('Cannot read DER: cut off')
    if ((tag & 0x1f) === 0x1f) throw new SyntaxError('Cannot read DER: tag of several bytes')
    return this.next(tag)
  }

  /** A reader of the next element's content, of that tag. @throws `SyntaxError` as `next` */
  into(tag: number): DerReader {
    return new DerReader(this.next(tag).content)
  }

  /** The bytes of a BIT STRING of whole bytes. @throws `SyntaxError` for unused bits, and as `next` */
  bits(): Uint8Array {
    const { content } = this.next(BIT_STRING)
    if (content[0] !== 0) throw new SyntaxError('Cannot read DER: bit string of no whole bytes')
    return content.subarray(1)
  }

  /** A non-negative INTEGER without its leading zero. @throws `SyntaxError` if negative or not in shortest form */
  natural(): Uint8Array {
    const { content } = this.next(INTEGER)
    const [first, second] = content
    if (first === undefined || first >= 0x80)
      throw new SyntaxError('Cannot read DER: no natural number')
    if (first !== 0 || content.byteLength === 1) return content
    if (second === undefined || second < 0x80)
      throw new SyntaxError('Cannot read DER: number too long')
    return content.subarray(1)
  }

  /** @throws `SyntaxError` when bytes are left */
  end(): void {
    if (!this.done) throw new SyntaxError('Cannot read DER: bytes left over')
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw new SyntaxError('Cannot read DER: cut off')
    return byte
  }

  #length(): number {
    const first = this.#byte()
    if (first < 0x80) return first
    // Three length bytes are 16 MiB, more than any caller lets through.
    const count = first & 0x7f
    if (count === 0 || count > 3) throw new SyntaxError('Cannot read DER: length out of range')
    let length = 0
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte()
    if (length < 0x80 || length < 256 ** (count - 1)) {
      throw new SyntaxError('Cannot read DER: length not in its shortest form')
    }
    return length
  }
}

/** One element out of its content. */
export function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concat(content)
  const length: number[] = []
  for (let rest = body.byteLength; rest > 0; rest = Math.floor(rest / 256))
    length.unshift(rest % 256)
  const head =
    body.byteLength < 0x80 ? [tag, body.byteLength] : [tag, 0x80 | length.length, ...length]
  return concat([Uint8Array.from(head), body])
}

/** A BIT STRING of whole bytes. */
export function derBits(bytes: Uint8Array): Uint8Array {
  return der(BIT_STRING, Uint8Array.of(0), bytes)
}

/** A non-negative INTEGER from big-endian bytes. */
export function derNatural(bytes: Uint8Array): Uint8Array {
  let from = 0
  while (from < bytes.byteLength - 1 && bytes[from] === 0) from++
  const rest = bytes.subarray(from)
  if (rest.byteLength === 0) return der(INTEGER, Uint8Array.of(0))
  return (rest[0] as number) < 0x80 ? der(INTEGER, rest) : der(INTEGER, Uint8Array.of(0), rest)
}

/** An OBJECT IDENTIFIER from its dotted text, given by this project, never by a peer. */
export function derOid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes: number[] = []
  for (const arc of [first * 40 + second, ...rest]) {
    const group = [arc % 128]
    for (let high = Math.floor(arc / 128); high > 0; high = Math.floor(high / 128)) {
      group.unshift(128 + (high % 128))
    }
    bytes.push(...group)
  }
  return der(OID, Uint8Array.from(bytes))
}
