/** The live view in a real terminal, beside a Stronghold that runs: however it ends, the terminal is put back. */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Machine } from '../machine.ts'
import { SOURCE_ENV } from '../stronghold.ts'

const BINARY = fileURLToPath(new URL('../../bin/stronghold.js', import.meta.url))
const SECOND_USER = fileURLToPath(
  new URL('../../../guard/test/keeper/_second-user.ts', import.meta.url),
)
const SCRIPT = ['/usr/bin/script', '/bin/script'].find((path) => existsSync(path))
const LEAVE = '\u001b[?2004l\u001b[?7h\u001b[?25h\u001b[?1049l'

let machine: Machine
let up: ChildProcess
let env: NodeJS.ProcessEnv
beforeAll(async () => {
  machine = await new Machine().init()
  env = {
    ...SOURCE_ENV,
    STRONGHOLD_HOME: machine.path('home'),
    TERM: 'xterm',
  }
  const args = [BINARY, 'up', '--json', '--listen', '/ip4/127.0.0.1/tcp/0']
  up = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  if (up.stdout === null) throw new Error('no stdout')
  await once(createInterface({ input: up.stdout }), 'line')
}, 60_000)
afterAll(() => {
  up.kill('SIGKILL')
  machine[Symbol.dispose]()
})

/** `approval watch` in a terminal of its own. */
class Watched {
  readonly #child: ChildProcess
  #shown = ''

  constructor() {
    const line = `stty cols 80 rows 24; echo "pid $$"; exec '${process.execPath}' '${BINARY}' approval watch`
    this.#child = spawn(SCRIPT ?? '', ['-qec', line, '/dev/null'], { env, stdio: 'pipe' })
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#shown += chunk.toString('utf8')
    })
  }

  async shows(text: string): Promise<void> {
    await expect.poll(() => this.#shown, { timeout: 30_000, interval: 50 }).toContain(text)
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys)
  }

  /** The process of the view itself. */
  get pid(): number {
    return Number(/pid (\d+)/.exec(this.#shown)?.[1])
  }

  /** @returns its exit code, and what the terminal got last */
  async end(): Promise<{ exit: number | null; tail: string }> {
    if (this.#child.exitCode === null) await once(this.#child, 'exit')
    return { exit: this.#child.exitCode, tail: this.#shown.slice(this.#shown.lastIndexOf(LEAVE)) }
  }
}

describe.skipIf(process.getuid?.() !== 0)('a second user', () => {
  test(
    'is refused at both sockets, also where the home lets everybody in',
    { timeout: 30_000 },
    () => {
      const attempt = (name: string): string =>
        execFileSync(process.execPath, [SECOND_USER, machine.path('home', name)], {
          encoding: 'utf8',
        })
      const both = (): string[] => [attempt('owner.sock'), attempt('control.sock')]
      expect(both()).toEqual(['EACCES', 'EACCES'])
      chmodSync(machine.cwd, 0o755)
      chmodSync(machine.path('home'), 0o755)
      expect(both()).toEqual(['EACCES', 'EACCES'])
    },
  )
})

describe.skipIf(SCRIPT === undefined)('approval watch in a terminal', () => {
  test(
    'leaves by ^C, by SIGTERM and with the Stronghold, and takes nothing of the terminal along',
    { timeout: 90_000 },
    async () => {
      const [typed, ended, cut] = [new Watched(), new Watched(), new Watched()]
      for (const view of [typed, ended, cut]) await view.shows('nothing waits for a person')
      typed.type('\u0003')
      expect(await typed.end()).toEqual({ exit: 0, tail: LEAVE })
      process.kill(ended.pid, 'SIGTERM')
      expect(await ended.end()).toEqual({ exit: 0, tail: LEAVE })
      up.kill('SIGKILL')
      const { exit, tail } = await cut.end()
      expect(exit).toBe(8)
      expect(tail).toContain('error')
    },
  )
})
