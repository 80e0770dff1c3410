/**
 * What the lines of a backup say (`docs/vault-format.md §9`), as values and as text, strictly one form for each. It looks
 * at one line at a time: what lines say together is for whoever reads them all.
 */
import { decodeUtf8, encodeUtf8, parsePath, toHex } from '@stronghold/core'
import { z } from 'zod'

import { EGRESS, RECORD_TYPES, USAGES } from '../catalog/index.ts'
import type { Egress, RecordType, Usage } from '../catalog/index.ts'
import { isVaultError, VaultError } from '../errors.ts'
import { decodeBase64, decodedBase64Length, encodeBase64 } from '../formats/base64.ts'
import { scanJsonObject } from '../formats/json.ts'
import type { JsonMember } from '../formats/json.ts'
import { MAX_ROW_ID_BYTES, MAX_ROW_KIND, MAX_STORE_KEY_BYTES } from '../limits.ts'
import { ORIGINS, publicKeyOf } from '../record.ts'
import type { Origin, RecordVersion, StoredRecord, Tombstone } from '../record.ts'
import type { Head } from '../rows.ts'
import type { StoredValue } from '../store.ts'
import type { RowName } from '../stores/store.ts'

import type { Line, LineInit } from './lines.ts'

/** Version of what is written. */
const VERSION = 1

const uint = z.int().min(0)
const hex = (bytes: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`))
const base64 = z.string().transform((text, context): Uint8Array => {
  try {
    return decodeText(encodeUtf8(text))
  } catch {
    context.addIssue('no canonical base64')
    return z.NEVER
  }
})
const path = z.string().refine(isPath)
const rowId = base64.refine(({ byteLength }) => byteLength >= 1 && byteLength <= MAX_ROW_ID_BYTES)
const rowKind = z.int().min(1).max(MAX_ROW_KIND)

/** How many of each there are. */
export interface BackupCounts {
  readonly records: number
  readonly versions: number
  /** Tombstones: what is left of records that were taken away. */
  readonly removed: number
  /** Of the plain store. */
  readonly entries: number
  /** Rows of a guard's and of the vault's own. */
  readonly rows: number
  /** Rows that can be read while the vault is locked. */
  readonly plain: number
  /** Audit entries. */
  readonly audit: number
}

/** How many lines there are but the first and the last. */
export function linesOf(counts: BackupCounts): number {
  const { records, versions, removed, entries, rows, plain, audit } = counts
  return records + versions + removed + entries + rows + plain + audit
}

/** What each kind of line has beside its bytes; the first member tells the kind. */
export interface Fields {
  readonly stronghold: {
    readonly stronghold: 'backup'
    readonly v: number
    readonly vault: string
    readonly epoch: number
    readonly generation: number
    readonly createdAt: string
    readonly vaultCreatedAtMs: number
    readonly highestTimeMs: number
    readonly auditHead: string
    readonly auditLength: number
    readonly counts: BackupCounts
  }
  readonly record: {
    readonly record: string
    readonly id: string
    readonly type: RecordType
    readonly usage: Usage[]
    readonly egress: Egress
    readonly sync: boolean
    readonly origin: Origin
    readonly from: string[]
    readonly createdAtMs: number
    readonly changedAtMs: number
    readonly minimum: number
    readonly versions: number
  }
  readonly version: {
    readonly version: number
    readonly of: string
    readonly createdAtMs: number
    readonly epoch: number
    readonly here: boolean
    readonly nonces?: number | undefined
    readonly public?: Uint8Array | undefined
  }
  readonly removed: {
    readonly removed: string
    readonly id: string
    readonly removedAtMs: number
    readonly version: number
    readonly last?: string | undefined
  }
  readonly entry: {
    readonly entry: string
    readonly changedAtMs: number
    readonly expiresAtMs?: number | undefined
  }
  readonly row: { readonly row: number; readonly id: Uint8Array }
  readonly plain: { readonly plain: number; readonly id: Uint8Array }
  readonly audit: { readonly audit: number }
  readonly end: { readonly end: 'backup'; readonly lines: number; readonly sha256: string }
}

/** What a line tells of. */
export type LineKind = keyof Fields

/** In the order in which they follow each other; a record is followed by its versions. */
const LINES: { readonly [K in LineKind]: z.ZodType<Fields[K]> } = {
  stronghold: z.strictObject({
    stronghold: z.literal('backup'),
    v: z.literal(VERSION),
    vault: hex(16),
    epoch: uint,
    generation: uint,
    createdAt: z.iso.datetime({ precision: 3 }),
    vaultCreatedAtMs: uint,
    highestTimeMs: uint,
    auditHead: hex(32),
    auditLength: uint,
    counts: z.strictObject({
      records: uint,
      versions: uint,
      removed: uint,
      entries: uint,
      rows: uint,
      plain: uint,
      audit: uint,
    }),
  }),
  record: z.strictObject({
    record: path,
    id: hex(16),
    type: z.enum(RECORD_TYPES),
    usage: z.array(z.enum(USAGES)),
    egress: z.enum(EGRESS),
    sync: z.boolean(),
    origin: z.enum(ORIGINS),
    from: z.array(hex(16)),
    createdAtMs: uint,
    changedAtMs: uint,
    minimum: z.int().min(1),
    versions: z.int().min(1),
  }),
  version: z.strictObject({
    version: z.int().min(1).max(0xffffffff),
    of: path,
    createdAtMs: uint,
    epoch: uint,
    here: z.boolean(),
    nonces: uint.optional(),
    public: base64.optional(),
  }),
  removed: z.strictObject({
    removed: path,
    id: hex(16),
    removedAtMs: uint,
    version: z.int().min(1),
    last: hex(16).optional(),
  }),
  entry: z.strictObject({
    entry: z.string().refine(isStoreKey),
    changedAtMs: uint,
    expiresAtMs: uint.optional(),
  }),
  row: z.strictObject({ row: rowKind, id: rowId }),
  plain: z.strictObject({ plain: rowKind, id: rowId }),
  audit: z.strictObject({ audit: uint }),
  end: z.strictObject({ end: z.literal('backup'), lines: uint, sha256: hex(32) }),
}

/** The kinds of lines in the order in which they follow each other. */
export const LINE_KINDS: readonly LineKind[] = Object.freeze(Object.keys(LINES)) as LineKind[]

/** The member with a line's bytes, of kinds that have one. */
const BYTES: Readonly<Partial<Record<LineKind, string>>> = {
  version: 'secret',
  entry: 'value',
  row: 'value',
  plain: 'value',
  audit: 'value',
}

/** A line that was read. */
export type Item = {
  [K in LineKind]: {
    readonly kind: K
    /** From 1. */
    readonly line: number
    readonly fields: Fields[K]
    /** A view into the line itself; empty where the kind has none. */
    readonly bytes: Uint8Array
    readonly before: string | undefined
  }
}[LineKind]

/** An item of one kind. */
export type ItemOf<K extends LineKind> = Extract<Item, { kind: K }>

/**
 * Reads a line. Its bytes are decoded where they stand.
 *
 * @throws `VaultError` `data_loss` (`damaged`) naming the line and the member, never what it holds; `failed_precondition`
 *   (`newer_format`) for the first line of a later version
 */
export function parseLine({ number, bytes, before }: Line): Item {
  const members = scan(number, bytes)
  const [kind] = members.keys()
  if (kind === undefined || !isLineKind(kind)) throw badLine(number, 'not a line of a backup')
  const name = BYTES[kind]
  let value: Uint8Array = NOTHING
  if (name !== undefined) {
    const member = members.get(name)
    if (member?.kind !== 'text') throw badLine(number, `${kind}: no "${name}"`)
    members.delete(name)
    try {
      value = member.bytes.subarray(0, decodeBase64(member.bytes, member.bytes))
    } catch {
      throw badLine(number, `${kind}: "${name}" is no canonical base64`)
    }
  }
  const fields = fieldsOf(number, members)
  if (kind === 'stronghold' && isNewer(fields)) {
    throw new VaultError(
      'failed_precondition',
      'Cannot read backup: it was written by a newer version of this program',
      { reason: 'newer_format' },
    )
  }
  const read = LINES[kind].safeParse(fields)
  if (!read.success) {
    const at = read.error.issues.map((issue) =>
      issue.code === 'unrecognized_keys' ? 'a member too many' : `"${issue.path.join('.')}"`,
    )
    throw badLine(number, `${kind}: ${at[0] ?? 'something'} is not as it has to be`)
  }
  return { kind, line: number, fields: read.data, bytes: value, before } as Item
}

/** The error for a line. */
export function badLine(number: number, state: string, cause?: unknown): VaultError {
  return new VaultError('data_loss', `Cannot read backup: line ${number}: ${state}`, {
    reason: 'damaged',
    cause,
  })
}

const NOTHING = new Uint8Array(0)

function scan(number: number, bytes: Uint8Array): Map<string, JsonMember> {
  try {
    return scanJsonObject(bytes, 'line')
  } catch (error) {
    if (isVaultError(error) || !(error instanceof Error)) throw error
    throw badLine(number, error.message.replace(/^Cannot read line: /, ''), error)
  }
}

function fieldsOf(number: number, members: ReadonlyMap<string, JsonMember>): object {
  try {
    return Object.fromEntries(
      [...members].map(([name, { kind, bytes }]) => {
        const text = decodeUtf8(bytes)
        return [name, kind === 'text' ? text : (JSON.parse(text) as unknown)]
      }),
    )
  } catch {
    throw badLine(number, 'not UTF-8')
  }
}

function isLineKind(name: string): name is LineKind {
  return Object.hasOwn(LINES, name)
}

function isNewer(fields: object): boolean {
  return 'v' in fields && typeof fields.v === 'number' && fields.v > VERSION
}

function decodeText(text: Uint8Array): Uint8Array {
  const out = new Uint8Array(decodedBase64Length(text))
  decodeBase64(text, out)
  return out
}

function isPath(text: string): boolean {
  try {
    parsePath(text)
    return true
  } catch {
    return false
  }
}

function isStoreKey(key: string): boolean {
  if (!key.isWellFormed()) return false
  const length = encodeUtf8(key).byteLength
  return length >= 1 && length <= MAX_STORE_KEY_BYTES
}

// --- Values as lines

/** The first line. */
export function manifestLine(head: Head, createdAtMs: number, all: BackupCounts): LineInit {
  return fieldsOnly({
    stronghold: 'backup',
    v: VERSION,
    vault: toHex(head.vault),
    epoch: head.epoch,
    generation: head.generation,
    createdAt: new Date(createdAtMs).toISOString(),
    vaultCreatedAtMs: head.createdAtMs,
    highestTimeMs: head.timeMs,
    auditHead: toHex(head.auditHead),
    auditLength: head.auditLength,
    counts: all,
  })
}

/** A record, whose versions follow. */
export function recordLine(record: StoredRecord): LineInit {
  return fieldsOnly({
    record: record.path,
    id: record.id,
    type: record.type,
    usage: [...record.labels.usage].sort(),
    egress: record.labels.egress,
    sync: record.labels.sync,
    origin: record.origin,
    from: [...record.from],
    createdAtMs: record.createdAtMs,
    changedAtMs: record.changedAtMs,
    minimum: record.minimum,
    versions: record.versions.length,
  })
}

/** A version with its secret. */
export function versionLine(
  of: string,
  version: RecordVersion,
  nonces: number | undefined,
  secret: Uint8Array,
): LineInit {
  const publicKey = publicKeyOf(version)
  const fields = {
    version: version.number,
    of,
    createdAtMs: version.createdAtMs,
    epoch: version.epoch,
    here: version.here,
    ...(nonces === undefined ? {} : { nonces }),
    ...(publicKey === undefined ? {} : { public: encodeBase64(publicKey) }),
  }
  return { fields, bytes: { name: 'secret', value: secret } }
}

/** What is left of a record. */
export function removedLine(id: string, tombstone: Tombstone): LineInit {
  const { path, ...rest } = tombstone
  return fieldsOnly({ removed: path, id, ...rest })
}

/** An entry of the plain store. */
export function entryLine({ key, value, changedAtMs, expiresAtMs }: StoredValue): LineInit {
  const fields = { entry: key, changedAtMs, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) }
  return { fields, bytes: { name: 'value', value } }
}

/** A row of a kind that is opaque here, sealed or plain. */
export function rowLine(
  kind: 'row' | 'plain',
  { kind: number, id }: RowName,
  value: Uint8Array,
): LineInit {
  return { fields: { [kind]: number, id: encodeBase64(id) }, bytes: { name: 'value', value } }
}

/** An audit entry. */
export function auditLine(position: number, value: Uint8Array): LineInit {
  return { fields: { audit: position }, bytes: { name: 'value', value } }
}

function fieldsOnly(fields: LineInit['fields']): LineInit {
  return { fields }
}

/** A record as its line says it, without versions. */
export function recordOf(fields: Fields['record']): Omit<StoredRecord, 'versions'> {
  const { record, versions: _, usage, egress, sync, ...rest } = fields
  return { ...rest, path: record, labels: { usage: new Set(usage), egress, sync } }
}
