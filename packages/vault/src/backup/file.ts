/**
 * Backups as files: written beside their place and put there whole, so that a crash leaves the old file, the new one or
 * none; read piece by piece. It knows nothing of what is in them.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'

import { toHex } from '@stronghold/core'

import { assertRegular, errno, fileError, READ_AT_ONCE, syncDirectory } from '../file.ts'
import { sodium } from '../sodium.ts'

const WRITE = 'write backup'
const READ_BYTES = 256 * 1024
/** What file systems without hard links answer. */
const NO_LINKS: readonly unknown[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']

/**
 * A file that appears when it is whole and durable, of mode 0600. Disposing before `finish` leaves nothing behind.
 * Methods throw `VaultError` as `fileError` says.
 */
export class WholeFile implements Disposable {
  readonly #path: string
  readonly #temporary: string
  readonly #replace: boolean
  #file: number | undefined

  /** @throws `VaultError` `failed_precondition` (`conflict`) where a file stands there and is not to be replaced */
  constructor(path: string, replace: boolean) {
    this.#path = resolve(path)
    this.#replace = replace
    const random = new Uint8Array(8)
    sodium.randombytes_buf(random)
    const name = `.${basename(this.#path).slice(0, 64)}.${toHex(random)}.part`
    this.#temporary = join(dirname(this.#path), name)
    this.#call(() => {
      if (!replace) this.#assertFree()
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
      this.#file = openSync(this.#temporary, flags, 0o600)
    })
  }

  write(bytes: Uint8Array): void {
    const file = this.#file
    if (file === undefined) throw new TypeError('Cannot write backup: its file is closed')
    this.#call(() => {
      for (let at = 0; at < bytes.byteLength;) {
        at += writeSync(file, bytes, at, bytes.byteLength - at)
      }
    })
  }

  /** Puts it in its place. When this returns, it survives a power cut. */
  finish(): void {
    const file = this.#file
    if (file === undefined) throw new TypeError('Cannot write backup: its file is closed')
    this.#call(() => {
      fsyncSync(file)
      closeSync(file)
      this.#file = undefined
      try {
        if (this.#replace) renameSync(this.#temporary, this.#path)
        else this.#place()
      } catch (error) {
        rmSync(this.#temporary, { force: true })
        throw error
      }
      syncDirectory(dirname(this.#path))
    })
  }

  [Symbol.dispose](): void {
    if (this.#file === undefined) return
    closeSync(this.#file)
    this.#file = undefined
    rmSync(this.#temporary, { force: true })
  }

  /** A name that somebody took meanwhile stays his: a link never replaces, where renaming would. */
  #place(): void {
    try {
      linkSync(this.#temporary, this.#path)
    } catch (error) {
      if (!NO_LINKS.includes(errno(error))) throw error
      this.#assertFree()
      renameSync(this.#temporary, this.#path)
      return
    }
    rmSync(this.#temporary)
  }

  #assertFree(): void {
    if (lstatSync(this.#path, { throwIfNoEntry: false }) === undefined) return
    throw Object.assign(new Error('a file stands there'), { code: 'EEXIST', syscall: 'lstat' })
  }

  #call(work: () => void): void {
    try {
      work()
    } catch (cause) {
      throw cause instanceof Error && 'syscall' in cause ? fileError(WRITE, cause) : cause
    }
  }
}

/**
 * A file piece by piece.
 *
 * @throws `VaultError` as `fileError` says; `failed_precondition` (`unsafe_file`) for a pipe, a device or a directory
 */
export function* readWhole(path: string): Generator<Uint8Array, void, void> {
  const call = <T>(work: () => T): T => {
    try {
      return work()
    } catch (cause) {
      throw fileError('read backup', cause)
    }
  }
  const file = call(() => openSync(path, READ_AT_ONCE))
  try {
    assertRegular('read backup', file)
    for (;;) {
      const piece = new Uint8Array(READ_BYTES)
      const length = call(() => readSync(file, piece, 0, piece.byteLength, null))
      if (length === 0) return
      yield piece.subarray(0, length)
    }
  } finally {
    closeSync(file)
  }
}
