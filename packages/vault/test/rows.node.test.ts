import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { VaultDirectory } from '../src/directory.ts'
import { createRows, openRows, testSlab } from './vault-of.ts'

const LONG = process.env['STRONGHOLD_LONG'] === '1'

it('ten thousand records open in well under two seconds', { timeout: 120_000 }, () => {
  const path = mkdtempSync(join(tmpdir(), 'stronghold-rows-'))
  const count = LONG ? 100_000 : 10_000
  try {
    using slab = testSlab()
    {
      using directory = VaultDirectory.open(path, { create: true })
      using rows = createRows(directory.store, slab)
      rows.transaction((tx) => {
        for (let i = 0; i < count; i++) {
          const id = new Uint8Array(32)
          new DataView(id.buffer).setUint32(0, i * 2654435761)
          tx.put(1, id, new Uint8Array(200))
          tx.putSecret(2, id, new Uint8Array(32))
        }
      })
    }
    using directory = VaultDirectory.open(path)
    // Of this thread: a machine with other work to do says nothing of ours.
    const before = process.threadCpuUsage()
    using rows = openRows(directory.store, slab)
    const { user, system } = process.threadCpuUsage(before)
    const tookMs = (user + system) / 1000
    expect(rows.head().rows).toBe(2 * count)
    if (LONG) console.log(`${2 * count} rows open in ${tookMs.toFixed(0)} ms of CPU`)
    expect(tookMs).toBeLessThan(LONG ? 10_000 : 2000)
  } finally {
    rmSync(path, { recursive: true })
  }
})
