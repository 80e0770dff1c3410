/**
 * What a vault says of how far it has come, signed with a key of its own: whoever keeps the highest one sees when an
 * older copy of everything is put in its place (`docs/audit.md §3`). Pure but for the signature.
 */
import { concat, encode, encodeUtf8 } from '@stronghold/core'

import type { Slab } from './secret.ts'
import { sodium } from './sodium.ts'

/** How far a vault has come. */
export interface VaultHead {
  /** The vault's id, 16 bytes. */
  readonly vault: Uint8Array
  /** Grows with each restore. */
  readonly epoch: number
  /** Grows with each commit. */
  readonly generation: number
  /** Hash of the newest audit entry: 32 bytes. */
  readonly auditHead: Uint8Array
  /** Entries ever appended. */
  readonly auditLength: number
  /** The latest time seen by a commit. */
  readonly timeMs: number
  /** Root of the Merkle tree over the receipts of this commit, 32 bytes; absent where none were made. */
  readonly receipts?: Uint8Array
}

/** The same, signed. */
export interface SignedHead extends VaultHead {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Ed25519 over `"stronghold/head/1" ‖ CBOR(head)`: 64 bytes. */
  readonly signature: Uint8Array
}

/** Id of the system row that holds the seed. */
export const HEAD_SEED_ID: Uint8Array = encodeUtf8('head')

const DOMAIN = encodeUtf8('stronghold/head/1')

/**
 * Signs a head.
 *
 * @param seed - 32 bytes; stays the caller's to wipe
 */
export function signHead(head: VaultHead, seed: Uint8Array, slab: Slab): SignedHead {
  using secretKey = slab.take(64)
  const publicKey = new Uint8Array(32)
  sodium.crypto_sign_seed_keypair(publicKey, secretKey.bytes, seed)
  const signature = new Uint8Array(64)
  sodium.crypto_sign_detached(signature, signed(head), secretKey.bytes)
  return { ...only(head), publicKey, signature }
}

/** Is a head what the owner of its public key signed. That this is the right key is for the caller to know. */
export function verifyHead(head: SignedHead): boolean {
  if (head.publicKey.byteLength !== 32 || head.signature.byteLength !== 64) return false
  return sodium.crypto_sign_verify_detached(head.signature, signed(head), head.publicKey)
}

function signed(head: VaultHead): Uint8Array {
  return concat([DOMAIN, encode(only(head))])
}

function only(head: VaultHead): VaultHead {
  const { vault, epoch, generation, auditHead, auditLength, timeMs, receipts } = head
  const bare = { vault, epoch, generation, auditHead, auditLength, timeMs }
  return receipts === undefined ? bare : { ...bare, receipts }
}
