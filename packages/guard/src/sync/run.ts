/** What both ends of a run have in common (`docs/sync.md §4–7`): the channel, the list, who fell behind, when both are in step. */
import { randomFillSync } from 'node:crypto'

import { concat, encode, equalBytes } from '@stronghold/core'
import type { OpenVault, SyncChannel, VaultTransaction } from '@stronghold/vault'
import { VaultError } from '@stronghold/vault'

import type { AuditFacts } from '../audit/entry.ts'
import type { Batch } from '../batch.ts'
import type { Book } from '../book.ts'
import type { Desk, Work } from '../desk.ts'
import { encodeHead } from '../heads.ts'
import type { SignedHead } from '../heads.ts'
import { MAX_SYNC_ENTRIES, SYNC_DIGEST_TURN, SYNC_UNSEEN_MS } from '../limits.ts'
import type { Trail } from '../trail.ts'
import { bucketsOf, entriesOf } from './difference.ts'
import type { Contents, Exchange } from './exchange.ts'
import type { Partners, Partnership } from './partners.ts'
import { Selection } from './selection.ts'

/** What synchronisation works with; there while the vault is unlocked. */
export interface SyncParts {
  readonly vault: OpenVault
  /** The peer id under which the vault is served. */
  readonly peer: string
  readonly book: Book
  readonly desk: Desk
  readonly trail: Trail
  readonly batch: Batch
  readonly partners: Partners
  /** Digests of records that have not changed since they were computed. */
  readonly contents: Contents
  readonly nowMs: () => number
}

/** How a run begins: the nonces of both, 16 bytes each. */
export interface Nonces {
  readonly asker: Uint8Array
  readonly answerer: Uint8Array
}

const INFO_DOMAIN = 'stronghold/sync/1'

/** 16 random bytes. */
export function drawn(): Uint8Array {
  return randomFillSync(new Uint8Array(16))
}

function numberOf(mark: Uint8Array | undefined): bigint {
  return mark === undefined ? 0n : new DataView(mark.buffer, mark.byteOffset).getBigUint64(0)
}

/** The sealed channel of one run. */
export function openChannel(
  { tx }: Work,
  parts: SyncParts,
  partner: Partnership,
  nonces: Nonces,
): SyncChannel {
  const own = { peer: parts.peer, vault: parts.vault.head().vault }
  const said = concat([nonces.asker, nonces.answerer])
  const info = (from: typeof own, to: typeof own): Uint8Array => channelInfo(from, to, said)
  return tx.sync.channel({
    partner: partner.key,
    sendInfo: info(own, partner),
    receiveInfo: info(partner, own),
  })
}

/** What a channel binds one direction to (`sync.md §5`). */
export function channelInfo(
  from: { readonly peer: string; readonly vault: Uint8Array },
  to: { readonly peer: string; readonly vault: Uint8Array },
  nonces: Uint8Array,
): Uint8Array {
  return encode({
    domain: INFO_DOMAIN,
    from: from.peer,
    to: to.peer,
    fromVault: from.vault,
    toVault: to.vault,
    nonces,
  })
}

/** How this side stands and what it wants. */
export function standpoint(
  { vault }: SyncParts,
  { mode, merge, paths, held }: Partnership,
): {
  readonly head: Uint8Array
  readonly mode: Partnership['mode']
  readonly merge: Partnership['merge']
  readonly paths: readonly string[]
  readonly held?: Uint8Array
} {
  const shown = held === undefined ? {} : { held }
  return { head: encodeHead(vault.head()), mode, merge, paths, ...shown }
}

/**
 * Makes the mark that the partner is to keep with what is said to it next: a number that rises, so that both see who has an
 * older one, and what nobody guesses.
 */
export function giveMark(work: Work, { partners }: SyncParts, name: string): Uint8Array {
  const partnership = partners.named(name)
  const { sure, maybe: before } = partnership?.given ?? {}
  const maybe = drawn()
  const highest = [sure, before].reduce(
    (most, one) => (numberOf(one) > most ? numberOf(one) : most),
    0n,
  )
  new DataView(maybe.buffer).setBigUint64(0, highest + 1n)
  if (partnership !== undefined) {
    partners.put(work, { ...partnership, given: { ...partnership.given, maybe } })
  }
  return maybe
}

/** The partner has heard what was said last, and kept its mark. */
export function markArrived(work: Work, { partners }: SyncParts, name: string): void {
  const partnership = partners.named(name)
  const sure = partnership?.given?.maybe
  if (partnership === undefined || sure === undefined) return
  partners.put(work, { ...partnership, given: { sure } })
}

/** Keeps the mark that came with what was said, in the transaction of what became of it. */
export function keepMark(
  work: Work,
  { partners }: SyncParts,
  name: string,
  held: Uint8Array,
): void {
  const partnership = partners.named(name)
  if (partnership !== undefined) partners.put(work, { ...partnership, held })
}

/** The selection of two sides. @throws `VaultError` `invalid_argument` for what is no pattern of the partner's */
export function selectionOf(...sides: ConstructorParameters<typeof Selection>): Selection {
  try {
    return new Selection(...sides)
  } catch (cause) {
    throw new VaultError('invalid_argument', 'Cannot synchronise: a path is no pattern', { cause })
  }
}

/**
 * Judges how far the partner has come, and keeps it; a partner that fell behind stops the partnership.
 *
 * @returns why nothing may be exchanged, or `undefined`
 */
export function judge(
  work: Work,
  { partners }: SyncParts,
  name: string,
  head: SignedHead,
  held: Uint8Array | undefined,
): 'rolled-back' | 'unseen' | undefined {
  const partnership = partners.named(name)
  if (partnership === undefined) return undefined
  const { seen, complete, accept, given } = partnership
  const fell =
    seen !== undefined &&
    (head.epoch < seen.epoch || (head.epoch === seen.epoch && head.generation < seen.generation))
  // Numbers alone would be caught up with: an older copy that went on has them, and not our last mark.
  const marks = [given?.sure, given?.maybe].filter((mark) => mark !== undefined)
  const isOurs = held !== undefined && marks.some((mark) => equalBytes(mark, held))
  const isAhead = marks.every((mark) => numberOf(held) > numberOf(mark))
  // One that we never gave says that the older copy is ours: that is for the partner to notice.
  const isOlder = fell || (given?.sure !== undefined && !isOurs && !isAhead)
  const isUnseen =
    accept === undefined && complete !== undefined && work.tx.nowMs - complete.atMs > SYNC_UNSEEN_MS
  const stop = isOlder ? 'rolled-back' : isUnseen ? 'unseen' : undefined
  if (stop === undefined) {
    const { epoch, generation } = head
    const sure = held === undefined ? {} : { given: { sure: held } }
    partners.put(work, { ...partnership, seen: { epoch, generation }, ...sure })
    return undefined
  }
  const { accept: _, ...rest } = partnership
  partners.put(work, { ...rest, stop })
  return stop
}

/** What this side lists, and where the vault stood then. */
export interface Listed {
  readonly entries: Uint8Array
  readonly count: number
  readonly epoch: number
  readonly generation: number
}

/**
 * Lists what is compared, a few at a time, so that nobody else waits.
 *
 * @param fresh - computes every digest again, from the rows
 * @throws `VaultError` `resource_exhausted` past `MAX_SYNC_ENTRIES`
 */
export async function listFor(
  { batch, vault }: SyncParts,
  exchange: Exchange,
  fresh = false,
): Promise<Listed> {
  const states: (readonly [id: string, digest: string])[] = []
  const { ids, epoch, generation } = await batch.run(({ tx }) => {
    for (const { id, tombstone } of tx.sync.tombstones()) {
      const listed = exchange.listedRemoved(tx, id, tombstone)
      if (listed !== undefined) states.push(listed)
    }
    return { ids: Array.from(tx.sync.records(), ({ id }) => id), ...vault.head() }
  })
  await inTurns(batch, ids, (tx, id) => {
    const record = tx.sync.record(id)
    const listed = record === undefined ? undefined : exchange.listed(tx, record, fresh)
    if (listed !== undefined) states.push(listed)
  })
  if (states.length > MAX_SYNC_ENTRIES) {
    throw new VaultError(
      'resource_exhausted',
      `Cannot synchronise: over ${MAX_SYNC_ENTRIES} records are selected`,
    )
  }
  return { entries: entriesOf(states), count: states.length, epoch, generation }
}

/**
 * A hash of what is compared of some records and stands here now: the same on both sides where they have the same.
 *
 * @param isTold - whether a removal counts; one that the partner knows nothing of is none of its
 */
export async function summaryOf(
  { batch }: SyncParts,
  exchange: Exchange,
  ids: Iterable<string>,
  isTold: (id: string) => boolean = () => true,
): Promise<Uint8Array> {
  const states: (readonly [id: string, digest: string])[] = []
  await inTurns(batch, [...ids], (tx, id) => {
    const listed = exchange.listedNow(tx, id, isTold(id))
    if (listed !== undefined) states.push(listed)
  })
  return bucketsOf(entriesOf(states), 0)
}

/** Looks at records a few at a time, so that nobody else waits. */
async function inTurns(
  batch: Batch,
  ids: readonly string[],
  look: (tx: VaultTransaction, id: string) => void,
): Promise<void> {
  for (let at = 0; at < ids.length; at += SYNC_DIGEST_TURN) {
    await batch.run(({ tx }) => {
      for (const id of ids.slice(at, at + SYNC_DIGEST_TURN)) look(tx, id)
    })
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/**
 * Both have the same: what was decided about a partner that fell behind is done, and tombstones may go that all have seen.
 *
 * @param fresh - ids of tombstones that the partner got or gave just now: both let go of them when their lists are equal
 */
export function noteInStep(
  work: Work,
  parts: SyncParts,
  name: string,
  listed: Listed,
  fresh: ReadonlySet<string> = new Set(),
): void {
  const partnership = parts.partners.named(name)
  if (partnership === undefined) return
  const { accept: _, ...rest } = partnership
  const { epoch, generation } = listed
  const complete = { atMs: work.tx.nowMs, epoch, generation }
  parts.partners.put(work, { ...rest, complete, behind: false })
  releaseTombstones(work.tx, parts.partners, undefined, fresh)
}

/** Releases tombstones that every partner has seen whose selection covers them; a partner silent for long is not waited for. */
export function releaseTombstones(
  tx: VaultTransaction,
  partners: Partners,
  gone?: Partnership,
  fresh: ReadonlySet<string> = new Set(),
): void {
  const all = partners.list().map((one) => ({ one, selection: new Selection(one.paths, ['**']) }))
  const former = gone === undefined ? undefined : new Selection(gone.paths, ['**'])
  for (const { id, tombstone } of [...tx.sync.tombstones()]) {
    if (tombstone.last === undefined || fresh.has(id)) continue
    const { path } = tombstone
    const concerned = all.filter(({ selection }) => selection.here(path) !== undefined)
    if (concerned.length === 0 && former?.here(path) === undefined) continue
    const generation = tx.sync.tombstoneGeneration(id) ?? Infinity
    const isSeen = concerned.every(({ one: { complete, addedAtMs } }) => {
      const lastMs = complete?.atMs ?? addedAtMs
      if (tx.nowMs - lastMs > SYNC_UNSEEN_MS) return true
      return complete?.epoch === tx.epoch && generation <= complete.generation
    })
    if (isSeen) tx.sync.release(id)
  }
}

/** Writes what became of a run. */
export function noteRun(
  { tx, journal }: Work,
  { trail }: SyncParts,
  { name, peer }: Partnership,
  phase: AuditFacts['sync']['phase'],
  more: Pick<AuditFacts['sync'], 'records' | 'detail'> = {},
): void {
  trail.append(tx, journal, 'sync', { peer, name, phase, ...more })
}
