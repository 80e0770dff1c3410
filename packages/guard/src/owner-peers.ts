/**
 * Whom the owner knows, at the owner door: peers with their names and tags, tickets by which one becomes known, and strangers
 * that knocked. Knowing a peer gives it no right.
 */
import { VaultError } from '@stronghold/vault'

import type { AuditFacts } from './audit/entry.ts'
import type { Book } from './book.ts'
import type { Desk, Work } from './desk.ts'
import type { KnownPeer, OwnerDoor } from './doors.ts'
import type { Knocks } from './knocks.ts'
import type { GuardLimits } from './limits.ts'
import type { SyncOffice } from './sync/office.ts'
import type { Tickets } from './tickets.ts'
import type { Trail } from './trail.ts'

/** The part of the owner door that is about peers. */
export type PeersDoor = Pick<
  OwnerDoor,
  | 'peers'
  | 'addPeer'
  | 'renamePeer'
  | 'tagPeer'
  | 'blockPeer'
  | 'removePeer'
  | 'knocks'
  | 'newTicket'
  | 'tickets'
  | 'cancelTicket'
  | 'ticketUsed'
>

/** What is there only while the vault is unlocked, as far as peers concern it. */
interface PeerParts {
  readonly book: Book
  readonly desk: Desk
  readonly trail: Trail
  readonly sync: SyncOffice
}

/** What it works on. */
export interface OwnerPeersInit {
  readonly limits: Pick<GuardLimits, 'maxPeers'>
  readonly knocks: Knocks
  readonly tickets: Tickets
  /** @throws `VaultError` `failed_precondition` (`locked`) */
  open(): PeerParts
  /** One transaction. */
  change<T>(body: (work: Work, open: PeerParts) => T): Promise<T>
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,31}$/
const MAX_TAGS = 16
const MAX_TICKET_MS = 24 * 3_600_000

/** See above. */
export class OwnerPeers implements PeersDoor {
  readonly #init: OwnerPeersInit

  constructor(init: OwnerPeersInit) {
    this.#init = init
  }

  async peers(): Promise<readonly KnownPeer[]> {
    return this.#init.open().book.peers()
  }

  async addPeer(peer: string, name: string, tags: readonly string[] = []): Promise<void> {
    assertName(name)
    assertTags(tags)
    await this.#init.change((work, { book, trail }) => {
      const { tx, journal } = work
      if (book.peer(peer) !== undefined)
        throw conflict(`Cannot add peer ${peer}: it is known already`)
      assertFree(book, name)
      if (book.peers().length >= this.#init.limits.maxPeers) {
        throw new VaultError(
          'resource_exhausted',
          `Cannot add peer: ${this.#init.limits.maxPeers} are known already`,
        )
      }
      const known = { peer, name, tags, blocked: false, addedAtMs: tx.nowMs, via: 'added' as const }
      book.setPeer(tx, journal, peer, known)
      trail.append(tx, journal, 'peer', { change: 'added', peer, name })
    })
    this.#init.knocks.remove(peer)
  }

  async renamePeer(peer: string, name: string): Promise<void> {
    assertName(name)
    await this.#changePeer(peer, 'renamed', (known, { book }) => {
      assertFree(book, name)
      return { ...known, name }
    })
  }

  async tagPeer(peer: string, tags: readonly string[]): Promise<void> {
    assertTags(tags)
    await this.#changePeer(peer, 'tagged', (known) => ({ ...known, tags }))
  }

  async blockPeer(peer: string, blocked: boolean): Promise<void> {
    await this.#init.change((work, { book, desk }) => {
      if (book.peer(peer) === undefined) throw unknownPeer(peer)
      desk.block(work, peer, blocked)
    })
  }

  async removePeer(peer: string): Promise<void> {
    await this.#init.change((work, { book, desk, sync }) => {
      if (book.peer(peer) === undefined) throw unknownPeer(peer)
      sync.forgetPeer(work, peer)
      desk.remove(work, peer)
    })
  }

  async knocks(): Promise<
    readonly { peer: string; connection: string; atMs: number; times: number }[]
  > {
    return this.#init.knocks.list()
  }

  async newTicket({
    name = 'paired',
    tags = [],
    lifetimeMs,
  }: {
    name?: string
    tags?: readonly string[]
    lifetimeMs: number
  }): Promise<{ id: Uint8Array; secret: Uint8Array; expiresAtMs: number }> {
    assertName(name)
    assertTags(tags)
    if (!Number.isSafeInteger(lifetimeMs) || lifetimeMs < 1 || lifetimeMs > MAX_TICKET_MS) {
      throw new RangeError('Cannot open ticket: it lasts longer than 24 hours, or not at all')
    }
    this.#init.open()
    return this.#init.tickets.open({ name, tags, lifetimeMs })
  }

  async tickets(): Promise<
    readonly { id: Uint8Array; name: string; expiresAtMs: number; wrong: number }[]
  > {
    return this.#init.tickets.list()
  }

  async cancelTicket(id: Uint8Array): Promise<boolean> {
    return this.#init.tickets.cancel(id)
  }

  async ticketUsed(
    id: Uint8Array,
    { signal }: { signal: AbortSignal },
  ): Promise<KnownPeer | undefined> {
    return await this.#init.tickets.whenUsed(id, signal)
  }

  async #changePeer(
    peer: string,
    change: AuditFacts['peer']['change'],
    to: (known: KnownPeer, open: PeerParts) => KnownPeer,
  ): Promise<void> {
    await this.#init.change((work, open) => {
      const known = open.book.peer(peer)
      if (known === undefined) throw unknownPeer(peer)
      const after = to(known, open)
      open.book.setPeer(work.tx, work.journal, peer, after)
      open.trail.append(work.tx, work.journal, 'peer', { change, peer, name: after.name })
      open.desk.reconsider(work, (held) => held.peer === peer)
    })
  }
}

function assertFree(book: Book, name: string): void {
  if (book.peerNamed(name) === undefined) return
  throw conflict(`Cannot name peer ${name}: another one is called so`)
}

function assertName(name: string): void {
  if (NAME.test(name) && name !== 'known') return
  throw new VaultError(
    'invalid_argument',
    `Cannot name peer ${JSON.stringify(name.slice(0, 64))}: no word of a to z, 0 to 9, '.', '_' and '-'`,
  )
}

function assertTags(tags: readonly string[]): void {
  if (tags.length > MAX_TAGS) {
    throw new VaultError('invalid_argument', `Cannot tag peer: over ${MAX_TAGS} tags`)
  }
  for (const tag of tags) assertName(tag)
}

function unknownPeer(peer: string): VaultError {
  return new VaultError('not_found', `Cannot find peer ${peer.slice(0, 64)}: it is not known`)
}

function conflict(message: string): VaultError {
  return new VaultError('failed_precondition', message, { reason: 'conflict' })
}
