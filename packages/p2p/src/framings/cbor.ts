/**
 * CBOR (RFC 8949) as messages of other implementations: written in one form, read in the forms that others write
 * (any order of keys, indefinite lengths). No tags. It knows nothing of schemas.
 */
import { decode, encode, rfc8949EncodeOptions, Tokenizer } from 'cborg'
import type { Token } from 'cborg'

import type { CarryLimits } from '../carry.ts'

import { bytesOf } from './framing.ts'
import type { Format } from './framing.ts'

// Integers in their shortest form, and no key twice.
const READ = { strict: true, rejectDuplicateMapKeys: true } as const

/** CBOR. Bytes are byte strings; an array of numbers in their place is taken as well, since Rust writes those. */
export const cbor: Format = Object.freeze({
  name: 'cbor',
  bytesOnly: false,
  pack: (value: unknown, isBytes: boolean): Uint8Array => {
    if (isBytes && !(value instanceof Uint8Array)) {
      throw new TypeError('Cannot carry the value: not a Uint8Array where the schema is bytes')
    }
    try {
      return encode(value, rfc8949EncodeOptions)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new TypeError(`Cannot carry the value: ${why}`, { cause })
    }
  },
  read: (message: Uint8Array, isBytes: boolean, limits: CarryLimits): unknown => {
    // An array of numbers is flat, and its own length bounds it.
    const tokenizer = isBytes
      ? new BoundedTokenizer(message, 1, Infinity)
      : new BoundedTokenizer(message, limits.maxNesting, limits.maxMessageValues)
    const value: unknown = decode(message, { ...READ, tokenizer })
    return isBytes && !(value instanceof Uint8Array) ? bytesOf(value) : value
  },
})

/** Follows how deep the decoder is and how much it has read: it recurses, so it has to be stopped from here. */
class BoundedTokenizer extends Tokenizer {
  readonly #maxDepth: number
  readonly #maxValues: number
  // How many values each open array or map still wants.
  readonly #open: number[] = []
  #values = 0

  constructor(message: Uint8Array, maxDepth: number, maxValues: number) {
    super(message, { ...READ, allowIndefinite: true, allowUndefined: true, allowBigInt: true })
    this.#maxDepth = maxDepth
    this.#maxValues = maxValues
  }

  override next(): Token {
    const token = super.next()
    const { name } = token.type
    if (name === 'break') {
      this.#open.pop()
      this.#closeFull()
      return token
    }
    this.#values += 1
    if (this.#values > this.#maxValues) {
      throw new RangeError(`Cannot read CBOR: more than ${this.#maxValues} values`)
    }
    this.#count()
    if (name === 'array') this.#enter(token.value as number)
    else if (name === 'map') this.#enter(2 * (token.value as number))
    this.#closeFull()
    return token
  }

  #count(): void {
    const at = this.#open.length - 1
    const left = this.#open[at]
    if (left !== undefined) this.#open[at] = left - 1
  }

  #enter(count: number): void {
    this.#open.push(count)
    if (this.#open.length > this.#maxDepth) {
      throw new RangeError(`Cannot read CBOR: deeper than ${this.#maxDepth}`)
    }
  }

  #closeFull(): void {
    while (this.#open.at(-1) === 0) this.#open.pop()
  }
}
