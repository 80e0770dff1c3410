/**
 * PEM (RFC 7468) and the armour of OpenSSH, which is the same with longer lines. Reads bytes, so that a private key never
 * becomes a string, and decodes into secret memory. What lies inside is for others.
 */
import { decodeUtf8, encodeUtf8 } from '@stronghold/core'

import { MAX_KEY_FILE_BYTES } from '../limits.ts'
import type { Secret, Slab } from '../secret.ts'
import { decodeBase64, decodedBase64Length, encodeBase64 } from './base64.ts'

/** A secret block. Whoever reads it owns `der`. */
export interface SecretPem {
  /** The words after BEGIN. */
  readonly label: string
  /** What the block holds. */
  readonly der: Secret
}

/** A public block. */
export interface PublicPem {
  /** The words after BEGIN. */
  readonly label: string
  /** What the block holds. */
  readonly der: Uint8Array
}

const BEGIN = encodeUtf8('-----BEGIN ')
const END = encodeUtf8('-----END ')
const DASHES = encodeUtf8('-----')
const LF = 0x0a
const CR = 0x0d
const COLON = 0x3a

/**
 * Reads the one block that has one of those labels; text and other blocks beside it are passed over, as
 * `openssl ecparam -genkey` writes them.
 *
 * @param text - a whole file, at most `MAX_KEY_FILE_BYTES`
 * @param labels - the labels that count. Default: any, so that a second block of any kind is refused
 * @throws `SyntaxError` for none, several, or one that is malformed; `RangeError` for a longer text
 */
export function readPem(text: Uint8Array, slab: Slab, labels?: readonly string[]): SecretPem {
  const block = findBlock(text, labels)
  using characters = slab.take(block.length)
  block.copyTo(characters.bytes)
  const der = slab.take(decodedBase64Length(characters.bytes))
  try {
    decodeBase64(characters.bytes, der.bytes)
    return { label: block.label, der }
  } catch (error) {
    der.wipe()
    throw error
  }
}

/** The same for what is public. @throws as `readPem` */
export function readPublicPem(text: Uint8Array, labels?: readonly string[]): PublicPem {
  const block = findBlock(text, labels)
  const characters = new Uint8Array(block.length)
  block.copyTo(characters)
  const der = new Uint8Array(decodedBase64Length(characters))
  decodeBase64(characters, der)
  return { label: block.label, der }
}

/**
 * Writes a public block, with a line end after each line.
 *
 * @param columns - characters of a line. Default 64 (RFC 7468 §2)
 */
export function writePem(label: string, der: Uint8Array, columns = 64): string {
  const text = encodeBase64(der)
  let lines = `-----BEGIN ${label}-----\n`
  for (let at = 0; at < text.length; at += columns) lines += `${text.slice(at, at + columns)}\n`
  return `${lines}-----END ${label}-----\n`
}

interface Block {
  readonly label: string
  /** Base64 characters, line ends left out. */
  readonly length: number
  copyTo(out: Uint8Array): void
}

function findBlock(text: Uint8Array, labels: readonly string[] | undefined): Block {
  if (text.byteLength > MAX_KEY_FILE_BYTES) {
    throw new RangeError(
      `Cannot read PEM: ${text.byteLength} bytes, more than ${MAX_KEY_FILE_BYTES}`,
    )
  }
  let found: Block | undefined
  /** The block that the present line lies in: its label and its lines so far. */
  let open: { label: string; lines: Uint8Array[] } | undefined
  for (const line of linesOf(text)) {
    const label = labelOf(line, open === undefined ? BEGIN : END)
    if (open === undefined) {
      if (label !== undefined) open = { label, lines: [] }
      else if (startsWith(line, DASHES)) throw new SyntaxError('Cannot read PEM: END without BEGIN')
      continue
    }
    if (!startsWith(line, DASHES)) {
      open.lines.push(line)
      continue
    }
    if (label !== open.label) {
      throw new SyntaxError(`Cannot read PEM: "${open.label}" has no END of its own`)
    }
    if (labels === undefined || labels.includes(label)) {
      if (found !== undefined)
        throw new SyntaxError('Cannot read PEM: more than one key or signature in it')
      found = blockOf(label, open.lines)
    }
    open = undefined
  }
  if (open !== undefined) throw new SyntaxError(`Cannot read PEM: "${open.label}" has no END`)
  if (found === undefined) {
    throw new SyntaxError(
      labels === undefined
        ? 'Cannot read PEM: no block in it'
        : `Cannot read PEM: no ${labels.map((label) => `"${label}"`).join(' or ')} in it`,
    )
  }
  return found
}

function blockOf(label: string, lines: readonly Uint8Array[]): Block {
  // RFC 1421 §4.6 headers: OpenSSL's old way to encrypt, with a KDF of one round.
  if (lines[0]?.includes(COLON) === true) {
    throw new SyntaxError(
      'Cannot read PEM: it has headers, as keys encrypted the old way have; type: openssl pkey -in FILE',
    )
  }
  if (lines.some((line) => line.byteLength === 0)) {
    throw new SyntaxError(`Cannot read PEM: "${label}" has an empty line`)
  }
  return {
    label,
    length: lines.reduce((sum, line) => sum + line.byteLength, 0),
    copyTo: (out) => {
      let at = 0
      for (const line of lines) {
        out.set(line, at)
        at += line.byteLength
      }
    },
  }
}

/** Lines as views, without LF or CR LF. What follows the last line end is a line unless it is empty. */
function* linesOf(text: Uint8Array): Generator<Uint8Array> {
  let from = 0
  while (from < text.byteLength) {
    const found = text.indexOf(LF, from)
    const to = found === -1 ? text.byteLength : found
    yield text.subarray(from, to > from && text[to - 1] === CR ? to - 1 : to)
    from = to + 1
  }
}

/** The label of a boundary line, undefined where the line is none. RFC 7468 §3: printable, at most 64 characters here. */
function labelOf(line: Uint8Array, start: Uint8Array): string | undefined {
  const end = line.byteLength - DASHES.byteLength
  if (!startsWith(line, start) || !startsWith(line.subarray(Math.max(end, 0)), DASHES))
    return undefined
  const label = line.subarray(start.byteLength, Math.max(end, start.byteLength))
  if (label.byteLength > 64 || !label.every((code) => code >= 0x20 && code < 0x7f)) return undefined
  return decodeUtf8(label)
}

function startsWith(line: Uint8Array, start: Uint8Array): boolean {
  return start.every((code, i) => line[i] === code)
}
