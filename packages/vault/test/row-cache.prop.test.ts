/** A cache of rows gives what the store gives, whatever was written meanwhile, within its bound. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { MAX_CACHED_ROW_BYTES, MAX_ROW_CACHE_BYTES } from '../src/limits.ts'
import { RowCache } from '../src/row-cache.ts'
import type { PlainRow, RowName, StoredRow } from '../src/stores/store.ts'

/** Rows by name, and how often one was asked for. */
class Rows {
  readonly #rows = new Map<string, StoredRow>()
  reads = 0

  row(kind: number, id: Uint8Array): StoredRow | undefined {
    this.reads++
    return this.#rows.get(`${kind} ${id.join()}`)
  }

  *rows(): Generator<StoredRow> {
    yield* this.#rows.values()
  }

  plainRow(): PlainRow | undefined {
    return undefined
  }

  plain(): PlainRow[] {
    return []
  }

  write(name: RowName, row: StoredRow | undefined): void {
    const key = `${name.kind} ${name.id.join()}`
    if (row === undefined) this.#rows.delete(key)
    else this.#rows.set(key, row)
  }
}

function row(number: number, length: number, generation = 1): StoredRow {
  const id = Uint8Array.of(number >> 8, number & 255)
  return { kind: 2, id, generation, sealed: new Uint8Array(length) }
}

const change = fc.oneof(
  fc.record({ write: fc.nat(20), length: fc.nat(200_000) }),
  fc.record({ remove: fc.nat(20) }),
  fc.record({ read: fc.nat(20) }),
  fc.constant({ clear: true }),
)

describe('a cache of rows', () => {
  test('gives what the store gives', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const store = new Rows()
        const cache = new RowCache(store)
        for (const [index, one] of changes.entries()) {
          if ('write' in one) {
            const written = row(one.write, one.length, index)
            store.write(written, written)
            cache.changed([written])
          } else if ('remove' in one) {
            store.write(row(one.remove, 0), undefined)
            cache.changed([row(one.remove, 0)])
          } else if ('clear' in one) cache.clear()
          for (let number = 0; number <= 20; number++) {
            const { kind, id } = row(number, 0)
            expect(cache.row(kind, id)).toBe(store.row(kind, id))
          }
        }
      }),
      { numRuns: process.env['STRONGHOLD_LONG'] === '1' ? 2000 : 100 },
    )
  })

  test('asks the store once for a row up to MAX_CACHED_ROW_BYTES, and each time for a longer one', () => {
    const reads = (length: number): number => {
      const store = new Rows()
      const cache = new RowCache(store)
      const one = row(1, length)
      store.write(one, one)
      for (let i = 0; i < 3; i++) cache.row(one.kind, one.id)
      return store.reads
    }
    expect(reads(MAX_CACHED_ROW_BYTES)).toBe(1)
    expect(reads(MAX_CACHED_ROW_BYTES + 1)).toBe(3)
  })

  test('holds MAX_ROW_CACHE_BYTES and lets the oldest go for one byte more', () => {
    const count = MAX_ROW_CACHE_BYTES / MAX_CACHED_ROW_BYTES
    const readsAgain = (more: number): number => {
      const store = new Rows()
      const cache = new RowCache(store)
      const all = Array.from({ length: count }, (_, index) => row(index, MAX_CACHED_ROW_BYTES))
      if (more > 0) all.push(row(count, more))
      for (const one of all) store.write(one, one)
      for (const { kind, id } of all) cache.row(kind, id)
      store.reads = 0
      for (const { kind, id } of all.slice(1)) cache.row(kind, id)
      expect(store.reads).toBe(0)
      cache.row(all[0]?.kind ?? 0, all[0]?.id ?? new Uint8Array())
      return store.reads
    }
    expect(readsAgain(0)).toBe(0)
    expect(readsAgain(1)).toBe(1)
  })
})
