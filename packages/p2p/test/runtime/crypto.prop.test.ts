import { secp256k1 } from '@noble/curves/secp256k1.js'
import { fromHex, toHex } from '@stronghold/core'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { decodePublicKey, encodeKey } from '../../src/keys.ts'
import { cryptoRuntime as browser } from '../../src/runtime/browser-crypto.ts'
import { cryptoRuntime as node } from '../../src/runtime/node-crypto.ts'
import type { KeyType } from '../../src/keys.ts'

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })
const upTo = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ maxLength, size: 'max' })

describe('the two runtimes', () => {
  it('hash alike, in one piece and in several', () => {
    fc.assert(
      fc.property(upTo(100), upTo(100), (a, b) => {
        expect(toHex(browser.sha256(a, b))).toBe(toHex(node.sha256(a, b)))
        expect(toHex(node.sha256(new Uint8Array([...a, ...b])))).toBe(toHex(node.sha256(a, b)))
        expect(toHex(browser.hmacSha256(a, b))).toBe(toHex(node.hmacSha256(a, b)))
      }),
    )
  })

  it('agree on the same X25519 secret', () => {
    fc.assert(
      fc.property(bytes(32), bytes(32), (a, b) => {
        const [one, other] = [node.importDhKey(a), browser.importDhKey(b)]
        expect(toHex(browser.importDhKey(a).publicKey)).toBe(toHex(one.publicKey))
        expect(toHex(one.agree(other.publicKey))).toBe(toHex(other.agree(one.publicKey)))
      }),
      { numRuns: 20 },
    )
  })

  it('refuse keys that give no secret', () => {
    // RFC 7748 §6.1: points of small order.
    const points = ['00'.repeat(32), `01${'00'.repeat(31)}`, `ec${'ff'.repeat(30)}7f`, 'ab']
    for (const runtime of [node, browser]) {
      for (const point of points) {
        expect(() => runtime.generateDhKey().agree(fromHex(point))).toThrow(RangeError)
      }
    }
  })

  it('seal the same bytes, whatever the size, and open each other’s', () => {
    const sizes = fc.integer({ min: 0, max: 2000 })
    const [nodeAead, browserAead] = [node.createAead, browser.createAead]
    fc.assert(
      fc.property(
        bytes(32),
        bytes(12),
        bytes(32),
        sizes,
        fc.nat(),
        (key, nonce, associated, size, cut) => {
          const plain = Uint8Array.from({ length: size }, (_, i) => i)
          const parts = [plain.subarray(0, cut % (size + 1)), plain.subarray(cut % (size + 1))]
          const [one, other] = [nodeAead(key), browserAead(key)]
          const sealed = new Uint8Array(size + 16)
          one.seal(nonce, associated, parts, sealed)
          const again = new Uint8Array(size + 16)
          other.seal(nonce, associated, [plain], again)
          expect(toHex(again)).toBe(toHex(sealed))
          for (const aead of [one, other]) {
            const copy = Uint8Array.from(sealed)
            expect(toHex(aead.open(nonce, associated, copy) ?? fromHex('00'))).toBe(toHex(plain))
            const altered = Uint8Array.from(sealed)
            altered[cut % altered.byteLength] = (altered[cut % altered.byteLength] as number) ^ 0x80
            expect(aead.open(nonce, associated, altered)).toBeUndefined()
            expect(aead.open(nonce, associated, sealed.slice(1))).toBeUndefined()
            expect(aead.open(nonce, associated, sealed.slice(0, cut % 16))).toBeUndefined()
          }
        },
      ),
      { numRuns: 200 },
    )
  })

  it.each<KeyType>(['ed25519', 'secp256k1', 'ecdsa', 'rsa'])(
    'read each other’s %s keys and verify each other’s signatures',
    async (type) => {
      const data = new TextEncoder().encode('data')
      for (const [maker, other] of [
        [node, browser],
        [browser, node],
      ] as const) {
        const secret = await maker.generateSecret(type)
        const [one, two] = [
          await maker.importSecret(type, secret),
          await other.importSecret(type, secret),
        ]
        expect(toHex(two.publicData)).toBe(toHex(one.publicData))
        const key = decodePublicKey(encodeKey(type, one.publicData))
        for (const signer of [one, two]) {
          const signature = await signer.sign(data)
          for (const judge of [node, browser]) {
            expect(await judge.verify(key, data, signature)).toBe(true)
            expect(await judge.verify(key, data.subarray(1), signature)).toBe(false)
          }
        }
      }
    },
  )

  it('sign on secp256k1 with the lower s, the only one that others take', async () => {
    const data = new TextEncoder().encode('data')
    for (const runtime of [node, browser]) {
      const signer = await runtime.importSecret(
        'secp256k1',
        await runtime.generateSecret('secp256k1'),
      )
      // Left to chance, half of them were high.
      for (let i = 0; i < 32; i++) {
        const signature = await signer.sign(data)
        expect(
          secp256k1.verify(signature, data, signer.publicData, { format: 'der', lowS: true }),
        ).toBe(true)
      }
    }
  })
})
