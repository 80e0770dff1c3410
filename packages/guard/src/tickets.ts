/**
 * One-time secrets that make one peer known: opened by the owner, proved by whoever holds one, over a connection that
 * proves who that is. They live in memory only and give no right. Time and peer ids are handed in.
 */
import { createHash, createHmac, randomFillSync } from 'node:crypto'

import { equalBytes, toHex } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'

import type { KnownPeer } from './doors.ts'
import type { GuardLimits } from './limits.ts'
import { pairProofBytes, TICKET_BYTES, ticketIdBytes } from './pairing.ts'
import type { PairSide } from './pairing.ts'

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

/** Tickets that are open. */
export class Tickets {
  readonly #peer: string
  readonly #limits: Readonly<GuardLimits>
  readonly #open = new Map<string, Ticket>()

  /** @param peer - the peer id that tickets are opened under */
  constructor(peer: string, limits: Readonly<GuardLimits>) {
    this.#peer = peer
    this.#limits = limits
  }

  /**
   * Opens a ticket.
   *
   * @throws `VaultError` `resource_exhausted` past `maxTickets`
   */
  open(
    init: { name: string; tags: readonly string[]; lifetimeMs: number },
    nowMs: number,
  ): { id: Uint8Array; secret: Uint8Array; expiresAtMs: number } {
    this.#sweep(nowMs)
    if (this.#open.size >= this.#limits.maxTickets) {
      throw new VaultError(
        'resource_exhausted',
        `Cannot open ticket: ${this.#limits.maxTickets} are open already`,
      )
    }
    const secret = randomFillSync(new Uint8Array(TICKET_BYTES))
    const id = ticketId(secret)
    const expiresAtMs = nowMs + init.lifetimeMs
    const { name, tags } = init
    const ticket = { id, secret, name, tags, expiresAtMs, wrong: 0, waiting: new Set<never>() }
    this.#open.set(toHex(id), ticket)
    return { id, secret, expiresAtMs }
  }

  /** Every open ticket, without its secret. */
  list(nowMs: number): { id: Uint8Array; name: string; expiresAtMs: number; wrong: number }[] {
    this.#sweep(nowMs)
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
    nowMs: number,
  ):
    | { name: string; tags: readonly string[]; proof: Uint8Array; waiting: Ticket['waiting'] }
    | undefined {
    this.#sweep(nowMs)
    const ticket = this.#open.get(toHex(id))
    if (ticket === undefined) return undefined
    const peers = { joins: peer, opened: this.#peer }
    if (!equalBytes(proof, pairProof(ticket.secret, 'joins', peers))) {
      ticket.wrong++
      if (ticket.wrong >= this.#limits.maxWrongProofs) this.#close(toHex(id), undefined)
      return undefined
    }
    this.#open.delete(toHex(id))
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

  /** Closes all. */
  close(): void {
    for (const id of [...this.#open.keys()]) this.#close(id, undefined)
  }

  #close(id: string, peer: KnownPeer | undefined): boolean {
    const ticket = this.#open.get(id)
    if (ticket === undefined) return false
    this.#open.delete(id)
    ticket.secret.fill(0)
    for (const settle of [...ticket.waiting]) settle(peer)
    return true
  }

  #sweep(nowMs: number): void {
    for (const [id, { expiresAtMs }] of this.#open)
      if (nowMs >= expiresAtMs) this.#close(id, undefined)
  }
}
