/** The live view in a real terminal, beside a Stronghold that runs: however it ends, the terminal is put back. */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync } from 'node:fs'
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
let up: Shown
let env: NodeJS.ProcessEnv
beforeAll(async () => {
  machine = await new Machine().init()
  env = { ...SOURCE_ENV, STRONGHOLD_HOME: machine.path('home'), TERM: 'xterm' }
  up = new Shown('up --locked --listen /ip4/127.0.0.1/tcp/0')
  await up.shows('stronghold unlock')
}, 60_000)
afterAll(() => {
  up.kill()
  machine[Symbol.dispose]()
})

/** A command in a terminal of its own; where there is no `script`, without one. */
class Shown {
  readonly #child: ChildProcess
  #shown = ''

  constructor(command: string) {
    const line = `echo "pid $$"; exec '${process.execPath}' '${BINARY}' ${command}`
    const inTerminal = ['-qec', `stty cols 80 rows 24; ${line}`, '/dev/null']
    this.#child =
      SCRIPT === undefined
        ? spawn('/bin/sh', ['-c', line], { env, stdio: 'pipe' })
        : spawn(SCRIPT, inTerminal, { env, stdio: 'pipe' })
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#shown += chunk.toString('utf8')
    })
  }

  async shows(text: string): Promise<void> {
    const { stdout } = this.#child
    while (!this.#shown.includes(text)) {
      if (stdout === null || stdout.destroyed) throw new Error(`it ended with ${this.#shown}`)
      await Promise.race([once(stdout, 'data'), once(stdout, 'close')])
    }
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys)
  }

  /** Of the command itself. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    const pid = Number(/pid (\d+)/.exec(this.#shown)?.[1])
    if (this.#child.exitCode === null && pid > 0) process.kill(pid, signal)
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

describe.skipIf(SCRIPT === undefined)('in a terminal', () => {
  test(
    'up that starts locked shows what waits once it is unlocked',
    { timeout: 60_000 },
    async () => {
      await up.shows('locked: nothing can be decided')
      await machine.done('unlock')
      await up.shows('nothing waits for a person')
    },
  )

  test(
    'approval watch leaves by ^C, by SIGTERM and with the Stronghold, and takes nothing of the terminal along',
    { timeout: 90_000 },
    async () => {
      const watching = (): Shown => new Shown('approval watch')
      const [typed, ended, cut] = [watching(), watching(), watching()]
      for (const view of [typed, ended, cut]) await view.shows('nothing waits for a person')
      typed.type('\u0003')
      expect(await typed.end()).toEqual({ exit: 0, tail: LEAVE })
      ended.kill('SIGTERM')
      expect(await ended.end()).toEqual({ exit: 0, tail: LEAVE })
      up.kill()
      const { exit, tail } = await cut.end()
      expect(exit).toBe(8)
      expect(tail).toContain('error')
    },
  )
})
