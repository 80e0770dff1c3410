import { encode, toHex } from '@stronghold/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { join } from 'node:path'
import { readFileSync, rmSync } from 'node:fs'

import { openBackup, verifyBackup } from '../../src/backup.ts'
import { RECORD_TYPES } from '../../src/catalog/index.ts'
import { MemoryStore } from '../../src/stores/memory.ts'
import { createVault } from '../../src/vault.ts'
import { KEY_FILE, newVault } from '../open.ts'
import {
  act,
  directory,
  everything,
  fileOf,
  RECIPIENT,
  SOME,
  someVault,
  source,
  textOf,
} from './_vaults.ts'
import type { Act } from './_vaults.ts'

// Seconds on a machine of its own.
const LONG = process.env['STRONGHOLD_LONG'] === '1'
const TIMEOUT = { timeout: LONG ? 1e7 : 120_000 }

const value = fc.uint8Array({ maxLength: 300 })
const path = fc.constantFrom('a', 'a/b', 'a/c.d', 'b/x-y', 'c/d/e', 'zz', 'z/0')
const at = fc.nat({ max: 9 })
const small = fc.nat({ max: 2 })
const anAct = fc.oneof(
  fc.record({
    do: fc.constant('generate'),
    path,
    type: fc.constantFrom(...RECORD_TYPES.filter((type) => type !== 'p384')),
  }),
  fc.record({
    do: fc.constant('import'),
    path,
    secret: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  }),
  fc.record({
    do: fc.constantFrom('rotate', 'revoke', 'narrow', 'encrypt', 'retire', 'trim'),
    at,
  }),
  fc.record({
    do: fc.constant('put'),
    key: fc.string({ minLength: 1, maxLength: 12, unit: 'binary' }),
    value,
    lifetimeMs: fc.option(fc.integer({ min: 1, max: 1e9 }), { nil: undefined }),
  }),
  fc.record({
    do: fc.constantFrom('row', 'plain'),
    kind: fc.integer({ min: 16, max: 63 }),
    id: small,
    value,
  }),
  fc.record({ do: fc.constant('append'), value }),
  fc.record({ do: fc.constant('cut') }),
) as fc.Arbitrary<Act>

/** But what a restore changes on purpose: the epoch, where versions were made, and the nonces that were counted. */
function withoutEpochs(all: Record<string, unknown>): string {
  const kept = Object.entries(all)
    .filter(([name]) => !name.startsWith('4 '))
    .map(([name, one]) => {
      if (name === 'head') return [name, { ...(one as object), epoch: 0 }] as const
      if (!name.startsWith('record ')) return [name, one] as const
      const record = one as { versions: object[] }
      const versions = record.versions.map((version) => ({ ...version, epoch: 0, here: true }))
      return [name, { ...record, versions }] as const
    })
  return toHex(encode(Object.fromEntries(kept), { maxBytes: 1e7 }))
}

describe('a backup', () => {
  it(
    'brings back all but the unlockers, in the next epoch, whatever was done to the vault',
    TIMEOUT,
    async () => {
      const folder = directory()
      const to = join(folder, 'backup.age')
      await fc.assert(
        fc.asyncProperty(fc.array(anAct, { maxLength: 30 }), async (acts) => {
          const before = new MemoryStore()
          await using vault = await newVault(before)
          await act(vault, acts)
          const info = await vault.backup({ to, for: { recipients: [RECIPIENT] }, replace: true })
          expect(await verifyBackup(source(to))).toEqual(info)
          using opened = await openBackup(source(to))
          const after = new MemoryStore()
          await using restored = await createVault({
            at: after,
            credential: KEY_FILE,
            memory: { bytes: 512 * 1024 },
            from: opened,
          })
          expect(restored.head().epoch).toBe(vault.head().epoch + 1)
          expect(toHex(restored.head().publicKey)).toBe(toHex(vault.head().publicKey))
          expect(withoutEpochs(await everything(after))).toBe(
            withoutEpochs(await everything(before)),
          )
          expect(await restored.compare(opened)).toMatchObject({ records: [], entries: [] })
        }),
        { numRuns: LONG ? 3000 : 40 },
      )
    },
  )

  it(
    'holds something of everything, and is refused wherever a byte of it is another',
    TIMEOUT,
    async () => {
      const folder = directory()
      const to = join(folder, 'backup.age')
      await using vault = await newVault(new MemoryStore())
      await act(vault, SOME.slice(0, 2))
      await vault.backup({ to, for: { recipients: [RECIPIENT] } })
      const file = new Uint8Array(readFileSync(to))
      const every = LONG ? 1 : 5
      for (let at = 0; at < file.byteLength; at += every) {
        const changed = Uint8Array.from(file)
        changed[at] = (changed[at] ?? 0) ^ 0x10
        await expect(verifyBackup(source([changed])), `byte ${at}`).rejects.toMatchObject({
          name: 'VaultError',
          code: expect.stringMatching(/^(data_loss|unauthenticated|invalid_argument)$/) as string,
        })
      }
      for (let length = 0; length < file.byteLength; length += every) {
        await expect(verifyBackup(source([file.subarray(0, length)])), `${length}`).rejects.toThrow(
          /^Cannot (read|open) /,
        )
      }
    },
  )

  it(
    'is refused with the line named wherever a line is missing, twice, changed or elsewhere',
    TIMEOUT,
    async () => {
      const folder = directory()
      const to = join(folder, 'backup.age')
      await using vault = await someVault(new MemoryStore())
      await vault.backup({ to, for: { recipients: [RECIPIENT] } })
      const text = await textOf(new Uint8Array(readFileSync(to)))
      const lines = text.split('\n').slice(0, -1)
      const refused = async (changed: readonly string[], what: string): Promise<void> => {
        if (changed.join() === lines.join()) return
        const file = await fileOf(`${changed.join('\n')}\n`)
        await expect(verifyBackup(source([file])), what).rejects.toMatchObject({
          code: 'data_loss',
          reason: 'damaged',
          message: expect.stringMatching(/^Cannot read backup: line \d+: /) as string,
        })
      }
      expect(await verifyBackup(source([await fileOf(text)]))).toBeDefined()
      for (const [i, line] of lines.entries()) {
        const before = lines.slice(0, i)
        const after = lines.slice(i + 1)
        await refused([...before, ...after], `without line ${i + 1}`)
        await refused([...before, line, line, ...after], `line ${i + 1} twice`)
        await refused(before, `cut before line ${i + 1}`)
        const next = after[0]
        if (next !== undefined) {
          await refused([...before, next, line, ...after.slice(1)], `line ${i + 1} later`)
        }
        await refused(
          [...before, line.replace(/\d(?=\D*$)/, (digit) => `${9 - Number(digit)}`), ...after],
          'n',
        )
        await refused(
          [...before, line.replace(/"}$/, ' "}'), ...after],
          `line ${i + 1} with a space`,
        )
        await refused([...before, `${line.slice(0, -1)},"more":1}`, ...after], 'a member too many')
      }
      rmSync(to)
    },
  )
})
