/** What every store must do, as a suite that is run on each: `storeCompliance('name', { setup, teardown })`. */
import { equalBytes } from '@stronghold/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import type { Change, Store, StoredRow } from '../../src/stores/store.ts'

/** How the suite gets a store. */
export interface StoreSetup {
  /** A store without a vault in it, alone with its data. */
  setup(): Store
  /** Called with the store after each test, also where it was closed. */
  teardown?(store: Store): void
}

/** A change that writes a header and whatever else is given. */
export function changeOf(change: Partial<Change> = {}, header: number = 1): Change {
  return {
    put: [],
    remove: [],
    plainPut: [],
    plainRemove: [],
    entries: [],
    cutEntriesBefore: 0,
    header: () => ({ open: Uint8Array.of(header), sealed: Uint8Array.of(header, header) }),
    ...change,
  }
}

/** A row whose sealed bytes say which one it is. */
export function rowOf(kind: number, id: readonly number[], generation: number = 1): StoredRow {
  return {
    kind,
    id: Uint8Array.from(id),
    generation,
    sealed: Uint8Array.of(kind, ...id, generation),
  }
}

/** Runs the suite. */
export function storeCompliance(name: string, { setup, teardown }: StoreSetup): void {
  describe(`a ${name} store`, () => {
    let store: Store
    beforeEach(() => {
      store = setup()
    })
    afterEach(() => {
      store.close()
      teardown?.(store)
    })

    it('has nothing in it at first', () => {
      expect(store.header()).toBeUndefined()
      expect([...store.rows()]).toEqual([])
      expect([...store.plain()]).toEqual([])
      expect([...store.entries(0)]).toEqual([])
      expect(store.entryBytes()).toBe(0)
      expect(store.row(1, Uint8Array.of(1))).toBeUndefined()
      expect(store.plainRow(1, Uint8Array.of(1))).toBeUndefined()
    })

    it('holds what was committed, also after it was read again', () => {
      const row = rowOf(1, [1, 2])
      const plain = { kind: 1, id: Uint8Array.of(9), value: Uint8Array.of(8, 7) }
      const entry = { position: 0, sealed: Uint8Array.of(5) }
      store.commit(changeOf({ put: [row], plainPut: [plain], entries: [entry] }))
      for (const look of [() => undefined, () => store.reopen(), () => store.compact()]) {
        look()
        expect(store.header()).toEqual({ open: Uint8Array.of(1), sealed: Uint8Array.of(1, 1) })
        expect(store.row(1, row.id)).toEqual(row)
        expect(store.plainRow(1, plain.id)).toEqual(plain)
        expect([...store.rows()]).toEqual([row])
        expect([...store.plain()]).toEqual([plain])
        expect([...store.entries(0)]).toEqual([entry])
        expect(store.entryBytes()).toBe(1)
      }
    })

    it('writes over what stands there, and takes away', () => {
      const id = Uint8Array.of(1)
      const plain = { kind: 20, id, value: Uint8Array.of(1) }
      store.commit(changeOf({ put: [rowOf(1, [1]), rowOf(1, [2])], plainPut: [plain] }))
      store.commit(
        changeOf(
          {
            put: [rowOf(1, [1], 2)],
            remove: [rowOf(1, [2]), rowOf(3, [3])],
            plainPut: [{ ...plain, value: Uint8Array.of(2) }],
          },
          2,
        ),
      )
      expect([...store.rows()]).toEqual([rowOf(1, [1], 2)])
      expect(store.plainRow(20, id)?.value).toEqual(Uint8Array.of(2))
      expect(store.header()?.open).toEqual(Uint8Array.of(2))
      store.commit(changeOf({ plainRemove: [plain] }))
      expect([...store.plain()]).toEqual([])
    })

    it('lists in the order of kind and id, a shorter id first, however many there are', () => {
      const rows = [
        rowOf(1, [0]),
        rowOf(1, [0, 0]),
        rowOf(1, [0, 1]),
        rowOf(1, [1]),
        rowOf(1, [255]),
      ]
      for (let i = 0; i < 100; i++) rows.push(rowOf(2, [1, i]))
      rows.push(rowOf(63, [1]))
      const plain = rows.map(({ kind, id, sealed }) => ({ kind, id, value: sealed }))
      store.commit(changeOf({ put: rows.toReversed(), plainPut: plain.toReversed() }))
      expect([...store.rows()]).toEqual(rows)
      expect([...store.plain()]).toEqual(plain)
      for (const kind of [1, 2, 3, 63]) {
        expect([...store.rows(kind)]).toEqual(rows.filter((row) => row.kind === kind))
        expect([...store.plain(kind)]).toEqual(plain.filter((row) => row.kind === kind))
      }
    })

    it('keeps audit entries by position, gives a few, and cuts old ones', () => {
      const entries = Array.from({ length: 100 }, (_, position) => ({
        position,
        sealed: new Uint8Array(3).fill(position),
      }))
      store.commit(changeOf({ entries: entries.slice(0, 60) }))
      expect(store.entryBytes()).toBe(180)
      store.commit(changeOf({ entries: entries.slice(60) }))
      expect(store.entryBytes()).toBe(300)
      expect([...store.entries(0)]).toEqual(entries)
      expect([...store.entries(30, 5)]).toEqual(entries.slice(30, 35))
      expect([...store.entries(30, 50)]).toEqual(entries.slice(30, 80))
      expect([...store.entries(98, 50)]).toEqual(entries.slice(98))
      expect([...store.entries(5, 0)]).toEqual([])
      store.commit(changeOf({ cutEntriesBefore: 90 }))
      expect([...store.entries(0)]).toEqual(entries.slice(90))
      expect(store.entryBytes()).toBe(30)
    })

    it('changes nothing where reading the change throws', () => {
      store.commit(changeOf({ put: [rowOf(1, [1])] }))
      const failing = function* (): Generator<StoredRow> {
        yield rowOf(1, [1], 2)
        yield rowOf(1, [2], 2)
        throw new RangeError('enough')
      }
      expect(() => store.commit(changeOf({ put: failing() }, 2))).toThrow(RangeError)
      const noHeader = (): never => {
        throw new RangeError('enough')
      }
      expect(() =>
        store.commit(
          changeOf({
            put: [rowOf(1, [3])],
            plainPut: [{ kind: 1, id: Uint8Array.of(1), value: Uint8Array.of() }],
            entries: [{ position: 0, sealed: Uint8Array.of(1) }],
            header: noHeader,
          }),
        ),
      ).toThrow(RangeError)
      expect([...store.rows()]).toEqual([rowOf(1, [1])])
      expect([...store.plain()]).toEqual([])
      expect([...store.entries(0)]).toEqual([])
      expect(store.entryBytes()).toBe(0)
      expect(store.header()?.open).toEqual(Uint8Array.of(1))
      store.commit(changeOf({ put: [rowOf(1, [2])] }, 3))
      expect([...store.rows()]).toEqual([rowOf(1, [1]), rowOf(1, [2])])
    })

    it('gives rows to whoever makes the change of them', () => {
      const before = Array.from({ length: 80 }, (_, i) => rowOf(1, [i]))
      store.commit(changeOf({ put: before }))
      const anew = function* (): Generator<StoredRow> {
        for (const row of store.rows(1)) {
          if (row.generation === 1) yield { ...row, generation: 2 }
        }
      }
      store.commit(changeOf({ put: anew() }))
      expect([...store.rows()].map(({ generation }) => generation)).toEqual(Array(80).fill(2))
    })

    it('asks for the header last', () => {
      const order: string[] = []
      const tell = function* (): Generator<never> {
        order.push('rows')
        yield* []
      }
      const header = (): { open: Uint8Array; sealed: Uint8Array } => {
        order.push('header')
        return { open: Uint8Array.of(1), sealed: Uint8Array.of(1) }
      }
      store.commit(changeOf({ put: tell(), entries: tell(), header }))
      expect(order).toEqual(['rows', 'rows', 'header'])
    })

    it('changes what is readable while locked without a header', () => {
      const row = { kind: 16, id: Uint8Array.of(1), value: Uint8Array.of(1) }
      store.commitPlain([row], [])
      expect([...store.plain()]).toEqual([row])
      expect(store.header()).toBeUndefined()
      store.commitPlain([], [row])
      expect([...store.plain()]).toEqual([])
    })

    it('refuses to change without a header what the header vouches for', () => {
      const row = { kind: 15, id: Uint8Array.of(1), value: Uint8Array.of(1) }
      expect(() => store.commitPlain([row], [])).toThrow(RangeError)
      expect(() => store.commitPlain([], [row])).toThrow(RangeError)
      expect([...store.plain()]).toEqual([])
    })

    it('keeps bytes of its own, whatever becomes of those it was given', () => {
      const sealed = Buffer.from([1, 2, 3])
      const id = Buffer.from([1])
      store.commit(
        changeOf({
          put: [{ kind: 1, id, generation: 1, sealed }],
          plainPut: [{ kind: 1, id, value: sealed }],
          entries: [{ position: 0, sealed }],
          header: () => ({ open: sealed, sealed }),
        }),
      )
      sealed.fill(0)
      id.fill(0)
      const kept = Uint8Array.of(1, 2, 3)
      expect(store.row(1, Uint8Array.of(1))?.sealed).toEqual(kept)
      expect(store.plainRow(1, Uint8Array.of(1))?.value).toEqual(kept)
      expect([...store.entries(0)][0]?.sealed).toEqual(kept)
      expect(store.header()).toEqual({ open: kept, sealed: kept })
    })

    it('holds empty values and long ones', () => {
      const long = new Uint8Array(2 ** 20 + 100).fill(3)
      const empty = { ...rowOf(1, [1]), sealed: new Uint8Array() }
      const plain = { kind: 1, id: Uint8Array.of(1), value: new Uint8Array() }
      store.commit(
        changeOf({ put: [empty, { ...rowOf(1, [2]), sealed: long }], plainPut: [plain] }),
      )
      store.reopen()
      expect(store.row(1, empty.id)).toEqual(empty)
      expect(store.plainRow(1, plain.id)).toEqual(plain)
      expect(equalBytes(store.row(1, Uint8Array.of(2))?.sealed ?? empty.sealed, long)).toBe(true)
    })

    it('holds generations up to the largest safe integer', () => {
      const row = { ...rowOf(1, [1]), generation: Number.MAX_SAFE_INTEGER }
      store.commit(changeOf({ put: [row] }))
      expect([...store.rows()]).toEqual([row])
    })

    it('closes twice', () => {
      store.close()
      store.close()
    })
  })
}
