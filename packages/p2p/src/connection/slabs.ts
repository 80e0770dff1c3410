/**
 * Memory to write from that is used again once what was in it has left: fresh memory for every write keeps the collector
 * busy. Knows nothing of what is written, nor by whom.
 */
import { MAX_SPARE_SLABS, MIN_SLAB_WRITE_BYTES, SLAB_BYTES } from '../limits.ts'

/** Slabs of one node. Whoever takes one owns it until it is given back. */
export class Slabs {
  readonly #spare: Uint8Array[] = []

  /** A slab for a write of this length; undefined where memory of its own is better. */
  take(bytes: number): Uint8Array | undefined {
    if (bytes > SLAB_BYTES) return undefined
    return (
      this.#spare.pop() ?? (bytes < MIN_SLAB_WRITE_BYTES ? undefined : new Uint8Array(SLAB_BYTES))
    )
  }

  /** Gives a slab back that nobody reads from any more. */
  give(slab: Uint8Array): void {
    if (this.#spare.length < MAX_SPARE_SLABS) this.#spare.push(slab)
  }
}
