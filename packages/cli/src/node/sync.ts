/**
 * The node door: carries what one vault says to its partner, and the partner's answers back. All of it is sealed from vault
 * to vault; what it says nobody here knows.
 */
import type { SyncMessage, SyncReply } from '@stronghold/guard'
import type { DoorTable } from '@stronghold/guard/socket'
import type { PeerId } from '@stronghold/p2p'
import { z } from 'zod'

import { MAX_BOOK_ADDRESSES, MAX_SYNC_SEALED_BYTES } from '../limits.ts'
import { crossing } from './faults.ts'
import type { Whom } from './peers.ts'
import type { RunningNode } from './running.ts'

/** Messages between partners. */
export interface SyncDoor {
  /** Says one thing to a partner, and hears the answer. @throws `DoorError` where it cannot be reached */
  sayToPartner(whom: Whom, message: SyncMessage): Promise<SyncReply>
}

const whom: z.ZodType<Whom> = z.object({
  peer: z.string().max(128),
  addresses: z.array(z.string().max(1024)).max(MAX_BOOK_ADDRESSES),
})
const bytes = (most: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.byteLength <= most)
const message: z.ZodType<SyncMessage> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('key') }),
  z.strictObject({ kind: z.literal('begin'), nonce: bytes(16) }),
  z.strictObject({
    kind: z.literal('step'),
    session: bytes(16),
    sealed: bytes(MAX_SYNC_SEALED_BYTES),
  }),
])

/** Its table. */
export const SYNC_METHODS: DoorTable<SyncDoor> = {
  sayToPartner: { kind: 'call', args: z.tuple([whom, message]) },
}

/** The part of a running node. */
export function syncOf({ node }: RunningNode): SyncDoor {
  return {
    sayToPartner: ({ peer, addresses }, message) =>
      crossing(async () => {
        const { parseAddress } = await import('@stronghold/p2p')
        const { sayToPartner } = await import('@stronghold/remote')
        const id = peer as PeerId
        if (addresses.length > 0) node.book.add(id, addresses.map(parseAddress))
        return await sayToPartner(node, id, message)
      }, peer),
  }
}
