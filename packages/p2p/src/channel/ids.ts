/** Request ids: 16 bytes nobody can foresee, drawn many at a time since each draw costs a system call. */
import { REQUEST_ID_BYTES } from './frame.ts'

// Ours: ids drawn at once.
const DRAW = 256

/** A source of ids over a source of random bytes. */
export function requestIds(random: (length: number) => Uint8Array): () => Uint8Array {
  let bytes = new Uint8Array(0)
  let at = 0
  return () => {
    if (at === bytes.byteLength) {
      bytes = new Uint8Array(random(DRAW * REQUEST_ID_BYTES))
      at = 0
    }
    const id = bytes.subarray(at, at + REQUEST_ID_BYTES)
    at += REQUEST_ID_BYTES
    return id
  }
}
