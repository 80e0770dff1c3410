/**
 * What the two sides of a pairing hash (`wire.md §10`), so that both write the same. Pure; it hashes nothing itself, and knows
 * no ticket.
 */
import { concat, encode, encodeUtf8 } from '@stronghold/core'

/** Bytes of a ticket's secret, and of its id. */
export const TICKET_BYTES = 16

/** Which side proves: the one that joins, or the one that opened the ticket. */
export type PairSide = 'joins' | 'opened'

const TICKET_DOMAIN = encodeUtf8('stronghold/ticket/1')

/** What a ticket's id is the beginning of the SHA-256 of, so that a ticket need not carry it. */
export function ticketIdBytes(secret: Uint8Array): Uint8Array {
  return concat([TICKET_DOMAIN, secret])
}

/**
 * What HMAC-SHA-256 under a ticket's secret is computed over: deterministic CBOR of domain, side, and the peer ids of both. A
 * proof is good for these two peers only, and the one side's is none of the other's.
 */
export function pairProofBytes(
  side: PairSide,
  { joins, opened }: { readonly joins: string; readonly opened: string },
): Uint8Array {
  return encode({ domain: 'stronghold/pair/1', side, joins, opened })
}
