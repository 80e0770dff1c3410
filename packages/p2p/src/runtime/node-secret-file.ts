/**
 * Files that hold a secret, on Node.js: readable by their owner alone, never followed through a symbolic link, and
 * there whole or not at all. Knows nothing of what is in them.
 */
import { constants } from 'node:fs'
import { link, open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'

import { P2pError } from '../errors.ts'

/**
 * The bytes of a secret file, or undefined when there is none. The caller wipes them.
 *
 * @throws `P2pError` `failed_precondition` for a symbolic link, no regular file, another's file, one that others may
 *   read or write, or one longer than `maxBytes`
 */
export async function readSecretFile(
  path: string,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  // Without O_NONBLOCK a named pipe in the file's place would hold us for ever.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  let file
  try {
    file = await open(path, flags)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    throw refused(
      path,
      codeOf(cause) === 'ELOOP' ? 'it is a symbolic link' : 'it cannot be opened',
      cause,
    )
  }
  try {
    const stats = await file.stat()
    if (!stats.isFile()) throw refused(path, 'it is no regular file')
    if (stats.uid !== process.geteuid?.()) throw refused(path, 'it belongs to somebody else')
    if ((stats.mode & 0o077) !== 0) {
      throw refused(
        path,
        `others have access to it (mode ${(stats.mode & 0o777).toString(8)}, expected 600)`,
      )
    }
    if (stats.size > maxBytes) throw refused(path, `it is longer than ${maxBytes} bytes`)
    const bytes = new Uint8Array(stats.size)
    let at = 0
    while (at < bytes.byteLength) {
      const { bytesRead } = await file.read(bytes, at, bytes.byteLength - at, at)
      if (bytesRead === 0) throw refused(path, 'it was cut off while being read')
      at += bytesRead
    }
    return bytes
  } finally {
    await file.close()
  }
}

/**
 * Writes a secret file of mode 0600, synced with its directory, where there is none yet. False when another process
 * was first; its file stays.
 *
 * @throws `P2pError` `failed_precondition` when it cannot be written; nothing is left behind then
 */
export async function createSecretFile(path: string, secretBytes: Uint8Array): Promise<boolean> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    const file = await open(temporary, flags, 0o600)
    try {
      // Whatever the umask says.
      await file.chmod(0o600)
      await file.writeFile(secretBytes)
      await file.sync()
    } finally {
      await file.close()
    }
    const first = await publish(temporary, path)
    await syncDirectory(dirname(path))
    return first
  } catch (cause) {
    await unlink(temporary).catch(() => undefined)
    throw new P2pError(
      'failed_precondition',
      `Cannot create '${path.slice(-64)}': ${codeOf(cause) ?? 'it failed'}`,
      {
        layer: 'security',
        cause,
      },
    )
  }
}

// A link does not replace what is there, a rename would. File systems without links get the rename.
async function publish(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path)
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') {
      await unlink(temporary)
      return false
    }
    if (codeOf(cause) !== 'EPERM' && codeOf(cause) !== 'ENOTSUP') throw cause
    await rename(temporary, path)
    return true
  }
  await unlink(temporary)
  return true
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

function refused(path: string, state: string, cause?: unknown): P2pError {
  return new P2pError('failed_precondition', `Cannot read '${path.slice(-64)}': ${state}`, {
    layer: 'security',
    cause,
  })
}
