/**
 * A process that writes into a vault until it is killed, and says on its output what is durable. Started by the crash
 * tests: `writer.ts DIRECTORY COMMITS`. Every line is the number of the newest commit that returned and the time at
 * which it had, in nanoseconds since the machine started; `failed REASON` is one that did not, after which it goes on.
 */
import { writeSync } from 'node:fs'

import { VaultDirectory } from '../../src/directory.ts'
import { isVaultError } from '../../src/errors.ts'
import { Rows } from '../../src/rows.ts'
import { Slab } from '../../src/secret.ts'
import { keysOf, openHeader, VAULT } from '../vault-of.ts'
import { COUNT, writeStep } from './steps.ts'

const [path = '', commits = 'Infinity'] = process.argv.slice(2)
const say = (line: string): void => {
  writeSync(1, `${line}\n`)
}
const done = (commit: number): void => {
  say(`${commit} ${process.hrtime.bigint()}`)
}
try {
  const directory = VaultDirectory.open(path, { create: true, command: 'crash test' })
  const slab = new Slab({ bytes: 64 * 1024 })
  const rows =
    directory.store.header() === undefined
      ? Rows.create(directory.store, keysOf(slab), {
          vault: VAULT,
          openHeader: openHeader(),
          first: (tx) => {
            writeStep(tx, 0)
          },
        })
      : Rows.open(directory.store, keysOf(slab))
  done(countOf(rows))
  for (let i = 0; i < Number(commits); i++) {
    try {
      const next = countOf(rows) + 1
      rows.transaction((tx) => {
        writeStep(tx, next)
      })
      done(next)
      if (next % 64 === 0) rows.compact()
    } catch (error) {
      if (!isVaultError(error)) throw error
      say(`failed ${error.reason ?? error.code}`)
    }
  }
  rows[Symbol.dispose]()
  directory.close()
} catch (error) {
  if (!isVaultError(error)) throw error
  say(`failed ${error.reason ?? error.code}`)
}

function countOf(rows: Rows): number {
  const bytes = rows.get(4, COUNT) ?? new Uint8Array(4)
  return new DataView(bytes.buffer).getUint32(0)
}
