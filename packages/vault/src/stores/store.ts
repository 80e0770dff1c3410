/**
 * What a vault needs of a place to lie: rows by kind and id, two blobs of header, an audit list, and one way to change
 * them all at once. A store sees sealed bytes only; it knows nothing of keys or records.
 */

/** Kinds of `plain` below this one are under the header's digest and change only together with a header. */
export const FIRST_LOOSE_KIND = 16

/**
 * Says that none of these is under the header's digest.
 *
 * @throws `RangeError`
 */
export function assertLoose(names: readonly RowName[]): void {
  for (const { kind } of names) {
    if (kind < FIRST_LOOSE_KIND) {
      throw new RangeError(`Cannot change plain row of kind ${kind} without a header`)
    }
  }
}

/** A sealed row as it lies (`vault-format.md §2`). */
export interface StoredRow {
  /** 1 to 63. */
  readonly kind: number
  /** 1 to 64 bytes. */
  readonly id: Uint8Array
  /** The commit that wrote it. */
  readonly generation: number
  readonly sealed: Uint8Array
}

/** A row that is named and not given. */
export interface RowName {
  readonly kind: number
  readonly id: Uint8Array
}

/** A row of what can be read while the vault is locked. */
export interface PlainRow extends RowName {
  readonly value: Uint8Array
}

/** An entry of the audit as it lies. */
export interface StoredEntry {
  /** From 0, without gaps. */
  readonly position: number
  readonly sealed: Uint8Array
}

/** The two halves of the header. */
export interface StoredHeader {
  readonly open: Uint8Array
  readonly sealed: Uint8Array
}

/** One change of everything: all of it is there afterwards, or none. */
export interface Change {
  /** Written over what stands there. Read one by one, so that a whole vault can be sealed anew without being held. */
  readonly put: Iterable<StoredRow>
  readonly remove: Iterable<RowName>
  readonly plainPut: Iterable<PlainRow>
  readonly plainRemove: Iterable<RowName>
  /** Written at their positions. */
  readonly entries: Iterable<StoredEntry>
  /** Entries before this position go. 0 keeps all. */
  readonly cutEntriesBefore: number
  /** Asked for last, when all of the above was read. */
  header(): StoredHeader
}

/**
 * A place where one vault lies, held by this process alone while it is open. Synchronous on purpose: inside a batch
 * nothing is awaited. Every method throws `VaultError`: `resource_exhausted` (`disk_full`), `failed_precondition`
 * (`read_only`), `unavailable` (`disk_failed`, `held`), `data_loss` (`damaged`).
 */
export interface Store {
  /** The header, or `undefined` where no vault was made yet. */
  header(): StoredHeader | undefined
  /** Every row, of one kind where one is given, in the order of kind and id. */
  rows(kind?: number): Iterable<StoredRow>
  row(kind: number, id: Uint8Array): StoredRow | undefined
  /** Rows of `plain`, of one kind where one is given, in the order of kind and id. */
  plain(kind?: number): Iterable<PlainRow>
  plainRow(kind: number, id: Uint8Array): PlainRow | undefined
  /** Audit entries in order from a position, at most `count`. */
  entries(from: number, count?: number): Iterable<StoredEntry>
  /** Bytes that the audit takes up, about. */
  entryBytes(): number
  /**
   * Changes everything at once. When it returns, the change survives a power cut. When it throws `disk_full` or
   * `read_only`, or what the change's own iterables throw, nothing has changed; when it throws `disk_failed`, either may
   * be: reopen and read. Rows may be read while a change is read, and are as they were before it or after it.
   */
  commit(change: Change): void
  /** Changes `plain` alone, of the kinds from 16, also while the vault is locked. As durable as `commit`. */
  commitPlain(put: readonly PlainRow[], remove: readonly RowName[]): void
  /** Folds logs in and overwrites what was removed, so that removed bytes stand in no file. Durable when it returns. */
  compact(): void
  /**
   * Forgets what it holds in memory and reads from the disk again; what it finds there is durable when it returns. Where
   * another process took the lock meanwhile it throws `held`, and so does everything until the next `reopen`.
   */
  reopen(): void
  /** Lets go. Again does nothing. */
  close(): void
}
