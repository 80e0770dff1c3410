/** One run of a partnership: what the vault has to say goes to the partner by the node, until both are through. */
import type { OwnerDoor, SyncPurpose, SyncReport } from '@stronghold/guard'

import { peerTarget } from './node/target.ts'
import type { Home } from './home.ts'
import type { NodeDoor } from './node/door.ts'

/** Who runs, and with what. */
export interface SyncRunInit {
  readonly owner: OwnerDoor
  readonly node: NodeDoor
  readonly home: Home
  /** Of the partnership. */
  readonly name: string
  readonly purpose?: SyncPurpose
  readonly signal?: AbortSignal
  readonly onProgress?: (settled: number, of: number) => void
}

/**
 * Makes one run, as the asker. One that is cut off leaves both vaults whole; the next one goes on.
 *
 * @throws `VaultError` as the owner door and the node door say; the signal's reason
 */
export async function runPartnership(init: SyncRunInit): Promise<SyncReport> {
  const { owner, node, home, name, purpose, signal, onProgress } = init
  let turn = await owner.syncBegin(name, purpose)
  if (turn.done) return turn.report
  const { session, peer } = turn
  try {
    while (!turn.done) {
      signal?.throwIfAborted()
      onProgress?.(turn.progress.settled, turn.progress.of)
      const { addresses } = peerTarget(home, peer)
      const reply = await node.sayToPartner({ peer, addresses }, turn.say)
      turn = await owner.syncNext(session, reply)
    }
    return turn.report
  } catch (error) {
    await owner.syncEnd(session).catch(() => {})
    throw error
  }
}
