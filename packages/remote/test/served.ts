/** Two nodes, one of which serves a guarded vault in memory; and what the tests around them share. */
import { generateKeyPairSync } from 'node:crypto'

import { concat } from '@stronghold/core'
import { allApprovals, openGuard } from '@stronghold/guard'
import type {
  Guard,
  GuardLimits,
  NetworkDoor,
  PendingApproval,
  WrittenRule,
} from '@stronghold/guard'
import { createNode } from '@stronghold/p2p'
import type { Node, NodeInit } from '@stronghold/p2p'
import { memoryNetwork } from '@stronghold/p2p/testing'
import type { MemoryNetwork } from '@stronghold/p2p/testing'
import { createVault, MemoryStore, openVault } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'
import { CATALOG } from '@stronghold/vault/catalog'
import { expect } from 'vitest'

import { connectVault, serveVault } from '../src/index.ts'
import type { ConnectInit, RemoteVault } from '../src/index.ts'

/** Unlocks every vault here. */
export const KEY_FILE: Uint8Array = new Uint8Array(32).fill(7)
const MEMORY = { bytes: 512 * 1024 }

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
/** A rule by which a person is asked about every signature. */
export const ASK: WrittenRule = {
  peers: ['known'],
  procedures: ['sign'],
  paths: ['release/**'],
  effect: 'ask',
}
/** A rule that allows signatures in structured formats. */
export const SIGN: WrittenRule = { ...ASK, effect: 'allow' }

/** A server, which may go and come back, and one peer that it knows. */
export interface Served extends AsyncDisposable {
  readonly network: MemoryNetwork
  readonly home: Node
  readonly guard: Guard
  readonly vault: OpenVault
  readonly away: Node
  readonly remote: RemoteVault
  /** The server ends. */
  stop(): Promise<void>
  /** The server comes back: the same keys and data, unlocked, at the same address. */
  start(): Promise<void>
}

/** What can be set up otherwise. */
export interface ServedInit {
  readonly rules?: readonly WrittenRule[]
  /** Without the key at `release/app`. */
  readonly empty?: boolean
  readonly limits?: Partial<GuardLimits>
  readonly home?: NodeInit
  readonly away?: NodeInit
  readonly connect?: ConnectInit
  readonly over?: 'memory' | 'tcp'
  /** Stands between the guard and the network. */
  readonly door?: (network: NetworkDoor) => Partial<NetworkDoor>
}

/** An identity that a node may have again. */
export function identity(): Uint8Array {
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  const parts = [d, x].map((part) => new Uint8Array(Buffer.from(part, 'base64url')))
  return concat([Uint8Array.of(0x08, 0x01, 0x12, 0x40), ...parts])
}

/** A vault with one key at `release/app`, served to one known peer, `ci`. */
export async function served(init: ServedInit = {}): Promise<Served> {
  const network = memoryNetwork()
  const isTcp = init.over === 'tcp'
  const make = (given: NodeInit): Promise<Node> =>
    isTcp ? createNode(given) : network.createNode(given)
  const store = new MemoryStore()
  const own = { identity: identity(), listen: [isTcp ? '/ip4/127.0.0.1/tcp/0' : '/memory/home'] }
  const credential = { keyFile: KEY_FILE }
  const { limits = {}, door = () => ({}) } = init
  const open = async (vault: OpenVault) => {
    const home = await make({ ...own, ...init.home })
    const guard = openGuard({ vault, peer: home.peer, limits })
    return {
      vault,
      home,
      guard,
      serving: serveVault(home, { network: otherwise(guard.network, door) }),
    }
  }
  let now = await open(await createVault({ at: store, credential, memory: MEMORY }))
  const stop = async (): Promise<void> => {
    await now.home.stop()
    await now.serving[Symbol.asyncDispose]()
    await now.guard.close()
  }
  const input = { to: 'release/app', type: 'ed25519' }
  if (init.empty !== true) {
    await now.guard.owner.run([{ procedure: 'generate', version: 1, input }])
  }
  const away = await make({ ...(isTcp ? {} : { listen: [] }), ...init.away })
  await now.guard.owner.addPeer(away.peer, 'ci')
  for (const rule of init.rules ?? []) await now.guard.owner.addRule(rule)
  const remote = connectVault(away, now.home.addresses, init.connect)
  return {
    network,
    get home() {
      return now.home
    },
    get guard() {
      return now.guard
    },
    get vault() {
      return now.vault
    },
    away,
    remote,
    stop,
    start: async () => {
      const vault = await openVault({ at: store, memory: MEMORY })
      await vault.unlock(credential)
      now = await open(vault)
    },
    [Symbol.asyncDispose]: async () => {
      remote.close()
      await away.stop()
      await stop()
      await network.stop()
    },
  }
}

/** A door of which some calls do something else. */
function otherwise(
  network: NetworkDoor,
  door: (network: NetworkDoor) => Partial<NetworkDoor>,
): NetworkDoor {
  return {
    submit: (...args) => network.submit(...args),
    wait: (...args) => network.wait(...args),
    cancel: (...args) => network.cancel(...args),
    acknowledge: (...args) => network.acknowledge(...args),
    list: (...args) => network.list(...args),
    standing: (...args) => network.standing(...args),
    cutOff: (...args) => network.cutOff(...args),
    pairing: (...args) => network.pairing(...args),
    head: () => network.head(),
    pair: (...args) => network.pair(...args),
    sync: (...args) => network.sync(...args),
    ...door(network),
  }
}

/** The one approval that is asked for, once it is there. */
export async function asked({ guard }: Pick<Served, 'guard'>): Promise<PendingApproval> {
  await expect.poll(async () => (await allApprovals(guard.owner)).length).toBe(1)
  const [approval] = await allApprovals(guard.owner)
  if (approval === undefined) throw new Error('nothing is asked')
  return approval
}

/** What a promise rejects with. */
export async function failure(of: Promise<unknown>): Promise<Record<string, unknown>> {
  return of.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => {
      const { code, reason, ran, message } = error as Record<string, unknown>
      return { code, reason, ran, message }
    },
  )
}

/** The text, as bytes. */
export function text(message: string): Uint8Array {
  return new TextEncoder().encode(message)
}
