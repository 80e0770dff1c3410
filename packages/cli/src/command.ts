/**
 * What a command is: its place in the one table, from which parsing, help, completion and `docs/cli.md` come, and what
 * carries it out. It knows no command by name.
 */
import type { OwnerDoor } from '@stronghold/guard'
import type { z } from 'zod'

import type { Config } from './config.ts'
import type { Home } from './home.ts'
import type { Io } from './io.ts'
import type { NodeDoor } from './node/door.ts'
import type { Terminal } from './terminal.ts'

/** One option of a command. */
export interface Option {
  /** What stands behind it in the help: `FILE`. Without it, the option is a switch. */
  readonly value?: string
  /** May stand several times; the values come as a list. */
  readonly many?: boolean
  /** What it does, in a few words. */
  readonly says: string
  /** The only values it takes; also for completion. */
  readonly choices?: readonly string[]
}

/** Options by name, without their dashes. */
export type Options = Readonly<Record<string, Option>>

/** What options were given. */
export type Values<O extends Options> = {
  readonly [K in keyof O]?: O[K] extends { readonly value: string }
    ? O[K] extends { readonly many: true }
      ? readonly string[]
      : string
    : boolean
}

/** One run of a command. */
export interface Call<O extends Options = Options> {
  readonly io: Io
  readonly terminal: Terminal
  readonly home: Home
  readonly config: Config
  readonly json: boolean
  /** Tell what would be done, and do nothing. */
  readonly dryRun: boolean
  readonly operands: readonly string[]
  readonly options: Values<O>
  /** The whole line, as it was typed behind the program's name. */
  readonly words: readonly string[]
  /** Every command there is, for completion. */
  readonly commands: () => Promise<readonly Command[]>
  /**
   * The owner door of this home's vault, unlocked for this call alone.
   *
   * @throws `Failure` `not_found` without a vault, `locked` where nothing unlocks it, `conflict` where another process
   *   holds it
   */
  readonly withOwner: <T>(work: (owner: OwnerDoor) => Promise<T>) => Promise<T>
  /**
   * The same where nobody has to be asked: a Stronghold runs here and is unlocked, or something at hand unlocks the vault.
   * Else `undefined`.
   */
  readonly withOwnerAtHand: <T>(work: (owner: OwnerDoor | undefined) => Promise<T>) => Promise<T>
  /**
   * The node door: that of the Stronghold that runs in this home, else of a node that lives for this call alone.
   *
   * @throws `P2pError` where no node can be made
   */
  readonly withNode: <T>(work: (node: NodeDoor) => Promise<T>) => Promise<T>
  /** The node door of the Stronghold that runs in this home; `undefined` where none does. */
  readonly runningNode: () => Promise<NodeDoor | undefined>
}

/** One command, as the table holds it. */
export interface Command {
  /** Noun and verb: `key create`. */
  readonly name: string
  /** One line, without a full stop. */
  readonly says: string
  /** What stands behind the name: `PATH [NAME]`, `ID...` for one or more. */
  readonly operands: string
  readonly options: Options
  /** Two command lines with what they do. */
  readonly examples: readonly [Example, Example]
  /** May take `--dry-run`. */
  readonly changes: boolean
  /** Takes the options that unlock a vault. */
  readonly unlocks: boolean
  /** What `--json` prints, without `v`; several lines of it where the command lists without end. */
  readonly prints?: z.ZodType
  /** @returns the exit code, 0 where nothing is said */
  run(call: Call): Promise<number | undefined>
}

/** A command line and what it is for. */
export type Example = readonly [line: string, says: string]

/** What `defineCommand` takes. */
export interface CommandInit<O extends Options> extends Omit<
  Command,
  'options' | 'operands' | 'changes' | 'unlocks' | 'run'
> {
  readonly operands?: string
  readonly options?: O
  readonly changes?: boolean
  readonly unlocks?: boolean
  readonly run: (call: Call<O>) => Promise<number | undefined>
}

/** A command of the table; what its options are typed as, its `run` alone knows. */
export function defineCommand<const O extends Options = Options>({
  operands = '',
  options,
  changes = false,
  unlocks = false,
  run,
  ...rest
}: CommandInit<O>): Command {
  return {
    ...rest,
    operands,
    options: options ?? {},
    changes,
    unlocks,
    // What the parser hands in was read by these very options.
    run: (call) => run(call as Call<O>),
  }
}

/** Options that every command takes. */
export const EVERYWHERE: {
  readonly home: Option
  readonly json: Option
  readonly help: Option
} = {
  home: { value: 'DIR', says: 'the home to use (also STRONGHOLD_HOME)' },
  json: { says: 'print JSON, one line a result' },
  help: { says: 'say what the command does' },
}

/** Options of commands that unlock the vault. */
export const UNLOCKING: {
  readonly 'passphrase-file': Option
  readonly 'passphrase-fd': Option
  readonly 'key-file': Option
} = {
  'passphrase-file': { value: 'FILE', says: 'read the passphrase from a file of one line' },
  'passphrase-fd': { value: 'N', says: 'read the passphrase from an open descriptor' },
  'key-file': { value: 'FILE', says: 'unlock by a key file' },
}

/** Of commands that change something. */
export const DRY_RUN: Option = { says: 'say what would be done, and do nothing' }

/** All options of a command, its own first. */
export function optionsOf(command: Command): Options {
  return {
    ...command.options,
    ...(command.changes ? { 'dry-run': DRY_RUN } : {}),
    ...(command.unlocks ? UNLOCKING : {}),
    ...EVERYWHERE,
  }
}

/** How many operands a command takes. */
export function arity(operands: string): { least: number; most: number } {
  const words = operands === '' ? [] : operands.split(' ')
  return {
    least: words.filter((word) => !word.startsWith('[')).length,
    most: words.some((word) => word.includes('...')) ? Infinity : words.length,
  }
}
