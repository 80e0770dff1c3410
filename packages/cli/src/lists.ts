/** Lists and bytes as they stand on a command line and in its answers. Pure. */
import { nearest, toHex } from '@stronghold/core'

import { Failure, quoted } from './failure.ts'

/**
 * Values of an option that may be repeated and may hold commas.
 *
 * @throws `Failure` `usage` for a word that is none of those known, where they are
 */
export function list(given: readonly string[], name: string, known?: readonly string[]): string[] {
  const words = given.flatMap((text) => text.split(',')).map((word) => word.trim())
  for (const word of words) {
    const isKnown = word !== '' && (known?.includes(word) ?? true)
    if (isKnown) continue
    const meant = known === undefined ? undefined : nearest(word, known)
    throw new Failure('usage', `cannot use --${name}`, {
      reason: word === '' ? 'a word of it is empty' : `there is no ${quoted(word)}`,
      ...(meant === undefined ? {} : { hint: `write ${meant}` }),
    })
  }
  return words
}

/** Bytes as hex, `none` where there are none. */
export function fromHexOrNone(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? 'none' : toHex(bytes)
}

/** Bytes as base64. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
