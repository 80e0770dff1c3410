/**
 * Backs a planted secret up, verifies and opens the backup, and searches every string of the heap for it: prints how many
 * times it stands there, in base64 and as it is. `leave` leaves one, to show that the search finds what is there.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { getHeapSnapshot } from 'node:v8'

import { openBackup, verifyBackup } from '../../src/backup.ts'
import { importSecret } from '../../src/catalog/index.ts'
import { newVault } from '../open.ts'
import { IDENTITY, RECIPIENT } from './_identity.ts'

const [folder = '', mode] = process.argv.slice(2)
const secret = new Uint8Array(randomBytes(96)).map((byte) => 0x61 + (byte % 26))
const kept = Uint8Array.from(secret)
const to = join(folder, 'backup.age')
{
  await using vault = await newVault()
  const as = { format: 'raw', type: 'opaque' } as const
  await vault.run(importSecret, { to: 'planted', as, secret })
  await vault.backup({ to, for: { recipients: [RECIPIENT] } })
  const source = { from: to, identity: IDENTITY }
  await verifyBackup(source)
  using backup = await openBackup(source)
  await vault.compare(backup)
  await vault.restore(backup, { policy: 'replace' })
}
const left = mode === 'leave' ? [Buffer.from(kept).toString('base64')] : []
// Strings of the snapshot itself stand in a stream and not in the heap that it shows.
const chunks: Buffer[] = []
for await (const chunk of getHeapSnapshot()) chunks.push(Buffer.from(chunk as Buffer))
const snapshot = Buffer.concat(chunks)
const text = Buffer.from(kept)
const middle = Buffer.from(text.subarray(3, 63).toString('base64'))
const found = [text.subarray(0, 40), middle].filter((needle) => snapshot.includes(needle)).length
console.log(JSON.stringify({ found, left: left.length }))
