/**
 * What differs between two vaults, found with little talk (`docs/sync.md §4`): a list of entries on each side, hashed in buckets,
 * and the entries of those buckets that differ. Pure: bytes in, bytes out.
 */
import { hash } from 'node:crypto'

import { MAX_SYNC_BITS, SYNC_BUCKET_ENTRIES } from '../limits.ts'

/** Bytes of an id, a digest, a bucket's hash; and of an entry, id before digest. */
export const ID_BYTES = 16
const HASH_BYTES = 16
export const ENTRY_BYTES: number = ID_BYTES + HASH_BYTES

/** Entries, rising by id, from ids and digests of 32 hex digits each. */
export function entriesOf(states: Iterable<readonly [id: string, digest: string]>): Uint8Array {
  const lines: string[] = []
  for (const [id, digest] of states) lines.push(id + digest)
  return new Uint8Array(Buffer.from(lines.sort().join(''), 'hex'))
}

/** The ids and digests of entries. */
export function* readEntries(
  entries: Uint8Array,
): Generator<readonly [id: string, digest: string]> {
  const hex = Buffer.from(entries.buffer, entries.byteOffset, entries.byteLength).toString('hex')
  for (let at = 0; at < hex.length; at += 2 * ENTRY_BYTES) {
    yield [hex.slice(at, at + 2 * ID_BYTES), hex.slice(at + 2 * ID_BYTES, at + 2 * ENTRY_BYTES)]
  }
}

/**
 * Says that bytes are entries of another side: whole ones, rising, above an id.
 *
 * @param after - the id that they all come after, where some came before
 * @throws `SyntaxError`
 */
export function assertEntries(entries: Uint8Array, after: string | undefined): void {
  if (entries.byteLength % ENTRY_BYTES !== 0) throw new SyntaxError('Cannot read entries: cut')
  let last = after ?? ''
  for (const [id] of readEntries(entries)) {
    // Also what stops a list from never ending.
    if (id <= last) throw new SyntaxError('Cannot read entries: they do not rise')
    last = id
  }
}

/** How many bits of an id name its bucket, for that many entries. */
export function bitsFor(count: number): number {
  const buckets = Math.max(count, 1) / SYNC_BUCKET_ENTRIES
  return Math.min(Math.max(Math.ceil(Math.log2(buckets)), 0), MAX_SYNC_BITS)
}

/** The hash of each bucket, 16 bytes; zeros for one without entries. */
export function bucketsOf(entries: Uint8Array, bits: number): Uint8Array {
  const hashes = new Uint8Array(HASH_BYTES * 2 ** bits)
  for (const [bucket, from, to] of bucketRanges(entries, bits)) {
    const digest = hash('sha256', entries.subarray(from, to), 'buffer')
    hashes.set(digest.subarray(0, HASH_BYTES), bucket * HASH_BYTES)
  }
  return hashes
}

/** A bit for each bucket whose hashes differ, the first the highest of the first byte. Both of the same length. */
export function differingBuckets(ours: Uint8Array, theirs: Uint8Array): Uint8Array {
  const count = ours.byteLength / HASH_BYTES
  const differ = new Uint8Array(Math.ceil(count / 8))
  for (let bucket = 0; bucket < count; bucket++) {
    for (let at = bucket * HASH_BYTES; at < (bucket + 1) * HASH_BYTES; at++) {
      if (ours[at] === theirs[at]) continue
      differ[bucket >> 3] = (differ[bucket >> 3] ?? 0) | (0x80 >> (bucket & 7))
      break
    }
  }
  return differ
}

/** Whether any bucket differs. */
export function differs(differ: Uint8Array): boolean {
  return differ.some((byte) => byte !== 0)
}

/** The entries that lie in differing buckets. */
export function entriesIn(entries: Uint8Array, bits: number, differ: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = []
  for (const [bucket, from, to] of bucketRanges(entries, bits)) {
    if (isSet(differ, bucket)) parts.push(entries.subarray(from, to))
  }
  return new Uint8Array(Buffer.concat(parts))
}

/** Whether an id lies in a differing bucket. */
export function isIn(id: string, bits: number, differ: Uint8Array): boolean {
  return isSet(differ, bucketOf(Buffer.from(id.slice(0, 4), 'hex'), 0, bits))
}

/** What two lists of entries do not have in common. Ids rise. */
export interface Difference {
  readonly onlyOurs: readonly string[]
  readonly onlyTheirs: readonly string[]
  /** On both sides, and not the same. */
  readonly both: readonly string[]
}

/** Compares entries of the same buckets. */
export function compareEntries(ours: Uint8Array, theirs: Uint8Array): Difference {
  const here = new Map(readEntries(ours))
  const there = new Map(readEntries(theirs))
  const onlyTheirs: string[] = []
  const both: string[] = []
  for (const [id, digest] of there) {
    const own = here.get(id)
    if (own === undefined) onlyTheirs.push(id)
    else if (own !== digest) both.push(id)
  }
  return { onlyOurs: [...here.keys()].filter((id) => !there.has(id)), onlyTheirs, both }
}

function* bucketRanges(
  entries: Uint8Array,
  bits: number,
): Generator<readonly [bucket: number, from: number, to: number]> {
  let from = 0
  let bucket = 0
  for (let at = 0; at < entries.byteLength; at += ENTRY_BYTES) {
    const own = bucketOf(entries, at, bits)
    if (own === bucket) continue
    if (at > from) yield [bucket, from, at]
    from = at
    bucket = own
  }
  if (entries.byteLength > from) yield [bucket, from, entries.byteLength]
}

function bucketOf(entries: Uint8Array, at: number, bits: number): number {
  const first = ((entries[at] ?? 0) << 8) | (entries[at + 1] ?? 0)
  return first >> (16 - bits)
}

function isSet(differ: Uint8Array, bucket: number): boolean {
  return ((differ[bucket >> 3] ?? 0) & (0x80 >> (bucket & 7))) !== 0
}
