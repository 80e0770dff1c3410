/**
 * The directory of a vault (`docs/vault-format.md §1`): only its owner may look into it, links are refused, and one
 * process at a time holds it and says who it is. It knows nothing of what the database holds.
 *
 * Nothing here ever opens `vault.db` once it exists: closing a second descriptor would drop this process's locks.
 */
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import type { Stats } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

import { isVaultError, VaultError } from './errors.ts'
import { errno, fileError, quoted, syncDirectory } from './file.ts'
import { MAX_LOCK_FILE_BYTES } from './limits.ts'
import { SqliteStore } from './stores/sqlite.ts'

const DATABASE = 'vault.db'
const LOCK = 'vault.lock'
/** What may stand there beside those; SQLite makes them with the mode of the database. */
const OTHERS = [`${DATABASE}-wal`, `${DATABASE}-shm`, `${DATABASE}-journal`]

/** Who has a vault open, as `vault.lock` says it. */
export interface Holder {
  readonly pid: number
  readonly startedAtMs: number
  /** What a person would recognise: `stronghold up`. */
  readonly command: string
  /** Where it can be talked to. */
  readonly socket?: string
}

/** How a directory is opened. */
export interface DirectoryInit {
  /** Makes the directory, its parents excepted, and an empty database where they are missing. Default false. */
  create?: boolean
  /** What `vault.lock` says of this process. Default the name of the program. */
  command?: string
  /** Where this process can be talked to. Default: not said. */
  socket?: string
  /** Milliseconds since the epoch. Default the system's clock. */
  nowMs?: () => number
}

/** A vault's directory, held by this process until it is closed. */
export class VaultDirectory implements Disposable {
  /** Absolute. */
  readonly path: string
  readonly store: SqliteStore
  readonly #holder: Holder
  #closed = false

  private constructor(path: string, store: SqliteStore, holder: Holder) {
    this.path = path
    this.store = store
    this.#holder = holder
  }

  /**
   * Checks a directory, takes its lock and opens its database.
   *
   * @throws `VaultError` `not_found` where there is none, `failed_precondition` (`unsafe_file`, `read_only`,
   *   `newer_format`), `unavailable` (`held` with who holds it, `disk_failed`), `resource_exhausted` (`disk_full`),
   *   `data_loss` (`damaged`)
   */
  static open(path: string, init: DirectoryInit = {}): VaultDirectory {
    const directory = resolve(path)
    if (init.create === true) make(directory)
    check(directory)
    const holder: Holder = {
      pid: process.pid,
      startedAtMs: (init.nowMs ?? Date.now)(),
      command: init.command ?? 'node',
      ...(init.socket === undefined ? {} : { socket: init.socket }),
    }
    const store = openStore(directory)
    try {
      writeHolder(directory, holder)
    } catch (error) {
      // The file only tells; a vault on a full disk can still be read.
      if (!isVaultError(error, { reason: 'disk_full' })) {
        store.close()
        throw error
      }
    }
    return new VaultDirectory(directory, store, holder)
  }

  /** Lets go of the vault. Again does nothing. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    try {
      // Where the lock went to somebody else, the file is theirs.
      const found = readHolder(this.path)
      if (found?.pid === this.#holder.pid && found.startedAtMs === this.#holder.startedAtMs) {
        rmSync(join(this.path, LOCK), { force: true })
      }
    } catch {
      // A file that stays behind tells of a process that is gone, and is written over.
    } finally {
      this.store.close()
    }
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function make(directory: string): void {
  attempt(`create vault ${quoted(directory)}`, () => {
    let made = false
    try {
      mkdirSync(directory, { mode: 0o700 })
      made = true
    } catch (error) {
      if (errno(error) !== 'EEXIST') throw error
    }
    checkDirectory(directory)
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    try {
      const file = openSync(join(directory, DATABASE), flags, 0o600)
      try {
        fchmodSync(file, 0o600)
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
      syncDirectory(directory)
    } catch (error) {
      if (errno(error) !== 'EEXIST') throw error
    }
    if (made) syncDirectory(dirname(directory))
  })
}

function check(directory: string): void {
  attempt(`open vault ${quoted(directory)}`, () => {
    checkDirectory(directory)
    if (lstatSync(join(directory, DATABASE), { throwIfNoEntry: false }) === undefined) {
      throw new VaultError('not_found', `Cannot open vault ${quoted(directory)}: there is none`)
    }
    // Asked before SQLite is, which would only say that it cannot open its log.
    accessSync(directory, constants.W_OK)
    for (const name of [DATABASE, LOCK, ...OTHERS]) {
      const path = join(directory, name)
      const found = lstatSync(path, { throwIfNoEntry: false })
      if (found !== undefined) checkFile(path, found)
    }
  })
}

function checkDirectory(path: string): void {
  const found = lstatSync(path)
  if (!found.isDirectory()) throw unsafe(path, found.isSymbolicLink() ? LINK : 'no directory')
  checkOwner(path, found)
}

function checkFile(path: string, found: Stats): void {
  if (!found.isFile()) throw unsafe(path, found.isSymbolicLink() ? LINK : 'no plain file')
  checkOwner(path, found)
}

const LINK = 'a symbolic link'

function checkOwner(path: string, found: Stats): void {
  if (found.uid !== process.geteuid?.()) throw unsafe(path, 'of another user')
  if ((found.mode & 0o077) !== 0) {
    throw unsafe(path, `open to others with mode ${(found.mode & 0o777).toString(8)}`)
  }
}

function unsafe(path: string, state: string): VaultError {
  return new VaultError('failed_precondition', `Cannot open ${quoted(path)}: it is ${state}`, {
    reason: 'unsafe_file',
  })
}

function openStore(directory: string): SqliteStore {
  try {
    return SqliteStore.open(join(directory, DATABASE))
  } catch (error) {
    if (!isVaultError(error, { reason: 'held' })) throw error
    const by = readHolder(directory)
    const who =
      by === undefined
        ? 'another process holds it'
        : `process ${by.pid} holds it, ${quoted(by.command)} since ${new Date(by.startedAtMs).toISOString()}`
    throw new VaultError('unavailable', `Cannot open vault ${quoted(directory)}: ${who}`, {
      reason: 'held',
      cause: error,
    })
  }
}

function writeHolder(directory: string, holder: Holder): void {
  const path = join(directory, LOCK)
  attempt(`write ${quoted(path)}`, () => {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW
    const file = openSync(path, flags | constants.O_TRUNC, 0o600)
    try {
      fchmodSync(file, 0o600)
      writeSync(file, JSON.stringify(holder))
    } finally {
      closeSync(file)
    }
  })
}

/**
 * Who holds a vault, as far as its lock file says: to tell a person, never to decide.
 *
 * @returns `undefined` where the file is missing or says nothing that can be read
 */
export function readHolder(directory: string): Holder | undefined {
  let file: number | undefined
  try {
    file = openSync(join(directory, LOCK), HOLDER_FLAGS)
    if (!fstatSync(file).isFile()) return undefined
    const bytes = new Uint8Array(MAX_LOCK_FILE_BYTES)
    const length = readSync(file, bytes)
    const found: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(0, length)))
    return isHolder(found) ? found : undefined
  } catch {
    return undefined
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

// A pipe in its place would make whoever reads wait for ever.
const HOLDER_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

function isHolder(value: unknown): value is Holder {
  if (typeof value !== 'object' || value === null) return false
  const { pid, startedAtMs, command, socket } = value as Record<string, unknown>
  return (
    Number.isSafeInteger(pid) &&
    typeof startedAtMs === 'number' &&
    Math.abs(startedAtMs) <= 8.64e15 && // the ends of what a Date holds
    typeof command === 'string' &&
    (socket === undefined || typeof socket === 'string')
  )
}

function attempt(action: string, work: () => void): void {
  try {
    work()
  } catch (cause) {
    if (isVaultError(cause)) throw cause
    throw fileError(action, cause)
  }
}
