/**
 * A vault's directory with a process that writes into it and dies, again and again. Between two deaths what lies there is
 * looked at in a copy, so that the next process finds it as the last one left it.
 */
import { spawn } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { VaultDirectory } from '../../src/directory.ts'
import { isVaultError } from '../../src/errors.ts'
import { Rows } from '../../src/rows.ts'
import { keysOf, testSlab } from '../vault-of.ts'
import { checkSteps } from './steps.ts'

const WRITER = fileURLToPath(new URL('./writer.ts', import.meta.url))

/** How a writer is run. */
export interface RunInit {
  /** Commits before it closes. Default: until it dies. */
  commits?: number
  /** What it is run by: `strace` and its arguments. */
  under?: readonly string[]
  /** Called with each line but for its time; `kill` ends the process as a power switch would. */
  onLine?: (line: string, kill: () => void) => void
  /** When the end began, asked when all is over; what was said from then on counts for nothing. Default: never. */
  endedAt?: () => bigint | undefined
  /** Called when the process has begun. */
  onStart?: (kill: () => void) => void
}

/** What became of it. */
export interface Ran {
  readonly signal: string | null
  readonly code: number | null
  readonly lines: readonly string[]
  readonly stderr: string
}

/** One directory and what was acknowledged in it. */
export class Lane implements Disposable {
  readonly #root: string
  #directory = 0
  /** The newest commit that was surely said to be durable before the writer met its end. */
  #acknowledged = -1
  /** The newest one that was said to be. */
  #said = -1

  /** @param root - where its directories go. Default below the system's directory for temporary files */
  constructor(root: string = tmpdir()) {
    this.#root = mkdtempSync(join(root, 'stronghold-crash-'))
  }

  /** The vault's directory. */
  get path(): string {
    return join(this.#root, String(this.#directory))
  }

  /** Another vault, which is not there yet. */
  next(): void {
    rmSync(this.path, { recursive: true, force: true })
    this.#directory++
    this.#acknowledged = -1
    this.#said = -1
  }

  /** Runs a writer until it ends or dies. */
  async run(init: RunInit = {}): Promise<Ran> {
    const { under = [], commits = Infinity, onLine, onStart } = init
    const args = ['--conditions=@stronghold/source', WRITER, this.path, String(commits)]
    const [command = process.execPath, ...rest] = [...under, process.execPath, ...args]
    const child = spawn(command, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process that compiles nothing starts three times as fast.
      env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'stronghold-compile-cache') },
    })
    const kill = (): void => {
      child.kill('SIGKILL')
    }
    onStart?.(kill)
    const lines: string[] = []
    const times = new Map<number, bigint>()
    let text = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const parts = text.split('\n')
      text = parts.pop() ?? ''
      for (const part of parts) {
        const [, line = part, time] = /^(\d+) (\d+)$/.exec(part) ?? []
        if (time !== undefined) times.set(Number(line), BigInt(time))
        lines.push(line)
        onLine?.(line, kill)
      }
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk
    })
    const { promise, resolve, reject } = Promise.withResolvers<Ran>()
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve({ code, signal, lines, stderr })
    })
    const ran = await promise
    const endedAt = init.endedAt?.()
    for (const [commit, time] of times) {
      this.#said = Math.max(this.#said, commit)
      if (endedAt !== undefined && time >= endedAt) continue
      this.#acknowledged = Math.max(this.#acknowledged, commit)
    }
    return ran
  }

  /**
   * Opens a copy and says that it holds every acknowledged commit, at most the one that was under way, and no half of one.
   *
   * @returns how many commits are there; -1 where the vault was never made
   */
  check(): number {
    const copy = join(this.#root, 'copy')
    rmSync(copy, { recursive: true, force: true })
    try {
      cpSync(this.path, copy, { recursive: true, preserveTimestamps: true })
      chmodSync(copy, 0o700) // what is copied gets a mode of its own
    } catch (error) {
      if (this.#acknowledged < 0 && (error as { code?: unknown }).code === 'ENOENT') return -1
      throw error
    }
    const found = this.#look(copy)
    const { path } = this
    if (found < this.#acknowledged || found > this.#said + 1) {
      throw new Error(`${path}: ${found} commits where ${this.#acknowledged} were acknowledged`)
    }
    return found
  }

  #look(path: string): number {
    using slab = testSlab()
    try {
      using directory = VaultDirectory.open(path)
      using rows = Rows.open(directory.store, keysOf(slab))
      return checkSteps(rows)
    } catch (error) {
      // Killed before the first commit: there is no vault, and nobody was told of one.
      if (isVaultError(error, { code: 'not_found' }) && this.#acknowledged < 0) return -1
      throw error
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#root, { recursive: true, force: true })
  }
}
