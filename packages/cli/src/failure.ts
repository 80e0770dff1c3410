/**
 * What went wrong, as the program tells it: one sentence, the cause, the next command. Errors of the packages become it
 * here and nowhere else.
 */
import { escapeRemote, isStatusCode } from '@stronghold/core'

import { dirname } from 'node:path'

import { EXIT_OF_REASON, EXIT_OF_STATUS, exitOf } from './exits.ts'
import type { ExitName } from './exits.ts'

/** Longest part of an error that is shown, in characters. */
const MAX_SHOWN = 400

/** What a failure says beside its sentence. */
export interface FailureInit {
  /** Why; stands behind the sentence. */
  reason?: string
  /** The command to type next. */
  hint?: string
  /** Kept for debugging, never shown. */
  cause?: unknown
}

/** The one error that commands throw on purpose. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly exit: ExitName
  readonly reason: string | undefined
  readonly hint: string | undefined

  /** @param message - lower case, without a full stop: `cannot open the vault` */
  constructor(exit: ExitName, message: string, { reason, hint, cause }: FailureInit = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.exit = exit
    this.reason = reason
    this.hint = hint
  }
}

/** Next commands by the reason of a package's error. */
const HINTS: Readonly<Record<string, string>> = {
  locked: 'stronghold unlock',
  unlock_failed: 'try the passphrase again, or another --passphrase-file or --key-file',
  disk_full:
    'make room on the disk, or raise the limit: stronghold config set audit.max_bytes BYTES',
  memory_not_locked: 'raise the limit: ulimit -l 16384',
  damaged: 'restore the vault from a backup',
  unsafe_file: 'make it yours alone: chmod -R go= on it, and chown where it is of another user',
  newer_format: 'use the newer version of stronghold that wrote it',
  usage: 'see what it may be used for: stronghold key show PATH',
  key_worn_out: 'stronghold key rotate PATH',
}

/** Anything that was thrown, as a failure. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error
  if (!(error instanceof Error)) return new Failure('internal', 'cannot go on', { cause: error })
  const { code, reason } = error as { code?: unknown; reason?: unknown }
  const [message, why] = parts(error.message)
  const init = (hint?: string): FailureInit => ({
    cause: error,
    ...(why === undefined ? {} : { reason: why }),
    ...(hint === undefined ? {} : { hint }),
  })
  if (isStatusCode(code)) {
    const known = typeof reason === 'string' && Object.hasOwn(EXIT_OF_REASON, reason)
    const name = known
      ? EXIT_OF_REASON[reason as keyof typeof EXIT_OF_REASON]
      : EXIT_OF_STATUS[code]
    return new Failure(name, message, init(known ? HINTS[reason] : undefined))
  }
  if (error instanceof SyntaxError || error instanceof RangeError) {
    return new Failure('usage', message, init())
  }
  if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return systemFailure(error, code)
  return new Failure('internal', message, init('run it again; if it stays, report what you did'))
}

/** Files that are not there or not ours are the caller's to mend, the rest is the machine's. */
function systemFailure(error: Error, code: string): Failure {
  const { path } = error as { path?: unknown }
  const place = typeof path === 'string' ? ` ${quoted(path)}` : ' a file'
  const folder = typeof path === 'string' ? `see what is there: ls -la ${dirname(path)}` : undefined
  const why: Readonly<Record<string, [ExitName, string, string | undefined]>> = {
    ENOENT: ['not_found', 'there is no such file', folder],
    EACCES: ['usage', 'permission denied', folder],
    EPERM: ['usage', 'permission denied', folder],
    EISDIR: ['usage', 'it is a directory', 'name a file in it'],
    ENOTDIR: ['usage', 'a part of its path is no directory', folder],
    EEXIST: ['conflict', 'something stands there already', 'name another file'],
    ENOSPC: ['audit_unavailable', 'the disk is full', 'make room on the disk: df -h'],
    EROFS: ['audit_unavailable', 'the file system takes no writes', 'name a place on another one'],
  }
  const [exit, reason, hint] = why[code] ?? ['internal', code, undefined]
  const init = { reason, cause: error, ...(hint === undefined ? {} : { hint }) }
  return new Failure(exit, `cannot use${place}`, init)
}

/** A package's message `Cannot open vault: it is held` as the sentence and its cause. */
function parts(message: string): [string, string | undefined] {
  const shown = escapeRemote(message, MAX_SHOWN)
  const found = /^((?:"(?:[^"\\]|\\.)*"|[^":])*): (.+)$/.exec(shown)
  const sentence = found?.[1] ?? shown
  return [sentence.charAt(0).toLowerCase() + sentence.slice(1), found?.[2]]
}

/** Something as an error names it: quoted and cut to 64 characters. */
export function quoted(text: string): string {
  // As JSON has it first, so that no backslash is ours and theirs at once. No more is read than may be shown.
  return `"${escapeRemote(JSON.stringify(text.slice(0, 256)).slice(1, -1), 64)}"`
}

/** A failure as `--json` prints it, without the line end. */
export function failureLine({ exit, message, reason, hint }: Failure): string {
  return JSON.stringify({
    v: 1,
    error: {
      code: exit,
      exit: exitOf(exit),
      message,
      cause: reason ?? null,
      hint: hint ?? null,
    },
  })
}
