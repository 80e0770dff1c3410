/**
 * Rows that were read last, sealed as they lie in the store, which this process alone can change while it is open:
 * so that a key that signs thousands of times is read once. It opens nothing and holds no key.
 */
import { MAX_CACHED_ROW_BYTES, MAX_ROW_CACHE_BYTES } from './limits.ts'
import { nameKey } from './overlay.ts'
import type { PlainRow, RowName, Store, StoredRow } from './stores/store.ts'

/** What a transaction reads of a store. */
export type StoreReader = Pick<Store, 'row' | 'rows' | 'plainRow' | 'plain'>

/** Sealed rows of one store. Those that came first go first. */
export class RowCache implements StoreReader {
  readonly #store: StoreReader
  readonly #rows = new Map<string, StoredRow>()
  #bytes = 0

  constructor(store: StoreReader) {
    this.#store = store
  }

  /** The same as `Store.row`. */
  row(kind: number, id: Uint8Array): StoredRow | undefined {
    const key = nameKey(kind, id)
    const known = this.#rows.get(key)
    if (known !== undefined) return known
    const row = this.#store.row(kind, id)
    if (row !== undefined) this.#keep(key, row)
    return row
  }

  rows(kind?: number): Iterable<StoredRow> {
    return this.#store.rows(kind)
  }

  plainRow(kind: number, id: Uint8Array): PlainRow | undefined {
    return this.#store.plainRow(kind, id)
  }

  plain(kind?: number): Iterable<PlainRow> {
    return this.#store.plain(kind)
  }

  /** These rows are others now, or gone. */
  changed(names: Iterable<RowName>): void {
    for (const { kind, id } of names) this.#drop(nameKey(kind, id))
  }

  /** Nothing is known any more. */
  clear(): void {
    this.#rows.clear()
    this.#bytes = 0
  }

  #keep(key: string, row: StoredRow): void {
    const { byteLength } = row.sealed
    if (byteLength > MAX_CACHED_ROW_BYTES) return
    for (const oldest of this.#rows.keys()) {
      if (this.#bytes + byteLength <= MAX_ROW_CACHE_BYTES) break
      this.#drop(oldest)
    }
    this.#rows.set(key, row)
    this.#bytes += byteLength
  }

  #drop(key: string): void {
    const row = this.#rows.get(key)
    if (row === undefined) return
    this.#rows.delete(key)
    this.#bytes -= row.sealed.byteLength
  }
}
