/** A machine for one test: a directory of its own, streams that are kept, a terminal that is typed on or not there. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '@stronghold/vault'
import type { Clock } from '@stronghold/vault'

import { allCommands } from '../src/commands/table.ts'
import type { Io } from '../src/io.ts'
import { readLine } from '../src/line.ts'
import { main } from '../src/main.ts'

/** What one run of the program left behind. */
export interface Ran {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
  /** What stdout holds, as bytes. */
  readonly bytes: Uint8Array
  /** stdout as JSON, its lines one by one. Tests name the fields they expect; a wrong one fails there, not here. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly json: any
}

/** How one run differs from the usual: no terminal, nothing on stdin. */
export interface RunInit {
  readonly stdin?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  /** Typed on the terminal; without it there is none. */
  readonly typed?: string
  /** stdout is a terminal of so many columns. */
  readonly columns?: number
  /** stderr is a terminal. */
  readonly watched?: boolean
  /** ^C for this run alone. */
  readonly ending?: AbortSignal
  /** Hears what goes to stdout, as it goes there. */
  readonly onStdout?: (text: string) => void
}

/** A run that goes on until it is ended. */
export interface Standing {
  /** The first line that it printed, as JSON. */
  readonly ready: Ran['json']
  /** Settles with how it ended. */
  readonly ended: Promise<Ran>
}

/** A machine with a home that is not made yet. */
export class Machine implements Disposable {
  readonly cwd: string = mkdtempSync(join(tmpdir(), 'stronghold-cli-'))
  readonly clock: Clock
  /** What waiting does; by default nothing, at once. */
  sleep: (ms: number) => Promise<void> = async () => {}
  /** Takes keys without waiting, where a test has them. */
  keys: Io['openKeys'] | undefined
  /** What the terminal showed, all runs together. */
  shown = ''
  readonly #env: Readonly<Record<string, string>>

  constructor(env: Readonly<Record<string, string>> = {}, clock: Clock = systemClock) {
    this.#env = env
    this.clock = clock
  }

  /** A file of this machine. */
  path(...names: string[]): string {
    return join(this.cwd, ...names)
  }

  /** Makes a file that is ours alone. */
  write(name: string, text: string): void {
    writeFileSync(this.path(name), text, { mode: 0o600 })
  }

  /** Runs a command, its words split at spaces where it is one string. */
  async run(line: string | readonly string[], init: RunInit = {}): Promise<Ran> {
    const args = typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line
    const out: Uint8Array[] = []
    this.#out = out
    const err: Uint8Array[] = []
    const sink = (pieces: Uint8Array[], columns: number | undefined): Io['stdout'] => ({
      isTerminal: columns !== undefined,
      columns,
      write: async (data) => {
        if (pieces === out && typeof data === 'string') init.onStdout?.(data)
        pieces.push(typeof data === 'string' ? new TextEncoder().encode(data) : data.slice())
      },
    })
    const given = init.stdin ?? ''
    const io: Io = {
      env: { STRONGHOLD_HOME: 'home', ...this.#env, ...init.env },
      cwd: this.cwd,
      userHome: this.cwd,
      stdin: {
        isTerminal: false,
        descriptor: undefined,
        async *[Symbol.asyncIterator]() {
          yield typeof given === 'string' ? new TextEncoder().encode(given) : given
        },
      },
      stdout: sink(out, init.columns),
      stderr: sink(err, init.watched === true ? 80 : undefined),
      clock: this.clock,
      sleep: (ms) => this.sleep(ms),
      openTerminal: () => this.#terminal(init.typed),
      onEnding: (listener) => {
        this.#endings.add(listener)
        init.ending?.addEventListener('abort', listener)
        return {
          [Symbol.dispose]: () => {
            this.#endings.delete(listener)
            init.ending?.removeEventListener('abort', listener)
          },
        }
      },
      openKeys: (init) => this.keys?.(init),
      self: [],
      background: () => {
        throw new Error('a machine of a test has no processes')
      },
    }
    const exit = await main(args, io)
    const bytes = new Uint8Array(Buffer.concat(out))
    const stdout = new TextDecoder().decode(bytes)
    assertShape(args, exit, stdout)
    return {
      exit,
      bytes,
      stdout,
      stderr: new TextDecoder().decode(Buffer.concat(err)),
      get json() {
        const lines = stdout.trimEnd().split('\n')
        return lines.length === 1
          ? (JSON.parse(stdout) as unknown)
          : lines.map((one) => JSON.parse(one) as unknown)
      },
    }
  }

  /** The same, and it has to end well. */
  async done(line: string | readonly string[], init: RunInit = {}): Promise<Ran> {
    const ran = await this.run(line, init)
    if (ran.exit !== 0) throw new Error(`exit ${ran.exit}: ${ran.stderr}${ran.stdout}`)
    return ran
  }

  /** Starts what stays, with `--json`; resolves when it is ready. */
  async start(line: string): Promise<Standing> {
    const ready = Promise.withResolvers<unknown>()
    const ended = this.run(`${line} --json`, {
      onStdout: (text) => {
        ready.resolve(JSON.parse(text))
      },
    })
    const early = ended.then(({ exit, stdout, stderr }): never => {
      throw new Error(`${line} ended with ${exit}: ${stdout}${stderr}`)
    })
    return { ready: await Promise.race([ready.promise, early]), ended }
  }

  /** Makes a vault that a key file unlocks without anybody being asked. */
  async init(): Promise<this> {
    await this.done('init --key-file home.key')
    await this.done('config set key_file ../home.key')
    return this
  }

  /** How many hear ^C. */
  get endings(): number {
    return this.#endings.size
  }

  /** What ^C does to whatever runs and hears it. */
  end(): void {
    for (const listener of [...this.#endings]) listener()
  }

  [Symbol.dispose](): void {
    rmSync(this.cwd, { recursive: true, force: true })
  }

  /** What the last run has printed so far. */
  get printed(): string {
    return new TextDecoder().decode(Buffer.concat(this.#out))
  }

  #out: Uint8Array[] = []
  #typed: number[] = []
  readonly #endings = new Set<() => void>()
  #terminal(typed: string | undefined): ReturnType<Io['openTerminal']> {
    if (typed === undefined) return undefined
    // One terminal per run: what is not read stays for the next question.
    if (this.#typed.length === 0) this.#typed = [...new TextEncoder().encode(typed)]
    return {
      write: (text) => {
        this.shown += text
      },
      readByte: (into, at) => {
        const byte = this.#typed.shift()
        if (byte === undefined) return false
        into[at] = byte
        return true
      },
      suspend: () => {},
      [Symbol.dispose]: () => {},
    }
  }
}

/** What `--json` prints is what the table of commands says it prints, and nothing beside it. */
const COMMANDS = await allCommands()

function assertShape(args: readonly string[], exit: number, stdout: string): void {
  if (exit !== 0 || !args.includes('--json') || args.includes('--dry-run')) return
  const line = readLine(args, COMMANDS)
  const prints = line.kind === 'run' ? line.command.prints : undefined
  for (const text of stdout.trimEnd().split('\n')) {
    const { v, ...rest } = JSON.parse(text) as Record<string, unknown>
    if (v !== 1) throw new Error(`no v in ${text}`)
    const found = prints?.parse(rest) as Record<string, unknown>
    const extra = Object.keys(rest).filter((name) => !Object.hasOwn(found, name))
    if (extra.length > 0) throw new Error(`${args.join(' ')} prints ${extra.join(', ')}, too`)
  }
}
