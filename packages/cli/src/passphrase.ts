/**
 * What unlocks a vault, on its way in: from a file, a descriptor or a person, straight into locked memory. It never comes
 * by the command line, and never stands in a string.
 */
import type { Credential, Secret, Slab } from '@stronghold/vault'
import type { UnlockBy } from '@stronghold/guard'
import { equalBytes } from '@stronghold/core'
import { closeSync, existsSync, openSync, statSync } from 'node:fs'

import { Failure } from './failure.ts'
import type { Io, PersonalTerminal } from './io.ts'
import { MAX_PASSPHRASE_BYTES } from './limits.ts'
import type { UnlockSource } from './unlock-source.ts'

/** Room for two passphrases and the buffers around them. */
const SLAB_BYTES = 64 * 1024

/** What cannot be done where nobody sits in front to be asked, and what to type then. */
export interface Unasked {
  readonly cannot: string
  readonly hint: string
}

const UNLOCKING: Unasked = {
  cannot: 'cannot unlock the vault',
  hint: 'name a --passphrase-file or --passphrase-fd, or set STRONGHOLD_PASSPHRASE_FILE',
}

const MAKING: Unasked = { ...UNLOCKING, cannot: 'cannot make the vault' }

/** Asks a person where nothing else is at hand. @throws `Failure` `locked` where nobody sits in front */
function terminalOf(io: Io, { cannot, hint }: Unasked = UNLOCKING): PersonalTerminal {
  const terminal = io.openTerminal()
  if (terminal !== undefined) return terminal
  throw new Failure('locked', cannot, {
    reason: 'no passphrase is at hand, and there is no terminal to ask on',
    hint,
  })
}

/** A passphrase from an open descriptor. @throws `Failure` `usage` where it is not open, or not for reading */
export async function passphraseFrom(descriptor: number, slab: Slab): Promise<Secret> {
  const { readPassphrase } = await import('@stronghold/vault')
  try {
    return readPassphrase(descriptor, slab)
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
    if (code !== 'EBADF') throw error
    throw new Failure('usage', 'cannot read the passphrase', {
      reason: `descriptor ${descriptor} is not open for reading`,
      hint: 'open it in the shell: --passphrase-fd 3 3< FILE',
      cause: error,
    })
  }
}

/**
 * Whether a path names a pipe or a device, as `<(…)` and `/dev/stdin` do: only this process can read it, and only once.
 */
export function isPipe(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false })
  return found !== undefined && (found.isFIFO() || found.isCharacterDevice())
}

/** A passphrase from a file, or from a pipe by its path. @throws as the vault's `readPassphraseFile` */
export async function passphraseAt(path: string, slab: Slab): Promise<Secret> {
  const { readPassphrase, readPassphraseFile } = await import('@stronghold/vault')
  if (!isPipe(path)) return readPassphraseFile(path, slab)
  const descriptor = openSync(path, 'r')
  try {
    return readPassphrase(descriptor, slab)
  } finally {
    closeSync(descriptor)
  }
}

/** What unlocks, as the owner door takes it: a passphrase sealed to the door's key. */
export async function unlockBy(
  source: UnlockSource | undefined,
  io: Io,
  boxKey: Uint8Array,
): Promise<UnlockBy> {
  switch (source?.from) {
    case 'file':
      if (!isPipe(source.path)) return { by: 'passphrase-file', path: source.path }
      return await sealed(boxKey, (slab) => passphraseAt(source.path, slab))
    case 'key-file':
      return { by: 'key-file', path: source.path }
    case 'descriptor':
      return await sealed(boxKey, (slab) => passphraseFrom(source.descriptor, slab))
    case 'person':
    case undefined:
      return await sealed(boxKey, (slab) => ask(io, slab, 'Passphrase: '))
  }
}

/** A passphrase, sealed to a door as soon as it is there. */
export async function sealed(
  boxKey: Uint8Array,
  read: (slab: Slab) => Secret | Promise<Secret>,
): Promise<{ by: 'passphrase'; passphrase: { sealed: Uint8Array } }> {
  const { sealTo, Slab } = await import('@stronghold/vault')
  using slab = new Slab({ bytes: SLAB_BYTES })
  using secret = await read(slab)
  return { by: 'passphrase', passphrase: { sealed: sealTo(boxKey, secret.bytes) } }
}

/** What a new vault will be unlocked by. A person says it twice; a key file that is not there is made. */
export async function withNewCredential<T>(
  source: UnlockSource | undefined,
  io: Io,
  use: (credential: Credential) => Promise<T>,
): Promise<T> {
  const { createKeyFile, readKeyFile, Slab } = await import('@stronghold/vault')
  using slab = new Slab({ bytes: SLAB_BYTES })
  switch (source?.from) {
    case 'key-file': {
      using secret = existsSync(source.path)
        ? readKeyFile(source.path, slab)
        : createKeyFile(source.path, slab)
      return await use({ keyFile: secret.bytes })
    }
    case 'file': {
      using secret = await passphraseAt(source.path, slab)
      return await use({ passphrase: secret.bytes })
    }
    case 'descriptor': {
      using secret = await passphraseFrom(source.descriptor, slab)
      return await use({ passphrase: secret.bytes })
    }
    case 'person':
    case undefined: {
      using secret = ask(io, slab, 'New passphrase: ', MAKING)
      using again = ask(io, slab, 'The same again: ', MAKING)
      if (!equalBytes(secret.bytes, again.bytes)) {
        throw new Failure('usage', 'cannot make the vault', {
          reason: 'the two passphrases differ',
          hint: 'stronghold init',
        })
      }
      return await use({ passphrase: secret.bytes })
    }
  }
}

/** The same; nothing typed is nothing, not an error, but for ^C. */
export function askOptional(io: Io, slab: Slab, question: string): Secret | undefined {
  try {
    return ask(io, slab, question)
  } catch (error) {
    if (error instanceof NothingGiven) return undefined
    throw error
  }
}

/**
 * One line from the person in front, which is not shown.
 *
 * @throws `Failure` `locked` where nobody is there or the person gives up, `usage` past 1,024 bytes
 */
export function ask(io: Io, slab: Slab, question: string, unasked?: Unasked): Secret {
  using terminal = terminalOf(io, unasked)
  using room = slab.take(MAX_PASSPHRASE_BYTES + 1)
  const { bytes } = room
  terminal.write(question)
  let length = 0
  const end = (): void => {
    terminal.write('\r\n')
  }
  for (;;) {
    if (length > MAX_PASSPHRASE_BYTES) {
      end()
      throw new Failure('usage', 'cannot use the passphrase', {
        reason: `it is longer than ${MAX_PASSPHRASE_BYTES} bytes`,
      })
    }
    const isThere = terminal.readByte(bytes, length)
    const byte = isThere ? bytes[length] : undefined
    switch (byte) {
      case LINE_FEED:
      case CARRIAGE_RETURN:
        end()
        if (length === 0) {
          throw new NothingGiven(unasked)
        }
        return slab.copy(bytes.subarray(0, length))
      case INTERRUPT:
        end()
        throw notGiven(unasked)
      case undefined:
      case END_OF_INPUT:
        end()
        throw new NothingGiven(unasked)
      case BACKSPACE:
      case DELETE:
        length = beforeLast(bytes, length)
        break
      case KILL_LINE:
        length = 0
        break
      case SUSPEND:
        end()
        bytes.fill(0)
        length = 0
        terminal.suspend()
        terminal.write(question)
        break
      default:
        length++
    }
  }
}

function notGiven({ cannot, hint }: Unasked = UNLOCKING): Failure {
  return new Failure('locked', cannot, {
    reason: 'no passphrase was given',
    hint: `type it, or ${hint}`,
  })
}

/** An empty answer, or the end: no more than that. Whoever presses ^C wants nothing done. */
class NothingGiven extends Failure {
  constructor(unasked: Unasked | undefined) {
    const { exit, message, reason = '', hint = '' } = notGiven(unasked)
    super(exit, message, { reason, hint })
  }
}

const INTERRUPT = 0x03
const END_OF_INPUT = 0x04
const BACKSPACE = 0x08
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const KILL_LINE = 0x15
const SUSPEND = 0x1a
const DELETE = 0x7f

/** Where the last character begins: bytes 10xxxxxx go on with the one before them. */
function beforeLast(bytes: Uint8Array, length: number): number {
  let at = Math.max(length - 1, 0)
  while (at > 0 && ((bytes[at] ?? 0) & 0xc0) === 0x80) at--
  return at
}
