/** Vaults for tests: made with a key file, which costs no time to unlock with. */
import { MemoryStore } from '../src/stores/memory.ts'
import type { Store } from '../src/stores/store.ts'
import { createVault } from '../src/vault.ts'
import type { OpenVault, VaultInit, VaultSeams } from '../src/vault.ts'
import type { Credential } from '../src/unlock.ts'

/** What unlocks every vault here. */
export const KEY_FILE: Credential = { keyFile: new Uint8Array(32).fill(7) }

/** The least that a passphrase may cost. */
export const CHEAP: { memoryKiB: number; passes: number } = { memoryKiB: 19 * 1024, passes: 2 }

/** A passphrase as a credential. */
export function passphrase(text: string): Credential {
  return { passphrase: new TextEncoder().encode(text) }
}

/** A new vault, unlocked. */
export function newVault(
  at: string | Store = new MemoryStore(),
  init: Omit<Partial<VaultInit>, 'at'> = {},
  seams: VaultSeams = {},
): Promise<OpenVault> {
  const memory = { bytes: 512 * 1024 }
  return createVault({ at, credential: KEY_FILE, memory, ...init }, seams)
}
