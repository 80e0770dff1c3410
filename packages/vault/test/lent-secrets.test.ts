/** A key that is used again and again in one transaction: opened once, and wiped with it. */
import { afterEach, beforeEach, expect, test } from 'vitest'

import { MAX_LENT_SECRETS } from '../src/limits.ts'
import type { SecretForm } from '../src/lent-secrets.ts'
import type { Rows } from '../src/rows.ts'
import type { Slab } from '../src/secret.ts'
import { MemoryStore } from '../src/stores/memory.ts'
import { createRows, testSlab } from './vault-of.ts'

const KIND = 2
let slab: Slab
let rows: Rows
let made: number

/** The secret twice over. */
const twice: SecretForm = {
  length: 2,
  write: (out, secret) => {
    made++
    out.set([secret[0] ?? 0, secret[0] ?? 0])
  },
}

beforeEach(() => {
  made = 0
  slab = testSlab()
  rows = createRows(new MemoryStore(), slab)
  rows.transaction((tx) => {
    for (let n = 0; n <= MAX_LENT_SECRETS; n++) tx.putSecret(KIND, id(n), Uint8Array.of(n))
  })
})

afterEach(() => {
  rows[Symbol.dispose]()
  slab[Symbol.dispose]()
})

test('a form is made once in a transaction, in the slab, and nothing of it is left behind', () => {
  const before = slab.used
  const views: Uint8Array[] = []
  for (let n = 0; n < 2; n++) {
    rows.transaction((tx) => {
      for (let again = 0; again < 3; again++) {
        const lent = tx.lend(KIND, id(7), slab, twice)
        expect(lent).toEqual(Uint8Array.of(7, 7))
        expect(lent !== undefined && slab.holds(lent)).toBe(true)
        views.push(lent ?? new Uint8Array())
      }
      // The secret itself went as soon as the form was made.
      expect(slab.used).toBe(before + 64)
    })
  }
  expect(made).toBe(2)
  expect(slab.used).toBe(before)
  expect(views.every((view) => view.every((byte) => byte === 0))).toBe(true)
})

test('a transaction that fails leaves nothing of it either', () => {
  const before = slab.used
  expect(() => {
    rows.transaction((tx) => {
      tx.lend(KIND, id(7), slab, twice)
      throw new TypeError('no')
    })
  }).toThrow('no')
  expect(slab.used).toBe(before)
})

test('a form that cannot be made leaves nothing, and is asked for again', () => {
  const before = slab.used
  const broken: SecretForm = {
    length: 2,
    write: () => {
      throw new RangeError('no')
    },
  }
  rows.transaction((tx) => {
    expect(() => tx.lend(KIND, id(7), slab, broken)).toThrow('no')
    expect(slab.used).toBe(before)
    expect(tx.lend(KIND, id(7), slab, twice)).toEqual(Uint8Array.of(7, 7))
  })
})

test('a row that is written anew is opened anew, in a savepoint and behind it', () => {
  rows.transaction((tx) => {
    expect(tx.lend(KIND, id(7), slab, twice)).toEqual(Uint8Array.of(7, 7))
    expect(() =>
      tx.savepoint(() => {
        tx.putSecret(KIND, id(7), Uint8Array.of(9))
        expect(tx.lend(KIND, id(7), slab, twice)).toEqual(Uint8Array.of(9, 9))
        throw new TypeError('back')
      }),
    ).toThrow('back')
    expect(tx.lend(KIND, id(7), slab, twice)).toEqual(Uint8Array.of(7, 7))
    tx.remove(KIND, id(7))
    expect(tx.lend(KIND, id(7), slab, twice)).toBeUndefined()
  })
})

test(`${MAX_LENT_SECRETS} forms are kept; for one more the oldest is wiped and made again`, () => {
  rows.transaction((tx) => {
    const first = tx.lend(KIND, id(0), slab, twice)
    for (let n = 1; n < MAX_LENT_SECRETS; n++) tx.lend(KIND, id(n), slab, twice)
    expect(tx.lend(KIND, id(0), slab, twice)).toBe(first)
    expect(made).toBe(MAX_LENT_SECRETS)
    tx.lend(KIND, id(MAX_LENT_SECRETS), slab, twice)
    expect(tx.lend(KIND, id(1), slab, twice)).toEqual(Uint8Array.of(1, 1))
    expect(tx.lend(KIND, id(0), slab, twice)).toEqual(Uint8Array.of(0, 0))
    expect(made).toBe(MAX_LENT_SECRETS + 2)
  })
})

function id(n: number): Uint8Array {
  return Uint8Array.of(1, n)
}
