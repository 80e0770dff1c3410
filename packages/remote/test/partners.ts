/** Two nodes in memory, each with a guarded vault of its own, that synchronise. */
import { openGuard } from '@stronghold/guard'
import type { Guard, NetworkDoor, SyncInit, WrittenRule } from '@stronghold/guard'
import type { Node } from '@stronghold/p2p'
import { memoryNetwork } from '@stronghold/p2p/testing'
import type { MemoryNetwork } from '@stronghold/p2p/testing'
import { createVault, MemoryStore, openVault } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'

import { fetchSyncKey, serveSync } from '../src/index.ts'
import { identity, KEY_FILE } from './served.ts'

const MEMORY = { bytes: 1024 * 1024 }
const ALL: WrittenRule = {
  peers: ['known'],
  procedures: ['sync:send', 'sync:receive', 'sync:remove'],
  paths: ['**'],
  effect: 'allow',
}

/** One of the two. It may be restarted, with its vault as it lies on the disk. */
export interface Party {
  readonly name: string
  readonly identity: Uint8Array
  readonly store: MemoryStore
  node: Node
  vault: OpenVault
  guard: Guard
  serving: Disposable
  /** Stands between the guard and the network. */
  door: (network: NetworkDoor) => Pick<NetworkDoor, 'sync' | 'standing'>
}

/** Both. */
export interface Parties extends AsyncDisposable {
  readonly network: MemoryNetwork
  readonly home: Party
  readonly away: Party
}

/** Two vaults that are partners of each other. */
export async function partners(
  init: { home?: Partial<SyncInit>; away?: Partial<SyncInit> } = {},
): Promise<Parties> {
  const network = memoryNetwork()
  const home = await party(network, 'home')
  const away = await party(network, 'away')
  for (const [one, other] of [
    [home, away],
    [away, home],
  ] as const) {
    await one.guard.owner.addPeer(other.node.peer, other.name)
    await one.guard.owner.addRule(ALL)
    one.node.book.add(other.node.peer, other.node.addresses)
  }
  await pin(home, away, init.home)
  await pin(away, home, init.away)
  return {
    network,
    home,
    away,
    [Symbol.asyncDispose]: async () => {
      for (const one of [home, away]) await stop(one)
      await network.stop()
    },
  }
}

/** Makes `other` a partner of `one`, with what it says of itself over the network. */
export async function pin(one: Party, other: Party, init: Partial<SyncInit> = {}): Promise<void> {
  const { vault, key } = await fetchSyncKey(one.node, other.node.addresses)
  const { name } = other
  await one.guard.owner.syncAdd({ name, peer: name, vault, key, ...init })
}

async function party(network: MemoryNetwork, name: string): Promise<Party> {
  const own = identity()
  const store = new MemoryStore()
  const vault = await createVault({ at: store, credential: { keyFile: KEY_FILE }, memory: MEMORY })
  const door = (network: NetworkDoor): NetworkDoor => network
  return { name, identity: own, store, door, vault, ...(await up(network, name, own, vault, door)) }
}

async function up(
  network: MemoryNetwork,
  name: string,
  own: Uint8Array,
  vault: OpenVault,
  door: Party['door'],
): Promise<Pick<Party, 'node' | 'guard' | 'serving'>> {
  const node = await network.createNode({ identity: own, listen: [`/memory/${name}`] })
  const guard = openGuard({ vault, peer: node.peer })
  return { node, guard, serving: serveSync(node, { network: door(guard.network) }) }
}

/** Serves through what `door` makes of it from now on. */
export function behind(one: Party, door: Party['door']): void {
  one.serving[Symbol.dispose]()
  one.door = door
  one.serving = serveSync(one.node, { network: door(one.guard.network) })
}

/** Ends one of them, as a crash would where it does not matter. */
export async function stop(one: Party): Promise<void> {
  one.serving[Symbol.dispose]()
  await one.node.stop()
  await one.guard.close()
}

/** The same again, of a store: its own, or an older copy. */
export async function restart(
  { network }: Parties,
  one: Party,
  others: readonly Party[],
  store: MemoryStore = one.store,
): Promise<void> {
  const vault = await openVault({ at: store, memory: MEMORY })
  await vault.unlock({ keyFile: KEY_FILE })
  Object.assign(one, { vault, store }, await up(network, one.name, one.identity, vault, one.door))
  for (const other of others) {
    one.node.book.add(other.node.peer, other.node.addresses)
    other.node.book.add(one.node.peer, one.node.addresses)
  }
}

/** What lies on a disk now, as a backup of it would have it. */
export function copied(store: MemoryStore): MemoryStore {
  const header = store.header()
  if (header === undefined) throw new Error('nothing there')
  const copy = new MemoryStore()
  copy.commit({
    put: store.rows(),
    remove: [],
    plainPut: store.plain(),
    plainRemove: [],
    entries: store.entries(0),
    cutEntriesBefore: 0,
    header: () => header,
  })
  return copy
}

/** Runs one procedure. */
export async function act({ guard }: Party, procedure: string, input: object): Promise<void> {
  await guard.owner.run([{ procedure, version: 1, input: { ...input } }])
}

/** Makes a key that may be synchronised. */
export async function create(one: Party, path: string): Promise<void> {
  await act(one, 'generate', { to: path, type: 'ed25519', labels: { sync: true } })
}

/** All records of a side that may be synchronised, a line each. */
export async function records({ guard }: Party): Promise<string[]> {
  const all = await guard.owner.records()
  return all
    .filter(({ sync }) => sync)
    .map(({ path, version, minimum, versions, egress, publicKey }) =>
      [path, version, minimum, versions, egress, Buffer.from(publicKey ?? []).toString('hex')].join(
        ' ',
      ),
    )
}

/** What a side's audit says about synchronisation. */
export async function told({ guard }: Party): Promise<string> {
  const entries = await guard.owner.auditEntries({ from: 0, count: 10_000 })
  return entries
    .filter(({ event }) => event === 'sync')
    .map(({ facts }) => JSON.stringify(facts))
    .join('\n')
}
