/** Receipts as they arrive (`audit.md §4`): verified against the peer that answered, and what was asked of it. Runs in browsers. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { encodeUtf8 } from '@stronghold/core'
import { requestBytes, verifyReceipt } from '@stronghold/guard/proofs'
import type { HashedRequest, ReceiptCrypto } from '@stronghold/guard/proofs'
import { openEnvelope } from '@stronghold/p2p'
import { footprint, formatTags, procedureOf } from '@stronghold/vault/catalog'

import { digested } from './digest.ts'
import { RemoteError } from './errors.ts'
import type { SubmitMessage } from './messages.ts'
import type { Outputs } from './request.ts'

/** What verifying receipts needs, for `verifyReceipt` of `@stronghold/guard/proofs`. */
export const receiptCrypto: ReceiptCrypto = Object.freeze({
  sha256,
  verifyEd25519,
  openEnvelope: (
    envelope: Uint8Array,
    { domain, payloadType }: { readonly domain: string; readonly payloadType: string },
  ) => openEnvelope(envelope, [{ domain, payloadType: encodeUtf8(payloadType) }]),
})

/** By the platform, which is ten times as fast, where it can. */
async function verifyEd25519(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): Promise<boolean> {
  const own = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes)
  let key: CryptoKey
  try {
    key = await crypto.subtle.importKey('raw', own(publicKey), 'Ed25519', false, ['verify'])
  } catch {
    // A browser of some years ago, or no key at all: then no signature is right here either.
    return ed25519.verify(signature, message, publicKey, { zip215: false })
  }
  return await crypto.subtle.verify('Ed25519', key, own(signature), own(message))
}

/** What a receipt has to prove. */
export interface Proven {
  /** Who answered, and who asked. */
  readonly peer: string
  readonly requester: string
  /** The vault that answered, 16 bytes, and the key that signs its heads, 32 bytes. */
  readonly vault: Uint8Array
  readonly key: Uint8Array
  /** Of the request, 16 bytes. */
  readonly id: Uint8Array
  /** What was asked; without it, it is not looked at whether the receipt is about these very inputs. */
  readonly message?: SubmitMessage
  readonly outputs: Outputs
}

/**
 * Verifies a receipt: by the certificate of the peer that answered where it has one, else by the key that signs the heads of
 * the same connection.
 *
 * @throws `RemoteError` `data_loss` `receipt_invalid`
 */
export async function assertReceipt(
  receipt: Uint8Array,
  proven: Proven,
  crypto: ReceiptCrypto = receiptCrypto,
): Promise<void> {
  const { peer, requester, vault, key, id, message, outputs } = proven
  const request =
    message === undefined
      ? {}
      : { request: hashOfRequest({ ...message, vault, peer: requester, id }) }
  const about = { requester, vault, key, id, outputs, ...request }
  const verdict = await verifyReceipt(receipt, about, crypto)
  if (!verdict.valid) throw invalid(verdict.fault)
  const { certifiedBy } = verdict
  if (certifiedBy !== undefined && certifiedBy !== peer) {
    throw invalid('its certificate is that of another peer')
  }
}

/** A request, as whoever asked knows it. */
export type KnownRequest = Omit<HashedRequest, 'footprint' | 'formats'>

/**
 * The hash of a request (`approvals.md`), 32 bytes, by which `verifyReceipt` knows whether a receipt is about it: over its
 * inputs as they are sent, where a long message of an SSHSIG goes by its digest. With an empty peer it is one of the owner's.
 */
export function hashOfRequest({
  vault,
  peer,
  id,
  steps: asked,
  reason,
  timeoutMs,
}: KnownRequest): Uint8Array {
  // The owner's go to the vault as they are.
  const steps =
    peer === ''
      ? asked
      : asked.map((step) => ({ ...step, input: digested(step.procedure, step.input) }))
  const chain = steps.flatMap(({ procedure, input }) => {
    const found = procedureOf(procedure)
    return found === undefined ? [] : [{ procedure: found, input }]
  })
  const places = footprint(chain).map(
    ({ procedure, role, path }) => [procedure, role, path.toString()] as const,
  )
  const formats = new Set(
    chain.flatMap(({ procedure, input }) => formatTags(procedure.name, input)),
  )
  const all = { vault, peer, id, steps, footprint: places, formats: [...formats] }
  return sha256(requestBytes({ ...all, reason, timeoutMs }))
}

function invalid(fault: string): RemoteError {
  const state = fault.charAt(0).toLowerCase() + fault.slice(1)
  return new RemoteError('data_loss', `Cannot trust receipt: ${state}`, {
    reason: 'receipt_invalid',
    ran: 'yes',
  })
}
