/**
 * Secrets in the form in which they are used, for as long as one transaction runs: a key that signs for a whole batch is
 * opened and made ready once. All of it lies in the slab and is wiped at the end. It knows no records and no rules.
 */
import { filled } from './formats/filled.ts'
import { MAX_LENT_SECRETS } from './limits.ts'
import type { Secret, Slab } from './secret.ts'
import type { StoredRow } from './stores/store.ts'

/** What is made from a secret: its length in bytes, and how it is written. There is one for each row. */
export interface SecretForm {
  readonly length: number
  write(out: Uint8Array, secret: Uint8Array): void
}

/** The secrets of one transaction. */
export class LentSecrets {
  /** By the very row that was opened: one that is written anew is another. */
  readonly #lent = new Map<StoredRow, Secret>()

  /** A view of what is made from a row's secret; `open` opens it where it is not made yet. */
  lend(row: StoredRow, form: SecretForm, slab: Slab, open: () => Secret): Uint8Array {
    const known = this.#lent.get(row)
    if (known?.length === form.length) return known.bytes
    known?.wipe()
    this.#lent.delete(row)
    for (const [oldest, secret] of this.#lent) {
      if (this.#lent.size < MAX_LENT_SECRETS) break
      secret.wipe()
      this.#lent.delete(oldest)
    }
    using secret = open()
    const made = filled(slab, form.length, (out) => {
      form.write(out, secret.bytes)
    })
    this.#lent.set(row, made)
    return made.bytes
  }

  /** Wipes all of them. */
  wipe(): void {
    for (const secret of this.#lent.values()) secret.wipe()
    this.#lent.clear()
  }
}
