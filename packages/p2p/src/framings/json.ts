/**
 * JSON (RFC 8259, UTF-8) as messages of other implementations. Bytes are arrays of numbers. Looks at how deep and how
 * much a text is before it is parsed. It knows nothing of schemas.
 */
import { decodeUtf8, encodeUtf8 } from '@stronghold/core'

import type { CarryLimits } from '../carry.ts'

import { bytesOf } from './framing.ts'
import type { Format } from './framing.ts'

/** JSON. Numbers are doubles on both sides (RFC 8259 §6); of equal keys the last one counts. */
export const json: Format = Object.freeze({
  name: 'json',
  bytesOnly: false,
  pack: (value: unknown, isBytes: boolean): Uint8Array => {
    if (!isBytes) return encodeUtf8(textOf(value))
    if (value instanceof Uint8Array) return encodeUtf8(`[${value.join(',')}]`)
    throw new TypeError('Cannot carry the value: not a Uint8Array where the schema is bytes')
  },
  read: (message: Uint8Array, isBytes: boolean, limits: CarryLimits): unknown => {
    // An array of numbers is flat, and its own length bounds it.
    if (isBytes) scan(message, 1, Infinity)
    else scan(message, limits.maxNesting, limits.maxMessageValues)
    const value: unknown = JSON.parse(decodeUtf8(message))
    return isBytes ? bytesOf(value) : value
  },
})

function textOf(value: unknown): string {
  // `this` is the object that holds the value: a Buffer is JSON of another kind by itself.
  const text: unknown = JSON.stringify(value, function (this: Record<string, unknown>, key, given) {
    const own = this[key]
    if (own instanceof Uint8Array) return [...own]
    if (typeof own === 'number' && !Number.isFinite(own)) {
      throw new TypeError('Cannot carry the value: JSON has no such number')
    }
    return given as unknown
  })
  if (typeof text === 'string') return text
  throw new TypeError(`Cannot carry the value: JSON has no ${typeof value}`)
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * Counts brackets, commas and colons outside of strings: what a text costs once parsed. One byte can be an object, so
 * a parser must not see the text before.
 */
function scan(message: Uint8Array, maxDepth: number, maxValues: number): void {
  let depth = 0
  let values = 1
  for (let at = 0; at < message.byteLength; at++) {
    switch (message[at]) {
      case QUOTE:
        at = endOfString(message, at + 1)
        continue
      case 0x5b: // [
      case 0x7b: // {
        depth += 1
        values += 1
        if (depth > maxDepth) throw new RangeError(`Cannot read JSON: deeper than ${maxDepth}`)
        break
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1
        continue
      case 0x2c: // ,
      case 0x3a: // :
        values += 1
        break
      default:
        continue
    }
    if (values > maxValues) throw new RangeError(`Cannot read JSON: more than ${maxValues} values`)
  }
}

function endOfString(message: Uint8Array, from: number): number {
  let at = from
  while (at < message.byteLength && message[at] !== QUOTE) {
    at += message[at] === BACKSLASH ? 2 : 1
  }
  return at
}
