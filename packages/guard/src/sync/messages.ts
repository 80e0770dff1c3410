/**
 * What two Strongholds say to each other inside a sealed channel, as bytes (`docs/sync.md §5`): written and read strictly, each
 * map with exactly its fields, nothing longer than its bound. Pure; whether a record may come or go is decided elsewhere.
 */
import { decode, encode, fromHex, toHex } from '@stronghold/core'
import { EGRESS, RECORD_TYPES, USAGES } from '@stronghold/vault/catalog'
import type { Egress, RecordType, Usage } from '@stronghold/vault/catalog'

import { Fields } from '../fields.ts'
import {
  MAX_HEAD_BYTES,
  MAX_SYNC_BITS,
  MAX_SYNC_MESSAGE_BYTES,
  MAX_SYNC_PATHS,
  MAX_SYNC_RECORDS,
} from '../limits.ts'
import type { SyncMerge, SyncMode, SyncOutcome } from './doors.ts'
import type { MappedPath } from './selection.ts'
import type { Removed, Standing, SyncVersion } from './state.ts'

/** A version as it travels; without `sealed` in a preview. */
export interface SentVersion extends SyncVersion {
  readonly length: number
  readonly publicKey?: Uint8Array
  readonly sealed?: Uint8Array
}

/** A record as it travels: the path is the answerer's. */
export type SentState = ((Standing<SentVersion> & { readonly sync: boolean }) | Removed) & {
  /** What of the receiver's it is meant to replace: 32 hex digits. */
  readonly over?: string
}

/** How one side stands and what it wants. */
interface Standpoint {
  readonly head: Uint8Array
  readonly mode: SyncMode
  readonly merge: SyncMerge
  readonly paths: readonly string[]
  /** The mark that the other side gave last. */
  readonly held?: Uint8Array
}

/** Every message. */
export type SyncBody =
  | ({ readonly kind: 'welcome'; readonly count: number } & Standpoint)
  /** A `mark` is kept with what came along with it, and shown as `held` when the next run begins. 16 bytes. */
  | ({
      readonly kind: 'list'
      readonly maps: readonly MappedPath[]
      readonly bits: number
      readonly buckets: Uint8Array
      readonly fresh: boolean
      readonly mark: Uint8Array
    } & Standpoint)
  | {
      readonly kind: 'entries'
      readonly mark: Uint8Array
      readonly differ: Uint8Array
      readonly entries: Uint8Array
      readonly more: boolean
    }
  | { readonly kind: 'more' }
  /** Ids of 32 hex digits, rising. */
  | { readonly kind: 'get'; readonly ids: readonly string[]; readonly secrets: boolean }
  | {
      readonly kind: 'records'
      readonly mark: Uint8Array
      readonly records: readonly SentState[]
      readonly refused: readonly (readonly [id: string, why: string])[]
    }
  | {
      readonly kind: 'put'
      readonly mark: Uint8Array
      readonly records: readonly SentState[]
      /** With the last one: a hash of what the asker has of all that was compared. 16 bytes. */
      readonly end?: Uint8Array
    }
  | {
      readonly kind: 'results'
      /** The digest is 32 hex digits, empty where nothing stands. */
      readonly results: readonly (readonly [id: string, outcome: SyncOutcome, digest: string])[]
    }
  | { readonly kind: 'stop'; readonly why: string }

/** Everything that may come of a record. */
export const OUTCOMES: readonly SyncOutcome[] = [
  'written',
  'removed',
  'same',
  'kept',
  'conflict',
  'denied',
  'path',
  'label',
  'forged',
  'full',
]
const MODES: readonly SyncMode[] = ['two-way', 'push', 'pull']
const MERGES: readonly SyncMerge[] = ['keep-old', 'newest-version', 'replace']
const MAX_VERSIONS = 1024
const MAX_PATH_LENGTH = 1100
const MAX_PUBLIC_BYTES = 256
const MAX_WHY_LENGTH = 64

/** A message as bytes. @throws `RangeError` past `MAX_SYNC_MESSAGE_BYTES` */
export function encodeBody(body: SyncBody): Uint8Array {
  return encode(writtenBody(body), { maxBytes: MAX_SYNC_MESSAGE_BYTES })
}

/** How long a record is as it travels, in bytes. */
export function sentBytes(state: SentState): number {
  return encode(writtenState(state)).byteLength
}

function writtenBody(body: SyncBody): object {
  switch (body.kind) {
    case 'list':
      return { ...body, maps: body.maps.map(({ here, there }) => [here, there]) }
    case 'get':
      return { ...body, ids: fromHex(body.ids.join('')) }
    case 'records':
      return {
        kind: body.kind,
        mark: body.mark,
        records: body.records.map(writtenState),
        refused: body.refused.map(([id, why]) => [fromHex(id), why]),
      }
    case 'put':
      return { ...body, records: body.records.map(writtenState) }
    case 'results':
      return {
        kind: body.kind,
        results: body.results.map(([id, outcome, digest]) => [
          fromHex(id),
          outcome,
          fromHex(digest),
        ]),
      }
    default:
      return body
  }
}

function writtenState(state: SentState): object {
  const over = state.over === undefined ? undefined : fromHex(state.over)
  const id = fromHex(state.id)
  if (state.kind === 'removed') {
    const { path, removedAtMs, version, last } = state
    return { id, path, removedAtMs, version, last: fromHex(last), over }
  }
  const { path, type, usage, egress, sync, createdAtMs, minimum, versions } = state
  return {
    ...{ id, path, type, usage, egress, sync, createdAtMs, minimum, over },
    versions: versions.map(({ number, createdAtMs: at, digest, length, publicKey, sealed }) => ({
      number,
      createdAtMs: at,
      digest: fromHex(digest),
      length,
      public: publicKey,
      sealed,
    })),
  }
}

/**
 * A message from bytes.
 *
 * @throws `SyntaxError`, `RangeError` for anything that `encodeBody` would not have written
 */
export function decodeBody(bytes: Uint8Array): SyncBody {
  const fields = new Fields(decode(bytes, { maxBytes: MAX_SYNC_MESSAGE_BYTES }), 'sync message')
  const kind = fields.text('kind')
  const body = bodyOf(kind, fields)
  fields.end()
  return body
}

function bodyOf(kind: string, fields: Fields): SyncBody {
  switch (kind) {
    case 'welcome':
      return { kind, ...standpointOf(fields), count: fields.uint('count') }
    case 'list':
      return listOf(fields)
    case 'entries':
      return {
        kind,
        mark: fields.bytes('mark', 16),
        differ: fields.bytes('differ'),
        entries: fields.bytes('entries'),
        more: flagOf(fields, 'more'),
      }
    case 'more':
      return { kind }
    case 'get':
      return { kind, ids: idsOf(fields), secrets: flagOf(fields, 'secrets') }
    case 'records':
      return {
        kind,
        mark: fields.bytes('mark', 16),
        records: statesOf(fields),
        refused: bounded(
          fields,
          'refused',
          fields.list('refused', (one) => {
            const [id, why] = Array.isArray(one) ? (one as unknown[]) : []
            return isBytes(id, 16) && isText(why, MAX_WHY_LENGTH)
              ? ([toHex(id), why] as const)
              : undefined
          }),
        ),
      }
    case 'put':
      return putOf(fields)
    case 'results':
      return {
        kind,
        results: bounded(
          fields,
          'results',
          fields.list('results', (one) => {
            const [id, outcome, digest] = Array.isArray(one) ? (one as unknown[]) : []
            const word = OUTCOMES.find((other) => other === outcome)
            const isDigest = isBytes(digest, 16) || isBytes(digest, 0)
            return isBytes(id, 16) && word !== undefined && isDigest
              ? ([toHex(id), word, toHex(digest)] as const)
              : undefined
          }),
        ),
      }
    case 'stop': {
      const why = fields.text('why')
      if (!isText(why, MAX_WHY_LENGTH)) throw fields.bad('a why that is too long')
      return { kind, why }
    }
    default:
      throw fields.bad('of an unknown kind')
  }
}

function standpointOf(fields: Fields): Standpoint {
  const head = fields.bytes('head')
  if (head.byteLength > MAX_HEAD_BYTES) throw fields.bad('a head that is too long')
  const mode = MODES.find((one) => one === fields.text('mode'))
  const merge = MERGES.find((one) => one === fields.text('merge'))
  if (mode === undefined || merge === undefined) throw fields.bad('an unknown mode or merge')
  const paths = fields.list('paths', (one) => (isText(one, MAX_PATH_LENGTH) ? one : undefined))
  if (paths.length > MAX_SYNC_PATHS) throw fields.bad('too many paths')
  const held = fields.any('held')
  if (held !== undefined && !isBytes(held, 16)) throw fields.bad('no mark in held')
  return { head, mode, merge, paths, ...(held === undefined ? {} : { held }) }
}

function listOf(fields: Fields): SyncBody {
  const standpoint = standpointOf(fields)
  const maps = fields.list('maps', (one) => {
    const [here, there] = Array.isArray(one) ? (one as unknown[]) : []
    const fits = isText(here, MAX_PATH_LENGTH) && isText(there, MAX_PATH_LENGTH)
    return fits ? { here, there } : undefined
  })
  const bits = fields.uint('bits')
  const buckets = fields.bytes('buckets')
  if (maps.length > MAX_SYNC_PATHS) throw fields.bad('a mapping that is too long')
  if (bits > MAX_SYNC_BITS || buckets.byteLength !== 16 * 2 ** bits) {
    throw fields.bad('buckets of another number')
  }
  const mark = fields.bytes('mark', 16)
  const fresh = flagOf(fields, 'fresh')
  return { kind: 'list', ...standpoint, maps, bits, buckets, fresh, mark }
}

function putOf(fields: Fields): SyncBody {
  const end = fields.any('end')
  if (end !== undefined && !isBytes(end, 16)) throw fields.bad('no hash in end')
  return {
    kind: 'put',
    mark: fields.bytes('mark', 16),
    records: statesOf(fields),
    ...(end === undefined ? {} : { end }),
  }
}

function idsOf(fields: Fields): string[] {
  const bytes = fields.bytes('ids')
  const count = bytes.byteLength / 16
  if (!Number.isInteger(count) || count > MAX_SYNC_RECORDS) throw fields.bad('too many ids')
  const ids = Array.from({ length: count }, (_, at) => toHex(bytes.subarray(16 * at, 16 * at + 16)))
  if (ids.some((id, at) => at > 0 && id <= (ids[at - 1] ?? '')))
    throw fields.bad('ids out of order')
  return ids
}

function statesOf(fields: Fields): SentState[] {
  const states = fields.list('records', (one) => stateOf(new Fields(one, 'record')))
  return bounded(fields, 'records', states)
}

function stateOf(fields: Fields): SentState {
  const id = toHex(fields.bytes('id', 16))
  const path = fields.text('path')
  if (path.length > MAX_PATH_LENGTH) throw fields.bad('a path that is too long')
  const over = fields.any('over')
  if (over !== undefined && !isBytes(over, 16)) throw fields.bad('no digest in over')
  const replaced = over === undefined ? {} : { over: toHex(over) }
  const removedAtMs = fields.any('removedAtMs')
  const state: SentState =
    removedAtMs === undefined
      ? { kind: 'stands', id, path, ...standingOf(fields), ...replaced }
      : {
          kind: 'removed',
          id,
          path,
          removedAtMs: fields.uint('removedAtMs'),
          version: fields.uint('version'),
          last: toHex(fields.bytes('last', 16)),
          ...replaced,
        }
  fields.end()
  return state
}

function standingOf(
  fields: Fields,
): Omit<Standing<SentVersion> & { readonly sync: boolean }, 'kind' | 'id' | 'path'> {
  const type = wordOf<RecordType>(fields, fields.text('type'), RECORD_TYPES)
  const egress = wordOf<Egress>(fields, fields.text('egress'), EGRESS)
  const usage = fields.list('usage', (one) => USAGES.find((word) => word === one))
  if (usage.some((word, at) => at > 0 && word <= (usage[at - 1] as Usage))) {
    throw fields.bad('usages out of order')
  }
  const versions = fields.list('versions', (one) => versionOf(new Fields(one, 'version')))
  if (versions.length > MAX_VERSIONS) throw fields.bad('too many versions')
  return {
    type,
    egress,
    usage,
    sync: flagOf(fields, 'sync'),
    createdAtMs: fields.uint('createdAtMs'),
    minimum: fields.uint('minimum'),
    versions,
  }
}

function versionOf(fields: Fields): SentVersion {
  const [publicKey, sealed] = [fields.any('public'), fields.any('sealed')]
  if (publicKey !== undefined && !isBytes(publicKey)) throw fields.bad('no bytes in public')
  if (sealed !== undefined && !isBytes(sealed)) throw fields.bad('no bytes in sealed')
  if (publicKey !== undefined && publicKey.byteLength > MAX_PUBLIC_BYTES) {
    throw fields.bad('a public key that is too long')
  }
  const version: SentVersion = {
    number: fields.uint('number'),
    createdAtMs: fields.uint('createdAtMs'),
    digest: toHex(fields.bytes('digest', 16)),
    length: fields.uint('length'),
    ...(publicKey === undefined ? {} : { publicKey }),
    ...(sealed === undefined ? {} : { sealed }),
  }
  fields.end()
  return version
}

function bounded<T>(fields: Fields, name: string, list: readonly T[]): T[] {
  if (list.length > MAX_SYNC_RECORDS) throw fields.bad(`too many in ${name}`)
  return [...list]
}

function wordOf<W extends string>(fields: Fields, word: string, words: readonly W[]): W {
  const found = words.find((one) => one === word)
  if (found === undefined) throw fields.bad(`an unknown word ${JSON.stringify(word.slice(0, 64))}`)
  return found
}

function flagOf(fields: Fields, name: string): boolean {
  const value = fields.any(name)
  if (typeof value !== 'boolean') throw fields.bad(`neither true nor false in ${name}`)
  return value
}

function isBytes(value: unknown, length?: number): value is Uint8Array {
  return value instanceof Uint8Array && (length === undefined || value.byteLength === length)
}

function isText(value: unknown, most: number): value is string {
  return typeof value === 'string' && value.length <= most
}
