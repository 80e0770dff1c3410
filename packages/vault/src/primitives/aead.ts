/**
 * Authenticated encryption: XChaCha20-Poly1305 and ChaCha20-Poly1305 by libsodium, AES-256-GCM by OpenSSL. Whoever
 * calls sees to it that no nonce comes twice under one key; nothing outside the vault chooses one.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'

import { assertBytes } from '@stronghold/core'

import { sodium } from '../sodium.ts'
import { overwritePieces, PIECE_BYTES } from './given-back.ts'

/** One cipher. Keys have 32 bytes, and sealed text is ciphertext, then a tag of 16 bytes. */
export interface Aead {
  /** Length of a nonce, in bytes. */
  readonly nonceBytes: number

  /**
   * Encrypts and authenticates.
   *
   * @param associated - authenticated, not encrypted; may be empty
   * @returns 16 bytes more than the plaintext
   * @throws `RangeError` for a key or nonce of another length
   */
  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array

  /**
   * Writes the plaintext into secret memory, or says false for whatever does not authenticate, whatever the reason,
   * with `out` filled with zeros.
   *
   * @param sealed - at least 16 bytes, else it does not authenticate
   * @param out - 16 bytes less than `sealed`
   * @throws `RangeError` for a key, nonce or room of another length
   */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    sealed: Uint8Array,
    out: Uint8Array,
  ): boolean
}

/** Length of a key of each of these ciphers. */
export const KEY_BYTES = 32
/** Length of the tag at the end of what each of them seals. */
export const TAG_BYTES = 16

/** XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): 24 bytes of nonce, enough to draw them at random for ever. */
export const XCHACHA20_POLY1305: Aead = bySodium(
  24,
  (...of) => sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(...of),
  (...of) => sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(...of),
)

/** ChaCha20-Poly1305 (RFC 8439 §2.8): 12 bytes of nonce, for formats that count theirs. */
export const CHACHA20_POLY1305: Aead = bySodium(
  12,
  (...of) => sodium.crypto_aead_chacha20poly1305_ietf_encrypt(...of),
  (...of) => sodium.crypto_aead_chacha20poly1305_ietf_decrypt(...of),
)

/** AES-256-GCM (NIST SP 800-38D) with 12 bytes of nonce; random ones only as long as somebody counts them. */
export const AES_256_GCM: Aead = Object.freeze({
  nonceBytes: 12,

  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array {
    check(12, key, nonce, associated)
    assertBytes(plaintext, 'plaintext')
    const sealed = new Uint8Array(plaintext.byteLength + TAG_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key, nonce, GCM)
    cipher.setAAD(associated)
    sealed.set(cipher.update(plaintext))
    cipher.final()
    sealed.set(cipher.getAuthTag(), plaintext.byteLength)
    return sealed
  },

  open(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    sealed: Uint8Array,
    out: Uint8Array,
  ): boolean {
    check(12, key, nonce, associated)
    if (!fits(sealed, out)) return false
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, GCM)
    decipher.setAAD(associated)
    decipher.setAuthTag(sealed.subarray(out.byteLength))
    try {
      for (let at = 0; at < out.byteLength; at += PIECE_BYTES) {
        const to = Math.min(at + PIECE_BYTES, out.byteLength)
        const piece = decipher.update(sealed.subarray(at, to))
        out.set(piece, at)
        piece.fill(0)
      }
      // Also what does not authenticate, which would tell the key stream.
      overwritePieces(out.byteLength)
      decipher.final()
      return true
    } catch {
      out.fill(0)
      return false
    }
  },
})

const GCM = { authTagLength: TAG_BYTES } as const

function bySodium(
  nonceBytes: number,
  encrypt: typeof sodium.crypto_aead_xchacha20poly1305_ietf_encrypt,
  decrypt: typeof sodium.crypto_aead_xchacha20poly1305_ietf_decrypt,
): Aead {
  return Object.freeze({
    nonceBytes,

    seal(
      key: Uint8Array,
      nonce: Uint8Array,
      associated: Uint8Array,
      plaintext: Uint8Array,
    ): Uint8Array {
      check(nonceBytes, key, nonce, associated)
      assertBytes(plaintext, 'plaintext')
      const sealed = new Uint8Array(plaintext.byteLength + TAG_BYTES)
      encrypt(sealed, plaintext, associated, null, nonce, key)
      return sealed
    },

    open(
      key: Uint8Array,
      nonce: Uint8Array,
      associated: Uint8Array,
      sealed: Uint8Array,
      out: Uint8Array,
    ): boolean {
      check(nonceBytes, key, nonce, associated)
      if (!fits(sealed, out)) return false
      try {
        decrypt(out, null, sealed, associated, nonce, key)
        return true
      } catch {
        out.fill(0)
        return false
      }
    },
  })
}

function check(
  nonceBytes: number,
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
): void {
  assertBytes(key, 'key', KEY_BYTES)
  assertBytes(nonce, 'nonce', nonceBytes)
  assertBytes(associated, 'associated data')
}

/** False for what is shorter than its tag; who calls has no way to hand in the right room for it. */
function fits(sealed: Uint8Array, out: Uint8Array): boolean {
  assertBytes(sealed, 'sealed bytes')
  const length = sealed.byteLength - TAG_BYTES
  assertBytes(out, 'room for the plaintext', Math.max(length, 0))
  return length >= 0
}
