/** A command line, read by the table of commands. Pure; what it cannot read it answers with the word that was meant. */
import { nearest } from '@stronghold/core'

import { parseArgs } from 'node:util'

import { arity, EVERYWHERE, optionsOf, UNLOCKING } from './command.ts'
import type { Command, Options } from './command.ts'
import { Failure, quoted } from './failure.ts'

/** What stands behind an option: text, a list of it, or that it is there. */
export type Given = string | boolean | readonly string[]

/** A command line that was read. */
export type Line =
  | { readonly kind: 'help'; readonly command: Command | undefined; readonly noun?: string }
  | {
      readonly kind: 'run'
      readonly command: Command
      readonly operands: readonly string[]
      readonly options: Readonly<Record<string, Given>>
    }

/**
 * Reads the arguments behind the program's name.
 *
 * @throws `Failure` `usage` with what was probably meant
 */
export function readLine(args: readonly string[], commands: readonly Command[]): Line {
  const { words, rest } = split(args)
  const [first, second] = words
  if (first === undefined || first === 'help') {
    const asked = first === 'help' ? words.slice(1).join(' ') : ''
    const unknown = rest.find((arg) => /^-./.test(arg) && arg !== '-h' && !isEverywhere(arg))
    if (unknown !== undefined && first === undefined) throw unknownOption(unknown, EVERYWHERE)
    if (asked === '') return { kind: 'help', command: undefined }
    return help(asked, commands)
  }
  const command = find(`${first} ${second ?? ''}`, commands) ?? find(first, commands)
  const isHelp = rest.some((arg) => arg === '--help' || arg === '-h')
  if (command === undefined) {
    const isNoun = commands.some(({ name }) => name.startsWith(`${first} `))
    if (isNoun && (second === undefined || isHelp)) {
      return { kind: 'help', command: undefined, noun: first }
    }
    throw unknownCommand(words, commands)
  }
  if (isHelp) return { kind: 'help', command }
  return { kind: 'run', command, ...read(command, args) }
}

/** The first word of the command's name, if the line has one. */
export function firstWord(args: readonly string[]): string | undefined {
  return split(args).words[0]
}

/** Options with a value that may stand in front of the command. */
const BEFORE: ReadonlySet<string> = new Set(
  Object.entries({ ...EVERYWHERE, ...UNLOCKING }).flatMap(([name, { value }]) =>
    value === undefined ? [] : `--${name}`,
  ),
)

/** Whether an option, with or without its value, holds for every command. */
function isEverywhere(arg: string): boolean {
  return Object.hasOwn(EVERYWHERE, arg.replace(/^--/, '').replace(/=.*$/s, ''))
}

/** The words in front that may name a command, past options that hold for all; and what follows. */
function split(args: readonly string[]): { words: string[]; rest: readonly string[] } {
  const words: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? ''
    if (arg === '--') break
    if (BEFORE.has(arg)) at++
    else if (!arg.startsWith('-') || arg === '-') words.push(arg)
  }
  return { words, rest: args }
}

function find(name: string, commands: readonly Command[]): Command | undefined {
  return commands.find((command) => command.name === name)
}

function help(asked: string, commands: readonly Command[]): Line {
  const command = find(asked, commands)
  if (command !== undefined) return { kind: 'help', command }
  if (commands.some(({ name }) => name.startsWith(`${asked} `))) {
    return { kind: 'help', command: undefined, noun: asked }
  }
  throw unknownCommand(asked.split(' '), commands)
}

function read(
  command: Command,
  args: readonly string[],
): { operands: readonly string[]; options: Readonly<Record<string, Given>> } {
  const options = optionsOf(command)
  let parsed
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      allowNegative: false,
      options: {
        ...Object.fromEntries(
          Object.entries(options).map(([name, { value, many = false }]) => [
            name,
            {
              type: value === undefined ? ('boolean' as const) : ('string' as const),
              multiple: many,
            },
          ]),
        ),
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw unreadable(error, command, args)
  }
  const operands = parsed.positionals.slice(command.name.split(' ').length)
  checkOperands(command, operands)
  const given = parsed.values as Readonly<Record<string, Given>>
  checkChoices(command, options, given)
  return { operands, options: given }
}

function checkOperands(command: Command, operands: readonly string[]): void {
  const { least, most } = arity(command.operands)
  const hint = `stronghold ${command.name} --help`
  if (operands.length < least) {
    const missing = command.operands.split(' ')[operands.length] ?? ''
    throw new Failure('usage', `cannot run ${command.name}`, {
      reason: `${missing.replace('...', '')} is missing`,
      hint,
    })
  }
  if (operands.length > most) {
    throw new Failure('usage', `cannot run ${command.name}`, {
      reason: `it does not know what to do with ${quoted(operands[most] ?? '')}`,
      hint,
    })
  }
}

function checkChoices(
  command: Command,
  options: Options,
  given: Readonly<Record<string, Given>>,
): void {
  for (const [name, value] of Object.entries(given)) {
    const choices = options[name]?.choices
    if (choices === undefined) continue
    for (const one of typeof value === 'object' ? value : [value]) {
      if (typeof one !== 'string' || choices.includes(one)) continue
      const meant = nearest(one, choices)
      throw new Failure('usage', `cannot run ${command.name}`, {
        reason: `--${name} is ${quoted(one)}, not one of ${choices.join(', ')}`,
        hint: `stronghold ${command.name} --${name} ${meant ?? choices[0] ?? ''}`,
      })
    }
  }
}

function unknownCommand(words: readonly string[], commands: readonly Command[]): Failure {
  const [first = '', second] = words
  const verbs = commands
    .map(({ name }) => name)
    .filter((name) => name.startsWith(`${first} `))
    .map((name) => name.slice(first.length + 1))
  if (verbs.length > 0 && second !== undefined) {
    const meant = nearest(second, verbs)
    return new Failure('usage', `cannot run ${quoted(`${first} ${second}`)}`, {
      reason: `${first} knows ${verbs.join(', ')}`,
      hint: meant === undefined ? `stronghold ${first} --help` : `stronghold ${first} ${meant}`,
    })
  }
  const heads = new Set(commands.map(({ name }) => name.split(' ')[0] ?? ''))
  const meant = nearest(first, heads)
  return new Failure('usage', `cannot run ${quoted(first)}`, {
    reason: 'there is no such command',
    hint: meant === undefined ? 'stronghold --help' : `stronghold ${meant}`,
  })
}

function unknownOption(arg: string, options: Options, command = ''): Failure {
  const name = arg.replace(/^-+/, '').replace(/=.*/, '')
  const meant = nearest(name, Object.keys(options))
  const front = command === '' ? 'stronghold' : `stronghold ${command}`
  return new Failure('usage', `cannot run ${command === '' ? 'stronghold' : command}`, {
    reason: `there is no option ${quoted(arg.replace(/=.*/, ''))}`,
    hint: `${front} --${meant ?? 'help'}`,
  })
}

/** What `parseArgs` complains about, in our words; an argument may be a secret and is never repeated. */
function unreadable(error: unknown, command: Command, args: readonly string[]): Failure {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const options = optionsOf(command)
  const hint = `stronghold ${command.name} --help`
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const wrong = args.find((arg) => {
      const name = /^--([^=]+)/.exec(arg)?.[1]
      return name === undefined ? /^-[^-h]/.test(arg) : !Object.hasOwn(options, name)
    })
    return unknownOption(wrong ?? '-', options, command.name)
  }
  const wrong = args
    .map((arg) => /^--([^=]+)/.exec(arg)?.[1] ?? '')
    .find((name) => name !== '' && (error as Error).message.includes(`--${name}`))
  const option = wrong === undefined ? undefined : options[wrong]
  return new Failure('usage', `cannot run ${command.name}`, {
    reason:
      option === undefined
        ? 'its options cannot be read'
        : option.value === undefined
          ? `--${wrong ?? ''} takes no value`
          : `--${wrong ?? ''} needs a value: ${option.value}`,
    hint,
  })
}

/** Words as they are typed into a shell. */
export function printLine(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ')
}
