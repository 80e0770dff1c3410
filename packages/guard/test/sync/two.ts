/** Two guarded vaults that are partners, and one's messages carried to the other by hand. */
import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { createVault, MemoryStore } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'

import type {
  Guard,
  SyncInit,
  SyncMessage,
  SyncPurpose,
  SyncReply,
  SyncReport,
} from '../../src/doors.ts'
import { openGuard } from '../../src/guard.ts'
import { step } from '../guard-of.ts'
import { PEERS } from '../rules/worlds.ts'

const KEY_FILE = new Uint8Array(32).fill(7)
const MEMORY = { bytes: 1024 * 1024 }

/** One of the two. */
export interface Side {
  readonly name: 'home' | 'away'
  readonly peer: string
  readonly vault: OpenVault
  readonly guard: Guard
  readonly store: MemoryStore
}

/** Both. */
export interface Two extends AsyncDisposable {
  readonly home: Side
  readonly away: Side
  readonly clock: ManualClock
}

/** What a rule that lets everything be synchronised says. */
export const SYNC_ALL = {
  peers: ['known'],
  procedures: ['sync:send', 'sync:receive', 'sync:remove'],
  paths: ['**'],
  effect: 'allow' as const,
}

/** Two vaults that know each other, with rules that let everything pass, and no partnership yet. */
export async function strangers(): Promise<Two> {
  const clock = manualClock(1_800_000_000_000)
  const side = async (name: Side['name'], peer: string): Promise<Side> => {
    const store = new MemoryStore()
    const credential = { keyFile: KEY_FILE }
    const vault = await createVault({ at: store, credential, memory: MEMORY }, { clock })
    return { name, peer, vault, store, guard: openGuard({ vault, peer }, { clock }) }
  }
  const home = await side('home', PEERS['ci'] ?? '')
  const away = await side('away', PEERS['box'] ?? '')
  for (const [one, other] of [
    [home, away],
    [away, home],
  ] as const) {
    await one.guard.owner.addPeer(other.peer, other.name)
    await one.guard.owner.addRule(SYNC_ALL)
  }
  return {
    home,
    away,
    clock,
    [Symbol.asyncDispose]: async () => {
      await home.guard.close()
      await away.guard.close()
    },
  }
}

/** The same, and each the other's partner. */
export async function partners(
  init: { home?: Partial<SyncInit>; away?: Partial<SyncInit> } = {},
): Promise<Two> {
  const two = await strangers()
  await pair(two.home, two.away, init.home)
  await pair(two.away, two.home, init.away)
  return two
}

/** Makes `other` a partner of `one`. */
export async function pair(one: Side, other: Side, init: Partial<SyncInit> = {}): Promise<void> {
  const { vault, key } = await other.guard.owner.syncOwnKey()
  await one.guard.owner.syncAdd({ name: other.name, peer: other.name, vault, key, ...init })
}

/** Makes a key that may be synchronised. */
export async function create(
  { guard }: Side,
  path: string,
  type = 'ed25519',
  labels: Readonly<Record<string, unknown>> = { sync: true },
): Promise<void> {
  await guard.owner.run([step('generate', { to: path, type, labels })])
}

/** Runs one procedure. */
export async function act({ guard }: Side, procedure: string, input: object): Promise<void> {
  await guard.owner.run([step(procedure, { ...input })])
}

/** What is changed on the way. */
export interface Way {
  readonly purpose?: SyncPurpose
  /** Instead of carrying a message. */
  readonly carry?: (message: SyncMessage, deliver: () => Promise<SyncReply>) => Promise<SyncReply>
}

/** One run, begun by `one`. */
export async function sync(one: Side, other: Side, way: Way = {}): Promise<SyncReport> {
  const { owner } = one.guard
  let turn = await owner.syncBegin(other.name, way.purpose)
  while (!turn.done) {
    const { session, say } = turn
    const deliver = (): Promise<SyncReply> =>
      other.guard.network.sync({ peer: one.peer, connection: '/memory/1' }, say)
    turn = await owner.syncNext(session, await (way.carry?.(say, deliver) ?? deliver()))
  }
  return turn.report
}

/** All records of a side, a line each, without times. */
export async function records({ guard }: Side): Promise<string[]> {
  const all = await guard.owner.records()
  return all.map(
    ({ path, id, type, usage, egress, sync: may, version, minimum, versions, publicKey }) =>
      [
        path,
        Buffer.from(id).toString('hex').slice(0, 8),
        type,
        usage.join(),
        egress,
        may,
        version,
        minimum,
        versions,
        Buffer.from(publicKey ?? [])
          .toString('hex')
          .slice(0, 16),
      ].join(' '),
  )
}

/** The audit's entries about synchronisation. */
export async function audit({
  guard,
}: Side): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const entries = await guard.owner.auditEntries({ from: 0, count: 10_000 })
  return entries.filter(({ event }) => event === 'sync').map(({ facts }) => facts)
}
