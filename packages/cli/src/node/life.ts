/** The node door: who runs, since when, where it is reached; and ending it. */
import type { DoorTable } from '@stronghold/guard/socket'
import { VaultError } from '@stronghold/vault/errors'
import { z } from 'zod'

import { hasVault } from '../home.ts'
import { takeBook } from './running.ts'
import type { RunningNode } from './running.ts'

/** A node that runs. */
export interface NodeStatus {
  readonly peer: string
  /** Where it is reached, each with its peer id. */
  readonly addrs: readonly string[]
  readonly kind: RunningNode['kind']
  readonly pid: number
  readonly startedAtMs: number
  /** Is there a vault that it serves. */
  readonly vault: boolean
  readonly connections: number
}

/** Life of a node. */
export interface LifeDoor {
  status(): Promise<NodeStatus>
  /** Ends the daemon; answers before it does. */
  stop(): Promise<void>
  /** The peer book of the home was written: it is read again. */
  bookChanged(): Promise<void>
}

/** Their table. */
export const LIFE_METHODS: DoorTable<LifeDoor> = {
  status: { kind: 'call', args: z.tuple([]) },
  stop: { kind: 'call', args: z.tuple([]) },
  bookChanged: { kind: 'call', args: z.tuple([]) },
}

/** The part of a running node. */
export function lifeOf({ node, home, kind, startedAtMs, stop }: RunningNode): LifeDoor {
  return {
    status: async () => ({
      peer: node.peer,
      addrs: node.addresses,
      kind,
      pid: process.pid,
      startedAtMs,
      vault: hasVault(home),
      connections: node.connections().length,
    }),
    stop: async () => {
      if (stop === undefined) {
        throw new VaultError('failed_precondition', 'Cannot stop: no daemon runs')
      }
      setImmediate(stop)
    },
    bookChanged: async () => {
      await takeBook(node, home)
    },
  }
}
