/** What is remembered of signatures: only what was right, and only for the same bytes. */
import type { ReceiptCrypto } from '@stronghold/guard/proofs'
import { describe, expect, test } from 'vitest'

import { MAX_VERIFIED } from '../src/limits.ts'
import { remembering } from '../src/verified.ts'

const KIND = {
  domain: 'stronghold-vault-keys',
  payloadType: '/stronghold/vault-keys',
} as Parameters<ReceiptCrypto['openEnvelope']>[1]

function bytes(byte: number, length = 64): Uint8Array {
  return new Uint8Array(length).fill(byte)
}

/** Signatures are right that are filled like message and key; envelopes that begin with 1. */
function counting(): { crypto: ReceiptCrypto; verified: () => number; opened: () => number } {
  const count = { verified: 0, opened: 0 }
  return {
    verified: () => count.verified,
    opened: () => count.opened,
    crypto: {
      sha256: (of) => of,
      verifyEd25519: (signature, message, publicKey) => {
        count.verified++
        return signature[0] === message[0] && signature[0] === publicKey[0]
      },
      openEnvelope: async (envelope) => {
        count.opened++
        return envelope[0] === 1 ? { peer: 'p', payload: envelope } : undefined
      },
    },
  }
}

describe('signatures that were verified a moment ago', () => {
  test('are right without being verified again, for the same bytes alone', async () => {
    const { crypto, verified } = counting()
    const { verifyEd25519 } = remembering(crypto)
    const message = bytes(1, 100)
    expect(await verifyEd25519(bytes(1), message, bytes(1, 32))).toBe(true)
    expect(await verifyEd25519(bytes(1), message.slice(), bytes(1, 32))).toBe(true)
    expect(verified()).toBe(1)
    expect(await verifyEd25519(bytes(1), bytes(2, 100), bytes(1, 32))).toBe(false)
    expect(await verifyEd25519(bytes(1), message, bytes(2, 32))).toBe(false)
    message.fill(2)
    expect(await verifyEd25519(bytes(1), message, bytes(1, 32))).toBe(false)
    expect(verified()).toBe(4)
  })

  test('are not remembered where they were wrong', async () => {
    const { crypto, verified } = counting()
    const { verifyEd25519 } = remembering(crypto)
    for (let i = 0; i < 3; i++) {
      expect(await verifyEd25519(bytes(1), bytes(2), bytes(1, 32))).toBe(false)
    }
    expect(verified()).toBe(3)
  })

  test('are verified once, however many ask meanwhile, and again where that failed', async () => {
    const { crypto, verified } = counting()
    const { verifyEd25519 } = remembering(crypto)
    const ask = (): boolean | Promise<boolean> => verifyEd25519(bytes(1), bytes(1), bytes(1, 32))
    expect(await Promise.all([ask(), ask(), ask()])).toEqual([true, true, true])
    expect(verified()).toBe(1)
    let fails = true
    const broken = remembering({
      ...crypto,
      verifyEd25519: async () => {
        if (fails) throw new Error('no platform')
        return true
      },
    })
    const again = async (): Promise<boolean> =>
      await broken.verifyEd25519(bytes(1), bytes(1), bytes(1, 32))
    await expect(again()).rejects.toThrow('no platform')
    fails = false
    expect(await again()).toBe(true)
  })

  test('are MAX_VERIFIED at most, the oldest forgotten', async () => {
    const { crypto, verified } = counting()
    const { verifyEd25519 } = remembering(crypto)
    const verifyAll = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await verifyEd25519(bytes(i), bytes(i), bytes(i, 32))
    }
    await verifyAll(MAX_VERIFIED)
    await verifyAll(MAX_VERIFIED)
    expect(verified()).toBe(MAX_VERIFIED)
    await verifyAll(MAX_VERIFIED + 1)
    expect(verified()).toBe(MAX_VERIFIED + 1)
    await verifyAll(1)
    expect(verified()).toBe(MAX_VERIFIED + 2)
  })

  test('a certificate is opened once, and again where it did not verify', async () => {
    const { crypto, opened } = counting()
    const { openEnvelope } = remembering(crypto)
    expect(await openEnvelope(bytes(1), KIND)).toEqual(await openEnvelope(bytes(1), KIND))
    expect(opened()).toBe(1)
    expect(await openEnvelope(bytes(2), KIND)).toBeUndefined()
    expect(await openEnvelope(bytes(2), KIND)).toBeUndefined()
    expect(opened()).toBe(3)
  })
})
