/**
 * An ssh-agent that is used from elsewhere, as `ssh -A` forwards it: sshd on loopback at a high port, a login to it, and the
 * socket that stands there. All of it runs as whoever starts the bench, in a folder that goes with it.
 */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'

/** What stands, or what is missing. */
export type ForwardedAgent =
  { readonly socket: string; close(): void } | { readonly missing: string }

/** Directories in which Debian keeps what only a system starts. */
const SYSTEM = ['/usr/sbin', '/usr/local/sbin', '/sbin']
/** Longest a login may take. */
const PATIENCE_MS = 10_000

/** Starts it, with a key of its own. */
export async function forwardAgent(folder: string): Promise<ForwardedAgent> {
  const found = new Map(['sshd', 'ssh', 'ssh-agent', 'ssh-add', 'ssh-keygen'].map(locate))
  for (const [name, path] of found) if (path === undefined) return { missing: name }
  const path = (name: string): string => found.get(name) ?? name
  const started: ChildProcess[] = []
  const close = (): void => {
    for (const child of started.toReversed()) child.kill()
  }
  try {
    for (const name of ['host', 'login', 'key']) {
      const file = join(folder, name)
      execFileSync(path('ssh-keygen'), ['-q', '-t', 'ed25519', '-N', '', '-f', file])
    }
    const port = await freePort()
    const config = join(folder, 'sshd_config')
    writeFileSync(
      config,
      [
        `ListenAddress 127.0.0.1:${port}`,
        `HostKey ${join(folder, 'host')}`,
        `AuthorizedKeysFile ${join(folder, 'login.pub')}`,
        `PidFile ${join(folder, 'sshd.pid')}`,
        'StrictModes no',
        'UsePAM no',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'AllowAgentForwarding yes',
      ].join('\n'),
    )
    const daemon = spawn(path('sshd'), ['-D', '-e', '-f', config], { stdio: 'ignore' })
    started.push(daemon)
    const agent = join(folder, 'agent')
    started.push(spawn(path('ssh-agent'), ['-D', '-a', agent], { stdio: 'ignore' }))
    await until(() => existsSync(agent))
    const env = { ...process.env, SSH_AUTH_SOCK: agent }
    execFileSync(path('ssh-add'), ['-q', join(folder, 'key')], { env, stdio: 'ignore' })
    const login = spawn(
      path('ssh'),
      [
        ...['-A', '-T', '-F', 'none', '-p', String(port), '-i', join(folder, 'login')],
        ...['-o', 'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=no'],
        ...['-o', `UserKnownHostsFile=${join(folder, 'known_hosts')}`],
        ...['-o', 'LogLevel=ERROR', '-o', 'ConnectionAttempts=20', '127.0.0.1'],
        'echo "$SSH_AUTH_SOCK"; cat',
      ],
      { env, stdio: ['pipe', 'pipe', 'pipe'] },
    )
    started.push(login)
    return { socket: await firstLine(login), close }
  } catch (error) {
    close()
    return { missing: `sshd that takes a login (${error instanceof Error ? error.message : ''})` }
  }
}

function locate(name: string): readonly [name: string, path: string | undefined] {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM]
  return [name, folders.map((folder) => join(folder, name)).find((file) => existsSync(file))]
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
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
