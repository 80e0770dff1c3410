/**
 * Backups at the owner door: plain values in, plain values out. Files are read and written by whoever keeps the vault; their
 * paths are absolute.
 */
import type { SealedSecret } from '../doors.ts'

/** A passphrase on its way in. A file of one line is read straight into locked memory. */
export type BackupPassphrase =
  | { readonly by: 'passphrase'; readonly passphrase: SealedSecret }
  | { readonly by: 'passphrase-file'; readonly path: string }

/** Who will be able to open a backup. */
export type BackupReader =
  | BackupPassphrase
  /** `age1…`, one to 64. */
  | { readonly by: 'recipients'; readonly recipients: readonly string[] }

/** What opens a backup. */
export type BackupOpener =
  | BackupPassphrase
  /** A file of `age-keygen`. */
  | { readonly by: 'identity-file'; readonly path: string }

/** A backup to be written. */
export interface BackupWriting {
  readonly to: string
  readonly for: BackupReader
  /** Puts it in the place of a file that stands there. Default false. */
  readonly replace?: boolean
  /** As text. Default false. */
  readonly armor?: boolean
}

/** A backup to be read. */
export interface BackupReading {
  readonly from: string
  readonly opener: BackupOpener
}

/** A backup to be put into the vault. */
export interface BackupRestoring extends BackupReading {
  /** What to do where both have something. Default `keep`: the vault's stays. */
  readonly policy?: 'keep' | 'replace'
  /** Records whose paths match; the plain store then stays as it is. Default: everything. */
  readonly paths?: string
}

/** What a backup says of itself. */
export interface BackupSaid {
  /** Of the vault, 16 bytes. */
  readonly vault: Uint8Array
  /** Is it of this vault. */
  readonly isOurs: boolean
  readonly epoch: number
  readonly generation: number
  readonly createdAtMs: number
  readonly records: number
  readonly versions: number
  readonly entries: number
}

/** One record that differs. Metadata only. */
export interface BackupDifference {
  readonly path: string
  readonly state: 'added' | 'gone' | 'changed' | 'conflict'
  /** Numbers of the versions that the vault has, and the backup; the newest 16. */
  readonly here: readonly number[]
  readonly backup: readonly number[]
  /** In words, where it is a conflict. */
  readonly why?: string
}

/** How a backup differs from the vault. */
export interface BackupCompared {
  readonly backup: BackupSaid
  /** In the order of paths, the first 1,000. */
  readonly records: readonly BackupDifference[]
  /** How many differ. */
  readonly differ: number
  /** How many are the same in both. */
  readonly same: number
  /** How many only the vault has; they stay. */
  readonly onlyHere: number
  /** Keys of the plain store that differ. */
  readonly entries: number
}

/** What a restore wrote. */
export interface BackupRestored {
  readonly backup: BackupSaid
  readonly added: number
  /** Came back although they had been taken away. */
  readonly revived: number
  readonly changed: number
  /** Had to go because the backup's stands at their path now. */
  readonly replaced: number
  readonly entries: number
  readonly removed: number
}

/** What a drill found. */
export interface BackupDrilled {
  readonly backup: BackupSaid
  /** Records that came back whole in a scratch vault, each secret tested and read back byte for byte. */
  readonly restored: number
  /** Records of the vault now, and how many of them the backup has as they are. */
  readonly live: number
  readonly covered: number
  /** Paths that the backup does not have, the first 1,000, and how many. */
  readonly missing: readonly string[]
  readonly missingCount: number
  /** Paths whose record is another by now, the first 1,000, and how many. */
  readonly changed: readonly string[]
  readonly changedCount: number
  /** Records of the backup that the vault does not have any more. */
  readonly gone: number
  readonly ageMs: number
  readonly tookMs: number
}

/** How far something long has come, and then what came of it. */
export type BackupTurn<T> =
  | { readonly state: 'working'; readonly lines: number; readonly of: number }
  | { readonly state: 'done'; readonly result: T }

/** What is remembered of one backup file. */
export interface BackupNote {
  readonly file: string
  /** When it was written, as it says itself. */
  readonly createdAtMs: number
  readonly epoch: number
  readonly generation: number
  readonly records: number
  /** When a drill restored it last, and how much of the vault it covered then. */
  readonly proven?: { readonly atMs: number; readonly covered: number; readonly live: number }
}

/** What the owner may ask about backups. An admin only; what writes is audited. */
export interface BackupOwnerDoor {
  /** Writes a backup of the vault of this moment. @throws `VaultError` as `OpenVault.backup` */
  backupCreate(
    init: BackupWriting,
    options: { signal: AbortSignal },
  ): AsyncIterable<BackupTurn<BackupSaid>>
  /** Reads one to its end and tests every secret. @throws `VaultError` as `verifyBackup` */
  backupVerify(
    init: BackupReading,
    options: { signal: AbortSignal },
  ): AsyncIterable<BackupTurn<BackupSaid>>
  /** How it differs from the vault. Changes nothing. */
  backupCompare(
    init: Omit<BackupRestoring, 'policy'>,
    options: { signal: AbortSignal },
  ): AsyncIterable<BackupTurn<BackupCompared>>
  /** Puts it into the vault, in one commit with its audit entry. Labels never get wider. */
  backupRestore(
    init: BackupRestoring,
    options: { signal: AbortSignal },
  ): AsyncIterable<BackupTurn<BackupRestored>>
  /** Restores it into a scratch vault in memory, reads every record back and compares it with this vault. */
  backupDrill(
    init: BackupReading,
    options: { signal: AbortSignal },
  ): AsyncIterable<BackupTurn<BackupDrilled>>
  /** What is remembered of backups, newest first: the last 64 files. */
  backupNotes(): Promise<readonly BackupNote[]>
}
