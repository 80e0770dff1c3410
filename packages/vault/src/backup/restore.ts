/**
 * A backup beside a vault that exists: how they differ, and what of the backup goes into it. Labels never get wider, a
 * minimum never falls, and nothing that only the vault has is taken away, but for what stands where the owner asked for
 * the backup's. It knows no file.
 */
import { equalBytes, matches, parsePath, parsePattern } from '@stronghold/core'

import { meet } from '../catalog/index.ts'
import type { RecordType } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import { versionOf } from '../record.ts'
import type { RecordVersion, StoredRecord } from '../record.ts'
import type { RecordChanges } from '../records.ts'
import type { TransactionParts } from '../session.ts'
import type { Slab } from '../secret.ts'
import type { StoredValue } from '../store.ts'

import type { BackupInfo, HeldRecord, OpenedBackup } from './opened.ts'

/** What to do where both have something: leave the vault's as it is, or write the backup's over it. */
export type RestorePolicy = 'keep' | 'replace'

/** How a record of a backup differs from what the vault has. */
export type RecordState =
  /** The vault never had it. */
  | 'added'
  /** The vault took it away since: a tombstone stands for it. */
  | 'gone'
  /** Both have it, with other versions, labels, minimum or times; no version has other bytes. */
  | 'changed'
  /** Another record stands at its path, it stands at another path, or a version of it has other bytes. */
  | 'conflict'

/** One record that differs. Metadata only. */
export interface RecordDifference {
  readonly path: string
  /** 32 hex digits. */
  readonly id: string
  readonly type: RecordType
  readonly state: RecordState
  /** Numbers of the versions that the vault has; none where it has not the record. */
  readonly here: readonly number[]
  /** Numbers of the versions that the backup has. */
  readonly backup: readonly number[]
  /** In words, where it is a conflict. */
  readonly why?: string
}

/** One entry of the plain store that differs. */
export interface EntryDifference {
  readonly key: string
  readonly state: 'added' | 'changed'
}

/** How a backup differs from a vault. */
export interface RestoreDifference {
  readonly backup: BackupInfo
  /** In the order of paths. */
  readonly records: readonly RecordDifference[]
  /** In the order of keys. */
  readonly entries: readonly EntryDifference[]
  /** Records that are the same in both. */
  readonly same: number
  /** Paths of records that only the vault has. They stay, whatever the policy. */
  readonly onlyHere: readonly string[]
  /** What only a new vault takes: rows of a guard's, plain rows, audit entries. */
  readonly left: { readonly rows: number; readonly plain: number; readonly audit: number }
}

/** What a restore wrote. */
export interface Restored {
  readonly added: number
  /** Came back although the vault had taken them away. */
  readonly revived: number
  readonly changed: number
  /** Records that had to go because the backup's stands at their path now; tombstones stay for them. */
  readonly replaced: number
  readonly entries: number
  readonly removed: number
}

/** What is looked at, and how. */
export interface RestoreOptions {
  /** Default `keep`. */
  policy?: RestorePolicy
  /** Records whose paths match; the plain store then stays as it is. Default: everything. */
  paths?: string
}

/** What is compared. */
export interface CompareOptions extends Pick<RestoreOptions, 'paths'> {
  /**
   * Which of the backup's records, by their place in it, so that nobody waits for all of them; what only the vault has, and the
   * store, come with the last ones. Default all.
   */
  part?: { readonly from: number; readonly count: number }
}

/** How a backup differs from a vault. Changes nothing. @throws `VaultError` `invalid_argument` for what is no pattern */
export function differenceOf(
  backup: OpenedBackup,
  parts: TransactionParts,
  { paths, part = { from: 0, count: backup.records.length } }: CompareOptions = {},
): RestoreDifference {
  const end = part.from + part.count
  const isLast = end >= backup.records.length
  using slab = backup.room()
  const comparing = new Comparing(backup, parts, slab)
  const wanted = wantedBy(paths)
  const records: RecordDifference[] = []
  let same = 0
  for (const held of backup.records.slice(part.from, end)) {
    const { record } = held
    if (!wanted(record.path)) continue
    const found = comparing.state(held)
    if (found === undefined) same++
    else records.push(differenceIn(record, found, parts.records.byId(record.id)))
  }
  const all = isLast ? backup.records.filter(({ record }) => wanted(record.path)) : []
  const known = new Set(all.map(({ record }) => record.id))
  const onlyHere = (isLast ? [...parts.records.all()] : [])
    .filter(({ id, path }) => !known.has(id) && wanted(path))
    .map(({ path }) => path)
    .sort()
  const { rows, plain, audit } = backup.info.counts
  return {
    backup: backup.info,
    records,
    entries: paths === undefined && isLast ? entriesOf(backup, parts) : [],
    same,
    onlyHere,
    left: { rows, plain, audit },
  }
}

/**
 * Writes what of a backup goes into a vault, within one transaction. Versions that come in were not made here: AES-GCM
 * only decrypts with them, until the key is rotated.
 *
 * @throws `VaultError` `invalid_argument` for what is no pattern, `resource_exhausted` past a limit of the vault
 */
export function restoreInto(
  backup: OpenedBackup,
  parts: TransactionParts,
  { policy = 'keep', paths }: RestoreOptions = {},
): Restored {
  using slab = backup.room()
  const comparing = new Comparing(backup, parts, slab)
  const wanted = wantedBy(paths)
  const written = { added: 0, revived: 0, changed: 0, replaced: 0, entries: 0, removed: 0 }
  for (const held of backup.records) {
    if (!wanted(held.record.path)) continue
    const found = comparing.state(held)
    if (found === undefined || (policy === 'keep' && found.state !== 'added')) continue
    written.replaced += comparing.write(held)
    if (found.state === 'added') written.added++
    else if (found.state === 'gone') written.revived++
    else written.changed++
  }
  if (paths !== undefined) return written
  const { records, store } = parts
  for (const { id, tombstone } of backup.tombstones) {
    if (records.byId(id) !== undefined || records.tombstone(id) !== undefined) continue
    records.putTombstone(id, tombstone)
    written.removed++
  }
  const values = new Map(backup.entries.map((entry) => [entry.key, entry]))
  for (const { key, state } of entriesOf(backup, parts)) {
    const entry = values.get(key)
    if (entry === undefined || (policy === 'keep' && state !== 'added')) continue
    store.putBack(entry)
    written.entries++
  }
  return written
}

interface Found {
  readonly state: RecordState
  readonly why?: string
}

/** Records of a backup held against those of a vault. */
class Comparing {
  readonly #backup: OpenedBackup
  readonly #parts: TransactionParts
  readonly #slab: Slab

  constructor(backup: OpenedBackup, parts: TransactionParts, slab: Slab) {
    this.#backup = backup
    this.#parts = parts
    this.#slab = slab
  }

  /** How a record differs, or `undefined` where it does not. */
  state(held: HeldRecord): Found | undefined {
    const { records } = this.#parts
    const theirs = held.record
    const ours = records.byId(theirs.id)
    const there = records.at(theirs.path)
    if (there !== undefined && there.id !== theirs.id) {
      return { state: 'conflict', why: 'another record stands at its path' }
    }
    if (ours === undefined) {
      return { state: records.tombstone(theirs.id) === undefined ? 'added' : 'gone' }
    }
    if (ours.path !== theirs.path) {
      return { state: 'conflict', why: `it stands at "${ours.path}"` }
    }
    if (ours.type !== theirs.type) return { state: 'conflict', why: 'it is of another type' }
    const other = theirs.versions.find((version, i) => {
      const own = versionOf(ours, version.number)
      return own !== undefined && !this.#sameBytes(ours, own, held.secrets[i])
    })
    if (other !== undefined) {
      return { state: 'conflict', why: `version ${other.number} is another secret` }
    }
    return sameMetadata(ours, theirs) ? undefined : { state: 'changed' }
  }

  /** Writes a record, with what the vault has of it beside it. @returns how many others had to go */
  write(held: HeldRecord): number {
    const { records, when } = this.#parts
    const theirs = held.record
    let gone = 0
    const there = records.at(theirs.path)
    if (there !== undefined && there.id !== theirs.id) {
      records.remove(there)
      gone++
    }
    const stands = records.byId(theirs.id)
    const fits = stands?.path === theirs.path && stands.type === theirs.type
    if (stands !== undefined && !fits) records.remove(stands)
    const ours = fits ? stands : undefined
    const secrets = new Map<number, Uint8Array>()
    const incoming = theirs.versions.map((version, i): RecordVersion => {
      const own = ours === undefined ? undefined : versionOf(ours, version.number)
      const sealed = held.secrets[i]
      if (own !== undefined && ours !== undefined && this.#sameBytes(ours, own, sealed)) return own
      if (sealed !== undefined) secrets.set(version.number, sealed)
      return { ...version, epoch: when.epoch, here: false }
    })
    const numbers = new Set(incoming.map(({ number }) => number))
    const kept = ours?.versions.filter(({ number }) => !numbers.has(number)) ?? []
    const versions = [...incoming, ...kept].sort((a, b) => a.number - b.number)
    records.putBack(
      ours === undefined
        ? { ...theirs, versions }
        : {
            ...ours,
            labels: meet([ours.labels, theirs.labels]),
            minimum: Math.max(ours.minimum, theirs.minimum),
            changedAtMs: when.nowMs,
            versions,
          },
      ({ number }) => {
        const sealed = secrets.get(number)
        return sealed === undefined ? undefined : this.#backup.open(sealed, this.#slab)
      },
    )
    return gone
  }

  #sameBytes(ours: StoredRecord, own: RecordVersion, sealed: Uint8Array | undefined): boolean {
    if (sealed === undefined) return false
    using theirs = this.#backup.open(sealed, this.#slab)
    if (theirs.length !== own.length) return false
    using mine = openOurs(this.#parts.records, ours, own, this.#parts.session.slab)
    return equalBytes(mine.bytes, theirs.bytes)
  }
}

function openOurs(
  records: RecordChanges,
  record: StoredRecord,
  version: RecordVersion,
  slab: Slab,
): ReturnType<RecordChanges['openSecret']> {
  return records.openSecret(record, version, slab)
}

/** But times of change and where a version was made, which differ between vaults. */
function sameMetadata(a: StoredRecord, b: StoredRecord): boolean {
  const numbers = (record: StoredRecord): string =>
    record.versions.map(({ number }) => number).join()
  return (
    a.minimum === b.minimum &&
    a.labels.egress === b.labels.egress &&
    a.labels.sync === b.labels.sync &&
    a.labels.usage.size === b.labels.usage.size &&
    [...a.labels.usage].every((usage) => b.labels.usage.has(usage)) &&
    numbers(a) === numbers(b)
  )
}

function differenceIn(
  record: StoredRecord,
  { state, why }: Found,
  ours: StoredRecord | undefined,
): RecordDifference {
  const numbers = (of: StoredRecord | undefined): number[] =>
    of?.versions.map(({ number }) => number) ?? []
  const { path, id, type } = record
  const difference = { path, id, type, state, here: numbers(ours), backup: numbers(record) }
  return why === undefined ? difference : { ...difference, why }
}

/** Entries that differ and have not expired. */
function entriesOf(
  backup: OpenedBackup,
  { store, when }: Pick<TransactionParts, 'store' | 'when'>,
): EntryDifference[] {
  const isOver = ({ expiresAtMs }: StoredValue): boolean =>
    expiresAtMs !== undefined && expiresAtMs <= when.nowMs
  return backup.entries.flatMap((entry): EntryDifference[] => {
    if (isOver(entry)) return []
    const { key } = entry
    const ours = store.get(key)
    if (ours === undefined) return [{ key, state: 'added' }]
    return equalBytes(ours, entry.value) ? [] : [{ key, state: 'changed' }]
  })
}

function wantedBy(paths: string | undefined): (path: string) => boolean {
  if (paths === undefined) return () => true
  try {
    const pattern = parsePattern(paths)
    return (path) => matches(pattern, parsePath(path))
  } catch (cause) {
    throw new VaultError('invalid_argument', (cause as Error).message, { cause })
  }
}
