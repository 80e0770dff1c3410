/**
 * Role tokens: 256 random bits in a file of mode 0600, which whoever calls at the owner's socket shows. They keep a program
 * that only decides approvals from more; against the owner's own processes they are no wall.
 */
import { randomFillSync, timingSafeEqual } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs'

import { encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { isVaultError, VaultError } from '@stronghold/vault/errors'

import type { OwnerRole } from '../doors.ts'

const TOKEN = /^[0-9a-f]{64}$/
const FILE_BYTES = 65

/**
 * Makes a token, or another in its place, in a file of mode 0600.
 *
 * @param replace - take the place of a token that stands there; default false
 * @returns 64 hex digits
 * @throws `VaultError` `failed_precondition` (`conflict`, `unsafe_file`) where another file stands there
 */
export function createToken(path: string, { replace = false }: { replace?: boolean } = {}): string {
  const token = toHex(randomFillSync(new Uint8Array(32)))
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  if (replace) readToken(path)
  withFile(path, O_WRONLY | O_NOFOLLOW | (replace ? 0 : O_CREAT | O_EXCL), (file) => {
    fchmodSync(file, 0o600)
    writeSync(file, encodeUtf8(`${token}\n`), 0, FILE_BYTES, 0)
    fsyncSync(file)
  })
  return token
}

/**
 * The token in a file.
 *
 * @throws `VaultError` `not_found`; `failed_precondition` (`unsafe_file`) where others may read it, or it holds no token
 */
export function readToken(path: string): string {
  return withFile(path, constants.O_RDONLY | constants.O_NOFOLLOW, (file) => {
    const stat = fstatSync(file)
    if (!stat.isFile() || stat.uid !== process.getuid?.() || (stat.mode & 0o077) !== 0) {
      throw unsafe(path, 'others may read or replace it')
    }
    const room = new Uint8Array(FILE_BYTES + 1)
    const length = readSync(file, room, 0, room.byteLength, 0)
    const text = Buffer.from(room.subarray(0, length)).toString('latin1').trimEnd()
    if (!TOKEN.test(text)) throw unsafe(path, 'it holds no token')
    return text
  })
}

/**
 * Whose token this is; read anew each time, so that a token in a file that was replaced opens nothing any more.
 *
 * @param shown - 64 hex digits, or anything else that came
 */
export function roleOf(
  shown: string,
  files: Readonly<Record<OwnerRole, string>>,
): OwnerRole | undefined {
  if (!TOKEN.test(shown)) return undefined
  const bytes = fromHex(shown)
  const isAdmin = holds(files.admin, bytes)
  const isApprover = holds(files.approver, bytes)
  return isAdmin ? 'admin' : isApprover ? 'approver' : undefined
}

/** A file that is not as safe as it has to be lets nobody in. */
function holds(path: string, token: Uint8Array): boolean {
  try {
    return timingSafeEqual(fromHex(readToken(path)), token)
  } catch (error) {
    if (isVaultError(error)) return false
    throw error
  }
}

function withFile<T>(path: string, flags: number, use: (file: number) => T): T {
  let file: number
  try {
    file = openSync(path, flags | constants.O_NONBLOCK, 0o600)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    const quoted = JSON.stringify(path.slice(-64))
    if (code === 'ENOENT') {
      throw new VaultError('not_found', `Cannot read token: there is no file ${quoted}`, { cause })
    }
    if (code === 'EEXIST') {
      const message = `Cannot make token: a file ${quoted} stands there`
      throw new VaultError('failed_precondition', message, { reason: 'conflict', cause })
    }
    throw unsafe(path, 'it cannot be opened', cause)
  }
  try {
    return use(file)
  } finally {
    closeSync(file)
  }
}

function unsafe(path: string, why: string, cause?: unknown): VaultError {
  const message = `Cannot use token file ${JSON.stringify(path.slice(-64))}: ${why}`
  return new VaultError('failed_precondition', message, { reason: 'unsafe_file', cause })
}
