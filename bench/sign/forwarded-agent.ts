/** An ssh-agent that is used from elsewhere, as `ssh -A` forwards it: a login, and the socket that stands there. */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { startSshd } from '../sshd.ts'
import type { Missing } from '../sshd.ts'

/** What stands. */
export interface ForwardedAgent {
  readonly socket: string
  close(): void
}

/** Longest a login may take. */
const PATIENCE_MS = 10_000

/** Starts it, with a key of its own. */
export async function forwardAgent(folder: string): Promise<ForwardedAgent | Missing> {
  const sshd = await startSshd(folder, ['ssh-agent', 'ssh-add'])
  if ('missing' in sshd) return sshd
  const { ssh, host, program } = sshd
  const started: ChildProcess[] = []
  const close = (): void => {
    for (const child of started.toReversed()) child.kill()
    sshd.close()
  }
  try {
    const key = join(folder, 'key')
    execFileSync(program('ssh-keygen'), ['-q', '-t', 'ed25519', '-N', '', '-f', key])
    const agent = join(folder, 'agent')
    started.push(spawn(program('ssh-agent'), ['-D', '-a', agent], { stdio: 'ignore' }))
    await until(() => existsSync(agent))
    const env = { ...process.env, SSH_AUTH_SOCK: agent }
    execFileSync(program('ssh-add'), ['-q', key], { env, stdio: 'ignore' })
    const there = ['-A', '-T', host, 'echo "$SSH_AUTH_SOCK"; cat']
    const login = spawn(ssh[0] ?? 'ssh', [...ssh.slice(1), ...there], {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    started.push(login)
    return { socket: await firstLine(login), close }
  } catch (error) {
    close()
    return { missing: `sshd that forwards (${error instanceof Error ? error.message : ''})` }
  }
}

async function until(isSo: () => boolean): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error('it took too long')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function firstLine(login: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    let complained = ''
    const timer = setTimeout(() => {
      reject(new Error('no login in time'))
    }, PATIENCE_MS)
    login.stderr?.on('data', (chunk) => {
      complained += String(chunk)
    })
    login.stdout?.on('data', (chunk) => {
      said += String(chunk)
      const end = said.indexOf('\n')
      if (end <= 0) return
      clearTimeout(timer)
      resolve(said.slice(0, end))
    })
    login.on('exit', () => {
      clearTimeout(timer)
      reject(new Error(complained.trim().split('\n').at(-1) ?? 'the login ended'))
    })
  })
}
