/**
 * Backups of a vault: age files that anybody opens with `age` and a passphrase or an identity, with lines inside that
 * need nothing else to be understood (`docs/vault-format.md §9`). Unlockers do not come along: a restored vault gets new
 * ones. It knows no rules and no terminal.
 */
import { setImmediate as turn } from 'node:timers/promises'

import { Content, longestRow } from './backup/writing.ts'
import { linesOf } from './backup/content.ts'
import { readWhole, WholeFile } from './backup/file.ts'
import { encodeLines } from './backup/lines.ts'
import type { LineInit } from './backup/lines.ts'
import { infoOf, OpenedBackup } from './backup/opened.ts'
import type { BackupInfo } from './backup/opened.ts'
import { readBackup } from './backup/reading.ts'
import { isVaultError, VaultError } from './errors.ts'
import { parseAgeIdentityFile, parseAgeRecipient } from './formats/age-bech32.ts'
import { encryptAge } from './formats/age.ts'
import type { AgeIdentity, AgeRecipient, ByteSource } from './formats/age.ts'
import { MAX_PASSPHRASE_BYTES } from './limits.ts'
import { Slab } from './secret.ts'
import type { SlabInit } from './secret.ts'
import type { Session } from './session.ts'

export { OpenedBackup } from './backup/opened.ts'
export type { BackupInfo, BackupRecord } from './backup/opened.ts'
export type { BackupCounts } from './backup/content.ts'
export type {
  CompareOptions,
  EntryDifference,
  RecordDifference,
  RecordState,
  Restored,
  RestoreDifference,
  RestoreOptions,
  RestorePolicy,
} from './backup/restore.ts'

/** Who can open a backup: whoever knows a passphrase, or holds one of some identities. As age has it, never both. */
export type BackupFor =
  | {
      /** 1 to 1,024 bytes; stays the caller's to wipe. */
      readonly passphrase: Uint8Array
      /** log₂ of what it costs (scrypt). Default 18, about a second and 256 MiB. */
      readonly workFactor?: number
    }
  /** `age1…`, one or more. */
  | { readonly recipients: readonly string[] }

/** A backup to be written. */
export interface BackupInit {
  /** The file. */
  readonly to: string
  readonly for: BackupFor
  /** Puts it in the place of a file that stands there. Default false: that is `conflict`. */
  readonly replace?: boolean
  /** As text, like `age --armor`. Default false. */
  readonly armor?: boolean
}

/** What opens a backup. The bytes stay the caller's to wipe. */
export type BackupIdentity =
  | { readonly passphrase: Uint8Array }
  /** What a file of `age-keygen` holds: one or more lines of `AGE-SECRET-KEY-1…`, with comments. */
  | { readonly identities: Uint8Array }

/** A backup to be read. */
export interface BackupSource {
  /** The file, or its bytes, armored or not. */
  readonly from: string | ByteSource
  readonly identity: BackupIdentity
  /** Refuses memory that the system did not lock. Default false. */
  readonly requireLocked?: boolean
}

/** How one waits for a backup to be written or read. */
export interface BackupOptions {
  /** Gives up: nothing stays behind. */
  signal?: AbortSignal
  /** Called now and then with how many of how many lines are done. It must not throw. */
  onProgress?: (done: number, total: number) => void
}

/** Beside keys, a chunk of plaintext and lines in the making. */
const WORK_BYTES = 256 * 1024
const LINES_PER_TURN = 256

/**
 * Writes a backup of what the vault holds at this moment. The sealed rows are copied at once, so the vault may change while
 * the file grows; where it is locked meanwhile, the backup ends with `locked`, and no file.
 *
 * @throws `VaultError` as `WholeFile` and `encodeLines` say; `TypeError`, `RangeError` and `SyntaxError` for recipients that
 *   are none; the signal's reason
 */
export async function writeBackup(
  session: Session,
  init: BackupInit,
  createdAtMs: number,
  { signal, onProgress }: BackupOptions = {},
  memory: Pick<SlabInit, 'requireLocked'> = {},
): Promise<BackupInfo> {
  signal?.throwIfAborted()
  using keySlab = new Slab({ ...memory, bytes: WORK_BYTES })
  const recipients = recipientsOf(init.for, keySlab)
  using file = new WholeFile(init.to, init.replace === true)
  const { records, rows } = session.copy(keySlab)
  using slab = new Slab({ ...memory, bytes: longestRow(rows) + WORK_BYTES })
  let isLocked = false
  const letGo = session.hold({
    [Symbol.dispose]: () => {
      isLocked = true
      slab[Symbol.dispose]()
      keySlab[Symbol.dispose]()
    },
  })
  try {
    const content = new Content({ records, rows, audit: session.rows, slab, createdAtMs })
    const total = content.size
    const lines = function* (): Generator<LineInit, void, void> {
      let done = 0
      for (const line of content.lines()) {
        yield line
        if (++done % LINES_PER_TURN === 0 || done === total) onProgress?.(done, total)
      }
    }
    const armor = init.armor === true
    const plaintext = encodeLines(lines(), slab)
    for await (const piece of encryptAge(keySlab, recipients, plaintext, { armor })) {
      file.write(piece)
      // Everything else in this process goes on between two chunks.
      await turn()
      signal?.throwIfAborted()
      if (isLocked) throw locked()
    }
    file.finish()
    const { head } = rows
    const vault = Buffer.from(head.vault).toString('hex')
    const { epoch, generation } = head
    return { vault, epoch, generation, createdAtMs, counts: content.counts }
  } catch (error) {
    // What was wiped under its hands fails in one way or another; this is why.
    throw isLocked && !isVaultError(error, { reason: 'locked' }) ? locked(error) : error
  } finally {
    letGo()
  }
}

/**
 * Reads a backup from end to end and shows that it can be restored: nothing is missing, every key pair fits and every
 * secret does what its type is for. Writes nothing.
 *
 * @throws `VaultError` `unauthenticated` (`unlock_failed`) where the identity does not open it, `data_loss` (`damaged`)
 *   naming the line or chunk, `failed_precondition` (`newer_format`), `not_found` and others for the file; `RangeError` and
 *   `SyntaxError` for an identity that is none; the signal's reason
 */
export async function verifyBackup(
  source: BackupSource,
  options: BackupOptions = {},
): Promise<BackupInfo> {
  let info: BackupInfo | undefined
  await read(source, options, (item) => {
    if (item.kind === 'stronghold') info = infoOf(item.fields)
  })
  if (info === undefined) throw new TypeError('Cannot verify backup: it has no first line')
  return info
}

/**
 * The same, and keeps what it reads, secrets sealed in memory, to be compared with a vault, restored into one, or made
 * into a new one (`NewVaultInit.from`). The caller's to dispose of.
 *
 * @throws as `verifyBackup`
 */
export async function openBackup(
  source: BackupSource,
  options: BackupOptions = {},
): Promise<OpenedBackup> {
  const opened = new OpenedBackup(memoryOf(source))
  try {
    await read(source, options, (item) => {
      opened.take(item)
    })
    return opened
  } catch (error) {
    opened[Symbol.dispose]()
    throw error
  }
}

async function read(
  source: BackupSource,
  { signal, onProgress }: BackupOptions,
  take: Parameters<OpenedBackup['take']> extends [infer Item] ? (item: Item) => void : never,
): Promise<void> {
  signal?.throwIfAborted()
  const memory = memoryOf(source)
  using slab = new Slab({ ...memory, bytes: WORK_BYTES })
  const identities = identitiesOf(source.identity, slab)
  const file = typeof source.from === 'string' ? readWhole(source.from) : source.from
  let total = 0
  for await (const item of readBackup({ file, identities, slab, memory })) {
    if (item.kind === 'stronghold') {
      total = linesOf(item.fields.counts) + 2
    }
    take(item)
    if (item.line % LINES_PER_TURN === 0 || item.kind === 'end') {
      onProgress?.(item.line, total)
      await turn()
      signal?.throwIfAborted()
    }
  }
}

function memoryOf({ requireLocked }: BackupSource): Pick<SlabInit, 'requireLocked'> {
  return requireLocked === undefined ? {} : { requireLocked }
}

function recipientsOf(who: BackupFor, slab: Slab): AgeRecipient[] {
  if ('passphrase' in who) {
    const passphrase = passphraseOf(who.passphrase, slab)
    const cost = who.workFactor === undefined ? {} : { logN: who.workFactor }
    return [{ type: 'scrypt', passphrase, ...cost }]
  }
  return who.recipients.map((text) => ({ type: 'x25519', publicKey: parseAgeRecipient(text) }))
}

function identitiesOf(identity: BackupIdentity, slab: Slab): AgeIdentity[] {
  if ('passphrase' in identity) {
    return [{ type: 'scrypt', passphrase: passphraseOf(identity.passphrase, slab) }]
  }
  return parseAgeIdentityFile(slab, identity.identities).map(({ bytes }) => ({
    type: 'x25519',
    secretKey: bytes,
  }))
}

/** A copy that goes with the slab. */
function passphraseOf(passphrase: Uint8Array, slab: Slab): Uint8Array {
  const { byteLength } = passphrase
  if (byteLength < 1 || byteLength > MAX_PASSPHRASE_BYTES) {
    throw new RangeError(
      `Cannot use passphrase: ${byteLength} bytes where 1 to ${MAX_PASSPHRASE_BYTES} are allowed`,
    )
  }
  return slab.copy(passphrase).bytes
}

function locked(cause?: unknown): VaultError {
  return new VaultError('failed_precondition', 'Cannot write backup: the vault was locked', {
    reason: 'locked',
    cause,
  })
}
