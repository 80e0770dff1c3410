/** Two vaults as plain maps, what happens to them, and how they talk: the same steps as the protocol, with nothing around. */
import {
  bitsFor,
  bucketsOf,
  compareEntries,
  differingBuckets,
  entriesIn,
  entriesOf,
} from '../../src/sync/difference.ts'
import { settle } from '../../src/sync/settle.ts'
import type { SettleContext } from '../../src/sync/settle.ts'
import { digestOf, newestOf, tombstoneOf } from '../../src/sync/state.ts'
import type { Standing, SyncState } from '../../src/sync/state.ts'

/** Something that an owner does. Numbers pick one of what there is. */
export type Op =
  | { readonly op: 'create'; readonly path: number }
  | { readonly op: 'rotate' | 'narrow' | 'revoke'; readonly which: number }
  | { readonly op: 'retire'; readonly which: number; readonly remove: boolean }

/** One vault. */
export class Model {
  readonly states = new Map<string, SyncState>()
  readonly conflicts = new Set<string>()
  readonly merge: SettleContext['merge']

  constructor(merge: SettleContext['merge'] = 'newest-version') {
    this.merge = merge
  }

  at(path: string): string | undefined {
    for (const state of this.states.values()) {
      if (state.kind === 'stands' && state.path === path) return state.id
    }
    return undefined
  }

  standing(): Standing[] {
    return [...this.states.values()].filter((state) => state.kind === 'stands')
  }

  /** @param draw - 32 hex digits that nobody had before */
  happen(op: Op, draw: () => string): void {
    if (op.op === 'create') {
      const path = `p/${op.path}`
      if (this.at(path) !== undefined) return
      const id = draw()
      this.states.set(id, {
        kind: 'stands',
        id,
        path,
        type: 'ed25519',
        usage: ['copy', 'sign'],
        egress: 'public',
        createdAtMs: 1,
        minimum: 1,
        versions: [{ number: 1, createdAtMs: 1, digest: draw() }],
      })
      return
    }
    const all = this.standing()
    const record = all[op.which % Math.max(all.length, 1)]
    if (record === undefined) return
    this.states.set(record.id, changed(record, op, draw))
  }

  entries(): Uint8Array {
    return entriesOf([...this.states].map(([id, state]) => [id, digestOnce(state)]))
  }

  /** Takes the other side's state of one record. @param learn - remembers removals of what was never here: the asker does */
  take(theirs: SyncState, learn: boolean): void {
    const at = theirs.kind === 'stands' ? this.at(theirs.path) : undefined
    const occupant = at === theirs.id ? undefined : at
    const ours = this.states.get(theirs.id)
    const settled = settle(ours, theirs, {
      merge: this.merge,
      nowMs: 2,
      learn,
      occupant,
    })
    this.conflicts.delete(theirs.id)
    if (settled.do === 'conflict') this.conflicts.add(theirs.id)
    else if (settled.do !== 'nothing') this.states.set(theirs.id, settled.state)
  }

  /** All that stands, in one text; who remembers a removal depends on who asked. */
  print(): string {
    return this.standing()
      .map((state) => `${state.id} ${state.kind} ${state.path} ${digestOnce(state)}`)
      .sort()
      .join('\n')
  }
}

function changed(
  record: Standing,
  op: Exclude<Op, { op: 'create' }>,
  draw: () => string,
): SyncState {
  const { number } = newestOf(record)
  switch (op.op) {
    case 'rotate':
      return {
        ...record,
        versions: [...record.versions, { number: number + 1, createdAtMs: 1, digest: draw() }],
      }
    case 'narrow':
      return record.egress === 'public'
        ? { ...record, egress: 'none' }
        : { ...record, usage: ['sign'] }
    case 'revoke':
      return tombstoneOf(record, 1)
    case 'retire':
      return {
        ...record,
        minimum: number,
        versions: op.remove
          ? record.versions.filter((version) => version.number >= number)
          : record.versions,
      }
  }
}

const digests = new WeakMap<SyncState, string>()

/** States are never changed in place. */
function digestOnce(state: SyncState): string {
  const known = digests.get(state) ?? digestOf(state)
  digests.set(state, known)
  return known
}

/** Cut off by whoever runs it. */
export class Cut extends Error {}

/**
 * One run, as `sync.md §5` has it.
 *
 * @param message - called before each message of either side; throws to cut the run there
 */
export function run(asker: Model, answerer: Model, message: () => void): void {
  message() // begin
  const ours = asker.entries()
  const bits = bitsFor(64)
  message() // list
  const theirs = answerer.entries()
  const differ = differingBuckets(bucketsOf(ours, bits), bucketsOf(theirs, bits))
  const there = entriesIn(theirs, bits, differ)
  message()
  const { onlyOurs, onlyTheirs, both } = compareEntries(entriesIn(ours, bits, differ), there)
  for (const ids of parts([...onlyTheirs, ...both])) {
    message() // get
    const found = ids.flatMap((id) => answerer.states.get(id) ?? [])
    message()
    for (const state of found) asker.take(state, true)
  }
  for (const ids of parts([...onlyOurs, ...both])) {
    const found = ids.flatMap((id) => asker.states.get(id) ?? [])
    message() // put
    for (const state of found) answerer.take(state, false)
    message()
  }
}

function* parts(ids: readonly string[]): Generator<string[]> {
  const rising = [...ids].sort()
  for (let at = 0; at < rising.length; at += 2) yield rising.slice(at, at + 2)
}

/** Runs until nothing changes any more. @returns how many runs that took */
export function heal(asker: Model, answerer: Model): number {
  const all = (): SyncState[][] => [asker, answerer].map(({ states }) => [...states.values()])
  for (let runs = 1; ; runs++) {
    const before = all()
    run(asker, answerer, () => {})
    const isSame = all().every((states, side) => {
      const had = before[side] ?? []
      return states.length === had.length && states.every((state, at) => state === had[at])
    })
    if (isSame) return runs
    if (runs > 10) throw new Error('it never comes to rest')
  }
}

/** The same vault once more. */
export function copied(model: Model): Model {
  const copy = new Model(model.merge)
  for (const [id, state] of model.states) copy.states.set(id, state)
  return copy
}

/**
 * What two vaults have to come to, said in another way than `settle` does it: version by version and path by path.
 */
export function expected(a: Model, b: Model): [string, string] {
  const ends: [Map<string, SyncState>, Map<string, SyncState>] = [new Map(), new Map()]
  for (const id of new Set([...a.states.keys(), ...b.states.keys()])) {
    const pair = [a.states.get(id), b.states.get(id)] as const
    const merged = mergedAlone(pair)
    pair.forEach((own, side) => {
      const end = own === undefined || merged !== undefined ? merged : own
      if (own === undefined && merged?.kind === 'stands') return // moves in below, if there is room
      if (end !== undefined) ends[side]?.set(id, end)
    })
  }
  const places = ends.map((end) => {
    const taken = [...end.values()].filter(({ kind }) => kind === 'stands')
    return new Set(taken.map(({ path }) => path))
  })
  const before = ends.map((end) => new Map(end))
  for (const side of [0, 1]) {
    for (const [id, state] of before[1 - side] ?? []) {
      const has = (side === 0 ? a : b).states.has(id)
      if (has || state.kind === 'removed' || places[side]?.has(state.path) === true) continue
      ends[side]?.set(id, state)
    }
  }
  return [printed(ends[0]), printed(ends[1])]
}

/** What both sides have of one record, or nothing where they went on apart. */
function mergedAlone(
  pair: readonly [SyncState | undefined, SyncState | undefined],
): SyncState | undefined {
  const there = pair.filter((state) => state !== undefined)
  const graves = there.filter((state) => state.kind === 'removed')
  const alive = there.filter((state) => state.kind === 'stands')
  const [grave] = graves.sort((x, y) =>
    x.version === y.version ? (x.last < y.last ? 1 : -1) : y.version - x.version,
  )
  const [one, two] = alive
  if (grave !== undefined) {
    const last = one?.versions.at(-1)
    const isSeen =
      last === undefined ||
      last.number < grave.version ||
      (last.number === grave.version && last.digest === grave.last)
    return isSeen ? grave : undefined
  }
  if (one === undefined || two === undefined) return one
  const minimum = Math.max(one.minimum, two.minimum)
  const highest = Math.max(...alive.flatMap(({ versions }) => versions.map(({ number }) => number)))
  const versions: Standing['versions'][number][] = []
  for (let number = 1; number <= highest; number++) {
    const found = alive.flatMap((record) => record.versions.filter((v) => v.number === number))
    if (new Set(found.map(({ digest }) => digest)).size > 1) return undefined
    const dropped = alive.some(
      (record) =>
        number < record.minimum && !record.versions.some((version) => version.number === number),
    )
    if (found[0] !== undefined && !dropped) versions.push(found[0])
  }
  const egress = alive.some((record) => record.egress === 'none') ? 'none' : 'public'
  const usage = one.usage.filter((word) => two.usage.includes(word))
  return { ...one, usage, egress, minimum, versions }
}

function printed(states: ReadonlyMap<string, SyncState>): string {
  const model = new Model()
  for (const [id, state] of states) model.states.set(id, state)
  return model.print()
}
