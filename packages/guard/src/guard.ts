/**
 * A guard in front of one vault, in this thread: requests in, decisions, effects, answers. The only file that puts the parts
 * together. It knows no network and no terminal; `keeper/` runs the same in a thread of its own.
 */
import { encode, toHex } from '@stronghold/core'
import { hpkePublicKey, isVaultError, systemClock, VaultError } from '@stronghold/vault'
import type { Clock, OpenVault } from '@stronghold/vault'
import { CATALOG, FORMATS, NO_PATH, hasFormats, procedureOf } from '@stronghold/vault/catalog'

import {
  answerOf,
  brokenBy,
  DENIED,
  LOCKED,
  NOT_FOUND,
  refused,
  SEND_AGAIN,
  TOO_MANY,
} from './answers.ts'
import { BackupOffice } from './backups/office.ts'
import { Batch } from './batch.ts'
import { Book } from './book.ts'
import { Confirms } from './confirms.ts'
import { Desk } from './desk.ts'
import type { News, Work } from './desk.ts'
import type {
  Answer,
  Asker,
  Guard,
  NetworkDoor,
  OwnerDoor,
  PairAnswer,
  PeerRequest,
  UsablePage,
  WantedRecords,
} from './doors.ts'
import { requestKey } from './held.ts'
import type { HeldRequest } from './held.ts'
import { dropNotes, takeNotes } from './intake.ts'
import { Journal } from './journal.ts'
import { Knocks } from './knocks.ts'
import { Ledger } from './ledger.ts'
import { DEFAULT_GUARD_LIMITS } from './limits.ts'
import type { GuardLimits } from './limits.ts'
import { LockedDoor } from './locked-door.ts'
import { OwnerDesk } from './owner.ts'
import { Release } from './release.ts'
import type { Vocabulary } from './rules/rule.ts'
import { Secrets } from './secrets.ts'
import type { SyncMessage, SyncReply } from './sync/doors.ts'
import { SyncOffice } from './sync/office.ts'
import { Partners } from './sync/partners.ts'
import { SYNC_PROCEDURE, SYNC_ROLES } from './sync/rights.ts'
import { Tickets } from './tickets.ts'
import { Topic } from './topic.ts'
import { Trail } from './trail.ts'
import { usableBy } from './usable.ts'
import { boxSecret, writeWaiters } from './waiters.ts'
import { Waits } from './waits.ts'

/** Which vault, and how it is guarded. */
export interface GuardInit {
  /** Belongs to the guard from then on, locked or not. */
  readonly vault: OpenVault
  /** The peer id under which the vault is served: tickets are bound to it. */
  readonly peer: string
  /** Bounds that differ from `DEFAULT_GUARD_LIMITS`. */
  readonly limits?: Partial<GuardLimits>
  /** Whoever approves shows again what unlocks the vault. Default false. */
  readonly confirmApprovals?: boolean
}

/** What tests hold. */
export interface GuardSeams {
  readonly clock?: Clock
}

/** Everything that is there only while the vault is unlocked. */
interface Open {
  readonly book: Book
  readonly desk: Desk
  readonly batch: Batch
  readonly trail: Trail
  readonly ledger: Ledger
  readonly sync: SyncOffice
  readonly backups: BackupOffice
}

/** The words that rules may use: those of the catalog, and synchronisation. */
export const VOCABULARY: Vocabulary = Object.freeze({
  rolesOf: (name: string) => {
    if (name === SYNC_PROCEDURE) return SYNC_ROLES
    const roles = procedureOf(name)?.roles
    if (roles === undefined) return undefined
    const names = Object.keys(roles)
    return names.length === 0 ? [NO_PATH] : names
  },
  procedures: [...CATALOG.map(({ name }) => name), SYNC_PROCEDURE],
  formats: FORMATS,
  hasFormats,
})

/** How often deadlines are looked at, in milliseconds. */
const SWEEP_MS = 1000

/** Puts a guard in front of a vault. */
export function openGuard(init: GuardInit, seams: GuardSeams = {}): Guard {
  return new LocalGuard(init, seams)
}

class LocalGuard implements Guard, NetworkDoor {
  readonly #vault: OpenVault
  readonly #peer: string
  readonly #clock: Clock
  readonly #limits: Readonly<GuardLimits>
  readonly #knocks: Knocks
  readonly #tickets: Tickets
  readonly #secrets = new Secrets()
  readonly #waits: Waits
  readonly #cuts = new Topic<string>()
  readonly #asked = new Topic<News>()
  #open: Open | undefined
  /** There while the vault is locked, from the first use on. */
  #locked: LockedDoor | undefined
  #stopTimer: (() => void) | undefined
  #closed = false
  readonly owner: OwnerDoor

  constructor(
    { vault, peer, limits, confirmApprovals = false }: GuardInit,
    { clock = systemClock }: GuardSeams,
  ) {
    this.#vault = vault
    this.#peer = peer
    this.#clock = clock
    this.#limits = Object.freeze({ ...DEFAULT_GUARD_LIMITS, ...limits })
    this.#waits = new Waits(this.#limits.maxWaiting)
    this.#knocks = new Knocks(this.#limits.maxKnocks)
    this.#tickets = new Tickets({ peer, limits: this.#limits, clock })
    const owner = new OwnerDesk({
      peer,
      vault,
      limits: this.#limits,
      clock,
      secrets: this.#secrets,
      confirms: confirmApprovals ? new Confirms(this.#limits.maxWrongConfirms, clock) : undefined,
      knocks: this.#knocks,
      tickets: this.#tickets,
      asked: this.#asked,
      open: () => this.#opened(),
      isOpen: () => this.#now() !== undefined,
      intake: () => this.#lockedDoor()?.size ?? 0,
      opened: () => {
        this.#begin()
      },
      join: () => {
        this.#join()
      },
      locking: () => {
        this.#end()
      },
    })
    this.owner = owner
    vault.onIdle = () => void owner.lockIdle()
    if (vault.state !== 'unlocked') return
    this.#begin()
    this.#join()
    this.#open?.batch.flush()
  }

  get network(): NetworkDoor {
    return this
  }

  // --- The network door

  async submit(asker: Asker, request: PeerRequest): Promise<Answer> {
    try {
      const open = this.#now()
      if (open === undefined) return this.#whileLocked(asker, (door) => door.submit(asker, request))
      if (!this.#admits(open, asker)) return refused(DENIED)
      const answer = await open.batch.run(
        (work) => open.desk.submit(work, asker, request),
        (result, release) =>
          'kind' in result
            ? refused(result, release.head)
            : answerOf(result, release, this.#clock.nowMs()),
      )
      this.#arm()
      return answer
    } catch (error) {
      return refused(brokenBy(error))
    }
  }

  async wait(
    asker: Asker,
    id: Uint8Array,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Answer> {
    try {
      const open = this.#now()
      if (open === undefined) {
        return await this.#whileLocked(asker, (door) => door.wait(asker.peer, id, signal))
      }
      if (!this.#admits(open, asker)) return refused(DENIED)
      const find = (): HeldRequest | undefined => open.book.request(asker.peer, toHex(id))
      // What this very turn submits is there at its end.
      const held = find() ?? (await open.batch.run(find))
      if (held === undefined) return refused(NOT_FOUND)
      if (isUnclaimed(held)) return refused(SEND_AGAIN)
      if (held.answer !== undefined || signal?.aborted === true) return this.#answer(held)
      if (this.#waits.full) return refused(TOO_MANY)
      const settled = await this.#waits.until(requestKey(asker.peer, held.id), signal)
      const now = this.#now()
      if (now === undefined) return refused(LOCKED)
      return now.book.isWelcome(asker.peer) ? this.#answer(settled ?? held) : refused(DENIED)
    } catch (error) {
      return refused(brokenBy(error))
    }
  }

  async cancel(asker: Asker, id: Uint8Array): Promise<Answer> {
    try {
      const open = this.#now()
      if (open === undefined) return this.#whileLocked(asker, (door) => door.cancel(asker.peer, id))
      if (!this.#admits(open, asker)) return refused(DENIED)
      const text = toHex(id)
      const held = await open.batch.run(
        (work) => open.desk.cancel(work, asker.peer, text) ?? open.book.request(asker.peer, text),
      )
      return held === undefined ? refused(NOT_FOUND) : this.#answer(held)
    } catch (error) {
      return refused(brokenBy(error))
    }
  }

  async acknowledge(asker: Asker, ids: readonly Uint8Array[]): Promise<void> {
    const open = this.#now()
    if (open?.book.isWelcome(asker.peer) !== true) return
    const some = ids.slice(0, this.#limits.maxKeptPerPeer).map(toHex)
    await open.batch.run((work) => {
      open.desk.acknowledge(work, asker.peer, some)
    })
  }

  async list(asker: Asker, wanted?: WantedRecords): Promise<UsablePage> {
    const open = this.#now()
    const { peer } = asker
    if (open?.book.isWelcome(peer) !== true) return { records: [], more: false }
    const { book } = open
    return await open.batch.run(({ tx }) =>
      usableBy(tx, book.rules, { peer, tags: book.tagsOf(peer), nowMs: tx.nowMs }, wanted),
    )
  }

  async standing({ peer, connection }: Asker): Promise<'known' | 'unknown' | 'blocked'> {
    const open = this.#now()
    const door = this.#lockedDoor()
    if (door?.mayWait(peer) === true) return 'known'
    const known = open?.book.peer(peer)
    if (known === undefined) {
      this.#knocked({ peer, connection })
      return 'unknown'
    }
    return known.blocked ? 'blocked' : 'known'
  }

  cutOff({ signal }: { signal: AbortSignal }): AsyncIterable<string> {
    return this.#cuts.listen(signal)
  }

  pairing({ signal }: { signal: AbortSignal }): AsyncIterable<number> {
    return this.#tickets.counts(signal)
  }

  async head(): Promise<Uint8Array | undefined> {
    return this.#now() === undefined ? undefined : encode(this.#vault.head())
  }

  async pair(asker: Asker, ticket: Uint8Array, proof: Uint8Array): Promise<PairAnswer> {
    const open = this.#now()
    if (open === undefined) return { paired: false }
    const { peer } = asker
    const { book } = open
    const hasRoom = book.peer(peer) !== undefined || book.peers().length < this.#limits.maxPeers
    // Not even looked at: the ticket is for when there is room again.
    if (!hasRoom) return { paired: false }
    const used = this.#tickets.prove(peer, ticket, proof)
    if (used === undefined) return { paired: false }
    const added = await open.batch.run(({ tx, journal }) => {
      const before = open.book.peer(peer)
      if (before !== undefined) return before
      const name = open.book.freeName(used.name)
      const known = {
        peer,
        name,
        tags: used.tags,
        blocked: false,
        addedAtMs: tx.nowMs,
        via: 'paired' as const,
      }
      open.book.setPeer(tx, journal, peer, known)
      open.trail.append(tx, journal, 'peer', { change: 'paired', peer, name })
      return known
    })
    this.#knocks.remove(peer)
    for (const settle of [...used.waiting]) settle(added)
    return { paired: true, proof: used.proof, name: added.name }
  }

  async sync(asker: Asker, message: SyncMessage): Promise<SyncReply> {
    const open = this.#now()
    if (open === undefined || !this.#admits(open, asker)) {
      const message = 'Cannot synchronise: refused'
      return { state: 'failed', code: 'permission_denied', reason: 'denied_by_rule', message }
    }
    return await open.sync.answer(asker, message)
  }

  // --- While the vault is locked

  /** The door while the vault is locked; `undefined` where it is not, or is just about to be. */
  #lockedDoor(): LockedDoor | undefined {
    const vault = this.#vault
    if (this.#closed || this.#now() !== undefined || vault.state !== 'locked') return undefined
    const [clock, limits, waits] = [this.#clock, this.#limits, this.#waits]
    return (this.#locked ??= new LockedDoor({
      vault,
      clock,
      limits,
      waits,
      slab: this.#secrets.slab,
    }))
  }

  /** Whoever may not wait hears what he hears of a vault that is not locked. */
  #whileLocked<A>(asker: Asker, then: (door: LockedDoor) => A): A | Answer {
    const door = this.#lockedDoor()
    // It is just about to be locked, or to be let go of.
    if (door === undefined) return refused(LOCKED)
    if (door.mayWait(asker.peer)) return then(door)
    this.#knocked(asker)
    return refused(DENIED)
  }

  // --- Opening and closing

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#end()
    this.#locked?.end()
    this.#waits.wake(this.#waits.keys())
    this.#cuts.end()
    this.#asked.end()
    this.#tickets.close()
    await this.#vault.close()
    this.#secrets[Symbol.dispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #begin(): void {
    const vault = this.#vault
    const limits = this.#limits
    this.#locked?.end()
    this.#locked = undefined
    const parts = vault.transaction((tx) => {
      const book = new Book(tx, VOCABULARY, limits)
      const ledger = new Ledger(tx, book.rules.rules, limits)
      if (ledger.restored) {
        book.forgetRequests(tx)
        dropNotes(tx)
      }
      using box = boxSecret(tx, this.#secrets.slab)
      const peers = book.peers().filter(({ blocked }) => !blocked)
      writeWaiters(tx, {
        box: hpkePublicKey(box.bytes),
        bounds: limits,
        peers: new Set(peers.map(({ peer }) => peer)),
      })
      for (const { reserved } of book.requests()) ledger.reserveStanding(reserved)
      const trail = new Trail(tx, vault, limits)
      if (ledger.restored) {
        trail.append(tx, new Journal(), 'restored', { by: 'backup', epoch: tx.epoch })
      }
      return { book, ledger, trail, partners: new Partners(tx) }
    })
    const vaultId = vault.head().vault
    const desk = new Desk({ vault, vaultId, limits, ...parts })
    const batch = new Batch({
      vault,
      maxQueued: limits.maxQueued,
      finish: (tx, journal) => {
        parts.book.finish(tx, journal)
      },
      certificate: () => parts.book.certificate,
      committed: (news) => {
        this.#tell(news)
      },
    })
    const nowMs = (): number => this.#clock.nowMs()
    const sync = new SyncOffice({ vault, peer: this.#peer, desk, batch, nowMs, ...parts })
    const secrets = this.#secrets
    const backups = new BackupOffice({ vault, desk, batch, secrets, nowMs, trail: parts.trail })
    this.#open = { ...parts, desk, batch, sync, backups }
    this.#checkpoint(this.#open)
    this.#arm()
  }

  /** What waited while the vault was locked is decided on, and whoever waits for it may ask again. */
  #join(): void {
    const open = this.#open
    if (open === undefined) return
    const waited = this.#waits.keys()
    for (const { peer } of open.book.peers()) this.#knocks.remove(peer)
    const done = (): void => {
      this.#waits.wake(waited)
    }
    open.batch
      .run((work) => {
        const vaultId = this.#vault.head().vault
        open.desk.join(work, takeNotes(work.tx, vaultId, this.#secrets.slab))
      })
      .then(done, done)
  }

  /** What waits in this turn is done first; who waits for a person is told that the vault is locked. */
  #end(): void {
    const open = this.#open
    if (open === undefined) return
    open.batch.flush()
    this.#leave(open)
    this.#open = undefined
    this.#waits.wake(this.#waits.keys())
  }

  /** Whoever is still at work with this memory, as a restore that took long, comes to nothing: what stands now is another. */
  #leave({ batch, sync }: Open): void {
    batch.end(locked())
    sync.close()
    this.#stopTimer?.()
    this.#stopTimer = undefined
  }

  /** What is open, also where the vault has locked itself, or a commit failed of which nobody knows what it wrote. */
  #now(): Open | undefined {
    if (this.#open !== undefined && this.#vault.state !== 'unlocked') this.#end()
    if (this.#open?.batch.torn === true || this.#open?.trail.torn === true) this.#again(this.#open)
    return this.#open
  }

  /** Reads everything as it lies there. @throws `VaultError` while it cannot be read: it is tried again then */
  #again(before: Open): void {
    this.#leave(before)
    this.#begin()
    const after = this.#open?.book
    for (const { peer, blocked } of before.book.peers()) {
      if (!blocked && after?.isWelcome(peer) !== true) this.#cuts.publish(peer)
    }
    this.#waits.wake(this.#waits.keys())
  }

  #opened(): Open {
    const open = this.#now()
    if (open === undefined) throw locked()
    return open
  }

  #admits(open: Open, asker: Asker): boolean {
    if (open.book.isWelcome(asker.peer)) return true
    if (open.book.peer(asker.peer) === undefined) this.#knocked(asker)
    return false
  }

  #knocked({ peer, connection }: Asker): void {
    const nowMs = this.#clock.nowMs()
    this.#knocks.add(peer, connection, nowMs)
    this.#open?.trail.stranger(nowMs)
    this.#arm()
  }

  #tell(news: readonly News[]): void {
    for (const one of news) {
      switch (one.type) {
        case 'answer':
          this.#waits.wake([requestKey(one.held.peer, one.held.id)], one.held)
          break
        case 'cut':
          this.#cuts.publish(one.peer)
          break
        case 'prompt':
        case 'unprompt':
          this.#asked.publish(one)
      }
    }
  }

  /** Looks at deadlines once a second, for as long as anything has one. */
  #arm(): void {
    const open = this.#open
    if (open === undefined || this.#stopTimer !== undefined) return
    if (open.book.size === 0 && !open.trail.hasSummaries(this.#clock.nowMs())) return
    this.#stopTimer = this.#clock.setTimer(SWEEP_MS, () => {
      this.#stopTimer = undefined
      // What came in this turn is a use; to look at deadlines is none, or a vault in which something waits never locks.
      open.batch.flush()
      this.#vault.aside(() => {
        this.#sweep()
      })
    })
  }

  #sweep(): void {
    try {
      const open = this.#now()
      if (open === undefined) return
      this.#checkpoint(open)
      open.batch
        .run((work: Work) => {
          open.desk.sweep(work)
          open.trail.summarise(work.tx, work.journal)
        })
        .catch(() => {})
      open.batch.flush()
    } catch (error) {
      // What cannot be read now is read later.
      if (!isVaultError(error)) throw error
    }
    this.#arm()
  }

  /** Where it fails it is tried again at the next deadline; what is asked meanwhile finds out by itself. */
  #checkpoint({ trail }: Open): void {
    if (!trail.wantsCheckpoint) return
    try {
      trail.checkpoint()
    } catch (error) {
      if (!isVaultError(error)) throw error
    }
  }

  /** What is told of a request outside a batch: with a head of its own. */
  #answer(held: HeldRequest): Answer {
    const leaf = held.answer?.kind === 'done' ? held.answer.leaf : undefined
    const certificate = this.#open?.book.certificate ?? null
    const release = new Release(this.#vault, leaf === undefined ? [] : [leaf], certificate)
    return answerOf(held, release, this.#clock.nowMs())
  }
}

function locked(): VaultError {
  return new VaultError('failed_precondition', 'Cannot use vault: it is locked', {
    reason: 'locked',
  })
}

/** Its peer has not come for it since the vault was unlocked. */
function isUnclaimed({ state }: HeldRequest): boolean {
  const { phase } = state
  return phase === 'noted' || phase === 'approved' || (phase === 'pending' && !state.claimed)
}
