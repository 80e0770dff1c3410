/** Merkle trees as RFC 6962 §2.1 has them: one root over many leaves, and a short path to each. Pure; it knows no leaf. */
import { concat, equalBytes } from '@stronghold/core'

import { MAX_MERKLE_PATH } from './limits.ts'

/** SHA-256: any bytes in, 32 bytes out. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array

/** A tree over leaves that stand. */
export interface MerkleTree {
  /** 32 bytes. */
  readonly root: Uint8Array
  /** For each leaf the hashes beside its way to the root, 32 bytes each, from the leaf upwards (RFC 6962 §2.1.1). */
  readonly paths: readonly (readonly Uint8Array[])[]
}

// A leaf never hashes like a node, so no inner node passes for a leaf.
const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)

/**
 * The tree over leaves, in their order.
 *
 * @throws `RangeError` without a leaf
 */
export function merkleTree(leaves: readonly Uint8Array[], sha256: Sha256): MerkleTree {
  if (leaves.length === 0) throw new RangeError('Cannot make tree: no leaves')
  const paths: Uint8Array[][] = leaves.map(() => [])
  let level = leaves.map((leaf) => sha256(concat([LEAF, leaf])))
  for (let height = 1; level.length > 1; height++) {
    for (const [index, path] of paths.entries()) {
      // Without a neighbour a hash goes up as it is.
      const beside = level[Math.floor(index / 2 ** (height - 1)) ^ 1]
      if (beside !== undefined) path.push(beside)
    }
    const above: Uint8Array[] = []
    for (let at = 0; at < level.length; at += 2) {
      const [left, right] = [level[at] as Uint8Array, level[at + 1]]
      above.push(right === undefined ? left : sha256(concat([NODE, left, right])))
    }
    level = above
  }
  return { root: level[0] as Uint8Array, paths }
}

/**
 * The root that a leaf and its path lead to (RFC 9162 §2.1.3.2), or `undefined` where no tree of that size has such a path.
 *
 * @param place - the leaf's index from 0, and how many leaves there are: to 2³²
 */
export function merkleRoot(
  leaf: Uint8Array,
  place: { readonly index: number; readonly size: number },
  path: readonly Uint8Array[],
  sha256: Sha256,
): Uint8Array | undefined {
  const { index, size } = place
  const isPlace = Number.isSafeInteger(index) && Number.isSafeInteger(size)
  if (!isPlace || index < 0 || index >= size || size > 2 ** MAX_MERKLE_PATH) return undefined
  if (path.length > MAX_MERKLE_PATH || path.some((hash) => hash.byteLength !== 32)) return undefined
  let [at, last] = [index, size - 1]
  let root = sha256(concat([LEAF, leaf]))
  for (const hash of path) {
    if (last === 0) return undefined
    // Going up without a neighbour needs no hash.
    while (at === last && at % 2 === 0) [at, last] = [at / 2, Math.floor(last / 2)]
    if (last === 0) return undefined
    root = sha256(at % 2 === 1 ? concat([NODE, hash, root]) : concat([NODE, root, hash]))
    ;[at, last] = [Math.floor(at / 2), Math.floor(last / 2)]
  }
  while (last !== 0 && at === last && at % 2 === 0) [at, last] = [at / 2, Math.floor(last / 2)]
  return last === 0 ? root : undefined
}

/** Whether a root is that of a tree with this leaf at this place. */
export function isInTree(
  root: Uint8Array,
  leaf: Uint8Array,
  place: { readonly index: number; readonly size: number },
  path: readonly Uint8Array[],
  sha256: Sha256,
): boolean {
  const found = merkleRoot(leaf, place, path, sha256)
  return found !== undefined && equalBytes(found, root)
}
