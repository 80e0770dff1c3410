/**
 * A line that somebody types and nobody sees, byte by byte, in locked memory. It is what `ask` does for those that wait, for
 * a view that goes on meanwhile.
 */
import type { Secret, Slab } from '@stronghold/vault'

import { MAX_PASSPHRASE_BYTES } from '../limits.ts'

/** Where a line is: still typed, there, or given up. */
export type TypedState = 'typing' | 'typed' | 'given-up' | 'too-long'

const INTERRUPT = 0x03
const END_OF_INPUT = 0x04
const BACKSPACE = 0x08
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const KILL_LINE = 0x15
const ESCAPE = 0x1b
const DELETE = 0x7f

/** One line. Disposing wipes it. */
export class TypedSecret implements Disposable {
  readonly #room: Secret
  #length = 0

  constructor(slab: Slab) {
    this.#room = slab.take(MAX_PASSPHRASE_BYTES + 1)
  }

  /** What was typed so far; wiped with it. */
  get bytes(): Uint8Array {
    return this.#room.bytes.subarray(0, this.#length)
  }

  /** Takes bytes as they are typed, up to the end of the line. */
  take(bytes: Uint8Array): TypedState {
    for (const byte of bytes) {
      switch (byte) {
        case LINE_FEED:
        case CARRIAGE_RETURN:
          return this.#length === 0 ? 'given-up' : 'typed'
        case INTERRUPT:
        case END_OF_INPUT:
        case ESCAPE:
          return 'given-up'
        case BACKSPACE:
        case DELETE:
          this.#back()
          break
        case KILL_LINE:
          this.#length = 0
          break
        default:
          if (this.#length === MAX_PASSPHRASE_BYTES) return 'too-long'
          this.#room.bytes[this.#length++] = byte
      }
    }
    return 'typing'
  }

  /** Takes the last character back: bytes 10xxxxxx go on with the one before them. */
  #back(): void {
    const { bytes } = this.#room
    let at = Math.max(this.#length - 1, 0)
    while (at > 0 && ((bytes[at] ?? 0) & 0xc0) === 0x80) at--
    this.#length = at
  }

  [Symbol.dispose](): void {
    this.#room.wipe()
  }
}
