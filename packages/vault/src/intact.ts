/**
 * Reads a whole vault and says whether it is what was written last: header, rows, plain rows, the end of the audit. It
 * changes nothing.
 */
import { equalBytes } from '@stronghold/core'

import { VaultError } from './errors.ts'
import { decodeOpenHeader, decodeSealedHeader } from './header.ts'
import type { SealedHeader } from './header.ts'
import { nameKey } from './overlay.ts'
import { damaged, isName, openEntry } from './row.ts'
import { headerAssociated, openedLength, plainDigest, RowSum, SEAL_BYTES, unseal } from './seal.ts'
import type { Keys } from './seal.ts'
import { FIRST_LOOSE_KIND } from './stores/store.ts'
import type { PlainRow, Store, StoredHeader } from './stores/store.ts'

/** A vault as it was found. */
export interface Found {
  readonly vault: Uint8Array
  readonly header: StoredHeader
  readonly state: SealedHeader
}

/** Reads a whole vault but its audit and says whether it is what was written last. */
export function load(store: Store, keys: Keys): Found {
  const header = store.header()
  if (header === undefined) {
    throw new VaultError('not_found', 'Cannot open vault: there is none')
  }
  const { vault, state } = openHeaderOf(header, keys)
  const sum = new RowSum(keys)
  let rows = 0
  let last = ''
  for (const row of store.rows()) {
    const key = nameKey(row.kind, row.id)
    // A tree out of order would hide from a search what a walk still sees.
    if (key <= last) throw damaged('open vault', 'rows are out of order')
    if (!isName(row) || row.generation > state.generation || row.sealed.byteLength < SEAL_BYTES) {
      throw damaged('open vault', 'a row is not one of its own')
    }
    last = key
    sum.add(row)
    rows++
  }
  if (rows !== state.rows) {
    throw damaged('open vault', `${rows} rows where ${state.rows} were written`)
  }
  if (!equalBytes(sum.bytes(), state.sum)) {
    throw damaged('open vault', 'a row is not what was written last')
  }
  if (!equalBytes(plainDigest(boundPlain(store)), state.plain)) {
    throw damaged('open vault', 'a plain row is not what was written last')
  }
  const { auditLength } = state
  const end = [...store.entries(Math.max(auditLength - 1, 0), 2)]
  const newest = end[0]
  if (end.length !== Math.min(auditLength, 1)) {
    throw damaged('open vault', 'the audit does not end where it should')
  }
  if (newest !== undefined) {
    if (newest.position !== auditLength - 1) {
      throw damaged('open vault', 'the audit does not end where it should')
    }
    openEntry(keys, vault, newest)
  }
  return { vault, header, state }
}

function openHeaderOf(
  header: StoredHeader,
  keys: Keys,
): { vault: Uint8Array; state: SealedHeader } {
  try {
    const { vault } = decodeOpenHeader(header.open)
    const opened = new Uint8Array(openedLength(header.sealed))
    const associated = headerAssociated(vault, header.open)
    if (unseal(keys.header, associated, header.sealed, opened)) {
      return { vault, state: decodeSealedHeader(opened) }
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  // One error with a wrong passphrase: whoever sees it learns nothing of which it was.
  throw new VaultError(
    'unauthenticated',
    'Cannot unlock vault: wrong passphrase or key file, or damaged header',
    { reason: 'unlock_failed' },
  )
}

/** Rows of `plain` that the header's digest is over. */
export function* boundPlain(store: Store): Generator<PlainRow> {
  for (let kind = 1; kind < FIRST_LOOSE_KIND; kind++) yield* store.plain(kind)
}
