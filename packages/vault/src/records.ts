/**
 * Which records there are: what is written about each in memory, by path and by id, and the rows behind them. What a
 * transaction changes is seen inside it at once and outside when it is committed. Secrets stay sealed until one is used.
 * It knows nothing of procedures, and of labels only that they are kept.
 */
import type { Labels, RecordType } from './catalog/index.ts'
import { Draft } from './draft.ts'
import { isVaultError, VaultError } from './errors.ts'
import type { VaultLimits } from './limits.ts'
import { MAX_NONCES, NONCE_BLOCK } from './limits.ts'
import {
  decodeRecord,
  decodeTombstone,
  encodeRecord,
  encodeTombstone,
  idBytes,
  idText,
  LabelPool,
  newest,
  publicText,
  versionOf,
} from './record.ts'
import type { Origin, RecordVersion, StoredRecord, Tombstone } from './record.ts'
import type { SecretForm } from './lent-secrets.ts'
import type { Rows, Transaction } from './rows.ts'
import type { Secret, Slab } from './secret.ts'
import { versionDigest } from './sync/digest.ts'

/** Kinds of rows (`vault-format.md §2`). */
export const RECORD_KIND = 1
export const SECRET_KIND = 2
export const TOMBSTONE_KIND = 3
export const COUNTER_KIND = 4
/** Secrets of the vault's own. */
export const SYSTEM_KIND = 6

/** Looking records up. */
export interface RecordLookup {
  /** The record that stands at a path. */
  at(path: string): StoredRecord | undefined
  byId(id: string): StoredRecord | undefined
}

/** All records of an open vault. */
export class Records implements RecordLookup {
  readonly #byPath = new Map<string, StoredRecord>()
  readonly #byId = new Map<string, StoredRecord>()
  #paths: readonly string[] | undefined
  readonly #pool = new LabelPool()
  /** Nonces taken since the vault was opened, by key version. Never counted down, whatever becomes of a transaction. */
  readonly #nonces = new Map<string, number>()
  readonly #rows: Rows
  readonly #limits: Readonly<VaultLimits>
  readonly #slab: Slab

  /** Reads what is written about every record. @throws `VaultError` `data_loss` (`damaged`) */
  constructor(rows: Rows, limits: Readonly<VaultLimits>, slab: Slab) {
    this.#rows = rows
    this.#limits = limits
    this.#slab = slab
    for (const { value } of rows.list(RECORD_KIND)) {
      const record = decodeRecord(value, this.#pool)
      this.#byPath.set(record.path, record)
      this.#byId.set(record.id, record)
    }
  }

  get size(): number {
    return this.#byId.size
  }

  at(path: string): StoredRecord | undefined {
    return this.#byPath.get(path)
  }

  byId(id: string): StoredRecord | undefined {
    return this.#byId.get(id)
  }

  /** All of them, in no order. */
  all(): Iterable<StoredRecord> {
    return this.#byId.values()
  }

  /** The path of each, in order: sorted when somebody asks, and kept until records change. */
  paths(): readonly string[] {
    return (this.#paths ??= [...this.#byPath.keys()].sort())
  }

  /** Begins to change records within a transaction, whose commit publishes what was changed. */
  change(tx: Transaction, when: { nowMs: number; epoch: number }): RecordChanges {
    const byPath = new Draft(this.#byPath)
    const byId = new Draft(this.#byId)
    tx.afterCommit(() => {
      if (byPath.isChanged) this.#paths = undefined
      byPath.publish()
      byId.publish()
    })
    return new RecordChanges(tx, when, {
      byPath,
      byId,
      pool: this.#pool,
      nonces: this.#nonces,
      limits: this.#limits,
      slab: this.#slab,
      rowId: (path) => this.#rows.id(RECORD_KIND, path),
      paths: () => this.paths(),
    })
  }
}

interface Shared {
  readonly byPath: Draft<string, StoredRecord>
  readonly byId: Draft<string, StoredRecord>
  readonly pool: LabelPool
  readonly nonces: Map<string, number>
  readonly limits: Readonly<VaultLimits>
  readonly slab: Slab
  rowId(path: string): Uint8Array
  /** Of records as they were when the transaction began, in order. */
  paths(): readonly string[]
}

/** A record to be made. */
export interface RecordInit {
  /** 16 random bytes as 32 hex digits. */
  readonly id: string
  readonly path: string
  readonly type: RecordType
  readonly labels: Labels
  readonly origin: Origin
  readonly from: readonly string[]
  readonly publicKey: Uint8Array | undefined
}

/** Records inside one transaction. Every change is written as rows at once. */
export class RecordChanges implements RecordLookup {
  readonly #tx: Transaction
  readonly #shared: Shared
  /** Time and epoch of this transaction. */
  readonly when: { readonly nowMs: number; readonly epoch: number }

  constructor(tx: Transaction, when: RecordChanges['when'], shared: Shared) {
    this.#tx = tx
    this.#shared = shared
    this.when = when
  }

  at(path: string): StoredRecord | undefined {
    return this.#shared.byPath.get(path)
  }

  byId(id: string): StoredRecord | undefined {
    return this.#shared.byId.get(id)
  }

  /** Every record as this transaction sees it, in no order. */
  *all(): Generator<StoredRecord> {
    for (const [, record] of this.#shared.byId.entries()) yield record
  }

  /** The paths of all records, in order, from behind one on. */
  *paths(after = ''): Generator<string> {
    const { byPath } = this.#shared
    const all = byPath.isChanged
      ? [...byPath.entries()].map(([path]) => path).sort()
      : this.#shared.paths()
    for (let at = firstBehind(all, after); at < all.length; at++) yield all[at] as string
  }

  /** Where this transaction stands; `rollBack` forgets what was changed later. The rows are rolled back apart. */
  mark(): number {
    return this.#shared.byId.mark()
  }

  rollBack(mark: number): void {
    this.#shared.byId.rollBack(mark)
    this.#shared.byPath.rollBack(mark)
  }

  /**
   * The secret of a version, in locked memory; whoever asked wipes it.
   *
   * @throws `VaultError` `data_loss` (`damaged`) where the row is missing
   */
  openSecret(record: StoredRecord, version: RecordVersion, slab: Slab): Secret {
    const secret = this.#tx.open(SECRET_KIND, versionRowId(record.id, version.number), slab)
    if (secret === undefined || secret.length !== version.length) {
      secret?.wipe()
      throw rowMissing(record)
    }
    return secret
  }

  /**
   * What is made from the secret of a version, until the transaction ends: `Transaction.lend`.
   *
   * @throws as `openSecret`
   */
  lendSecret(
    record: StoredRecord,
    version: RecordVersion,
    slab: Slab,
    form: SecretForm,
  ): Uint8Array {
    const id = versionRowId(record.id, version.number)
    const lent = this.#tx.lend(SECRET_KIND, id, slab, {
      length: form.length,
      write: (out, secret) => {
        if (secret.byteLength !== version.length) throw rowMissing(record)
        form.write(out, secret)
      },
    })
    if (lent === undefined) throw rowMissing(record)
    return lent
  }

  /**
   * Writes a new record with its first version.
   *
   * @throws `VaultError` `failed_precondition` (`conflict`) where something stands at its path, `resource_exhausted` past
   *   `maxRecords`
   */
  insert(init: RecordInit, secret: Uint8Array): StoredRecord {
    this.assertFree(init.path)
    if (this.#shared.byId.size >= this.#shared.limits.maxRecords) {
      throw new VaultError(
        'resource_exhausted',
        `Cannot create record "${init.path.slice(0, 64)}": there are ${this.#shared.limits.maxRecords} records already`,
      )
    }
    const record: StoredRecord = {
      ...newRecord(init, this.when, secret.byteLength),
      labels: this.#shared.pool.get(init.labels),
    }
    this.#tx.putSecret(SECRET_KIND, versionRowId(record.id, 1), secret)
    this.#write(record)
    return record
  }

  /** @throws `VaultError` `failed_precondition` (`conflict`) where something stands at a path */
  assertFree(path: string): void {
    if (this.at(path) === undefined) return
    throw new VaultError(
      'failed_precondition',
      `Cannot create record "${path.slice(0, 64)}": something stands there`,
      { reason: 'conflict' },
    )
  }

  /**
   * Adds a version, the newest from now on.
   *
   * @throws `VaultError` `resource_exhausted` past `maxVersions`
   */
  addVersion(
    record: StoredRecord,
    secret: Uint8Array,
    publicKey: Uint8Array | undefined,
  ): StoredRecord {
    const { maxVersions } = this.#shared.limits
    if (record.versions.length >= maxVersions) {
      throw new VaultError(
        'resource_exhausted',
        `Cannot rotate record "${record.path}": it has ${maxVersions} versions already`,
      )
    }
    const number = newest(record).number + 1
    const version = newVersion(number, publicKey, this.when, secret.byteLength)
    this.#tx.putSecret(SECRET_KIND, versionRowId(record.id, number), secret)
    return this.#change(record, { versions: [...record.versions, version] })
  }

  /**
   * Versions below a number are refused from now on; with `remove` their bytes go, too.
   *
   * @throws `VaultError` `invalid_argument` where the newest would be one of them
   */
  retire(record: StoredRecord, below: number, remove: boolean): StoredRecord {
    if (!Number.isSafeInteger(below) || below < 1 || below > newest(record).number) {
      throw new VaultError(
        'invalid_argument',
        `Cannot retire versions of "${record.path}": the newest is ${newest(record).number}`,
      )
    }
    // A minimum never falls: what was refused stays refused.
    const minimum = Math.max(record.minimum, below)
    const gone = remove ? record.versions.filter(({ number }) => number < below) : []
    for (const { number } of gone) this.#removeVersionRows(record.id, number)
    const versions = record.versions.filter((version) => !gone.includes(version))
    return this.#change(record, { minimum, versions })
  }

  /** Writes other labels. That they are narrower is checked by whoever decides it. */
  relabel(record: StoredRecord, labels: Labels): StoredRecord {
    return this.#change(record, { labels: this.#shared.pool.get(labels) })
  }

  /**
   * Writes a record as it once was, over what there is of the same id at the same path, a tombstone included. Versions that
   * stood there and are not in it go.
   *
   * @param record - its labels no wider than those that stand there; that is checked by whoever decides it
   * @param secretOf - the secret of a version that is to be written; `undefined` for one whose row stands there already
   * @throws `VaultError` `failed_precondition` (`conflict`) where something else stands at its path, `resource_exhausted`
   *   past `maxRecords` or `maxVersions`
   */
  putBack(
    record: StoredRecord,
    secretOf: (version: RecordVersion) => Secret | undefined,
  ): StoredRecord {
    const { maxRecords, maxVersions } = this.#shared.limits
    const before = this.byId(record.id)
    if (before === undefined) {
      this.assertFree(record.path)
      if (this.#shared.byId.size >= maxRecords) throw tooMany(record.path, `${maxRecords} records`)
    }
    if (record.versions.length > maxVersions) {
      throw tooMany(record.path, `${maxVersions} versions`)
    }
    for (const version of record.versions) {
      using secret = secretOf(version)
      if (secret === undefined) continue
      const row = versionRowId(record.id, version.number)
      this.#tx.putSecret(SECRET_KIND, row, secret.bytes)
      this.#tx.remove(COUNTER_KIND, row)
    }
    this.#tx.remove(TOMBSTONE_KIND, idBytes(record.id))
    const numbers = new Set(record.versions.map(({ number }) => number))
    for (const { number } of before?.versions ?? []) {
      if (!numbers.has(number)) this.#removeVersionRows(record.id, number)
    }
    const written = { ...record, labels: this.#shared.pool.get(record.labels) }
    this.#write(written)
    return written
  }

  /** Writes what is left of a record that was taken away elsewhere. */
  putTombstone(id: string, tombstone: Tombstone): void {
    this.#tx.put(TOMBSTONE_KIND, idBytes(id), encodeTombstone(tombstone))
  }

  /** Takes a record away for good; a tombstone stays. */
  remove(record: StoredRecord): void {
    const last = record.labels.sync ? this.#lastDigest(record) : undefined
    for (const { number } of record.versions) this.#removeVersionRows(record.id, number)
    this.#tx.remove(RECORD_KIND, this.#shared.rowId(record.path))
    const tombstone: Tombstone = {
      path: record.path,
      removedAtMs: this.when.nowMs,
      version: newest(record).number,
      ...(last === undefined ? {} : { last }),
    }
    this.#tx.put(TOMBSTONE_KIND, idBytes(record.id), encodeTombstone(tombstone))
    this.#set(record.id, record.path, undefined)
  }

  /** What is left of a record, or `undefined` where none of this id was taken away. */
  tombstone(id: string): Tombstone | undefined {
    const row = this.#tx.get(TOMBSTONE_KIND, idBytes(id))
    return row === undefined ? undefined : decodeTombstone(row)
  }

  /**
   * Counts a nonce of an AES-GCM key. Before the first of each block of 1,024 is used the whole block is written down as
   * taken, so a crash skips nonces and never gives one twice.
   *
   * @throws `VaultError` `failed_precondition` (`key_worn_out`) past 2³¹, and for a version that was not made here in the
   *   present epoch, whose nonces somebody else may have taken
   */
  countNonce(record: StoredRecord, version: RecordVersion): void {
    if (!version.here || version.epoch !== this.when.epoch) {
      throw wornOut(record, 'it was not made here since the vault was made or restored')
    }
    const row = versionRowId(record.id, version.number)
    const key = `${record.id}@${version.number}`
    const written = this.#tx.get(COUNTER_KIND, row)
    const reserved = written === undefined ? 0 : readUint32(written)
    const taken = this.#shared.nonces.get(key) ?? reserved
    if (taken >= MAX_NONCES) throw wornOut(record, 'it has encrypted as often as it may')
    if (taken >= reserved) {
      const block = new Uint8Array(4)
      const upTo = Math.floor(taken / NONCE_BLOCK) * NONCE_BLOCK + NONCE_BLOCK
      new DataView(block.buffer).setUint32(0, upTo)
      this.#tx.put(COUNTER_KIND, row, block)
    }
    this.#shared.nonces.set(key, taken + 1)
  }

  /** What is left of every record that was taken away. */
  *tombstones(): Generator<{ readonly id: string; readonly tombstone: Tombstone }> {
    for (const { id, value } of this.#tx.list(TOMBSTONE_KIND)) {
      yield { id: idText(id), tombstone: decodeTombstone(value) }
    }
  }

  /** Nobody needs to hear any more that this record was taken away. */
  release(id: string): void {
    this.#tx.remove(TOMBSTONE_KIND, idBytes(id))
  }

  /** A record whose secret is damaged is taken away all the same; its tombstone then stays at home. */
  #lastDigest(record: StoredRecord): string | undefined {
    try {
      return this.digest(record, newest(record))
    } catch (error) {
      if (isVaultError(error, { reason: 'damaged' })) return undefined
      throw error
    }
  }

  /** The digest of a version (`sync.md §2`), from its row: 32 hex digits. @throws as `openSecret` */
  digest(record: StoredRecord, version: RecordVersion): string {
    using secret = this.openSecret(record, version, this.#shared.slab)
    return versionDigest(record.id, version.number, secret.bytes)
  }

  #removeVersionRows(id: string, number: number): void {
    const row = versionRowId(id, number)
    this.#tx.remove(SECRET_KIND, row)
    this.#tx.remove(COUNTER_KIND, row)
  }

  #change(record: StoredRecord, change: Partial<StoredRecord>): StoredRecord {
    const changed = { ...record, ...change, changedAtMs: this.when.nowMs }
    this.#write(changed)
    return changed
  }

  #write(record: StoredRecord): void {
    this.#tx.put(RECORD_KIND, this.#shared.rowId(record.path), encodeRecord(record))
    this.#set(record.id, record.path, record)
  }

  /** The two drafts take the same steps, so that one mark holds for both. */
  #set(id: string, path: string, record: StoredRecord | undefined): void {
    this.#shared.byId.set(id, record)
    this.#shared.byPath.set(path, record)
  }
}

/** A record with its first version, as a value; nothing is written. */
export function newRecord(
  init: RecordInit,
  when: { readonly nowMs: number; readonly epoch: number },
  length: number,
): StoredRecord {
  const { publicKey, ...rest } = init
  return {
    ...rest,
    createdAtMs: when.nowMs,
    changedAtMs: when.nowMs,
    minimum: 1,
    versions: [newVersion(1, publicKey, when, length)],
  }
}

function newVersion(
  number: number,
  publicKey: Uint8Array | undefined,
  when: { readonly nowMs: number; readonly epoch: number },
  length: number,
): RecordVersion {
  return {
    number,
    createdAtMs: when.nowMs,
    epoch: when.epoch,
    here: true,
    publicText: publicText(publicKey),
    length,
  }
}

/**
 * The version that is used where one, or none, is named.
 *
 * @throws `VaultError` `not_found` for one that was trimmed or never was, `permission_denied` (`usage`) for one below the
 *   minimum
 */
export function usableVersion(record: StoredRecord, number?: number): RecordVersion {
  const version = number === undefined ? newest(record) : versionOf(record, number)
  if (version === undefined) {
    throw new VaultError('not_found', `Cannot use "${record.path}": no version ${number}`)
  }
  if (version.number < record.minimum) {
    throw new VaultError(
      'permission_denied',
      `Cannot use "${record.path}": version ${version.number} is below its minimum ${record.minimum}`,
      { reason: 'usage' },
    )
  }
  return version
}

/** Where what stands behind a text begins. */
function firstBehind(sorted: readonly string[], text: string): number {
  let [from, to] = [0, sorted.length]
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((sorted[middle] as string) <= text) from = middle + 1
    else to = middle
  }
  return from
}

/** The id of the rows that belong to a version. */
export function versionRowId(id: string, version: number): Uint8Array {
  const bytes = new Uint8Array(20)
  bytes.set(idBytes(id))
  // By hand: to ask such short bytes for their buffer makes them one.
  bytes[16] = version >>> 24
  bytes[17] = version >>> 16
  bytes[18] = version >>> 8
  bytes[19] = version
  return bytes
}

function rowMissing({ path }: StoredRecord): VaultError {
  return new VaultError('data_loss', `Cannot open record "${path}": its row is missing`, {
    reason: 'damaged',
  })
}

function readUint32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0)
}

function tooMany(path: string, most: string): VaultError {
  return new VaultError(
    'resource_exhausted',
    `Cannot restore record "${path.slice(0, 64)}": more than ${most}`,
  )
}

function wornOut(record: StoredRecord, why: string): VaultError {
  return new VaultError('failed_precondition', `Cannot encrypt with "${record.path}": ${why}`, {
    reason: 'key_worn_out',
  })
}
