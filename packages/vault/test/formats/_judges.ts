/** Programs that judge what we write: absent ones are skipped by name. Each test works in a directory of its own. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { onTestFinished } from 'vitest'

/** Whether a program is there. */
export function isThere(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', program], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** A directory that goes when the test ends, and programs run in it. */
export interface Desk {
  readonly path: string
  write(name: string, content: string | Uint8Array): void
  read(name: string): Uint8Array
  /** What the program prints. @throws where it fails */
  run(program: string, args: readonly string[], input?: string | Uint8Array): string
}

export function desk(): Desk {
  const path = mkdtempSync(join(tmpdir(), 'formats-'))
  onTestFinished(() => {
    rmSync(path, { recursive: true, force: true })
  })
  return {
    path,
    write: (name, content) => {
      writeFileSync(join(path, name), content, { mode: 0o600 })
    },
    read: (name) => new Uint8Array(readFileSync(join(path, name))),
    run: (program, args, input = '') =>
      execFileSync(program, args, {
        cwd: path,
        input,
        encoding: 'latin1',
        stdio: ['pipe', 'pipe', 'pipe'],
        env: { ...process.env, HOME: path, GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C' },
      }),
  }
}
