/**
 * A vault in one SQLite file (`docs/vault-format.md §1–2`), held by this process alone. It sees sealed bytes only and
 * knows nothing of the directory around the file. Every failure of SQLite's is one of `Store`'s.
 */
import { DatabaseSync } from 'node:sqlite'
import type { StatementSync } from 'node:sqlite'

import { isVaultError, VaultError } from '../errors.ts'
import { JOURNAL_BYTES, ROWS_PER_READ, VACUUM_PAGES, WAL_PAGES } from '../limits.ts'
import { prepareSchema } from './schema.ts'
import { assertLoose } from './store.ts'
import type {
  Change,
  PlainRow,
  RowName,
  Store,
  StoredEntry,
  StoredHeader,
  StoredRow,
} from './store.ts'

// https://www.sqlite.org/rescode.html
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
const SQLITE_READONLY = 8
const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_CANTOPEN = 14
const SQLITE_NOTADB = 26

/** A connection with its statements. */
interface Connection {
  readonly database: DatabaseSync
  readonly header: StatementSync
  readonly row: StatementSync
  readonly firstRows: StatementSync
  readonly rowsAfter: StatementSync
  readonly rowsOfKind: StatementSync
  readonly plainRow: StatementSync
  readonly firstPlain: StatementSync
  readonly plainAfter: StatementSync
  readonly plainOfKind: StatementSync
  readonly entries: StatementSync
  readonly putHeader: StatementSync
  readonly putRow: StatementSync
  readonly removeRow: StatementSync
  readonly putPlain: StatementSync
  readonly removePlain: StatementSync
  readonly putEntry: StatementSync
  readonly cutEntries: StatementSync
  readonly begin: StatementSync
  readonly commit: StatementSync
}

/** A store in a SQLite file. */
export class SqliteStore implements Store {
  readonly #path: string
  #connection: Connection | undefined
  #closed = false
  /** Counted at the first question, then kept. */
  #entryBytes: number | undefined

  private constructor(path: string) {
    this.#path = path
  }

  /**
   * Opens a database and takes its lock. An empty file becomes a database without a vault in it.
   *
   * @param path - a file that exists already, so that its mode and owner are the caller's choice
   * @throws `VaultError` `unavailable` (`held`, `disk_failed`), `failed_precondition` (`newer_format`, `read_only`),
   *   `data_loss` (`damaged`)
   */
  static open(path: string): SqliteStore {
    const store = new SqliteStore(path)
    store.#connection = connect(path, { full: 'goes on' })
    return store
  }

  header(): StoredHeader | undefined {
    return this.#do('read vault', ({ header }) => {
      const found = header.get()
      return found === undefined
        ? undefined
        : { open: blob(found['open']), sealed: blob(found['sealed']) }
    })
  }

  *rows(kind?: number): Generator<StoredRow> {
    let last: StoredRow | undefined
    for (;;) {
      const page = this.#do('read vault', ({ firstRows, rowsAfter, rowsOfKind }) => {
        const id = last?.id ?? new Uint8Array()
        if (kind !== undefined) return rowsOfKind.all(kind, id).map(storedRow)
        return (last === undefined ? firstRows.all() : rowsAfter.all(last.kind, id)).map(storedRow)
      })
      yield* page
      last = page.at(-1)
      if (last === undefined || page.length < ROWS_PER_READ) return
    }
  }

  row(kind: number, id: Uint8Array): StoredRow | undefined {
    return this.#do('read vault', ({ row }) => {
      const found = row.get(kind, id)
      return found === undefined ? undefined : storedRow(found)
    })
  }

  *plain(kind?: number): Generator<PlainRow> {
    let last: PlainRow | undefined
    for (;;) {
      const page = this.#do('read vault', ({ firstPlain, plainAfter, plainOfKind }) => {
        const id = last?.id ?? new Uint8Array()
        if (kind !== undefined) return plainOfKind.all(kind, id).map(plainRowOf)
        return (last === undefined ? firstPlain.all() : plainAfter.all(last.kind, id)).map(
          plainRowOf,
        )
      })
      yield* page
      last = page.at(-1)
      if (last === undefined || page.length < ROWS_PER_READ) return
    }
  }

  plainRow(kind: number, id: Uint8Array): PlainRow | undefined {
    return this.#do('read vault', ({ plainRow }) => {
      const found = plainRow.get(kind, id)
      return found === undefined ? undefined : plainRowOf(found)
    })
  }

  *entries(from: number, count: number = Infinity): Generator<StoredEntry> {
    let next = from
    let left = count
    while (left > 0) {
      const most = Math.min(left, ROWS_PER_READ)
      const page = this.#do('read audit', ({ entries }) => entries.all(next, most).map(storedEntry))
      yield* page
      left -= page.length
      const last = page.at(-1)
      if (last === undefined || page.length < most) return
      next = last.position + 1
    }
  }

  entryBytes(): number {
    this.#entryBytes ??= this.#do('read audit', ({ database }) => {
      const found = database.prepare('SELECT total(length(sealed)) AS bytes FROM audit').get()
      return integer(found?.['bytes'])
    })
    return this.#entryBytes
  }

  commit(change: Change): void {
    let bytes = 0
    this.#write((to) => {
      for (const { kind, id, generation, sealed } of change.put) {
        to.putRow.run(kind, id, generation, sealed)
      }
      for (const { kind, id } of change.remove) to.removeRow.run(kind, id)
      for (const { kind, id, value } of change.plainPut) to.putPlain.run(kind, id, value)
      for (const { kind, id } of change.plainRemove) to.removePlain.run(kind, id)
      for (const { position, sealed } of change.entries) {
        to.putEntry.run(position, sealed)
        bytes += sealed.byteLength
      }
      if (change.cutEntriesBefore > 0) to.cutEntries.run(change.cutEntriesBefore)
      const { open, sealed } = change.header()
      to.putHeader.run(open, sealed)
    })
    if (change.cutEntriesBefore > 0) this.#entryBytes = undefined
    else if (this.#entryBytes !== undefined) this.#entryBytes += bytes
  }

  commitPlain(put: readonly PlainRow[], remove: readonly RowName[]): void {
    assertLoose([...put, ...remove])
    this.#write((to) => {
      for (const { kind, id, value } of put) to.putPlain.run(kind, id, value)
      for (const { kind, id } of remove) to.removePlain.run(kind, id)
    })
  }

  compact(): void {
    this.#do('compact vault', ({ database }) => {
      fold(database)
      const free = integer(database.prepare('PRAGMA freelist_count').get()?.['freelist_count'])
      const all = integer(database.prepare('PRAGMA page_count').get()?.['page_count'])
      // What was removed is overwritten already; this only gives a file its size back that has become mostly empty.
      if (free < VACUUM_PAGES || free * 2 < all) return
      try {
        database.exec('VACUUM')
        fold(database)
      } catch (error) {
        if (primaryCode(error) !== SQLITE_FULL) throw error
      }
    })
  }

  reopen(): void {
    if (this.#closed) throw new TypeError('Cannot reopen vault: it is closed')
    this.#disconnect()
    this.#connection = connect(this.#path, { full: 'fails' })
  }

  close(): void {
    this.#closed = true
    this.#disconnect()
  }

  #disconnect(): void {
    const connection = this.#connection
    this.#connection = undefined
    this.#entryBytes = undefined
    try {
      connection?.database.close()
    } catch {
      // What it holds is on the disk or is not; whoever reads next finds out.
    }
  }

  #do<T>(action: string, work: (connection: Connection) => T): T {
    const connection = this.#connection
    if (connection === undefined) {
      if (this.#closed) throw new TypeError(`Cannot ${action}: the store is closed`)
      throw new VaultError('unavailable', `Cannot ${action}: the disk failed before`, {
        reason: 'disk_failed',
      })
    }
    try {
      return work(connection)
    } catch (error) {
      throw translated(action, error)
    }
  }

  #write(work: (connection: Connection) => void): void {
    this.#do('write vault', (connection) => {
      connection.begin.run()
      try {
        work(connection)
        connection.commit.run()
      } catch (error) {
        // Where this fails too, its error counts: then nobody knows what lies there.
        if (connection.database.isTransaction) connection.database.exec('ROLLBACK')
        throw error
      }
    })
  }
}

function connect(path: string, on: { full: 'goes on' | 'fails' }): Connection {
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(path, {
      timeout: 0,
      enableDoubleQuotedStringLiterals: false,
      allowExtension: false,
    })
    // Before anything is read: the first read then takes the lock and keeps it.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF')
    database.exec('PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY')
    // A database that is not in WAL mode yet would let readers share it.
    database.exec('BEGIN EXCLUSIVE; COMMIT')
    prepareSchema(database)
    expectPragma(database, 'journal_mode', 'WAL', 'wal')
    expectPragma(database, 'synchronous', 'FULL', 2)
    expectPragma(database, 'secure_delete', 'ON', 1)
    expectPragma(database, 'journal_size_limit', JOURNAL_BYTES, JOURNAL_BYTES)
    expectPragma(database, 'wal_autocheckpoint', WAL_PAGES, WAL_PAGES)
    // On macOS only these make a sync reach the medium; elsewhere they change nothing.
    database.exec('PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON')
    // A sync that failed, here or in a process before, may have left pages that the system takes for written. Folding
    // writes them once more; a full disk keeps nobody from reading what an intact process left.
    try {
      fold(database)
    } catch (error) {
      if (on.full === 'fails' || primaryCode(error) !== SQLITE_FULL) throw error
    }
    return statements(database)
  } catch (error) {
    database?.close()
    throw translated('open vault', error)
  }
}

function expectPragma(
  database: DatabaseSync,
  name: string,
  value: string | number,
  expected: string | number,
): void {
  database.exec(`PRAGMA ${name} = ${value}`)
  const found = Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]
  if (found !== expected) {
    throw new VaultError('unavailable', `Cannot open vault: SQLite refuses ${name} ${value}`, {
      reason: 'disk_failed',
    })
  }
}

function statements(database: DatabaseSync): Connection {
  const prepare = (sql: string): StatementSync => database.prepare(sql)
  const row = 'SELECT kind, id, generation, sealed FROM row'
  const plain = 'SELECT kind, id, value FROM plain'
  const page = `ORDER BY kind, id LIMIT ${ROWS_PER_READ}`
  return {
    database,
    header: prepare('SELECT open, sealed FROM header WHERE id = 1'),
    row: prepare(`${row} WHERE kind = ? AND id = ?`),
    firstRows: prepare(`${row} ${page}`),
    rowsAfter: prepare(`${row} WHERE (kind, id) > (?, ?) ${page}`),
    rowsOfKind: prepare(`${row} WHERE kind = ? AND id > ? ${page}`),
    plainRow: prepare(`${plain} WHERE kind = ? AND id = ?`),
    firstPlain: prepare(`${plain} ${page}`),
    plainAfter: prepare(`${plain} WHERE (kind, id) > (?, ?) ${page}`),
    plainOfKind: prepare(`${plain} WHERE kind = ? AND id > ? ${page}`),
    entries: prepare(
      'SELECT position, sealed FROM audit WHERE position >= ? ORDER BY position LIMIT ?',
    ),
    putHeader: prepare(
      `INSERT INTO header (id, open, sealed) VALUES (1, ?, ?)
       ON CONFLICT DO UPDATE SET open = excluded.open, sealed = excluded.sealed`,
    ),
    putRow: prepare(
      `INSERT INTO row (kind, id, generation, sealed) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET generation = excluded.generation, sealed = excluded.sealed`,
    ),
    removeRow: prepare('DELETE FROM row WHERE kind = ? AND id = ?'),
    putPlain: prepare(
      `INSERT INTO plain (kind, id, value) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value`,
    ),
    removePlain: prepare('DELETE FROM plain WHERE kind = ? AND id = ?'),
    putEntry: prepare(
      `INSERT INTO audit (position, sealed) VALUES (?, ?)
       ON CONFLICT DO UPDATE SET sealed = excluded.sealed`,
    ),
    cutEntries: prepare('DELETE FROM audit WHERE position < ?'),
    begin: prepare('BEGIN IMMEDIATE'),
    commit: prepare('COMMIT'),
  }
}

/** Moves the log into the database and cuts it to nothing. */
function fold(database: DatabaseSync): void {
  const found = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()
  if (found?.['busy'] !== 0) throw new TypeError('Cannot fold log: a reader stands in the way')
}

// --- What a column holds, though somebody else may have written it

type Columns = Record<string, unknown>

function storedRow(columns: Columns): StoredRow {
  return {
    kind: integer(columns['kind']),
    id: blob(columns['id']),
    generation: integer(columns['generation']),
    sealed: blob(columns['sealed']),
  }
}

function plainRowOf(columns: Columns): PlainRow {
  return {
    kind: integer(columns['kind']),
    id: blob(columns['id']),
    value: blob(columns['value']),
  }
}

function storedEntry(columns: Columns): StoredEntry {
  return { position: integer(columns['position']), sealed: blob(columns['sealed']) }
}

function integer(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw damaged('a column holds no count')
}

function blob(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw damaged('a column holds no bytes')
}

function damaged(state: string): VaultError {
  return new VaultError('data_loss', `Cannot read vault: ${state}`, { reason: 'damaged' })
}

/** The code of SQLite's without what it adds in its upper bits, or `undefined` for other errors. */
function primaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined
}

function translated(action: string, error: unknown): unknown {
  if (isVaultError(error)) return error
  if (error instanceof Error && 'code' in error && error.code === 'ERR_OUT_OF_RANGE') {
    return damaged('a column holds no count')
  }
  const cause = error
  switch (primaryCode(error)) {
    case undefined:
      return error
    case SQLITE_FULL:
      return new VaultError('resource_exhausted', `Cannot ${action}: the disk is full`, {
        reason: 'disk_full',
        cause,
      })
    case SQLITE_READONLY:
      return new VaultError(
        'failed_precondition',
        `Cannot ${action}: the file system takes no writes`,
        { reason: 'read_only', cause },
      )
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return new VaultError('unavailable', `Cannot ${action}: another process holds it`, {
        reason: 'held',
        cause,
      })
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return new VaultError('data_loss', `Cannot ${action}: the database is damaged`, {
        reason: 'damaged',
        cause,
      })
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return new VaultError('unavailable', `Cannot ${action}: the disk failed`, {
        reason: 'disk_failed',
        cause,
      })
    default:
      return new VaultError('internal', `Cannot ${action}: SQLite refused`, { cause })
  }
}
