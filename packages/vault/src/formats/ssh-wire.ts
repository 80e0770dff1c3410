/** The data types of the SSH protocol (RFC 4251 §5), read and written. It knows no message. What it reads are views. */
import { concat, decodeUtf8, encodeUtf8 } from '@stronghold/core'

import { unsignedInteger } from './ecdsa-signature.ts'

/** Reads values one after another out of bytes. */
export class SshReader {
  readonly #bytes: Uint8Array
  readonly #what: string
  #at = 0

  /** @param what - what is read, for the messages of errors */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  /** Bytes that were not read yet. */
  get left(): number {
    return this.#bytes.byteLength - this.#at
  }

  /** That many bytes as they stand. @throws `SyntaxError` with the place, where there are fewer */
  take(length: number): Uint8Array {
    if (length > this.left) throw this.refuse('cut off')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** One byte. @throws as `take` */
  byte(): number {
    const [byte] = this.take(1)
    return byte ?? 0
  }

  /** A number of 32 bits. @throws as `take` */
  uint32(): number {
    let value = 0
    for (const byte of this.take(4)) value = value * 256 + byte
    return value
  }

  /** The bytes of a `string`, a view. @throws as `take` */
  string(): Uint8Array {
    return this.take(this.uint32())
  }

  /**
   * A `string` that people may be shown: UTF-8 without control characters, at most 255 bytes.
   *
   * @throws `SyntaxError` with the place
   */
  text(): string {
    const bytes = this.string()
    if (bytes.byteLength > 255) throw this.refuse('a text that is too long')
    let text: string
    try {
      text = decodeUtf8(bytes)
    } catch {
      throw this.refuse('a text that is not UTF-8')
    }
    if (!isPrintable(text)) throw this.refuse('a text with control characters')
    return text
  }

  /** Says that the next `string` is that text. @throws `SyntaxError` with the place */
  expect(text: string): void {
    const found = this.string()
    if (!equalText(found, text)) throw this.refuse(`no "${text}"`)
  }

  /**
   * A number of at most `out.byteLength` bytes that is not negative, written there big-endian, so that a secret one
   * stays in secret memory.
   *
   * @throws `SyntaxError` with the place
   */
  mpintInto(out: Uint8Array): void {
    const signed = this.string()
    const value = signed.byteLength === 0 ? signed : unsignedInteger(signed)
    // RFC 4251 §5: zero is no byte at all.
    if (value === undefined || (value.byteLength === 1 && value[0] === 0)) {
      throw this.refuse('a number that is negative or not in its shortest form')
    }
    if (value.byteLength > out.byteLength) throw this.refuse('a number that is too long')
    out.fill(0)
    out.set(value, out.byteLength - value.byteLength)
  }

  /** Says that nothing is left. @throws `SyntaxError` with the place */
  end(): void {
    if (this.left !== 0) throw this.refuse('more than there should be')
  }

  /** An error that names the place read last. The caller throws it. */
  refuse(state: string): SyntaxError {
    return new SyntaxError(`Cannot read ${this.#what}: ${state} at byte ${this.#at}`)
  }
}

/** A number of 32 bits. */
export function sshUint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

/** A `string`: its length, then the bytes, or text as UTF-8. */
export function sshString(value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === 'string' ? encodeUtf8(value) : value
  return concat([sshUint32(bytes.byteLength), bytes])
}

/** Whether text has no control characters (C0, DEL, C1, line and paragraph separators) and nothing that turns its direction. */
export function isPrintable(text: string): boolean {
  return !/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(text)
}

/** Whether bytes are that ASCII text. */
export function equalText(bytes: Uint8Array, text: string): boolean {
  if (bytes.byteLength !== text.length) return false
  return bytes.every((byte, i) => byte === text.charCodeAt(i))
}
