/** The tables of `docs/cli.md`, out of the program's own: commands, exit codes, settings. */
import { z } from 'zod'

import { optionsOf } from '../packages/cli/src/command.ts'
import { allCommands } from '../packages/cli/src/commands/table.ts'
import { SETTINGS, variableOf } from '../packages/cli/src/config.ts'
import type { Key } from '../packages/cli/src/config.ts'
import { EXIT_OF_REASON, EXIT_OF_STATUS, exitOf, EXITS } from '../packages/cli/src/exits.ts'

const COMMANDS = await allCommands()

/** What of JSON Schema the commands' results turn into. */
interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly enum?: readonly string[]
}

/** Every command: what it takes, what it does, what `--json` prints. */
export function commandsTable(): string {
  return table(
    ['Command', 'Does', 'Options of its own', '`--json`'],
    COMMANDS.map(({ name, operands, says, options, prints }) => [
      `\`${`${name} ${operands}`.trim()}\``,
      says,
      Object.entries(options)
        .map(([option, { value }]) => `\`--${option}${value === undefined ? '' : ` ${value}`}\``)
        .join(' '),
      prints === undefined ? '' : `\`${shape(schemaOf(prints))}\``,
    ]),
  )
}

/** Options that stand on several commands. */
export function sharedOptionsTable(): string {
  const [first] = COMMANDS.filter(({ changes, unlocks }) => changes && unlocks)
  const shared = first === undefined ? {} : optionsOf({ ...first, options: {} })
  return table(
    ['Option', 'Does'],
    Object.entries(shared).map(([name, { value, says }]) => [
      `\`--${name}${value === undefined ? '' : ` ${value}`}\``,
      says,
    ]),
  )
}

/** Every exit code with a command that reaches it. */
export function exitsTable(): string {
  return table(
    ['Exit', 'Code', 'Means', 'Reached by'],
    EXITS.map(({ exit, name, meaning, example }) => [
      String(exit),
      `\`${name}\``,
      meaning,
      example.replace(/^(stronghold [^,]+)/, '`$1`'),
    ]),
  )
}

/** Which wire code and which reason ends in which exit code. */
export function reasonsTable(): string {
  const row = (kind: string) => {
    return ([code, name]: [string, (typeof EXITS)[number]['name']]) => [
      `\`${code}\``,
      kind,
      `${exitOf(name)} \`${name}\``,
    ]
  }
  return table(
    ['Code', 'Is', 'Exit'],
    [
      ...Object.entries(EXIT_OF_REASON).map(row('reason')),
      ...Object.entries(EXIT_OF_STATUS).map(row('code, where no reason stands beside it')),
    ],
  )
}

/** Every setting. */
export function settingsTable(): string {
  return table(
    ['Setting', 'Variable', 'Default', 'Does'],
    (Object.keys(SETTINGS) as Key[]).map((key) => {
      const { usual, says } = SETTINGS[key]
      const shown = usual === undefined ? '–' : `\`${String(usual)}\``
      return [`\`${key}\``, `\`${variableOf(key)}\``, shown, says]
    }),
  )
}

function schemaOf(prints: z.ZodType): Schema {
  return z.toJSONSchema(prints, { unrepresentable: 'any' }) as Schema
}

function shape({ type, properties, items, anyOf, enum: words }: Schema): string {
  if (anyOf !== undefined) return [...new Set(anyOf.map(shape))].join(' or ')
  if (words !== undefined) return words.map((word) => JSON.stringify(word)).join(' or ')
  if (items !== undefined) return `[${shape(items)}]`
  if (properties === undefined) return type ?? 'any'
  const fields = Object.entries(properties).map(([name, field]) => `${name}: ${shape(field)}`)
  return `{ ${fields.join(', ')} }`
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n')
}
