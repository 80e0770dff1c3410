/** Bytes: join, compare, print, wipe, assert. No I/O, and no encodings but hex and UTF-8. */

/** Joins byte arrays into a new one. */
export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const chunk of chunks) length += chunk.byteLength
  const all = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.byteLength
  }
  return all
}

/**
 * Whether two byte arrays hold the same. Looks at every byte whatever the first difference, so that its
 * time tells only the lengths; best effort, JavaScript promises no constant time.
 */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false
  let difference = 0
  for (let i = 0; i < a.byteLength; i++) difference |= (a[i] as number) ^ (b[i] as number)
  return difference === 0
}

/** Orders bytes lexicographically, a prefix before what it begins: negative, zero or positive. Not constant time. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.byteLength, b.byteLength)
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return a.byteLength - b.byteLength
}

/** Overwrites with zeros. Best effort: the engine may have made copies that nobody can reach. */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0)
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, '0'),
)

/** Lower-case hex, two digits a byte. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.byteLength; i++) text += HEX[bytes[i] as number] as string
  return text
}

/**
 * Bytes from hex of either case: two digits a byte and nothing else.
 *
 * @throws `SyntaxError` for an odd length or another character
 */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0) throw new SyntaxError('Cannot read hex: odd number of digits')
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.byteLength; i++) {
    const high = digit(text.charCodeAt(2 * i))
    const low = digit(text.charCodeAt(2 * i + 1))
    // The digit itself stays out of the message: what is read may be a secret.
    if (high < 0 || low < 0) {
      throw new SyntaxError(`Cannot read hex: no hex digit at ${high < 0 ? 2 * i : 2 * i + 1}`)
    }
    bytes[i] = high * 16 + low
  }
  return bytes
}

function digit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1
}

/**
 * Says that a value is bytes, of that length where one is given.
 *
 * @throws `TypeError` when it is no `Uint8Array`, `RangeError` when it has another length
 */
export function assertBytes(
  value: unknown,
  name: string,
  length?: number,
): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError(`Cannot take ${name}: not a Uint8Array`)
  if (length !== undefined && value.byteLength !== length) {
    throw new RangeError(
      `Cannot take ${name}: ${value.byteLength} bytes where ${length} are expected`,
    )
  }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Text as UTF-8.
 *
 * @throws `TypeError` for a lone surrogate, which has no UTF-8 form
 */
export function encodeUtf8(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new TypeError('Cannot encode text: lone surrogate')
  return encoder.encode(text)
}

/**
 * Text from UTF-8; a byte order mark stays in the text.
 *
 * @throws `SyntaxError` for anything that is not UTF-8
 */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new SyntaxError('Cannot decode text: not UTF-8', { cause })
  }
}
