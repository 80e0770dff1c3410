/** Writes a backup again and again until it is killed: `_writer.ts TARGET TIMES`. Says a line for each that is whole. */
import { rmSync, writeSync } from 'node:fs'

import { isVaultError } from '../../src/errors.ts'
import { generate } from '../../src/catalog/index.ts'
import { newVault } from '../open.ts'
import { RECIPIENT } from './_identity.ts'

const [to = '', times = 'Infinity'] = process.argv.slice(2)
const vault = await newVault()
for (let i = 0; i < 40; i++)
  await vault.run(generate, { to: `k/${i}`, type: 'opaque', length: 8192 })
writeSync(1, 'ready\n')
for (let i = 0; i < Number(times); i++) {
  try {
    await vault.backup({ to, for: { recipients: [RECIPIENT] } })
    writeSync(1, 'whole\n')
    rmSync(to)
  } catch (error) {
    if (!isVaultError(error)) throw error
    writeSync(1, `${error.reason ?? error.code}\n`)
  }
}
await vault.close()
