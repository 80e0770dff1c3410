/**
 * Writes over memory that `node:crypto` used while it decrypted and gave back as it was. It knows no key and no format.
 *
 * A decipher fills memory of its own, copies what it is into a new Buffer and frees the first: the plaintext stays
 * there. Whoever asks for as much memory next gets it, so a cipher that does the same with nothing writes over it.
 */
import { createCipheriv } from 'node:crypto'

/** Up to this size the allocator gives back first what came last (glibc's cache of a thread ends at 1032 bytes). */
export const PIECE_BYTES = 1000

/** One for all, with a key that is none: it remembers nothing of use, and to make one costs as much as to decipher. */
const ERASER = createCipheriv('aes-256-ctr', new Uint8Array(32), new Uint8Array(16))
const NOTHING = new Uint8Array(PIECE_BYTES)

/**
 * Writes over what deciphering in pieces of `PIECE_BYTES` left, of so many bytes in all. To be called at once, before
 * anything else asks for memory of that size.
 */
export function overwritePieces(bytes: number): void {
  const last = bytes % PIECE_BYTES
  if (last > 0) ERASER.update(NOTHING.subarray(0, last))
  if (bytes >= PIECE_BYTES) ERASER.update(NOTHING)
}
