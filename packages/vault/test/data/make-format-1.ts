/**
 * Made `format-1.db`, once: a vault as the first version of this program writes it, which every later one must open. It is
 * the vault of the format's worked example, so its passphrase and key file stand there. Never run again for format 1.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { VaultDirectory } from '../../src/directory.ts'
import { testSlab } from '../vault-of.ts'
import { workedExample } from '../worked-example.ts'

const { store } = await workedExample(testSlab())
const path = mkdtempSync(join(tmpdir(), 'stronghold-format-'))
const directory = VaultDirectory.open(path, { create: true })
directory.store.commit({
  put: store.rows(),
  remove: [],
  plainPut: store.plain(),
  plainRemove: [],
  entries: store.entries(0),
  cutEntriesBefore: 0,
  header: () => {
    const header = store.header()
    if (header === undefined) throw new Error('no header')
    return header
  },
})
directory.close()
copyFileSync(join(path, 'vault.db'), fileURLToPath(new URL('./format-1.db', import.meta.url)))
rmSync(path, { recursive: true })
