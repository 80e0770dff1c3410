/** `rsync` over `ssh` to a `sshd` on loopback at a high port, all as whoever starts the bench, in a folder that goes with it. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** What one run moved and took. */
export interface Moved {
  readonly ms: number
  readonly bytes: number
}

/** What stands, or what is missing. */
export type Rsync =
  { run(from: string, to: string): Promise<Moved>; close(): void } | { readonly missing: string }

const FOLDERS = ['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/local/bin']
const TRIES = 100

/** Starts sshd, with keys of its own. */
export async function startRsync(folder: string): Promise<Rsync> {
  const paths = new Map<string, string>()
  for (const name of ['rsync', 'ssh', 'sshd', 'ssh-keygen']) {
    const found = FOLDERS.map((one) => join(one, name)).find((file) => existsSync(file))
    if (found === undefined) return { missing: name }
    paths.set(name, found)
  }
  const path = (name: string): string => paths.get(name) ?? name
  mkdirSync(folder, { recursive: true })
  for (const name of ['host', 'login']) {
    execFileSync(path('ssh-keygen'), ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)])
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
    ].join('\n'),
  )
  const daemon = spawn(path('sshd'), ['-D', '-e', '-f', config], { stdio: 'ignore' })
  const ssh = [
    ...[path('ssh'), '-F', 'none', '-p', String(port), '-i', join(folder, 'login')],
    ...['-o', 'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'LogLevel=ERROR'],
    ...['-o', `UserKnownHostsFile=${join(folder, 'known_hosts')}`],
  ]
  const close = (): void => {
    daemon.kill()
  }
  const run = promisify(execFile)
  for (let tries = 0; ; tries++) {
    try {
      await run(ssh[0] ?? 'ssh', [...ssh.slice(1), '127.0.0.1', 'true'])
      break
    } catch (error) {
      if (tries < TRIES && daemon.exitCode === null) {
        await new Promise((resolve) => setTimeout(resolve, 50))
        continue
      }
      close()
      return { missing: `sshd that takes a login (${String(error).split('\n')[0] ?? ''})` }
    }
  }
  return {
    close,
    run: async (from, to) => {
      const startMs = performance.now()
      const args = [
        '-a',
        '--delete',
        '--stats',
        '--fsync',
        '-e',
        ssh.join(' '),
        `${from}/`,
        `127.0.0.1:${to}/`,
      ]
      const { stdout } = await run(path('rsync'), args)
      const ms = performance.now() - startMs
      const count = (what: string): number =>
        Number(
          new RegExp(`Total bytes ${what}: ([\\d,]+)`).exec(stdout)?.[1]?.replaceAll(',', '') ??
            NaN,
        )
      return { ms, bytes: count('sent') + count('received') }
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
