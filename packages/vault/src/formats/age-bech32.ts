/**
 * Bech32 (BIP-173, without its limit of length) on bytes, and the two texts of age that use it: identities, which are
 * secret and never become strings, and recipients. It knows nothing of files.
 */
import { assertBytes, encodeUtf8 } from '@stronghold/core'

import { MAX_AGE_IDENTITY_FILE_BYTES } from '../limits.ts'
import type { Secret, Slab } from '../secret.ts'

import { filled } from './filled.ts'

// BIP-173 "Bech32" and "Checksum".
const DIGITS = encodeUtf8('qpzry9x8gf2tvdw0s3jn54khce6mua7l')
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
const CHECKSUM_DIGITS = 6
const ONE = 0x31

// age-encryption.org/v1 "The X25519 recipient type".
const IDENTITY = encodeUtf8('age-secret-key-')
const RECIPIENT = encodeUtf8('age')
const KEY_BYTES = 32
const KEY_DIGITS = 52

/** Characters of an identity. */
const IDENTITY_CHARACTERS = IDENTITY.byteLength + 1 + KEY_DIGITS + CHECKSUM_DIGITS

const latin1 = new TextDecoder('latin1')

/**
 * The X25519 secret key of an identity, `AGE-SECRET-KEY-1…`, into the slab.
 *
 * @param text - ASCII bytes, upper case, nothing around them
 * @throws `SyntaxError`, which never quotes the text
 */
export function parseAgeIdentity(slab: Slab, text: Uint8Array): Secret {
  return filled(slab, KEY_BYTES, (out) => {
    decodeKey(text, IDENTITY, 'upper', out, 'age identity')
  })
}

/** An X25519 secret key as an identity: ASCII bytes in the slab. */
export function formatAgeIdentity(slab: Slab, secretKey: Uint8Array): Secret {
  return filled(slab, IDENTITY_CHARACTERS, (out) => {
    encodeKey(secretKey, IDENTITY, 'upper', out)
  })
}

/**
 * The identities in a file as `age-keygen` writes it: one a line, with empty lines and comments between.
 *
 * @returns at least one
 * @throws `SyntaxError` naming the line, `RangeError` past `MAX_AGE_IDENTITY_FILE_BYTES`
 */
export function parseAgeIdentityFile(slab: Slab, file: Uint8Array): Secret[] {
  if (file.byteLength > MAX_AGE_IDENTITY_FILE_BYTES) {
    throw new RangeError(
      `Cannot read age identities: more than ${MAX_AGE_IDENTITY_FILE_BYTES} bytes`,
    )
  }
  const found: Secret[] = []
  try {
    for (let from = 0, number = 1; from < file.byteLength; number++) {
      const end = file.indexOf(0x0a, from)
      const to = end === -1 ? file.byteLength : end
      const line = file.subarray(from, to > from && file[to - 1] === 0x0d ? to - 1 : to)
      from = to + 1
      if (line.byteLength === 0 || line[0] === 0x23) continue
      try {
        found.push(parseAgeIdentity(slab, line))
      } catch (cause) {
        if (!(cause instanceof SyntaxError)) throw cause
        throw new SyntaxError(`Cannot read age identities: no identity in line ${number}`, {
          cause,
        })
      }
    }
    if (found.length === 0) throw new SyntaxError('Cannot read age identities: there is none')
    return found
  } catch (error) {
    for (const secret of found) secret.wipe()
    throw error
  }
}

/**
 * The X25519 public key of a recipient, `age1…`: 32 bytes.
 *
 * @throws `SyntaxError` for anything else
 */
export function parseAgeRecipient(text: string): Uint8Array {
  const out = new Uint8Array(KEY_BYTES)
  decodeKey(encodeUtf8(text), RECIPIENT, 'lower', out, 'age recipient')
  return out
}

/** An X25519 public key as a recipient, `age1…`. */
export function formatAgeRecipient(publicKey: Uint8Array): string {
  const out = new Uint8Array(RECIPIENT.byteLength + 1 + KEY_DIGITS + CHECKSUM_DIGITS)
  encodeKey(publicKey, RECIPIENT, 'lower', out)
  return latin1.decode(out)
}

type Case = 'upper' | 'lower'

function encodeKey(key: Uint8Array, prefix: Uint8Array, letters: Case, out: Uint8Array): void {
  assertBytes(key, 'X25519 key', KEY_BYTES)
  let at = 0
  let sum = sumOfPrefix(prefix)
  const write = (code: number): void => {
    out[at++] = letters === 'upper' && code >= 0x61 ? code - 0x20 : code
  }
  for (const code of prefix) write(code)
  write(ONE)
  let bits = 0
  for (let digit = 0, used = 0; digit < KEY_DIGITS; digit++) {
    // Eight bits join at the right and five leave at the left; the last digit is filled up with zeros.
    const from = 5 * digit
    if (from + 5 > 8 * used) bits = ((bits << 8) | (key[used++] ?? 0)) & 0xffff
    const value = (bits >> (8 * used - from - 5)) & 31
    sum = step(sum, value)
    write(DIGITS[value] ?? 0)
  }
  for (let i = 0; i < CHECKSUM_DIGITS; i++) sum = step(sum, 0)
  for (let i = 0; i < CHECKSUM_DIGITS; i++) write(DIGITS[((sum ^ 1) >> (5 * (5 - i))) & 31] ?? 0)
}

function decodeKey(
  text: Uint8Array,
  prefix: Uint8Array,
  letters: Case,
  out: Uint8Array,
  what: string,
): void {
  const length = prefix.byteLength + 1 + KEY_DIGITS + CHECKSUM_DIGITS
  if (text.byteLength !== length) {
    throw new SyntaxError(`Cannot read ${what}: ${text.byteLength} characters, not ${length}`)
  }
  const lower = (at: number): number => {
    const code = text[at] ?? 0
    if (letters === 'lower') return code
    if (code >= 0x61 && code <= 0x7a) return 0
    return code >= 0x41 && code <= 0x5a ? code + 0x20 : code
  }
  const begins = prefix.every((code, i) => lower(i) === code) && lower(prefix.byteLength) === ONE
  if (!begins) throw new SyntaxError(`Cannot read ${what}: it does not begin like one`)
  let sum = sumOfPrefix(prefix)
  let bits = 0
  let at = 0
  for (let digit = 0; digit < KEY_DIGITS + CHECKSUM_DIGITS; digit++) {
    const value = digitValue(lower(prefix.byteLength + 1 + digit))
    if (value < 0) {
      throw new SyntaxError(`Cannot read ${what}: no digit at ${prefix.byteLength + 1 + digit}`)
    }
    sum = step(sum, value)
    if (digit >= KEY_DIGITS) continue
    bits = ((bits << 5) | value) & 0xfff
    const over = 5 * (digit + 1) - 8 * (at + 1)
    if (over >= 0 && at < KEY_BYTES) out[at++] = (bits >> over) & 0xff
  }
  if (sum !== 1) throw new SyntaxError(`Cannot read ${what}: the checksum is wrong`)
  // 52 digits are 260 bits, four more than the key: with another value in them there were sixteen texts for one key.
  const last = digitValue(lower(prefix.byteLength + KEY_DIGITS))
  if ((last & 0b1111) !== 0) throw new SyntaxError(`Cannot read ${what}: bits left over`)
}

/** What a character stands for, −1 for none. Looks at the whole table whatever the character. */
function digitValue(code: number): number {
  let value = -1
  for (let i = 0; i < 32; i++) value += ((((DIGITS[i] ?? 0) ^ code) - 1) >> 31) & (i + 1)
  return value
}

function sumOfPrefix(prefix: Uint8Array): number {
  let sum = 1
  for (const code of prefix) sum = step(sum, code >> 5)
  sum = step(sum, 0)
  for (const code of prefix) sum = step(sum, code & 31)
  return sum
}

function step(sum: number, value: number): number {
  const top = sum >> 25
  let next = ((sum & 0x1ffffff) << 5) ^ value
  for (let i = 0; i < 5; i++) next ^= -((top >> i) & 1) & (GENERATOR[i] ?? 0)
  return next
}
