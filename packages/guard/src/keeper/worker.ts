/**
 * The keeper's side: a guard and its vault in this thread, answering at a network port, at a port for the owner in the same
 * process, and at a socket. Keys, rules and the database are reached through these and nowhere else.
 */
import type { MessagePort } from 'node:worker_threads'

import { openVault, readPassphrase, sealTo, Slab } from '@stronghold/vault'
import type { OpenVault, VaultInit } from '@stronghold/vault'

import type { Guard, OwnerDoor, UnlockBy } from '../doors.ts'
import { openGuard } from '../guard.ts'
import type { GuardSeams } from '../guard.ts'
import type { GuardLimits, KeeperLimits } from '../limits.ts'
import { faultOf } from './messages.ts'
import type { Fault } from './messages.ts'
import { networkMethods } from './network-methods.ts'
import { openOwnerSocket } from './owner-door.ts'
import type { OwnerSocketInit } from './owner-door.ts'
import { callOwner } from './owner-calls.ts'
import { OWNER_METHODS } from './owner-methods.ts'
import { servePort } from './port.ts'
import type { PortMethod } from './port.ts'
import type { OpenSocket } from './socket.ts'

/** How a keeper is unlocked while it starts. A descriptor is read up to its first line end. */
export type UnlockAtStart = UnlockBy | { readonly by: 'descriptor'; readonly descriptor: number }

/** What the thread is given. */
export interface KeeperData {
  readonly vault: Omit<VaultInit, 'at'> & { readonly at: string }
  readonly peer: string
  readonly guardLimits: Partial<GuardLimits>
  readonly confirmApprovals: boolean
  readonly limits: KeeperLimits
  readonly socket: Pick<OwnerSocketInit, 'path' | 'tokens'> | undefined
  readonly unlock: UnlockAtStart | undefined
  readonly network: MessagePort
  readonly owner: MessagePort
}

/** What the thread says of itself: that its doors are open, or why not. */
export type KeeperState =
  { readonly ready: true } | { readonly ready: false; readonly fault: Fault }

/**
 * Opens the doors and says so at `control`; any message there closes them. Settles when all is closed.
 *
 * @param seams - what tests hold
 */
export async function runKeeper(
  data: KeeperData,
  control: MessagePort,
  seams: GuardSeams = {},
): Promise<void> {
  const closing = new Promise((resolve) => control.once('message', resolve))
  const { network, owner, limits } = data
  let vault: OpenVault | undefined
  let guard: Guard | undefined
  let socket: OpenSocket | undefined
  try {
    vault = await openVault(data.vault, seams)
    const { peer, guardLimits, confirmApprovals } = data
    guard = openGuard({ vault, peer, limits: guardLimits, confirmApprovals }, seams)
    if (data.unlock !== undefined) await unlockAtStart(guard.owner, data.unlock)
    // The vault is held by now, so a socket that stands there is nobody's.
    if (data.socket !== undefined) {
      socket = await openOwnerSocket({ ...data.socket, door: guard.owner, limits })
    }
    const door = guard.owner
    const ports = [
      servePort(network, networkMethods(guard.network), limits),
      servePort(owner, ownerPortMethods(door), limits),
    ]
    const stop = new AbortController()
    const cuts = guard.network.cutOff({ signal: stop.signal })
    const telling = tell(cuts, (peer) => ports[0]?.tell(peer))
    control.postMessage({ ready: true } satisfies KeeperState)

    await closing
    await socket?.close()
    await guard.close()
    stop.abort()
    await telling
    // What closing answers leaves at the end of this turn.
    await new Promise((resolve) => setImmediate(resolve))
    for (const port of ports) port.close()
  } catch (error) {
    await socket?.close()
    await (guard ?? vault)?.close()
    network.close()
    owner.close()
    control.postMessage({ ready: false, fault: faultOf(error) } satisfies KeeperState)
  }
}

/** Told from before the doors open, so that nobody who loses his standing is missed. */
async function tell(cuts: AsyncIterable<string>, say: (peer: string) => void): Promise<void> {
  for await (const peer of cuts) say(peer)
}

function ownerPortMethods(door: OwnerDoor): ReadonlyMap<string, PortMethod> {
  return new Map(
    Object.keys(OWNER_METHODS).map((name): [string, PortMethod] => [
      name,
      (args, { signal }) => callOwner(door, 'admin', name, args, signal),
    ]),
  )
}

async function unlockAtStart(door: OwnerDoor, unlock: UnlockAtStart): Promise<void> {
  if (unlock.by !== 'descriptor') {
    await door.unlock(unlock)
    return
  }
  const boxKey = await door.boxKey()
  using slab = new Slab({ bytes: 8192 })
  const sealed = sealTo(boxKey, readPassphrase(unlock.descriptor, slab).bytes)
  await door.unlock({ by: 'passphrase', passphrase: { sealed } })
}
