/**
 * An identity as libp2p's own key objects, for all that libp2p signs and verifies itself. The private half signs and
 * does nothing else.
 */
import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type {
  AbortOptions,
  Ed25519PrivateKey,
  Ed25519PublicKey,
  PeerId as Libp2pPeerId,
  PrivateKey,
  RSAPrivateKey,
  RSAPublicKey,
  Secp256k1PrivateKey,
  Secp256k1PublicKey,
} from '@libp2p/interface'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'

import { P2pError } from './errors.ts'
import { decodePublicKey, multihashOfKey, verifySignature } from './keys.ts'

const LIBP2P_KEY = 0x72
const SHA2_256_HASH = 0x12

/** What `createLibp2p` takes, and the peer id that it will have. */
export interface Libp2pKeys {
  readonly privateKey: PrivateKey
  readonly peerId: Libp2pPeerId
}

type Sign = (data: Uint8Array) => Promise<Uint8Array>

/** What libp2p hands to be signed or verified: bytes, or a list of them that can join itself. */
type Signable = Parameters<PrivateKey['sign']>[0]

/** libp2p's view of a key of ours. The public key is the protobuf of a key that was checked. */
export function libp2pKeys(publicKey: Uint8Array, sign: Sign): Libp2pKeys {
  const privateKey = privateKeyOf(publicKey, sign)
  return Object.freeze({ privateKey, peerId: peerIdFromPublicKey(privateKey.publicKey) })
}

function privateKeyOf(publicKey: Uint8Array, sign: Sign): PrivateKey {
  if (decodePublicKey(publicKey).type === 'ecdsa')
    return new RsaView(new EcdsaPublicKey(publicKey), sign)
  const key = publicKeyFromProtobuf(publicKey)
  switch (key.type) {
    case 'Ed25519':
      return new Ed25519View(key, sign)
    case 'secp256k1':
      return new Secp256k1View(key, sign)
    case 'RSA':
      return new RsaView(key, sign)
    case 'ECDSA':
      throw new TypeError('Cannot show libp2p the key: unexpected type')
  }
}

/** A private key that signs and never shows itself. */
abstract class View {
  readonly #sign: Sign
  abstract readonly publicKey: { equals(key?: unknown): boolean }

  constructor(sign: Sign) {
    this.#sign = sign
  }

  get raw(): Uint8Array {
    throw kept()
  }

  get jwk(): JsonWebKey {
    throw kept()
  }

  equals(key?: unknown): boolean {
    return key instanceof View && this.publicKey.equals(key.publicKey)
  }

  sign(data: Signable, options?: AbortOptions): Promise<Uint8Array> {
    options?.signal?.throwIfAborted()
    return this.#sign(data.subarray())
  }
}

class Ed25519View extends View implements Ed25519PrivateKey {
  readonly type = 'Ed25519'
  readonly publicKey: Ed25519PublicKey

  constructor(publicKey: Ed25519PublicKey, sign: Sign) {
    super(sign)
    this.publicKey = publicKey
  }
}

class Secp256k1View extends View implements Secp256k1PrivateKey {
  readonly type = 'secp256k1'
  readonly publicKey: Secp256k1PublicKey

  constructor(publicKey: Secp256k1PublicKey, sign: Sign) {
    super(sign)
    this.publicKey = publicKey
  }
}

class RsaView extends View implements RSAPrivateKey {
  readonly type = 'RSA'
  readonly publicKey: RSAPublicKey

  constructor(publicKey: RSAPublicKey, sign: Sign) {
    super(sign)
    this.publicKey = publicKey
  }
}

/**
 * An ECDSA key under libp2p's type `RSA`: the one of its three peer id classes whose ids are a SHA2-256 of the key,
 * as ECDSA's are. Hash, id and signatures are those of the ECDSA key; only the name is not.
 */
class EcdsaPublicKey implements RSAPublicKey {
  readonly type = 'RSA'
  readonly raw: Uint8Array
  readonly #protobuf: Uint8Array

  constructor(protobuf: Uint8Array) {
    this.#protobuf = protobuf
    this.raw = decodePublicKey(protobuf).data
  }

  get jwk(): JsonWebKey {
    throw new P2pError('unimplemented', 'Cannot write the key as JWK: not needed', {
      layer: 'security',
    })
  }

  equals(key?: unknown): boolean {
    return key instanceof EcdsaPublicKey && key.toString() === this.toString()
  }

  toMultihash(): Digest.Digest<typeof SHA2_256_HASH, number> {
    return Digest.create(SHA2_256_HASH, multihashOfKey(this.#protobuf).subarray(2))
  }

  toCID(): CID<unknown, typeof LIBP2P_KEY, typeof SHA2_256_HASH, 1> {
    return CID.createV1(LIBP2P_KEY, this.toMultihash())
  }

  verify(data: Signable, signature: Uint8Array): Promise<boolean> {
    return verifySignature(decodePublicKey(this.#protobuf), data.subarray(), signature)
  }

  toString(): string {
    return base58btc.baseEncode(this.toMultihash().bytes)
  }
}

function kept(): P2pError {
  return new P2pError('permission_denied', 'Cannot read the private key: it stays where it is', {
    layer: 'security',
  })
}
