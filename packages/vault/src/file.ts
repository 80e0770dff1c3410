/**
 * What calls of the file system share here: what their failures mean to a vault, and a directory made durable. It knows
 * no file of a vault's.
 */
import { closeSync, constants, fstatSync, fsyncSync, openSync } from 'node:fs'

import { VaultError } from './errors.ts'

/** Makes names in a directory survive a power cut. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

/** For reading without waiting: a pipe that nobody writes to would hold the thread. What it opens is to be looked at. */
export const READ_AT_ONCE: number = constants.O_RDONLY | constants.O_NONBLOCK

/** @throws `VaultError` `failed_precondition` (`unsafe_file`) for a pipe, a device or a directory */
export function assertRegular(action: string, file: number): void {
  if (fstatSync(file).isFile()) return
  throw new VaultError('failed_precondition', `Cannot ${action}: it is no regular file`, {
    reason: 'unsafe_file',
  })
}

/** What a failed call of the file system means to a vault. */
export function fileError(action: string, cause: unknown): VaultError {
  switch (errno(cause)) {
    case 'ENOENT':
      return new VaultError('not_found', `Cannot ${action}: there is none`, { cause })
    case 'EROFS':
      return new VaultError(
        'failed_precondition',
        `Cannot ${action}: the file system takes no writes`,
        { reason: 'read_only', cause },
      )
    case 'ENOSPC':
    case 'EDQUOT':
      return new VaultError('resource_exhausted', `Cannot ${action}: the disk is full`, {
        reason: 'disk_full',
        cause,
      })
    case 'EEXIST':
      return new VaultError('failed_precondition', `Cannot ${action}: a file stands there`, {
        reason: 'conflict',
        cause,
      })
    case 'EACCES':
    case 'EPERM':
    case 'ELOOP':
    case 'ENOTDIR':
    case 'EISDIR':
      return new VaultError('failed_precondition', `Cannot ${action}: not allowed`, {
        reason: 'unsafe_file',
        cause,
      })
    default:
      return new VaultError('unavailable', `Cannot ${action}: the disk failed`, {
        reason: 'disk_failed',
        cause,
      })
  }
}

/** The system's name of an error, or `undefined`. */
export function errno(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** A name from outside, cut to 64 characters and without control characters. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 63)}…` : text)
}
