/**
 * The ciphers of OpenSSH's private keys. OpenSSL only makes masks, which lie over the plaintext like a one-time pad, and
 * never sees plaintext that it would write to memory of its own; they are taken off in secret memory.
 */
import { createCipheriv, createDecipheriv, timingSafeEqual } from 'node:crypto'

import { concat } from '@stronghold/core'

import type { Slab } from '../secret.ts'
import { sodium } from '../sodium.ts'

/** One cipher, by the name that stands in the file. */
export interface SshCipher {
  /** Bytes of key. */
  readonly keyBytes: number
  /** Bytes of initialisation vector, which are derived with the key. */
  readonly ivBytes: number
  /** The plaintext is padded to whole blocks of so many bytes. */
  readonly blockBytes: number
  /** Bytes of tag behind the ciphertext. */
  readonly tagBytes: number
  /**
   * Writes the plaintext into secret memory, or says false where the tag is wrong, and `out` is zeros then.
   *
   * @param key - key, then initialisation vector
   * @param out - as long as `sealed`
   */
  open(key: Uint8Array, sealed: Uint8Array, tag: Uint8Array, out: Uint8Array, slab: Slab): boolean
}

const CIPHERS: ReadonlyMap<string, SshCipher> = new Map([
  ['aes128-ctr', aes(128, 'ctr')],
  ['aes192-ctr', aes(192, 'ctr')],
  ['aes256-ctr', aes(256, 'ctr')],
  ['aes128-cbc', aes(128, 'cbc')],
  ['aes192-cbc', aes(192, 'cbc')],
  ['aes256-cbc', aes(256, 'cbc')],
  ['aes128-gcm@openssh.com', aes(128, 'gcm')],
  ['aes256-gcm@openssh.com', aes(256, 'gcm')],
  ['chacha20-poly1305@openssh.com', chacha20Poly1305()],
])

/** The cipher that OpenSSH calls so, undefined where it is none of these. */
export function sshCipher(name: string): SshCipher | undefined {
  return CIPHERS.get(name)
}

function aes(bits: number, mode: 'ctr' | 'cbc' | 'gcm'): SshCipher {
  const keyBytes = bits / 8
  return {
    keyBytes,
    ivBytes: mode === 'gcm' ? 12 : 16,
    blockBytes: 16,
    tagBytes: mode === 'gcm' ? 16 : 0,
    open: (keyAndIv, sealed, tag, out) => {
      const key = keyAndIv.subarray(0, keyBytes)
      const iv = keyAndIv.subarray(keyBytes)
      if (mode === 'cbc') {
        // NIST SP 800-38A §6.2: each block, decrypted alone, is the plaintext under the ciphertext before it.
        const masked = createDecipheriv(`aes-${bits}-ecb`, key, null).setAutoPadding(false)
        xorInto(out, masked.update(sealed), concat([iv, sealed.subarray(0, -16)]))
        return true
      }
      // NIST SP 800-38D §7.1: GCM encrypts as CTR does, from block 2 on.
      const counter = mode === 'ctr' ? iv : concat([iv, Uint8Array.of(0, 0, 0, 2)])
      const mask = createCipheriv(`aes-${bits}-ctr`, key, counter)
      xorInto(out, mask.update(new Uint8Array(sealed.byteLength)), sealed)
      if (mode === 'ctr') return true
      // Encrypting again gives the tag, and ciphertext that everybody may see.
      const again = createCipheriv(`aes-${bits === 128 ? 128 : 256}-gcm`, key, iv)
      again.update(out)
      again.final()
      if (timingSafeEqual(again.getAuthTag(), tag)) return true
      out.fill(0)
      return false
    },
  }
}

/** PROTOCOL.chacha20poly1305 with sequence number zero; the second half of the key is for a length that files lack. */
function chacha20Poly1305(): SshCipher {
  return {
    keyBytes: 64,
    ivBytes: 0,
    blockBytes: 8,
    tagBytes: 16,
    open: (key, sealed, tag, out, slab) => {
      const nonce = new Uint8Array(8)
      const main = key.subarray(0, 32)
      using once = slab.take(32)
      sodium.crypto_stream_chacha20_xor_ic(once.bytes, once.bytes, nonce, 0, main)
      if (!sodium.crypto_onetimeauth_verify(tag, sealed, once.bytes)) return false
      sodium.crypto_stream_chacha20_xor_ic(out, sealed, nonce, 1, main)
      return true
    },
  }
}

/** Takes the mask off and wipes it. */
function xorInto(out: Uint8Array, mask: Uint8Array, masked: Uint8Array): void {
  for (let i = 0; i < out.byteLength; i++) out[i] = (mask[i] ?? 0) ^ (masked[i] ?? 0)
  mask.fill(0)
}
