/**
 * An unlocked vault: everything that exists only while it is one. Synchronous throughout: inside a batch nothing is
 * awaited. Disposing wipes it. It knows nothing of unlocking, of queues and of time passing.
 */
import { Batch } from './batch.ts'
import { Engine } from './engine.ts'
import type { Chain } from './engine.ts'
import { VaultError } from './errors.ts'
import { HEAD_SEED_ID, signHead } from './head.ts'
import type { SignedHead } from './head.ts'
import { infoOf, listRecords } from './info.ts'
import type { RecordInfo } from './info.ts'
import type { VaultLimits } from './limits.ts'
import type { Registry } from './procedures/registry.ts'
import { idBytes, newest } from './record.ts'
import type { StoredRecord } from './record.ts'
import { RECORD_KIND, Records, SYSTEM_KIND } from './records.ts'
import type { RecordChanges } from './records.ts'
import type { RekeyInit } from './rekey.ts'
import type { OpenedRow, Rows, Transaction } from './rows.ts'
import type { Random } from './seal.ts'
import type { SealedRows } from './sealed-rows.ts'
import type { Secret, Slab } from './secret.ts'
import { StoreIndex } from './store.ts'
import type { StoreChanges } from './store.ts'
import type { OpenedBackup } from './backup/opened.ts'
import { differenceOf, restoreInto } from './backup/restore.ts'
import type {
  CompareOptions,
  Restored,
  RestoreDifference,
  RestoreOptions,
} from './backup/restore.ts'
import { SelfTest } from './backup/self-test.ts'
import { SyncChanges } from './sync/changes.ts'

/** Rows from this kind on are the guard's (`vault-format.md §2`). */
export const FIRST_GUARD_KIND = 16

/** What an unlocked vault is made of; all of it belongs to the session from then on. */
export interface SessionInit {
  readonly slab: Slab
  readonly rows: Rows
  readonly registry: Registry
  readonly limits: Readonly<VaultLimits>
  readonly random: Random
}

/** An unlocked vault. */
export class Session implements Disposable {
  readonly slab: Slab
  readonly rows: Rows
  readonly engine: Engine
  /** Runs that wait for the end of their turn. */
  readonly batch: Batch
  readonly #limits: Readonly<VaultLimits>
  readonly #random: Random
  #records: Records
  #store: StoreIndex
  /** A commit failed: what is in memory may not be what lies on the disk. */
  #stale = false
  /** What else holds secrets of this vault. */
  readonly #guests = new Set<Disposable>()
  #selfTest: SelfTest | undefined

  /** @throws `VaultError` `data_loss` (`damaged`) where a record is not as this program writes one */
  constructor(init: SessionInit) {
    this.slab = init.slab
    this.rows = init.rows
    this.#limits = init.limits
    this.#random = init.random
    this.engine = new Engine(init.registry, init.limits)
    this.batch = new Batch({
      transaction: (body) => {
        this.transaction(body)
      },
      compact: () => {
        this.rows.compact()
      },
      maxQueued: init.limits.maxQueuedRuns,
    })
    this.#records = new Records(init.rows, init.limits, init.slab)
    this.#store = new StoreIndex(init.rows, init.limits)
  }

  /** How many records there are. */
  get size(): number {
    return this.#records.size
  }

  /**
   * Runs `body` and commits what it changed, all or nothing; where it changed nothing nothing is written.
   *
   * @throws what `body` throws, and then nothing has happened; what `Rows.transaction` throws
   */
  transaction<T>(body: (tx: VaultTransaction) => T): T {
    return this.change((parts) => body(new VaultTransaction(parts)))
  }

  /** The same for work of the vault's own. */
  change<T>(body: (parts: TransactionParts) => T): T {
    if (this.#stale) this.#reload()
    let committing = false
    try {
      return this.rows.transaction((tx) => {
        const when = { nowMs: this.rows.nowMs(), epoch: this.rows.head().epoch }
        const result = body({
          tx,
          when,
          records: this.#records.change(tx, when),
          store: this.#store.change(tx, when.nowMs),
          session: this,
          random: this.#random,
        })
        committing = true
        return result
      })
    } catch (error) {
      this.#stale ||= committing
      throw error
    }
  }

  /**
   * How far the vault has come, signed.
   *
   * @param receipts - the root over the receipts of the newest commit, 32 bytes, which then stands in the head
   */
  head(receipts?: Uint8Array): SignedHead {
    using seed = this.rows.open(SYSTEM_KIND, HEAD_SEED_ID, this.slab)
    if (seed === undefined) {
      throw new VaultError('data_loss', 'Cannot sign head: its key is missing', {
        reason: 'damaged',
      })
    }
    const head = this.rows.head()
    return signHead(receipts === undefined ? head : { ...head, receipts }, seed.bytes, this.slab)
  }

  /** Seals everything anew: `Rows.rekey`. */
  rekey(init: RekeyInit): void {
    try {
      this.rows.rekey(init)
    } catch (error) {
      this.#stale = true
      throw error
    }
  }

  /**
   * What is written about every record at this moment, in the order of paths, and all other rows, sealed.
   *
   * @param slab - holds the key to them
   */
  copy(slab: Slab): { records: readonly StoredRecord[]; rows: SealedRows } {
    if (this.#stale) this.#reload()
    const records = [...this.#records.all()].sort((a, b) => (a.path < b.path ? -1 : 1))
    return { records, rows: this.rows.copy(slab, RECORD_KIND) }
  }

  /** Keeps something that goes when this session goes, at the latest. @returns lets go of it and disposes of it */
  hold(guest: Disposable): () => void {
    this.#guests.add(guest)
    return () => {
      this.#guests.delete(guest)
      guest[Symbol.dispose]()
    }
  }

  /** Lets go of what `hold` kept, and is gone by now. */
  forget(guest: Disposable): void {
    this.#guests.delete(guest)
  }

  /** Shows whether secrets that come from elsewhere are what they are said to be. */
  get selfTest(): SelfTest {
    this.#selfTest ??= new SelfTest(this.slab)
    return this.#selfTest
  }

  /** Wipes keys and secrets. Again does nothing. */
  [Symbol.dispose](): void {
    for (const guest of this.#guests) guest[Symbol.dispose]()
    this.#guests.clear()
    this.rows[Symbol.dispose]()
    this.slab[Symbol.dispose]()
  }

  #reload(): void {
    this.#records = new Records(this.rows, this.#limits, this.slab)
    this.#store = new StoreIndex(this.rows, this.#limits)
    this.#stale = false
  }
}

/** What a transaction works with. */
export interface TransactionParts {
  readonly tx: Transaction
  readonly when: { readonly nowMs: number; readonly epoch: number }
  readonly records: RecordChanges
  readonly store: StoreChanges
  readonly session: Session
  readonly random: Random
}

/**
 * A transaction of an unlocked vault: chains, the plain store, and rows of the guard's own, all in one commit. Not to be
 * used after its body returned.
 */
export class VaultTransaction {
  readonly #tx: Transaction
  readonly #parts: TransactionParts
  #wantsCompaction = false
  #sync: SyncChanges | undefined
  /** The plain store as this transaction sees it. */
  readonly store: StoreChanges

  /** @internal */
  constructor(parts: TransactionParts) {
    this.#tx = parts.tx
    this.#parts = parts
    this.store = parts.store
  }

  /** Records as another Stronghold has them. */
  get sync(): SyncChanges {
    this.#sync ??= new SyncChanges(this.#parts)
    return this.#sync
  }

  /** Milliseconds since the epoch; never earlier than anything the vault has seen. */
  get nowMs(): number {
    return this.#parts.when.nowMs
  }

  /** The present epoch: another after each restore. */
  get epoch(): number {
    return this.#parts.when.epoch
  }

  /** Whether a chain that ran since the last call wants `OpenVault.compact` once all is committed: `gc`. */
  takeCompaction(): boolean {
    const wanted = this.#wantsCompaction
    this.#wantsCompaction = false
    return wanted
  }

  /**
   * Carries a chain out: all of it, or nothing is changed and the error goes on.
   *
   * @returns for each step its output, without what a later step took
   * @throws as `Engine.run`
   */
  run(chain: Chain): Record<string, unknown>[] {
    const { session, records, random } = this.#parts
    return session.engine.run(chain, {
      records,
      slab: session.slab,
      random,
      savepoint: (body) => this.savepoint(body),
      compactLater: () => {
        this.#wantsCompaction = true
      },
    })
  }

  /** How a backup differs from this vault. @throws as `differenceOf` */
  compare(backup: OpenedBackup, options: CompareOptions = {}): RestoreDifference {
    return differenceOf(backup, this.#parts, options)
  }

  /** Writes what of a backup goes into this vault: see `OpenVault.restore`. @throws as `restoreInto` */
  restore(backup: OpenedBackup, options: RestoreOptions = {}): Restored {
    return restoreInto(backup, this.#parts, options)
  }

  /** The record at a path, as this transaction sees it. */
  find(path: string): RecordInfo | undefined {
    const record = this.#parts.records.at(path)
    return record === undefined ? undefined : infoOf(record)
  }

  /** Id, 16 bytes, and newest version of the record at a path, as this transaction sees it. */
  versionAt(path: string): { readonly id: Uint8Array; readonly version: number } | undefined {
    const record = this.#parts.records.at(path)
    return record === undefined
      ? undefined
      : { id: idBytes(record.id), version: newest(record).number }
  }

  /** The records that a pattern matches, in the order of paths. */
  list(pattern?: string): RecordInfo[] {
    return listRecords(this.#parts.records.all(), pattern)
  }

  /** The paths of all records, in order, from behind one on; not to be read on while records change. */
  paths(after?: string): Iterable<string> {
    return this.#parts.records.paths(after)
  }

  /** Runs `body`; where it throws, nothing of what it changed is left, and the error goes on. */
  savepoint<T>(body: () => T): T {
    const { records, store } = this.#parts
    const marks = [records.mark(), store.mark()] as const
    try {
      return this.#tx.savepoint(body)
    } catch (error) {
      records.rollBack(marks[0])
      store.rollBack(marks[1])
      throw error
    }
  }

  /** Runs once the commit returned; dropped with its savepoint. It must not throw. */
  afterCommit(fire: () => void): void {
    this.#tx.afterCommit(fire)
  }

  // --- Rows of the guard's own. Kinds below 16 are the vault's: `RangeError`.

  /** The id of a row that has a name. */
  rowId(kind: number, name: string): Uint8Array {
    return this.#parts.session.rows.id(own(kind), name)
  }

  get(kind: number, id: Uint8Array): Uint8Array | undefined {
    return this.#tx.get(own(kind), id)
  }

  /** A secret, opened into the vault's slab; the caller's to wipe. */
  open(kind: number, id: Uint8Array): Secret | undefined {
    return this.#tx.open(own(kind), id, this.#parts.session.slab)
  }

  rows(kind: number): Iterable<OpenedRow> {
    return this.#tx.list(own(kind))
  }

  put(kind: number, id: Uint8Array, value: Uint8Array): void {
    this.#tx.put(own(kind), id, value)
  }

  /** Sealed at once; stays the caller's to wipe. */
  putSecret(kind: number, id: Uint8Array, secret: Uint8Array): void {
    this.#tx.putSecret(own(kind), id, secret)
  }

  remove(kind: number, id: Uint8Array): void {
    this.#tx.remove(own(kind), id)
  }

  // --- What can be read while the vault is locked; kinds below 16 are under the header's digest.

  getPlain(kind: number, id: Uint8Array): Uint8Array | undefined {
    return this.#tx.getPlain(kind, id)
  }

  plainRows(kind: number): Iterable<OpenedRow> {
    return this.#tx.listPlain(kind)
  }

  putPlain(kind: number, id: Uint8Array, value: Uint8Array): void {
    this.#tx.putPlain(kind, id, value)
  }

  removePlain(kind: number, id: Uint8Array): void {
    this.#tx.removePlain(kind, id)
  }

  // --- The audit

  /** Adds an audit entry. @returns its position, from 0 */
  append(entry: Uint8Array): number {
    return this.#tx.append(entry)
  }

  /** What the header says of the chain's end: 32 bytes. */
  setAuditHead(hash: Uint8Array): void {
    this.#tx.setAuditHead(hash)
  }

  /** Takes away audit entries before a position, never the newest. */
  cutEntries(before: number): void {
    this.#tx.cutEntries(before)
  }
}

/** The seed that signs heads, written once when a vault is made. */
export function putHeadSeed(tx: Transaction, slab: Slab): void {
  using seed = slab.random(32)
  tx.putSecret(SYSTEM_KIND, HEAD_SEED_ID, seed.bytes)
}

function own(kind: number): number {
  if (kind >= FIRST_GUARD_KIND) return kind
  throw new RangeError(`Cannot use rows of kind ${kind}: they are the vault's own`)
}
