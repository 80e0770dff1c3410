import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll } from 'vitest'

import { SqliteStore } from '../../src/stores/sqlite.ts'
import { storeCompliance } from './store-compliance.ts'

const directory = mkdtempSync(join(tmpdir(), 'stronghold-store-'))
afterAll(() => {
  rmSync(directory, { recursive: true })
})
let stores = 0

storeCompliance('SQLite', {
  setup() {
    const path = join(directory, `${stores++}.db`)
    writeFileSync(path, '', { mode: 0o600 })
    return SqliteStore.open(path)
  },
})
