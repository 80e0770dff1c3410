/**
 * What libp2p puts into Noise's handshake: who somebody is, the proof, and the muxers on offer
 * (libp2p/specs noise/README.md "The libp2p Handshake Payload"). Knows no pipe and no cipher.
 */
import { concat, decodeUtf8, encodeUtf8 } from '@stronghold/core'

import { bytesField, decodeFields } from '../protobuf.ts'

const SIGNATURE_PREFIX = encodeUtf8('noise-libp2p-static-key:')
const IDENTITY_KEY = 1
const IDENTITY_SIGNATURE = 2
const EXTENSIONS = 4
// Inside the extensions. Number 1, certificate hashes of WebTransport, means nothing on other transports.
const STREAM_MUXERS = 2

// Ours: a node has one or two muxers.
const MAX_MUXERS = 32

/** A handshake payload. */
export interface NoisePayload {
  /** The public key as libp2p protobuf. */
  publicKey: Uint8Array
  /** Over `signedBytes` of the static key. */
  signature: Uint8Array
  /** Empty when the other side negotiates no muxer here. */
  muxers: readonly string[]
}

/** What the identity key signs: that this static key is its own. */
export function signedBytes(staticKey: Uint8Array): Uint8Array {
  return concat([SIGNATURE_PREFIX, staticKey])
}

/** A payload as protobuf; no extensions where there are no muxers. */
export function encodePayload({ publicKey, signature, muxers }: NoisePayload): Uint8Array {
  const fields = [bytesField(IDENTITY_KEY, publicKey), bytesField(IDENTITY_SIGNATURE, signature)]
  if (muxers.length > 0) {
    const names = muxers.map((muxer) => bytesField(STREAM_MUXERS, encodeUtf8(muxer)))
    fields.push(bytesField(EXTENSIONS, concat(names)))
  }
  return concat(fields)
}

/**
 * A payload from protobuf. Unknown fields and extensions are skipped; of a field that comes twice the last counts.
 *
 * @throws `SyntaxError` for no protobuf, for a payload without key or signature, and for more than 32 muxers
 */
export function decodePayload(protobuf: Uint8Array): NoisePayload {
  let publicKey: Uint8Array | undefined
  let signature: Uint8Array | undefined
  const muxers: string[] = []
  for (const { field, value } of decodeFields(protobuf)) {
    if (!(value instanceof Uint8Array)) continue
    if (field === IDENTITY_KEY) publicKey = value
    else if (field === IDENTITY_SIGNATURE) signature = value
    else if (field === EXTENSIONS) muxers.push(...decodeMuxers(value))
  }
  if (publicKey === undefined) throw new SyntaxError('Cannot read the payload: no key')
  if (signature === undefined) throw new SyntaxError('Cannot read the payload: no signature')
  if (muxers.length > MAX_MUXERS) throw new SyntaxError('Cannot read the payload: too many muxers')
  return { publicKey, signature, muxers }
}

function decodeMuxers(extensions: Uint8Array): string[] {
  const muxers: string[] = []
  for (const { field, value } of decodeFields(extensions)) {
    if (field === STREAM_MUXERS && value instanceof Uint8Array) muxers.push(decodeUtf8(value))
  }
  return muxers
}
