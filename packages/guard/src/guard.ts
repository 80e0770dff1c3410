/**
 * A guard in front of one vault, in this thread: requests in, decisions, effects, answers. The only file that puts the parts
 * together. It knows no network and no terminal; `keeper/` runs the same in a thread of its own.
 */
import { encode, toHex } from '@stronghold/core'
import { systemClock, VaultError } from '@stronghold/vault'
import type { Clock, OpenVault } from '@stronghold/vault'
import { CATALOG, FORMATS, NO_PATH, procedureOf } from '@stronghold/vault/catalog'

import { answerOf, brokenBy, DENIED, LOCKED, NOT_FOUND, refused, TOO_MANY } from './answers.ts'
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
} from './doors.ts'
import { requestKey } from './held.ts'
import type { HeldRequest } from './held.ts'
import { Knocks } from './knocks.ts'
import { Ledger } from './ledger.ts'
import { DEFAULT_GUARD_LIMITS } from './limits.ts'
import type { GuardLimits } from './limits.ts'
import { OwnerDesk } from './owner.ts'
import { Release } from './release.ts'
import type { Vocabulary } from './rules/rule.ts'
import { Secrets } from './secrets.ts'
import { Tickets } from './tickets.ts'
import { Topic } from './topic.ts'
import { Trail } from './trail.ts'
import { usableBy } from './usable.ts'

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
}

/** The words that rules may use, from the catalog. */
export const VOCABULARY: Vocabulary = Object.freeze({
  rolesOf: (name: string) => {
    const roles = procedureOf(name)?.roles
    if (roles === undefined) return undefined
    const names = Object.keys(roles)
    return names.length === 0 ? [NO_PATH] : names
  },
  procedures: CATALOG.map(({ name }) => name),
  formats: FORMATS,
})

/** How often deadlines are looked at, in milliseconds. */
const SWEEP_MS = 1000

/** Puts a guard in front of a vault. */
export function openGuard(init: GuardInit, seams: GuardSeams = {}): Guard {
  return new LocalGuard(init, seams)
}

class LocalGuard implements Guard, NetworkDoor {
  readonly #vault: OpenVault
  readonly #clock: Clock
  readonly #limits: Readonly<GuardLimits>
  readonly #knocks: Knocks
  readonly #tickets: Tickets
  readonly #secrets = new Secrets()
  readonly #waiting = new Map<string, Set<(held: HeldRequest) => void>>()
  #waits = 0
  readonly #cuts = new Topic<string>()
  readonly #asked = new Topic<News>()
  #open: Open | undefined
  #stopTimer: (() => void) | undefined
  #closed = false
  readonly owner: OwnerDoor

  constructor(
    { vault, peer, limits, confirmApprovals = false }: GuardInit,
    { clock = systemClock }: GuardSeams,
  ) {
    this.#vault = vault
    this.#clock = clock
    this.#limits = Object.freeze({ ...DEFAULT_GUARD_LIMITS, ...limits })
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
      isOpen: () => this.#open !== undefined,
      opened: () => {
        this.#begin()
      },
      locking: () => {
        this.#end()
      },
    })
    this.owner = owner
    vault.onIdle = () => void owner.lockIdle()
    if (vault.state === 'unlocked') this.#begin()
  }

  get network(): NetworkDoor {
    return this
  }

  // --- The network door

  async submit(asker: Asker, request: PeerRequest): Promise<Answer> {
    const open = this.#open
    if (open === undefined) return refused(LOCKED)
    if (!this.#admits(open, asker)) return refused(DENIED)
    try {
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
    const open = this.#open
    if (open === undefined) return refused(LOCKED)
    if (!this.#admits(open, asker)) return refused(DENIED)
    const held = open.book.request(asker.peer, toHex(id))
    if (held === undefined) return refused(NOT_FOUND)
    if (held.answer !== undefined || signal?.aborted === true) return this.#answer(held)
    if (this.#waits >= this.#limits.maxWaiting) return refused(TOO_MANY)
    const settled = await this.#settled(requestKey(asker.peer, held.id), held, signal)
    const now = this.#open
    if (now === undefined) return refused(LOCKED)
    return now.book.isWelcome(asker.peer) ? this.#answer(settled) : refused(DENIED)
  }

  async cancel(asker: Asker, id: Uint8Array): Promise<Answer> {
    const open = this.#open
    if (open === undefined) return refused(LOCKED)
    if (!this.#admits(open, asker)) return refused(DENIED)
    try {
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
    const open = this.#open
    if (open?.book.isWelcome(asker.peer) !== true) return
    const some = ids.slice(0, this.#limits.maxKeptPerPeer).map(toHex)
    await open.batch.run((work) => {
      open.desk.acknowledge(work, asker.peer, some)
    })
  }

  async list(asker: Asker): Promise<ReturnType<typeof usableBy>> {
    const open = this.#open
    if (open?.book.isWelcome(asker.peer) !== true) return []
    const { book } = open
    return await open.batch.run(({ tx }) =>
      usableBy(tx.list(), book.rules, {
        peer: asker.peer,
        tags: book.tagsOf(asker.peer),
        nowMs: tx.nowMs,
      }),
    )
  }

  async standing({ peer, connection }: Asker): Promise<'known' | 'unknown' | 'blocked'> {
    const known = this.#open?.book.peer(peer)
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
    return this.#open === undefined ? undefined : encode(this.#vault.head())
  }

  async pair(asker: Asker, ticket: Uint8Array, proof: Uint8Array): Promise<PairAnswer> {
    const open = this.#open
    if (open === undefined) return { paired: false }
    const used = this.#tickets.prove(asker.peer, ticket, proof)
    if (used === undefined) return { paired: false }
    const { peer } = asker
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
    return { paired: true, proof: used.proof }
  }

  // --- Opening and closing

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#end()
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
    const parts = vault.transaction((tx) => {
      const book = new Book(tx, VOCABULARY, limits)
      const ledger = new Ledger(tx, book.rules.rules, limits)
      if (ledger.restored) book.forgetRequests(tx)
      for (const { reserved } of book.requests()) ledger.reserveStanding(reserved)
      return { book, ledger, trail: new Trail(vault, limits) }
    })
    const vaultId = vault.head().vault
    this.#open = {
      ...parts,
      desk: new Desk({ vault, vaultId, limits, ...parts }),
      batch: new Batch({
        vault,
        maxQueued: limits.maxQueued,
        finish: (tx, journal) => {
          parts.book.finish(tx, journal)
        },
        certificate: () => parts.book.certificate,
        committed: (news) => {
          this.#tell(news)
        },
      }),
    }
    this.#arm()
  }

  /** What waits in this turn is done first; who waits for a person is told that the vault is locked. */
  #end(): void {
    const open = this.#open
    if (open === undefined) return
    open.batch.flush()
    this.#stopTimer?.()
    this.#stopTimer = undefined
    this.#open = undefined
    for (const held of open.book.requests()) this.#resolve(held)
    this.#waiting.clear()
  }

  #opened(): Open {
    const open = this.#open
    if (open === undefined) {
      throw new VaultError('failed_precondition', 'Cannot use vault: it is locked', {
        reason: 'locked',
      })
    }
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
          this.#resolve(one.held)
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

  #resolve(held: HeldRequest): void {
    const key = requestKey(held.peer, held.id)
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return
    this.#waiting.delete(key)
    for (const resolve of waiting) resolve(held)
  }

  #settled(key: string, held: HeldRequest, signal: AbortSignal | undefined): Promise<HeldRequest> {
    return new Promise((resolve) => {
      let all = this.#waiting.get(key)
      if (all === undefined) this.#waiting.set(key, (all = new Set()))
      const waiting = all
      this.#waits++
      const finish = (now: HeldRequest): void => {
        this.#waits--
        waiting.delete(finish)
        if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key)
        signal?.removeEventListener('abort', giveUp)
        resolve(now)
      }
      const giveUp = (): void => {
        finish(held)
      }
      waiting.add(finish)
      signal?.addEventListener('abort', giveUp, { once: true })
    })
  }

  /** Looks at deadlines once a second, for as long as anything has one. */
  #arm(): void {
    const open = this.#open
    if (open === undefined || this.#stopTimer !== undefined) return
    if (open.book.size === 0 && !open.trail.hasSummaries(this.#clock.nowMs())) return
    this.#stopTimer = this.#clock.setTimer(SWEEP_MS, () => {
      this.#stopTimer = undefined
      const done = (): void => {
        this.#arm()
      }
      open.batch
        .run((work: Work) => {
          open.desk.sweep(work)
          open.trail.summarise(work.tx, work.journal)
        })
        .then(done, done)
    })
  }

  /** What is told of a request outside a batch: with a head of its own. */
  #answer(held: HeldRequest): Answer {
    const leaf = held.answer?.kind === 'done' ? held.answer.leaf : undefined
    const certificate = this.#open?.book.certificate ?? null
    const release = new Release(this.#vault, leaf === undefined ? [] : [leaf], certificate)
    return answerOf(held, release, this.#clock.nowMs())
  }
}
