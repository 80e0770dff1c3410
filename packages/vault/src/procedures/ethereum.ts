/**
 * Ethereum's signatures: messages, typed data and transactions, which come back signed. What is signed is read from the
 * bytes that are hashed, so that what people were shown is what they signed.
 */
import { equalBytes } from '@stronghold/core'

import type { SignFormat } from '../catalog/index.ts'
import { readTypedData } from '../formats/ethereum-typed.ts'
import {
  messageSignature,
  personalMessageDigest,
  readTransaction,
  signedTransaction,
} from '../formats/ethereum.ts'
import { decodeRlp } from '../formats/rlp.ts'
import { SCALAR_BYTES, SIGNATURE_BYTES } from '../primitives/secp256k1.ts'
import type { RecoverableSignature } from '../primitives/secp256k1.ts'
import type { Tools } from './pairs.ts'
import { parsed } from './reading.ts'

type Kind = Extract<SignFormat, { format: 'ethereum' }>['kind']

/**
 * The 32 bytes that are signed.
 *
 * @throws `SyntaxError`, `RangeError` for typed data or a transaction that is none
 */
export function ethereumDigest(kind: Kind, message: Uint8Array): Uint8Array {
  switch (kind) {
    case 'eip191':
      return personalMessageDigest(message)
    case 'eip712':
      return readTypedData(message).digest
    case 'transaction':
      return readTransaction(message).digest
  }
}

/** What leaves: r ‖ s ‖ v, or the signed transaction. */
export function writeEthereum(
  kind: Kind,
  message: Uint8Array,
  { signature, recoveryId }: RecoverableSignature,
): Uint8Array {
  return kind === 'transaction'
    ? signedTransaction(message, signature, recoveryId)
    : messageSignature(signature, recoveryId)
}

/** Whether what `writeEthereum` wrote is right: by this key, and the only way to write it. */
export function verifyEthereum(
  kind: Kind,
  message: Uint8Array,
  written: Uint8Array,
  publicKey: Uint8Array,
  { secp256k1 }: Tools,
): boolean {
  const digest = ethereumDigest(kind, message)
  const signature =
    kind === 'transaction'
      ? parsed(() => signatureIn(written))
      : written.subarray(0, SIGNATURE_BYTES)
  if (signature === undefined || !secp256k1.verify(publicKey, digest, signature)) return false
  const recoveryId = [0, 1].find((id) => {
    const found = secp256k1.recover(digest, signature, id)
    return found !== undefined && equalBytes(found, publicKey)
  })
  if (recoveryId === undefined) return false
  return equalBytes(writeEthereum(kind, message, { signature, recoveryId }), written)
}

/** r ‖ s out of a signed transaction, where they stand last. */
function signatureIn(transaction: Uint8Array): Uint8Array | undefined {
  const from = (transaction[0] ?? 0) >= 0xc0 ? 0 : 1
  const items = decodeRlp(transaction.subarray(from))
  const [r, s] = items instanceof Uint8Array ? [] : items.slice(-2)
  if (!(r instanceof Uint8Array && s instanceof Uint8Array)) return undefined
  if (r.byteLength > SCALAR_BYTES || s.byteLength > SCALAR_BYTES) return undefined
  const signature = new Uint8Array(SIGNATURE_BYTES)
  signature.set(r, SCALAR_BYTES - r.byteLength)
  signature.set(s, SIGNATURE_BYTES - s.byteLength)
  return signature
}
