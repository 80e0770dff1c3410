/**
 * The identity of a node: its private key, from a file, from bytes or made new, and what it does with it. Knows
 * nothing of what is signed.
 */
import { equalBytes, wipe } from '@stronghold/core'

import { createSecretFile, cryptoRuntime, readSecretFile } from '#runtime'

import { P2pError } from './errors.ts'
import { decodeKey, encodeKey, peerIdOfKey } from './keys.ts'
import { libp2pKeys } from './libp2p-keys.ts'
import type { PeerId } from './identity.ts'
import type { KeyType } from './keys.ts'
import type { Libp2pKeys } from './libp2p-keys.ts'
import type { SigningKey } from './runtime/crypto.ts'

// Ours: RSA with 8,192 bits takes about 4,700 bytes.
const MAX_SECRET_BYTES = 8192

/**
 * Where an identity comes from: the path of a 0600 file, made with a new Ed25519 key where there is none; a libp2p
 * private key protobuf, which stays the caller's to wipe; or a new key that lives in memory.
 */
export type IdentitySource = string | Uint8Array | { generate: KeyType }

/** A node's own key. Nothing gives the private half out. */
export interface Identity {
  readonly peer: PeerId
  readonly keyType: KeyType
  /** The public key as the libp2p protobuf. */
  readonly publicKey: Uint8Array
  /** Signs as the key's type asks (libp2p/specs peer-ids/peer-ids.md "Key types"). */
  sign(data: Uint8Array): Promise<Uint8Array>
  /** What `createLibp2p` takes and calls its own; `raw` on it throws. */
  readonly libp2p: Libp2pKeys
}

/**
 * Opens or makes an identity.
 *
 * @throws `P2pError` `failed_precondition` for a file that others may read, a symbolic link, somebody else's file or
 *   one that cannot be written; `invalid_argument` for bytes that are no private key
 */
export async function openIdentity(source: IdentitySource): Promise<Identity> {
  if (typeof source === 'string') return openFile(source)
  if (source instanceof Uint8Array) return importIdentity(source)
  const secretProtobuf = await generate(source.generate)
  try {
    return await importIdentity(secretProtobuf)
  } finally {
    wipe(secretProtobuf)
  }
}

async function openFile(path: string): Promise<Identity> {
  const secretProtobuf = (await readSecretFile(path, MAX_SECRET_BYTES)) ?? (await createFile(path))
  try {
    return await importIdentity(secretProtobuf)
  } finally {
    wipe(secretProtobuf)
  }
}

async function createFile(path: string): Promise<Uint8Array> {
  const secretProtobuf = await generate('ed25519')
  if (await createSecretFile(path, secretProtobuf)) return secretProtobuf
  wipe(secretProtobuf)
  // Another process was first: its key is the one.
  const secretOther = await readSecretFile(path, MAX_SECRET_BYTES)
  if (secretOther !== undefined) return secretOther
  throw new P2pError('failed_precondition', `Cannot open '${path.slice(-64)}': it came and went`, {
    layer: 'security',
  })
}

async function generate(type: KeyType): Promise<Uint8Array> {
  const secretData = await cryptoRuntime.generateSecret(type)
  const secretProtobuf = encodeKey(type, secretData)
  wipe(secretData)
  return secretProtobuf
}

async function importIdentity(secretProtobuf: Uint8Array): Promise<Identity> {
  const key = await importKey(secretProtobuf)
  const publicKey = encodeKey(key.type, key.publicData)
  const sign = (data: Uint8Array): Promise<Uint8Array> => key.sign(data)
  return Object.freeze({
    peer: peerIdOfKey(publicKey),
    keyType: key.type,
    publicKey,
    sign,
    libp2p: libp2pKeys(publicKey, sign),
  })
}

async function importKey(secretProtobuf: Uint8Array): Promise<SigningKey> {
  try {
    if (secretProtobuf.byteLength > MAX_SECRET_BYTES) throw new SyntaxError('too long')
    const { type, data } = decodeKey(secretProtobuf)
    return await cryptoRuntime.importSecret(type, secretEd25519(type, data))
  } catch {
    // Without the cause: a parser's complaint may quote what it read.
    throw new P2pError('invalid_argument', 'Cannot open the identity: no libp2p private key', {
      layer: 'security',
    })
  }
}

// Old files hold an Ed25519 public key twice (peer-ids.md "Ed25519").
function secretEd25519(type: KeyType, data: Uint8Array): Uint8Array {
  if (type !== 'ed25519' || data.byteLength !== 96) return data
  if (!equalBytes(data.subarray(32, 64), data.subarray(64)))
    throw new SyntaxError('two public keys')
  return data.subarray(0, 64)
}
