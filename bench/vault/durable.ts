/** Durable writes of 32 bytes, one at a time and 64 in a turn, beside one fdatasync a write and beside plain SQLite. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

import type { OpenVault } from '@stronghold/vault'

import type { Measure } from './side.ts'

const GROUP = 64
const value = new Uint8Array(32).fill(0x76)

/** The measures, and what closes what they opened. */
export function durable(vault: OpenVault, folder: string): { measures: Measure[]; close(): void } {
  const file = openSync(join(folder, 'log'), 'w')
  const database = new DatabaseSync(join(folder, 'plain.db'))
  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA locking_mode=EXCLUSIVE')
  database.exec(
    'CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID',
  )
  const put = database.prepare('INSERT OR REPLACE INTO entry VALUES (?, ?)')
  const inSqlite = (count: number) => (): number => {
    database.exec('BEGIN')
    for (let i = 0; i < count; i++) put.run(`k${i}`, value)
    database.exec('COMMIT')
    return count
  }
  const inVault = (count: number) => async (): Promise<number> => {
    await Promise.all(Array.from({ length: count }, (_, i) => vault.store.put(`k${i}`, value)))
    return count
  }
  const inFile = (): number => {
    writeSync(file, value)
    fdatasyncSync(file)
    return 1
  }
  const alone = { once: inVault(1) }
  const grouped = { once: inVault(GROUP) }
  const sqlite = 'node:sqlite'
  const sync = 'one fdatasync a write'
  return {
    measures: [
      {
        name: 'write',
        title: 'Durable writes, alone',
        beside: sync,
        ours: alone,
        raw: { once: inFile },
      },
      {
        name: 'writeSqlite',
        title: 'Durable writes, alone',
        beside: sqlite,
        ours: alone,
        raw: { once: inSqlite(1) },
      },
      {
        name: 'write64',
        title: `Durable writes, ${GROUP} in a turn`,
        beside: sync,
        ours: grouped,
        raw: { once: inFile },
      },
      {
        name: 'write64Sqlite',
        title: `Durable writes, ${GROUP} in a turn`,
        beside: sqlite,
        ours: grouped,
        raw: { once: inSqlite(GROUP) },
      },
    ],
    close: () => {
      closeSync(file)
      database.close()
    },
  }
}
