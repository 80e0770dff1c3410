/**
 * What the owner does with partnerships and runs (`docs/sync.md §1, §7`). Every change is one transaction with its audit entry. It
 * knows no network: what is to be said to a partner comes back as a value.
 */
import { equalBytes, parsePath, parsePattern, toHex } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'

import type { AuditFacts } from '../audit/entry.ts'
import type { Work } from '../desk.ts'
import type { Asker } from '../doors.ts'
import { MAX_PARTNERSHIPS, MAX_SYNC_PATHS, SYNC_IDLE_MS } from '../limits.ts'
import { Answerer } from './answerer.ts'
import { Asking } from './asker.ts'
import type { Talk } from './asker.ts'
import type {
  SyncConflict,
  SyncDecision,
  SyncInit,
  SyncMessage,
  SyncPartnership,
  SyncPurpose,
  SyncReply,
  SyncTurn,
} from './doors.ts'
import { fingerprintOf } from './partners.ts'
import type { Partnership } from './partners.ts'
import { drawn, noteRun, releaseTombstones } from './run.ts'
import type { SyncParts } from './run.ts'

/** One run at its asking end. */
interface Run {
  readonly id: Uint8Array
  readonly name: string
  readonly peer: string
  readonly asking: Asking
  readonly talk: Talk
  usedAtMs: number
  busy: boolean
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,31}$/
const MIN_EVERY_MS = 1000
const STOPPED: Readonly<Record<NonNullable<Partnership['stop']>, string>> = {
  'rolled-back': 'the partner is an older copy of itself',
  unseen: 'it was out of step for 180 days',
  key: 'the partner has another key or vault than is pinned',
}

/** Partnerships and runs of one unlocked vault. */
export class SyncOffice {
  readonly #parts: SyncParts
  readonly #answerer: Answerer
  /** By partnership: a run that begins ends the one before. */
  readonly #runs = new Map<string, Run>()

  constructor(parts: Omit<SyncParts, 'contents'>) {
    this.#parts = { ...parts, contents: new WeakMap() }
    this.#answerer = new Answerer(this.#parts)
  }

  /** Ends every run. */
  close(): void {
    this.#answerer.end()
    for (const run of [...this.#runs.values()]) this.#end(run)
  }

  /** Answers a partner. */
  answer(asker: Asker, message: SyncMessage): Promise<SyncReply> {
    return this.#answerer.answer(asker, message)
  }

  // --- Partnerships

  async ownKey(): Promise<{ vault: Uint8Array; key: Uint8Array; fingerprint: string }> {
    const { batch, vault } = this.#parts
    const key = await batch.run(({ tx }) => tx.sync.publicKey())
    return { vault: vault.head().vault, key, fingerprint: fingerprintOf(key) }
  }

  async add(init: SyncInit): Promise<SyncPartnership> {
    const { partners, book, batch } = this.#parts
    return await batch.run((work) => {
      const peer = book.peerNamed(init.peer)?.peer ?? init.peer
      if (book.peer(peer) === undefined) {
        throw new VaultError('not_found', `Cannot add partner ${quoted(init.peer)}: no known peer`)
      }
      const partnership = parsed(init, peer, work.tx.nowMs)
      const { name } = partnership
      if (partners.named(name) !== undefined || partners.with(peer) !== undefined) {
        throw conflict(`Cannot add partner ${name}: there is one of this name or with this peer`)
      }
      if (partners.list().length >= MAX_PARTNERSHIPS) {
        const state = `there are ${MAX_PARTNERSHIPS} already`
        throw new VaultError('resource_exhausted', `Cannot add partner ${name}: ${state}`)
      }
      return this.#write(work, partnership, 'added', fingerprintOf(init.key))
    })
  }

  list(): SyncPartnership[] {
    return this.#parts.partners.list().map((one) => this.#shown(one))
  }

  async pin(name: string, vault: Uint8Array, key: Uint8Array): Promise<SyncPartnership> {
    assertKey(vault, key)
    return await this.#parts.batch.run((work) => {
      const { stop, seen, given, held, ...rest } = this.#named(name)
      // Of another vault nothing is known yet.
      const same = equalBytes(rest.vault, vault)
      const pinned: Partnership = {
        ...rest,
        vault,
        key,
        ...(stop === undefined || stop === 'key' ? {} : { stop }),
        ...(same && seen !== undefined ? { seen } : {}),
        ...(same && given !== undefined ? { given } : {}),
        ...(same && held !== undefined ? { held } : {}),
      }
      this.#stop(name)
      return this.#write(work, pinned, 'pinned', fingerprintOf(key))
    })
  }

  async pause(name: string, paused: boolean): Promise<SyncPartnership> {
    return await this.#parts.batch.run((work) => {
      const before = this.#named(name)
      if (before.paused === paused) return this.#shown(before)
      this.#stop(name)
      return this.#write(work, { ...before, paused }, paused ? 'paused' : 'resumed')
    })
  }

  async remove(name: string): Promise<void> {
    await this.#parts.batch.run((work) => {
      this.#remove(work, this.#named(name))
    })
  }

  /** With a peer that is taken away goes its partnership. */
  forgetPeer(work: Work, peer: string): void {
    const partnership = this.#parts.partners.with(peer)
    if (partnership !== undefined) this.#remove(work, partnership)
  }

  #remove(work: Work, partnership: Partnership): void {
    const { partners, trail } = this.#parts
    const { name, peer } = partnership
    this.#stop(name)
    partners.remove(work, name)
    releaseTombstones(work.tx, partners, partnership)
    trail.append(work.tx, work.journal, 'partner', { change: 'removed', name, peer })
  }

  conflicts(name?: string): SyncConflict[] {
    if (name !== undefined) this.#named(name)
    return this.#parts.partners.conflicts(name).map((kept) => {
      const { path, kind, ours, theirs, sinceMs, keep } = kept
      const id = new Uint8Array(Buffer.from(kept.id, 'hex'))
      const decided = keep === undefined ? {} : { keep }
      return { name: kept.name, id, path, kind, ours, theirs, sinceMs, ...decided }
    })
  }

  async resolve(name: string, decision: SyncDecision): Promise<SyncPartnership> {
    const { partners, batch } = this.#parts
    return await batch.run((work) => {
      const partnership = this.#named(name)
      if ('accept' in decision) {
        const { stop, seen: _, given: __, ...rest } = partnership
        if (stop !== 'rolled-back' && stop !== 'unseen') {
          throw conflict(`Cannot decide about partner ${name}: it is not behind`)
        }
        const { accept } = decision
        return this.#write(work, { ...rest, accept }, 'decided', accept)
      }
      const { record, keep } = decision
      const id = typeof record === 'string' ? undefined : toHex(record)
      const found = partners.conflicts(name).filter((one) => one.id === id || one.path === record)
      if (found.length === 0) {
        throw new VaultError('not_found', 'Cannot decide about record: it is in no conflict')
      }
      for (const one of found) {
        if (one.kind === 'type') {
          throw conflict(`Cannot decide about "${one.path}": of two types, one has to be removed`)
        }
        partners.note(work, { ...one, keep })
      }
      return this.#write(work, partnership, 'decided', `${keep} ${found[0]?.path ?? ''}`)
    })
  }

  // --- Runs

  async begin(name: string, purpose: SyncPurpose = 'run'): Promise<SyncTurn> {
    const { peer, paused, stop } = this.#named(name)
    if (!this.#parts.book.isWelcome(peer)) {
      throw new VaultError(
        'permission_denied',
        `Cannot run ${name}: its peer is blocked or unknown`,
      )
    }
    if (paused) throw conflict(`Cannot run ${name}: it is paused`)
    if (stop !== undefined) throw conflict(`Cannot run ${name}: ${STOPPED[stop]}`)
    this.#endRun(name)
    const asking = new Asking(this.#parts, name, purpose)
    const run: Run = {
      id: drawn(),
      name,
      peer,
      asking,
      talk: asking.talk(),
      usedAtMs: this.#parts.nowMs(),
      busy: false,
    }
    this.#runs.set(name, run)
    return await this.#turn(run, () => run.talk.next())
  }

  async next(session: Uint8Array, reply: SyncReply): Promise<SyncTurn> {
    const run = this.#running(session)
    if (run === undefined || this.#parts.nowMs() - run.usedAtMs > SYNC_IDLE_MS) {
      if (run !== undefined) this.#end(run)
      throw new VaultError('not_found', 'Cannot go on with run: it has ended')
    }
    if (run.busy) throw conflict(`Cannot go on with run of ${run.name}: it waits for itself`)
    return await this.#turn(run, () => run.talk.next(reply))
  }

  async end(session: Uint8Array): Promise<void> {
    const run = this.#running(session)
    if (run !== undefined) this.#end(run)
  }

  async #turn(run: Run, next: () => ReturnType<Talk['next']>): Promise<SyncTurn> {
    run.busy = true
    try {
      const { done, value } = await next()
      run.usedAtMs = this.#parts.nowMs()
      if (done !== true) return { done: false, session: run.id, peer: run.peer, ...value }
      this.#end(run)
      return { done: true, report: value }
    } catch (error) {
      this.#end(run)
      await this.#broken(run, error)
      throw error
    } finally {
      run.busy = false
    }
  }

  /** A run that broke left something to do; what is lost with the vault's lock is not written any more. */
  async #broken({ name }: Run, error: unknown): Promise<void> {
    const { partners, batch } = this.#parts
    const detail = (error instanceof VaultError ? error.code : 'internal').slice(0, 64)
    await batch
      .run((work) => {
        const partnership = partners.named(name)
        if (partnership === undefined) return
        partners.put(work, { ...partnership, lastRunAtMs: work.tx.nowMs, behind: true })
        noteRun(work, this.#parts, partnership, 'stopped', { detail })
      })
      .catch(() => {})
  }

  #running(session: Uint8Array): Run | undefined {
    for (const run of this.#runs.values()) if (equalBytes(run.id, session)) return run
    return undefined
  }

  /** Nothing goes on with this partner as it was. */
  #stop(name: string): void {
    this.#endRun(name)
    this.#answerer.end(name)
  }

  #endRun(name: string): void {
    const run = this.#runs.get(name)
    if (run !== undefined) this.#end(run)
  }

  #end(run: Run): void {
    run.asking[Symbol.dispose]()
    if (this.#runs.get(run.name) === run) this.#runs.delete(run.name)
  }

  // ---

  #named(name: string): Partnership {
    const partnership = this.#parts.partners.named(name)
    if (partnership === undefined) {
      throw new VaultError('not_found', `Cannot find partner ${quoted(name)}: there is none`)
    }
    return partnership
  }

  #write(
    work: Work,
    partnership: Partnership,
    change: AuditFacts['partner']['change'],
    detail?: string,
  ): SyncPartnership {
    const { partners, trail } = this.#parts
    const { name, peer } = partnership
    partners.put(work, partnership)
    const more = detail === undefined ? {} : { detail }
    trail.append(work.tx, work.journal, 'partner', { change, name, peer, ...more })
    return this.#shown(partnership)
  }

  #shown(partnership: Partnership): SyncPartnership {
    const { partners, book } = this.#parts
    const { key, complete, behind, stop, name, peer, given: _, held: __, ...rest } = partnership
    const conflicts = partners.conflictsOf(name)
    const why = stop ?? (conflicts > 0 ? ('records' as const) : undefined)
    const state =
      why !== undefined
        ? 'conflict'
        : behind
          ? 'behind'
          : complete === undefined
            ? 'new'
            : 'in-step'
    return {
      ...rest,
      name,
      peer,
      peerName: book.peer(peer)?.name ?? '',
      fingerprint: fingerprintOf(key),
      state,
      conflicts,
      ...(why === undefined ? {} : { why }),
      ...(complete === undefined ? {} : { inStepAtMs: complete.atMs }),
    }
  }
}

/** A partnership as it was asked for. @throws `VaultError` `invalid_argument` naming what does not fit */
function parsed(init: SyncInit, peer: string, nowMs: number): Partnership {
  const { name, vault, key, paths = ['**'], maps = [], everyMs, onChange = false } = init
  const { mode = 'two-way', merge = 'newest-version' } = init
  if (!NAME.test(name)) {
    throw invalid(`${quoted(name)} is no word of a to z, 0 to 9, '.', '_' and '-'`)
  }
  assertKey(vault, key)
  if (paths.length < 1 || paths.length > MAX_SYNC_PATHS || maps.length > MAX_SYNC_PATHS) {
    throw invalid(`not 1 to ${MAX_SYNC_PATHS} paths, or over ${MAX_SYNC_PATHS} pairs of a mapping`)
  }
  try {
    for (const path of paths) parsePattern(path)
    for (const { from, to } of maps) [from, to].forEach(parsePath)
  } catch (cause) {
    throw invalid((cause as Error).message, cause)
  }
  if (mode === 'two-way' && maps.length > 0) throw invalid('paths are mapped one way only')
  if (mode === 'two-way' && merge === 'replace') {
    throw invalid('two sides cannot replace each other; take push or pull')
  }
  for (const side of ['from', 'to'] as const) {
    if (new Set(maps.map((map) => map[side])).size < maps.length) {
      throw invalid(`the mapping names one path twice as ${side}`)
    }
  }
  if (everyMs !== undefined && !(Number.isSafeInteger(everyMs) && everyMs >= MIN_EVERY_MS)) {
    throw invalid('it runs at most once a second')
  }
  return {
    ...{ name, peer, vault, key, paths, maps, mode, merge, onChange },
    ...(everyMs === undefined ? {} : { everyMs }),
    paused: false,
    addedAtMs: nowMs,
    behind: false,
  }
}

function assertKey(vault: Uint8Array, key: Uint8Array): void {
  if (vault.byteLength === 16 && key.byteLength === 32) return
  throw invalid('no vault of 16 and key of 32 bytes')
}

function invalid(why: string, cause?: unknown): VaultError {
  return new VaultError('invalid_argument', `Cannot add partner: ${why}`, { cause })
}

function conflict(message: string): VaultError {
  return new VaultError('failed_precondition', message, { reason: 'conflict' })
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}
