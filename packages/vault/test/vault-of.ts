/** Vaults for the tests of rows: a slab, keys under a data key of one's choice, a header with one unlocker. */
import { encodeOpenHeader } from '../src/header.ts'
import { Rows } from '../src/rows.ts'
import type { NewRowsInit, RowsInit } from '../src/rows.ts'
import { deriveKeys } from '../src/seal.ts'
import type { Keys } from '../src/seal.ts'
import { Slab } from '../src/secret.ts'
import type { Store } from '../src/stores/store.ts'

/** The id of every vault here. */
export const VAULT: Uint8Array = new Uint8Array(16).fill(0x56)

/** A readable half of the header; the unlocker in it unlocks nothing. */
export function openHeader(name: string = 'owner'): Uint8Array {
  return encodeOpenHeader({
    vault: VAULT,
    unlockers: [
      {
        id: new Uint8Array(8),
        kind: 'key-file',
        name,
        createdAtMs: 1_800_000_000_000,
        salt: new Uint8Array(16),
        wrapped: new Uint8Array(72),
      },
    ],
  })
}

/** Keys under a data key of 32 equal bytes. */
export function keysOf(slab: Slab, byte: number = 0x44): Keys {
  return deriveKeys(new Uint8Array(32).fill(byte), slab)
}

/** Makes a vault in a store. */
export function createRows(store: Store, slab: Slab, init: Partial<NewRowsInit> = {}): Rows {
  return Rows.create(store, keysOf(slab), { vault: VAULT, openHeader: openHeader(), ...init })
}

/** Opens the vault in a store. */
export function openRows(store: Store, slab: Slab, init: RowsInit = {}): Rows {
  const keys = keysOf(slab)
  try {
    return Rows.open(store, keys, init)
  } catch (error) {
    keys[Symbol.dispose]()
    throw error
  }
}

/** A slab large enough for any test. */
export function testSlab(): Slab {
  return new Slab({ bytes: 256 * 1024 })
}
