/**
 * Memory to write from that is used again once what was in it has left: fresh memory for every write keeps the collector
 * busy. Knows nothing of what is written, nor by whom.
 */

/** Length of a slab: a batch of the muxer, one stream's turn more, and what sealing adds. */
export const SLAB_BYTES: number = 160 * 1024

// Ours: what waits to be used again. One is enough while the system takes at once what is written.
const MAX_SPARE = 4
// Ours: shorter writes use a slab that is there, but none is made for them.
const WORTH_BYTES = 32 * 1024

/** Slabs of one node. Whoever takes one owns it until it is given back. */
export class Slabs {
  readonly #spare: Uint8Array[] = []

  /** A slab for a write of this length; undefined where memory of its own is better. */
  take(bytes: number): Uint8Array | undefined {
    if (bytes > SLAB_BYTES) return undefined
    return this.#spare.pop() ?? (bytes < WORTH_BYTES ? undefined : new Uint8Array(SLAB_BYTES))
  }

  /** Gives a slab back that nobody reads from any more. */
  give(slab: Uint8Array): void {
    if (this.#spare.length < MAX_SPARE) this.#spare.push(slab)
  }
}
