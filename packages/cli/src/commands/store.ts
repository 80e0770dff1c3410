/** `store`: readable values beside the records. No place for secrets. */
import { encodeUtf8 } from '@stronghold/core'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { readWhole, writeOutput } from '../data.ts'
import { parseDuration, printMoment } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'
import { toBase64 } from '../lists.ts'
import { remote } from '../terminal.ts'
import { MAX_VALUE_BYTES } from '../limits.ts'

const get = defineCommand({
  name: 'store get',
  says: 'Show the value of a key in the plain store',
  operands: 'KEY',
  options: { out: { value: 'FILE', says: 'default stdout' } },
  unlocks: true,
  examples: [
    ['stronghold store get deploy/url', 'on stdout, as it was set'],
    ['stronghold store get deploy/logo --out logo.png', 'into a file'],
  ],
  prints: z.object({ key: z.string(), value: z.string() }),
  async run(call) {
    const { operands, options, terminal, json, withOwner } = call
    const key = operands[0] ?? ''
    const value = await withOwner((owner) => owner.storeGet(key))
    if (value === undefined) throw absent(key)
    if (json) await terminal.result({ key, value: toBase64(value) }, '')
    else await writeOutput(call, options.out, value)
  },
})

const set = defineCommand({
  name: 'store set',
  says: 'Set a readable value in the plain store; no place for secrets',
  operands: 'KEY [VALUE]',
  options: {
    in: { value: 'FILE', says: 'where the value stands; default stdin where no VALUE is' },
    ttl: { value: 'TIME', says: 'how long it is kept: 90s, 10m, 30d; default for ever' },
  },
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold store set deploy/url https://example.org', 'a value'],
    ['stronghold store set deploy/lock --in lock.json --ttl 10m', 'a file, for ten minutes'],
  ],
  prints: z.object({ key: z.string(), bytes: z.int() }),
  async run(call) {
    const { operands, options, terminal, dryRun, withOwner } = call
    const [key = '', text] = operands
    const lifetimeMs = options.ttl === undefined ? undefined : parseDuration(options.ttl)
    const value =
      text === undefined ? await readWhole(call, options.in, MAX_VALUE_BYTES) : encodeUtf8(text)
    const said = { key, bytes: value.byteLength }
    if (dryRun) {
      await terminal.result(
        { ...said, dryRun: true },
        `would set ${remote(key)}, ${value.byteLength} bytes`,
      )
      return
    }
    await withOwner((owner) => owner.storeSet(key, value, lifetimeMs))
    await terminal.result(said, '')
  },
})

const remove = defineCommand({
  name: 'store delete',
  says: 'Delete a key from the plain store',
  operands: 'KEY',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold store delete deploy/url', 'its value is gone'],
    ['stronghold store delete deploy/url --dry-run', 'says what would be deleted'],
  ],
  prints: z.object({ key: z.string(), deleted: z.boolean() }),
  async run({ operands, terminal, dryRun, withOwner }) {
    const key = operands[0] ?? ''
    if (dryRun) {
      await terminal.result({ key, deleted: false, dryRun: true }, `would delete ${remote(key)}`)
      return
    }
    if (!(await withOwner((owner) => owner.storeDelete(key)))) throw absent(key)
    await terminal.result({ key, deleted: true }, '')
  },
})

const list = defineCommand({
  name: 'store list',
  says: 'List the keys of the plain store',
  operands: '[PREFIX]',
  unlocks: true,
  examples: [
    ['stronghold store list', 'all of them'],
    ['stronghold store list deploy/', 'those that begin so'],
  ],
  prints: z.object({
    entries: z.array(z.object({ key: z.string(), bytes: z.int(), expires: z.string().nullable() })),
  }),
  async run({ operands, terminal, withOwner }) {
    const entries = await withOwner((owner) => owner.storeList(operands[0]))
    await terminal.result(
      {
        entries: entries.map(({ key, bytes, expiresAtMs }) => ({
          key,
          bytes,
          expires: expiresAtMs === undefined ? null : printMoment(expiresAtMs),
        })),
      },
      entries.length === 0
        ? ''
        : terminal.table(
            entries.map(({ key, bytes, expiresAtMs }) => [
              remote(key),
              String(bytes),
              expiresAtMs === undefined ? 'never' : printMoment(expiresAtMs),
            ]),
            ['KEY', 'BYTES', 'EXPIRES'],
          ),
    )
  },
})

function absent(key: string): Failure {
  return new Failure('not_found', `cannot find ${quoted(key)} in the store`, {
    reason: 'there is nothing, or it has expired',
    hint: 'stronghold store list',
  })
}

/** What `store` knows. */
export const STORE_COMMANDS: readonly Command[] = [get, set, remove, list]
