/**
 * An unlocked vault as lines of a backup: everything in it at one moment, but its unlockers. It knows neither age nor
 * files.
 */
import { compareBytes, encodeUtf8 } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { decodeTombstone, idText } from '../record.ts'
import type { RecordVersion, StoredRecord } from '../record.ts'
import { COUNTER_KIND, RECORD_KIND, SECRET_KIND, TOMBSTONE_KIND, versionRowId } from '../records.ts'
import type { SealedRows } from '../sealed-rows.ts'
import { openedLength } from '../seal.ts'
import { nameKey } from '../overlay.ts'
import type { Rows } from '../rows.ts'
import { damaged } from '../row.ts'
import type { Slab } from '../secret.ts'
import { decodeStored, STORE_KIND } from '../store.ts'
import type { StoredRow } from '../stores/store.ts'

import {
  auditLine,
  entryLine,
  linesOf,
  manifestLine,
  recordLine,
  removedLine,
  rowLine,
  versionLine,
} from './content.ts'
import type { BackupCounts } from './content.ts'
import type { LineInit } from './lines.ts'

/** Kinds that are written as what they mean, and not as rows. */
const MEANT: ReadonlySet<number> = new Set([
  RECORD_KIND,
  SECRET_KIND,
  TOMBSTONE_KIND,
  COUNTER_KIND,
  STORE_KIND,
])
const AUDIT_PER_READ = 64

/** What is written. */
export interface WriteInit {
  readonly records: readonly StoredRecord[]
  readonly rows: SealedRows
  /** The audit, which only grows, is read from here while it is written. */
  readonly audit: Pick<Rows, 'entries'>
  /** Room for one row at a time. */
  readonly slab: Slab
  readonly createdAtMs: number
}

/** A moment of a vault, ready to be written. */
export class Content {
  readonly #init: WriteInit
  readonly #byKind: ReadonlyMap<number, readonly StoredRow[]>
  readonly #byName: ReadonlyMap<string, StoredRow>
  readonly #auditFrom: number
  readonly counts: BackupCounts

  constructor(init: WriteInit) {
    const { records, rows, audit } = init
    this.#init = init
    this.#byKind = Map.groupBy(rows.rows, ({ kind }) => kind)
    this.#byName = new Map(
      rows.rows
        .filter(({ kind }) => kind === SECRET_KIND || kind === COUNTER_KIND)
        .map((row) => [nameKey(row.kind, row.id), row]),
    )
    const { auditLength } = rows.head
    const [oldest] = audit.entries(0, 1)
    this.#auditFrom = oldest?.position ?? auditLength
    this.counts = {
      records: records.length,
      versions: records.reduce((sum, { versions }) => sum + versions.length, 0),
      removed: this.#of(TOMBSTONE_KIND).length,
      entries: this.#of(STORE_KIND).length,
      rows: rows.rows.filter(({ kind }) => !MEANT.has(kind)).length,
      plain: rows.plain.length,
      audit: auditLength - this.#auditFrom,
    }
  }

  /** How many lines there are, but the last. */
  get size(): number {
    return linesOf(this.counts) + 1
  }

  /**
   * The lines; the bytes of each are good until the next is asked for.
   *
   * @throws `VaultError` `data_loss` (`damaged`), `unavailable` where the audit was cut meanwhile
   */
  *lines(): Generator<LineInit, void, void> {
    const { records, rows, slab, createdAtMs } = this.#init
    yield manifestLine(rows.head, createdAtMs, this.counts)
    for (const record of records) {
      yield recordLine(record)
      for (const version of record.versions) yield* this.#version(record, version)
    }
    for (const row of this.#of(TOMBSTONE_KIND)) {
      using opened = rows.open(row, slab)
      yield removedLine(idText(row.id), decodeTombstone(opened.bytes))
    }
    yield* this.#entries()
    for (const row of rows.rows) {
      if (MEANT.has(row.kind)) continue
      using opened = rows.open(row, slab)
      yield rowLine('row', row, opened.bytes)
    }
    for (const row of rows.plain) yield rowLine('plain', row, row.value)
    yield* this.#audit()
  }

  *#version(record: StoredRecord, version: RecordVersion): Generator<LineInit, void, void> {
    const { rows, slab } = this.#init
    const id = versionRowId(record.id, version.number)
    const row = this.#byName.get(nameKey(SECRET_KIND, id))
    if (row === undefined) throw damaged(`back up record "${record.path}"`, 'its row is missing')
    const counter = this.#byName.get(nameKey(COUNTER_KIND, id))
    let nonces: number | undefined
    if (counter !== undefined) {
      using opened = rows.open(counter, slab)
      nonces = new DataView(opened.bytes.slice().buffer).getUint32(0)
    }
    using secret = rows.open(row, slab)
    yield versionLine(record.path, version, nonces, secret.bytes)
  }

  /** Sorted by key: in the vault they lie by a keyed hash. */
  *#entries(): Generator<LineInit, void, void> {
    const { rows, slab } = this.#init
    const keyed = this.#of(STORE_KIND).map((row) => {
      using opened = rows.open(row, slab)
      return { row, key: encodeUtf8(decodeStored(opened.bytes).key) }
    })
    for (const { row } of keyed.sort((a, b) => compareBytes(a.key, b.key))) {
      using opened = rows.open(row, slab)
      yield entryLine(decodeStored(opened.bytes))
    }
  }

  *#audit(): Generator<LineInit, void, void> {
    const { audit, rows } = this.#init
    const { auditLength } = rows.head
    for (let at = this.#auditFrom; at < auditLength;) {
      const count = Math.min(AUDIT_PER_READ, auditLength - at)
      const entries = [...audit.entries(at, count)]
      for (const { position, value } of entries) {
        if (position !== at) throw cut()
        yield auditLine(position, value)
        at++
      }
      if (entries.length < count) throw cut()
    }
  }

  #of(kind: number): readonly StoredRow[] {
    return this.#byKind.get(kind) ?? []
  }
}

/** Room that the longest row takes. */
export function longestRow(rows: SealedRows): number {
  return rows.rows.reduce((longest, { sealed }) => Math.max(longest, openedLength(sealed)), 0)
}

function cut(): VaultError {
  return new VaultError('unavailable', 'Cannot write backup: the audit was cut meanwhile')
}
