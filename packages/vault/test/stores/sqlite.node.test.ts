import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { isVaultError } from '../../src/errors.ts'
import { JOURNAL_BYTES, ROWS_PER_READ, VACUUM_PAGES, WAL_PAGES } from '../../src/limits.ts'
import { SqliteStore } from '../../src/stores/sqlite.ts'
import type { StoredRow } from '../../src/stores/store.ts'
import { createRows, openRows, testSlab } from '../vault-of.ts'
import { changeOf, rowOf } from './store-compliance.ts'

let directory: string
let path: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'stronghold-sqlite-'))
  path = join(directory, 'vault.db')
  writeFileSync(path, '', { mode: 0o600 })
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

const reason = (is: string): Error => expect.objectContaining({ reason: is }) as Error
/** Changes the database as somebody would who has the file. */
function meddle(sql: string): void {
  const database = new DatabaseSync(path, { enableDoubleQuotedStringLiterals: false })
  database.exec(sql)
  database.close()
}

describe('a SQLite store', () => {
  it('is set up as the format says', () => {
    SqliteStore.open(path).close()
    const database = new DatabaseSync(path)
    const of = (name: string): unknown =>
      Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]
    expect(of('application_id')).toBe(0x53484c44)
    expect(of('user_version')).toBe(1)
    expect(of('journal_mode')).toBe('wal')
    database.close()
  })

  it('is held by one opener, in this process and in any other, until it is closed', () => {
    const store = SqliteStore.open(path)
    expect(() => SqliteStore.open(path)).toThrow(reason('held'))
    const other = `
      const { DatabaseSync } = require('node:sqlite')
      const database = new DatabaseSync(process.argv[1])
      try { database.prepare('SELECT * FROM header').all(); console.log('read') }
      catch (error) { console.log(error.errcode) }`
    const look = (): string =>
      spawnSync(process.execPath, ['-e', other, path], { encoding: 'utf8' }).stdout.trim()
    expect(look()).toBe('5')
    store.reopen()
    expect(look()).toBe('5')
    store.close()
    expect(look()).toBe('read')
    SqliteStore.open(path).close()
  })

  it('says held when another took the lock while it was opened again, and comes back later', () => {
    const store = SqliteStore.open(path)
    store.commit(changeOf({ put: [rowOf(1, [1])] }))
    // Stands for another process that was quicker: the lock is free for a moment.
    const close: (this: DatabaseSync) => void = Reflect.get(DatabaseSync.prototype, 'close')
    let other: SqliteStore | undefined
    DatabaseSync.prototype.close = function (): void {
      close.call(this)
      DatabaseSync.prototype.close = close
      other = SqliteStore.open(path)
    }
    try {
      expect(() => store.reopen()).toThrow(reason('held'))
    } finally {
      DatabaseSync.prototype.close = close
    }
    expect(() => store.header()).toThrow(reason('disk_failed'))
    other?.close()
    store.reopen()
    expect([...store.rows()]).toEqual([rowOf(1, [1])])
    store.close()
  })

  it('refuses a newer format before anything is read, and leaves the file alone', () => {
    SqliteStore.open(path).close()
    meddle('PRAGMA user_version = 2; DROP TABLE plain; CREATE TABLE other (a)')
    const before = readFileSync(path)
    expect(() => SqliteStore.open(path)).toThrow(reason('newer_format'))
    expect(readFileSync(path)).toEqual(before)
  })

  it('refuses what is no vault', () => {
    writeFileSync(path, 'not a database'.repeat(1000))
    expect(() => SqliteStore.open(path)).toThrow(reason('damaged'))
    writeFileSync(path, '')
    meddle('CREATE TABLE header (a)')
    expect(() => SqliteStore.open(path)).toThrow(reason('damaged'))
    for (const sql of [
      'PRAGMA application_id = 1',
      'PRAGMA user_version = 0',
      'PRAGMA user_version = -1',
      'CREATE TRIGGER t AFTER INSERT ON row BEGIN DELETE FROM row; END',
      'CREATE VIEW v AS SELECT * FROM row',
      'CREATE INDEX i ON row (generation)',
      'DROP TABLE plain',
    ]) {
      writeFileSync(path, '')
      SqliteStore.open(path).close()
      meddle(sql)
      expect(() => SqliteStore.open(path), sql).toThrow(reason('damaged'))
    }
  })

  it('takes no value of another type for its own', () => {
    const store = SqliteStore.open(path)
    store.commit(
      changeOf({ put: [rowOf(1, [1])], entries: [{ position: 0, sealed: new Uint8Array(1) }] }),
    )
    store.close()
    meddle('UPDATE row SET generation = 9007199254740993; UPDATE audit SET position = -1')
    const again = SqliteStore.open(path)
    expect(() => [...again.rows()]).toThrow(reason('damaged'))
    expect(() => again.row(1, Uint8Array.of(1))).toThrow(reason('damaged'))
    again.close()
  })

  it('finds any page that was cut off or overwritten, or shows what was written', () => {
    using slab = testSlab()
    const store = SqliteStore.open(path)
    const rows = createRows(store, slab, { nowMs: () => 1 })
    rows.transaction((tx) => {
      for (let i = 0; i < 60; i++) tx.put(1, Uint8Array.of(i), new Uint8Array(i * 20).fill(i))
      for (let i = 0; i < 5; i++) tx.append(new Uint8Array(100).fill(i))
      tx.putPlain(1, Uint8Array.of(1), new Uint8Array(300).fill(7))
    })
    const read = (of: typeof rows): string =>
      JSON.stringify([[...of.list(1)], [...of.entries(0)], [...of.listPlain(1)]])
    const honest = read(rows)
    rows[Symbol.dispose]()
    store.close()
    const file = readFileSync(path)
    let refused = 0
    fc.assert(
      fc.property(fc.nat(file.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const bad = Buffer.from(file)
        bad.writeUInt8((bad.readUInt8(at) ^ by) & 255, at)
        writeFileSync(path, bad)
        let opened: SqliteStore | undefined
        try {
          opened = SqliteStore.open(path)
          using found = openRows(opened, slab, { nowMs: () => 1 })
          expect(read(found)).toBe(honest)
        } catch (error) {
          if (!isVaultError(error)) throw error
          refused++
        } finally {
          opened?.close()
        }
      }),
      { numRuns: process.env['STRONGHOLD_LONG'] === '1' ? 20_000 : 150 },
    )
    expect(refused).toBeGreaterThan(50)
    writeFileSync(path, file)
    truncateSync(path, file.byteLength - 4096)
    expect(() => {
      using cut = new DisposableStore(path)
      openRows(cut.store, slab)
    }).toThrow(reason('damaged'))
    expect(slab.used).toBe(0)
  })

  it('leaves removed bytes in no file once it was compacted', () => {
    const marker = (i: number, length: number): Uint8Array => {
      const bytes = new Uint8Array(length).fill(0xa5)
      for (let at = 0; at + 20 <= length; at += 20) {
        bytes.set(new TextEncoder().encode(`MARKER-${i % 10}-REMOVED!`), at)
      }
      return bytes
    }
    const holdsMarker = (): boolean =>
      [path, `${path}-wal`].some(
        (file) => existsSync(file) && readFileSync(file).includes('-REMOVED!'),
      )
    const store = SqliteStore.open(path)
    // So few pages that the file is not written anew: overwriting alone has to do it.
    const sizes = [40, 300, 3000, 5000, 9000]
    const rows: StoredRow[] = Array.from({ length: 200 }, (_, i) => ({
      ...rowOf(1 + (i % 5), [i]),
      sealed: marker(i, sizes[i % sizes.length] ?? 40),
    }))
    const plain = rows.map(({ kind, id, sealed }) => ({ kind, id, value: sealed }))
    const entries = rows.map(({ sealed }, position) => ({ position, sealed }))
    store.commit(changeOf({ put: rows, plainPut: plain, entries }))
    for (const row of rows.slice(0, 50)) {
      store.commit(changeOf({ put: [{ ...row, sealed: marker(1, 500) }] }))
    }
    expect(holdsMarker()).toBe(true)
    store.commit(
      changeOf({
        put: rows.slice(0, 100).map((row) => ({ ...row, sealed: new Uint8Array(200).fill(1) })),
        remove: rows.slice(100),
        plainRemove: plain,
        entries: [{ position: 200, sealed: Uint8Array.of(1) }],
        cutEntriesBefore: 200,
      }),
    )
    store.compact()
    expect(statSync(`${path}-wal`).size).toBe(0)
    expect(statSync(path).size).toBeGreaterThan(1_000_000)
    expect(holdsMarker()).toBe(false)
    expect([...store.rows()]).toHaveLength(100)
    store.close()
  })

  it('gives a file its size back that has become mostly empty', () => {
    const store = SqliteStore.open(path)
    const long = new Uint8Array(1024 * 1024)
    for (let i = 0; i < 8; i++) {
      store.commit(changeOf({ put: [{ ...rowOf(1, [i]), sealed: long }] }))
    }
    store.compact()
    const full = statSync(path).size
    expect(full).toBeGreaterThan(2 * 4096 * VACUUM_PAGES)
    store.commit(changeOf({ remove: Array.from({ length: 7 }, (_, i) => rowOf(1, [i])) }))
    store.compact()
    expect(statSync(path).size).toBeLessThan(full / 4)
    expect([...store.rows()]).toHaveLength(1)
    store.close()
  })

  it('folds its log before that grows long', () => {
    const store = SqliteStore.open(path)
    const value = new Uint8Array(40_000)
    for (let i = 0; i < 300; i++) {
      store.commit(changeOf({ put: [{ ...rowOf(1, [i % 3]), sealed: value }] }))
    }
    expect(statSync(`${path}-wal`).size).toBeLessThan(2 * WAL_PAGES * 4096)
    // One commit may be longer; what it leaves behind is cut when the log begins anew.
    const huge = new Uint8Array(JOURNAL_BYTES + 1024 * 1024)
    store.commit(changeOf({ put: [{ ...rowOf(1, [0]), sealed: huge }] }))
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(JOURNAL_BYTES)
    store.commit(changeOf({ remove: [rowOf(1, [0])] })) // overwrites it, which takes as much
    store.commit(changeOf({}, 2))
    expect(statSync(`${path}-wal`).size).toBeLessThanOrEqual(JOURNAL_BYTES)
    store.close()
  })

  it('reads a few rows at a time', () => {
    const store = SqliteStore.open(path)
    const rows = Array.from({ length: ROWS_PER_READ + 1 }, (_, i) => rowOf(1, [i]))
    store.commit(changeOf({ put: rows }))
    const listing = store.rows(1)
    listing.next()
    store.commit(changeOf({ remove: rows }))
    // What was read is given; what was not is no more.
    expect([...listing]).toHaveLength(ROWS_PER_READ - 1)
    store.close()
  })
})

class DisposableStore implements Disposable {
  readonly store: SqliteStore

  constructor(file: string) {
    this.store = SqliteStore.open(file)
  }

  [Symbol.dispose](): void {
    this.store.close()
  }
}
