/**
 * What is written about a record, as a value and as bytes (`docs/vault-format.md §5.1–5.2`). Small on purpose: a vault
 * keeps one of these in memory for each record. It knows no secret and no place where one lies.
 */
import { decode, encode, fromHex, parsePath } from '@stronghold/core'
import { z } from 'zod'

import { EGRESS, meet, RECORD_TYPES, USAGES } from './catalog/index.ts'
import type { Egress, Labels, RecordType, Usage } from './catalog/index.ts'
import { VaultError } from './errors.ts'
import { MAX_RECORD_BYTES } from './limits.ts'

/** How a record came to be. */
export const ORIGINS = ['generated', 'imported', 'derived', 'copied', 'synced'] as const

/** One way how a record came to be. */
export type Origin = (typeof ORIGINS)[number]

/** One version of a record. */
export interface RecordVersion {
  /** From 1. */
  readonly number: number
  readonly createdAtMs: number
  /** The epoch in which this vault made it or took it in. */
  readonly epoch: number
  /** Made by this vault, and not brought from elsewhere. */
  readonly here: boolean
  /** The public key, a character a byte: half the memory of an array. Empty where the type has none. */
  readonly publicText: string
  /** Bytes of the secret. */
  readonly length: number
}

/** What is written about a record. Never changed in place: a change makes a new one. */
export interface StoredRecord {
  /** 32 hex digits, for good. */
  readonly id: string
  /** Empty for a record that lives no longer than its chain. */
  readonly path: string
  readonly type: RecordType
  /** One object for all records with the same labels. */
  readonly labels: Labels
  readonly origin: Origin
  /** Ids of the records that it was made from. */
  readonly from: readonly string[]
  readonly createdAtMs: number
  readonly changedAtMs: number
  /** Versions below are not used any more. */
  readonly minimum: number
  /** Oldest first, at least one. */
  readonly versions: readonly RecordVersion[]
}

/** What is left of a record that was taken away. */
export interface Tombstone {
  readonly path: string
  readonly removedAtMs: number
  /** Its last version. */
  readonly version: number
  /** Digest of that version (`sync.md §2`), 32 hex digits; only of a record that could go to another Stronghold. */
  readonly last?: string
}

/** The newest version. */
export function newest(record: StoredRecord): RecordVersion {
  const version = record.versions.at(-1)
  if (version === undefined) throw new TypeError('Cannot find newest version: the record has none')
  return version
}

/** One version, or `undefined` where it was trimmed or never was. */
export function versionOf(record: StoredRecord, number: number): RecordVersion | undefined {
  return record.versions.find((version) => version.number === number)
}

/** The public key of a version as bytes, or `undefined` where the type has none. */
export function publicKeyOf(version: RecordVersion): Uint8Array | undefined {
  const text = version.publicText
  if (text === '') return undefined
  // A loop: for so few bytes a Buffer costs several times as much.
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

/** Bytes as the text that `publicText` is. */
export function publicText(publicKey: Uint8Array | undefined): string {
  return publicKey === undefined ? '' : latin1(publicKey).toString('latin1')
}

/** 16 bytes as the text that `id` is. */
export function idText(id: Uint8Array): string {
  return latin1(id).toString('hex')
}

/** The 16 bytes of an id. */
export function idBytes(id: string): Uint8Array {
  return fromHex(id)
}

function latin1(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** All labels that were seen, by what they say: records share them. There are at most 2¹³. */
export class LabelPool {
  readonly #all = new Map<number, Labels>()

  /** The one object for labels that say the same. */
  get(labels: Labels): Labels {
    let key = EGRESS.indexOf(labels.egress) * 2 + Number(labels.sync)
    USAGES.forEach((usage, bit) => {
      if (labels.usage.has(usage)) key |= 8 << bit
    })
    const known = this.#all.get(key)
    if (known !== undefined) return known
    const usage = USAGES.filter((one) => labels.usage.has(one))
    const one = Object.freeze({
      usage: new Set(usage),
      egress: labels.egress,
      sync: labels.sync,
    })
    this.#all.set(key, one)
    return one
  }
}

/** Labels that nobody has narrowed. */
export const ALL_LABELS: Labels = Object.freeze(meet([]))

const uint = z.int().min(0)
const id = z.instanceof(Uint8Array).refine((bytes) => bytes.byteLength === 16)
const recordSchema = z.strictObject({
  id,
  path: z.string().refine(isPath),
  type: z.enum(RECORD_TYPES),
  usage: z.array(z.enum(USAGES)),
  egress: z.enum(EGRESS),
  sync: z.boolean(),
  origin: z.enum(ORIGINS),
  from: z.array(id),
  createdAtMs: uint,
  changedAtMs: uint,
  minimum: z.int().min(1),
  versions: z
    .array(
      z.strictObject({
        number: z.int().min(1),
        createdAtMs: uint,
        epoch: uint,
        here: z.boolean(),
        public: z.instanceof(Uint8Array).optional(),
        length: uint,
      }),
    )
    .min(1),
})
const tombstoneSchema = z.strictObject({
  path: z.string().refine(isPath),
  removedAtMs: uint,
  version: z.int().min(1),
  last: id.optional(),
})

function isPath(text: string): boolean {
  try {
    parsePath(text)
    return true
  } catch {
    return false
  }
}

/** What is written about a record, as bytes (§5.1). */
export function encodeRecord(record: StoredRecord): Uint8Array {
  return encode({
    id: idBytes(record.id),
    path: record.path,
    type: record.type,
    usage: [...record.labels.usage].sort(),
    egress: record.labels.egress,
    sync: record.labels.sync,
    origin: record.origin,
    from: record.from.map(idBytes),
    createdAtMs: record.createdAtMs,
    changedAtMs: record.changedAtMs,
    minimum: record.minimum,
    versions: record.versions.map((version) => ({
      number: version.number,
      createdAtMs: version.createdAtMs,
      epoch: version.epoch,
      here: version.here,
      public: publicKeyOf(version),
      length: version.length,
    })),
  })
}

/**
 * The same back.
 *
 * @throws `VaultError` `data_loss` (`damaged`) for anything that `encodeRecord` would not have written
 */
export function decodeRecord(bytes: Uint8Array, pool: LabelPool): StoredRecord {
  const read = readRow(recordSchema, bytes, 'record')
  const rising = read.versions.every(
    ({ number }, i) => number > (read.versions[i - 1]?.number ?? 0),
  )
  if (!rising) throw damaged('record')
  return {
    id: idText(read.id),
    path: read.path,
    type: read.type,
    labels: pool.get({
      usage: new Set<Usage>(read.usage),
      egress: read.egress satisfies Egress,
      sync: read.sync,
    }),
    origin: read.origin,
    from: read.from.length === 0 ? NONE : read.from.map(idText),
    createdAtMs: read.createdAtMs,
    changedAtMs: read.changedAtMs,
    minimum: read.minimum,
    versions: read.versions.map((version) => ({
      number: version.number,
      createdAtMs: version.createdAtMs,
      epoch: version.epoch,
      here: version.here,
      publicText: publicText(version.public),
      length: version.length,
    })),
  }
}

const NONE: readonly string[] = Object.freeze([])

/** What is left of a record, as bytes (§5.2). */
export function encodeTombstone(tombstone: Tombstone): Uint8Array {
  return encode({
    path: tombstone.path,
    removedAtMs: tombstone.removedAtMs,
    version: tombstone.version,
    last: tombstone.last === undefined ? undefined : idBytes(tombstone.last),
  })
}

/**
 * The same back.
 *
 * @throws `VaultError` `data_loss` (`damaged`) for anything that `encodeTombstone` would not have written
 */
export function decodeTombstone(bytes: Uint8Array): Tombstone {
  const { last, ...rest } = readRow(tombstoneSchema, bytes, 'tombstone')
  return last === undefined ? rest : { ...rest, last: idText(last) }
}

function readRow<T extends z.ZodType>(schema: T, bytes: Uint8Array, what: string): z.output<T> {
  let value: unknown
  try {
    value = decode(bytes, { maxBytes: MAX_RECORD_BYTES })
  } catch (cause) {
    throw damaged(what, cause)
  }
  const read = schema.safeParse(value)
  if (!read.success) throw damaged(what)
  return read.data
}

function damaged(what: string, cause?: unknown): VaultError {
  return new VaultError('data_loss', `Cannot read ${what}: not as this program writes one`, {
    reason: 'damaged',
    cause,
  })
}
