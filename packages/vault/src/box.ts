/**
 * Secrets on their way into locked memory: sealed to a key pair that is made in the slab and lives as long as this object,
 * so that they stand in no heap between. libsodium's sealed boxes (X25519, XSalsa20-Poly1305).
 */
import { VaultError } from './errors.ts'
import { sodium } from './sodium.ts'
import type { Secret, Slab } from './secret.ts'

/** What a sealed box is longer than what is in it, in bytes. */
export const BOX_OVERHEAD = 48

/** A key pair to which secrets are sealed. */
export class SecretBox implements Disposable {
  readonly #secretKey: Secret
  readonly #slab: Slab
  /** X25519, 32 bytes. */
  readonly publicKey: Uint8Array

  /** @param slab - where the key pair and what is opened lie */
  constructor(slab: Slab) {
    this.#slab = slab
    this.#secretKey = slab.take(32)
    this.publicKey = new Uint8Array(32)
    sodium.crypto_box_keypair(this.publicKey, this.#secretKey.bytes)
  }

  /**
   * What a box holds; the caller's to wipe.
   *
   * @throws `VaultError` `invalid_argument` for a box that was not sealed to this key pair
   */
  open(sealed: Uint8Array): Secret {
    if (sealed.byteLength < BOX_OVERHEAD) throw unsealed()
    const secret = this.#slab.take(sealed.byteLength - BOX_OVERHEAD)
    const fits = sodium.crypto_box_seal_open(
      secret.bytes,
      sealed,
      this.publicKey,
      this.#secretKey.bytes,
    )
    if (fits) return secret
    secret.wipe()
    throw unsealed()
  }

  [Symbol.dispose](): void {
    this.#secretKey.wipe()
  }
}

/**
 * Seals a secret to the public key of a `SecretBox`.
 *
 * @param secret - stays the caller's to wipe
 */
export function sealTo(publicKey: Uint8Array, secret: Uint8Array): Uint8Array {
  if (publicKey.byteLength !== 32) throw new RangeError('Cannot seal secret: key is not 32 bytes')
  const sealed = new Uint8Array(secret.byteLength + BOX_OVERHEAD)
  sodium.crypto_box_seal(sealed, secret, publicKey)
  return sealed
}

function unsealed(): VaultError {
  return new VaultError('invalid_argument', 'Cannot open secret: it was not sealed to this vault')
}
