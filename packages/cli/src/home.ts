/**
 * A home: the directory of one Stronghold, 0700, and what lies where in it. It makes the directory and knows the names; it
 * opens no vault.
 */
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

import { Failure, quoted } from './failure.ts'
import type { Io } from './io.ts'
import { MAX_SOCKET_PATH_BYTES } from './limits.ts'

/** Where everything of one Stronghold lies. Paths are absolute. */
export interface Home {
  readonly path: string
  /** `false` for the one that is used where nobody names one. */
  readonly isNamed: boolean
  readonly config: string
  /** The node's private key. */
  readonly identity: string
  /** Its peer id, as text: what else needs the key to be read. */
  readonly identityPublic: string
  readonly peers: string
  /** On what terms it serves as a relay. */
  readonly relay: string
  readonly vault: string
  readonly adminToken: string
  readonly approverToken: string
  /** What was asked of others: a directory, one small file a request. */
  readonly requests: string
  /** The highest heads of vaults elsewhere. */
  readonly heads: string
  /** What a Stronghold in the background has to say. */
  readonly log: string
}

/** Sockets of a running Stronghold. */
export interface Sockets {
  readonly owner: string
  readonly control: string
}

/**
 * Which home is meant: `--home`, else `STRONGHOLD_HOME`, else the XDG data directory. Nothing is made.
 *
 * @throws `Failure` `usage` for an empty `--home`, which would be the current directory
 */
export function locateHome(io: Pick<Io, 'env' | 'cwd' | 'userHome'>, option?: string): Home {
  if (option === '') {
    throw new Failure('usage', 'cannot use the home', {
      reason: '--home names nothing',
      hint: 'name a directory, or leave --home out',
    })
  }
  const named = option ?? nonEmpty(io.env['STRONGHOLD_HOME'])
  const xdg = (name: string, usual: string): string =>
    join(absolute(io.env[name]) ?? join(io.userHome, usual), 'stronghold')
  const path = named === undefined ? xdg('XDG_DATA_HOME', '.local/share') : resolve(io.cwd, named)
  const config = named === undefined ? xdg('XDG_CONFIG_HOME', '.config') : path
  return {
    path,
    isNamed: named !== undefined,
    config: join(config, 'config.toml'),
    identity: join(path, 'identity'),
    identityPublic: join(path, 'identity.pub'),
    peers: join(path, 'peers.json'),
    relay: join(path, 'relay.json'),
    vault: join(path, 'vault'),
    adminToken: join(path, 'admin.token'),
    approverToken: join(path, 'approver.token'),
    requests: join(path, 'requests'),
    heads: join(path, 'heads.json'),
    log: join(path, 'stronghold.log'),
  }
}

/**
 * Makes the directory where it is missing, and sees to it that it is ours alone.
 *
 * @throws `Failure` `usage` for a link, another's directory, or one that others may look into
 */
export function makeHome({ path }: Home): void {
  makeDirectory(path)
  const found = lstatSync(path)
  const why = !found.isDirectory()
    ? 'it is no directory'
    : found.uid !== process.geteuid?.()
      ? 'it belongs to another user'
      : (found.mode & 0o077) !== 0
        ? `others may look into it (mode ${(found.mode & 0o777).toString(8)})`
        : undefined
  if (why === undefined) return
  throw new Failure('usage', `cannot use home ${quoted(path)}`, {
    reason: why,
    hint: `chmod 700 ${path}`,
  })
}

/** Makes a directory, and what is missing above it. What Node.js has for that never ends where nothing can be made, as in /proc. */
export function makeDirectory(path: string): void {
  if (existsSync(path)) return
  const above = dirname(path)
  if (above !== path) makeDirectory(above)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (!existsSync(path)) throw error
  }
}

/** Is there a vault in a home. */
export function hasVault(home: Home): boolean {
  return existsSync(join(home.vault, 'vault.db'))
}

/**
 * Where the sockets of a home are: in it, or, where their path would be too long for a socket, in the runtime directory,
 * under a name that the home's path makes.
 *
 * @throws `Failure` `usage` where both are too long
 */
export function socketsOf(home: Home, env: Io['env']): Sockets {
  const within = (folder: string): Sockets => ({
    owner: join(folder, 'owner.sock'),
    control: join(folder, 'control.sock'),
  })
  const own = within(home.path)
  if (fits(own)) return own
  const name = createHash('sha256').update(home.path).digest('hex').slice(0, 16)
  const runtime = absolute(env['XDG_RUNTIME_DIR']) ?? '/tmp'
  const other = within(join(runtime, `stronghold-${name}`))
  if (fits(other)) return other
  throw new Failure('usage', `cannot place sockets of home ${quoted(home.path)}`, {
    reason: `their paths would be longer than ${MAX_SOCKET_PATH_BYTES} bytes`,
    hint: 'name a shorter XDG_RUNTIME_DIR',
  })
}

function fits({ owner, control }: Sockets): boolean {
  const longest = Math.max(Buffer.byteLength(owner), Buffer.byteLength(control))
  return longest <= MAX_SOCKET_PATH_BYTES
}

/** The peer id of a home, made with its key where there is none yet. */
export async function peerOf(home: Home): Promise<string> {
  try {
    const text = readFileSync(home.identityPublic, 'utf8').trim()
    if (existsSync(home.identity) && /^[1-9A-HJ-NP-Za-km-z]{40,128}$/.test(text)) return text
  } catch {
    // It is made of the key below.
  }
  makeHome(home)
  // Loading a network takes a second, and this is the only reason to.
  const { peerOfIdentity } = await import('@stronghold/p2p')
  const peer = await peerOfIdentity(home.identity)
  writeFileSync(home.identityPublic, `${peer}\n`, { mode: 0o600 })
  chmodSync(home.identityPublic, 0o600)
  return peer
}

/** As the XDG specification has it: a relative path counts as none. */
function absolute(path: string | undefined): string | undefined {
  return path?.startsWith('/') === true ? path : undefined
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}
