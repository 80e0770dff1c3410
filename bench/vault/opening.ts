/** How long a vault takes to unlock and to open by its size, and what a record takes in memory. */
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import { createVault, openVault } from '@stronghold/vault'
import { generate } from '@stronghold/vault/catalog'

import { sodium } from '../../packages/vault/src/sodium.ts'

const keyFile = new Uint8Array(32).fill(7)
const passphrase = new TextEncoder().encode('correct horse battery staple')
const MANY = 1000

/** What was found for one size. */
export interface Opening {
  /** From the file to the first signature that could be made, KDF excluded. */
  openMs: number
  /** What each record adds to the process, in bytes. */
  bytesPerRecord: number
}

/** Makes a vault of that many records, opens it again and looks. */
export async function openingOf(folder: string, records: number): Promise<Opening> {
  const at = join(folder, `of-${records}`)
  {
    await using vault = await createVault({ at, credential: { keyFile } })
    for (let made = 0; made < records; made += MANY) {
      const count = Math.min(MANY, records - made)
      await Promise.all(
        Array.from({ length: count }, (_, i) =>
          vault.run(generate, { to: `keys/${made + i}`, type: 'ed25519' }),
        ),
      )
    }
  }
  const before = held()
  const begun = performance.now()
  await using vault = await openVault({ at })
  await vault.unlock({ keyFile })
  const openMs = performance.now() - begun
  return { openMs, bytesPerRecord: (held() - before) / records }
}

/** Unlocking with a passphrase at the default cost, beside Argon2id alone, both in milliseconds. */
export async function unlocking(
  folder: string,
  round: number,
): Promise<{ ours: number; raw: number }> {
  const at = join(folder, `unlock-${round}`)
  await (await createVault({ at, credential: { passphrase } })).close()
  await using vault = await openVault({ at })
  let begun = performance.now()
  await vault.unlock({ passphrase })
  const ours = performance.now() - begun
  begun = performance.now()
  const algorithm = sodium.crypto_pwhash_ALG_ARGON2ID13
  const out = new Uint8Array(32)
  await sodium.crypto_pwhash_async(out, passphrase, new Uint8Array(16), 3, 64 * 2 ** 20, algorithm)
  return { ours, raw: performance.now() - begun }
}

function held(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
