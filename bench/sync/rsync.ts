/** `rsync` over `ssh`, to the same machine: files as they are, each synced to disk. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { startSshd } from '../sshd.ts'
import type { Missing } from '../sshd.ts'

/** What one run moved and took. */
export interface Moved {
  readonly ms: number
  readonly bytes: number
}

/** What moves files from one directory to another. */
export interface Rsync {
  run(from: string, to: string): Promise<Moved>
  close(): void
}

/** Starts it. */
export async function startRsync(folder: string): Promise<Rsync | Missing> {
  const sshd = await startSshd(folder, ['rsync'])
  if ('missing' in sshd) return sshd
  const { ssh, host, program, close } = sshd
  return {
    close,
    run: async (from, to) => {
      const startMs = performance.now()
      const how = ['-a', '--delete', '--stats', '--fsync', '-e', ssh.join(' ')]
      const where = [`${from}/`, `${host}:${to}/`]
      const { stdout } = await promisify(execFile)(program('rsync'), [...how, ...where])
      const ms = performance.now() - startMs
      const count = (what: string): number => {
        const [, digits = ''] = new RegExp(`Total bytes ${what}: ([\\d,]+)`).exec(stdout) ?? []
        return digits === '' ? NaN : Number(digits.replaceAll(',', ''))
      }
      return { ms, bytes: count('sent') + count('received') }
    },
  }
}
