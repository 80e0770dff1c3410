/**
 * Every row and audit entry of a vault sealed anew under another data key, one at a time while a store reads them. It
 * changes no store, and knows no header and no unlocker.
 */
import { openEntry, openSecret } from './row.ts'
import { entryAssociated, nameId, rowAssociated, RowSum, seal } from './seal.ts'
import type { Keys, Random } from './seal.ts'
import type { Slab } from './secret.ts'
import type { Change, RowName, Store, StoredEntry, StoredRow } from './stores/store.ts'

/** How a vault gets another data key. */
export interface RekeyInit {
  /** Under the new data key. Belongs to the rows from now on, also where this throws. */
  keys: Keys
  /** The readable half, with unlockers for the new data key. */
  openHeader: Uint8Array
  /** Room for one row at a time. */
  slab: Slab
  /** Kinds whose ids are made from names (`Rows.id`), with how a row tells its name. */
  names: ReadonlyMap<number, (value: Uint8Array) => string>
  /** Called with how many of how many rows and entries are sealed anew. It must not throw. */
  onProgress?: (done: number, total: number) => void
}

/** What is sealed anew. */
export interface RekeyFrom {
  readonly store: Store
  /** The vault's id. */
  readonly vault: Uint8Array
  /** The old ones. */
  readonly keys: Keys
  /** How many rows there are. */
  readonly rows: number
  /** Of the commit that writes it. */
  readonly generation: number
  readonly random: Random
}

/** All of it anew: what a store commits, and the sum over its rows once the store has read it. */
export interface SealedAnew {
  readonly change: Omit<Change, 'header'>
  readonly sum: RowSum
}

/**
 * Begins to seal anew; a row is opened and sealed when the store asks for it.
 *
 * @throws while it is read: `VaultError` `data_loss` (`damaged`), `resource_exhausted` where the slab is full, what a
 *   function of `names` throws
 */
export function sealAnew(from: RekeyFrom, init: RekeyInit): SealedAnew {
  const { store, vault, generation, random } = from
  const { keys, names, slab, onProgress } = init
  const sum = new RowSum(keys)
  const remove: RowName[] = []
  const total = from.rows + count(store.entries(0))
  let done = 0
  function* rowsAnew(): Generator<StoredRow> {
    for (const row of store.rows()) {
      // A row under its new name may come by again: the store reads while it is written to.
      if (row.generation === generation) continue
      using opened = openSecret(from.keys, vault, row, slab)
      const { kind } = row
      const name = names.get(kind)?.(opened.bytes)
      const id = name === undefined ? row.id : nameId(keys, kind, name)
      if (name !== undefined) remove.push({ kind, id: row.id })
      const associated = rowAssociated(vault, kind, generation, id)
      const sealed = seal(keys.row, associated, opened.bytes, random)
      const anew = { kind, id, generation, sealed }
      sum.add(anew)
      yield anew
      onProgress?.(++done, total)
    }
  }
  function* entriesAnew(): Generator<StoredEntry> {
    for (const entry of store.entries(0)) {
      const { position } = entry
      const value = openEntry(from.keys, vault, entry)
      const associated = entryAssociated(vault, position)
      yield { position, sealed: seal(keys.audit, associated, value, random) }
      onProgress?.(++done, total)
    }
  }
  return {
    sum,
    change: {
      put: rowsAnew(),
      remove,
      plainPut: [],
      plainRemove: [],
      entries: entriesAnew(),
      cutEntriesBefore: 0,
    },
  }
}

function count(of: Iterable<unknown>): number {
  let n = 0
  for (const item of of) n += item === undefined ? 0 : 1
  return n
}
