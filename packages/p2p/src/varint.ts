/**
 * Unsigned varints as multiformats define them: seven bits a byte, least significant first, shortest form only.
 * Knows nothing of what they count.
 */

/** Longest varint that is taken, in bytes (multiformats/unsigned-varint). */
export const MAX_VARINT_BYTES = 9

/**
 * A number as varint.
 *
 * @throws `RangeError` for anything but a safe integer of at least zero
 */
export function encodeVarint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError('Cannot encode a varint: no safe integer of at least zero')
  }
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

/** A varint that was read, and how many bytes it took. */
export interface DecodedVarint {
  value: number
  byteLength: number
}

/**
 * The varint at `offset`, or undefined when the bytes end inside it. Looks at most at nine bytes.
 *
 * @throws `RangeError` for a longer form than needed, more than nine bytes, or a value above 2^53 − 1
 */
export function decodeVarint(bytes: Uint8Array, offset = 0): DecodedVarint | undefined {
  let value = 0
  let scale = 1
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    const byte = bytes[offset + i]
    if (byte === undefined) return undefined
    value += (byte & 0x7f) * scale
    if (byte < 0x80) {
      if (byte === 0 && i > 0)
        throw new RangeError('Cannot decode a varint: not in its shortest form')
      if (!Number.isSafeInteger(value)) throw new RangeError('Cannot decode a varint: too large')
      return { value, byteLength: i + 1 }
    }
    scale *= 0x80
  }
  throw new RangeError('Cannot decode a varint: longer than nine bytes')
}
