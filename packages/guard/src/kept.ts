/**
 * Requests that ran at once, for as long as they are remembered: all of one transaction lie in one row, because a row each,
 * written and taken away, costs more than the signature that it is about. It decides nothing and answers nobody.
 */
import { decode, encode, toHex } from '@stronghold/core'
import type { VaultTransaction } from '@stronghold/vault'

import { requestKey } from './held.ts'
import type { HeldRequest, KeptAnswer } from './held.ts'
import type { Journal } from './journal.ts'
import { KINDS } from './kinds.ts'
import { MAX_KEPT_ROW_BYTES } from './limits.ts'
import { AnswerMolds } from './molds.ts'

/** Which requests of a row are remembered still. */
interface KeptRow {
  readonly number: number
  readonly keys: Set<string>
  /** How many lie in it. */
  written: number
}

/** The rows of requests that ran at once. */
export class Kept {
  readonly #rows = new Map<number, KeptRow>()
  readonly #rowOf = new Map<string, KeptRow>()
  /** Those of the transaction that is running, encoded: what has no form fails alone. */
  readonly #fresh = new Map<string, Uint8Array>()
  readonly #molds = new AnswerMolds()
  #next = 0

  /** Remembers a request that has no row yet; `write` gives it one. */
  add(journal: Journal, key: string, held: HeldRequest): void {
    journal.set(this.#fresh, key, this.#molds.encode(held))
  }

  /** What the rows hold. @throws `SyntaxError` for one that this program did not write */
  *read(tx: VaultTransaction): Generator<HeldRequest> {
    for (const { id, value } of tx.rows(KINDS.kept)) {
      const number = Number(new DataView(id.buffer, id.byteOffset).getBigUint64(0))
      const all = decodeKept(value)
      this.#add(
        number,
        all.map(({ peer, id: request }) => requestKey(peer, request)),
      )
      this.#next = number + 1
      yield* all
    }
  }

  /** Forgets a request. @returns whether it was one of these */
  remove(tx: VaultTransaction, journal: Journal, key: string): boolean {
    if (this.#fresh.has(key)) {
      journal.set(this.#fresh, key, undefined)
      return true
    }
    const row = this.#rowOf.get(key)
    if (row === undefined) return false
    this.#rowOf.delete(key)
    row.keys.delete(key)
    journal.did(() => {
      this.#rowOf.set(key, row)
      row.keys.add(key)
    })
    if (row.keys.size === 0) {
      tx.remove(KINDS.kept, rowId(row.number))
      journal.set(this.#rows, row.number, undefined)
    }
    return true
  }

  /** Writes what this transaction added: the last that is done in it. */
  write(tx: VaultTransaction, journal: Journal): void {
    if (this.#fresh.size === 0) return
    const fresh = [...this.#fresh]
    const next = this.#next
    this.#fresh.clear()
    journal.did(() => {
      for (const [key, bytes] of fresh) this.#fresh.set(key, bytes)
      this.#next = next
    })
    for (const some of portions(fresh)) {
      const number = this.#next++
      const keys = some.map(({ key }) => key)
      tx.put(KINDS.kept, rowId(number), encode([1, ...some.map(({ bytes }) => bytes)]))
      this.#add(number, keys)
      journal.did(() => {
        this.#rows.delete(number)
        for (const key of keys) this.#rowOf.delete(key)
      })
    }
  }

  /** Writes rows anew of which a part is forgotten, so that what is forgotten does not come back after a crash for long. */
  sweep(
    tx: VaultTransaction,
    journal: Journal,
    find: (key: string) => HeldRequest | undefined,
  ): void {
    for (const row of this.#rows.values()) {
      const before = row.written
      if (row.keys.size === before) continue
      const some = [...row.keys].flatMap((key) => {
        const held = find(key)
        return held === undefined ? [] : [this.#molds.encode(held)]
      })
      tx.put(KINDS.kept, rowId(row.number), encode([1, ...some]))
      row.written = row.keys.size
      journal.did(() => {
        row.written = before
      })
    }
  }

  /** Forgets all of them, rows included. */
  clear(tx: VaultTransaction): void {
    for (const { id } of [...tx.rows(KINDS.kept)]) tx.remove(KINDS.kept, id)
    this.#rows.clear()
    this.#rowOf.clear()
  }

  #add(number: number, keys: readonly string[]): void {
    const row: KeptRow = { number, keys: new Set(keys), written: keys.length }
    this.#rows.set(number, row)
    for (const key of keys) this.#rowOf.set(key, row)
  }
}

interface Portion {
  readonly key: string
  readonly bytes: Uint8Array
}

/** What goes into one row each. */
function* portions(fresh: Iterable<readonly [string, Uint8Array]>): Generator<Portion[]> {
  let some: Portion[] = []
  let length = 0
  for (const [key, bytes] of fresh) {
    if (some.length > 0 && length + bytes.byteLength > MAX_KEPT_ROW_BYTES) {
      yield some
      some = []
      length = 0
    }
    some.push({ key, bytes })
    length += bytes.byteLength
  }
  yield some
}

function decodeKept(bytes: Uint8Array): HeldRequest[] {
  const row = decode(bytes, { maxDepth: 64 })
  if (!Array.isArray(row) || row[0] !== 1) throw otherForm()
  return row.slice(1).map((one: unknown) => {
    if (!(one instanceof Uint8Array)) throw otherForm()
    return decodeOne(one)
  })
}

function decodeOne(bytes: Uint8Array): HeldRequest {
  const fields = decode(bytes, { maxDepth: 64 })
  if (!Array.isArray(fields) || fields.length !== 7) throw otherForm()
  const [peer, id, requestHash, expiresAtMs, askedAtMs, receipt, answer] = fields as [
    string,
    Uint8Array,
    Uint8Array,
    number,
    number,
    boolean,
    KeptAnswer,
  ]
  return {
    peer,
    id: toHex(id),
    requestHash,
    expiresAtMs,
    askedAtMs,
    connection: '',
    reason: '',
    receipt,
    steps: [],
    state: { phase: 'executed', answer: 'kept' },
    asked: false,
    touched: [],
    grantable: false,
    reserved: [],
    answer,
  }
}

function otherForm(): SyntaxError {
  return new SyntaxError('Cannot read requests: their row is of another form')
}

function rowId(number: number): Uint8Array {
  const id = new Uint8Array(8)
  new DataView(id.buffer).setBigUint64(0, BigInt(number))
  return id
}
