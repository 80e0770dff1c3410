/**
 * The header of an age file (age-encryption.org/v1 "Header"): stanzas in, bytes out, and the reverse, strictly one form
 * for each. It opens no stanza and holds no secret.
 */
import { concat, encodeUtf8, equalBytes } from '@stronghold/core'

import { MAX_AGE_HEADER_BYTES, MAX_AGE_STANZAS } from '../limits.ts'

import type { ByteReader } from './age-reader.ts'
import { decodeBase64, decodedBase64Length, encodeBase64 } from './base64.ts'

/** The file key, wrapped for one recipient. */
export interface AgeStanza {
  /** At least one, each of visible ASCII; the first is the type. */
  readonly args: readonly string[]
  readonly body: Uint8Array
}

/** A header that was read. */
export interface AgeHeader {
  /** At least one. */
  readonly stanzas: readonly AgeStanza[]
  /** What the MAC is over: all before the space behind `---`. */
  readonly authenticated: Uint8Array
  /** 32 bytes. */
  readonly mac: Uint8Array
}

const VERSION_LINE = encodeUtf8('age-encryption.org/v1')
const COLUMNS = 64
const MAC_BYTES = 32
const latin1 = new TextDecoder('latin1')

/** What a MAC is over, for these stanzas. */
export function encodeAgeStanzas(stanzas: readonly AgeStanza[]): Uint8Array {
  let text = 'age-encryption.org/v1\n'
  for (const { args, body } of stanzas) {
    const lines = encodeBase64(body, 'unpadded')
    text += `-> ${args.join(' ')}\n`
    // A body ends with a line that is not full, so a full one is followed by an empty one.
    for (let at = 0; at <= lines.length; at += COLUMNS) text += `${lines.slice(at, at + COLUMNS)}\n`
  }
  return encodeUtf8(`${text}---`)
}

/** The last line, which follows what `encodeAgeStanzas` made. */
export function encodeAgeMac(mac: Uint8Array): Uint8Array {
  return encodeUtf8(` ${encodeBase64(mac, 'unpadded')}\n`)
}

/**
 * Reads a header to its end, and nothing behind it.
 *
 * @throws `SyntaxError` naming the line, `RangeError` past `MAX_AGE_HEADER_BYTES` or `MAX_AGE_STANZAS`
 */
export async function readAgeHeader(reader: ByteReader): Promise<AgeHeader> {
  const lines = new HeaderLines(reader)
  if (!equalBytes(await lines.next(), VERSION_LINE)) throw lines.bad('not an age file of version 1')
  const stanzas: AgeStanza[] = []
  for (;;) {
    const line = await lines.next()
    if (beginsWith(line, '-> ')) {
      if (stanzas.length === MAX_AGE_STANZAS) {
        throw new RangeError(`Cannot read age header: more than ${MAX_AGE_STANZAS} recipients`)
      }
      stanzas.push({ args: lines.arguments(line), body: await lines.body() })
    } else if (beginsWith(line, '--- ')) {
      if (stanzas.length === 0) throw lines.bad('no recipient')
      const mac = lines.base64(line.subarray(4))
      if (mac.byteLength !== MAC_BYTES) throw lines.bad(`a MAC of ${mac.byteLength} bytes`)
      return { stanzas, authenticated: lines.authenticated(), mac }
    } else throw lines.bad('neither a recipient nor the MAC')
  }
}

/** The lines of one header, counted and kept for the MAC. */
class HeaderLines {
  readonly #reader: ByteReader
  readonly #before: Uint8Array[] = []
  #bytes = 0
  #number = 0

  constructor(reader: ByteReader) {
    this.#reader = reader
  }

  async next(): Promise<Uint8Array> {
    this.#number++
    const line = await this.#line()
    if (line === undefined) throw this.bad('the file ends')
    this.#bytes += line.byteLength + 1
    this.#before.push(line, LINE_FEED)
    return line
  }

  async #line(): Promise<Uint8Array | undefined> {
    try {
      const line = await this.#reader.line(MAX_AGE_HEADER_BYTES - this.#bytes)
      return line?.ended === true ? line.bytes : undefined
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause
      throw new RangeError(`Cannot read age header: longer than ${MAX_AGE_HEADER_BYTES} bytes`, {
        cause,
      })
    }
  }

  arguments(line: Uint8Array): string[] {
    if (line.some((code, i) => i > 2 && (code < 0x20 || code > 0x7e))) {
      throw this.bad('an argument with a character that is not visible ASCII')
    }
    const args = latin1.decode(line.subarray(3)).split(' ')
    if (args.includes('')) throw this.bad('an empty argument')
    return args
  }

  async body(): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for (;;) {
      const line = await this.next()
      if (line.byteLength > COLUMNS) throw this.bad(`a line of more than ${COLUMNS} characters`)
      parts.push(this.base64(line))
      if (line.byteLength < COLUMNS) return concat(parts)
    }
  }

  base64(text: Uint8Array): Uint8Array {
    try {
      const out = new Uint8Array(decodedBase64Length(text, 'unpadded'))
      decodeBase64(text, out, 'unpadded')
      return out
    } catch (cause) {
      throw this.bad('not canonical base64', cause)
    }
  }

  /** All but the last line, and of that its mark. */
  authenticated(): Uint8Array {
    return concat([...this.#before.slice(0, -2), encodeUtf8('---')])
  }

  bad(state: string, cause?: unknown): SyntaxError {
    return new SyntaxError(`Cannot read age header: line ${this.#number}: ${state}`, { cause })
  }
}

const LINE_FEED = Uint8Array.of(0x0a)

function beginsWith(line: Uint8Array, mark: string): boolean {
  return latin1.decode(line.subarray(0, mark.length)) === mark
}
