/**
 * libsodium as this package uses it, with types of our own: every array may be a view into locked memory. Functions
 * throw a plain `Error` when an argument has a wrong length or an authentication fails.
 */
import native from 'sodium-native'

/** The functions of libsodium that this package calls. Names, argument order and lengths are libsodium's. */
export interface Sodium {
  readonly crypto_pwhash_ALG_ARGON2ID13: number

  /** Fresh locked memory between two guard pages, filled with a pattern of 0xdb. */
  sodium_malloc(length: number): Buffer
  sodium_free(memory: Uint8Array): void
  sodium_memzero(memory: Uint8Array): void
  sodium_memcmp(a: Uint8Array, b: Uint8Array): boolean
  randombytes_buf(out: Uint8Array): void

  crypto_aead_xchacha20poly1305_ietf_encrypt(
    out: Uint8Array,
    message: Uint8Array,
    associated: Uint8Array | null,
    nsec: null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number
  crypto_aead_xchacha20poly1305_ietf_decrypt(
    out: Uint8Array,
    nsec: null,
    sealed: Uint8Array,
    associated: Uint8Array | null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number
  crypto_aead_chacha20poly1305_ietf_encrypt(
    out: Uint8Array,
    message: Uint8Array,
    associated: Uint8Array | null,
    nsec: null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number
  crypto_aead_chacha20poly1305_ietf_decrypt(
    out: Uint8Array,
    nsec: null,
    sealed: Uint8Array,
    associated: Uint8Array | null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number

  /** HMAC-SHA-512-256: 32 bytes under a key of 32. */
  crypto_auth(out: Uint8Array, message: Uint8Array, key: Uint8Array): void
  /** BLAKE2b of 16 to 64 bytes, keyed where a key of 16 to 64 bytes is given. */
  crypto_generichash(out: Uint8Array, message: Uint8Array, key?: Uint8Array): void
  /** A subkey of 16 to 64 bytes from a key of 32 and a context of 8 bytes. */
  crypto_kdf_derive_from_key(
    out: Uint8Array,
    id: number,
    context: Uint8Array,
    key: Uint8Array,
  ): void
  crypto_hash_sha256(out: Uint8Array, message: Uint8Array): void
  crypto_hash_sha512(out: Uint8Array, message: Uint8Array): void

  /** `secretKey` of 64 bytes is seed and public key, as RFC 8032 implementations keep it. */
  crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void
  crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void
  crypto_sign_verify_detached(
    signature: Uint8Array,
    message: Uint8Array,
    publicKey: Uint8Array,
  ): boolean
  /** X25519 (RFC 7748). Throws where the shared secret would be all zeros. */
  crypto_scalarmult(out: Uint8Array, secretKey: Uint8Array, publicKey: Uint8Array): void
  crypto_scalarmult_base(publicKey: Uint8Array, secretKey: Uint8Array): void
  crypto_box_keypair(publicKey: Uint8Array, secretKey: Uint8Array): void
  crypto_box_seal(out: Uint8Array, message: Uint8Array, publicKey: Uint8Array): void
  crypto_box_seal_open(
    out: Uint8Array,
    sealed: Uint8Array,
    publicKey: Uint8Array,
    secretKey: Uint8Array,
  ): boolean

  /** ChaCha20 as it was first published: 8 bytes of nonce, and blocks counted from `block`. */
  crypto_stream_chacha20_xor_ic(
    out: Uint8Array,
    message: Uint8Array,
    nonce: Uint8Array,
    block: number,
    key: Uint8Array,
  ): void
  /** Poly1305: a tag of 16 bytes under a key of 32 that is used once. */
  crypto_onetimeauth_verify(tag: Uint8Array, message: Uint8Array, key: Uint8Array): boolean

  crypto_pwhash(
    out: Uint8Array,
    password: Uint8Array,
    salt: Uint8Array,
    passes: number,
    memoryBytes: number,
    algorithm: number,
  ): void
  /** The same on a thread of libuv's. */
  crypto_pwhash_async(
    out: Uint8Array,
    password: Uint8Array,
    salt: Uint8Array,
    passes: number,
    memoryBytes: number,
    algorithm: number,
  ): Promise<void>
}

/** libsodium. */
export const sodium: Sodium = native
