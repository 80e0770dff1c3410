import { encodeUtf8 } from '@stronghold/core'
import { heldBytes } from '@stronghold/testkit'
import { expect, test } from 'vitest'

import { isVaultError } from '../../src/errors.ts'
import { parseAgeIdentity } from '../../src/formats/age-bech32.ts'
import { readAgeHeader } from '../../src/formats/age-header.ts'
import { ByteReader } from '../../src/formats/age-reader.ts'
import { decryptAge, encryptAge } from '../../src/formats/age.ts'
import type { AgeIdentity, AgeRecipient } from '../../src/formats/age.ts'
import { publicKey } from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'

const INPUTS = process.env['STRONGHOLD_LONG'] === '1' ? 200_000 : 10_000

function isRefusal(error: unknown): boolean {
  return error instanceof SyntaxError || error instanceof RangeError || isVaultError(error)
}

test('generated files, headers, armors and identities are read or refused, and nothing is held', async () => {
  using slab = new Slab({ bytes: 256 * 1024 })
  using secret = slab.random(32)
  const who: AgeIdentity[] = [{ type: 'x25519', secretKey: secret.bytes }]
  const recipient: AgeRecipient = { type: 'x25519', publicKey: publicKey(secret.bytes) }
  const plaintext = encodeUtf8('what is kept')
  const seeds: Uint8Array[] = []
  for (const armor of [false, true]) {
    const parts: Uint8Array[] = []
    for await (const part of encryptAge(slab, [recipient], [plaintext], { armor })) parts.push(part)
    seeds.push(new Uint8Array(Buffer.concat(parts)))
  }
  const identity = encodeUtf8(
    'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX',
  )
  let state = 1
  const next = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const mutated = (seed: Uint8Array): Uint8Array => {
    const input = seed.slice(0, next(4) === 0 ? 1 + next(seed.byteLength - 1) : undefined)
    for (let i = next(3); i >= 0; i--) input[next(input.byteLength)] = next(256)
    return input
  }
  const used = slab.used
  const one = async (): Promise<void> => {
    const input = mutated(seeds[next(2)] as Uint8Array)
    try {
      const reader = new ByteReader([input])
      if (next(2) === 0) await readAgeHeader(reader)
      else {
        for await (const part of decryptAge(slab, who, [input])) {
          expect(Buffer.compare(part, plaintext)).toBe(0)
        }
      }
    } catch (error) {
      if (!isRefusal(error)) throw error
    }
    try {
      parseAgeIdentity(slab, mutated(identity)).wipe()
    } catch (error) {
      if (!isRefusal(error)) throw error
    }
  }
  for (let i = 0; i < INPUTS / 10; i++) await one()
  const before = heldBytes()
  for (let i = 0; i < INPUTS; i++) await one()
  expect(heldBytes() - before).toBeLessThan(5_000_000)
  expect(slab.used).toBe(used)
}, 240_000)
