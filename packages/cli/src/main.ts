/**
 * One run of the program: a command line and a machine in, an exit code out. No globals, so that tests call it. Everything
 * that is thrown ends here.
 */
import { allCommands, commandsOf } from './commands/table.ts'
import type { Call } from './command.ts'
import { readConfig } from './config.ts'
import { exitOf } from './exits.ts'
import { Failure, failureOf } from './failure.ts'
import { commandHelp, nounHelp, overview } from './help.ts'
import { locateHome } from './home.ts'
import type { Io } from './io.ts'
import { firstWord, readLine } from './line.ts'
import type { Line } from './line.ts'
import { Terminal } from './terminal.ts'

/**
 * Runs one command.
 *
 * @param args - what stands behind the program's name
 * @returns the exit code (`docs/cli.md`)
 */
export async function main(args: readonly string[], io: Io): Promise<number> {
  // Asked for before the line is read: an error is JSON, too.
  const terminal = new Terminal({ io, json: wantsJson(args) })
  let line: Line | undefined
  try {
    if (args.some((arg) => arg.includes('\0'))) {
      throw new Failure('usage', 'cannot read the command line', { reason: 'it holds a zero byte' })
    }
    line = await lineOf(args)
    return await run(line, { words: args, io, terminal })
  } catch (error) {
    const command = line?.kind === 'run' ? line.command.name : await nearestCommand(args)
    const failure = await withHint(failureOf(error), command)
    await terminal.failure(failure)
    if (failure.exit === 'internal' && (io.env['STRONGHOLD_DEBUG'] ?? '') !== '') {
      await io.stderr.write(`${error instanceof Error ? (error.stack ?? '') : ''}\n`)
    }
    return exitOf(failure.exit)
  } finally {
    terminal.endProgress()
  }
}

/** A line that names a command is read by the few that begin so; another by all, of which one may be meant. */
async function lineOf(args: readonly string[]): Promise<Line> {
  const few = await commandsOf(firstWord(args))
  try {
    return readLine(args, few)
  } catch {
    return readLine(args, await allCommands())
  }
}

async function run(
  line: Line,
  { words, io, terminal }: Pick<Call, 'words' | 'io' | 'terminal'>,
): Promise<number> {
  if (line.kind === 'help') {
    const style = {
      columns: Math.min(terminal.columns, 100),
      strong: (text: string) => terminal.strong(text),
      faint: (text: string) => terminal.faint(text),
    }
    const { command, noun } = line
    const text =
      command !== undefined
        ? commandHelp(command, style)
        : noun === undefined
          ? overview(await allCommands(), style)
          : nounHelp(noun, await commandsOf(noun), style)
    await io.stdout.write(`${text}\n`)
    return 0
  }
  const { command, operands, options } = line
  const home = locateHome(io, typeof options['home'] === 'string' ? options['home'] : undefined)
  const config = readConfig({ path: home.config, env: io.env, flags: options, cwd: io.cwd })
  const init = { io, terminal, home, config, options, command: command.name }
  const call: Call = {
    io,
    terminal,
    home,
    config,
    json: options['json'] === true,
    dryRun: options['dry-run'] === true,
    operands,
    options: options as Call['options'],
    words,
    commands: allCommands,
    // What these load takes half a second that help, completion and the peer book do not need.
    withOwner: async (work) => await (await import('./door.ts')).withOwner(init, work),
    withOwnerAtHand: async (work) => await (await import('./door.ts')).withOwnerAtHand(init, work),
    withNode: async (work) => await (await import('./node/pick.ts')).withNode(init, work),
    runningNode: async () => await (await import('./node/pick.ts')).runningDoor(init),
  }
  return (await command.run(call)) ?? 0
}

/** Every failure names a next command: where nobody knew a better one, what lists what there is, or the command's help. */
async function withHint(failure: Failure, command: string | undefined): Promise<Failure> {
  if (failure.hint !== undefined) return failure
  const { exit, message, reason, cause } = failure
  const [first = ''] = command?.split(' ') ?? []
  const lists = `${USES_KEYS.has(first) ? 'key' : first} list`
  const isMissing = exit === 'not_found' || exit === 'conflict'
  const hint =
    isMissing && (await allCommands()).some(({ name }) => name === lists)
      ? `stronghold ${lists}`
      : `stronghold ${command === undefined ? '' : `${command} `}--help`
  return new Failure(exit, message, { hint, cause, ...(reason === undefined ? {} : { reason }) })
}

/** What these do not find, or find in their way, is a record. */
const USES_KEYS: ReadonlySet<string> = new Set(['sign', 'verify', 'pub', 'encrypt', 'decrypt'])

/** The command that a line was probably meant to be that could not be read. */
async function nearestCommand(args: readonly string[]): Promise<string | undefined> {
  const [first = '', second = ''] = args.filter((arg) => !arg.startsWith('-'))
  const commands = await commandsOf(first)
  return (
    commands.find(({ name }) => name === `${first} ${second}`) ??
    commands.find(({ name }) => name === first)
  )?.name
}

function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return (end === -1 ? args : args.slice(0, end)).includes('--json')
}
