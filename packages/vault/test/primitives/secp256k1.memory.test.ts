/** Nothing of a secret stays in the memory of libsecp256k1: after every call, it is what it was before the first. */
import { randomBytes } from 'node:crypto'

import { describe, expect, test } from 'vitest'

import { generate, Secp256k1 } from '../../src/primitives/secp256k1.ts'

const ROUNDS = process.env['STRONGHOLD_LONG'] === '1' ? 20_000 : 60

describe('the memory of libsecp256k1', () => {
  test('is the same after every call, whatever the call and whether it fails', () => {
    const library = new Secp256k1()
    const first = Buffer.from(library.memory)
    const calls = callsOf(library)
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, call] of Object.entries(calls)) {
        call()
        // One comparison of all 1.8 MB, tables included: what is not restored was not written.
        expect(first.equals(library.memory), `${name}, round ${round}`).toBe(true)
      }
    }
  })

  test('holds a planted secret in no order of bytes or limbs', () => {
    const library = new Secp256k1()
    const secret = new Uint8Array(32)
    const tweak = new Uint8Array(32)
    const sum = new Uint8Array(32)
    for (let round = 0; round < 10; round++) {
      generate(secret)
      generate(tweak)
      library.publicKey(secret)
      library.sign(secret, randomBytes(32))
      library.addModN(secret, tweak, sum)
      for (const planted of [secret, tweak, sum]) {
        for (const trace of tracesOf(planted)) {
          expect(Buffer.from(library.memory.buffer).includes(trace)).toBe(false)
        }
      }
    }
  })

  test('would show what such a search is for', () => {
    const secret = randomBytes(32)
    for (const trace of tracesOf(secret)) expect(trace.byteLength).toBeGreaterThanOrEqual(7)
    const memory = Buffer.concat([randomBytes(99), Buffer.from(secret).reverse()])
    expect(tracesOf(secret).some((trace) => memory.includes(trace))).toBe(true)
  })

  test('two libraries share nothing', () => {
    const [one, other] = [new Secp256k1(), new Secp256k1()]
    const secret = new Uint8Array(32).fill(5)
    expect(one.memory.buffer).not.toBe(other.memory.buffer)
    expect(one.sign(secret, secret)).toEqual(other.sign(secret, secret))
  })
})

/** Right calls, calls with anything, and calls that throw. */
function callsOf(library: Secp256k1): Readonly<Record<string, () => unknown>> {
  const secret = new Uint8Array(32)
  const out = new Uint8Array(32)
  const fresh = (): Uint8Array => {
    generate(secret)
    return secret
  }
  const quietly = (call: () => unknown): void => {
    try {
      call()
    } catch {
      // Refused: nothing may stay then, either.
    }
  }
  return {
    publicKey: () => library.publicKey(fresh()),
    sign: () => library.sign(fresh(), randomBytes(32)),
    addModN: () => library.addModN(fresh(), randomBytes(32), out),
    verify: () => {
      const digest = randomBytes(32)
      const { signature } = library.sign(fresh(), digest)
      return library.verify(library.publicKey(secret), digest, signature)
    },
    'verify noise': () =>
      library.verify(Uint8Array.of(2, ...randomBytes(32)), randomBytes(32), randomBytes(64)),
    recover: () => {
      const digest = randomBytes(32)
      const { signature, recoveryId } = library.sign(fresh(), digest)
      return library.recover(digest, signature, recoveryId)
    },
    'recover noise': () => library.recover(randomBytes(32), randomBytes(64), 1),
    'parse noise': () => quietly(() => library.parsePoint(Uint8Array.of(3, ...randomBytes(32)))),
    'out of range': () => quietly(() => library.publicKey(new Uint8Array(32).fill(0xff))),
  }
}

/** How a secret number may lie in memory: as bytes, reversed, and in limbs of 64, 52 or 32 bits, either end first. */
function tracesOf(secret: Uint8Array): Buffer[] {
  const forward = Buffer.from(secret)
  const backward = Buffer.from(secret).reverse()
  const traces: Buffer[] = []
  for (const whole of [forward, backward]) {
    for (let at = 0; at + 8 <= 32; at += 8) traces.push(whole.subarray(at, at + 8))
  }
  // Field elements have limbs of 52 bits, in 64-bit words.
  const value = BigInt(`0x${forward.toString('hex')}`)
  for (let limb = 0n; limb < 4n; limb++) {
    const word = Buffer.alloc(8)
    word.writeBigUInt64LE((value >> (52n * limb)) & ((1n << 52n) - 1n))
    traces.push(word.subarray(0, 7))
  }
  return traces
}
