/**
 * A record, or what is left of one, as two Strongholds compare it (`docs/sync.md §2`): values and their digests. Pure; it knows
 * no secret but by its digest.
 */
import { hash } from 'node:crypto'

import { concat, encode, encodeUtf8, fromHex } from '@stronghold/core'
import type { Egress, RecordType, Usage } from '@stronghold/vault/catalog'

/** One version. Digests are 32 hex digits. */
export interface SyncVersion {
  readonly number: number
  readonly createdAtMs: number
  readonly digest: string
}

/** A record that stands. */
export interface Standing<V extends SyncVersion = SyncVersion> {
  readonly kind: 'stands'
  /** 32 hex digits. */
  readonly id: string
  readonly path: string
  readonly type: RecordType
  /** Sorted. */
  readonly usage: readonly Usage[]
  readonly egress: Egress
  readonly createdAtMs: number
  readonly minimum: number
  /** Rising by number, one at least. */
  readonly versions: readonly V[]
}

/** A record that was taken away. */
export interface Removed {
  readonly kind: 'removed'
  readonly id: string
  readonly path: string
  readonly removedAtMs: number
  /** The newest there was, and its digest. */
  readonly version: number
  readonly last: string
}

/** Either. */
export type SyncState<V extends SyncVersion = SyncVersion> = Standing<V> | Removed

/** The newest version of a record. */
export function newestOf<V extends SyncVersion>({ versions }: Pick<Standing<V>, 'versions'>): V {
  const version = versions.at(-1)
  if (version === undefined) throw new TypeError('Cannot find newest version: the record has none')
  return version
}

/** What a state says but for its path: 32 hex digits. */
export function contentOf(state: SyncState): string {
  if (state.kind === 'removed') {
    return digest('stronghold/sync/removed/1', encode([state.version, fromHex(state.last)]))
  }
  const { type, usage, egress, minimum, versions } = state
  const numbered = versions.map((version) => [version.number, fromHex(version.digest)])
  return digest('stronghold/sync/content/1', encode([type, usage, egress, minimum, numbered]))
}

/** The digest of a record whose content is known, at a path: 32 hex digits. That of a tombstone is its content. */
export function placedDigest(content: string, path: string): string {
  return digest('stronghold/sync/record/1', concat([fromHex(content), encodeUtf8(path)]))
}

/** The digest of a state at its path: 32 hex digits. */
export function digestOf(state: SyncState): string {
  const content = contentOf(state)
  return state.kind === 'removed' ? content : placedDigest(content, state.path)
}

/** What would be left of a record if it was taken away now. */
export function tombstoneOf(record: Standing, removedAtMs: number): Removed {
  const { id, path } = record
  const { number, digest: last } = newestOf(record)
  return { kind: 'removed', id, path, removedAtMs, version: number, last }
}

function digest(domain: string, bytes: Uint8Array): string {
  return hash('sha256', concat([encodeUtf8(domain), bytes]), 'hex').slice(0, 32)
}
