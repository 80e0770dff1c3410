/**
 * The node door: the network around a node. Where it listens and is reached, whom it refuses by address, and who is found.
 * What is found is an address, and never a right.
 */
import type { DoorTable } from '@stronghold/guard/socket'
import type {
  AddressReachability,
  FindOptions,
  FindSource,
  FoundPeer,
  PortMapping,
  RelayState,
} from '@stronghold/p2p'
import { z } from 'zod'

import { MAX_FIND_MS } from '../limits.ts'
import { crossing, nodeFault } from './faults.ts'
import type { RunningNode } from './running.ts'
import type { SeenAt, Watch } from './watch.ts'

/** Where a node is reached, as far as it can tell. */
export interface Addresses {
  /** That others are told, each with the peer id. */
  readonly addrs: readonly string[]
  /** Where peers see it. */
  readonly seen: readonly SeenAt[]
  /** Which addresses others can dial, as peers found out. */
  readonly reachability: readonly AddressReachability[]
  /** Ports that a router was asked for. */
  readonly ports: readonly PortMapping[]
  /** Relays that it is to be reached through. */
  readonly relays: readonly RelayState[]
  readonly banned: readonly string[]
}

/** Who is looked for, and how. */
export interface Search {
  /** Only this peer. */
  readonly peer?: string | undefined
  readonly sources?: readonly FindSource[] | undefined
  readonly forMs: number
  /** Goes on with who comes later, until the time is over. */
  readonly follow: boolean
}

/** The network. */
export interface NetDoor {
  addresses(): Promise<Addresses>
  /** Listens on one more address until the node ends. @returns the addresses that came of it */
  listen(address: string): Promise<readonly string[]>
  /** @returns whether it listened there */
  unlisten(address: string): Promise<boolean>
  /** Refuses an IP address or a prefix until the node ends. */
  ban(address: string): Promise<void>
  /** @returns whether it was banned */
  unban(address: string): Promise<boolean>
  /** Whoever is found, as it happens. */
  discover(search: Search, options: { signal: AbortSignal }): AsyncIterable<FoundPeer>
}

const address = z.string().max(1024)

/** Their table. */
export const NET_METHODS: DoorTable<NetDoor> = {
  addresses: { kind: 'call', args: z.tuple([]) },
  listen: { kind: 'call', args: z.tuple([address]) },
  unlisten: { kind: 'call', args: z.tuple([address]) },
  ban: { kind: 'call', args: z.tuple([address]) },
  unban: { kind: 'call', args: z.tuple([address]) },
  discover: {
    kind: 'stream',
    args: z.tuple([
      z.object({
        peer: z.string().max(128).optional(),
        sources: z
          .array(z.enum(['mdns', 'rendezvous', 'kademlia']))
          .max(3)
          .optional(),
        forMs: z.int().min(1).max(MAX_FIND_MS),
        follow: z.boolean(),
      }),
    ]),
  },
}

/** The part of a running node. */
export function netOf({ node }: RunningNode, watch: Watch): NetDoor {
  return {
    addresses: async () => ({
      addrs: node.addresses,
      seen: watch.seenAt(),
      reachability: node.reachability(),
      ports: node.portMappings(),
      relays: node.relay.status().relays,
      banned: node.banned,
    }),
    listen: (where) => crossing(() => node.listen(where)),
    unlisten: (where) => crossing(() => node.unlisten(where)),
    ban: async (where) => {
      node.ban(where)
    },
    unban: async (where) => node.unban(where),
    discover: async function* (search, { signal }) {
      const { parsePeerId } = await import('@stronghold/p2p')
      const { peer, sources, forMs, follow } = search
      const options: FindOptions = {
        follow,
        signal,
        timeoutMs: forMs,
        ...(sources === undefined ? {} : { sources }),
      }
      try {
        yield* node.find(peer === undefined ? {} : { peer: parsePeerId(peer) }, options)
      } catch (error) {
        throw nodeFault(error, peer)
      }
    },
  }
}
