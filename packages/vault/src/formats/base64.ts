/**
 * Base64 (RFC 4648) from bytes to bytes, so that a secret never becomes a string. It looks nothing up in a table: time
 * and memory accesses tell lengths, not characters. Best effort, JavaScript promises no constant time. It skips nothing:
 * line ends are for whoever knows the format around it.
 */

/**
 * `padded`: the standard alphabet (RFC 4648 §4) with padding. `unpadded`: the same without, as age writes it. `url`: the
 * alphabet of §5 without padding, as JOSE writes it.
 */
export type Base64Form = 'padded' | 'unpadded' | 'url'

const PAD = 0x3d
const latin1 = new TextDecoder('latin1')

/** Characters that `bytes` bytes take. */
export function base64Length(bytes: number, form: Base64Form = 'padded'): number {
  return form === 'padded' ? Math.ceil(bytes / 3) * 4 : Math.ceil((bytes * 4) / 3)
}

/**
 * Bytes that a text decodes to, so that a caller can take just that much memory. Looks at the length and the padding only.
 *
 * @throws `SyntaxError` for a length that no base64 has
 */
export function decodedBase64Length(text: Uint8Array, form: Base64Form = 'padded'): number {
  const digits = countDigits(text, form)
  if (digits % 4 === 1 || (form === 'padded' && text.byteLength % 4 !== 0)) {
    throw new SyntaxError(`Cannot read base64: ${text.byteLength} characters are no whole bytes`)
  }
  return Math.floor((digits * 3) / 4)
}

/** Public bytes as text. A secret goes through `encodeBase64Into`. */
export function encodeBase64(bytes: Uint8Array, form: Base64Form = 'padded'): string {
  const out = new Uint8Array(base64Length(bytes.byteLength, form))
  encodeBase64Into(bytes, out, form)
  return latin1.decode(out)
}

/**
 * Bytes as characters, into memory of the caller's.
 *
 * @returns how many characters were written
 * @throws `RangeError` where `out` is shorter than `base64Length`
 */
export function encodeBase64Into(
  bytes: Uint8Array,
  out: Uint8Array,
  form: Base64Form = 'padded',
): number {
  const length = base64Length(bytes.byteLength, form)
  if (out.byteLength < length) {
    throw new RangeError(`Cannot write base64: ${out.byteLength} bytes where ${length} are needed`)
  }
  let at = 0
  for (let i = 0; i < bytes.byteLength; i += 3) {
    const group = (byte(bytes, i) << 16) | (byte(bytes, i + 1) << 8) | byte(bytes, i + 2)
    const digits = Math.min(bytes.byteLength - i, 3) + 1
    for (let digit = 0; digit < 4; digit++) {
      if (digit < digits) out[at++] = character((group >> (18 - 6 * digit)) & 63, form)
      else if (form === 'padded') out[at++] = PAD
    }
  }
  return at
}

/**
 * Decodes base64 characters (ASCII bytes) into memory of the caller's, strictly: one text for each content, so padding is
 * as the form says, unused bits are zero, and nothing but digits stands between.
 *
 * @returns how many bytes were written
 * @throws `SyntaxError` naming the place and never the character, `RangeError` where `out` is too short
 */
export function decodeBase64(
  text: Uint8Array,
  out: Uint8Array,
  form: Base64Form = 'padded',
): number {
  const length = decodedBase64Length(text, form)
  if (out.byteLength < length) {
    throw new RangeError(`Cannot read base64: ${out.byteLength} bytes where ${length} are needed`)
  }
  const digits = countDigits(text, form)
  let wrong = 0
  let bits = 0
  let at = 0
  for (let i = 0; i < digits; i++) {
    const value = digitValue(byte(text, i), form)
    wrong |= value
    bits = ((bits << 6) | (value & 63)) & 0xffffff
    const filled = i % 4
    if (filled > 0) out[at++] = (bits >> (6 - 2 * filled)) & 0xff
  }
  if (wrong < 0) {
    const place = text.findIndex((code, i) => i >= digits || digitValue(code, form) < 0)
    throw new SyntaxError(`Cannot read base64: no base64 digit at ${place}`)
  }
  const unused = digits % 4 === 0 ? 0 : digits % 4 === 2 ? 0b1111 : 0b11
  if ((bits & unused) !== 0) {
    throw new SyntaxError(`Cannot read base64: bits left over at ${digits - 1}`)
  }
  return at
}

function byte(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

function countDigits(text: Uint8Array, form: Base64Form): number {
  const length = text.byteLength
  if (form !== 'padded' || text[length - 1] !== PAD) return length
  return length - (text[length - 2] === PAD ? 2 : 1)
}

/** −1 where `from` ≤ `value` ≤ `to`, else 0. */
function within(value: number, from: number, to: number): number {
  return ((from - 1 - value) & (value - to - 1)) >> 31
}

/** What a character stands for, −1 for one that is no digit. */
function digitValue(code: number, form: Base64Form): number {
  const url = form === 'url'
  const at62 = url ? 0x2d : 0x2b
  const at63 = url ? 0x5f : 0x2f
  return (
    -1 +
    (within(code, 0x41, 0x5a) & (code - 0x41 + 1)) +
    (within(code, 0x61, 0x7a) & (code - 0x61 + 27)) +
    (within(code, 0x30, 0x39) & (code - 0x30 + 53)) +
    (within(code, at62, at62) & 63) +
    (within(code, at63, at63) & 64)
  )
}

function character(value: number, form: Base64Form): number {
  const url = form === 'url'
  const at62 = url ? 0x2d : 0x2b
  const at63 = url ? 0x5f : 0x2f
  return (
    (within(value, 0, 25) & (value + 0x41)) +
    (within(value, 26, 51) & (value - 26 + 0x61)) +
    (within(value, 52, 61) & (value - 52 + 0x30)) +
    (within(value, 62, 62) & at62) +
    (within(value, 63, 63) & at63)
  )
}
