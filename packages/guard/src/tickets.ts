/**
 * One-time secrets that make one peer known: opened by the owner, proved by whoever holds one, over a connection that
 * proves who that is. They live in memory only and give no right. Time and peer ids are handed in.
 */
import { createHash, createHmac, randomFillSync } from 'node:crypto'

import { equalBytes, toHex } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'
import type { Clock } from '@stronghold/vault'

import type { KnownPeer } from './doors.ts'
import type { GuardLimits } from './limits.ts'
import { pairProofBytes, TICKET_BYTES, ticketIdBytes } from './pairing.ts'
import type { PairSide } from './pairing.ts'
import { Topic } from './topic.ts'

/** A ticket that is open. */
interface Ticket {
  readonly id: Uint8Array
  readonly secret: Uint8Array
  readonly name: string
  readonly tags: readonly string[]
  readonly expiresAtMs: number
  wrong: number
  readonly waiting: Set<(peer: KnownPeer | undefined) => void>
}

/** The id of a ticket, 16 bytes: what its secret hashes to, so that a ticket need not carry it. */
export function ticketId(secret: Uint8Array): Uint8Array {
  const digest = createHash('sha256').update(ticketIdBytes(secret)).digest()
  return new Uint8Array(digest.subarray(0, TICKET_BYTES))
}

/** Proves that one holds a ticket's secret, 32 bytes: HMAC-SHA-256 under it of `pairProofBytes`. */
export function pairProof(
  secret: Uint8Array,
  side: PairSide,
  peers: { readonly joins: string; readonly opened: string },
): Uint8Array {
  const said = pairProofBytes(side, peers)
  return new Uint8Array(createHmac('sha256', secret).update(said).digest())
}

/** What tickets are made of. */
export interface TicketsInit {
  /** The peer id that tickets are opened under. */
  readonly peer: string
  readonly limits: Readonly<Pick<GuardLimits, 'maxTickets' | 'maxWrongProofs'>>
  readonly clock: Clock
}

/** Tickets that are open. */
export class Tickets {
  readonly #peer: string
  readonly #limits: TicketsInit['limits']
  readonly #clock: Clock
  readonly #open = new Map<string, Ticket>()
  readonly #counts = new Topic<number>()
  #stopTimer: (() => void) | undefined

  constructor({ peer, limits, clock }: TicketsInit) {
    this.#peer = peer
    this.#limits = limits
    this.#clock = clock
  }

  /** How many are open: now, and each time that it changes. */
  async *counts(signal: AbortSignal): AsyncGenerator<number> {
    const counts = this.#counts.listen(signal)
    this.#sweep()
    yield this.#open.size
    yield* counts
  }

  /**
   * Opens a ticket.
   *
   * @throws `VaultError` `resource_exhausted` past `maxTickets`
   */
  open({ name, tags, lifetimeMs }: { name: string; tags: readonly string[]; lifetimeMs: number }): {
    id: Uint8Array
    secret: Uint8Array
    expiresAtMs: number
  } {
    this.#sweep()
    if (this.#open.size >= this.#limits.maxTickets) {
      throw new VaultError(
        'resource_exhausted',
        `Cannot open ticket: ${this.#limits.maxTickets} are open already`,
      )
    }
    const secret = randomFillSync(new Uint8Array(TICKET_BYTES))
    const id = ticketId(secret)
    const expiresAtMs = this.#clock.nowMs() + lifetimeMs
    const ticket = { id, secret, name, tags, expiresAtMs, wrong: 0, waiting: new Set<never>() }
    this.#open.set(toHex(id), ticket)
    this.#changed()
    return { id, secret, expiresAtMs }
  }

  /** Every open ticket, without its secret. */
  list(): { id: Uint8Array; name: string; expiresAtMs: number; wrong: number }[] {
    this.#sweep()
    return [...this.#open.values()].map(({ id, name, expiresAtMs, wrong }) => {
      return { id, name, expiresAtMs, wrong }
    })
  }

  /** @returns whether there was one */
  cancel(id: Uint8Array): boolean {
    return this.#close(toHex(id), undefined)
  }

  /**
   * Takes a proof. A right one closes the ticket and gives the proof of this side; `maxWrongProofs` wrong ones close it, too.
   *
   * @returns `undefined` for a wrong proof, and for a ticket that is not open
   */
  prove(
    peer: string,
    id: Uint8Array,
    proof: Uint8Array,
  ):
    | { name: string; tags: readonly string[]; proof: Uint8Array; waiting: Ticket['waiting'] }
    | undefined {
    this.#sweep()
    const ticket = this.#open.get(toHex(id))
    if (ticket === undefined) return undefined
    const peers = { joins: peer, opened: this.#peer }
    if (!equalBytes(proof, pairProof(ticket.secret, 'joins', peers))) {
      ticket.wrong++
      if (ticket.wrong >= this.#limits.maxWrongProofs) this.#close(toHex(id), undefined)
      return undefined
    }
    this.#open.delete(toHex(id))
    this.#changed()
    const { name, tags, secret, waiting } = ticket
    return { name, tags, proof: pairProof(secret, 'opened', peers), waiting }
  }

  /** Settles when the ticket was used or is gone; at once for one that is not open. */
  async whenUsed(id: Uint8Array, signal: AbortSignal): Promise<KnownPeer | undefined> {
    const ticket = this.#open.get(toHex(id))
    if (ticket === undefined || signal.aborted) return undefined
    return await new Promise((resolve) => {
      const settle = (peer: KnownPeer | undefined): void => {
        ticket.waiting.delete(settle)
        signal.removeEventListener('abort', giveUp)
        resolve(peer)
      }
      const giveUp = (): void => {
        settle(undefined)
      }
      ticket.waiting.add(settle)
      signal.addEventListener('abort', giveUp, { once: true })
    })
  }

  /** Closes all, and ends who listens. */
  close(): void {
    for (const id of [...this.#open.keys()]) this.#close(id, undefined)
    this.#counts.end()
  }

  #close(id: string, peer: KnownPeer | undefined): boolean {
    const ticket = this.#open.get(id)
    if (ticket === undefined) return false
    this.#open.delete(id)
    ticket.secret.fill(0)
    this.#changed()
    for (const settle of [...ticket.waiting]) settle(peer)
    return true
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs()
    for (const [id, { expiresAtMs }] of [...this.#open])
      if (nowMs >= expiresAtMs) this.#close(id, undefined)
  }

  /** Whoever offers pairing hears of it; one whose time is over closes without being asked. */
  #changed(): void {
    this.#counts.publish(this.#open.size)
    this.#stopTimer?.()
    this.#stopTimer = undefined
    if (this.#open.size === 0) return
    const next = Math.min(...[...this.#open.values()].map(({ expiresAtMs }) => expiresAtMs))
    this.#stopTimer = this.#clock.setTimer(Math.max(next - this.#clock.nowMs(), 0), () => {
      this.#sweep()
      // A timer may fire early.
      if (this.#open.size > 0) this.#changed()
    })
  }
}
