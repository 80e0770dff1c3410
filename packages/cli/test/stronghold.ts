/** The real program in processes of its own, each home in a directory of one test. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import type { Ran } from './machine.ts'

const BINARY = fileURLToPath(new URL('../bin/stronghold.js', import.meta.url))
const FLAGS = ['--disable-sigusr1', '--disable-warning=ExperimentalWarning']
/** Where the program runs: the sources, not what was built of them some time ago, and read once for all processes. */
export const SOURCE_ENV: NodeJS.ProcessEnv = {
  ...process.env,
  NODE_OPTIONS: '--conditions=@stronghold/source',
  NODE_COMPILE_CACHE: fileURLToPath(
    new URL('../../../node_modules/.cache/compiled', import.meta.url),
  ),
  NO_COLOR: '1',
}

/** How a run ended. */
export interface Ended {
  readonly exit: number | null
  readonly stdout: string
  readonly stderr: string
  /** stdout as one JSON value. */
  readonly json: Ran['json']
}

/** One that goes on. */
export interface Running {
  readonly process: ChildProcess
  /** The next line of its stdout. @throws where it ends first */
  line(): Promise<string>
  /** Settles with how it ended. */
  readonly ended: Promise<Ended>
}

/** A folder with homes in it, and a passphrase that unlocks each. */
export class Place implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'stronghold-e2e-'))
  readonly #running = new Set<ChildProcess>()

  constructor() {
    writeFileSync(this.path('pass'), 'correct horse battery staple\n', { mode: 0o600 })
  }

  path(...names: string[]): string {
    return join(this.folder, ...names)
  }

  /** Runs a command to its end. */
  run(home: string, line: string | readonly string[], input: string | Uint8Array = ''): Ended {
    const { status, stdout, stderr } = spawnSync(process.execPath, this.args(home, line), {
      cwd: this.folder,
      env: SOURCE_ENV,
      input,
      maxBuffer: 64 * 1024 ** 2,
    })
    return ended(status, stdout.toString('utf8'), stderr.toString('utf8'))
  }

  /** The same, and it has to end well. */
  done(home: string, line: string | readonly string[], input: string | Uint8Array = ''): Ended {
    const found = this.run(home, line, input)
    if (found.exit === 0) return found
    throw new Error(`${String(line)}: exit ${found.exit}: ${found.stderr}${found.stdout}`)
  }

  /** Starts a command. It is killed with the place. */
  start(home: string, line: string | readonly string[], input?: string | Uint8Array): Running {
    const child = spawn(process.execPath, this.args(home, line), {
      cwd: this.folder,
      env: SOURCE_ENV,
    })
    this.#running.add(child)
    if (input !== undefined) child.stdin.end(input)
    let stdout = ''
    let stderr = ''
    const lines: string[] = []
    const waiting: ((line: string | undefined) => void)[] = []
    let over = false
    createInterface({ input: child.stdout }).on('line', (text) => {
      stdout += `${text}\n`
      const next = waiting.shift()
      if (next === undefined) lines.push(text)
      else next(text)
    })
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString('utf8')))
    const end = new Promise<Ended>((resolve) => {
      child.once('close', (code) => {
        over = true
        this.#running.delete(child)
        for (const next of waiting) next(undefined)
        resolve(ended(code, stdout, stderr))
      })
    })
    return {
      process: child,
      ended: end,
      line: async () => {
        const there = lines.shift()
        if (there !== undefined) return there
        const next = over
          ? undefined
          : await new Promise<string | undefined>((resolve) => waiting.push(resolve))
        if (next === undefined) throw new Error(`${String(line)} ended: ${stderr}`)
        return next
      },
    }
  }

  /** Makes a vault in a home and keeps it running, unlocked, on loopback. @returns where it listens */
  async up(home: string, ...more: string[]): Promise<{ running: Running; addrs: string[] }> {
    const running = this.start(home, [
      ...'up --json --passphrase-file pass --listen /ip4/127.0.0.1/tcp/0'.split(' '),
      ...more,
    ])
    const line = await running.line()
    const { addrs } = JSON.parse(line) as { addrs?: string[] }
    if (addrs === undefined) throw new Error(line)
    return { running, addrs }
  }

  [Symbol.dispose](): void {
    for (const child of this.#running) child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** What stands behind Node.js where a command is run. */
  args(home: string, line: string | readonly string[]): string[] {
    const words = typeof line === 'string' ? line.split(' ') : line
    return [...FLAGS, BINARY, ...words, '--home', this.path(home)]
  }
}

function ended(exit: number | null, stdout: string, stderr: string): Ended {
  return {
    exit,
    stdout,
    stderr,
    get json() {
      return JSON.parse(stdout) as unknown
    },
  }
}
