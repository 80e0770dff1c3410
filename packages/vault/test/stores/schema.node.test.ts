import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { decodeUtf8, encodeUtf8, fromHex } from '@stronghold/core'
import { expect, it } from 'vitest'

import { VaultDirectory } from '../../src/directory.ts'
import { Rows } from '../../src/rows.ts'
import { deriveKeys } from '../../src/seal.ts'
import { FORMAT } from '../../src/stores/schema.ts'
import { unlock } from '../../src/unlock.ts'
import { testSlab } from '../vault-of.ts'
import { KEY_FILE, PASSPHRASE } from '../worked-example.ts'

// A vault of each format is kept in `data/` and opens for ever.
for (let format = 1; format <= FORMAT; format++) {
  it(`a vault of format ${format} opens with its passphrase and with its key file`, async () => {
    const path = mkdtempSync(join(tmpdir(), 'stronghold-format-'))
    try {
      const file = fileURLToPath(new URL(`../data/format-${format}.db`, import.meta.url))
      copyFileSync(file, join(path, 'vault.db'))
      chmodSync(join(path, 'vault.db'), 0o600)
      using slab = testSlab()
      for (const credential of [{ passphrase: PASSPHRASE }, { keyFile: KEY_FILE }]) {
        using directory = VaultDirectory.open(path)
        const open = directory.store.header()?.open ?? new Uint8Array()
        using dataKey = await unlock(open, credential, slab)
        using rows = Rows.open(directory.store, deriveKeys(dataKey.bytes, slab))
        const secretId = fromHex('5252525252525252525252525252525200000001')
        using secret = rows.open(2, secretId, slab)
        expect(decodeUtf8(secret?.bytes ?? new Uint8Array())).toBe('hello')
        expect(rows.get(5, rows.id(5, 'motd'))).toBeDefined()
        expect(rows.getPlain(1, encodeUtf8('box'))).toEqual(fromHex('c0ffee'))
        expect([...rows.entries(0)].map(({ value }) => decodeUtf8(value))).toEqual(['first entry'])
        rows.transaction((tx) => {
          tx.put(16, Uint8Array.of(1), Uint8Array.of(1))
        })
      }
    } finally {
      rmSync(path, { recursive: true })
    }
  })
}
