/** Signatures as receipts are verified: what RFC 8032 gives, and nothing that its strict reading refuses. */
import { fromHex } from '@stronghold/core'
import { expect, test } from 'vitest'

import { receiptCrypto } from '../src/receipt.ts'

/** RFC 8032 §7.1, TEST 2. */
const KEY = fromHex('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')
const MESSAGE = fromHex('72')
const SIGNATURE = fromHex(
  '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
    '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
)

const { verifyEd25519 } = receiptCrypto
const browser = globalThis.crypto.subtle.importKey.bind(globalThis.crypto.subtle)

test.for([
  ['by the platform', true],
  ['without it', false],
] as const)('a signature is verified %s', async ([, platform]) => {
  const { subtle } = globalThis.crypto
  if (!platform) {
    subtle.importKey = () => Promise.reject(new DOMException('no such curve', 'NotSupportedError'))
  }
  try {
    expect(await verifyEd25519(SIGNATURE, MESSAGE, KEY)).toBe(true)
    expect(await verifyEd25519(SIGNATURE, fromHex('73'), KEY)).toBe(false)
    for (const at of [0, 31, 32, 63]) {
      const wrong = SIGNATURE.slice()
      wrong[at] = (wrong[at] ?? 0) ^ 1
      expect(await verifyEd25519(wrong, MESSAGE, KEY)).toBe(false)
    }
    const other = KEY.slice()
    other[0] = (other[0] ?? 0) ^ 1
    expect(await verifyEd25519(SIGNATURE, MESSAGE, other)).toBe(false)
    // S + L: the same signature by another name (RFC 8032 §5.1.7).
    const order = fromHex('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010')
    const long = SIGNATURE.slice()
    let carry = 0
    for (let i = 0; i < 32; i++) {
      carry += (long[32 + i] ?? 0) + (order[i] ?? 0)
      long[32 + i] = carry
      carry >>>= 8
    }
    expect(await verifyEd25519(long, MESSAGE, KEY)).toBe(false)
  } finally {
    subtle.importKey = browser
  }
})
