/** Heads of a vault: what rises, what falls, what overtakes what. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { encode } from '@stronghold/core'
import { signedBytes } from '@stronghold/guard/proofs'
import type { SignedHead } from '@stronghold/guard/proofs'
import { expect, test } from 'vitest'

import { isRemoteError } from '../src/errors.ts'
import { Heads } from '../src/heads.ts'
import { MAX_VAULTS_PER_PEER } from '../src/limits.ts'

const SECRET = new Uint8Array(32).fill(9)

function head(at: Partial<SignedHead>): Uint8Array {
  const said: SignedHead = {
    vault: new Uint8Array(16),
    epoch: 1,
    generation: 1,
    auditHead: new Uint8Array(32),
    auditLength: 1,
    timeMs: 0,
    publicKey: ed25519.getPublicKey(SECRET),
    signature: new Uint8Array(64),
    ...at,
  }
  return encode({ ...said, signature: ed25519.sign(signedBytes(said), SECRET) })
}

function rolledBack(take: () => unknown): boolean {
  try {
    take()
    return false
  } catch (error) {
    return isRemoteError(error, { code: 'data_loss', reason: 'rolled_back' })
  }
}

test('a head below the highest is a rollback: by generation, by audit, by epoch', () => {
  const heads = new Heads(undefined)
  const top = head({ epoch: 2, generation: 10, auditLength: 5 })
  heads.take(top, heads.mark())
  const below = [
    head({ epoch: 2, generation: 9, auditLength: 5 }),
    head({ epoch: 2, generation: 10, auditLength: 4 }),
    head({ epoch: 2, generation: 11, auditLength: 4 }),
    head({ epoch: 1, generation: 99, auditLength: 99 }),
  ]
  for (const one of below) expect(rolledBack(() => heads.take(one, heads.mark()))).toBe(true)
  expect(heads.witness).toEqual(top)
  // A restored vault begins a new epoch, and says so.
  const restored = head({ epoch: 3, generation: 1, auditLength: 1 })
  heads.take(restored, heads.mark())
  expect(heads.witness).toEqual(restored)
})

test('an answer that was overtaken is no rollback: it was asked for before the higher one was known', () => {
  const heads = new Heads(undefined)
  heads.take(head({ generation: 1 }), heads.mark())
  const since = heads.mark()
  heads.take(head({ generation: 3 }), since)
  expect(rolledBack(() => heads.take(head({ generation: 2 }), since))).toBe(false)
  expect(heads.latest?.generation).toBe(3)
  expect(rolledBack(() => heads.take(head({ generation: 2 }), heads.mark()))).toBe(true)
})

test('another vault has heads of its own, and no more than some are remembered', () => {
  const heads = new Heads(undefined)
  const of = (index: number): Uint8Array => new Uint8Array(16).fill(index)
  for (let index = 0; index <= MAX_VAULTS_PER_PEER; index++) {
    heads.take(head({ vault: of(index), generation: 7 }), heads.mark())
  }
  expect(heads.mark().size).toBe(MAX_VAULTS_PER_PEER)
  const again = (index: number) => () =>
    heads.take(head({ vault: of(index), generation: 6 }), heads.mark())
  expect(rolledBack(again(1))).toBe(true)
  expect(rolledBack(again(0))).toBe(false)
})

test('what is no head is no answer, and one with a wrong signature no witness', () => {
  const heads = new Heads(undefined)
  const mark = heads.mark()
  expect(() => heads.take(Uint8Array.of(0xa0), mark)).toThrow('Cannot read answer')
  const forged = encode({
    vault: new Uint8Array(16),
    epoch: 1,
    generation: 1,
    auditHead: new Uint8Array(32),
    auditLength: 1,
    timeMs: 0,
    publicKey: ed25519.getPublicKey(SECRET),
    signature: new Uint8Array(64),
  })
  heads.take(forged, mark)
  expect(heads.witness).toBeUndefined()
})
