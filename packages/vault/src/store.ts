/**
 * The plain store beside the records: readable values by key, with a lifetime where one is wanted. Sealed on disk like
 * everything else, and no place for secrets: what is read of it lies on the heap.
 */
import { decode, encode, encodeUtf8 } from '@stronghold/core'
import { z } from 'zod'

import { Draft } from './draft.ts'
import { VaultError } from './errors.ts'
import { MAX_STORE_KEY_BYTES } from './limits.ts'
import type { VaultLimits } from './limits.ts'
import type { Rows, Transaction } from './rows.ts'

/** Kind of its rows (`vault-format.md §2`). */
export const STORE_KIND = 5

/** What is known of a value without reading it. */
export interface StoreEntry {
  readonly key: string
  /** Bytes of the value. */
  readonly length: number
  readonly changedAtMs: number
  /** Absent for a value that stays. */
  readonly expiresAtMs?: number
}

/** An entry as a row holds it, expired or not (`vault-format.md §5.3`). */
export interface StoredValue {
  readonly key: string
  readonly value: Uint8Array
  readonly changedAtMs: number
  readonly expiresAtMs?: number | undefined
}

/** How a value is put. */
export interface PutOptions {
  /** It is gone after that many milliseconds, 1 or more. Default: it stays. */
  lifetimeMs?: number
}

const rowSchema = z.strictObject({
  key: z.string(),
  value: z.instanceof(Uint8Array),
  changedAtMs: z.int().min(0),
  expiresAtMs: z.int().min(0).optional(),
})

/** All entries of an open vault, without their values; read from the rows when first asked for. */
export class StoreIndex {
  readonly #rows: Rows
  readonly #limits: Readonly<VaultLimits>
  #entries: Map<string, StoreEntry> | undefined

  constructor(rows: Rows, limits: Readonly<VaultLimits>) {
    this.#rows = rows
    this.#limits = limits
  }

  /** Begins to use it within a transaction, whose commit publishes what was changed. */
  change(tx: Transaction, nowMs: number): StoreChanges {
    this.#entries ??= this.#load()
    const entries = new Draft(this.#entries)
    tx.afterCommit(() => {
      entries.publish()
    })
    return new StoreChanges(tx, nowMs, entries, this.#limits, (key) =>
      this.#rows.id(STORE_KIND, key),
    )
  }

  #load(): Map<string, StoreEntry> {
    const entries = new Map<string, StoreEntry>()
    for (const { value: row } of this.#rows.list(STORE_KIND)) {
      const { value, ...entry } = decodeStored(row)
      entries.set(entry.key, entryOf(entry, value.byteLength))
    }
    return entries
  }
}

/** The store inside one transaction. What has expired is not there. */
export class StoreChanges {
  readonly #tx: Transaction
  readonly #nowMs: number
  readonly #entries: Draft<string, StoreEntry>
  readonly #limits: Readonly<VaultLimits>
  readonly #rowId: (key: string) => Uint8Array

  /** @internal */
  constructor(
    tx: Transaction,
    nowMs: number,
    entries: Draft<string, StoreEntry>,
    limits: Readonly<VaultLimits>,
    rowId: (key: string) => Uint8Array,
  ) {
    this.#tx = tx
    this.#nowMs = nowMs
    this.#entries = entries
    this.#limits = limits
    this.#rowId = rowId
  }

  /** Where this transaction stands; `rollBack` forgets what was changed later. The rows are rolled back apart. @internal */
  mark(): number {
    return this.#entries.mark()
  }

  /** @internal */
  rollBack(mark: number): void {
    this.#entries.rollBack(mark)
  }

  /** The value, or `undefined` where none is. @throws `VaultError` `invalid_argument` for what is no key */
  get(key: string): Uint8Array | undefined {
    assertKey(key)
    const entry = this.#entries.get(key)
    if (entry === undefined || this.#isOver(entry)) return undefined
    const row = this.#tx.get(STORE_KIND, this.#rowId(key))
    return row === undefined ? undefined : decodeStored(row).value
  }

  /**
   * Writes a value over what stands there.
   *
   * @throws `VaultError` `invalid_argument` for what is no key, a value past `maxStoreValueBytes` or no lifetime,
   *   `resource_exhausted` past `maxStoreEntries`
   */
  put(key: string, value: Uint8Array, { lifetimeMs }: PutOptions = {}): void {
    assertKey(key)
    if (!(value instanceof Uint8Array)) throw invalid(key, 'its value is not a Uint8Array')
    const { maxStoreValueBytes } = this.#limits
    if (value.byteLength > maxStoreValueBytes) {
      throw invalid(key, `${value.byteLength} bytes where ${maxStoreValueBytes} are allowed`)
    }
    if (lifetimeMs !== undefined && !(Number.isSafeInteger(lifetimeMs) && lifetimeMs > 0)) {
      throw invalid(key, `a lifetime of ${lifetimeMs} ms`)
    }
    this.#makeRoom(key)
    const expiresAtMs =
      lifetimeMs === undefined
        ? undefined
        : Math.min(this.#nowMs + lifetimeMs, Number.MAX_SAFE_INTEGER)
    const entry = { key, changedAtMs: this.#nowMs, expiresAtMs }
    this.#tx.put(STORE_KIND, this.#rowId(key), encodeStored({ ...entry, value }))
    this.#entries.set(key, entryOf(entry, value.byteLength))
  }

  /**
   * Writes an entry as it once was, times and all, over what stands there.
   *
   * @internal
   * @throws `VaultError` `resource_exhausted` past `maxStoreEntries`
   */
  putBack(entry: StoredValue): void {
    this.#makeRoom(entry.key)
    this.#tx.put(STORE_KIND, this.#rowId(entry.key), encodeStored(entry))
    this.#entries.set(entry.key, entryOf(entry, entry.value.byteLength))
  }

  /** Takes a value away. @returns whether there was one */
  delete(key: string): boolean {
    assertKey(key)
    const entry = this.#entries.get(key)
    if (entry === undefined) return false
    this.#drop(key)
    return !this.#isOver(entry)
  }

  /** What there is, in the order of keys; of those that begin so, where a beginning is given. */
  list(beginning = ''): StoreEntry[] {
    const found: StoreEntry[] = []
    for (const [key, entry] of this.#entries.entries()) {
      if (key.startsWith(beginning) && !this.#isOver(entry)) found.push(entry)
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  /** Takes away what has expired. */
  sweep(): void {
    const over = [...this.#entries.entries()].filter(([, entry]) => this.#isOver(entry))
    for (const [key] of over) this.#drop(key)
  }

  #makeRoom(key: string): void {
    const { maxStoreEntries } = this.#limits
    if (this.#entries.get(key) !== undefined || this.#entries.size < maxStoreEntries) return
    this.sweep()
    if (this.#entries.size < maxStoreEntries) return
    throw new VaultError(
      'resource_exhausted',
      `Cannot put ${quoted(key)}: there are ${maxStoreEntries} entries already`,
    )
  }

  #drop(key: string): void {
    this.#tx.remove(STORE_KIND, this.#rowId(key))
    this.#entries.set(key, undefined)
  }

  #isOver({ expiresAtMs }: StoreEntry): boolean {
    return expiresAtMs !== undefined && expiresAtMs <= this.#nowMs
  }
}

function entryOf(
  entry: { key: string; changedAtMs: number; expiresAtMs?: number | undefined },
  length: number,
): StoreEntry {
  const { key, changedAtMs, expiresAtMs } = entry
  return { key, length, changedAtMs, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) }
}

/** The key that a row's id was made from. @throws `VaultError` `data_loss` (`damaged`) */
export function storeKeyOf(row: Uint8Array): string {
  return decodeStored(row).key
}

/** An entry as a row. */
export function encodeStored({ key, value, changedAtMs, expiresAtMs }: StoredValue): Uint8Array {
  return encode({ key, value, changedAtMs, expiresAtMs })
}

/** The same back. @throws `VaultError` `data_loss` (`damaged`) */
export function decodeStored(row: Uint8Array): StoredValue {
  try {
    return rowSchema.parse(decode(row))
  } catch {
    throw new VaultError('data_loss', 'Cannot read store: not as this program writes it', {
      reason: 'damaged',
    })
  }
}

function assertKey(key: string): void {
  if (typeof key !== 'string' || !key.isWellFormed()) throw invalid('', 'its key is not text')
  const { byteLength } = encodeUtf8(key)
  if (byteLength < 1 || byteLength > MAX_STORE_KEY_BYTES) {
    throw invalid(key, `a key of ${byteLength} bytes where 1 to ${MAX_STORE_KEY_BYTES} are allowed`)
  }
}

function invalid(key: string, state: string): VaultError {
  return new VaultError('invalid_argument', `Cannot use entry ${quoted(key)}: ${state}`)
}

function quoted(key: string): string {
  return JSON.stringify(key.slice(0, 64))
}
