import { decodeUtf8, encodeUtf8 } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { VaultError } from '../src/errors.ts'
import { encodeOpenHeader } from '../src/header.ts'
import { MAX_ROW_ID_BYTES, MAX_ROW_KIND } from '../src/limits.ts'
import { Rows } from '../src/rows.ts'
import type { Transaction } from '../src/rows.ts'
import { deriveKeys } from '../src/seal.ts'
import { MemoryStore } from '../src/stores/memory.ts'
import type { Change, StoredRow } from '../src/stores/store.ts'
import { createRows, keysOf, openHeader, openRows, testSlab, VAULT } from './vault-of.ts'

const ID = new Uint8Array(16).fill(7)
const VALUE = Uint8Array.of(1, 2, 3)
const reason = (is: string): Error => expect.objectContaining({ reason: is }) as Error

describe('a transaction', () => {
  it('is there after the vault was opened again', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    using rows = createRows(store, slab)
    rows.transaction((tx) => {
      tx.put(1, ID, VALUE)
      tx.putSecret(2, ID, VALUE)
      tx.putPlain(1, ID, VALUE)
      expect(tx.append(VALUE)).toBe(0)
      expect(tx.get(1, ID)).toEqual(VALUE)
    })
    using again = openRows(store, slab)
    expect(again.get(1, ID)).toEqual(VALUE)
    expect(again.getPlain(1, ID)).toEqual(VALUE)
    expect([...again.list(1)]).toEqual([{ id: ID, value: VALUE }])
    using secret = again.open(2, ID, slab)
    expect(secret?.bytes.slice()).toEqual(VALUE)
    expect([...again.entries(0)]).toEqual([{ position: 0, value: VALUE }])
    expect(again.head()).toMatchObject({ generation: 2, rows: 2, auditLength: 1 })
  })

  it('that changes nothing is no commit, and still runs what waits for it', () => {
    using slab = testSlab()
    using rows = createRows(new MemoryStore(), slab)
    const fired: string[] = []
    const { generation } = rows.head()
    rows.transaction((tx) => {
      tx.get(1, ID)
      tx.remove(1, ID)
      tx.removePlain(1, ID)
      tx.afterCommit(() => fired.push('after'))
    })
    expect(rows.head().generation).toBe(generation)
    expect(fired).toEqual(['after'])
  })

  it('runs everything that waits for it, once it is durable, and then says what failed', () => {
    using slab = testSlab()
    using rows = createRows(new MemoryStore(), slab)
    const fired: number[] = []
    expect(() => {
      rows.transaction((tx) => {
        tx.put(1, ID, VALUE)
        tx.afterCommit(() => {
          fired.push(rows.head().generation)
          throw new RangeError('after')
        })
        tx.afterCommit(() => fired.push(2))
      })
    }).toThrow(RangeError)
    expect(fired).toEqual([2, 2])
    expect(rows.get(1, ID)).toEqual(VALUE)
  })

  it('is over when its body returns, is one at a time, and is not asynchronous', () => {
    using slab = testSlab()
    using rows = createRows(new MemoryStore(), slab)
    let late: Transaction | undefined
    rows.transaction((tx) => {
      late = tx
      expect(() => rows.transaction(() => undefined)).toThrow(TypeError)
    })
    expect(() => late?.put(1, ID, VALUE)).toThrow('it has ended')
    expect(() => late?.get(1, ID)).toThrow('it has ended')
    expect(() => [...(late?.list(1) ?? [])]).toThrow('it has ended')
    expect(() =>
      rows.transaction((tx) => {
        tx.put(1, ID, VALUE)
        return Promise.resolve()
      }),
    ).toThrow('must not be asynchronous')
    expect(() => rows.transaction((tx) => tx.savepoint(() => Promise.resolve()))).toThrow(
      'must not be asynchronous',
    )
    expect(rows.get(1, ID)).toBeUndefined()
  })

  it('takes kinds from 1 to 63 and ids of 1 to 64 bytes', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    using rows = createRows(store, slab)
    rows.transaction((tx) => {
      const longest = new Uint8Array(MAX_ROW_ID_BYTES)
      for (const [kind, id] of [
        [1, Uint8Array.of(1)],
        [MAX_ROW_KIND, longest],
      ] as const) {
        tx.put(kind, id, VALUE)
        tx.putPlain(kind, id, VALUE)
      }
      for (const [kind, id] of [
        [0, ID],
        [MAX_ROW_KIND + 1, ID],
        [1.5, ID],
        [1, new Uint8Array()],
        [1, new Uint8Array(MAX_ROW_ID_BYTES + 1)],
      ] as const) {
        expect(() => tx.put(kind, id, VALUE)).toThrow(RangeError)
        expect(() => tx.putPlain(kind, id, VALUE)).toThrow(RangeError)
      }
    })
    expect(openRows(store, slab).head().rows).toBe(2)
  })

  it('keeps copies of what it is given, and seals a secret before it returns', () => {
    using slab = testSlab()
    using rows = createRows(new MemoryStore(), slab)
    const id = Buffer.from([1])
    const value = Buffer.from([2])
    rows.transaction((tx) => {
      tx.putSecret(2, id, value)
      tx.putPlain(1, id, value)
      id.fill(0)
      value.fill(0)
    })
    using secret = rows.open(2, Uint8Array.of(1), slab)
    expect(secret?.bytes.slice()).toEqual(Uint8Array.of(2))
    expect(rows.getPlain(1, Uint8Array.of(1))).toEqual(Uint8Array.of(2))
  })

  it('cuts the audit but for its newest entry', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    using rows = createRows(store, slab)
    rows.transaction((tx) => {
      for (let i = 0; i < 5; i++) tx.append(Uint8Array.of(i))
      for (const bad of [5, -1, 1.5]) expect(() => tx.cutEntries(bad)).toThrow(RangeError)
    })
    rows.transaction((tx) => {
      tx.cutEntries(4)
      tx.setAuditHead(new Uint8Array(32).fill(1))
      expect(() => tx.setAuditHead(new Uint8Array(31))).toThrow(RangeError)
    })
    using again = openRows(store, slab)
    expect([...again.entries(0)]).toEqual([{ position: 4, value: Uint8Array.of(4) }])
    expect(again.head()).toMatchObject({ auditLength: 5, auditHead: new Uint8Array(32).fill(1) })
  })

  it('replaces the unlockers, and never the vault that the header names', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    using rows = createRows(store, slab)
    const other = encodeOpenHeader({
      vault: VAULT.with(0, 0),
      unlockers: [
        {
          id: new Uint8Array(8),
          kind: 'key-file',
          name: '',
          createdAtMs: 0,
          salt: new Uint8Array(16),
          wrapped: new Uint8Array(72),
        },
      ],
    })
    rows.transaction((tx) => {
      expect(() => tx.setOpenHeader(other)).toThrow(TypeError)
      tx.setOpenHeader(openHeader('changed'))
    })
    expect(openRows(store, slab).openHeader()).toEqual(openHeader('changed'))
    expect(() =>
      Rows.create(new MemoryStore(), keysOf(slab), { vault: VAULT, openHeader: other }),
    ).toThrow(TypeError)
  })
})

describe('an unlocked vault', () => {
  it('is made once, and is not there before', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    expect(() => openRows(store, slab)).toThrow(expect.objectContaining({ code: 'not_found' }))
    createRows(store, slab)
    expect(() => createRows(store, slab)).toThrow(reason('conflict'))
  })

  it('is locked when it is disposed of: nothing is read, and the slab is empty', () => {
    using slab = testSlab()
    const rows = createRows(new MemoryStore(), slab)
    rows[Symbol.dispose]()
    rows[Symbol.dispose]()
    expect(slab.used).toBe(0)
    for (const use of [
      () => rows.get(1, ID),
      () => rows.open(1, ID, slab),
      () => [...rows.list(1)],
      () => rows.head(),
      () => rows.id(1, 'a'),
      () => rows.openHeader(),
      () => rows.compact(),
      () => rows.transaction(() => undefined),
    ]) {
      expect(use).toThrow(reason('locked'))
    }
  })

  it('does not open under another data key', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    createRows(store, slab)
    using keys = keysOf(slab, 0x45)
    expect(() => Rows.open(store, keys)).toThrow(reason('unlock_failed'))
  })

  it('is refused where a walk over its rows goes another way than a search', () => {
    using slab = testSlab()
    let order = (rows: StoredRow[]): StoredRow[] => rows
    class Unordered extends MemoryStore {
      override rows(kind?: number): StoredRow[] {
        return order([...super.rows(kind)])
      }
    }
    const store = new Unordered()
    createRows(store, slab, {
      first: (tx) => {
        tx.put(1, ID, VALUE)
        tx.put(2, ID, VALUE)
      },
    })
    openRows(store, slab)
    order = (rows) => rows.toReversed()
    expect(() => openRows(store, slab)).toThrow(reason('damaged'))
  })

  it('has a time that never runs back, whatever the clock does', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    let clock = 1000
    const rows = createRows(store, slab, { nowMs: () => clock })
    expect(rows.nowMs()).toBe(1000)
    clock = 5000.7
    expect(rows.nowMs()).toBe(5000)
    clock = 10
    expect(rows.nowMs()).toBe(5000)
    rows.transaction((tx) => {
      tx.put(1, ID, VALUE)
    })
    expect(rows.head()).toMatchObject({ timeMs: 5000, createdAtMs: 1000 })
    const again = openRows(store, slab, { nowMs: () => clock })
    expect(again.nowMs()).toBe(5000)
    for (const nonsense of [NaN, Infinity, -1]) {
      clock = nonsense
      expect(again.nowMs()).toBe(5000)
    }
  })

  it('finds rows by name, and under other ids for every data key', () => {
    using slab = testSlab()
    using one = createRows(new MemoryStore(), slab)
    using two = Rows.create(new MemoryStore(), keysOf(slab, 0x45), {
      vault: VAULT,
      openHeader: openHeader(),
    })
    expect(one.id(1, 'a/b')).toEqual(one.id(1, 'a/b'))
    expect(one.id(1, 'a/b')).not.toEqual(one.id(5, 'a/b'))
    expect(one.id(1, 'a/b')).not.toEqual(two.id(1, 'a/b'))
  })

  it('says that a row is damaged, and not what was in it', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    const rows = createRows(store, slab)
    rows.transaction((tx) => {
      tx.put(1, ID, VALUE)
    })
    const row = store.row(1, ID)
    const header = store.header()
    if (row === undefined || header === undefined) throw new Error('nothing there')
    store.commit({
      put: [{ ...row, sealed: row.sealed.with(25, (row.sealed[25] ?? 0) ^ 1) }],
      remove: [],
      plainPut: [],
      plainRemove: [],
      entries: [],
      cutEntriesBefore: 0,
      header: () => header,
    })
    const before = slab.used
    expect(() => rows.get(1, ID)).toThrow(reason('damaged'))
    expect(() => rows.open(1, ID, slab)).toThrow(reason('damaged'))
    expect(() => [...rows.list(1)]).toThrow(reason('damaged'))
    expect(slab.used).toBe(before)
  })
})

describe('rekey()', () => {
  const names = new Map([[5, (value: Uint8Array): string => decodeUtf8(value)]])

  it('seals everything under another data key, with ids anew where they were made from names', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    using rows = createRows(store, slab)
    rows.transaction((tx) => {
      for (let i = 0; i < 50; i++) tx.put(5, rows.id(5, `key ${i}`), encodeUtf8(`key ${i}`))
      tx.putSecret(2, ID, VALUE)
      tx.append(VALUE)
      tx.append(VALUE)
      tx.putPlain(1, ID, VALUE)
    })
    const sealedBefore = new Set([...store.rows()].map(({ sealed }) => sealed.join()))
    const progress: number[] = []
    rows.rekey({
      keys: keysOf(slab, 0x45),
      openHeader: openHeader('new'),
      slab,
      names,
      onProgress: (done, total) => {
        expect(total).toBe(53)
        progress.push(done)
      },
    })
    expect(progress).toEqual(Array.from({ length: 53 }, (_, i) => i + 1))
    expect([...store.rows()].some(({ sealed }) => sealedBefore.has(sealed.join()))).toBe(false)
    for (const opened of [
      rows,
      Rows.open(store, deriveKeys(new Uint8Array(32).fill(0x45), slab)),
    ]) {
      expect(opened.head()).toMatchObject({ rows: 51, generation: 3, auditLength: 2 })
      for (let i = 0; i < 50; i++) {
        expect(opened.get(5, opened.id(5, `key ${i}`))).toEqual(encodeUtf8(`key ${i}`))
      }
      using secret = opened.open(2, ID, slab)
      expect(secret?.bytes.slice()).toEqual(VALUE)
      expect([...opened.entries(0)]).toHaveLength(2)
    }
    using old = keysOf(slab)
    expect(() => Rows.open(store, old)).toThrow(reason('unlock_failed'))
  })

  it('seals a row once that a store shows again under its new name while it is written', () => {
    class Showing extends MemoryStore {
      #written: StoredRow[] = [];
      override *rows(kind?: number): Generator<StoredRow> {
        yield* super.rows(kind)
        yield* this.#written
      }
      override commit(change: Change): void {
        const written = this.#written
        function* shown(): Generator<StoredRow> {
          for (const row of change.put) {
            written.push(row)
            yield row
          }
        }
        super.commit({ ...change, put: shown(), header: () => change.header() })
        this.#written = []
      }
    }
    using slab = testSlab()
    const store = new Showing()
    using rows = createRows(store, slab)
    rows.transaction((tx) => {
      for (let i = 0; i < 5; i++) tx.put(5, rows.id(5, `key ${i}`), encodeUtf8(`key ${i}`))
    })
    rows.rekey({ keys: keysOf(slab, 0x45), openHeader: openHeader('new'), slab, names })
    expect([...rows.list(5)].map(({ value }) => decodeUtf8(value)).sort()).toEqual(
      [0, 1, 2, 3, 4].map((i) => `key ${i}`),
    )
    using again = Rows.open(store, deriveKeys(new Uint8Array(32).fill(0x45), slab))
    expect(again.head()).toMatchObject({ rows: 5 })
  })

  for (const written of [true, false]) {
    it(`that nobody knows of ${written ? 'happened' : 'did not happen'} once the disk is read again`, () => {
      using slab = testSlab()
      let fail = false
      class Failing extends MemoryStore {
        override commit(change: Change): void {
          if (!fail) {
            super.commit(change)
            return
          }
          fail = false
          if (written) super.commit(change)
          else {
            expect([...change.put]).not.toHaveLength(0)
            change.header()
          }
          throw new VaultError('unavailable', 'failed', { reason: 'disk_failed' })
        }
      }
      const store = new Failing()
      const rows = createRows(store, slab)
      rows.transaction((tx) => {
        tx.put(1, ID, VALUE)
      })
      fail = true
      const keys = keysOf(slab, 0x45)
      expect(() => {
        rows.rekey({ keys, openHeader: openHeader('new'), slab, names })
      }).toThrow(reason('disk_failed'))
      expect(rows.get(1, ID)).toEqual(VALUE)
      expect(rows.openHeader()).toEqual(openHeader(written ? 'new' : 'owner'))
      rows[Symbol.dispose]()
      expect(slab.used).toBe(0)
    })
  }

  it('leaves everything as it was where it throws', () => {
    using slab = testSlab()
    const store = new MemoryStore()
    const rows = createRows(store, slab)
    rows.transaction((tx) => {
      tx.put(5, ID, VALUE)
    })
    const failing = new Map([
      [
        5,
        (): string => {
          throw new RangeError('no name')
        },
      ],
    ])
    const keys = keysOf(slab, 0x45)
    expect(() => {
      rows.rekey({ keys, openHeader: openHeader('new'), slab, names: failing })
    }).toThrow(RangeError)
    expect(rows.get(5, ID)).toEqual(VALUE)
    rows[Symbol.dispose]()
    expect(slab.used).toBe(0)
    expect(openRows(store, slab).get(5, ID)).toEqual(VALUE)
  })
})
