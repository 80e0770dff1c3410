/**
 * A `sshd` on loopback at a high port, and what logs in to it: all as whoever starts the bench, with keys of its own, in a folder
 * that goes with it. What is done over it, it does not know.
 */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** One that takes logins. */
export interface Sshd {
  /** The command that logs in, without where to (`host`) and what is done there. */
  readonly ssh: readonly string[]
  readonly host: string
  /** Where a program of `startSshd`'s stands. */
  program(name: string): string
  close(): void
}

/** What is not there, in words. */
export interface Missing {
  readonly missing: string
}

/** Directories in which Debian keeps what only a system starts. */
const SYSTEM = ['/usr/sbin', '/usr/local/sbin', '/sbin']
const RUN = '/run/sshd'
const HOST = '127.0.0.1'
const PATIENCE_MS = 10_000
const PAUSE_MS = 50

/**
 * Starts it; resolves once it takes a login.
 *
 * @param folder - for keys and configuration; made where it is not there
 * @param programs - what else is needed
 */
export async function startSshd(
  folder: string,
  programs: readonly string[] = [],
): Promise<Sshd | Missing> {
  const found = new Map(['sshd', 'ssh', 'ssh-keygen', ...programs].map(locate))
  for (const [name, path] of found) if (path === undefined) return { missing: name }
  const program = (name: string): string => found.get(name) ?? name
  mkdirSync(folder, { recursive: true })
  for (const name of ['host', 'login']) {
    const file = join(folder, name)
    execFileSync(program('ssh-keygen'), ['-q', '-t', 'ed25519', '-N', '', '-f', file])
  }
  const port = await freePort()
  const config = join(folder, 'sshd_config')
  writeFileSync(
    config,
    [
      `ListenAddress ${HOST}:${port}`,
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
  // Its service makes this before it starts; as root it does not start without.
  if (process.getuid?.() === 0) mkdirSync(RUN, { recursive: true, mode: 0o755 })
  const daemon = spawn(program('sshd'), ['-D', '-e', '-f', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let complaint = ''
  daemon.stderr.on('data', (chunk) => {
    complaint = String(chunk).trim().split('\n').at(-1) ?? ''
  })
  const ssh = [
    ...[program('ssh'), '-F', 'none', '-p', String(port), '-i', join(folder, 'login')],
    ...['-o', 'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'LogLevel=ERROR'],
    ...['-o', `UserKnownHostsFile=${join(folder, 'known_hosts')}`],
  ]
  const close = (): void => {
    daemon.kill()
  }
  const run = promisify(execFile)
  const endMs = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      await run(ssh[0] ?? 'ssh', [...ssh.slice(1), HOST, 'true'])
      return { ssh, host: HOST, program, close }
    } catch (error) {
      if (performance.now() > endMs || daemon.exitCode !== null) {
        close()
        const why = complaint === '' ? (String(error).split('\n')[1] ?? '') : complaint
        return { missing: `sshd that takes a login (${why})` }
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }
}

function locate(name: string): readonly [name: string, path: string | undefined] {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM]
  return [name, folders.map((folder) => join(folder, name)).find((file) => existsSync(file))]
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
