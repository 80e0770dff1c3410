/** What the program says of itself, from the table of commands. Pure. */
import { EVERYWHERE, optionsOf } from './command.ts'
import type { Command, Options } from './command.ts'
import { wrapped } from './terminal.ts'

/** Where explanations begin. */
const INDENT = 28
/** The same behind words that are short. */
const NARROW = 14

/** How one screen of help looks. */
export interface HelpStyle {
  readonly columns: number
  strong(text: string): string
  faint(text: string): string
}

/** All commands, by noun. */
export function overview(commands: readonly Command[], style: HelpStyle): string {
  const hot = commands.filter(({ name }) => !name.includes(' '))
  const nouns = new Map<string, string[]>()
  for (const { name } of commands) {
    const [noun = '', verb] = name.split(' ')
    if (verb !== undefined) nouns.set(noun, [...(nouns.get(noun) ?? []), verb])
  }
  return [
    'Keeps keys and secrets in a vault that never gives them out, and uses them for',
    'whoever a rule allows.',
    '',
    `${style.strong('usage')}  stronghold COMMAND [OPERANDS] [OPTIONS]`,
    '',
    ...hot.map(({ name, says }) => row(name, says, style.columns, NARROW)),
    '',
    ...[...nouns].map(([noun, verbs]) => row(noun, verbs.join(' '), style.columns, NARROW)),
    '',
    ...optionRows(EVERYWHERE, style.columns),
    '',
    'stronghold COMMAND --help says more. The first command to type: stronghold init',
  ].join('\n')
}

/** The commands of one noun. */
export function nounHelp(noun: string, commands: readonly Command[], style: HelpStyle): string {
  const own = commands.filter(({ name }) => name.startsWith(`${noun} `))
  return [
    `${style.strong('usage')}  stronghold ${noun} COMMAND`,
    '',
    ...own.map(({ name, operands, says }) =>
      row(`${name} ${operands}`.trim(), says, style.columns),
    ),
  ].join('\n')
}

/** One command: what it does, its options, two examples. */
export function commandHelp(command: Command, style: HelpStyle): string {
  const { name, operands, says, options, examples } = command
  const others = Object.fromEntries(
    Object.entries(optionsOf(command)).filter(([option]) => !Object.hasOwn(options, option)),
  )
  return [
    wrapped(`${says}.`, style.columns),
    '',
    `${style.strong('usage')}  stronghold ${name}${operands === '' ? '' : ` ${operands}`} [OPTIONS]`,
    '',
    ...optionRows(options, style.columns),
    ...(Object.keys(options).length > 0 ? [''] : []),
    ...optionRows(others, style.columns),
    '',
    style.strong('examples'),
    ...examples.flatMap(([line, purpose]) => [
      `  ${wrapped(line, style.columns - 4, '      ').replaceAll('\n', ' \\\n')}`,
      `      ${style.faint(wrapped(purpose, style.columns - 6, '      '))}`,
    ]),
  ].join('\n')
}

function optionRows(options: Options, columns: number): string[] {
  return Object.entries(options).map(([name, { value, says, choices, many = false }]) => {
    const isShown = choices === undefined || value === choices.join('|')
    const one = isShown ? '' : `: ${choices.join(', ')}`
    const several = many ? '; may be repeated' : ''
    return row(`--${name}${value === undefined ? '' : ` ${value}`}`, says + one + several, columns)
  })
}

function row(name: string, says: string, columns: number, indent: number = INDENT): string {
  const space = ' '.repeat(indent)
  const text = wrapped(says, Math.max(columns - indent, 20)).replaceAll('\n', `\n${space}`)
  const front = `  ${name}`
  return front.length < indent - 1 ? front.padEnd(indent) + text : `${front}\n${space}${text}`
}
