import { describe, expect, it } from 'vitest'

import { MemoryStore } from '../src/stores/memory.ts'
import { createRows, openRows, testSlab } from './vault-of.ts'

const ID = new Uint8Array(16).fill(7)
const VALUE = Uint8Array.of(1, 2, 3)

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
})
