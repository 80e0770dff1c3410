/** What others wrote and cannot be read is the caller's mistake, whatever the reader calls it. It knows no format. */
import { VaultError } from '../errors.ts'

/**
 * Reads or writes a format.
 *
 * @throws `VaultError` `invalid_argument` for what the format refuses (`SyntaxError`, `RangeError`, `TypeError`)
 */
export function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw asRefusal(error)
  }
}

/** Reads a signature or a tag; what cannot be read is none, and so not a right one: `undefined`. */
export function parsed<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined
    throw error
  }
}

/** The same error as a refusal of the input, or as it is where it is none. */
export function asRefusal(error: unknown): unknown {
  const refused =
    error instanceof SyntaxError || error instanceof RangeError || error instanceof TypeError
  return refused ? new VaultError('invalid_argument', error.message, { cause: error }) : error
}
