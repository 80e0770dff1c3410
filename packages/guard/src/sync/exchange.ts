/**
 * What either side of a run does with records, within one transaction (`docs/sync.md §1–3`): which are compared, which may leave,
 * and what becomes of one that comes. It knows no messages and no turns.
 */
import { fromHex, parsePath } from '@stronghold/core'
import { isVaultError } from '@stronghold/vault'
import type { SyncChannel, SyncRecord, SyncTombstone, VaultTransaction } from '@stronghold/vault'

import type { SyncedRecord } from '../audit/entry.ts'
import type { Book } from '../book.ts'
import type { Work } from '../desk.ts'
import { MAX_SYNC_RECORD_BYTES } from '../limits.ts'
import { decide } from '../rules/decide.ts'
import type { Memory } from '../rules/decide.ts'
import type { SyncChange, SyncOutcome, SyncSide } from './doors.ts'
import type { SentState, SentVersion } from './messages.ts'
import type { KeptConflict, Partners, Partnership } from './partners.ts'
import { SYNC_PROCEDURE } from './rights.ts'
import type { SyncRole } from './rights.ts'
import type { Flow, Selection } from './selection.ts'
import { settle } from './settle.ts'
import type { SettleContext, Settled } from './settle.ts'
import { contentOf, digestOf, newestOf, placedDigest, tombstoneOf } from './state.ts'
import type { Standing, SyncState } from './state.ts'

/** Limits of rules are about requests; approvals, too. */
const NO_MEMORY: Memory = { used: () => 0, granted: () => false }

/** One run at one end. */
export interface ExchangeInit {
  readonly role: 'asker' | 'answerer'
  readonly name: string
  readonly peer: string
  readonly selection: Selection
  readonly flow: Flow
  readonly channel: SyncChannel
  readonly book: Book
  readonly partners: Partners
  /** Digests of records that have not changed since they were computed. */
  readonly contents: Contents
}

/** Digests of records, by what is an object of its own after each change; with the path on the wire that they are for. */
export type Contents = WeakMap<
  SyncRecord,
  { readonly content: string; readonly path: string; readonly digest: string }
>

/** What came of a record that came. */
export interface Taken {
  readonly outcome: SyncOutcome
  /** What changed here, or would. */
  readonly change?: SyncChange
  /** As it is here now, 32 hex digits; empty where nothing stands. */
  readonly digest: string
  readonly audited: SyncedRecord
}

/** What of a record leaves, or why it does not. */
export type Outgoing =
  { readonly state: SentState; readonly audited: SyncedRecord } | { readonly refused: SyncOutcome }

/** What either side does with records. */
export class Exchange {
  readonly #init: ExchangeInit

  constructor(init: ExchangeInit) {
    this.#init = init
  }

  get #partnership(): Partnership | undefined {
    return this.#init.partners.named(this.#init.name)
  }

  /** A record that stands, as it is compared; `undefined` where it is not. @param fresh - computes its digest from its rows again */
  listed(
    tx: VaultTransaction,
    record: SyncRecord,
    fresh: boolean,
  ): readonly [id: string, digest: string] | undefined {
    if (!record.labels.sync) return undefined
    const path = this.wirePath(record.path)
    if (path === undefined || !this.#isComparable(record.path, tx.nowMs)) return undefined
    const digest = this.#digestAt(tx, record, path, fresh)
    return [record.id, digest]
  }

  /** What is left of a record, as it is compared. */
  listedRemoved(
    tx: VaultTransaction,
    id: string,
    { path, removedAtMs, version, last }: SyncTombstone,
  ): readonly [id: string, digest: string] | undefined {
    if (last === undefined || this.wirePath(path) === undefined) return undefined
    if (!this.#isComparable(path, tx.nowMs)) return undefined
    return [id, contentOf({ kind: 'removed', id, path, removedAtMs, version, last })]
  }

  /** What stands here of a record now, as it is compared. @param withRemoved - whether what is left of one counts */
  listedNow(
    tx: VaultTransaction,
    id: string,
    withRemoved: boolean,
  ): readonly [id: string, digest: string] | undefined {
    const record = tx.sync.record(id)
    if (record !== undefined) return this.listed(tx, record, false)
    const tombstone = withRemoved ? tx.sync.tombstone(id) : undefined
    return tombstone === undefined ? undefined : this.listedRemoved(tx, id, tombstone)
  }

  /** The digest of what stands here, as the partner would compute it; empty where nothing does. */
  digest(tx: VaultTransaction, id: string): string {
    const record = tx.sync.record(id)
    if (record !== undefined) {
      return this.#digestAt(tx, record, this.wirePath(record.path) ?? record.path)
    }
    const state = this.state(tx, id)
    return state === undefined ? '' : contentOf(state)
  }

  /** What stands here of a record, at its path here. */
  state(tx: VaultTransaction, id: string): SyncState<SentVersion> | undefined {
    const record = tx.sync.record(id)
    if (record !== undefined) return standing(tx, record)
    const tombstone = tx.sync.tombstone(id)
    if (tombstone?.last === undefined) return undefined
    return { kind: 'removed', id, ...tombstone, last: tombstone.last }
  }

  /**
   * What of a record may leave now.
   *
   * @param secrets - with its secrets, sealed
   * @param over - digest of what it is meant to replace
   */
  outgoing(tx: VaultTransaction, id: string, secrets: boolean, over?: string): Outgoing {
    const { channel, flow, role } = this.#init
    const state = this.state(tx, id)
    if (state === undefined) return { refused: 'path' }
    const path = this.wirePath(state.path)
    if (path === undefined) return { refused: 'path' }
    const isOut = role === 'asker' ? flow.there : flow.here
    const mayLeave = secrets ? isOut && this.#allows('send', state.path, tx.nowMs) : true
    if (!mayLeave || !this.#isComparable(state.path, tx.nowMs)) return { refused: 'denied' }
    const replaced = over === undefined ? {} : { over }
    if (state.kind === 'removed') {
      return { state: { ...state, path, ...replaced }, audited: audited('sent', state) }
    }
    const record = tx.sync.record(id)
    if (record?.labels.sync !== true) return { refused: 'label' }
    const bytes = state.versions.reduce((sum, { length }) => sum + length + 256, 0)
    if (bytes > MAX_SYNC_RECORD_BYTES) return { refused: 'full' }
    const versions = state.versions.map((version) =>
      secrets ? { ...version, sealed: tx.sync.seal(channel, id, version.number) } : version,
    )
    return {
      state: { ...state, path, versions, sync: true, ...replaced },
      audited: audited('sent', state),
    }
  }

  /**
   * Takes what came of a record, or says why not. Everything is undone of one that fails.
   *
   * @param dry - only says what would be
   */
  take(work: Work, sent: SentState, dry = false): Taken {
    const { tx } = work
    const path = this.localPath(sent.path)
    if (path === undefined) return this.#refused(tx, sent, sent.path, 'path')
    const why = this.#refusal(tx, sent, path)
    if (why !== undefined) return this.#refused(tx, sent, path, why)
    const theirs = { ...sent, path } as SyncState<SentVersion>
    const ours = this.state(tx, sent.id)
    const at = sent.kind === 'stands' ? tx.sync.at(path) : undefined
    const occupant = at === undefined || at.id === sent.id ? undefined : at
    const settled = settle(ours, theirs, this.#context(tx, sent, occupant))
    if (settled.do === 'write' && settled.evict !== undefined) {
      if (occupant?.labels.sync !== true) return this.#refused(tx, sent, path, 'label')
      if (!this.#allows('remove', path, tx.nowMs)) return this.#refused(tx, sent, path, 'denied')
    }
    if (settled.do === 'conflict') {
      if (!dry) this.#note(work, sent, path, settled.kind, ours, occupant)
      return this.#told(tx, sent, path, 'conflict', 'conflict', settled.kind)
    }
    if (!dry) this.#init.partners.settle(work, this.#init.name, sent.id)
    if (settled.do === 'nothing') return this.#told(tx, sent, path, settled.outcome)
    const change = changeOf(ours, settled)
    const outcome = settled.do === 'remove' ? 'removed' : 'written'
    if (dry) return this.#told(tx, sent, path, outcome, change)
    try {
      tx.savepoint(() => {
        this.#carryOut(tx, sent, settled, occupant)
      })
    } catch (error) {
      return this.#refused(tx, sent, path, outcomeOf(error))
    }
    return this.#told(tx, sent, path, outcome, change)
  }

  /** What would change at the partner's if it took our state. */
  wouldChange(
    tx: VaultTransaction,
    theirs: SentState | undefined,
    id: string,
  ): SyncChange | undefined {
    const ours = this.state(tx, id)
    if (ours === undefined) return undefined
    const path = this.wirePath(ours.path)
    if (path === undefined || !this.#allows('send', ours.path, tx.nowMs)) return undefined
    const { merge } = this.#init.flow
    const context = { merge, nowMs: tx.nowMs, learn: false }
    const settled = settle<SentVersion>(theirs, { ...ours, path }, context)
    if (settled.do === 'nothing') return undefined
    const change = settled.do === 'conflict' ? 'conflict' : changeOf(theirs, settled)
    if (change === undefined) return undefined
    const why = settled.do === 'conflict' ? { why: settled.kind } : {}
    return { path: ours.path, id: fromHex(id), where: 'there', change, ...why }
  }

  /** Where a record of ours stands on the wire; `undefined` where it is not selected. */
  wirePath(path: string): string | undefined {
    const { role, selection } = this.#init
    if (role === 'asker') return selection.there(path)
    return selection.here(path) === undefined ? undefined : path
  }

  /** Where a record on the wire stands here. */
  localPath(path: string): string | undefined {
    const { role, selection } = this.#init
    const here = selection.here(path)
    return here === undefined || role === 'asker' ? here : path
  }

  /** Why a record may not come. */
  #refusal(tx: VaultTransaction, sent: SentState, path: string): SyncOutcome | undefined {
    const { flow, role } = this.#init
    if (!(role === 'asker' ? flow.here : flow.there)) return 'denied'
    const standing = tx.sync.record(sent.id)
    const right: SyncRole = sent.kind === 'removed' && standing !== undefined ? 'remove' : 'receive'
    if (!this.#allows(right, path, tx.nowMs)) return 'denied'
    // Where it stands now counts, too: a partner names the place that it wants.
    if (standing !== undefined && standing.path !== path) {
      const own = this.wirePath(standing.path)
      if (own === undefined) return 'path'
      if (!this.#allows(right, standing.path, tx.nowMs)) return 'denied'
    }
    if (standing?.labels.sync === false) return 'label'
    if (sent.kind === 'removed') return sent.version < 1 ? 'forged' : undefined
    if (!sent.sync) return 'label'
    return isWhole(sent) ? undefined : 'forged'
  }

  #context(tx: VaultTransaction, sent: SentState, occupant: SyncRecord | undefined): SettleContext {
    const { flow, partners, name } = this.#init
    const conflict = partners.conflict(name, sent.id)
    const decided = conflict?.digest === digestOf(sent) ? conflict.keep : undefined
    const here = [sent.id, ...(occupant === undefined ? [] : [occupant.id])]
    const isMeant =
      sent.over !== undefined &&
      flow.merge !== 'keep-old' &&
      here.some((id) => this.digest(tx, id) === sent.over)
    const partnership = this.#partnership
    const { accept, complete } = partnership ?? {}
    return {
      merge: flow.merge,
      nowMs: tx.nowMs,
      learn: this.#init.role === 'asker',
      occupant: occupant?.id,
      keep: isMeant ? 'theirs' : decided,
      behind: accept === undefined ? undefined : { accept, inStepAtMs: complete?.atMs ?? 0 },
    }
  }

  #carryOut(
    tx: VaultTransaction,
    sent: SentState,
    settled: Settled<SentVersion> & { readonly do: 'write' | 'remove' },
    occupant: SyncRecord | undefined,
  ): void {
    const { id } = sent
    if (settled.aside && tx.sync.record(id) !== undefined) tx.sync.setAside(id)
    if (settled.do === 'remove') {
      tx.sync.bury(id, settled.state)
      return
    }
    if (settled.evict !== undefined && occupant !== undefined) {
      tx.sync.setAside(occupant.id)
      tx.sync.bury(occupant.id, tombstoneOf(standing(tx, occupant), tx.nowMs))
    }
    const { state, take, move } = settled
    if (move) tx.sync.bury(id, tombstoneOf(state, tx.nowMs))
    tx.sync.write(this.#init.channel, {
      ...state,
      versions: state.versions.map(({ number, createdAtMs, digest, publicKey, sealed }) => ({
        ...{ number, createdAtMs, digest },
        ...(publicKey === undefined ? {} : { publicKey }),
        ...(take.has(number) && sealed !== undefined ? { sealed } : {}),
      })),
    })
  }

  #note(
    work: Work,
    sent: SentState,
    path: string,
    kind: KeptConflict['kind'],
    ours: SyncState<SentVersion> | undefined,
    occupant: SyncRecord | undefined,
  ): void {
    const { name, partners } = this.#init
    const other = occupant === undefined ? ours : standing(work.tx, occupant)
    if (other === undefined) return
    partners.note(work, {
      name,
      id: sent.id,
      ...(occupant === undefined ? {} : { occupant: occupant.id }),
      path,
      kind,
      ours: sideOf(other),
      theirs: sideOf(sent),
      digest: digestOf(sent),
      sinceMs: work.tx.nowMs,
    })
  }

  #refused(tx: VaultTransaction, sent: SentState, path: string, why: SyncOutcome): Taken {
    return this.#told(tx, sent, path, why, 'refused', why)
  }

  #told(
    tx: VaultTransaction,
    sent: SentState,
    path: string,
    outcome: SyncOutcome,
    change?: SyncChange['change'],
    why?: string,
  ): Taken {
    const id = fromHex(sent.id)
    const reason = why === undefined ? {} : { why }
    return {
      outcome,
      digest: this.digest(tx, sent.id),
      audited: audited(outcome, { ...sent, path }),
      ...(change === undefined ? {} : { change: { path, id, where: 'here', change, ...reason } }),
    }
  }

  /** From the rows, once for each state of a record: what is written was read back before its digest is known. */
  #digestAt(tx: VaultTransaction, record: SyncRecord, path: string, fresh = false): string {
    const { contents } = this.#init
    const known = fresh ? undefined : contents.get(record)
    if (known?.path === path) return known.digest
    const content = known?.content ?? contentOf(standing(tx, record))
    const digest = placedDigest(content, path)
    contents.set(record, { content, path, digest })
    return digest
  }

  #isComparable(path: string, nowMs: number): boolean {
    return this.#allows('send', path, nowMs) || this.#allows('receive', path, nowMs)
  }

  #allows(role: SyncRole, path: string, nowMs: number): boolean {
    const { book, peer } = this.#init
    const cell = {
      procedure: SYNC_PROCEDURE,
      role,
      path: parsePath(path),
      egress: 'material' as const,
    }
    const known = book.isWelcome(peer)
    const request = { peer, known, tags: book.tagsOf(peer), cells: [cell], nowMs }
    return decide(book.rules, request, NO_MEMORY).verdict === 'allow'
  }
}

/** A record as it stands, with the digests of its versions from their rows. */
function standing(tx: VaultTransaction, record: SyncRecord): Standing<SentVersion> {
  const { id, path, type, labels, createdAtMs, minimum } = record
  return {
    kind: 'stands',
    ...{ id, path, type, createdAtMs, minimum },
    usage: [...labels.usage].sort(),
    egress: labels.egress,
    versions: record.versions.map(({ number, createdAtMs: at, length }) => {
      const publicKey = tx.sync.publicKeyOf(id, number)
      return {
        ...{ number, createdAtMs: at, length },
        digest: tx.sync.digest(id, number),
        ...(publicKey === undefined ? {} : { publicKey }),
      }
    }),
  }
}

/** Whether the numbers of a record hold together. What its secrets are is for the vault to see. */
function isWhole({ versions, minimum }: Standing): boolean {
  const rising = versions.every(
    ({ number }, at) => number > (versions[at - 1]?.number ?? 0) && number <= 0xffffffff,
  )
  return versions.length > 0 && rising && minimum >= 1 && minimum <= newestOf({ versions }).number
}

function changeOf(
  before: SyncState | undefined,
  settled: Settled<SentVersion>,
): 'added' | 'changed' | 'gone' | undefined {
  if (settled.do === 'remove') return before?.kind === 'stands' ? 'gone' : undefined
  return before?.kind === 'stands' ? 'changed' : 'added'
}

function audited(what: string, state: SyncState): SyncedRecord {
  const version = state.kind === 'removed' ? state.version : (state.versions.at(-1)?.number ?? 0)
  return [what, state.path, fromHex(state.id), version]
}

function sideOf(state: SyncState<SentVersion>): SyncSide {
  if (state.kind === 'removed') {
    const { path, version, removedAtMs } = state
    return { state: 'removed', path, version, atMs: removedAtMs }
  }
  const { number, createdAtMs, publicKey } = newestOf(state)
  const shown = publicKey === undefined || state.egress === 'none' ? {} : { publicKey }
  return { state: 'stands', path: state.path, version: number, atMs: createdAtMs, ...shown }
}

/** What the vault itself refused. */
function outcomeOf(error: unknown): SyncOutcome {
  if (isVaultError(error, { code: 'permission_denied' })) return 'label'
  if (isVaultError(error, { code: 'resource_exhausted' })) return 'full'
  const isForged =
    isVaultError(error, { code: 'invalid_argument' }) ||
    isVaultError(error, { code: 'unauthenticated' })
  if (isForged) return 'forged'
  throw error
}
