/**
 * Signed envelopes and the peer records in them (libp2p RFC 0002 and 0003): a peer's addresses, signed by its key.
 * Knows no connection and nobody's address book.
 */
import { concat, encodeUtf8, equalBytes } from '@stronghold/core'
import { base58btc } from 'multiformats/bases/base58'

import { P2pError } from './errors.ts'
import { decodePublicKey, multihashOfKey, peerIdOfKey, verifySignature } from './keys.ts'
import { bytesField, decodeFields, varintField } from './protobuf.ts'
import { encodeVarint } from './varint.ts'
import type { Identity } from './open-identity.ts'
import type { PeerId } from './identity.ts'

/** What an envelope's signature is for: the domain goes into it, the payload type stands in the envelope. */
export interface EnvelopeKind {
  domain: string
  payloadType: Uint8Array
}

/** Peer records as go and js write them. */
export const PEER_RECORD: EnvelopeKind = {
  domain: 'libp2p-peer-record',
  payloadType: Uint8Array.of(0x03, 0x01),
}

/** Peer records as RFC 0003 has them; rust writes these. */
export const LEGACY_PEER_RECORD: EnvelopeKind = {
  domain: 'libp2p-routing-state',
  payloadType: encodeUtf8('/libp2p/routing-state-record'),
}

/** A peer's own word on its addresses. */
export interface PeerRecord {
  peer: PeerId
  /** Higher is newer. 64 bits. */
  seq: bigint
  /** Multiaddrs as bytes, as they came: none is parsed yet. */
  addresses: Uint8Array[]
}

/** An envelope whose signature was right. */
export interface OpenedEnvelope {
  /** Who signed. */
  peer: PeerId
  payload: Uint8Array
}

/** Signs a payload. The result is the envelope's protobuf. */
export async function sealEnvelope(
  identity: Pick<Identity, 'publicKey' | 'sign'>,
  kind: EnvelopeKind,
  payload: Uint8Array,
): Promise<Uint8Array> {
  const signature = await identity.sign(signingInput(kind, payload))
  return concat([
    bytesField(1, identity.publicKey),
    bytesField(2, kind.payloadType),
    bytesField(3, payload),
    bytesField(5, signature),
  ])
}

/**
 * Reads an envelope of one of these kinds and verifies its signature.
 *
 * @throws `P2pError` `invalid_argument` for another form, another kind or an unknown key, `unauthenticated` for a
 *   signature that is wrong
 */
export async function openEnvelope(
  bytes: Uint8Array,
  kinds: readonly EnvelopeKind[],
): Promise<OpenedEnvelope> {
  const { publicKey, payloadType, payload, signature } = readEnvelope(bytes)
  const kind = kinds.find((known) => equalBytes(known.payloadType, payloadType))
  if (kind === undefined) throw invalid('another kind of envelope')
  const key = readKey(publicKey)
  if (!(await verifySignature(key, signingInput(kind, payload), signature))) {
    throw new P2pError('unauthenticated', 'Cannot open the envelope: its signature is wrong', {
      layer: 'security',
    })
  }
  return { peer: peerIdOfKey(publicKey), payload }
}

/** Signs a record of the identity's own addresses. */
export function sealPeerRecord(
  identity: Pick<Identity, 'publicKey' | 'sign'>,
  record: Omit<PeerRecord, 'peer'>,
  kind: EnvelopeKind = PEER_RECORD,
): Promise<Uint8Array> {
  const payload = concat([
    bytesField(1, multihashOfKey(identity.publicKey)),
    varintField(2, record.seq),
    ...record.addresses.map((address) => bytesField(3, bytesField(1, address))),
  ])
  return sealEnvelope(identity, kind, payload)
}

/**
 * Reads and verifies a signed peer record, in the form of go and js or in that of RFC 0003.
 *
 * @throws `P2pError` as `openEnvelope`, and `unauthenticated` when another peer than the one it speaks of signed
 */
export async function openPeerRecord(bytes: Uint8Array): Promise<PeerRecord> {
  const { peer, payload } = await openEnvelope(bytes, [PEER_RECORD, LEGACY_PEER_RECORD])
  const record = decodePeerRecord(payload)
  if (record.peer !== peer) {
    throw new P2pError('unauthenticated', 'Cannot take the peer record: another peer signed it', {
      layer: 'security',
      peer,
    })
  }
  return record
}

/** The record inside an envelope that was verified before. @throws `P2pError` `invalid_argument` for another form */
export function peekPeerRecord(envelope: Uint8Array): PeerRecord {
  return decodePeerRecord(readEnvelope(envelope).payload)
}

/** Reads the payload of a peer record. @throws `P2pError` `invalid_argument` for another form */
export function decodePeerRecord(payload: Uint8Array): PeerRecord {
  let multihash: Uint8Array | undefined
  let seq = 0n
  const addresses: Uint8Array[] = []
  for (const { field, value } of fieldsOf(payload)) {
    if (field === 2 && !(value instanceof Uint8Array)) seq = BigInt(value)
    else if (field === 1 && value instanceof Uint8Array) multihash = value
    else if (field === 3 && value instanceof Uint8Array) {
      const [address] = fieldsOf(value).filter((inner) => inner.field === 1)
      if (address?.value instanceof Uint8Array) addresses.push(address.value)
    } else if (field <= 3) throw invalid('a field of another type')
  }
  if (multihash === undefined) throw invalid('no peer id')
  // The peer id is compared as text with that of a key that was read, which is the check that it is one.
  return { peer: base58btc.baseEncode(multihash) as PeerId, seq, addresses }
}

interface Envelope {
  publicKey: Uint8Array
  payloadType: Uint8Array
  payload: Uint8Array
  signature: Uint8Array
}

function readEnvelope(bytes: Uint8Array): Envelope {
  const found = new Map<number, Uint8Array>()
  for (const { field, value } of fieldsOf(bytes)) {
    if (value instanceof Uint8Array) found.set(field, value)
  }
  const [publicKey, payloadType, payload, signature] = [1, 2, 3, 5].map((field) => found.get(field))
  if (
    publicKey === undefined ||
    payloadType === undefined ||
    payload === undefined ||
    signature === undefined
  ) {
    throw invalid('a field is missing')
  }
  return { publicKey, payloadType, payload, signature }
}

// RFC 0002 "Signature Production / Verification".
function signingInput({ domain, payloadType }: EnvelopeKind, payload: Uint8Array): Uint8Array {
  const parts = [encodeUtf8(domain), payloadType, payload]
  return concat(parts.flatMap((part) => [encodeVarint(part.byteLength), part]))
}

function readKey(protobuf: Uint8Array): ReturnType<typeof decodePublicKey> {
  try {
    return decodePublicKey(protobuf)
  } catch (cause) {
    throw invalid('an unknown key', cause)
  }
}

function fieldsOf(bytes: Uint8Array): ReturnType<typeof decodeFields> {
  try {
    return decodeFields(bytes)
  } catch (cause) {
    throw invalid('no protobuf', cause)
  }
}

function invalid(state: string, cause?: unknown): P2pError {
  return new P2pError('invalid_argument', `Cannot read the envelope: ${state}`, {
    layer: 'protocol',
    cause,
  })
}
