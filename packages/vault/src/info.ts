/** What a vault says of its records to whoever may list them: words and numbers, nothing secret. Pure. */
import { matches, parsePath, parsePattern } from '@stronghold/core'

import type { Egress, RecordType, Usage } from './catalog/index.ts'
import { VaultError } from './errors.ts'
import { idBytes, newest, publicKeyOf } from './record.ts'
import type { Origin, StoredRecord } from './record.ts'

/** A record as it is listed. */
export interface RecordInfo {
  readonly path: string
  /** 16 bytes, for good. */
  readonly id: Uint8Array
  readonly type: RecordType
  readonly labels: {
    readonly usage: readonly Usage[]
    readonly egress: Egress
    readonly sync: boolean
  }
  /** The newest version. */
  readonly version: number
  /** Versions below are refused. */
  readonly minimum: number
  /** Numbers of the versions that stand, oldest first. */
  readonly versions: readonly number[]
  readonly origin: Origin
  /** Ids of the records that it was made from, 16 bytes each. */
  readonly from: readonly Uint8Array[]
  readonly createdAtMs: number
  readonly changedAtMs: number
  /** Of the newest version: 32 bytes or the uncompressed point. Absent where the type has none or nothing may leave. */
  readonly publicKey?: Uint8Array
}

/** What is listed of a record. */
export function infoOf(record: StoredRecord): RecordInfo {
  const version = newest(record)
  const publicKey = record.labels.egress === 'none' ? undefined : publicKeyOf(version)
  return {
    path: record.path,
    id: idBytes(record.id),
    type: record.type,
    labels: { ...record.labels, usage: [...record.labels.usage].sort() },
    version: version.number,
    minimum: record.minimum,
    versions: record.versions.map(({ number }) => number),
    origin: record.origin,
    from: record.from.map(idBytes),
    createdAtMs: record.createdAtMs,
    changedAtMs: record.changedAtMs,
    ...(publicKey === undefined ? {} : { publicKey }),
  }
}

/**
 * The records at paths that a pattern matches, in the order of paths; all where none is given.
 *
 * @throws `VaultError` `invalid_argument` for text that is no pattern
 */
export function listRecords(records: Iterable<StoredRecord>, pattern = '**'): RecordInfo[] {
  const found: RecordInfo[] = []
  const wanted = patternOf(pattern)
  for (const record of records) {
    if (matches(wanted, parsePath(record.path))) found.push(infoOf(record))
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1))
}

function patternOf(text: string): ReturnType<typeof parsePattern> {
  try {
    return parsePattern(text)
  } catch (cause) {
    throw new VaultError('invalid_argument', (cause as Error).message, { cause })
  }
}
