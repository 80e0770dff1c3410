/** `config`: settings, and where each comes from. */
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { printValue, SETTINGS, writeSetting } from '../config.ts'

const value = z.union([z.string(), z.number(), z.boolean(), z.array(z.string()), z.null()])

const show = defineCommand({
  name: 'config show',
  says: 'Show every setting that holds now',
  options: { origin: { says: 'say where each comes from' } },
  examples: [
    ['stronghold config show --origin', 'flag, environment, file or default'],
    ['stronghold config show --json', 'for a program'],
  ],
  prints: z.object({
    settings: z.array(z.object({ key: z.string(), value, origin: z.string() })),
  }),
  async run({ config, options, terminal }) {
    const rows = config
      .all()
      .map(({ key, value, origin }) => [
        key,
        value === undefined ? '(not set)' : printValue(value),
        ...(options.origin === true ? [origin] : []),
      ])
    await terminal.result(
      {
        settings: config
          .all()
          .map(({ key, value, origin }) => ({ key, value: value ?? null, origin })),
      },
      terminal.table(rows),
    )
  },
})

const get = defineCommand({
  name: 'config get',
  says: 'Show one setting',
  operands: 'KEY',
  examples: [
    ['stronghold config get audit.max_bytes', 'its value'],
    ['stronghold config get audit.max_bytes --json', 'with its origin'],
  ],
  prints: z.object({ key: z.string(), value, origin: z.string() }),
  async run({ operands, config, terminal }) {
    const { key, value, origin } = config.find(operands[0] ?? '')
    const text = value === undefined ? '' : typeof value === 'string' ? value : printValue(value)
    await terminal.result({ key, value: value ?? null, origin }, text)
    if (value === undefined) await terminal.note(`${key} is not set: ${SETTINGS[key].says}`)
  },
})

const set = defineCommand({
  name: 'config set',
  says: 'Write one setting into the configuration file; comments stay',
  operands: 'KEY VALUE',
  changes: true,
  examples: [
    ['stronghold config set memory.require_locked true', 'from now on'],
    ['stronghold config set passphrase_file /run/secrets/home', 'a file that unlocks the vault'],
  ],
  prints: z.object({ key: z.string(), value: z.string(), path: z.string() }),
  async run({ operands, config, terminal, dryRun }) {
    const [key = '', value = ''] = operands
    config.find(key)
    if (!dryRun) writeSetting(config.path, key, value)
    await terminal.result(
      { key, value, path: config.path },
      dryRun ? `would set ${key} in ${config.path}` : '',
    )
  },
})

const path = defineCommand({
  name: 'config path',
  says: 'Show where the configuration file is, or would be',
  examples: [
    ['stronghold config path', 'one path'],
    ['$EDITOR "$(stronghold config path)"', 'to edit it by hand'],
  ],
  prints: z.object({ path: z.string() }),
  async run({ config, terminal }) {
    await terminal.result({ path: config.path }, config.path)
  },
})

/** What `config` knows. */
export const CONFIG_COMMANDS: readonly Command[] = [show, get, set, path]
