/**
 * What a transaction has changed and not yet written: layers over a store, one for the transaction and one for each
 * savepoint in it. A layer is dropped or falls into the one below. It knows no keys and opens nothing.
 */
import type { PlainRow, RowName, StoredEntry, StoredRow } from './stores/store.ts'

/** A row as it will be; `row` is absent where it will be gone. */
export interface Changed<R extends RowName> {
  readonly name: RowName
  readonly row: R | undefined
}

/** What one savepoint has changed. */
export class Layer {
  readonly rows: Map<string, Changed<StoredRow>> = new Map()
  readonly plain: Map<string, Changed<PlainRow>> = new Map()
  readonly entries: StoredEntry[] = []
  readonly after: (() => void)[] = []
  /** 0 where nothing is cut. */
  cutEntriesBefore = 0
  newEpoch = false
  auditHead: Uint8Array | undefined
  openHeader: Uint8Array | undefined

  /** Whether nothing here has to be written. */
  get empty(): boolean {
    return (
      this.rows.size === 0 &&
      this.plain.size === 0 &&
      this.entries.length === 0 &&
      this.cutEntriesBefore === 0 &&
      !this.newEpoch &&
      this.auditHead === undefined &&
      this.openHeader === undefined
    )
  }

  /** Takes what the layer above has changed. */
  absorb(upper: Layer): void {
    for (const [key, change] of upper.rows) this.rows.set(key, change)
    for (const [key, change] of upper.plain) this.plain.set(key, change)
    for (const entry of upper.entries) this.entries.push(entry)
    for (const fire of upper.after) this.after.push(fire)
    this.cutEntriesBefore = Math.max(this.cutEntriesBefore, upper.cutEntriesBefore)
    this.newEpoch ||= upper.newEpoch
    this.auditHead = upper.auditHead ?? this.auditHead
    this.openHeader = upper.openHeader ?? this.openHeader
  }
}

/** Kind and id as text that sorts as they do. */
export function nameKey(kind: number, id: Uint8Array): string {
  let key = String.fromCharCode(kind)
  for (const byte of id) key += String.fromCharCode(byte)
  return key
}

/** Rows in order, with the changes of a kind in their places; the changes are those of this moment. */
export function* overlaid<R extends RowName>(
  stored: Iterable<R>,
  changes: Iterable<readonly [string, Changed<R>]>,
): Generator<R> {
  const changed = [...new Map(changes)].sort(([a], [b]) => (a < b ? -1 : 1))
  let at = 0
  for (const row of stored) {
    const key = nameKey(row.kind, row.id)
    let next = changed[at]
    while (next !== undefined && next[0] < key) {
      if (next[1].row !== undefined) yield next[1].row
      next = changed[++at]
    }
    if (next?.[0] !== key) yield row
  }
  for (; at < changed.length; at++) {
    const row = changed[at]?.[1].row
    if (row !== undefined) yield row
  }
}

/** Those changes that are of one kind. */
export function* ofKind<R extends RowName>(
  changes: ReadonlyMap<string, Changed<R>>,
  kind: number,
): Generator<readonly [string, Changed<R>]> {
  for (const change of changes) if (change[1].name.kind === kind) yield change
}
