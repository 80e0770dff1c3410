/**
 * The tables of a vault's database and the ladder that carries an older format forward (`docs/vault-format.md §2, §7`).
 * It refuses what a newer program wrote, and what is no vault, before anything else is read.
 */
import type { DatabaseSync } from 'node:sqlite'

import { VaultError } from '../errors.ts'

/** `SHLD`: what `application_id` of every vault's database is. */
export const APPLICATION_ID = 0x53484c44

/** The format that this program writes, in `user_version`. */
export const FORMAT = 1

/** The tables, each as its definition lies in the database. A database with any other is refused. */
const TABLES: ReadonlyMap<string, string> = new Map([
  [
    'header',
    `CREATE TABLE header (
  id INTEGER PRIMARY KEY CHECK (id = 1), open BLOB NOT NULL, sealed BLOB NOT NULL
) STRICT`,
  ],
  [
    'row',
    `CREATE TABLE row (
  kind INTEGER NOT NULL, id BLOB NOT NULL, generation INTEGER NOT NULL, sealed BLOB NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID`,
  ],
  ['audit', 'CREATE TABLE audit (position INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT'],
  [
    'plain',
    `CREATE TABLE plain (
  kind INTEGER NOT NULL, id BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID`,
  ],
])

/**
 * What carries a database from the format before to each format: the entry at index 0 makes format 1 out of nothing.
 * An entry is never changed once it was released.
 */
const LADDER: readonly ((database: DatabaseSync) => void)[] = [
  (database) => {
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}`)
    for (const definition of TABLES.values()) database.exec(definition)
  },
]

/**
 * Makes the tables in an empty database, carries an older one forward, in one transaction either, and refuses any other.
 * Nothing is written where the format is this one.
 *
 * @throws `VaultError` `failed_precondition` (`newer_format`), `data_loss` (`damaged`); what SQLite throws
 */
export function prepareSchema(database: DatabaseSync): void {
  const format = pragma(database, 'user_version')
  const application = pragma(database, 'application_id')
  if (format === 0 && application === 0 && definitions(database).size === 0) {
    climb(database, 0)
  } else if (application !== APPLICATION_ID || format < 1) {
    throw damaged('it is no vault')
  } else if (format > FORMAT) {
    throw new VaultError(
      'failed_precondition',
      `Cannot open vault: its format ${format} is newer than ${FORMAT}, which this program knows`,
      { reason: 'newer_format' },
    )
  } else if (format < FORMAT) climb(database, format)
  const found = definitions(database)
  // Also what would only run on a write, as a trigger does.
  if (found.size !== TABLES.size || [...found].some(([name, sql]) => TABLES.get(name) !== sql)) {
    throw damaged('its tables are others')
  }
}

function climb(database: DatabaseSync, from: number): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    for (const step of LADDER.slice(from)) step(database)
    database.exec(`PRAGMA user_version = ${FORMAT}`)
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

function definitions(database: DatabaseSync): Map<string, unknown> {
  const rows = database.prepare('SELECT name, sql FROM sqlite_schema').all()
  return new Map(rows.map((row) => [String(row['name']), row['sql']]))
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0)
}

function damaged(state: string): VaultError {
  return new VaultError('data_loss', `Cannot open vault: ${state}`, { reason: 'damaged' })
}
