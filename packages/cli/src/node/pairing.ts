/** The node door: joining another Stronghold by the ticket that it printed. Makes nobody known here: the command does. */
import type { DoorTable } from '@stronghold/guard/socket'
import type { PeerId } from '@stronghold/p2p'
import { z } from 'zod'

import { MAX_TICKET_TEXT } from '../limits.ts'
import { crossing } from './faults.ts'
import type { RunningNode } from './running.ts'
import { connectedOf } from './ways.ts'
import type { Connected } from './ways.ts'

/** A peer that was joined. */
export interface JoinedPeer {
  readonly peer: string
  /** Where it is, as the ticket says, each with its peer id. */
  readonly addresses: readonly string[]
  /** What it calls this machine; `null` where it does not say. */
  readonly knownAs: string | null
  /** `null` where the connection is gone again. */
  readonly connection: Connected | null
}

/** Pairing, the side that joins. */
export interface PairingDoor {
  /** Proves a ticket to whoever opened it. Settles with nothing when the signal gives up. */
  joinPeer(ticket: string, options: { signal: AbortSignal }): Promise<JoinedPeer | undefined>
}

/** Its table. */
export const PAIRING_METHODS: DoorTable<PairingDoor> = {
  joinPeer: { kind: 'wait', args: z.tuple([z.string().max(MAX_TICKET_TEXT)]) },
}

/** The part of a running node. */
export function pairingOf({ node }: RunningNode): PairingDoor {
  return {
    joinPeer: async (text, { signal }) => {
      const { joinPairing, parseTicket } = await import('@stronghold/remote/connect')
      const ticket = parseTicket(text)
      try {
        const joined = await crossing(() => joinPairing(node, ticket, { signal }), ticket.peer)
        return {
          peer: joined.peer,
          addresses: joined.addresses,
          knownAs: joined.name ?? null,
          connection: await connectionWith(node, joined.peer, signal),
        }
      } catch (error) {
        if (signal.aborted) return undefined
        throw error
      }
    },
  }
}

async function connectionWith(
  node: RunningNode['node'],
  peer: PeerId,
  signal: AbortSignal,
): Promise<Connected | null> {
  const [connection] = node.connections(peer)
  return connection === undefined ? null : await connectedOf(node, connection, signal)
}
