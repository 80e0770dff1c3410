/**
 * The rows of a vault at one moment, sealed as they lay: what is read from here stays as it was, whatever the vault does
 * meanwhile. It knows no store and writes nothing.
 */
import { openSecret } from './row.ts'
import type { Head } from './rows.ts'
import type { Secret, Slab } from './secret.ts'
import type { PlainRow, StoredRow } from './stores/store.ts'

/** What was copied. */
export interface SealedRowsInit {
  readonly slab: Slab
  /** Is copied into the slab. */
  readonly key: Secret
  readonly head: Head
  readonly rows: readonly StoredRow[]
  readonly plain: readonly PlainRow[]
}

/** Rows of one moment. Disposing wipes the key. */
export class SealedRows implements Disposable {
  readonly head: Head
  /** In the order of kind and id. */
  readonly rows: readonly StoredRow[]
  readonly plain: readonly PlainRow[]
  readonly #key: Secret

  constructor({ slab, key, head, rows, plain }: SealedRowsInit) {
    this.head = head
    this.rows = rows
    this.plain = plain
    this.#key = slab.copy(key.bytes)
  }

  /** A row, opened into the slab; the caller's to wipe. @throws `VaultError` `data_loss` (`damaged`) */
  open(row: StoredRow, slab: Slab): Secret {
    return openSecret({ row: this.#key }, this.head.vault, row, slab)
  }

  [Symbol.dispose](): void {
    this.#key.wipe()
  }
}
