/**
 * Where the tour plays: two machines, each a home of its own in a directory that is gone afterwards, and the real program
 * in processes of its own. It shows what is typed and what comes; what is played it does not know.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import { TOUR_COMMAND_MS } from '../limits.ts'
import type { Terminal } from '../terminal.ts'

/** Columns in front of what is typed and printed. */
const INDENT = 6

/** Whose machine. */
export type Who = 'home' | 'ci'

/** A command that ended. */
export interface Played {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

/** A command that goes on. */
export interface Playing {
  /** Its first line on stdout. @throws `Failure` where it ends without */
  readonly first: Promise<string>
  readonly ended: Promise<Played>
}

/** How a command is played. */
export interface PlayInit {
  /** Shows neither it nor what it prints. */
  readonly quiet?: boolean
  /** Where stdout goes, as a shell's `>` does. */
  readonly into?: string
  /** What stdin reads, as a shell's `<` does: shown behind the command. */
  readonly from?: { readonly name: string; readonly bytes: Uint8Array }
}

/** Two machines, and what was typed on them. */
export class Stage implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'stronghold-tour-'))
  readonly #io: Io
  readonly #terminal: Terminal
  readonly #running = new Set<ChildProcess>()
  /** What is to be shown, one after the other: several commands may print at once. */
  #shown: Promise<void> = Promise.resolve()
  /** Somebody wants to end it: what runs is ended, nothing else is started, and all is taken away as at the end. */
  #isOver = false
  readonly #ending: Disposable

  constructor(io: Io, terminal: Terminal) {
    this.#io = io
    this.#terminal = terminal
    this.#ending = io.onEnding(() => {
      this.#isOver = true
      for (const child of this.#running) child.kill('SIGTERM')
    })
    for (const who of ['home', 'ci']) mkdirSync(join(this.folder, who), { mode: 0o700 })
  }

  /** A file of a machine. */
  path(who: Who, name: string): string {
    return join(this.folder, who, name)
  }

  write(who: Who, name: string, bytes: string | Uint8Array): void {
    writeFileSync(this.path(who, name), bytes, { mode: 0o600 })
  }

  /** What happens next, in a line. */
  async tell(text: string): Promise<void> {
    this.#show(() => this.#terminal.say(`\n${this.#terminal.strong(text)}`))
    await this.#shown
  }

  /** Plays one command to its end. */
  async play(who: Who, command: readonly string[], init: PlayInit = {}): Promise<Played> {
    return await this.start(who, command, init).ended
  }

  /** The same, and it has to end well. */
  async done(who: Who, command: readonly string[], init: PlayInit = {}): Promise<Played> {
    const played = await this.play(who, command, init)
    this.#assertNotOver()
    if (played.exit === 0) return played
    throw new Failure(
      'internal',
      `cannot go on: ${command.slice(0, 3).join(' ')} ended ${played.exit}`,
      {
        reason: played.stderr.trim().split('\n').at(-1) ?? 'it said nothing',
      },
    )
  }

  /** Starts a command. The first word `stronghold` is this program, every other one is looked for on the machine. */
  start(who: Who, command: readonly string[], init: PlayInit = {}): Playing {
    const { quiet = false, into, from } = init
    if (!quiet) this.#assertNotOver()
    const [program = '', ...args] = command
    const [file = '', ...before] = program === 'stronghold' ? this.#io.self : [program]
    const shown =
      command.map(quotedWord).join(' ') +
      (from === undefined ? '' : ` < ${from.name}`) +
      (into === undefined ? '' : ` > ${into}`)
    if (!quiet) this.#show(() => this.#prompt(who, shown))
    const child = spawn(file, [...before, ...args], {
      cwd: join(this.folder, who),
      env: { ...this.#env(who) },
      timeout: TOUR_COMMAND_MS,
    })
    this.#running.add(child)
    child.stdin.on('error', () => {})
    child.stdin.end(from?.bytes)
    const first = Promise.withResolvers<string>()
    first.promise.catch(() => {})
    const out: string[] = []
    const err: string[] = []
    const lines = (stream: typeof child.stdout, kept: string[], isShown: boolean): Promise<void> =>
      new Promise((resolve) => {
        createInterface({ input: stream })
          .on('line', (line) => {
            kept.push(line)
            if (kept === out) first.resolve(line)
            if (isShown && !quiet) this.#show(() => this.#line(who, line))
          })
          .once('close', resolve)
      })
    const ended = (async (): Promise<Played> => {
      const exit = await Promise.all([
        new Promise<number>((resolve) => {
          child.once('error', () => {
            resolve(127)
          })
          child.once('close', (code) => {
            resolve(code ?? 1)
          })
        }),
        lines(child.stdout, out, into === undefined),
        lines(child.stderr, err, true),
      ])
      this.#running.delete(child)
      await this.#shown
      const stdout = out.map((line) => `${line}\n`).join('')
      const stderr = err.map((line) => `${line}\n`).join('')
      first.reject(
        new Failure('internal', `cannot go on: ${program} ended`, { reason: stderr.trim() }),
      )
      if (into !== undefined) this.write(who, into, stdout)
      return { exit: exit[0], stdout, stderr }
    })()
    return { first: first.promise, ended }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.play('home', ['stronghold', 'down'], { quiet: true })
    for (const child of this.#running) child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
    this.#ending[Symbol.dispose]()
  }

  #assertNotOver(): void {
    if (!this.#isOver) return
    throw new Failure('expired', 'cannot go on', {
      reason: 'you ended it',
      hint: 'stronghold tour',
    })
  }

  #show(show: () => Promise<void>): void {
    this.#shown = this.#shown.then(show)
  }

  #prompt(who: Who, text: string): Promise<void> {
    const terminal = this.#terminal
    return terminal.say(`${terminal.strong(`${who}$`.padStart(INDENT - 1))} ${text}`)
  }

  #line(who: Who, text: string): Promise<void> {
    const terminal = this.#terminal
    const front = `${who.padStart(INDENT - 2)} │`
    return terminal.say(terminal.faint(`${front} ${terminal.fits(text, INDENT + 1)}`))
  }

  /** All that a command needs stands here, so that what is shown is what would be typed. */
  #env(who: Who): NodeJS.ProcessEnv {
    return {
      ...this.#io.env,
      STRONGHOLD_HOME: join(this.folder, who, '.stronghold'),
      STRONGHOLD_PASSPHRASE_FILE: join(this.folder, who, 'passphrase'),
      STRONGHOLD_LISTEN: '/ip4/127.0.0.1/tcp/0',
      STRONGHOLD_FIND_MDNS: 'false',
      NO_COLOR: '1',
    }
  }
}

function quotedWord(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
