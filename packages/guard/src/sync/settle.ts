/**
 * What becomes of one record when the partner's state of it arrives (`docs/sync.md §3`). Pure: states in, a decision out; the
 * same on both sides, so that order and repetition change nothing.
 */
import { isWithin } from '@stronghold/vault/catalog'

import type { SyncConflictKind, SyncMerge } from './doors.ts'
import { contentOf, newestOf, tombstoneOf } from './state.ts'
import type { Removed, Standing, SyncState, SyncVersion } from './state.ts'

/** What else counts. */
export interface SettleContext {
  /** The more careful of both sides' wishes. */
  readonly merge: SyncMerge
  readonly nowMs: number
  /** Whether a removal is remembered of a record that was never here: by the asker, so that both can forget it in one run. */
  readonly learn: boolean
  /** Id of another record that stands where theirs is to stand. */
  readonly occupant?: string | undefined
  /** What a person decided about this record. */
  readonly keep?: 'ours' | 'theirs' | undefined
  /** What a person decided about a partner that fell behind, and when both were last in step. */
  readonly behind?: { readonly accept: 'older' | 'newer'; readonly inStepAtMs: number } | undefined
}

/** What becomes of it. */
export type Settled<V extends SyncVersion = SyncVersion> =
  /** Ours stays: it is the same, newer, or not to be touched. */
  | { readonly do: 'nothing'; readonly outcome: 'same' | 'kept' }
  | {
      readonly do: 'write'
      readonly state: Standing<V>
      /** Numbers of versions whose secret is the partner's. */
      readonly take: ReadonlySet<number>
      /** Set ours aside first: something of it would be lost. */
      readonly aside: boolean
      /** Set this other record aside and take it away first: it stands at the path. */
      readonly evict?: string
      /** Ours has to go first: it stands at another path. */
      readonly move: boolean
    }
  | { readonly do: 'remove'; readonly state: Removed; readonly aside: boolean }
  | { readonly do: 'conflict'; readonly kind: SyncConflictKind }

/** What becomes of one record. */
export function settle<V extends SyncVersion>(
  ours: SyncState<V> | undefined,
  theirs: SyncState<V>,
  context: SettleContext,
): Settled<V> {
  if (ours === undefined) return arriving(theirs, context)
  if (theirs.kind === 'removed') {
    return ours.kind === 'removed' ? joinRemoved(ours, theirs) : removing(ours, theirs, context)
  }
  return ours.kind === 'removed' ? returning(ours, theirs, context) : joining(ours, theirs, context)
}

/** Whether a tombstone has seen all that a record is: it ends every version up to its own. */
export function ends(tombstone: Removed, record: Standing): boolean {
  const { number, digest } = newestOf(record)
  if (number !== tombstone.version) return number < tombstone.version
  return digest === tombstone.last
}

function arriving<V extends SyncVersion>(theirs: SyncState<V>, context: SettleContext): Settled<V> {
  const { behind, nowMs, learn } = context
  if (theirs.kind === 'removed') {
    return learn
      ? { do: 'remove', state: theirs, aside: false }
      : { do: 'nothing', outcome: 'same' }
  }
  // Both had it when they were last in step, and it is gone here: it was removed since.
  if (behind?.accept === 'newer' && theirs.createdAtMs <= behind.inStepAtMs) {
    return { do: 'remove', state: tombstoneOf(theirs, nowMs), aside: false }
  }
  return entering(theirs, context)
}

/** A record that does not stand here comes in, where its path is free. */
function entering<V extends SyncVersion>(theirs: Standing<V>, context: SettleContext): Settled<V> {
  const { occupant } = context
  const all = { do: 'write', state: theirs, take: numbersOf(theirs), aside: false } as const
  if (occupant === undefined) return { ...all, move: false }
  return against('path', context, () => ({ ...all, evict: occupant, move: false }))
}

function joinRemoved<V extends SyncVersion>(ours: Removed, theirs: Removed): Settled<V> {
  const later =
    theirs.version > ours.version || (theirs.version === ours.version && theirs.last > ours.last)
  if (later) return { do: 'remove', state: theirs, aside: false }
  const same = theirs.version === ours.version && theirs.last === ours.last
  return { do: 'nothing', outcome: same ? 'same' : 'kept' }
}

function removing<V extends SyncVersion>(
  ours: Standing<V>,
  theirs: Removed,
  context: SettleContext,
): Settled<V> {
  if (context.merge === 'keep-old') return { do: 'nothing', outcome: 'kept' }
  const decided = context.keep === 'theirs'
  const remove = { do: 'remove', state: theirs } as const
  if (ends(theirs, ours)) return { ...remove, aside: false }
  // Whoever says `theirs` says that it may go; `replace` alone loses nothing.
  return against('removed', context, () => ({
    ...remove,
    // The tombstone that is left ends what stood here, too, or it would come back.
    state: newestOf(ours).number > theirs.version ? tombstoneAfter(ours, theirs) : theirs,
    aside: !decided,
  }))
}

function tombstoneAfter(ours: Standing, theirs: Removed): Removed {
  return tombstoneOf(ours, theirs.removedAtMs)
}

function returning<V extends SyncVersion>(
  ours: Removed,
  theirs: Standing<V>,
  context: SettleContext,
): Settled<V> {
  if (context.behind?.accept === 'older') return entering(theirs, context)
  if (ends(ours, theirs)) return { do: 'nothing', outcome: 'kept' }
  return against('removed', context, () => entering(theirs, context))
}

function joining<V extends SyncVersion>(
  ours: Standing<V>,
  theirs: Standing<V>,
  context: SettleContext,
): Settled<V> {
  if (ours.type !== theirs.type) return { do: 'conflict', kind: 'type' }
  if (ours.path !== theirs.path) {
    if (context.occupant !== undefined) return { do: 'conflict', kind: 'path' }
    return against('path', context, () => ({
      do: 'write',
      state: theirs,
      take: numbersOf(theirs),
      aside: contentOf(ours) !== contentOf(theirs),
      move: true,
    }))
  }
  const clash = firstClash(ours, theirs)
  if (clash !== undefined) {
    return against('version', context, () => joined(ours, theirs, clash))
  }
  if (contentOf(ours) === contentOf(theirs)) return { do: 'nothing', outcome: 'same' }
  if (context.merge === 'keep-old' && context.keep !== 'theirs') {
    return { do: 'nothing', outcome: 'kept' }
  }
  const all = joined(ours, theirs, Infinity)
  return contentOf(all.state) === contentOf(ours) ? { do: 'nothing', outcome: 'kept' } : all
}

/** Two sides went on apart: a person's word, the partnership's, or nothing. */
function against<V extends SyncVersion>(
  kind: SyncConflictKind,
  { merge, keep }: SettleContext,
  force: () => Settled<V>,
): Settled<V> {
  if (keep === 'theirs') return force()
  if (merge === 'keep-old') return { do: 'nothing', outcome: 'kept' }
  return merge === 'replace' && keep !== 'ours' ? force() : { do: 'conflict', kind }
}

/** The lowest number under which the two have different secrets. */
function firstClash(ours: Standing, theirs: Standing): number | undefined {
  const here = new Map(ours.versions.map(({ number, digest }) => [number, digest]))
  return theirs.versions.find(({ number, digest }) => {
    const own = here.get(number)
    return own !== undefined && own !== digest
  })?.number
}

/** Both in one; from `clash` on the versions are theirs alone, and ours are set aside. */
function joined<V extends SyncVersion>(
  ours: Standing<V>,
  theirs: Standing<V>,
  clash: number,
): Settled<V> & { readonly do: 'write' } {
  const here = new Map(ours.versions.map((version) => [version.number, version]))
  const there = new Map(theirs.versions.map((version) => [version.number, version]))
  const take = new Set<number>()
  const versions: V[] = []
  const numbers = [...new Set([...here.keys(), ...there.keys()])].sort((a, b) => a - b)
  for (const number of numbers) {
    const [own, other] = [here.get(number), there.get(number)]
    if (other === undefined) {
      if (own !== undefined && number < clash && !tookAway(theirs, number)) versions.push(own)
    } else if (number >= clash || own === undefined) {
      if (own === undefined && tookAway(ours, number)) continue
      take.add(number)
      versions.push(other)
    } else versions.push(own)
  }
  const newest = versions.at(-1)?.number ?? 1
  const state: Standing<V> = {
    ...ours,
    usage: ours.usage.filter((one) => theirs.usage.includes(one)),
    egress: isWithin(ours.egress, theirs.egress) ? ours.egress : theirs.egress,
    minimum: Math.min(Math.max(ours.minimum, theirs.minimum), newest),
    versions,
  }
  return { do: 'write', state, take, aside: clash !== Infinity, move: false }
}

/** Whether a version is not there because it was taken away, and not because it never came. */
function tookAway(record: Standing, number: number): boolean {
  return number < record.minimum && number < newestOf(record).number
}

function numbersOf({ versions }: Standing): ReadonlySet<number> {
  return new Set(versions.map(({ number }) => number))
}
