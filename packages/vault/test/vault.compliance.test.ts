/** `openVault()` keeps what every `Vault` promises, in memory and on disk. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { vaultCompliance } from '@stronghold/testkit/compliance'
import type { ListedRecord, Vault } from '@stronghold/vault'

import { MemoryStore } from '../src/stores/memory.ts'
import { OpenVault } from '../src/vault.ts'
import { newVault } from './open.ts'

const teardown = async (vault: Vault<ListedRecord>): Promise<void> => {
  if (vault instanceof OpenVault) await vault.close()
}

vaultCompliance('openVault() in memory', {
  setup: () => newVault(new MemoryStore()),
  teardown,
})

const directories = new Map<Vault<ListedRecord>, string>()

vaultCompliance('openVault() on disk', {
  setup: async () => {
    const directory = mkdtempSync(join(tmpdir(), 'stronghold-vault-'))
    const vault = await newVault(join(directory, 'vault'))
    directories.set(vault, directory)
    return vault
  },
  teardown: async (vault) => {
    await teardown(vault)
    rmSync(directories.get(vault) ?? '', { recursive: true, force: true })
  },
})
