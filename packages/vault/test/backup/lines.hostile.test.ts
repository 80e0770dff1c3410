import { equalBytes } from '@stronghold/core'
import { afterAll, describe, expect, it } from 'vitest'

import { parseLine } from '../../src/backup/content.ts'
import { encodeLines, readLines } from '../../src/backup/lines.ts'
import type { Line } from '../../src/backup/lines.ts'
import { MAX_BACKUP_LINE_BYTES } from '../../src/limits.ts'
import { Slab } from '../../src/secret.ts'
import { MemoryStore } from '../../src/stores/memory.ts'
import { feed, INPUTS } from '../formats/_hostile.ts'
import { directory, RECIPIENT, someVault, textOf } from './_vaults.ts'
import { join } from 'node:path'
import { readFileSync } from 'node:fs'

const slab = new Slab({ bytes: 256 * 1024 })
afterAll(() => {
  slab[Symbol.dispose]()
})

async function linesOf(pieces: Iterable<Uint8Array>): Promise<Line[]> {
  async function* later(): AsyncGenerator<Uint8Array> {
    await Promise.resolve()
    yield* pieces
  }
  const lines: Line[] = []
  for await (const line of readLines(later())) {
    lines.push({ ...line, bytes: Uint8Array.from(line.bytes) })
  }
  return lines
}

describe('lines of a backup', () => {
  it(
    'generated ones, and real ones that were changed, are read or refused, and nothing else',
    { timeout: INPUTS },
    async () => {
      const to = join(directory(), 'backup.age')
      await using vault = await someVault(new MemoryStore())
      await vault.backup({ to, for: { recipients: [RECIPIENT] } })
      const text = await textOf(new Uint8Array(readFileSync(to)))
      const seeds = text
        .split('\n')
        .filter((line) => line !== '' && line.length < 1000)
        .map((line) => new Uint8Array(Buffer.from(line)))
      const parse = (bytes: Uint8Array): void => {
        parseLine({ number: 1, bytes })
      }
      expect(await feed(seeds, parse, { refusals: ['VaultError'] })).toBeGreaterThan(1000)
    },
  )

  it('are the same however they are cut into pieces', async () => {
    const values = [0, 1, 2, 3, 1000, 49_150, 49_151, 49_152, 65_536, 200_000]
    const pieces = [
      ...encodeLines(
        values.map((length, i) => ({
          fields: { audit: i },
          bytes: { name: 'value', value: new Uint8Array(length).fill(i) },
        })),
        slab,
      ).map((piece) => Uint8Array.from(piece)),
    ]
    expect(slab.used).toBe(0)
    const whole = new Uint8Array(Buffer.concat(pieces))
    const lines = await linesOf([whole])
    expect(lines).toHaveLength(values.length + 1)
    const texts = lines.map(({ bytes }) => Uint8Array.from(bytes))
    for (const [i, length] of values.entries()) {
      const item = parseLine(lines[i] ?? { number: 0, bytes: new Uint8Array() })
      expect(equalBytes(item.bytes, new Uint8Array(length).fill(i))).toBe(true)
    }
    const sums = lines.map(({ number, before }) => [number, before])
    for (const size of [1000, 4096, 65_537]) {
      const cut: Uint8Array[] = []
      for (let at = 0; at < whole.byteLength; at += size) cut.push(whole.subarray(at, at + size))
      const again = await linesOf(cut)
      expect(again.map(({ number, before }) => [number, before])).toEqual(sums)
      expect(again.every(({ bytes }, i) => equalBytes(bytes, texts[i] ?? bytes))).toBe(true)
    }
    await expect(linesOf([whole.subarray(0, -1)])).rejects.toThrow(
      `Cannot read backup: it ends inside line ${values.length + 1}`,
    )
  })

  it('have up to MAX_BACKUP_LINE_BYTES, written and read', { timeout: 60_000 }, async () => {
    const around = '{"audit":0,"value":""}\n'.length
    const most = Math.floor((MAX_BACKUP_LINE_BYTES - around) / 4) * 3
    const write = (length: number): Uint8Array[] => {
      const value = new Uint8Array(length)
      const lines = [{ fields: { audit: 0 }, bytes: { name: 'value', value } }]
      return [...encodeLines(lines, slab).map((piece) => Uint8Array.from(piece))]
    }
    const [line] = await linesOf(write(most))
    expect(line?.bytes.byteLength).toBeGreaterThan(MAX_BACKUP_LINE_BYTES - 5)
    expect(() => write(most + 3)).toThrow(
      expect.objectContaining({ code: 'resource_exhausted' }) as Error,
    )
    const endless = (function* () {
      for (;;) yield new Uint8Array(1024 * 1024).fill(0x20)
    })()
    await expect(linesOf(endless)).rejects.toThrow(
      `Cannot read backup: line 1 has more than ${MAX_BACKUP_LINE_BYTES} bytes`,
    )
  })

  it('tell nothing of what they hold when they are refused', () => {
    const secret = 'c2VjcmV0c2VjcmV0c2VjcmV0'
    for (const line of [
      `{"version":1,"of":"a","createdAtMs":0,"epoch":0,"here":true,"secret":"${secret}`,
      `{"version":1,"of":"${secret}!","createdAtMs":0,"epoch":0,"here":true,"secret":"${secret}"}`,
      `{"version":1,"secret":"${secret}*"}`,
      `{"secret":"${secret}"}`,
      `{"version":1,"secret":"${secret}","${secret}":1}`,
    ]) {
      let message = ''
      try {
        parseLine({ number: 7, bytes: new Uint8Array(Buffer.from(line)) })
      } catch (error) {
        message = (error as Error).message
      }
      expect(message).toMatch(/^Cannot read backup: line 7: /)
      expect(message).not.toContain('c2Vj')
    }
  })
})
