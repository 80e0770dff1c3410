/** The paths of records in order: as a transaction sees them, and as they are when it is over. */
import { expect, test } from 'vitest'

import { generate, revoke } from '../src/catalog/index.ts'
import { createVault, MemoryStore } from '../src/index.ts'
import type { OpenVault, VaultTransaction } from '../src/index.ts'

async function opened(): Promise<OpenVault> {
  const credential = { keyFile: new Uint8Array(32).fill(7) }
  return await createVault({ at: new MemoryStore(), credential })
}

test('paths are those of the records that stand, in order, from behind one on, also within a transaction', async () => {
  await using vault = await opened()
  const make = (tx: VaultTransaction, to: string): void => {
    tx.run(vault.read([{ procedure: generate, input: { to, type: 'seed' } }]))
  }
  const paths = (after?: string): string[] => vault.transaction((tx) => [...tx.paths(after)])
  expect(paths()).toEqual([])
  vault.transaction((tx) => {
    for (const path of ['b', 'a/b', 'c', 'a-b']) make(tx, path)
    expect([...tx.paths()]).toEqual(['a-b', 'a/b', 'b', 'c'])
    expect([...tx.paths('a/b')]).toEqual(['b', 'c'])
  })
  expect(paths()).toEqual(['a-b', 'a/b', 'b', 'c'])
  expect(paths('a')).toEqual(['a-b', 'a/b', 'b', 'c'])
  expect(paths('b')).toEqual(['c'])
  expect(paths('c')).toEqual([])
  vault.transaction((tx) => {
    const broken = (): void => {
      tx.savepoint(() => {
        make(tx, 'never')
        expect([...tx.paths('c')]).toEqual(['never'])
        throw new RangeError('broken')
      })
    }
    expect(broken).toThrow(RangeError)
    expect([...tx.paths('c')]).toEqual([])
    tx.run(vault.read([{ procedure: revoke, input: { record: 'b' } }]))
    expect([...tx.paths()]).toEqual(['a-b', 'a/b', 'c'])
  })
  expect(paths()).toEqual(['a-b', 'a/b', 'c'])
  const failing = (): void => {
    vault.transaction((tx) => {
      make(tx, 'never')
      throw new RangeError('broken')
    })
  }
  expect(failing).toThrow(RangeError)
  expect(paths()).toEqual(['a-b', 'a/b', 'c'])
})
