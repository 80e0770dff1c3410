/**
 * The asking end of runs (`docs/sync.md §5`), as a generator: what is to be said comes out, what the partner said goes in, until
 * both have the same or know why not. It knows no network and nobody who waits.
 */
import { equalBytes, fromHex } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'
import type { SyncChannel } from '@stronghold/vault'

import type { SyncedRecord } from '../audit/entry.ts'
import type { Work } from '../desk.ts'
import { MAX_SYNC_CHANGES, MAX_SYNC_ENTRIES, MAX_SYNC_RECORDS, SYNC_FILL_BYTES } from '../limits.ts'
import { headOf } from './answerer.ts'
import {
  assertEntries,
  bitsFor,
  bucketsOf,
  compareEntries,
  differingBuckets,
  ENTRY_BYTES,
  entriesIn,
  isIn,
  readEntries,
} from './difference.ts'
import type { Difference } from './difference.ts'
import type { SyncChange, SyncMessage, SyncPurpose, SyncReply, SyncReport } from './doors.ts'
import { Exchange } from './exchange.ts'
import { decodeBody, encodeBody, sentBytes } from './messages.ts'
import type { SentState, SyncBody } from './messages.ts'
import type { KeptConflict, Partnership } from './partners.ts'
import {
  drawn,
  giveMark,
  judge,
  keepMark,
  listFor,
  markArrived,
  noteInStep,
  noteRun,
  openChannel,
  selectionOf,
  standpoint,
  summaryOf,
} from './run.ts'
import type { Listed, SyncParts } from './run.ts'
import { flowOf, mappedFrom } from './selection.ts'

/** What a run says next, and how far it is. */
export interface Saying {
  readonly say: SyncMessage
  readonly progress: { readonly settled: number; readonly of: number }
}

/** One run from its first word to its report. */
export type Talk = AsyncGenerator<Saying, SyncReport, SyncReply>

/** What a partner says of why it refuses, in our words. */
const REFUSED: Readonly<Record<string, string>> = {
  paused: 'the partner has paused it',
  denied_by_rule: 'the partner knows no partnership with this vault',
}

/** One run at its asking end. Disposing ends it. */
export class Asking implements Disposable {
  readonly #parts: SyncParts
  readonly #name: string
  readonly #purpose: SyncPurpose
  readonly #changes: SyncChange[] = []
  readonly #totals = {
    compared: 0,
    received: 0,
    sent: 0,
    removedHere: 0,
    removedThere: 0,
    conflicts: 0,
    refused: 0,
    roundTrips: 0,
    bytes: 0,
  }
  #channel: SyncChannel | undefined
  #session: Uint8Array = new Uint8Array()
  /** Ids of what the partner has and a person has to decide about. */
  readonly #conflicting = new Set<string>()
  #progress = { settled: 0, of: 0 }
  #gone = false

  constructor(parts: SyncParts, name: string, purpose: SyncPurpose) {
    this.#parts = parts
    this.#name = name
    this.#purpose = purpose
  }

  [Symbol.dispose](): void {
    this.#gone = true
    this.#channel?.[Symbol.dispose]()
  }

  /** @throws `VaultError` where the partner refuses, or says what it may not say */
  async *talk(): Talk {
    const partnership = this.#partnership()
    const welcome = yield* this.#begin(partnership)
    if (welcome === undefined) return this.#report(false, 'key')
    const { batch, partners, contents, book } = this.#parts
    const head = headOf(welcome.head, partnership)
    const stop = await batch.run((work) => {
      const why = judge(work, this.#parts, this.#name, head, welcome.held)
      const detail = why ?? this.#purpose
      noteRun(work, this.#parts, partnership, why === undefined ? 'begun' : 'stopped', { detail })
      return why
    })
    if (stop !== undefined) return this.#report(false, stop)
    const maps = mappedFrom(partnership.maps, partnership.mode)
    const exchange = new Exchange({
      role: 'asker',
      selection: selectionOf(partnership.paths, welcome.paths, maps),
      flow: flowOf(partnership, welcome),
      channel: this.#open(),
      ...{ name: this.#name, peer: partnership.peer, book, partners, contents },
    })
    const isVerified = this.#purpose === 'verify'
    const listed = await listFor(this.#parts, exchange, isVerified)
    this.#totals.compared = listed.count
    const found = yield* this.#compare(welcome, maps, listed, isVerified)
    if (found === undefined) return this.#report(false, 'partner-stopped')
    const { difference, digests, ours } = found
    const all = [...difference.onlyOurs, ...difference.onlyTheirs, ...difference.both]
    this.#progress = { settled: 0, of: all.length }
    if (this.#purpose === 'verify') {
      await this.#nameDifferences(exchange, all)
      return await this.#finish(partnership, listed, all.length === 0)
    }
    const flow = flowOf(partnership, welcome)
    const isDry = this.#purpose === 'preview'
    const left = new Set(all)
    const fresh = new Set(all)
    const settle = (id: string, same: boolean): void => {
      if (same && left.delete(id)) this.#progress.settled++
    }
    if (flow.here || isDry) {
      yield* this.#get(
        partnership,
        exchange,
        [...difference.onlyTheirs, ...difference.both],
        (id, digest) => {
          settle(id, digest === digests.get(id))
        },
      )
    }
    if (isDry) {
      if (flow.there) await this.#wouldSend(exchange, difference.onlyOurs)
      return await this.#finish(partnership, listed, all.length === 0)
    }
    if (all.length > 0) {
      const ids = [...difference.onlyOurs, ...difference.both].filter((id) => left.has(id))
      const compared = new Set([...digests.keys(), ...ours])
      const end = await summaryOf(this.#parts, exchange, compared, (id) => digests.has(id))
      const going = flow.there ? ids : []
      yield* this.#put(partnership, exchange, going, digests, fresh, end, settle)
    }
    return await this.#finish(partnership, listed, left.size === 0, fresh)
  }

  // --- Talking

  /** @returns the welcome, or nothing where the partner is another than the one pinned */
  async *#begin(
    partnership: Partnership,
  ): AsyncGenerator<Saying, Extract<SyncBody, { kind: 'welcome' }> | undefined, SyncReply> {
    const { batch, partners } = this.#parts
    const nonce = drawn()
    const begun = yield this.#says({ kind: 'begin', nonce })
    this.#heard(begun)
    if (begun.state !== 'begun') throw unexpected()
    const isPinned = equalBytes(begun.key, partnership.key)
    if (!isPinned || !equalBytes(begun.vault, partnership.vault)) {
      await batch.run((work) => {
        partners.put(work, { ...this.#partnership(), stop: 'key' })
        noteRun(work, this.#parts, partnership, 'stopped', { detail: 'key' })
      })
      return undefined
    }
    if (begun.nonce.byteLength !== 16 || begun.session.byteLength !== 16) throw unexpected()
    this.#session = begun.session
    this.#channel = await batch.run((work) =>
      openChannel(work, this.#parts, partnership, { asker: nonce, answerer: begun.nonce }),
    )
    const welcome = this.#read(begun.sealed)
    if (welcome.kind !== 'welcome') throw unexpected()
    return welcome
  }

  async *#compare(
    welcome: Extract<SyncBody, { kind: 'welcome' }>,
    maps: ReturnType<typeof mappedFrom>,
    { entries, count }: Listed,
    fresh: boolean,
  ): AsyncGenerator<
    Saying,
    | {
        difference: Difference
        digests: ReadonlyMap<string, string>
        /** Ids of this side's entries that were compared one by one. */
        ours: readonly string[]
      }
    | undefined,
    SyncReply
  > {
    const bits = bitsFor(Math.max(count, Math.min(welcome.count, MAX_SYNC_ENTRIES)))
    const buckets = bucketsOf(entries, bits)
    const { batch } = this.#parts
    const mark = await batch.run((work) => giveMark(work, this.#parts, this.#name))
    const said = standpoint(this.#parts, this.#partnership())
    let answer = yield* this.#ask({ kind: 'list', ...said, maps, bits, buckets, fresh, mark })
    if (answer.kind === 'stop') return undefined
    if (answer.kind !== 'entries') throw unexpected()
    await batch.run((work) => {
      markArrived(work, this.#parts, this.#name)
    })
    const { differ } = answer
    if (differ.byteLength !== differingBuckets(buckets, buckets).byteLength) throw unexpected()
    const parts: Uint8Array[] = []
    let [bytes, last]: [number, string | undefined] = [0, undefined]
    for (;;) {
      try {
        assertEntries(answer.entries, last)
      } catch (cause) {
        throw unexpected(cause)
      }
      for (const [id] of readEntries(answer.entries)) {
        if (!isIn(id, bits, differ)) throw unexpected()
        last = id
      }
      parts.push(answer.entries)
      bytes += answer.entries.byteLength
      if (bytes > MAX_SYNC_ENTRIES * ENTRY_BYTES) throw unexpected()
      if (!answer.more) break
      if (answer.entries.byteLength === 0) throw unexpected()
      answer = yield* this.#ask({ kind: 'more' })
      if (answer.kind !== 'entries') throw unexpected()
    }
    const theirs = new Uint8Array(Buffer.concat(parts))
    const held = answer.mark
    await batch.run((work) => {
      keepMark(work, this.#parts, this.#name, held)
      for (const { id } of this.#parts.partners.conflicts(this.#name)) {
        if (!isIn(id, bits, differ)) this.#parts.partners.settle(work, this.#name, id)
      }
    })
    const ours = entriesIn(entries, bits, differ)
    return {
      difference: compareEntries(ours, theirs),
      digests: new Map(readEntries(theirs)),
      ours: Array.from(readEntries(ours), ([id]) => id),
    }
  }

  /** Fetches what the partner has, and takes it. */
  async *#get(
    partnership: Partnership,
    exchange: Exchange,
    ids: readonly string[],
    settled: (id: string, digest: string) => void,
  ): AsyncGenerator<Saying, void, SyncReply> {
    const isDry = this.#purpose === 'preview'
    let wanted = [...ids].sort()
    while (wanted.length > 0) {
      const asked = wanted.slice(0, MAX_SYNC_RECORDS)
      const answer = yield* this.#ask({ kind: 'get', ids: asked, secrets: !isDry })
      if (answer.kind !== 'records') throw unexpected()
      const { records, refused } = answer
      const got = new Set([...records.map(({ id }) => id), ...refused.map(([id]) => id)])
      const isAsked = [...got].every((id) => asked.includes(id))
      if (got.size !== records.length + refused.length || !isAsked || got.size === 0) {
        throw unexpected()
      }
      this.#totals.refused += refused.length
      for (const [id, why] of refused) this.#refused(id, why, 'there')
      const { mark } = answer
      await this.#parts.batch.run((work) => {
        this.#takeAll(work, partnership, exchange, records, isDry, settled)
        keepMark(work, this.#parts, this.#name, mark)
      })
      wanted = wanted.filter((id) => !got.has(id))
    }
  }

  #takeAll(
    work: Work,
    partnership: Partnership,
    exchange: Exchange,
    records: readonly SentState[],
    isDry: boolean,
    settled: (id: string, digest: string) => void,
  ): void {
    const told: SyncedRecord[] = []
    let changed = false
    for (const sent of records) {
      const { outcome, change, digest, audited } = exchange.take(work, sent, isDry)
      told.push(audited)
      settled(sent.id, digest)
      // What was decided for ours is carried out when that is sent.
      const { keep } = this.#parts.partners.conflict(this.#name, sent.id) ?? {}
      if (!isDry && outcome === 'conflict' && keep === 'ours') continue
      if (outcome === 'conflict') {
        this.#totals.conflicts++
        this.#conflicting.add(sent.id)
      } else if (change?.change === 'refused') this.#totals.refused++
      else if (change?.change === 'gone') this.#totals.removedHere++
      else if (change !== undefined) this.#totals.received++
      changed ||= change !== undefined
      this.#changed(change)
      if (isDry && outcome !== 'conflict') {
        this.#changed(exchange.wouldChange(work.tx, sent, sent.id))
      }
    }
    if (isDry || told.length === 0) return
    noteRun(work, this.#parts, partnership, 'received', { records: told })
    if (changed) this.#parts.desk.reconsider(work)
  }

  /** Sends what the partner lacks, and hears what came of it. @param end - goes with the last, so that it knows how it ended */
  async *#put(
    partnership: Partnership,
    exchange: Exchange,
    ids: readonly string[],
    digests: ReadonlyMap<string, string>,
    fresh: Set<string>,
    end: Uint8Array,
    settled: (id: string, same: boolean) => void,
  ): AsyncGenerator<Saying, void, SyncReply> {
    const { batch, partners } = this.#parts
    const meant = new Map<string, KeptConflict>()
    for (const one of partners.conflicts(this.#name)) {
      if (one.keep === 'ours') meant.set(one.occupant ?? one.id, one)
    }
    let waiting = [...ids].sort()
    for (let isLast = false; !isLast;) {
      const { records, done, mark } = await batch.run((work) => ({
        ...this.#gather(work, partnership, exchange, waiting, meant, digests),
        mark: giveMark(work, this.#parts, this.#name),
      }))
      waiting = waiting.slice(done)
      isLast = waiting.length === 0
      if (records.length === 0 && !isLast) continue
      const ended = isLast ? { end } : {}
      const answer = yield* this.#ask({ kind: 'put', mark, records, ...ended })
      if (answer.kind !== 'results' || answer.results.length !== records.length) throw unexpected()
      const { results } = answer
      const own = await batch.run((work) => {
        markArrived(work, this.#parts, this.#name)
        for (const [id, outcome] of results) {
          const decided = outcome === 'written' ? meant.get(id) : undefined
          if (decided !== undefined) partners.settle(work, this.#name, decided.id)
        }
        return results.map(([id]) => exchange.digest(work.tx, id))
      })
      for (const [at, [id, outcome, digest]] of results.entries()) {
        const sent = records[at]
        if (sent?.id !== id) throw unexpected()
        // Where nothing was to be removed there is nothing to remember.
        const isUnknown = sent.kind === 'removed' && outcome === 'same' && digest === ''
        if (isUnknown) fresh.delete(id)
        settled(id, isUnknown || own[at] === digest)
        const path = exchange.localPath(sent.path) ?? sent.path
        const change = { path, id: fromHex(id), where: 'there' as const }
        if (outcome === 'written') {
          this.#totals.sent++
          this.#changed({ ...change, change: digests.has(id) ? 'changed' : 'added' })
        } else if (outcome === 'removed') {
          this.#totals.removedThere++
          if (digests.has(id)) this.#changed({ ...change, change: 'gone' })
        } else if (outcome === 'conflict') {
          // One that came from there was counted and named already.
          if (this.#conflicting.has(meant.get(id)?.id ?? id)) continue
          this.#totals.conflicts++
          this.#changed({ ...change, change: 'conflict' })
        } else if (outcome !== 'same' && outcome !== 'kept') {
          this.#totals.refused++
          this.#changed({ ...change, change: 'refused', why: outcome })
        }
      }
    }
  }

  #gather(
    work: Work,
    partnership: Partnership,
    exchange: Exchange,
    waiting: readonly string[],
    meant: ReadonlyMap<string, KeptConflict>,
    digests: ReadonlyMap<string, string>,
  ): { records: SentState[]; done: number } {
    const records: SentState[] = []
    const told: SyncedRecord[] = []
    let [bytes, done] = [0, 0]
    for (const id of waiting.slice(0, MAX_SYNC_RECORDS)) {
      const conflict = meant.get(id)
      const over = conflict === undefined ? undefined : digests.get(conflict.id)
      const found = exchange.outgoing(work.tx, id, true, over)
      if ('refused' in found) {
        done++
        this.#totals.refused++
        this.#refused(id, found.refused, 'here', exchange.state(work.tx, id)?.path)
        continue
      }
      const size = sentBytes(found.state)
      if (bytes > 0 && bytes + size > SYNC_FILL_BYTES) break
      bytes += size
      done++
      records.push(found.state)
      told.push(found.audited)
    }
    if (told.length > 0) noteRun(work, this.#parts, partnership, 'sent', { records: told })
    return { records, done }
  }

  async #wouldSend(exchange: Exchange, ids: readonly string[]): Promise<void> {
    await this.#parts.batch.run(({ tx }) => {
      for (const id of ids) this.#changed(exchange.wouldChange(tx, undefined, id))
    })
  }

  async #nameDifferences(exchange: Exchange, ids: readonly string[]): Promise<void> {
    await this.#parts.batch.run(({ tx }) => {
      for (const id of ids) {
        const path = exchange.state(tx, id)?.path ?? ''
        this.#changed({ path, id: fromHex(id), where: 'here', change: 'changed' })
      }
    })
  }

  async #finish(
    partnership: Partnership,
    listed: Listed,
    inStep: boolean,
    fresh?: ReadonlySet<string>,
  ): Promise<SyncReport> {
    const { batch, partners } = this.#parts
    await batch.run((work) => {
      if (this.#purpose !== 'run') {
        noteRun(work, this.#parts, partnership, 'ended', { detail: this.#purpose })
        return
      }
      const now = this.#partnership()
      partners.put(work, { ...now, lastRunAtMs: work.tx.nowMs, behind: !inStep })
      if (inStep) noteInStep(work, this.#parts, this.#name, listed, fresh)
      const detail = inStep ? 'in step' : 'behind'
      noteRun(work, this.#parts, partnership, 'ended', { detail })
    })
    return this.#report(inStep)
  }

  #report(inStep: boolean, stopped?: SyncReport['stopped']): SyncReport {
    const changes = this.#changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
    return {
      name: this.#name,
      purpose: this.#purpose,
      inStep,
      ...(stopped === undefined ? {} : { stopped }),
      ...this.#totals,
      changes,
    }
  }

  // ---

  #partnership(): Partnership {
    const partnership = this.#parts.partners.named(this.#name)
    if (partnership === undefined || this.#gone) throw canceled(this.#name)
    return partnership
  }

  #open(): SyncChannel {
    if (this.#channel === undefined || this.#gone) throw canceled(this.#name)
    return this.#channel
  }

  /** Says one thing inside the channel and hears the answer. */
  async *#ask(body: SyncBody): AsyncGenerator<Saying, SyncBody, SyncReply> {
    this.#assertRunning()
    const sealed = this.#open().seal(encodeBody(body))
    this.#totals.bytes += sealed.byteLength
    const reply = yield this.#says({ kind: 'step', session: this.#session, sealed })
    this.#heard(reply)
    if (reply.state !== 'step') throw unexpected()
    return this.#read(reply.sealed)
  }

  #says(say: SyncMessage): Saying {
    return { say, progress: { ...this.#progress } }
  }

  #heard(reply: SyncReply): void {
    this.#assertRunning()
    this.#totals.roundTrips++
    if (reply.state !== 'failed') return
    const { code, reason = '' } = reply
    const why = Object.hasOwn(REFUSED, reason) ? REFUSED[reason] : undefined
    throw new VaultError(
      code,
      `Cannot synchronise with ${this.#name}: ${why ?? 'the partner refuses'}`,
    )
  }

  #read(sealed: Uint8Array): SyncBody {
    this.#totals.bytes += sealed.byteLength
    const bytes = this.#open().open(sealed)
    try {
      return decodeBody(bytes)
    } catch (cause) {
      throw unexpected(cause)
    }
  }

  /** A partnership that was paused, blocked or taken away meanwhile says nothing more. */
  #assertRunning(): void {
    const { peer, paused } = this.#partnership()
    if (paused || !this.#parts.book.isWelcome(peer)) throw canceled(this.#name)
  }

  #changed(change: SyncChange | undefined): void {
    if (change !== undefined && this.#changes.length < MAX_SYNC_CHANGES) this.#changes.push(change)
  }

  #refused(id: string, why: string, where: SyncChange['where'], path = ''): void {
    this.#changed({ path, id: fromHex(id), where, change: 'refused', why })
  }
}

function unexpected(cause?: unknown): VaultError {
  return new VaultError(
    'data_loss',
    'Cannot synchronise: the partner says what it may not say here',
    { cause },
  )
}

function canceled(name: string): VaultError {
  return new VaultError('canceled', `Cannot go on with ${name}: its run was ended`)
}
