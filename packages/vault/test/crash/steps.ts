/**
 * What the n-th commit of a crash test writes, all of it a function of n, so that whatever lies on the disk afterwards
 * can be told to be exactly the first n commits, and no half of one.
 */
import { equalBytes } from '@stronghold/core'

import type { Rows, Transaction } from '../../src/rows.ts'

/** The row that counts commits. */
export const COUNT: Uint8Array = Uint8Array.of(1)

/** Rows that commits write in turn. */
const ROWS = 7

/** Writes the n-th commit: a count, a row of changing length over an older one, an audit entry, a plain row. */
export function writeStep(tx: Transaction, n: number): void {
  tx.put(4, COUNT, u32(n))
  if (n === 0) return
  const id = Uint8Array.of(n % ROWS)
  if (n % 11 === 10) tx.remove(1, id)
  else tx.put(1, id, valueOf(n))
  tx.append(u32(n))
  tx.putPlain(1, COUNT, u32(n))
}

/**
 * Says that a vault holds exactly the first n commits.
 *
 * @returns n
 * @throws `Error` for anything else
 */
export function checkSteps(rows: Rows): number {
  const n = numberOf(rows.get(4, COUNT))
  const entries = [...rows.entries(0)].map(({ value }) => numberOf(value))
  if (entries.length !== n || entries.some((entry, i) => entry !== i + 1)) {
    throw new Error(`${n} commits, and ${entries.length} entries of the audit`)
  }
  if (n > 0 && numberOf(rows.getPlain(1, COUNT)) !== n) throw new Error('the plain row is older')
  for (let slot = 0; slot < ROWS; slot++) {
    let last = n - ((n - slot) % ROWS)
    if (last > n) last -= ROWS
    const found = rows.get(1, Uint8Array.of(slot))
    const expected = last < 1 || last % 11 === 10 ? undefined : valueOf(last)
    if ((found === undefined) !== (expected === undefined)) throw new Error(`row ${slot} is not`)
    if (found !== undefined && expected !== undefined && !equalBytes(found, expected)) {
      throw new Error(`row ${slot} is another`)
    }
  }
  return n
}

function valueOf(n: number): Uint8Array {
  return new Uint8Array(100 + ((n * 997) % 9000)).fill(n)
}

function u32(n: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, n)
  return bytes
}

function numberOf(bytes: Uint8Array | undefined): number {
  if (bytes === undefined) throw new Error('a row is missing')
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
}
