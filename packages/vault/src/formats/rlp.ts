/** RLP (Ethereum Yellow Paper, appendix B): byte strings and lists of them, in their one form. Knows no transaction. */
import { concat } from '@stronghold/core'

import { MAX_RLP_DEPTH } from '../limits.ts'

/** A byte string or a list. */
export type RlpItem = Uint8Array | readonly RlpItem[]

const STRING = 0x80
const LIST = 0xc0
/** Longest content whose length stands in the first byte. */
const SHORT = 55

/** The bytes of an item. */
export function encodeRlp(item: RlpItem): Uint8Array {
  if (item instanceof Uint8Array) {
    const [only] = item
    if (item.byteLength === 1 && only !== undefined && only < STRING) return item
    return concat([head(item.byteLength, STRING), item])
  }
  const content = concat(item.map(encodeRlp))
  return concat([head(content.byteLength, LIST), content])
}

/**
 * The item that `bytes` is the one form of; byte strings are views.
 *
 * @throws `SyntaxError` naming the place, `RangeError` past `MAX_RLP_DEPTH`
 */
export function decodeRlp(bytes: Uint8Array): RlpItem {
  const { item, end } = readItem(bytes, 0, 1)
  if (end !== bytes.byteLength) throw bad('bytes after the item', end)
  return item
}

function head(length: number, kind: number): Uint8Array {
  if (length <= SHORT) return Uint8Array.of(kind + length)
  const digits: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  return Uint8Array.of(kind + SHORT + digits.length, ...digits)
}

function readItem(bytes: Uint8Array, from: number, depth: number): { item: RlpItem; end: number } {
  const first = bytes[from]
  if (first === undefined) throw bad('no item', from)
  if (first < STRING) return { item: bytes.subarray(from, from + 1), end: from + 1 }
  const kind = first < LIST ? STRING : LIST
  const { at, length } = readHead(bytes, from, first - kind)
  const end = at + length
  // Compared before anything is made: an announced length never allocates.
  if (end > bytes.byteLength) throw bad('a length past the end', from)
  const content = bytes.subarray(at, end)
  if (kind === STRING) {
    if (length === 1 && (content[0] ?? 0) < STRING) throw bad('a byte with a length', from)
    return { item: content, end }
  }
  if (depth > MAX_RLP_DEPTH) {
    throw new RangeError(`Cannot read RLP: nested deeper than ${MAX_RLP_DEPTH}`)
  }
  const items: RlpItem[] = []
  for (let next = at; next < end;) {
    const inner = readItem(bytes.subarray(0, end), next, depth + 1)
    items.push(inner.item)
    next = inner.end
  }
  return { item: items, end }
}

function readHead(bytes: Uint8Array, from: number, size: number): { at: number; length: number } {
  if (size <= SHORT) return { at: from + 1, length: size }
  const digits = bytes.subarray(from + 1, from + 1 + size - SHORT)
  let length = 0
  for (const digit of digits) length = length * 256 + digit
  if (digits.byteLength < size - SHORT || digits[0] === 0 || length <= SHORT) {
    throw bad('a length in a longer form than it needs', from)
  }
  return { at: from + 1 + digits.byteLength, length }
}

function bad(state: string, at: number): SyntaxError {
  return new SyntaxError(`Cannot read RLP: ${state} at ${at}`)
}
