/**
 * A strict look at JSON (RFC 8259) as bytes, which says where the members of an object lie and makes no value of them: so
 * a secret in a JSON file never becomes a string. Names that come twice are refused, at every depth.
 */
import { decodeUtf8 } from '@stronghold/core'

import { MAX_JSON_DEPTH } from '../limits.ts'

/** One member's value. */
export interface JsonMember {
  /** `text`: a string without escapes. `value`: everything else. */
  readonly kind: 'text' | 'value'
  /** The value as it stands; of a string what lies between the quotes, a view. */
  readonly bytes: Uint8Array
}

/**
 * The members of an object, which must be all there is but white space.
 *
 * @param what - names the input in messages, which never quote it
 * @throws `SyntaxError` naming the place, `RangeError` past `MAX_JSON_DEPTH`
 */
export function scanJsonObject(json: Uint8Array, what: string): Map<string, JsonMember> {
  const scanner = new Scanner(json, what)
  const members = scanner.object(1)
  scanner.end()
  return members
}

/**
 * Parses public JSON after a strict look at it.
 *
 * @returns a plain object, of which `__proto__` is a member like any other
 * @throws as `scanJsonObject`
 */
export function parseJsonObject(json: Uint8Array, what: string): Record<string, unknown> {
  scanJsonObject(json, what)
  let text: string
  try {
    text = decodeUtf8(json)
  } catch (cause) {
    throw new SyntaxError(`Cannot read ${what}: not UTF-8`, { cause })
  }
  return JSON.parse(text) as Record<string, unknown>
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const LITERALS = ['true', 'false', 'null']
const ESCAPES = '"\\/bfnrt'
const latin1 = new TextDecoder('latin1')

class Scanner {
  readonly #json: Uint8Array
  readonly #what: string
  #at = 0

  constructor(json: Uint8Array, what: string) {
    this.#json = json
    this.#what = what
  }

  object(depth: number): Map<string, JsonMember> {
    this.#enter('{', depth)
    const members = new Map<string, JsonMember>()
    if (this.#takes('}')) return members
    do {
      this.#space()
      const from = this.#at
      const name = this.#name(this.#string())
      if (members.has(name)) throw this.#bad('a name for the second time', from)
      this.#expect(':')
      members.set(name, this.#value(depth))
    } while (this.#takes(','))
    this.#expect('}')
    return members
  }

  end(): void {
    this.#space()
    if (this.#at !== this.#json.byteLength) throw this.#bad('something after the object')
  }

  #value(depth: number): JsonMember {
    this.#space()
    const from = this.#at
    const code = this.#json[from]
    if (code === QUOTE) {
      const { bytes, escaped } = this.#string()
      if (!escaped) return { kind: 'text', bytes }
    } else if (code === 0x7b) this.object(depth + 1)
    else if (code === 0x5b) this.#array(depth + 1)
    else this.#literal()
    return { kind: 'value', bytes: this.#json.subarray(from, this.#at) }
  }

  #array(depth: number): void {
    this.#enter('[', depth)
    if (this.#takes(']')) return
    do this.#value(depth)
    while (this.#takes(','))
    this.#expect(']')
  }

  #enter(bracket: string, depth: number): void {
    if (depth > MAX_JSON_DEPTH) {
      throw new RangeError(`Cannot read ${this.#what}: nested deeper than ${MAX_JSON_DEPTH}`)
    }
    this.#expect(bracket)
  }

  #string(): { bytes: Uint8Array; escaped: boolean } {
    if (this.#json[this.#at] !== QUOTE) throw this.#bad('no string')
    const from = ++this.#at
    let escaped = false
    for (;;) {
      const code = this.#json[this.#at]
      if (code === undefined || code < 0x20) throw this.#bad('a string without an end')
      if (code === QUOTE) return { bytes: this.#json.subarray(from, this.#at++), escaped }
      this.#at++
      if (code !== BACKSLASH) continue
      escaped = true
      this.#escape()
    }
  }

  #escape(): void {
    const code = this.#json[this.#at++] ?? 0
    if (ESCAPES.includes(String.fromCharCode(code))) return
    const digits = latin1.decode(this.#json.subarray(this.#at, this.#at + 4))
    if (code !== 0x75 || !/^[0-9a-fA-F]{4}$/.test(digits)) throw this.#bad('a wrong escape')
    this.#at += 4
  }

  #name({ bytes, escaped }: { bytes: Uint8Array; escaped: boolean }): string {
    try {
      const text = decodeUtf8(bytes)
      return escaped ? (JSON.parse(`"${text}"`) as string) : text
    } catch {
      throw this.#bad('a name that is not UTF-8')
    }
  }

  /**
   * `true`, `false`, `null` or a number: none is longer than what a number may reasonably be. Only what may be part of one
   * becomes text: behind it a secret may stand.
   */
  #literal(): void {
    const from = this.#at
    let to = from
    while (to < from + 128 && isLiteral(this.#json[to])) to++
    const text = latin1.decode(this.#json.subarray(from, to))
    const literal = LITERALS.find((word) => text.startsWith(word))
    const number = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/.exec(text)?.[0]
    const found = literal ?? number
    if (found === undefined || found.length === 128) throw this.#bad('no value')
    this.#at += found.length
  }

  #expect(character: string): void {
    if (!this.#takes(character)) throw this.#bad(`no ${character}`)
  }

  #takes(character: string): boolean {
    this.#space()
    if (this.#json[this.#at] !== character.charCodeAt(0)) return false
    this.#at++
    return true
  }

  #space(): void {
    for (;;) {
      const code = this.#json[this.#at]
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #bad(state: string, at: number = this.#at): SyntaxError {
    return new SyntaxError(`Cannot read ${this.#what}: ${state} at ${at}`)
  }
}

/** Whether a byte may stand in a literal: a letter, a digit, or one of `+-.`. */
function isLiteral(code: number | undefined): boolean {
  if (code === undefined) return false
  const letter = code | 0x20
  return (
    (letter >= 0x61 && letter <= 0x7a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x2b ||
    code === 0x2d ||
    code === 0x2e
  )
}
