/**
 * The node door: connections with peers. Connects, asks how far somebody is and what it says of itself, and cuts off. Who is
 * known, and what for, is no matter of it.
 */
import { DoorError } from '@stronghold/guard/socket'
import type { DoorTable } from '@stronghold/guard/socket'
import type { Address, Node, PeerId } from '@stronghold/p2p'
import { z } from 'zod'

import { pause } from '../io.ts'
import { MAX_BOOK_ADDRESSES, MAX_PINGS } from '../limits.ts'
import { crossing } from './faults.ts'
import type { RunningNode } from './running.ts'
import type { Heard, Watch } from './watch.ts'
import { connectedOf, roundTrip } from './ways.ts'
import type { Connected } from './ways.ts'

/** Whom, and where it may be beside what the node knows; addresses are without the peer id. */
export interface Whom {
  readonly peer: string
  readonly addresses: readonly string[]
}

/** Connections. */
export interface PeersDoor {
  /** All that are up, each with a round trip measured now. */
  connections(): Promise<readonly Connected[]>
  /** Connects, or finds the connection there is. Settles with nothing when the signal gives up. */
  connectPeer(whom: Whom, options: { signal: AbortSignal }): Promise<Connected | undefined>
  /** @returns how many connections there were */
  disconnectPeer(peer: string): Promise<number>
  /** Round trips in milliseconds, one a second, `null` for each that is not answered in time. Connects where it has to. */
  pings(
    whom: Whom,
    count: number,
    options: { signal: AbortSignal },
  ): AsyncIterable<{ readonly rttMs: number | null }>
  /** What a peer says of itself; `null` where it says nothing. Connects where it has to. */
  identifyPeer(
    whom: Whom,
    options: { signal: AbortSignal },
  ): Promise<{ readonly connected: Connected; readonly heard: Heard | null } | undefined>
  /** Forgets where a peer is, and cuts it off. */
  forgetPeer(peer: string): Promise<void>
}

const PING_INTERVAL_MS = 1000
/** How long it is waited for what a connected peer says of itself, in milliseconds. */
const HEAR_TIMEOUT_MS = 5000

const peer = z.string().max(128)
const whom = z.object({
  peer,
  addresses: z.array(z.string().max(1024)).max(MAX_BOOK_ADDRESSES),
})

/** Their table. */
export const PEERS_METHODS: DoorTable<PeersDoor> = {
  connections: { kind: 'call', args: z.tuple([]) },
  connectPeer: { kind: 'wait', args: z.tuple([whom]) },
  disconnectPeer: { kind: 'call', args: z.tuple([peer]) },
  pings: { kind: 'stream', args: z.tuple([whom, z.int().min(1).max(MAX_PINGS)]) },
  identifyPeer: { kind: 'wait', args: z.tuple([whom]) },
  forgetPeer: { kind: 'call', args: z.tuple([peer]) },
}

/** The part of a running node. */
export function peersOf({ node, clock }: RunningNode, watch: Watch): PeersDoor {
  return {
    connections: () =>
      Promise.all(node.connections().map((connection) => connectedOf(node, connection))),
    connectPeer: async (target, { signal }) =>
      await unlessGivenUp(signal, () => connect(node, target, signal)),
    disconnectPeer: async (text) => {
      const id = await idOf(text)
      const count = node.connections(id).length
      await node.disconnect(id)
      return count
    },
    pings: async function* (target, count, { signal }) {
      if ((await unlessGivenUp(signal, () => connect(node, target, signal))) === undefined) return
      const id = await idOf(target.peer)
      for (let sent = 0; sent < count && !signal.aborted; sent++) {
        if (sent > 0) await pause(clock, PING_INTERVAL_MS, signal)
        if (!signal.aborted) yield { rttMs: await roundTrip(node, id, signal) }
      }
    },
    identifyPeer: async (target, { signal }) =>
      await unlessGivenUp(signal, async () => {
        const connected = await connect(node, target, signal)
        const limit = AbortSignal.any([signal, AbortSignal.timeout(HEAR_TIMEOUT_MS)])
        return { connected, heard: (await watch.heard(target.peer, limit)) ?? null }
      }),
    forgetPeer: async (text) => {
      const id = await idOf(text)
      node.book.remove(id)
      await node.disconnect(id)
    },
  }
}

async function connect(node: Node, target: Whom, signal: AbortSignal): Promise<Connected> {
  const { parseAddress } = await import('@stronghold/p2p')
  const id = await idOf(target.peer)
  const addresses: readonly Address[] = target.addresses.map((one) =>
    parseAddress(`${one}/p2p/${id}`),
  )
  const connection = await crossing(
    () => node.connect(addresses.length > 0 ? addresses : id, { signal }),
    id,
  )
  const connected = await connectedOf(node, connection, signal)
  // Whoever refuses a peer closes once it knows who that is, which the dialler does not hear before.
  if (connected.rttMs === null && node.connections(id).length === 0 && !signal.aborted) {
    throw new DoorError(
      'unavailable',
      `Cannot reach ${id}: it closed the connection at once (at ${connected.address}, layer firewall)`,
      'no',
      'layer_firewall',
    )
  }
  return connected
}

async function idOf(text: string): Promise<PeerId> {
  const { parsePeerId } = await import('@stronghold/p2p')
  return parsePeerId(text)
}

/** What was given up settles with nothing, as over a socket. */
async function unlessGivenUp<T>(
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  }
}
