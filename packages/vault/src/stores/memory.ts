/**
 * A vault that lies nowhere: for tests, and for a vault that need not outlive its process. It knows no keys and writes
 * no file; "durable" here lasts as long as the object.
 */
import { nameKey } from '../overlay.ts'
import { assertLoose } from './store.ts'
import type {
  Change,
  PlainRow,
  RowName,
  Store,
  StoredEntry,
  StoredHeader,
  StoredRow,
} from './store.ts'

/** A store in memory. Gives out what it holds: nobody may write into it. */
export class MemoryStore implements Store {
  #header: StoredHeader | undefined
  #rows = new Map<string, StoredRow>()
  #plain = new Map<string, PlainRow>()
  #entries = new Map<number, StoredEntry>()

  header(): StoredHeader | undefined {
    return this.#header
  }

  rows(kind?: number): Iterable<StoredRow> {
    return inOrder(this.#rows, kind)
  }

  row(kind: number, id: Uint8Array): StoredRow | undefined {
    return this.#rows.get(nameKey(kind, id))
  }

  plain(kind?: number): Iterable<PlainRow> {
    return inOrder(this.#plain, kind)
  }

  plainRow(kind: number, id: Uint8Array): PlainRow | undefined {
    return this.#plain.get(nameKey(kind, id))
  }

  entries(from: number, count: number = Infinity): Iterable<StoredEntry> {
    return [...this.#entries.values()]
      .filter(({ position }) => position >= from)
      .sort((a, b) => a.position - b.position)
      .slice(0, count)
  }

  entryBytes(): number {
    let bytes = 0
    for (const { sealed } of this.#entries.values()) bytes += sealed.byteLength
    return bytes
  }

  commit(change: Change): void {
    // Everything is read before anything changes: the change may throw, and may read this store.
    const put = [...change.put].map(copyRow)
    const remove = [...change.remove]
    const plainPut = [...change.plainPut].map(copyPlain)
    const plainRemove = [...change.plainRemove]
    const entries = [...change.entries].map(copyEntry)
    const header = change.header()
    for (const row of remove) this.#rows.delete(keyOf(row))
    for (const row of put) this.#rows.set(keyOf(row), row)
    for (const row of plainRemove) this.#plain.delete(keyOf(row))
    for (const row of plainPut) this.#plain.set(keyOf(row), row)
    if (change.cutEntriesBefore > 0) {
      for (const position of this.#entries.keys()) {
        if (position < change.cutEntriesBefore) this.#entries.delete(position)
      }
    }
    for (const entry of entries) this.#entries.set(entry.position, entry)
    this.#header = { open: new Uint8Array(header.open), sealed: new Uint8Array(header.sealed) }
  }

  commitPlain(put: readonly PlainRow[], remove: readonly RowName[]): void {
    assertLoose([...put, ...remove])
    for (const row of remove) this.#plain.delete(keyOf(row))
    for (const row of put) this.#plain.set(keyOf(row), copyPlain(row))
  }

  compact(): void {
    // Nothing to fold.
  }

  reopen(): void {
    // What is here is all there is.
  }

  close(): void {
    // Nothing is held.
  }
}

function keyOf({ kind, id }: RowName): string {
  return nameKey(kind, id)
}

function inOrder<R extends RowName>(rows: ReadonlyMap<string, R>, kind?: number): R[] {
  const keys = [...rows.keys()]
  const prefix = kind === undefined ? '' : String.fromCharCode(kind)
  return keys
    .filter((key) => key.startsWith(prefix))
    .sort((a, b) => (a < b ? -1 : 1))
    .flatMap((key) => rows.get(key) ?? [])
}

function copyRow(row: StoredRow): StoredRow {
  return { ...row, id: new Uint8Array(row.id), sealed: new Uint8Array(row.sealed) }
}

function copyPlain(row: PlainRow): PlainRow {
  return { ...row, id: new Uint8Array(row.id), value: new Uint8Array(row.value) }
}

function copyEntry(entry: StoredEntry): StoredEntry {
  return { ...entry, sealed: new Uint8Array(entry.sealed) }
}
