/**
 * Passphrases and key files on their way in: read straight into secret memory, never into a string or a buffer of the
 * heap. It derives nothing and knows no vault.
 */
import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

import { encodeUtf8, equalBytes } from '@stronghold/core'

import { assertRegular, fileError, READ_AT_ONCE, syncDirectory } from './file.ts'
import { filled } from './formats/filled.ts'
import { base64Length, decodeBase64, encodeBase64Into } from './formats/base64.ts'
import { MAX_KEY_FILE_BYTES, MAX_PASSPHRASE_BYTES } from './limits.ts'
import type { Secret, Slab } from './secret.ts'

/** Length of the key in a key file. */
export const KEY_FILE_BYTES = 32

/**
 * A passphrase from a descriptor: up to the first line end or the end, byte by byte, so that what follows stays unread.
 *
 * @throws `RangeError` for an empty one or one of more than 1,024 bytes, `VaultError` as `fileError` says
 */
export function readPassphrase(descriptor: number, slab: Slab): Secret {
  return readLine(descriptor, slab).secret
}

/**
 * A passphrase from a regular file of one line, with or without a line end. What comes by a pipe, `readPassphrase` takes.
 *
 * @throws `SyntaxError` for more than one line, otherwise as `readPassphrase`
 */
export function readPassphraseFile(path: string, slab: Slab): Secret {
  return withRegular('read passphrase file', path, (file) => {
    const { secret, ended } = readLine(file, slab)
    if (ended || readSync(file, new Uint8Array(1)) === 0) return secret
    secret.wipe()
    throw new SyntaxError('Cannot read passphrase file: it has more than one line')
  })
}

function readLine(descriptor: number, slab: Slab): { secret: Secret; ended: boolean } {
  const most = MAX_PASSPHRASE_BYTES + 2 // and a line end of two
  using room = slab.take(most)
  const { bytes } = room
  let length = 0
  let ended = false
  while (length < most) {
    let read: number
    try {
      read = readSync(descriptor, bytes, length, 1, null)
    } catch (cause) {
      throw fileError('read passphrase', cause)
    }
    if (read === 0) {
      ended = true
      break
    }
    if (bytes[length] === LINE_FEED) {
      if (length > 0 && bytes[length - 1] === CARRIAGE_RETURN) length--
      break
    }
    length++
  }
  if (length === 0) throw new RangeError('Cannot use passphrase: empty')
  if (length > MAX_PASSPHRASE_BYTES) {
    throw new RangeError(`Cannot use passphrase: longer than ${MAX_PASSPHRASE_BYTES} bytes`)
  }
  return { secret: slab.copy(bytes.subarray(0, length)), ended }
}

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

const KEY_FILE_START = encodeUtf8('stronghold-key-1:')
const KEY_FILE_LENGTH: number = KEY_FILE_START.byteLength + base64Length(KEY_FILE_BYTES)

/**
 * The 32 bytes of a key file: the line `stronghold-key-1:` and their base64, with or without a line end.
 *
 * @throws `SyntaxError` for anything else, `VaultError` as `fileError` says
 */
export function readKeyFile(path: string, slab: Slab): Secret {
  using text = slab.take(KEY_FILE_LENGTH + 3)
  const length = withRegular('read key file', path, (file) => {
    let at = 0
    while (at < text.length) {
      const read = readSync(file, text.bytes, at, text.length - at, null)
      if (read === 0) break
      at += read
    }
    return at
  })
  const line = text.bytes.subarray(0, length)
  const start = line.subarray(0, KEY_FILE_START.byteLength)
  const digits = line.subarray(KEY_FILE_START.byteLength, KEY_FILE_LENGTH)
  const end = [...line.subarray(KEY_FILE_LENGTH)]
  const ends = end.length === 0 || end.at(-1) === LINE_FEED
  const blank = end.slice(0, -1).every((byte) => byte === CARRIAGE_RETURN) && end.length <= 2
  if (length < KEY_FILE_LENGTH || !equalBytes(start, KEY_FILE_START) || !ends || !blank) {
    throw new SyntaxError('Cannot read key file: it is none')
  }
  return filled(slab, KEY_FILE_BYTES, (bytes) => {
    decodeBase64(digits, bytes)
  })
}

/**
 * A file of `age-keygen`, as it is: what opens a backup (`BackupIdentity`).
 *
 * @throws `RangeError` for an empty one or one of more than 64 KiB, `VaultError` as `fileError` says
 */
export function readIdentityFile(path: string, slab: Slab): Secret {
  using room = slab.take(MAX_KEY_FILE_BYTES + 1)
  const length = withRegular('read identity file', path, (file) => {
    let at = 0
    while (at < room.length) {
      const read = readSync(file, room.bytes, at, room.length - at, null)
      if (read === 0) break
      at += read
    }
    return at
  })
  if (length === 0 || length > MAX_KEY_FILE_BYTES) {
    throw new RangeError(
      `Cannot read identity file: ${length === 0 ? 'it is empty' : `it is over ${MAX_KEY_FILE_BYTES} bytes`}`,
    )
  }
  return slab.copy(room.bytes.subarray(0, length))
}

/**
 * Makes a key file of mode 0600 where nothing stands, durable when this returns.
 *
 * @returns its 32 bytes
 * @throws `VaultError` as `fileError` says, `failed_precondition` (`conflict`) where a file stands there
 */
export function createKeyFile(path: string, slab: Slab): Secret {
  const secret = slab.random(KEY_FILE_BYTES)
  try {
    using text = slab.take(KEY_FILE_LENGTH + 1)
    text.bytes.set(KEY_FILE_START)
    encodeBase64Into(secret.bytes, text.bytes.subarray(KEY_FILE_START.byteLength, KEY_FILE_LENGTH))
    text.bytes[KEY_FILE_LENGTH] = LINE_FEED
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    withFile('create key file', path, flags, (file) => {
      for (let at = 0; at < text.length;) {
        at += writeSync(file, text.bytes, at, text.length - at)
      }
      fsyncSync(file)
      syncDirectory(dirname(path))
    })
    return secret
  } catch (error) {
    secret.wipe()
    throw error
  }
}

function withRegular<T>(action: string, path: string, work: (file: number) => T): T {
  return withFile(action, path, READ_AT_ONCE, (file) => {
    assertRegular(action, file)
    return work(file)
  })
}

function withFile<T>(action: string, path: string, flags: number, work: (file: number) => T): T {
  let file: number | undefined
  try {
    file = openSync(path, flags, 0o600)
    return work(file)
  } catch (cause) {
    throw cause instanceof Error && 'syscall' in cause ? fileError(action, cause) : cause
  } finally {
    if (file !== undefined) closeSync(file)
  }
}
