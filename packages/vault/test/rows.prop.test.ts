import { toHex } from '@stronghold/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { VaultError } from '../src/errors.ts'
import { Rows } from '../src/rows.ts'
import type { Transaction } from '../src/rows.ts'
import { deriveKeys } from '../src/seal.ts'
import type { Slab } from '../src/secret.ts'
import { MemoryStore } from '../src/stores/memory.ts'
import { FIRST_LOOSE_KIND } from '../src/stores/store.ts'
import type { Change } from '../src/stores/store.ts'
import { createRows, openHeader, openRows, testSlab, VAULT } from './vault-of.ts'

const LONG = process.env['STRONGHOLD_LONG'] === '1'

/** What a vault holds, as plainly as can be. */
interface Model {
  rows: Map<string, string>
  plain: Map<string, string>
  entries: string[]
  epoch: number
}

type Step =
  | { do: 'put' | 'secret' | 'plain'; kind: number; id: number; value: Uint8Array }
  | { do: 'remove' | 'removePlain'; kind: number; id: number }
  | { do: 'append'; value: Uint8Array }
  | { do: 'epoch' }
  | { do: 'look' }
  | { do: 'savepoint'; steps: Step[]; fails: boolean }

type Action =
  | { do: 'transaction'; steps: Step[]; ends: 'well' | 'throws' | 'full' | 'lost' | 'unclear' }
  | { do: 'open' }
  | { do: 'rekey' }
  | { do: 'compact' }

const kind = fc.constantFrom(1, 2, 15, 16, 63)
const id = fc.nat({ max: 5 })
const value = fc.uint8Array({ maxLength: 40 })
const { steps } = fc.letrec<{ steps: Step[]; step: Step }>((tie) => ({
  steps: fc.array(tie('step'), { maxLength: 8 }),
  step: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ do: fc.constantFrom('put', 'secret', 'plain'), kind, id, value }),
    fc.record({ do: fc.constantFrom('remove', 'removePlain'), kind, id }),
    fc.record({ do: fc.constant('append'), value }),
    fc.record({ do: fc.constantFrom('look', 'epoch') }),
    fc.record({ do: fc.constant('savepoint'), steps: tie('steps'), fails: fc.boolean() }),
  ),
}))
const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('transaction' as const),
      steps,
      ends: fc.constantFrom('well', 'well', 'well', 'throws', 'full', 'lost', 'unclear'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('open' as const, 'rekey', 'compact') }),
  },
) as fc.Arbitrary<Action>

const idOf = (n: number): Uint8Array => new Uint8Array((n % 3) + 1).fill(n)
const keyOf = (k: number, n: number): string => `${k}:${toHex(idOf(n))}`

/** A memory store whose next commit fails: with nothing changed, with everything, or so that nobody knows. */
class FailingStore extends MemoryStore {
  next: 'well' | 'full' | 'lost' | 'unclear' = 'well'
  #broken = false

  override commit(change: Change): void {
    const { next } = this
    this.next = 'well'
    if (next === 'full') throw new VaultError('resource_exhausted', 'full', { reason: 'disk_full' })
    if (next === 'lost' || next === 'unclear') {
      if (next === 'unclear') super.commit(change)
      else change.header()
      this.#broken = true
      throw new VaultError('unavailable', 'failed', { reason: 'disk_failed' })
    }
    if (this.#broken) throw new Error('used before it was opened again')
    super.commit(change)
  }

  override row(...name: Parameters<MemoryStore['row']>): ReturnType<MemoryStore['row']> {
    if (this.#broken) throw new Error('used before it was opened again')
    return super.row(...name)
  }

  override reopen(): void {
    this.#broken = false
  }
}

function copyOf(model: Model): Model {
  return {
    rows: new Map(model.rows),
    plain: new Map(model.plain),
    entries: [...model.entries],
    epoch: model.epoch,
  }
}

function run(
  steps: readonly Step[],
  tx: Transaction,
  model: Model,
  slab: Slab,
  base: Model,
): Model {
  let now = model
  for (const step of steps) {
    switch (step.do) {
      case 'put':
      case 'secret':
        if (step.do === 'put') tx.put(step.kind, idOf(step.id), step.value)
        else tx.putSecret(step.kind, idOf(step.id), step.value)
        now.rows.set(keyOf(step.kind, step.id), toHex(step.value))
        break
      case 'plain':
        tx.putPlain(step.kind, idOf(step.id), step.value)
        now.plain.set(keyOf(step.kind, step.id), toHex(step.value))
        break
      case 'remove':
        tx.remove(step.kind, idOf(step.id))
        now.rows.delete(keyOf(step.kind, step.id))
        break
      case 'removePlain':
        tx.removePlain(step.kind, idOf(step.id))
        now.plain.delete(keyOf(step.kind, step.id))
        break
      case 'append':
        expect(tx.append(step.value)).toBe(now.entries.length)
        now.entries.push(toHex(step.value))
        break
      case 'epoch':
        now.epoch = base.epoch + 1
        expect(tx.beginEpoch()).toBe(now.epoch)
        break
      case 'look':
        look(tx, now, slab)
        break
      case 'savepoint': {
        const inner = copyOf(now)
        try {
          now = tx.savepoint<Model>(() => {
            const after: Model = run(step.steps, tx, inner, slab, base)
            if (step.fails) throw new RangeError('dropped')
            return after
          })
        } catch (error) {
          if (!(error instanceof RangeError)) throw error
        }
        look(tx, now, slab)
      }
    }
  }
  return now
}

/** Everything that can be read equals the model. */
function look(from: Transaction | Rows, model: Model, slab: Slab): void {
  const rows = new Map<string, string>()
  const plain = new Map<string, string>()
  for (const k of [1, 2, 15, 16, 63]) {
    const listed = [...from.list(k)]
    for (const row of listed) rows.set(`${k}:${toHex(row.id)}`, toHex(row.value))
    const inOrder = listed.map((row) => toHex(row.id))
    expect(inOrder).toEqual(inOrder.toSorted())
    expect([...from.ids(k)].map(toHex)).toEqual(inOrder)
    for (const row of from.listPlain(k)) plain.set(`${k}:${toHex(row.id)}`, toHex(row.value))
    for (let n = 0; n <= 5; n++) {
      using secret = from.open(k, idOf(n), slab)
      const expected = model.rows.get(keyOf(k, n))
      if (secret === undefined) expect(expected).toBeUndefined()
      else expect(toHex(secret.bytes)).toBe(expected)
      const found = from.get(k, idOf(n))
      expect(found === undefined ? undefined : toHex(found)).toBe(expected)
      const read = from.getPlain(k, idOf(n))
      expect(read === undefined ? undefined : toHex(read)).toBe(model.plain.get(keyOf(k, n)))
    }
  }
  expect(rows).toEqual(model.rows)
  expect(plain).toEqual(model.plain)
}

describe('Rows', () => {
  it('equal a map through transactions, savepoints, failures, rekeying and reopening', () => {
    const runs = { unclear: 0, lost: 0, rekeyed: 0, savepoints: 0 }
    fc.assert(
      fc.property(fc.array(action, { maxLength: 12 }), (actions) => {
        using slab = testSlab()
        const store = new FailingStore()
        let dataKey = 0x44
        let rows = createRows(store, slab)
        let model: Model = { rows: new Map(), plain: new Map(), entries: [], epoch: 0 }
        let { generation } = rows.head()
        for (const act of actions) {
          if (act.do === 'open') {
            rows[Symbol.dispose]()
            rows = Rows.open(store, deriveKeys(new Uint8Array(32).fill(dataKey), slab))
          } else if (act.do === 'compact') rows.compact()
          else if (act.do === 'rekey') {
            const keys = deriveKeys(new Uint8Array(32).fill(++dataKey), slab)
            rows.rekey({ keys, openHeader: openHeader('new'), slab, names: new Map() })
            generation++
            runs.rekeyed++
          } else {
            runs.savepoints += act.steps.filter((step) => step.do === 'savepoint').length
            const before = model
            const fired: string[] = []
            const ends = act.ends
            const head = rows.head()
            let changed = false
            let tried = copyOf(model)
            try {
              rows.transaction((tx) => {
                tx.afterCommit(() => fired.push('after'))
                tried = run(act.steps, tx, tried, slab, before)
                expect(rows.head()).toEqual(head)
                store.next = ends === 'throws' ? 'well' : ends
                if (ends === 'throws') throw new RangeError('dropped')
              })
              model = tried
              expect(fired).toEqual(['after'])
            } catch (error) {
              if (error instanceof RangeError) expect(ends).toBe('throws')
              else if (!(error instanceof VaultError)) throw error
              else expect(['full', 'lost', 'unclear']).toContain(ends)
              expect(fired).toEqual([])
              if (error instanceof VaultError && ends === 'unclear') {
                model = tried
                changed = true
                runs.unclear++
              }
              if (ends === 'lost') runs.lost++
            }
            store.next = 'well'
            const after = rows.head().generation
            expect([generation, generation + 1]).toContain(after)
            if (changed) expect(after).toBe(generation + 1)
            generation = after
          }
          look(rows, model, slab)
          const head = rows.head()
          expect(head).toMatchObject({
            generation,
            epoch: model.epoch,
            rows: model.rows.size,
            auditLength: model.entries.length,
          })
          expect([...rows.entries(0)].map((entry) => toHex(entry.value))).toEqual(model.entries)
        }
        rows[Symbol.dispose]()
        expect(slab.used).toBe(0)
      }),
      { numRuns: LONG ? 3000 : 60 },
    )
    for (const count of Object.values(runs)) expect(count).toBeGreaterThan(5)
  })
})

describe('whoever changes what lies on the disk', () => {
  it('is found: a byte, a row swapped, revived, removed or put back from an older copy', () => {
    const count = LONG ? 200_000 : 10_000
    const found = new Map<string, number>()
    let done = 0
    fc.assert(
      fc.property(
        fc.array(fc.record({ kind, id, value }), { minLength: 2, maxLength: 8 }),
        fc.infiniteStream(fc.nat()),
        (puts, numbers) => {
          using slab = testSlab()
          const store = new MemoryStore()
          const rows = createRows(store, slab, { nowMs: () => 1 })
          const older = new MemoryStore()
          const write = (of: typeof puts): void => {
            rows.transaction((tx) => {
              for (const put of of) tx.put(put.kind, idOf(put.id), put.value)
              for (const put of of) tx.putPlain(put.kind, idOf(put.id), put.value)
              tx.append(Uint8Array.of(1, 2, 3))
            })
          }
          write(puts)
          copyStore(store, older)
          rows.transaction((tx) => {
            tx.remove(puts[0]?.kind ?? 1, idOf(puts[0]?.id ?? 0))
          })
          write(puts.slice(1))
          rows[Symbol.dispose]()
          for (let i = 0; i < 40; i++) {
            const bad = new MemoryStore()
            copyStore(store, bad)
            const nat = (max: number): number => (numbers.next().value as number) % max
            const how = tamper(bad, older, nat)
            if (how === undefined) continue
            let refused = false
            try {
              using opened = openRows(bad, slab, { nowMs: () => 1 })
              // The sum is over tags; what stands before a tag shows when its row is read.
              if (how === 'byte of a row') {
                for (const k of [1, 2, 15, 16, 63]) for (const row of opened.list(k)) expect(row)
              }
            } catch (error) {
              if (!(error instanceof VaultError)) throw error
              expect(['damaged', 'unlock_failed']).toContain(error.reason)
              refused = true
            }
            if (!refused) throw new Error(`nobody saw: ${how}`)
            found.set(how, (found.get(how) ?? 0) + 1)
            done++
          }
        },
      ),
      { numRuns: Math.ceil(count / 36) },
    )
    expect(done).toBeGreaterThanOrEqual(count)
    expect(Math.min(...found.values())).toBeGreaterThan(50)
    expect(found.size).toBe(11)
  })
})

function copyStore(from: MemoryStore, to: MemoryStore): void {
  to.commit({
    put: from.rows(),
    remove: [],
    plainPut: from.plain(),
    plainRemove: [],
    entries: from.entries(0),
    cutEntriesBefore: 0,
    header: () => from.header() ?? { open: VAULT, sealed: VAULT },
  })
}

const TAMPERINGS = [
  'byte of a row',
  'byte of the open header',
  'byte of the sealed header',
  'byte of a plain row',
  'byte of the newest entry',
  'rows swapped',
  'row removed',
  'row put back',
  'row under another name',
  'generation changed',
  'entry removed',
] as const

/** Changes one thing in a store that was written by nobody; `undefined` where it would change nothing. */
function tamper(
  store: MemoryStore,
  older: MemoryStore,
  nat: (max: number) => number,
): string | undefined {
  const how = TAMPERINGS[nat(TAMPERINGS.length)] ?? 'rows swapped'
  const rows = [...store.rows()]
  const row = rows[nat(Math.max(rows.length, 1))]
  const header = store.header()
  if (header === undefined) return undefined
  const change = (changes: Partial<Change>): string => {
    store.commit({
      put: [],
      remove: [],
      plainPut: [],
      plainRemove: [],
      entries: [],
      cutEntriesBefore: 0,
      header: () => header,
      ...changes,
    })
    return how
  }
  const flip = (bytes: Uint8Array): Uint8Array => {
    const at = nat(bytes.byteLength)
    return bytes.with(at, (bytes[at] ?? 0) ^ (1 + nat(255)))
  }
  switch (how) {
    case 'byte of the open header':
      return change({ header: () => ({ ...header, open: flip(header.open) }) })
    case 'byte of the sealed header':
      return change({ header: () => ({ ...header, sealed: flip(header.sealed) }) })
    case 'byte of a plain row': {
      const plain = [...store.plain()].filter(
        (at) => at.kind < FIRST_LOOSE_KIND && at.value.byteLength > 0,
      )
      const one = plain[nat(Math.max(plain.length, 1))]
      return one && change({ plainPut: [{ ...one, value: flip(one.value) }] })
    }
    case 'byte of the newest entry': {
      const last = [...store.entries(0)].at(-1)
      return last && change({ entries: [{ ...last, sealed: flip(last.sealed) }] })
    }
    case 'entry removed': {
      const length = [...store.entries(0)].length
      return change({ cutEntriesBefore: length })
    }
    default:
  }
  if (row === undefined) return undefined
  switch (how) {
    case 'byte of a row':
      return change({ put: [{ ...row, sealed: flip(row.sealed) }] })
    case 'rows swapped': {
      const other = rows[nat(rows.length)]
      if (other === undefined || other === row) return undefined
      const { sealed, generation } = other
      return change({
        put: [
          { ...row, sealed, generation },
          { ...other, sealed: row.sealed, generation: row.generation },
        ],
      })
    }
    case 'row removed':
      return change({ remove: [row] })
    case 'row put back': {
      const old = [...older.rows()]
      const one = old[nat(Math.max(old.length, 1))]
      if (one === undefined) return undefined
      const now = store.row(one.kind, one.id)
      return now?.generation === one.generation ? undefined : change({ put: [one] })
    }
    case 'row under another name':
      return change({ remove: [row], put: [{ ...row, id: Uint8Array.of(77, nat(256)) }] })
    default:
      return change({ put: [{ ...row, generation: row.generation + 1 + nat(3) }] })
  }
}
