/** The node door: this node as a relay, and the relays that it is reached through. It carries what it cannot read. */
import type { DoorTable } from '@stronghold/guard/socket'
import type { RelayState, RelayTotals, RelayUsage } from '@stronghold/p2p'
import { z } from 'zod'

import { readTerms } from '../relay-terms.ts'
import { crossing } from './faults.ts'
import type { RunningNode } from './running.ts'
import { applyTerms } from './terms.ts'

/** How it stands with relays. */
export interface RelayLook {
  /** What this relay carries; `null` where it is none. */
  readonly serving: (RelayTotals & { readonly everybody: boolean }) | null
  /** The relays that this node is to be reached through. */
  readonly relays: readonly RelayState[]
}

/** Relays. */
export interface RelayDoor {
  relayLook(): Promise<RelayLook>
  /** What each peer used of this relay. */
  relayUsage(): Promise<readonly RelayUsage[]>
  /** The terms in the home were written: they are read again, and count. */
  relayTermsChanged(): Promise<void>
  /** Is reached through a relay from now on, until the node ends. */
  relayUse(address: string): Promise<void>
  /** @returns whether it was */
  relayUnuse(address: string): Promise<boolean>
}

const address = z.string().max(1024)

/** Their table. */
export const RELAY_METHODS: DoorTable<RelayDoor> = {
  relayLook: { kind: 'call', args: z.tuple([]) },
  relayUsage: { kind: 'call', args: z.tuple([]) },
  relayTermsChanged: { kind: 'call', args: z.tuple([]) },
  relayUse: { kind: 'call', args: z.tuple([address]) },
  relayUnuse: { kind: 'call', args: z.tuple([address]) },
}

/** The part of a running node. */
export function relayOf({ node, home }: RunningNode): RelayDoor {
  let terms = readTerms(home)
  return {
    relayLook: async () => {
      const { serving, relays } = node.relay.status()
      return { serving: serving ?? null, relays }
    },
    relayUsage: async () => node.relay.usage(),
    relayTermsChanged: async () => {
      const next = readTerms(home)
      if (node.relay.status().serving !== undefined) await applyTerms(node, terms, next)
      terms = next
    },
    relayUse: (where) => crossing(() => node.relay.use(where)),
    relayUnuse: (where) => crossing(() => node.relay.unuse(where)),
  }
}
