/**
 * What this package asks of the platform's cryptography. The primitives are those of well-kept libraries; nothing
 * here or behind it implements one.
 */
import type { KeyType, PublicKey } from '../keys.ts'

/** An X25519 key pair (RFC 7748). */
export interface DhKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** The shared secret of 32 bytes. @throws `RangeError` when the other key is no 32 bytes or gives all zeros */
  agree(publicKey: Uint8Array): Uint8Array
  /** Forgets the secret, best effort. */
  wipe(): void
}

/** ChaCha20-Poly1305 under one key (RFC 8439 §2.8); the tag of 16 bytes stands behind the ciphertext. */
export interface Aead {
  /** Seals `parts` as one message: `into` is as long as they are together, and the tag. */
  seal(
    nonce: Uint8Array,
    associated: Uint8Array,
    parts: readonly Uint8Array[],
    into: Uint8Array,
  ): void
  /**
   * The plaintext, or undefined when the message is not what was sealed. `sealed` is the cipher's from now on: it is
   * opened in its place where the platform can.
   */
  open(nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined
  /** Forgets the key, best effort. */
  wipe(): void
}

/** Makes a cipher out of a key. */
export type AeadMaker = (secretKey: Uint8Array) => Aead

/** A private key for identities, kept where the platform keeps keys. */
export interface SigningKey {
  readonly type: KeyType
  /** The public key as it stands inside the libp2p protobuf. */
  readonly publicData: Uint8Array
  /** Signs as libp2p/specs peer-ids/peer-ids.md says: Ed25519 plainly, the others over SHA2-256, ECDSA in DER. */
  sign(data: Uint8Array): Promise<Uint8Array>
}

/** The platform's cryptography. */
export interface CryptoRuntime {
  sha256(...parts: readonly Uint8Array[]): Uint8Array
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  random(length: number): Uint8Array
  generateDhKey(): DhKey
  /** From 32 secret bytes, which stay the caller's to wipe. */
  importDhKey(secret: Uint8Array): DhKey
  /** A cipher from 32 secret bytes, which stay the caller's to wipe. */
  createAead: AeadMaker
  /** @throws for a key or signature that the platform does not take */
  verify(key: PublicKey, data: Uint8Array, signature: Uint8Array): Promise<boolean>
  /** A new private key as it stands inside the libp2p protobuf; the caller wipes it. RSA has 3,072 bits, ECDSA is P-256. */
  generateSecret(type: KeyType): Promise<Uint8Array>
  /** @throws for bytes that are no such key */
  importSecret(type: KeyType, secretData: Uint8Array): Promise<SigningKey>
}
