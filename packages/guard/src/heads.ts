/** Signed heads as bytes (`docs/audit.md §3`): written, read and told from other things. Pure; signatures are checked elsewhere. */
import { concat, decode, encode, encodeUtf8 } from '@stronghold/core'

import { Fields } from './fields.ts'
import { MAX_HEAD_BYTES } from './limits.ts'

/** What a vault says of how far it has come, signed. */
export interface SignedHead {
  /** 16 bytes. */
  readonly vault: Uint8Array
  readonly epoch: number
  readonly generation: number
  /** 32 bytes. */
  readonly auditHead: Uint8Array
  readonly auditLength: number
  readonly timeMs: number
  /** Root over the receipts of this commit, 32 bytes, where some were made. */
  readonly receipts?: Uint8Array
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
  /** 64 bytes over `signedBytes`. */
  readonly signature: Uint8Array
}

const DOMAIN = encodeUtf8('stronghold/head/1')

/** What the signature of a head is over. */
export function signedBytes({ publicKey: _, signature: __, ...head }: SignedHead): Uint8Array {
  return concat([DOMAIN, encode(head)])
}

/** A head as bytes. */
export function encodeHead(head: SignedHead): Uint8Array {
  return encode(head)
}

/** A head from bytes. @throws `SyntaxError` for anything else, `RangeError` past `MAX_HEAD_BYTES` */
export function decodeHead(bytes: Uint8Array): SignedHead {
  return readHead(decode(bytes, { maxBytes: MAX_HEAD_BYTES }))
}

/** A head from a map that was decoded. @throws `SyntaxError` for anything else, also for a field too many */
export function readHead(value: unknown): SignedHead {
  const fields = new Fields(value, 'head')
  const receipts = fields.has('receipts') ? fields.bytes('receipts', 32) : undefined
  const head: SignedHead = {
    vault: fields.bytes('vault', 16),
    epoch: fields.uint('epoch'),
    generation: fields.uint('generation'),
    auditHead: fields.bytes('auditHead', 32),
    auditLength: fields.uint('auditLength'),
    timeMs: fields.uint('timeMs'),
    ...(receipts !== undefined && { receipts }),
    publicKey: fields.bytes('publicKey', 32),
    signature: fields.bytes('signature', 64),
  }
  fields.end()
  return head
}
