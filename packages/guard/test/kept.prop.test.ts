/** Requests in shared rows are what they would be in a row each: a map that is written whole. */
import { createVault, MemoryStore } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { requestKey } from '../src/held.ts'
import type { HeldRequest } from '../src/held.ts'
import { Journal } from '../src/journal.ts'
import { Kept } from '../src/kept.ts'
import { KINDS } from '../src/kinds.ts'
import { MAX_KEPT_ROW_BYTES } from '../src/limits.ts'
import { PASSPHRASE } from './guard-of.ts'

let vault: OpenVault

beforeAll(async () => {
  const kdf = { memoryKiB: 19 * 1024, passes: 2 }
  vault = await createVault({
    at: new MemoryStore(),
    credential: { passphrase: PASSPHRASE },
    kdf,
  })
})
afterAll(() => vault.close())

function held(number: number, bytes = 64): HeldRequest {
  const outputs = [{ signature: new Uint8Array(bytes).fill(number), version: 1 }]
  return {
    peer: `peer ${number % 3}`,
    id: number.toString(16).padStart(32, '0'),
    requestHash: new Uint8Array(32).fill(number),
    expiresAtMs: 60_000 + number,
    askedAtMs: number,
    connection: '',
    reason: '',
    receipt: number % 2 === 0,
    steps: [],
    state: { phase: 'executed', answer: 'kept' },
    asked: false,
    touched: [],
    grantable: false,
    reserved: [],
    answer:
      number % 5 === 0
        ? { kind: 'failed', code: 'internal', ran: 'yes', message: 'Cannot' }
        : { kind: 'done', outputs },
  }
}

function key({ peer, id }: HeldRequest): string {
  return requestKey(peer, id)
}

function stored(): Map<string, HeldRequest> {
  return vault.transaction((tx) => new Map([...new Kept().read(tx)].map((one) => [key(one), one])))
}

/** One transaction as a batch makes it; what `fails` leaves nothing behind. */
function transact(kept: Kept, fails: boolean, body: (work: Work) => void): void {
  const journal = new Journal()
  try {
    vault.transaction((tx) => {
      body({ tx, journal })
      kept.write(tx, journal)
      if (fails) throw new Error('disk')
    })
    journal.settle()
  } catch {
    journal.rollBack()
  }
}

interface Work {
  readonly tx: Parameters<Kept['write']>[0]
  readonly journal: Journal
}

const step = fc.record({
  fails: fc.boolean(),
  sweeps: fc.boolean(),
  added: fc.uniqueArray(fc.nat(30), { maxLength: 6 }),
  removed: fc.uniqueArray(fc.nat(30), { maxLength: 6 }),
})

describe('requests that ran at once', () => {
  test('are after a restart what a row each would have kept, but for what was forgotten a moment ago', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const kept = new Kept()
        vault.transaction((tx) => {
          kept.clear(tx)
        })
        const expected = new Map<string, HeldRequest>()
        for (const { fails, sweeps, added, removed } of steps) {
          const before = new Map(expected)
          transact(kept, fails, ({ tx, journal }) => {
            for (const one of added.map((number) => held(number))) {
              if (expected.has(key(one))) continue
              expected.set(key(one), one)
              kept.add(journal, key(one), one)
            }
            for (const one of removed.map((number) => held(number))) {
              expect(kept.remove(tx, journal, key(one))).toBe(expected.delete(key(one)))
            }
            if (sweeps) kept.sweep(tx, journal, (of) => expected.get(of))
          })
          if (fails) {
            expected.clear()
            for (const [of, one] of before) expected.set(of, one)
          }
          const found = stored()
          for (const [of, one] of expected) expect(found.get(of)).toEqual(one)
        }
        transact(kept, false, ({ tx, journal }) => {
          kept.sweep(tx, journal, (of) => expected.get(of))
        })
        expect(stored()).toEqual(expected)
      }),
      { numRuns: process.env['STRONGHOLD_LONG'] === '1' ? 5000 : 150 },
    )
  })

  test('begin another row where one would be longer than MAX_KEPT_ROW_BYTES', () => {
    const kept = new Kept()
    const rows = (): number => vault.transaction((tx) => [...tx.rows(KINDS.kept)].length)
    const fill = (bytes: number): number => {
      vault.transaction((tx) => {
        kept.clear(tx)
      })
      transact(kept, false, ({ journal }) => {
        kept.add(journal, '1', held(1, bytes))
        kept.add(journal, '2', held(2, bytes))
      })
      return rows()
    }
    const empty = 8 * 1024 // what is around the outputs, and to spare
    expect(fill(MAX_KEPT_ROW_BYTES / 2 - empty)).toBe(1)
    expect(fill(MAX_KEPT_ROW_BYTES / 2)).toBe(2)
  })
})
