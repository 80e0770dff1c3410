/**
 * Joining a peer by its ticket (`wire.md §10`): both prove that they hold its secret, neither shows it. Makes nobody known on
 * this side: that is for whoever called. Runs in browsers.
 */
import { equalBytes } from '@stronghold/core'
import { pairProofBytes, TICKET_BYTES, ticketIdBytes } from '@stronghold/guard/proofs'
import { defineProtocol, isP2pError, parseAddress, unary } from '@stronghold/p2p'
import type { Address, Node, PeerId, Protocol } from '@stronghold/p2p'

import { fromP2p, RemoteError } from './errors.ts'
import { JOIN_TIMEOUT_MS } from './limits.ts'
import { pairAnswer, pairRequest } from './messages.ts'
import type { Message, PairAnswerMessage, PairMessage } from './messages.ts'
import { parseTicket } from './ticket.ts'
import type { Ticket } from './ticket.ts'

/** Id of the protocol (`wire.md §10`). */
export const PAIR_PROTOCOL = '/stronghold/pair/1.0.0'

/** The method of pairing. */
export type PairMethods = {
  /** Proves a ticket; the answer proves the other side. */
  readonly pair: ReturnType<typeof unary<Message<PairMessage>, Message<PairAnswerMessage>>>
}

/** The protocol. */
export const pairProtocol: Protocol<PairMethods> = defineProtocol(PAIR_PROTOCOL, {
  pair: unary({ request: pairRequest, response: pairAnswer }),
})

/** Whom a pairing made known to us, and where. */
export interface Joined {
  readonly peer: PeerId
  /** Each with the peer's id at its end. */
  readonly addresses: readonly Address[]
  /** What this node is called there, as the peer says; `undefined` where it does not. Escape it before it is shown. */
  readonly name: string | undefined
}

/**
 * Joins the peer that opened a ticket. When this resolves, the peer knows this node, and has proved that it is the one that
 * the ticket is of; its addresses stand in the node's address book. A joining that was cut off may be tried again.
 *
 * @param options - `timeoutMs`, default 30 seconds
 * @throws `SyntaxError` for what is no ticket; `RemoteError` `permission_denied` (`ticket_refused`) where the other side
 *   does not take it, `unauthenticated` where it is not who it should be, and for a peer that cannot be reached
 */
export async function joinPairing(
  node: Node,
  ticket: string | Ticket,
  { timeoutMs = JOIN_TIMEOUT_MS, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<Joined> {
  const { peer, addresses, secret } = typeof ticket === 'string' ? parseTicket(ticket) : ticket
  const peers = { joins: node.peer, opened: peer }
  const where = addresses.map((address) => parseAddress(`${address}/p2p/${peer}`))
  const options = { timeoutMs, ...(signal === undefined ? {} : { signal }) }
  const message = {
    ticket: await ticketId(secret),
    proof: await proofOf(secret, pairProofBytes('joins', peers)),
  }
  const client = node.client(pairProtocol, where.length > 0 ? where : peer)
  let answer: PairAnswerMessage
  try {
    answer = await client.pair(message, options)
  } catch (error) {
    const isRefused = isP2pError(error, 'unimplemented') || isP2pError(error, 'permission_denied')
    throw isRefused ? refused(error) : fromP2p(error)
  }
  // Also the other side proves it: else whoever sits at a wrong address could have itself taken for the right one.
  if (!equalBytes(answer.proof, await proofOf(secret, pairProofBytes('opened', peers)))) {
    throw new RemoteError('unauthenticated', 'Cannot join peer: it does not hold the ticket', {
      ran: 'yes',
    })
  }
  if (where.length > 0) node.book.add(peer, where)
  return { peer, addresses: where, name: answer.name }
}

/** The id of a ticket, 16 bytes: tells which one is proved, and nothing of its secret. */
async function ticketId(secret: Uint8Array): Promise<Uint8Array> {
  const digest = await crypto.subtle.digest('SHA-256', copied(ticketIdBytes(secret)))
  return new Uint8Array(digest, 0, TICKET_BYTES)
}

async function proofOf(secret: Uint8Array, said: Uint8Array): Promise<Uint8Array> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' }
  const key = await crypto.subtle.importKey('raw', copied(secret), algorithm, false, ['sign'])
  return new Uint8Array(await crypto.subtle.sign('HMAC', key, copied(said)))
}

/** Bytes as Web Cryptography takes them: never a view of shared memory. */
function copied(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}

function refused(cause: unknown): RemoteError {
  return new RemoteError(
    'permission_denied',
    'Cannot join peer: it does not take the ticket, which is used, over or another one',
    { reason: 'ticket_refused', cause },
  )
}
