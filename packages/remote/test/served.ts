/** Two nodes, one of which serves a guarded vault in memory; and what the tests around them share. */
import { openGuard } from '@stronghold/guard'
import type { Guard, GuardLimits, PendingApproval, WrittenRule } from '@stronghold/guard'
import { parsePeerId } from '@stronghold/p2p'
import type { Node, NodeInit } from '@stronghold/p2p'
import { memoryNetwork } from '@stronghold/p2p/testing'
import type { MemoryNetwork } from '@stronghold/p2p/testing'
import { createVault, MemoryStore, openVault } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'
import { CATALOG } from '@stronghold/vault/catalog'

import { connectVault, serveVault } from '../src/index.ts'
import type { ConnectInit, RemoteVault } from '../src/index.ts'

/** Unlocks every vault here. */
const KEY_FILE: Uint8Array = new Uint8Array(32).fill(7)

/** A rule that lets known peers do everything that is remote, in every format. */
export const EVERYTHING: WrittenRule = {
  peers: ['known'],
  procedures: CATALOG.filter(({ remote }) => remote).flatMap(({ name, roles }) => {
    const all = Object.keys(roles)
    return all.length > 1 ? all.map((role) => `${name}:${role}`) : [name]
  }),
  paths: ['**', '-'],
  formats: ['raw', 'digest', 'sshsig', 'git', 'jws', 'ethereum', 'hmac'],
  effect: 'allow',
}

/** A server and one peer that it knows. */
export interface Served extends AsyncDisposable {
  readonly network: MemoryNetwork
  readonly home: Node
  readonly guard: Guard
  readonly vault: OpenVault
  readonly store: MemoryStore
  readonly away: Node
  readonly remote: RemoteVault
  /** The server goes and comes back with the same keys and data: unlocked, on the same address. */
  restart(): Promise<{ home: Node; guard: Guard }>
}

/** What can be set up otherwise. */
export interface ServedInit {
  readonly rules?: readonly WrittenRule[]
  /** Without the key. */
  readonly empty?: boolean
  readonly limits?: Partial<GuardLimits>
  readonly home?: NodeInit
  readonly away?: NodeInit
  readonly connect?: ConnectInit
  readonly network?: MemoryNetwork
}

const ADDRESS = '/memory/home'

/** A vault with one key at `release/app`, served to one known peer. */
export async function served(init: ServedInit = {}): Promise<Served> {
  const network = init.network ?? memoryNetwork()
  const identity = { generate: 'ed25519' } as const
  const home = await network.createNode({ listen: [ADDRESS], identity, ...init.home })
  const store = new MemoryStore()
  const vault = await createVault({
    at: store,
    credential: { keyFile: KEY_FILE },
    memory: { bytes: 512 * 1024 },
  })
  const { limits = {} } = init
  const guard = openGuard({ vault, peer: home.peer, limits })
  const serving = serveVault(home, guard)
  const key = [{ procedure: 'generate', version: 1, input: { to: 'release/app', type: 'ed25519' } }]
  if (init.empty !== true) await guard.owner.run(key)
  const away = await network.createNode(init.away)
  await guard.owner.addPeer(away.peer, 'ci')
  for (const rule of init.rules ?? []) await guard.owner.addRule(rule)
  const remote = connectVault(away, home.addresses, init.connect)
  return {
    network,
    home,
    guard,
    vault,
    store,
    away,
    remote,
    restart: async () => {
      throw new Error('not here')
    },
    [Symbol.asyncDispose]: async () => {
      remote.close()
      await network.stop()
      await serving[Symbol.asyncDispose]()
      await guard.close()
    },
  }
}
