/**
 * An unlocked vault's rows: seals and opens what a store holds, changes all of it in one commit or nothing, and knows
 * at every opening whether what lies there is what it wrote last. It does not know what a row means.
 */
import { equalBytes } from '@stronghold/core'

import { isVaultError, VaultError } from './errors.ts'
import { decodeOpenHeader, encodeSealedHeader } from './header.ts'
import type { SealedHeader } from './header.ts'
import { boundPlain, load } from './intact.ts'
import type { Found } from './intact.ts'
import { overlaid } from './overlay.ts'
import type { Layer } from './overlay.ts'
import { sealAnew } from './rekey.ts'
import type { RekeyInit } from './rekey.ts'
import { damaged, openEntry, openRow, openSecret } from './row.ts'
import { headerAssociated, nameId, plainDigest, RowSum, seal } from './seal.ts'
import type { Keys, Random } from './seal.ts'
import type { Secret, Slab } from './secret.ts'
import { RowCache } from './row-cache.ts'
import { SealedRows } from './sealed-rows.ts'
import { sodium } from './sodium.ts'
import { FIRST_LOOSE_KIND } from './stores/store.ts'
import type { Change, PlainRow, RowName, Store, StoredHeader, StoredRow } from './stores/store.ts'
import { isThenable, Writing } from './transaction.ts'
import type { OpenedRow, RowReader, Transaction } from './transaction.ts'

export type { OpenedRow, Transaction } from './transaction.ts'

/** How rows are opened. */
export interface RowsInit {
  /** Milliseconds since the epoch. Default the system's clock. */
  nowMs?: () => number
  /** A seam for tests. Default libsodium's. */
  random?: Random
}

/** How a vault's rows are made. */
export interface NewRowsInit extends RowsInit {
  /** The vault's id, 16 bytes. */
  vault: Uint8Array
  /** The readable half of the header, which names `vault`. */
  openHeader: Uint8Array
  /** Above that of the vault this one is restored from. Default 0. */
  epoch?: number
  /** How far the vault had come that this one is restored from. */
  restored?: {
    /** Position of the first audit entry that is appended. */
    readonly auditFrom: number
    readonly highestTimeMs: number
    readonly createdAtMs: number
  }
  /** What the first commit writes beside the header. */
  first?: (tx: Transaction) => void
}

/** What the header says: what an answer is signed with. */
export interface Head {
  readonly vault: Uint8Array
  readonly epoch: number
  readonly generation: number
  readonly rows: number
  readonly auditHead: Uint8Array
  readonly auditLength: number
  /** The latest time seen by a commit. */
  readonly timeMs: number
  readonly createdAtMs: number
}

/** An audit entry, opened. */
export interface OpenedEntry {
  /** From 0. */
  readonly position: number
  readonly value: Uint8Array
}

/** The same for who looks for damage. */
export interface FoundEntry {
  readonly position: number
  /** Absent where it cannot be opened: it is not what was written there. */
  readonly value?: Uint8Array
}

/**
 * The rows of one unlocked vault. Every method throws `VaultError`: `failed_precondition` (`locked`) after it was
 * disposed of, `unavailable` (`disk_failed`) while the store cannot be read, `data_loss` (`damaged`).
 */
export class Rows implements RowReader, Disposable {
  readonly #store: Store
  readonly #cache: RowCache
  readonly #clock: () => number
  readonly #random: Random
  readonly #vault: Uint8Array
  #keys: Keys
  #openHeader: Uint8Array
  #sealedHeader: Uint8Array
  #state: SealedHeader
  /** The latest the clock ever said, so that time stands still where the clock runs back. */
  #latestMs: number
  /** What a commit that failed tried to write: it may lie there or not. */
  #unclear: { readonly header: StoredHeader | undefined; readonly keys: Keys } | undefined
  #busy = false
  #gone = false

  private constructor(store: Store, keys: Keys, init: RowsInit, found: Found) {
    this.#store = store
    this.#cache = new RowCache(store)
    this.#keys = keys
    this.#clock = init.nowMs ?? Date.now
    this.#random =
      init.random ??
      ((out) => {
        sodium.randombytes_buf(out)
      })
    this.#vault = found.vault
    this.#openHeader = found.header.open
    this.#sealedHeader = found.header.sealed
    this.#state = found.state
    this.#latestMs = found.state.highestTimeMs
  }

  /**
   * Makes a vault where none is, in one commit.
   *
   * @param keys - belong to the rows from now on
   * @throws `VaultError` `failed_precondition` (`conflict`) where a vault is; what `Store.commit` throws
   */
  static create(store: Store, keys: Keys, init: NewRowsInit): Rows {
    if (store.header() !== undefined) {
      throw new VaultError('failed_precondition', 'Cannot create vault: there is one already', {
        reason: 'conflict',
      })
    }
    const { vault } = decodeOpenHeader(init.openHeader)
    if (!equalBytes(vault, init.vault)) {
      throw new TypeError('Cannot create vault: the header names another one')
    }
    const rows = new Rows(store, keys, init, {
      vault,
      header: { open: new Uint8Array(init.openHeader), sealed: new Uint8Array() },
      state: {
        epoch: init.epoch ?? 0,
        generation: 0,
        rows: 0,
        sum: new Uint8Array(32),
        auditHead: new Uint8Array(32),
        auditLength: init.restored?.auditFrom ?? 0,
        highestTimeMs: init.restored?.highestTimeMs ?? 0,
        createdAtMs: init.restored?.createdAtMs ?? timeOf(init.nowMs ?? Date.now),
        plain: plainDigest([]),
      },
    })
    rows.transaction((tx) => {
      tx.setOpenHeader(init.openHeader)
      init.first?.(tx)
    })
    return rows
  }

  /**
   * Opens what lies in a store, and checks all of it but the audit: header, count and sum of the rows, digest of the
   * plain ones, the end of the audit.
   *
   * @param keys - belong to the rows where this returns; they stay the caller's to wipe where it throws
   * @throws `VaultError` `unauthenticated` (`unlock_failed`) where the header does not open under the keys, `data_loss`
   *   (`damaged`) where anything is not what was written last
   */
  static open(store: Store, keys: Keys, init: RowsInit = {}): Rows {
    return new Rows(store, keys, init, load(store, keys))
  }

  /** The id of a row that has a name (`docs/vault-format.md §3`). Another after the data key has changed. */
  id(kind: number, name: string): Uint8Array {
    this.#ready()
    return nameId(this.#keys, kind, name)
  }

  /** What the last commit wrote into the header. */
  head(): Head {
    this.#ready()
    const { epoch, generation, rows, auditHead, auditLength, highestTimeMs, createdAtMs } =
      this.#state
    return {
      vault: this.#vault,
      epoch,
      generation,
      rows,
      auditHead,
      auditLength,
      timeMs: highestTimeMs,
      createdAtMs,
    }
  }

  /** The readable half of the header. */
  openHeader(): Uint8Array {
    this.#ready()
    return this.#openHeader
  }

  /** The time in milliseconds since the epoch: the clock's, or the latest seen where the clock runs back. */
  nowMs(): number {
    this.#latestMs = Math.max(this.#latestMs, timeOf(this.#clock))
    return this.#latestMs
  }

  get(kind: number, id: Uint8Array): Uint8Array | undefined {
    this.#ready()
    const row = this.#cache.row(kind, id)
    return row === undefined ? undefined : this.#openRow(row)
  }

  open(kind: number, id: Uint8Array, slab: Slab): Secret | undefined {
    this.#ready()
    const row = this.#cache.row(kind, id)
    return row === undefined ? undefined : this.#openSecret(row, slab)
  }

  *list(kind: number): Generator<OpenedRow> {
    this.#ready()
    for (const row of this.#store.rows(kind)) yield { id: row.id, value: this.#openRow(row) }
  }

  *ids(kind: number): Generator<Uint8Array> {
    this.#ready()
    for (const row of this.#store.rows(kind)) yield row.id
  }

  getPlain(kind: number, id: Uint8Array): Uint8Array | undefined {
    this.#ready()
    return this.#store.plainRow(kind, id)?.value
  }

  *listPlain(kind: number): Generator<OpenedRow> {
    this.#ready()
    yield* this.#store.plain(kind)
  }

  /** Audit entries in order from a position, opened. */
  *entries(from: number, count?: number): Generator<OpenedEntry> {
    this.#ready()
    for (const entry of this.#store.entries(from, count)) {
      yield { position: entry.position, value: openEntry(this.#keys, this.#vault, entry) }
    }
  }

  /** The same, and what cannot be opened does not end it. */
  *foundEntries(from: number, count?: number): Generator<FoundEntry> {
    this.#ready()
    for (const entry of this.#store.entries(from, count)) {
      const { position } = entry
      let value: Uint8Array | undefined
      try {
        value = openEntry(this.#keys, this.#vault, entry)
      } catch (error) {
        if (!isVaultError(error, { reason: 'damaged' })) throw error
      }
      yield value === undefined ? { position } : { position, value }
    }
  }

  /**
   * Copies every row as it lies sealed, and the key that opens them, so that they can be read as they are now whatever is
   * committed meanwhile.
   *
   * @param slab - holds the key
   * @param without - a kind that is left out
   */
  copy(slab: Slab, without: number): SealedRows {
    this.#ready()
    return new SealedRows({
      slab,
      key: this.#keys.row,
      head: this.head(),
      rows: [...this.#store.rows()].filter(({ kind }) => kind !== without),
      plain: [...this.#store.plain()],
    })
  }

  /** Bytes that the audit takes up, about. */
  entryBytes(): number {
    this.#ready()
    return this.#store.entryBytes()
  }

  /**
   * Runs `body` and writes all that it changed in one commit, which survives a power cut when this returns. Where `body`
   * throws nothing happened; where it changed nothing nothing is written.
   *
   * @throws what `body` throws; `VaultError` `resource_exhausted` (`disk_full`) and `failed_precondition` (`read_only`):
   *   nothing happened; `unavailable` (`disk_failed`): whether it happened shows once the disk can be read again
   */
  transaction<T>(body: (tx: Transaction) => T): T {
    this.#ready()
    if (this.#busy) throw new TypeError('Cannot begin transaction: one is running')
    this.#busy = true
    let after: readonly (() => void)[]
    let result: T
    try {
      const tx = new Writing(this.#cache, this.#state, this.#vault, this.#keys, this.#random)
      try {
        result = body(tx)
      } finally {
        tx.end()
      }
      if (isThenable(result)) {
        throw new TypeError('Cannot commit transaction: its body must not be asynchronous')
      }
      if (!tx.base.empty) this.#commit(tx.base)
      after = tx.base.after
    } finally {
      this.#busy = false
    }
    runAll(after)
    return result
  }

  /**
   * Seals everything anew under another data key, in one commit. Ids that were made from names change with it.
   *
   * @throws as `transaction` does; where it throws, the old data key stands
   */
  rekey(init: RekeyInit): void {
    this.#ready()
    if (this.#busy) throw new TypeError('Cannot rekey: a transaction is running')
    const { keys } = init
    const old = this.#keys
    const generation = this.#state.generation + 1
    this.#busy = true
    this.#cache.clear()
    try {
      const { change, sum } = sealAnew(
        {
          store: this.#store,
          vault: this.#vault,
          keys: old,
          rows: this.#state.rows,
          generation,
          random: this.#random,
        },
        init,
      )
      this.#write(change, keys, this.#checkedOpenHeader(init.openHeader), () => ({
        ...this.#state,
        generation,
        sum: sum.bytes(),
        highestTimeMs: this.nowMs(),
      }))
      old[Symbol.dispose]()
    } catch (error) {
      // What is unclear keeps its keys until the disk tells which header lies there.
      if (this.#unclear === undefined) keys[Symbol.dispose]()
      throw error
    } finally {
      this.#busy = false
    }
  }

  /** Folds files and overwrites what was removed: `Store.compact`. */
  compact(): void {
    this.#ready()
    this.#store.compact()
  }

  /** Wipes the keys: the vault is locked. The store stays open, and the caller's to close. Again does nothing. */
  [Symbol.dispose](): void {
    this.#gone = true
    this.#keys[Symbol.dispose]()
    this.#unclear?.keys[Symbol.dispose]()
  }

  /** Before anything is read or begun: not locked, and after a failed commit read again from the disk. */
  #ready(): void {
    if (this.#gone) {
      throw new VaultError('failed_precondition', 'Cannot read vault: it is locked', {
        reason: 'locked',
      })
    }
    const unclear = this.#unclear
    if (unclear === undefined) return
    this.#cache.clear()
    this.#store.reopen()
    const header = this.#store.header()
    const written = header !== undefined && same(header, unclear.header)
    const before = { open: this.#openHeader, sealed: this.#sealedHeader }
    if (!written && (header === undefined || !same(header, before))) {
      throw damaged('read vault', 'its header is neither the last nor the one before')
    }
    const keys = written ? unclear.keys : this.#keys
    const found = load(this.#store, keys)
    if (unclear.keys !== this.#keys) {
      const other = written ? this.#keys : unclear.keys
      other[Symbol.dispose]()
    }
    this.#keys = keys
    this.#openHeader = found.header.open
    this.#sealedHeader = found.header.sealed
    this.#state = found.state
    this.#unclear = undefined
  }

  #openRow(row: StoredRow): Uint8Array {
    return openRow(this.#keys, this.#vault, row)
  }

  #openSecret(row: StoredRow, slab: Slab): Secret {
    return openSecret(this.#keys, this.#vault, row, slab)
  }

  #checkedOpenHeader(openHeader: Uint8Array): Uint8Array {
    if (!equalBytes(decodeOpenHeader(openHeader).vault, this.#vault)) {
      throw new TypeError('Cannot replace header: it names another vault')
    }
    return new Uint8Array(openHeader)
  }

  #commit(layer: Layer): void {
    const openHeader =
      layer.openHeader === undefined ? this.#openHeader : this.#checkedOpenHeader(layer.openHeader)
    const sum = new RowSum(this.#keys, this.#state.sum)
    let { rows } = this.#state
    const put: StoredRow[] = []
    const remove: RowName[] = []
    for (const { name, row } of layer.rows.values()) {
      const before = this.#cache.row(name.kind, name.id)
      if (before !== undefined) {
        sum.subtract(before)
        rows--
      }
      if (row !== undefined) {
        sum.add(row)
        rows++
        put.push(row)
      } else if (before !== undefined) remove.push(name)
    }
    const plainPut: PlainRow[] = []
    const plainRemove: RowName[] = []
    for (const { name, row } of layer.plain.values()) {
      if (row === undefined) plainRemove.push(name)
      else plainPut.push(row)
    }
    const state: SealedHeader = {
      epoch: this.#state.epoch + (layer.newEpoch ? 1 : 0),
      generation: this.#state.generation + 1,
      rows,
      sum: sum.bytes(),
      auditHead: layer.auditHead ?? this.#state.auditHead,
      auditLength: this.#state.auditLength + layer.entries.length,
      highestTimeMs: this.nowMs(),
      createdAtMs: this.#state.createdAtMs,
      plain: this.#plainDigest(layer),
    }
    const { entries, cutEntriesBefore } = layer
    this.#write(
      { put, remove, plainPut, plainRemove, entries, cutEntriesBefore },
      this.#keys,
      openHeader,
      () => state,
    )
    this.#cache.changed(put)
    this.#cache.changed(remove)
  }

  #plainDigest(layer: Layer): Uint8Array {
    const bound = [...layer.plain].filter(([, { name }]) => name.kind < FIRST_LOOSE_KIND)
    return bound.length === 0
      ? this.#state.plain
      : plainDigest(overlaid(boundPlain(this.#store), bound))
  }

  /** Hands a change to the store; head, keys and header change only when it is there. */
  #write(
    change: Omit<Change, 'header'>,
    keys: Keys,
    openHeader: Uint8Array,
    stateOf: () => SealedHeader,
  ): void {
    const written: { header: StoredHeader; state: SealedHeader }[] = []
    try {
      this.#store.commit({
        ...change,
        header: () => {
          const state = stateOf()
          const associated = headerAssociated(this.#vault, openHeader)
          const sealed = seal(keys.header, associated, encodeSealedHeader(state), this.#random)
          const header = { open: openHeader, sealed }
          written.push({ header, state })
          return header
        },
      })
    } catch (error) {
      // Nothing was tried where the header was not even asked for, and nothing happened where the store says so.
      const last = written.at(-1)
      if (last !== undefined && !nothingHappened(error)) {
        this.#unclear = { header: last.header, keys }
      }
      throw error
    }
    const last = written.at(-1)
    if (last === undefined) throw new TypeError('Cannot commit: the store asked for no header')
    this.#keys = keys
    this.#openHeader = last.header.open
    this.#sealedHeader = last.header.sealed
    this.#state = last.state
  }
}

/** Whether a store says of a change that failed that nothing of it is there. */
export function nothingHappened(error: unknown): boolean {
  return (
    isVaultError(error, { reason: 'disk_full' }) || isVaultError(error, { reason: 'read_only' })
  )
}

function same(a: StoredHeader, b: StoredHeader | undefined): boolean {
  return b !== undefined && equalBytes(a.open, b.open) && equalBytes(a.sealed, b.sealed)
}

function timeOf(clock: () => number): number {
  const ms = Math.floor(clock())
  return Number.isSafeInteger(ms) && ms > 0 ? ms : 0
}

/** Runs every one of them, then throws what the first that failed threw. */
function runAll(after: readonly (() => void)[]): void {
  const errors: unknown[] = []
  for (const fire of after) {
    try {
      fire()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}
