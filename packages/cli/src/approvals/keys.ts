/**
 * Bytes of a terminal as keys. What is pasted is no key: text from a clipboard must not decide anything. Pure but for the
 * piece of a sequence that is still to come.
 */

/** A key: one character, or a name. */
export type Key = string

/** Turns bracketed paste on and off. */
export const PASTE_ON = '\u001b[?2004h'
/** Its other half. */
export const PASTE_OFF = '\u001b[?2004l'

const ESCAPE = 0x1b
const NAMED: Readonly<Record<number, Key>> = {
  0x03: 'ctrl-c',
  0x04: 'ctrl-d',
  0x08: 'backspace',
  0x0a: 'enter',
  0x0d: 'enter',
  0x20: 'space',
  0x7f: 'backspace',
}
/** What stands between `ESC [` and the end of a sequence, with its last byte. */
const SEQUENCES: Readonly<Record<string, Key>> = {
  A: 'up',
  B: 'down',
  '5~': 'page-up',
  '6~': 'page-down',
}
const PASTE_BEGINS = '200~'
const PASTE_ENDS = '201~'
/** Longest sequence that is read. A longer one is no key. */
const MAX_SEQUENCE = 16

/** Reads keys. */
export class KeyReader {
  /** `undefined` outside of a sequence, else what came of it behind `ESC`. */
  #sequence: string | undefined
  #isPasted = false

  /** The keys in some bytes. A lone `ESC` at their end is the key of that name. */
  read(bytes: Uint8Array): Key[] {
    const keys: Key[] = []
    for (const byte of bytes) {
      const key = this.#take(byte)
      if (key !== undefined && !this.#isPasted) keys.push(key)
    }
    if (this.#sequence === '') {
      this.#sequence = undefined
      if (!this.#isPasted) keys.push('escape')
    }
    return keys
  }

  #take(byte: number): Key | undefined {
    if (this.#sequence !== undefined) return this.#within(this.#sequence, byte)
    if (byte === ESCAPE) {
      this.#sequence = ''
      return undefined
    }
    return NAMED[byte] ?? (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : undefined)
  }

  #within(before: string, byte: number): Key | undefined {
    const now = before + String.fromCharCode(byte)
    if (now === '[' || now === 'O') {
      this.#sequence = now
      return undefined
    }
    // ECMA-48 §5.4: parameters and intermediates, then one final byte.
    const isFinal = byte >= 0x40 && byte < 0x7f
    if (before !== '' && !isFinal && now.length <= MAX_SEQUENCE) {
      this.#sequence = now
      return undefined
    }
    this.#sequence = undefined
    // `ESC` and a letter is what terminals make of a key with Alt: no key here.
    if (before === '') return undefined
    const said = now.slice(1)
    if (said === PASTE_BEGINS) this.#isPasted = true
    if (said === PASTE_ENDS) this.#isPasted = false
    return SEQUENCES[said]
  }
}
