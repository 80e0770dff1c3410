/**
 * Receipts (`docs/audit.md §4`): what a requester keeps to show later that a request was executed, by whom and under which
 * rule. Pure: hashing, signatures and the node's envelope are handed in, so that it is verified anywhere.
 */
import { decode, encode, equalBytes } from '@stronghold/core'

import { Fields } from './fields.ts'
import { boundBytes } from './hashed.ts'
import { readHead, signedBytes } from './heads.ts'
import type { SignedHead } from './heads.ts'
import { MAX_AUDIT_LIST, MAX_RECEIPT_BYTES } from './limits.ts'
import { isInTree, merkleTree } from './merkle.ts'
import type { Sha256 } from './merkle.ts'

/** A record in one role: procedure, role, path; and its id, 16 bytes, and version where one stood there. */
export type Use =
  | readonly [procedure: string, role: string, path: string]
  | readonly [procedure: string, role: string, path: string, record: Uint8Array, version: number]

/** What one receipt is about. Hashes are 32 bytes, salts and ids 16. */
export interface Leaf {
  readonly vault: Uint8Array
  /** Peer id of who asked; empty for the owner. */
  readonly peer: string
  /** Of the request. */
  readonly id: Uint8Array
  /** The boundHash (`docs/approvals.md`). */
  readonly bound: Uint8Array
  readonly boundSalt: Uint8Array
  /** Over the outputs as they were released. */
  readonly result: Uint8Array
  readonly resultSalt: Uint8Array
  /** As decided on, in the order of the footprint. */
  readonly use: readonly Use[]
  /** The deadline that the boundHash names. */
  readonly expiresAtMs: number
  /** The rule that decided; `null` for the owner. */
  readonly rule: string | null
  /** Who agreed. */
  readonly approvals: readonly string[]
  /** Of the audit entry. */
  readonly position: number
  /** When it was executed. */
  readonly at: number
}

/** A receipt as it was read; nobody has verified it yet. */
export interface Receipt {
  readonly leaf: Leaf
  /** The bytes that the tree holds. */
  readonly leafBytes: Uint8Array
  readonly index: number
  readonly size: number
  readonly path: readonly Uint8Array[]
  readonly head: SignedHead
  /** The envelope by which the node vouches for the vault's key. */
  readonly certificate: Uint8Array | null
}

/** What a node vouches for. */
export interface KeyCertificate {
  /** 16 bytes. */
  readonly vault: Uint8Array
  /** The Ed25519 key that signs heads, 32 bytes. */
  readonly receiptKey: Uint8Array
  /** 32 bytes. */
  readonly syncKey: Uint8Array | null
  readonly at: number
}

/** How a certificate is enveloped (libp2p RFC 0002). */
export const CERTIFICATE_ENVELOPE: {
  readonly domain: string
  readonly payloadType: string
} = Object.freeze({ domain: 'stronghold-vault-keys', payloadType: '/stronghold/vault-keys/1' })

const LEAF_DOMAIN = 'stronghold/receipt/1'

/** A leaf as the bytes that the tree holds. */
export function encodeLeaf(leaf: Leaf): Uint8Array {
  return encode({ domain: LEAF_DOMAIN, ...leaf })
}

/** @throws `SyntaxError` for anything that `encodeLeaf` did not write, `RangeError` past `MAX_RECEIPT_BYTES` */
export function decodeLeaf(bytes: Uint8Array): Leaf {
  const fields = new Fields(decode(bytes, { maxBytes: MAX_RECEIPT_BYTES }), 'receipt')
  if (fields.text('domain') !== LEAF_DOMAIN) throw fields.bad('of another domain')
  const leaf: Leaf = {
    vault: fields.bytes('vault', 16),
    peer: fields.text('peer'),
    id: fields.bytes('id', 16),
    bound: fields.bytes('bound', 32),
    boundSalt: fields.bytes('boundSalt', 16),
    result: fields.bytes('result', 32),
    resultSalt: fields.bytes('resultSalt', 16),
    use: fields.list('use', readUse),
    expiresAtMs: fields.uint('expiresAtMs'),
    rule: fields.any('rule') === null ? null : fields.text('rule'),
    approvals: fields.list('approvals', (one) => (typeof one === 'string' ? one : undefined)),
    position: fields.uint('position'),
    at: fields.uint('at'),
  }
  fields.end()
  if (leaf.use.length > MAX_AUDIT_LIST) throw fields.bad('it names too many records')
  return leaf
}

function readUse(value: unknown): Use | undefined {
  if (!Array.isArray(value)) return undefined
  const [procedure, role, path, record, version] = value as unknown[]
  if (typeof procedure !== 'string' || typeof role !== 'string' || typeof path !== 'string') {
    return undefined
  }
  if (value.length === 3) return [procedure, role, path]
  const isRecord =
    value.length === 5 &&
    record instanceof Uint8Array &&
    record.byteLength === 16 &&
    typeof version === 'number' &&
    version > 0
  return isRecord ? [procedure, role, path, record, version] : undefined
}

/**
 * The root over the leaves of one commit, and a function that makes their receipts once the head that holds it is signed.
 *
 * @param leaves - as `encodeLeaf` gives them, one at least
 * @throws `RangeError` without a leaf
 */
export function receiptsOf(
  leaves: readonly Uint8Array[],
  sha256: Sha256,
): { root: Uint8Array; seal: (head: SignedHead, certificate: Uint8Array | null) => Uint8Array[] } {
  const { root, paths } = merkleTree(leaves, sha256)
  return {
    root,
    seal: (head, certificate) =>
      leaves.map((leaf, index) =>
        encode({
          v: 1,
          leaf,
          index,
          size: leaves.length,
          path: paths[index] ?? [],
          head,
          certificate,
        }),
      ),
  }
}

/** @throws `SyntaxError` for anything that `receiptsOf` did not make, `RangeError` past `MAX_RECEIPT_BYTES` */
export function decodeReceipt(bytes: Uint8Array): Receipt {
  const fields = new Fields(decode(bytes, { maxBytes: MAX_RECEIPT_BYTES }), 'receipt')
  if (fields.uint('v') !== 1) throw fields.bad('of another version')
  const leafBytes = fields.bytes('leaf')
  const receipt: Receipt = {
    leaf: decodeLeaf(leafBytes),
    leafBytes,
    index: fields.uint('index'),
    size: fields.uint('size'),
    path: fields.list('path', (one) => (one instanceof Uint8Array ? one : undefined)),
    head: readHead(fields.any('head')),
    certificate: fields.any('certificate') === null ? null : fields.bytes('certificate'),
  }
  fields.end()
  return receipt
}

/** What a node signs to vouch for a vault's keys. */
export function encodeCertificate(certificate: KeyCertificate): Uint8Array {
  const { vault, receiptKey, syncKey, at } = certificate
  return encode({ vault, receiptKey, syncKey, at })
}

/** @throws `SyntaxError` for anything else */
export function decodeCertificate(bytes: Uint8Array): KeyCertificate {
  const fields = new Fields(decode(bytes, { maxBytes: MAX_RECEIPT_BYTES }), 'certificate')
  const certificate: KeyCertificate = {
    vault: fields.bytes('vault', 16),
    receiptKey: fields.bytes('receiptKey', 32),
    syncKey: fields.any('syncKey') === null ? null : fields.bytes('syncKey', 32),
    at: fields.uint('at'),
  }
  fields.end()
  return certificate
}

/** What verifying needs and this file has not. */
export interface ReceiptCrypto {
  readonly sha256: Sha256
  /** Ed25519 (RFC 8032). */
  readonly verifyEd25519: (
    signature: Uint8Array,
    message: Uint8Array,
    publicKey: Uint8Array,
  ) => boolean | Promise<boolean>
  /** Opens a libp2p signed envelope of that kind; `undefined`, or a rejection, where it does not verify. */
  readonly openEnvelope: (
    envelope: Uint8Array,
    kind: typeof CERTIFICATE_ENVELOPE,
  ) => Promise<{ readonly peer: string; readonly payload: Uint8Array } | undefined>
}

/** What a receipt ought to be about; what is left out is not looked at. */
export interface ReceiptExpected {
  /** Peer id of the Stronghold that gave it: its certificate must be that peer's. */
  readonly peer?: string
  /** The vault's key, 32 bytes, where it is known from elsewhere; then no certificate is needed. */
  readonly key?: Uint8Array
  /** Peer id of who asked. */
  readonly requester?: string
  readonly vault?: Uint8Array
  /** Of the request. */
  readonly id?: Uint8Array
  /** The request's hash (`docs/approvals.md`): what was asked. */
  readonly request?: Uint8Array
  /** What was answered. */
  readonly outputs?: readonly Readonly<Record<string, unknown>>[]
}

/** Whether a receipt holds, and what it says; or the first thing that is wrong with it, as a sentence. */
export type ReceiptVerdict =
  | { readonly valid: true; readonly receipt: Receipt; readonly certifiedBy: string | undefined }
  | { readonly valid: false; readonly fault: string }

/** Verifies a receipt, as bytes. Never rejects: junk is not valid. */
export async function verifyReceipt(
  bytes: Uint8Array,
  expected: ReceiptExpected,
  crypto: ReceiptCrypto,
): Promise<ReceiptVerdict> {
  let receipt: Receipt
  try {
    receipt = decodeReceipt(bytes)
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof RangeError)) throw error
    return { valid: false, fault: error.message }
  }
  const fault = (await faultOf(receipt, crypto)) ?? mismatch(receipt, expected, crypto)
  if (fault !== undefined) return { valid: false, fault }
  return certified(receipt, expected, crypto)
}

/** What is wrong with a receipt in itself. */
async function faultOf(
  { leaf, leafBytes, index, size, path, head }: Receipt,
  crypto: ReceiptCrypto,
): Promise<string | undefined> {
  if (head.receipts === undefined) return 'The head holds no receipts'
  if (!isInTree(head.receipts, leafBytes, { index, size }, path, crypto.sha256)) {
    return 'The receipt is not one of those that the head holds'
  }
  if (!(await crypto.verifyEd25519(head.signature, signedBytes(head), head.publicKey))) {
    return 'The signature of the head is wrong'
  }
  if (!equalBytes(leaf.vault, head.vault)) return 'The head is that of another vault'
  if (leaf.position >= head.auditLength) return 'The head is older than the entry that it proves'
  return undefined
}

/** Where a receipt is about something else than expected. */
function mismatch({ leaf }: Receipt, expected: ReceiptExpected, { sha256 }: ReceiptCrypto) {
  const { requester, vault, id, request, outputs } = expected
  if (requester !== undefined && requester !== leaf.peer) return 'It is the receipt of another peer'
  if (vault !== undefined && !equalBytes(vault, leaf.vault)) return 'It is of another vault'
  if (id !== undefined && !equalBytes(id, leaf.id)) return 'It is about another request'
  if (request !== undefined) {
    const records = leaf.use.flatMap(([, , , record, version]) =>
      record === undefined || version === undefined ? [] : { id: record, version },
    )
    const { expiresAtMs } = leaf
    const bound = sha256(boundBytes({ request, records, expiresAtMs }))
    if (!equalBytes(bound, leaf.bound)) return 'It is about a request that says something else'
  }
  if (outputs !== undefined && !equalBytes(sha256(encode(outputs)), leaf.result)) {
    return 'It is about another answer'
  }
  return undefined
}

/** Whether the key that signed is that of whom it ought to be. */
async function certified(
  receipt: Receipt,
  { peer, key }: ReceiptExpected,
  crypto: ReceiptCrypto,
): Promise<ReceiptVerdict> {
  const bad = (fault: string): ReceiptVerdict => ({ valid: false, fault })
  const { head, certificate } = receipt
  if (key !== undefined && !equalBytes(key, head.publicKey)) {
    return bad('The head is signed by another key than expected')
  }
  if (certificate === null) {
    if (key !== undefined && peer === undefined) {
      return { valid: true, receipt, certifiedBy: undefined }
    }
    return bad('Nobody vouches for the key that signed: there is no certificate')
  }
  let certifiedBy: string
  try {
    const opened = await crypto.openEnvelope(certificate, CERTIFICATE_ENVELOPE)
    if (opened === undefined) return bad('The certificate does not verify')
    const names = decodeCertificate(opened.payload)
    if (!equalBytes(names.vault, head.vault) || !equalBytes(names.receiptKey, head.publicKey)) {
      return bad('The certificate is about another key')
    }
    certifiedBy = opened.peer
  } catch {
    return bad('The certificate does not verify')
  }
  if (peer !== undefined && peer !== certifiedBy) {
    return bad(`The certificate is that of ${certifiedBy.slice(0, 64)}`)
  }
  return { valid: true, receipt, certifiedBy }
}
