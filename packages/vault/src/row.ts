/**
 * One row or audit entry opened, into the slab where it is a secret. It knows no store and no header; what does not open
 * is damaged.
 */
import { assertBytes } from '@stronghold/core'

import { VaultError } from './errors.ts'
import { filled } from './formats/filled.ts'
import { MAX_ROW_ID_BYTES, MAX_ROW_KIND } from './limits.ts'
import { entryAssociated, openedLength, rowAssociated, unseal } from './seal.ts'
import type { Keys } from './seal.ts'
import type { Secret, Slab } from './secret.ts'
import type { RowName, StoredEntry, StoredRow } from './stores/store.ts'

/** What opens rows. */
type RowKeys = Pick<Keys, 'row'>

/** A row of a kind that holds no secret. */
export function openRow(keys: RowKeys, vault: Uint8Array, row: StoredRow): Uint8Array {
  const value = new Uint8Array(openedLength(row.sealed))
  openInto(keys, vault, row, value)
  return value
}

/** A secret row, opened straight into the slab. */
export function openSecret(keys: RowKeys, vault: Uint8Array, row: StoredRow, slab: Slab): Secret {
  return filled(slab, openedLength(row.sealed), (bytes) => {
    openInto(keys, vault, row, bytes)
  })
}

function openInto(keys: RowKeys, vault: Uint8Array, row: StoredRow, out: Uint8Array): void {
  const associated = rowAssociated(vault, row.kind, row.generation, row.id)
  if (!unseal(keys.row, associated, row.sealed, out)) {
    throw damaged(`open row of kind ${row.kind}`, 'not what was written')
  }
}

/** An audit entry. */
export function openEntry(keys: Keys, vault: Uint8Array, entry: StoredEntry): Uint8Array {
  const value = new Uint8Array(openedLength(entry.sealed))
  if (!unseal(keys.audit, entryAssociated(vault, entry.position), entry.sealed, value)) {
    throw damaged(`open audit entry ${entry.position}`, 'not what was written')
  }
  return value
}

/** Says that kind and id are within bounds. @throws `RangeError` */
export function assertName(kind: number, id: Uint8Array): void {
  if (!Number.isInteger(kind) || kind < 1 || kind > MAX_ROW_KIND) {
    throw new RangeError(`Cannot put row: kind ${kind} is not 1 to ${MAX_ROW_KIND}`)
  }
  assertBytes(id, 'row id')
  if (id.byteLength < 1 || id.byteLength > MAX_ROW_ID_BYTES) {
    throw new RangeError(`Cannot put row: an id of ${id.byteLength} bytes`)
  }
}

/** Whether kind and id are within bounds. */
export function isName({ kind, id }: RowName): boolean {
  return (
    kind >= 1 && kind <= MAX_ROW_KIND && id.byteLength >= 1 && id.byteLength <= MAX_ROW_ID_BYTES
  )
}

/** The error for what is not what was written. */
export function damaged(action: string, state: string): VaultError {
  return new VaultError('data_loss', `Cannot ${action}: ${state}`, { reason: 'damaged' })
}
