/**
 * Shows that a secret out of a backup still does what its type is for: its public half is computed again and compared,
 * and it signs, agrees, seals, wraps or authenticates once and undoes it. It knows neither vault nor file.
 */
import { encodeUtf8, equalBytes } from '@stronghold/core'

import { SECRET_LENGTHS, widestUsage } from '../catalog/index.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import { AES_256_GCM, TAG_BYTES, XCHACHA20_POLY1305 } from '../primitives/aead.ts'
import type { Aead } from '../primitives/aead.ts'
import * as hmac from '../primitives/hmac.ts'
import * as keywrap from '../primitives/keywrap.ts'
import { Secp256k1 } from '../primitives/secp256k1.ts'
import * as x25519 from '../primitives/x25519.ts'
import { isSecret, publicHalf } from '../procedures/pairs.ts'
import type { Tools } from '../procedures/pairs.ts'
import type { Scope, UseHandle } from '../procedures/registry.ts'
import { signingType, signMessage, verifyMessage } from '../procedures/signing.ts'
import type { StoredRecord } from '../record.ts'
import type { Secret, Slab } from '../secret.ts'
import { sodium } from '../sodium.ts'

const MESSAGE = encodeUtf8('stronghold/self-test/1')

/** Tests records one by one. */
export class SelfTest {
  readonly #slab: Slab
  #made: Tools | undefined

  constructor(slab: Slab) {
    this.#slab = slab
  }

  /** Made when there is something to test: most files that are refused are so before. */
  get #tools(): Tools {
    this.#made ??= { slab: this.#slab, secp256k1: new Secp256k1() }
    return this.#made
  }

  /**
   * What is wrong with one version of a record, or `undefined`.
   *
   * @param secret - in secret memory
   * @param publicKey - what stands beside it
   */
  fault(
    record: Omit<StoredRecord, 'versions'>,
    secret: Uint8Array,
    publicKey: Uint8Array | undefined,
  ): string | undefined {
    const { type, labels } = record
    const { least, most } = SECRET_LENGTHS[type]
    if (secret.byteLength < least || secret.byteLength > most) {
      return `a secret of ${secret.byteLength} bytes, which no ${type} has`
    }
    const widest = widestUsage(type)
    if (![...labels.usage].every((usage) => widest.has(usage))) {
      return `a usage that no ${type} has`
    }
    if (!isSecret(type, secret)) return 'its secret is no secret key'
    const lent: Secret[] = []
    const scope: Scope = {
      scratch: (length) => {
        const taken = this.#slab.take(length)
        lent.push(taken)
        return taken.bytes
      },
      random: (out) => {
        sodium.randombytes_buf(out)
      },
      limits: DEFAULT_LIMITS,
      compactLater: () => undefined,
    }
    try {
      const computed = publicHalf(type, secret, this.#tools, scope)
      if ((computed === undefined) !== (publicKey === undefined)) {
        return computed === undefined ? 'a public key, which its type has not' : 'no public key'
      }
      if (computed !== undefined && publicKey !== undefined && !equalBytes(computed, publicKey)) {
        return 'its public key is not that of its secret'
      }
      return this.#works(record, secret, computed, scope)
        ? undefined
        : `its secret does not do what a ${type} does`
    } finally {
      for (const taken of lent) taken.wipe()
    }
  }

  #works(
    { id, type, labels }: Omit<StoredRecord, 'versions'>,
    secret: Uint8Array,
    publicKey: Uint8Array | undefined,
    scope: Scope,
  ): boolean {
    switch (type) {
      case 'ed25519':
      case 'secp256k1':
      case 'p256':
      case 'p384': {
        const key: UseHandle = {
          id: encodeUtf8(id),
          type,
          labels,
          version: 1,
          publicKey,
          secret: () => secret,
          expanded: (length, write) => {
            const out = scope.scratch(length)
            write(out, secret)
            return out
          },
          countNonce: () => undefined,
        }
        const signature = signMessage(key, MESSAGE, this.#tools)
        const verifier = { type: signingType(type), publicKey: publicKey ?? new Uint8Array() }
        return verifyMessage(verifier, MESSAGE, signature, this.#tools)
      }
      case 'x25519':
        return agrees(secret, publicKey ?? new Uint8Array(), scope)
      case 'aes-256-gcm':
        return seals(AES_256_GCM, secret, scope)
      case 'xchacha20-poly1305':
        return seals(XCHACHA20_POLY1305, secret, scope)
      case 'aes-256-kw': {
        const room = scope.scratch(secret.byteLength)
        return (
          keywrap.unwrap(secret, keywrap.wrap(secret, secret), room) && equalBytes(room, secret)
        )
      }
      case 'hmac-sha2':
        return hmac.verify('sha256', secret, MESSAGE, hmac.hmac('sha256', secret, MESSAGE))
      case 'seed':
      case 'opaque':
        return true
    }
  }
}

function agrees(secret: Uint8Array, publicKey: Uint8Array, scope: Scope): boolean {
  const other = scope.scratch(x25519.KEY_BYTES)
  scope.random(other)
  const mine = scope.scratch(x25519.KEY_BYTES)
  const theirs = scope.scratch(x25519.KEY_BYTES)
  x25519.agree(secret, x25519.publicKey(other), mine)
  x25519.agree(other, publicKey, theirs)
  return equalBytes(mine, theirs)
}

function seals(aead: Aead, key: Uint8Array, scope: Scope): boolean {
  // What is sealed leaves with nobody, so that no nonce is used up that the vault would have to count.
  const nonce = new Uint8Array(aead.nonceBytes)
  scope.random(nonce)
  const sealed = aead.seal(key, nonce, MESSAGE, MESSAGE)
  const opened = scope.scratch(sealed.byteLength - TAG_BYTES)
  return aead.open(key, nonce, MESSAGE, sealed, opened) && equalBytes(opened, MESSAGE)
}
