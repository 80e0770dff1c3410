/** Random bytes drawn ahead, many at once: to ask the system costs as much for a page as for sixteen. For ids, never for keys. */

/** So many are drawn at once. */
const DRAWN_BYTES = 4096

/** Draws random bytes, at most `DRAWN_BYTES` of them a time; nobody is given the same twice. */
export function drawn(): (length: number) => Uint8Array {
  let pool = new Uint8Array(0)
  let at = 0
  return (length) => {
    if (at + length > pool.byteLength) {
      pool = crypto.getRandomValues(new Uint8Array(DRAWN_BYTES))
      at = 0
    }
    at += length
    return pool.slice(at - length, at)
  }
}
