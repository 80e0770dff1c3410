/** What a vault says of how far it has come, and the entries that it finds when it looks for damage. */
import { createPublicKey, verify } from 'node:crypto'

import { concat, encode, encodeUtf8 } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { verifyHead } from '../src/head.ts'
import type { SignedHead } from '../src/head.ts'
import { MemoryStore } from '../src/stores/memory.ts'
import { newVault } from './open.ts'

/** As `docs/audit.md §3` says it, by another implementation. */
function isSigned({ publicKey, signature, ...head }: SignedHead): boolean {
  const prefix = Buffer.from('302a300506032b6570032100', 'hex')
  const key = createPublicKey({
    key: Buffer.concat([prefix, publicKey]),
    format: 'der',
    type: 'spki',
  })
  return verify(null, concat([encodeUtf8('stronghold/head/1'), encode(head)]), key, signature)
}

describe('a signed head', () => {
  it('verifies, here and elsewhere, and says how far the vault has come', async () => {
    await using vault = await newVault()
    const before = vault.head()
    vault.transaction((tx) => {
      tx.append(Uint8Array.of(1))
      tx.setAuditHead(new Uint8Array(32).fill(5))
    })
    const head = vault.head()
    expect(head).toMatchObject({
      generation: before.generation + 1,
      auditLength: before.auditLength + 1,
      auditHead: new Uint8Array(32).fill(5),
    })
    expect('receipts' in head).toBe(false)
    expect([verifyHead(head), isSigned(head)]).toEqual([true, true])
  })

  it('holds the root over the receipts of its commit, under the same signature', async () => {
    await using vault = await newVault()
    const receipts = new Uint8Array(32).fill(9)
    const head = vault.head(receipts)
    expect(head.receipts).toEqual(receipts)
    expect([verifyHead(head), isSigned(head)]).toEqual([true, true])
    const { receipts: _, ...without } = head
    expect([verifyHead(without), isSigned(without)]).toEqual([false, false])
    expect(verifyHead({ ...head, receipts: new Uint8Array(32) })).toBe(false)
    expect(verifyHead({ ...vault.head(), receipts })).toBe(false)
  })

  it('does not verify with any field changed', async () => {
    await using vault = await newVault()
    const head = vault.head()
    for (const changed of [
      { ...head, vault: new Uint8Array(16) },
      { ...head, epoch: head.epoch + 1 },
      { ...head, generation: head.generation + 1 },
      { ...head, auditHead: new Uint8Array(32).fill(1) },
      { ...head, auditLength: head.auditLength + 1 },
      { ...head, timeMs: head.timeMs + 1 },
      { ...head, publicKey: new Uint8Array(32).fill(1) },
      { ...head, publicKey: new Uint8Array(31) },
      { ...head, signature: new Uint8Array(64) },
      { ...head, signature: new Uint8Array(63) },
    ]) {
      expect(verifyHead(changed)).toBe(false)
    }
  })
})

describe('entries()', () => {
  it('goes on behind an entry that is not what was written there', async () => {
    const store = new MemoryStore()
    await using vault = await newVault(store)
    const first = vault.head().auditLength
    vault.transaction((tx) => {
      for (const byte of [1, 2, 3]) tx.append(Uint8Array.of(byte))
    })
    expect([...vault.entries(first)].map(({ value }) => value)).toEqual([
      Uint8Array.of(1),
      Uint8Array.of(2),
      Uint8Array.of(3),
    ])
    for (const { position, sealed } of store.entries(first + 1, 1)) {
      expect(position).toBe(first + 1)
      sealed.fill(0)
    }
    expect([...vault.entries(first)]).toEqual([
      { position: first, value: Uint8Array.of(1) },
      { position: first + 1 },
      { position: first + 2, value: Uint8Array.of(3) },
    ])
    expect([...vault.entries(first, 1)]).toHaveLength(1)
    expect(vault.entryBytes()).toBeGreaterThan(3)
  })
})
