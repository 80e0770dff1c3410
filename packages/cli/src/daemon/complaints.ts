/** What goes wrong by itself, again and again: told once for as long as it stays the same. It knows not what it is about. */
import { failureOf } from '../failure.ts'

/** See above. */
export class Complaints {
  readonly #note: (text: string) => void
  readonly #said = new Map<string, string>()

  /** @param note - is given one sentence */
  constructor(note: (text: string) => void) {
    this.#note = note
  }

  /** Something failed. @param about - whose failures are told apart from others' */
  wrong(about: string, error: unknown): void {
    const { message, reason } = failureOf(error)
    this.tell(about, reason === undefined ? message : `${message}: ${reason}`)
  }

  /** The same, in words. */
  tell(about: string, text: string): void {
    if (this.#said.get(about) !== text) this.#note(text)
    this.#said.set(about, text)
  }

  /** It went well: should it go wrong again, that is told again. */
  well(about: string): void {
    this.#said.delete(about)
  }
}
