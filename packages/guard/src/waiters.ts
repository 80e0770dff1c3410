/**
 * Who may wait while the vault is locked, as it lies readable (`docs/vault-format.md §2.1`): written with every change of a
 * peer, checked as a whole when the vault is unlocked. It decides nothing.
 */
import { decode, encode, encodeUtf8, toHex } from '@stronghold/core'
import type { Secret, Slab, VaultTransaction } from '@stronghold/vault'

import { Fields } from './fields.ts'
import { KINDS, READABLE_KINDS } from './kinds.ts'
import type { GuardLimits } from './limits.ts'

const BOX_ID = encodeUtf8('box')
const MAY_WAIT = Uint8Array.of(1)

/** How much may wait. */
export type IntakeBounds = Pick<
  GuardLimits,
  'maxIntakePerPeer' | 'maxIntakeTotal' | 'maxIntakeRequestBytes'
>

/** What a locked guard knows. */
export interface Waiters {
  /** To which requests are sealed: X25519, 32 bytes. */
  readonly box: Uint8Array
  readonly bounds: IntakeBounds
  /** Peer ids. */
  readonly peers: ReadonlySet<string>
}

/** What opens what waits, made in the vault where there is none yet; the caller's to wipe. */
export function boxSecret(tx: VaultTransaction, slab: Slab): Secret {
  const stands = tx.open(KINDS.key, BOX_ID)
  if (stands !== undefined) return stands
  const made = slab.random(32)
  tx.putSecret(KINDS.key, BOX_ID, made.bytes)
  return made
}

/** Makes what lies readable say this, where it does not yet. */
export function writeWaiters(tx: VaultTransaction, { box, bounds, peers }: Waiters): void {
  const { maxIntakePerPeer, maxIntakeTotal, maxIntakeRequestBytes } = bounds
  const head = encode({ v: 1, box, maxIntakePerPeer, maxIntakeTotal, maxIntakeRequestBytes })
  const stands = tx.getPlain(READABLE_KINDS.box, BOX_ID)
  if (stands === undefined || toHex(stands) !== toHex(head)) {
    tx.putPlain(READABLE_KINDS.box, BOX_ID, head)
  }
  const wrong = new Set(peers)
  for (const { id } of [...tx.plainRows(READABLE_KINDS.waiter)]) {
    const peer = new TextDecoder().decode(id)
    if (!wrong.delete(peer)) tx.removePlain(READABLE_KINDS.waiter, id)
  }
  for (const peer of wrong) setWaiter(tx, peer, true)
}

/** Writes down whether a peer may wait. */
export function setWaiter(tx: VaultTransaction, peer: string, mayWait: boolean): void {
  const id = encodeUtf8(peer)
  if (mayWait) tx.putPlain(READABLE_KINDS.waiter, id, MAY_WAIT)
  else tx.removePlain(READABLE_KINDS.waiter, id)
}

/** Rows that can be read while the vault is locked. */
export type ReadableRows = (kind: number) => readonly { id: Uint8Array; value: Uint8Array }[]

/** What lies readable. `undefined` where no guard wrote it, or somebody else did: then nobody may wait. */
export function readWaiters(rows: ReadableRows): Waiters | undefined {
  const [head] = rows(READABLE_KINDS.box)
  if (head === undefined) return undefined
  try {
    const fields = new Fields(decode(head.value), 'table of who may wait')
    if (fields.uint('v') !== 1) return undefined
    const box = fields.bytes('box', 32)
    const bounds = {
      maxIntakePerPeer: fields.uint('maxIntakePerPeer'),
      maxIntakeTotal: fields.uint('maxIntakeTotal'),
      maxIntakeRequestBytes: fields.uint('maxIntakeRequestBytes'),
    }
    fields.end()
    const peers = rows(READABLE_KINDS.waiter).map(({ id }) => new TextDecoder().decode(id))
    return { box, bounds, peers: new Set(peers) }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined
    throw error
  }
}
