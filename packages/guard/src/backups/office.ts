/**
 * Backups of one unlocked vault: written, read, restored and drilled for the owner, and written down. What a backup is
 * stands in the vault; it knows no terminal and no schedule.
 */
import { isAbsolute } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'

import { fromHex } from '@stronghold/core'
import {
  createVault,
  isVaultError,
  MemoryStore,
  openBackup,
  readIdentityFile,
  VaultError,
  verifyBackup,
} from '@stronghold/vault'
import type {
  BackupIdentity,
  BackupInfo,
  BackupSource,
  CompareOptions,
  OpenVault,
  OpenedBackup,
  RestoreDifference,
  Secret,
} from '@stronghold/vault'

import type { Batch } from '../batch.ts'
import type { Desk, Work } from '../desk.ts'
import { BACKUP_COMPARE_TURN, MAX_AUDIT_TEXT_LENGTH, MAX_BACKUP_NAMES } from '../limits.ts'
import type { Secrets } from '../secrets.ts'
import type { Trail } from '../trail.ts'
import type {
  BackupCompared,
  BackupDrilled,
  BackupNote,
  BackupOpener,
  BackupReading,
  BackupRestored,
  BackupRestoring,
  BackupSaid,
  BackupWriting,
} from './doors.ts'
import { putNote, readNotes } from './notes.ts'
import type { LongWork } from './turns.ts'

const KEY_FILE_BYTES = 32
const MAX_VERSIONS_SHOWN = 16

/** What of a guard it works with. */
export interface BackupParts {
  readonly vault: OpenVault
  readonly batch: Batch
  readonly desk: Desk
  readonly trail: Trail
  readonly secrets: Secrets
  nowMs(): number
}

/** See above; for as long as the vault is unlocked. */
export class BackupOffice {
  readonly #parts: BackupParts
  /** As they stand in the vault; `undefined` until somebody asks. */
  #notes: readonly BackupNote[] | undefined

  constructor(parts: BackupParts) {
    this.#parts = parts
  }

  async create({ to, for: who, ...how }: BackupWriting, work: LongWork): Promise<BackupSaid> {
    assertPath(to)
    const { vault } = this.#parts
    const said = await spoken(async () => {
      if (who.by === 'recipients') {
        return await vault.backup({ ...how, to, for: { recipients: who.recipients } }, work)
      }
      using secret = this.#parts.secrets.credential(who)
      return await vault.backup({ ...how, to, for: { passphrase: secret.bytes } }, work)
    })
    const { createdAtMs, epoch, generation, counts } = said
    const note = { file: to, createdAtMs, epoch, generation, records: counts.records }
    await this.#note(note, (done) => {
      this.#write(done, 'made', to, said)
    })
    return this.#said(said)
  }

  async verify(init: BackupReading, work: LongWork): Promise<BackupSaid> {
    return this.#said(await this.#read(init, (source) => verifyBackup(source, work)))
  }

  async compare(
    { paths, ...init }: Omit<BackupRestoring, 'policy'>,
    work: LongWork,
  ): Promise<BackupCompared> {
    using opened = await this.#open(init, work)
    const { info } = opened
    return this.#compared(info, await this.#difference(opened, paths))
  }

  async restore(
    { policy = 'keep', paths, ...init }: BackupRestoring,
    work: LongWork,
  ): Promise<BackupRestored> {
    using opened = await this.#open(init, work)
    const { info } = opened
    const options = paths === undefined ? { policy } : { policy, paths }
    const restored = await this.#parts.batch.run((done) => {
      const restored = done.tx.restore(opened, options)
      const { added, revived, changed, replaced } = restored
      const detail =
        `${policy}${paths === undefined ? '' : ` ${paths}`}: ${added} added, ${revived} revived, ` +
        `${changed} changed, ${replaced} replaced`
      this.#write(done, 'restored', init.from, info, detail)
      // A record that is another now is another question.
      this.#parts.desk.reconsider(done)
      return restored
    })
    return { backup: this.#said(info), ...restored }
  }

  async drill(init: BackupReading, work: LongWork): Promise<BackupDrilled> {
    const beganMs = performance.now()
    using opened = await this.#open(init, work)
    const { info } = opened
    const restored = await scratch(opened)
    const { records, same, onlyHere } = await this.#difference(opened)
    const changed = records.filter(({ here }) => here.length > 0).map(({ path }) => path)
    // What stands in the way of a backup's record is a record that the backup does not have.
    const missing = onlyHere
    const live = same + changed.length + missing.length
    const tookMs = Math.round(performance.now() - beganMs)
    const nowMs = this.#parts.nowMs()
    const said = this.#said(info)
    if (said.isOurs) {
      const { createdAtMs, epoch, generation } = info
      const proven = { atMs: nowMs, covered: same, live }
      const note = { file: init.from, createdAtMs, epoch, generation, records: restored, proven }
      await this.#note(note, (done) => {
        this.#write(done, 'proven', init.from, info, `${same} of ${live} covered`)
      })
    }
    return {
      backup: said,
      restored,
      live,
      covered: same,
      missing: missing.slice(0, MAX_BACKUP_NAMES),
      missingCount: missing.length,
      changed: changed.slice(0, MAX_BACKUP_NAMES),
      changedCount: changed.length,
      gone: records.length - changed.length,
      ageMs: Math.max(nowMs - info.createdAtMs, 0),
      tookMs,
    }
  }

  /** Read once, and again after a write: to ask how things stand is no use of the vault, and keeps it from no lock. */
  async notes(): Promise<readonly BackupNote[]> {
    return (this.#notes ??= await this.#parts.batch.run(({ tx }) => readNotes(tx)))
  }

  async #note(note: BackupNote, write: (work: Work) => void): Promise<void> {
    try {
      await this.#parts.batch.run((work) => {
        write(work)
        putNote(work.tx, note)
      })
    } finally {
      // Also where nobody knows whether it was written.
      this.#notes = undefined
    }
  }

  #difference(opened: OpenedBackup, paths?: string): Promise<RestoreDifference> {
    const wanted = paths === undefined ? {} : { paths }
    return inTurns(opened, (part) =>
      this.#parts.batch.run(({ tx }) => tx.compare(opened, { ...wanted, part })),
    )
  }

  #open(init: BackupReading, work: LongWork): Promise<OpenedBackup> {
    return this.#read(init, (source) => openBackup(source, work))
  }

  /** The key that opens it is there for as long as it is read. */
  async #read<T>(
    { from, opener }: BackupReading,
    use: (source: BackupSource) => Promise<T>,
  ): Promise<T> {
    assertPath(from)
    return await spoken(async () => {
      using secret = this.#secret(opener)
      const identity: BackupIdentity =
        opener.by === 'identity-file' ? { identities: secret.bytes } : { passphrase: secret.bytes }
      return await use({ from, identity })
    })
  }

  #secret(opener: BackupOpener): Secret {
    const { secrets } = this.#parts
    if (opener.by !== 'identity-file') return secrets.credential(opener)
    assertPath(opener.path)
    return readIdentityFile(opener.path, secrets.slab)
  }

  #said({ vault, epoch, generation, createdAtMs, counts }: BackupInfo): BackupSaid {
    const { records, versions, entries } = counts
    const isOurs = this.#parts.vault.status().vault === vault
    const what = { epoch, generation, createdAtMs, records, versions, entries }
    return { vault: fromHex(vault), isOurs, ...what }
  }

  #compared(info: BackupInfo, difference: RestoreDifference): BackupCompared {
    const { records, entries, same, onlyHere } = difference
    return {
      backup: this.#said(info),
      records: records.slice(0, MAX_BACKUP_NAMES).map(({ path, state, here, backup, why }) => ({
        path,
        state,
        here: here.slice(-MAX_VERSIONS_SHOWN),
        backup: backup.slice(-MAX_VERSIONS_SHOWN),
        ...(why === undefined ? {} : { why }),
      })),
      differ: records.length,
      same,
      onlyHere: onlyHere.length,
      entries: entries.length,
    }
  }

  #write(
    { tx, journal }: Work,
    change: 'made' | 'restored' | 'proven',
    path: string,
    { vault, epoch, generation }: BackupInfo,
    detail?: string,
  ): void {
    this.#parts.trail.append(tx, journal, 'backup', {
      change,
      file: path.slice(-MAX_AUDIT_TEXT_LENGTH),
      vault: fromHex(vault),
      epoch,
      generation,
      ...(detail === undefined ? {} : { detail: detail.slice(0, MAX_AUDIT_TEXT_LENGTH) }),
    })
  }
}

/**
 * Restores a backup into a vault of its own, in memory, under a key that nobody keeps; locks it, unlocks it, which checks
 * every row, and holds every secret that comes out against the backup.
 *
 * @returns how many records came back
 */
async function scratch(opened: OpenedBackup): Promise<number> {
  const keyFile = crypto.getRandomValues(new Uint8Array(KEY_FILE_BYTES))
  try {
    await using vault = await createVault({
      at: new MemoryStore(),
      credential: { keyFile },
      from: opened,
    })
    await vault.lock()
    await vault.unlock({ keyFile })
    const { records, same, onlyHere } = await inTurns(opened, (part) =>
      vault.compare(opened, { part }),
    )
    const [first] = records
    if (first !== undefined || onlyHere.length > 0) {
      const path = (first?.path ?? onlyHere[0] ?? '').slice(0, 64)
      throw new VaultError(
        'data_loss',
        `Cannot prove backup: record "${path}" comes back otherwise`,
        { reason: 'damaged' },
      )
    }
    return same
  } finally {
    keyFile.fill(0)
  }
}

/** Compares a few records at a time: between two turns everything else of this thread goes on. */
async function inTurns(
  { info }: OpenedBackup,
  compare: (part: NonNullable<CompareOptions['part']>) => Promise<RestoreDifference>,
): Promise<RestoreDifference> {
  const count = BACKUP_COMPARE_TURN
  let all = await compare({ from: 0, count })
  for (let from = count; from < info.counts.records; from += count) {
    await turn()
    const { records, same, onlyHere, entries } = await compare({ from, count })
    all = {
      ...all,
      onlyHere,
      entries,
      records: [...all.records, ...records],
      same: all.same + same,
    }
  }
  return all
}

function assertPath(path: string): void {
  if (isAbsolute(path)) return
  throw new VaultError(
    'invalid_argument',
    `Cannot use file ${JSON.stringify(path.slice(0, 64))}: its path is not absolute`,
  )
}

/** What text or an identity does not read is the caller's mistake. */
async function spoken<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (isVaultError(cause)) throw cause
    if (!(cause instanceof SyntaxError) && !(cause instanceof RangeError)) throw cause
    throw new VaultError('invalid_argument', cause.message, { cause })
  }
}
