/**
 * The armor of an age file (age-encryption.org/v1 "ASCII armor", RFC 7468 §3): binary in, text out, and the reverse, as a
 * stream and strictly. It knows nothing of what is inside.
 */
import { encodeUtf8 } from '@stronghold/core'

import { MAX_AGE_WHITESPACE_BYTES } from '../limits.ts'

import { ByteReader } from './age-reader.ts'
import type { ByteSource } from './age-reader.ts'
import { decodeBase64, decodedBase64Length, encodeBase64Into } from './base64.ts'

const BEGIN = '-----BEGIN AGE ENCRYPTED FILE-----'
const END = '-----END AGE ENCRYPTED FILE-----'
const COLUMNS = 64
const LINE_BYTES = 48
const WHITESPACE = [0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d]
const latin1 = new TextDecoder('latin1')

/** Whether a file that begins with this byte is armored; a binary one begins with a letter. */
export function beginsArmored(byte: number | undefined): boolean {
  return byte !== undefined && (byte === 0x2d || WHITESPACE.includes(byte))
}

/** Text lines around a binary file, of 64 characters. */
export async function* encodeAgeArmor(source: ByteSource): AsyncGenerator<Uint8Array, void, void> {
  await using reader = new ByteReader(source)
  yield encodeUtf8(`${BEGIN}\n`)
  // A thousand lines at a time; only the last block may end inside a line.
  const block = new Uint8Array(LINE_BYTES * 1024)
  for (;;) {
    const length = await reader.read(block)
    if (length > 0) yield armorLines(block.subarray(0, length))
    if (length < block.byteLength) break
  }
  yield encodeUtf8(`${END}\n`)
}

function armorLines(bytes: Uint8Array): Uint8Array {
  const lines = Math.ceil(bytes.byteLength / LINE_BYTES)
  const text = new Uint8Array(lines * (COLUMNS + 1))
  let at = 0
  for (let from = 0; from < bytes.byteLength; from += LINE_BYTES) {
    at += encodeBase64Into(bytes.subarray(from, from + LINE_BYTES), text.subarray(at))
    text[at++] = 0x0a
  }
  return text.subarray(0, at)
}

/**
 * The binary file inside an armored one. Lines end with LF or CRLF; white space may stand before and after.
 *
 * @throws `SyntaxError` naming the line, `RangeError` past `MAX_AGE_WHITESPACE_BYTES`
 */
export async function* decodeAgeArmor(reader: ByteReader): AsyncGenerator<Uint8Array, void, void> {
  let number = 0
  const bad = (state: string, cause?: unknown): SyntaxError =>
    new SyntaxError(`Cannot read age armor: line ${number}: ${state}`, { cause })
  const next = async (): Promise<Uint8Array> => {
    number++
    const line = await armorLine(reader, bad)
    if (line === undefined) throw bad('the file ends')
    return line
  }

  let skipped = 0
  let first = await next()
  while (first.every((code) => WHITESPACE.includes(code))) {
    skipped += first.byteLength + 1
    if (skipped > MAX_AGE_WHITESPACE_BYTES) throw tooMuchWhitespace()
    first = await next()
  }
  if (latin1.decode(first) !== BEGIN) throw bad('not the first line of an armored age file')

  for (let full = true; ;) {
    const line = await next()
    if (line[0] === 0x2d) {
      if (latin1.decode(line) !== END) throw bad('not the last line of an armored age file')
      break
    }
    if (!full) throw bad('a line after one that was not full')
    if (line.byteLength === 0) throw bad('an empty line')
    const bytes = decodeLine(line, bad)
    full = bytes.byteLength === LINE_BYTES
    yield bytes
  }

  let after = 0
  for await (const chunk of reader.rest()) {
    if (!chunk.every((code) => WHITESPACE.includes(code))) {
      throw new SyntaxError('Cannot read age armor: something follows its last line')
    }
    after += chunk.byteLength
    if (after > MAX_AGE_WHITESPACE_BYTES) throw tooMuchWhitespace()
  }
}

async function armorLine(
  reader: ByteReader,
  bad: (state: string, cause?: unknown) => SyntaxError,
): Promise<Uint8Array | undefined> {
  try {
    const line = await reader.line(MAX_AGE_WHITESPACE_BYTES)
    if (line === undefined) return undefined
    return line.bytes.at(-1) === 0x0d ? line.bytes.subarray(0, -1) : line.bytes
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw bad('too long', cause)
  }
}

function decodeLine(
  line: Uint8Array,
  bad: (state: string, cause?: unknown) => SyntaxError,
): Uint8Array {
  if (line.byteLength > COLUMNS) throw bad(`more than ${COLUMNS} characters`)
  try {
    const out = new Uint8Array(decodedBase64Length(line))
    decodeBase64(line, out)
    return out
  } catch (cause) {
    throw bad('not canonical base64', cause)
  }
}

function tooMuchWhitespace(): RangeError {
  return new RangeError(
    `Cannot read age armor: more than ${MAX_AGE_WHITESPACE_BYTES} bytes of white space around it`,
  )
}
