/** How people name what is asked: `a-` for approvals, `q-` for requests, any unique beginning of either. Pure. */
import { assertBytes, toHex } from '@stronghold/core'

import { MIN_ID_PREFIX } from './limits.ts'

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567' // RFC 4648 §6, lower case
const APPROVAL_CHARACTERS = 20

/** What an approval is called: `a-` and 20 characters of base32, the first 100 bits of its bound hash. */
export function approvalId(boundHash: Uint8Array): string {
  assertBytes(boundHash, 'bound hash', 32)
  let text = ''
  for (let bit = 0; bit < 5 * APPROVAL_CHARACTERS; bit += 5) {
    const at = bit >> 3
    const pair = ((boundHash[at] as number) << 8) | (boundHash[at + 1] as number)
    text += BASE32.charAt((pair >> (11 - (bit & 7))) & 31)
  }
  return `a-${text}`
}

/** What a request is called in full: `q-` and the 32 hex digits of its id; `shortest` cuts it for people. */
export function requestName(id: Uint8Array): string {
  assertBytes(id, 'request id', 16)
  return `q-${toHex(id)}`
}

/**
 * The shortest beginning of a name, of four characters or more behind its letter, that none of the others has.
 *
 * @param others - names beside it; its own among them does no harm
 */
export function shortest(name: string, others: Iterable<string>): string {
  let length = 2 + MIN_ID_PREFIX
  for (const other of others) {
    if (other === name) continue
    while (length < name.length && other.startsWith(name.slice(0, length))) length += 1
  }
  return name.slice(0, length)
}

/**
 * The names that a person may mean: one is the one meant, none is unknown, several need more characters.
 *
 * @param text - at least four characters of a name, with or without its letter in front
 * @throws `SyntaxError` for anything that begins no name
 */
export function named(text: string, names: Iterable<string>): string[] {
  const [, letter, beginning = ''] = /^(?:([aq])-)?([a-z0-9]{0,32})$/.exec(text) ?? []
  if (beginning.length < MIN_ID_PREFIX) {
    throw new SyntaxError(
      `Cannot read id: ${JSON.stringify(text.slice(0, 64))} is not a- or q- and at least ${MIN_ID_PREFIX} characters`,
    )
  }
  const found: string[] = []
  for (const name of names) {
    const fits = letter === undefined || name.startsWith(letter)
    if (fits && name.startsWith(beginning, 2)) found.push(name)
  }
  return found
}
