/** What is remembered of backups of one vault: one sealed row. It opens no file. */
import { decode, encode, encodeUtf8 } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'
import type { VaultTransaction } from '@stronghold/vault'

import { KINDS } from '../kinds.ts'
import { MAX_BACKUP_NOTES } from '../limits.ts'
import type { BackupNote } from './doors.ts'

const ID = encodeUtf8('notes')

/** All notes, newest first. @throws `VaultError` `data_loss` (`damaged`) for a row that is not as this program writes one */
export function readNotes(tx: VaultTransaction): readonly BackupNote[] {
  const row = tx.get(KINDS.backups, ID)
  try {
    return row === undefined ? [] : (decode(row) as BackupNote[])
  } catch (cause) {
    throw new VaultError('data_loss', 'Cannot read notes of backups: the row is damaged', {
      reason: 'damaged',
      cause,
    })
  }
}

/** Puts a note in front, in the place of an older one about the same file; the oldest go. */
export function putNote(tx: VaultTransaction, note: BackupNote): void {
  const others = readNotes(tx).filter(({ file }) => file !== note.file)
  const notes = [note, ...others].sort((a, b) => b.createdAtMs - a.createdAtMs)
  tx.put(KINDS.backups, ID, encode(notes.slice(0, MAX_BACKUP_NOTES)))
}
