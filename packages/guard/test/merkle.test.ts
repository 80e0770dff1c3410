import { concat, equalBytes, fromHex, toHex } from '@stronghold/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { MAX_MERKLE_PATH } from '../src/limits.ts'
import { isInTree, merkleRoot, merkleTree } from '../src/merkle.ts'
import { sha256 } from './signing.ts'

/** The leaves of the test data of Certificate Transparency, and the root over the first of them, then the first two … */
const LEAVES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
]
const ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]
/** Paths of the same test data: leaf and size, counted from 1. */
const PATHS: readonly { leaf: number; size: number; path: readonly string[] }[] = [
  { leaf: 1, size: 1, path: [] },
  {
    leaf: 1,
    size: 8,
    path: [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  },
  {
    leaf: 6,
    size: 8,
    path: [
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  },
  {
    leaf: 3,
    size: 3,
    path: ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'],
  },
  {
    leaf: 2,
    size: 5,
    path: [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  },
]

/** RFC 6962 §2.1, as it is written. */
function mth(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves
  if (only === undefined) throw new Error('no leaves')
  if (leaves.length === 1) return sha256(concat([Uint8Array.of(0), only]))
  const k = split(leaves.length)
  return sha256(concat([Uint8Array.of(1), mth(leaves.slice(0, k)), mth(leaves.slice(k))]))
}

/** RFC 6962 §2.1.1, as it is written. */
function pathTo(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return []
  const k = split(leaves.length)
  return m < k
    ? [...pathTo(m, leaves.slice(0, k)), mth(leaves.slice(k))]
    : [...pathTo(m - k, leaves.slice(k)), mth(leaves.slice(0, k))]
}

/** The largest power of two below a number. */
function split(n: number): number {
  let k = 1
  while (2 * k < n) k *= 2
  return k
}

describe('merkleTree()', () => {
  it('gives the roots and paths of the test data of Certificate Transparency', () => {
    for (const [index, root] of ROOTS.entries()) {
      const leaves = LEAVES.slice(0, index + 1).map(fromHex)
      expect(toHex(merkleTree(leaves, sha256).root)).toBe(root)
    }
    for (const { leaf, size, path } of PATHS) {
      const leaves = LEAVES.slice(0, size).map(fromHex)
      expect(merkleTree(leaves, sha256).paths[leaf - 1]?.map(toHex)).toEqual(path)
      const place = { index: leaf - 1, size }
      const root = fromHex(ROOTS[size - 1] ?? '')
      const bytes = fromHex(LEAVES[leaf - 1] ?? '')
      expect(isInTree(root, bytes, place, path.map(fromHex), sha256)).toBe(true)
    }
  })

  it('is RFC 6962 for every size to 33, and each leaf is found at its place alone', () => {
    for (let size = 1; size <= 33; size++) {
      const leaves = Array.from({ length: size }, (_, index) => Uint8Array.of(index))
      const { root, paths } = merkleTree(leaves, sha256)
      expect(equalBytes(root, mth(leaves))).toBe(true)
      for (const [index, leaf] of leaves.entries()) {
        const path = paths[index] ?? []
        expect(path.map(toHex)).toEqual(pathTo(index, leaves).map(toHex))
        expect(isInTree(root, leaf, { index, size }, path, sha256)).toBe(true)
        for (const other of [index - 1, index + 1, index ^ 1]) {
          if (other === index) continue
          expect(isInTree(root, leaf, { index: other, size }, path, sha256)).toBe(false)
        }
      }
    }
  })

  it('has one leaf at least', () => {
    expect(() => merkleTree([], sha256)).toThrow(RangeError)
  })
})

describe('isInTree()', () => {
  const leaves = Array.from({ length: 11 }, (_, index) => Uint8Array.of(index))
  const { root, paths } = merkleTree(leaves, sha256)

  it('takes no other leaf, place, size or path', () => {
    const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const hashes = fc.oneof(bytes, fc.constantFrom(...paths.flat(), root))
    const path = fc.oneof(
      fc.constantFrom(...paths),
      fc.array(hashes, { maxLength: 6 }),
      fc.constantFrom(...paths).chain((all) => fc.shuffledSubarray([...all])),
    )
    const leaf = fc.oneof(fc.constantFrom(...leaves), bytes)
    const number = fc.oneof(fc.nat(16), fc.constantFrom(-1, 0.5, Number.NaN, 2 ** 53, 2 ** 40))
    fc.assert(
      fc.property(leaf, number, number, path, (one, index, size, way) => {
        const isRight =
          leaves[index] === one && paths[index]?.length === way.length && size === leaves.length
        const same =
          isRight && way.every((hash, at) => equalBytes(hash, paths[index]?.[at] ?? root))
        // A place in a tree of another size can have the same path: the root is then the same, the leaf is in it.
        if (isInTree(root, one, { index, size }, way, sha256)) {
          expect(leaves.some((other) => equalBytes(other, one))).toBe(true)
        } else expect(same).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })

  it('takes no inner node for a leaf', () => {
    const [first = root, second = root] = leaves.map((leaf) =>
      sha256(concat([Uint8Array.of(0), leaf])),
    )
    const node = concat([first, second])
    const way = (paths[0] ?? []).slice(1)
    expect(isInTree(root, node, { index: 0, size: 6 }, way, sha256)).toBe(false)
  })

  it('takes paths to MAX_MERKLE_PATH, of hashes of 32 bytes', () => {
    const way = Array.from({ length: MAX_MERKLE_PATH }, () => new Uint8Array(32))
    const place = { index: 0, size: 2 ** MAX_MERKLE_PATH }
    expect(merkleRoot(Uint8Array.of(1), place, way, sha256)).toHaveLength(32)
    const more = [...way, new Uint8Array(32)]
    const wider = { index: 0, size: 2 ** (MAX_MERKLE_PATH + 1) }
    expect(merkleRoot(Uint8Array.of(1), wider, more, sha256)).toBeUndefined()
    expect(merkleRoot(Uint8Array.of(1), place, more, sha256)).toBeUndefined()
    expect(
      merkleRoot(Uint8Array.of(1), { index: 0, size: 2 }, [new Uint8Array(31)], sha256),
    ).toBeUndefined()
  })
})
