import { encodeUtf8 } from '@stronghold/core'
import { describe, expect, it } from 'vitest'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { openBackup } from '../../src/backup.ts'
import type { OpenedBackup } from '../../src/backup.ts'
import {
  decrypt,
  encrypt,
  generate,
  narrow,
  revoke,
  retire,
  rotate,
  sign,
} from '../../src/catalog/index.ts'
import { MemoryStore } from '../../src/stores/memory.ts'
import { createVault } from '../../src/vault.ts'
import type { OpenVault } from '../../src/vault.ts'
import { KEY_FILE, newVault } from '../open.ts'
import { directory, everything, fileOf, RECIPIENT, source, textOf } from './_vaults.ts'

const message = encodeUtf8('hello')

async function backedUp(vault: OpenVault): Promise<OpenedBackup> {
  const to = join(directory(), 'backup.age')
  await vault.backup({ to, for: { recipients: [RECIPIENT] } })
  return await openBackup(source(to))
}

async function restored(backup: OpenedBackup): Promise<OpenVault> {
  return await createVault({
    at: new MemoryStore(),
    credential: KEY_FILE,
    from: backup,
    memory: { bytes: 256 * 1024 },
  })
}

describe('a backup made into a new vault', () => {
  it('opens what was encrypted, and encrypts with AES-GCM only after the key was rotated', async () => {
    await using vault = await newVault()
    await vault.run(generate, { to: 'a/gcm', type: 'aes-256-gcm' })
    await vault.run(generate, { to: 'a/x', type: 'xchacha20-poly1305' })
    const { envelope } = await vault.run(encrypt, { key: 'a/gcm', message })
    using backup = await backedUp(vault)
    await using again = await restored(backup)
    expect(await again.run(decrypt, { key: 'a/gcm', envelope })).toEqual({ message })
    await expect(again.run(encrypt, { key: 'a/gcm', message })).rejects.toMatchObject({
      reason: 'key_worn_out',
    })
    await again.run(encrypt, { key: 'a/x', message })
    await again.run(rotate, { key: 'a/gcm' })
    await again.run(encrypt, { key: 'a/gcm', message })
    expect(await again.run(decrypt, { key: 'a/gcm', envelope })).toEqual({ message })
  })

  it('has the rows of a guard and the audit, and goes on counting behind it', async () => {
    await using vault = await newVault()
    vault.transaction((tx) => {
      tx.putSecret(16, Uint8Array.of(1), message)
      for (const value of [1, 2, 3]) tx.append(Uint8Array.of(value))
    })
    vault.transaction((tx) => {
      tx.cutEntries(1)
    })
    using backup = await backedUp(vault)
    await using again = await restored(backup)
    again.transaction((tx) => {
      expect(tx.get(16, Uint8Array.of(1))).toEqual(message)
      expect(tx.epoch).toBe(1)
      expect(tx.append(Uint8Array.of(4))).toBe(3)
    })
    expect([...again.entries()].map(({ position }) => position)).toEqual([1, 2, 3])
  })

  it('is refused where a vault is, and nothing has happened', async () => {
    await using vault = await newVault()
    using backup = await backedUp(vault)
    const store = new MemoryStore()
    await (await newVault(store)).close()
    await expect(
      createVault({ at: store, credential: KEY_FILE, from: backup }),
    ).rejects.toMatchObject({ reason: 'conflict' })
  })

  it('leads to later vaults each in an epoch of its own', async () => {
    await using vault = await newVault()
    using first = await backedUp(vault)
    await using second = await restored(first)
    using later = await backedUp(second)
    await using third = await restored(later)
    expect(third.head()).toMatchObject({ epoch: 2, vault: vault.head().vault })
  })
})

describe('a backup beside a vault', () => {
  it('shows what differs without changing anything, and keeps or replaces it', async () => {
    const store = new MemoryStore()
    await using vault = await newVault(store)
    for (const to of ['same', 'removed', 'rotated', 'narrowed', 'taken']) {
      await vault.run(generate, { to, type: 'ed25519' })
    }
    await vault.store.put('kept', encodeUtf8('old'))
    await vault.store.put('lost', encodeUtf8('x'))
    using backup = await backedUp(vault)
    await vault.run(revoke, { record: 'removed' })
    await vault.run(rotate, { key: 'rotated' })
    await vault.run(narrow, { record: 'narrowed', labels: { egress: 'none' } })
    await vault.run(revoke, { record: 'taken' })
    await vault.run(generate, { to: 'taken', type: 'x25519' })
    await vault.run(generate, { to: 'new', type: 'seed' })
    await vault.store.put('kept', encodeUtf8('new'))
    await vault.store.delete('lost')
    const before = JSON.stringify(await everything(store))
    const difference = await vault.compare(backup)
    expect(difference).toMatchObject({ same: 1, onlyHere: ['new', 'taken'] })
    expect(difference.records.map(({ path, state }) => [path, state])).toEqual([
      ['narrowed', 'changed'],
      ['removed', 'gone'],
      ['rotated', 'changed'],
      ['taken', 'conflict'],
    ])
    expect(difference.records[2]).toMatchObject({ here: [1, 2], backup: [1] })
    expect(difference.entries).toEqual([
      { key: 'kept', state: 'changed' },
      { key: 'lost', state: 'added' },
    ])
    expect(JSON.stringify(await everything(store))).toBe(before)

    expect(await vault.restore(backup)).toEqual({
      added: 0,
      revived: 0,
      changed: 0,
      replaced: 0,
      entries: 1,
      removed: 0,
    })
    expect(await vault.store.get('kept')).toEqual(encodeUtf8('new'))
    expect(await vault.restore(backup, { policy: 'replace' })).toEqual({
      added: 0,
      revived: 1,
      changed: 3,
      replaced: 1,
      entries: 1,
      removed: 0,
    })
    expect(await vault.store.get('kept')).toEqual(encodeUtf8('old'))
    const list = new Map((await vault.list()).map((info) => [info.path, info]))
    // Nothing that only the vault had is gone, and nothing is wider than it was.
    expect(list.get('rotated')?.versions).toEqual([1, 2])
    expect(list.get('narrowed')?.labels.egress).toBe('none')
    expect(list.get('taken')?.type).toBe('ed25519')
    expect(list.has('new')).toBe(true)
    expect(vault.head().epoch).toBe(0)
    await vault.run(sign, { key: 'removed', message, as: { format: 'raw' } } as never)
    expect((await vault.compare(backup)).records.map(({ path }) => path)).toEqual([
      'narrowed',
      'rotated',
    ])
  })

  it('is restored in part where paths are named', async () => {
    await using vault = await newVault()
    for (const to of ['a/1', 'a/2', 'b/1']) await vault.run(generate, { to, type: 'seed' })
    await vault.store.put('k', message)
    using backup = await backedUp(vault)
    await using other = await newVault()
    expect((await other.compare(backup, { paths: 'a/*' })).records).toHaveLength(2)
    expect(await other.restore(backup, { paths: 'a/*' })).toMatchObject({ added: 2, entries: 0 })
    expect((await other.list()).map(({ path }) => path)).toEqual(['a/1', 'a/2'])
    await expect(other.restore(backup, { paths: 'a//' })).rejects.toMatchObject({
      code: 'invalid_argument',
    })
  })

  it('conflicts where a version has other bytes, and the minimum never falls', async () => {
    await using vault = await newVault()
    await vault.run(generate, { to: 'k', type: 'xchacha20-poly1305' })
    using first = await backedUp(vault)
    await using twin = await restored(first)
    await twin.run(rotate, { key: 'k' })
    using theirs = await backedUp(twin)
    await vault.run(rotate, { key: 'k' })
    await vault.run(retire, { record: 'k', below: 2 })
    const { records } = await vault.compare(theirs)
    expect(records).toMatchObject([{ state: 'conflict', why: 'version 2 is another secret' }])
    const { envelope } = await twin.run(encrypt, { key: 'k', message })
    await vault.restore(theirs)
    await expect(vault.run(decrypt, { key: 'k', envelope })).rejects.toThrow()
    await vault.restore(theirs, { policy: 'replace' })
    expect(await vault.run(decrypt, { key: 'k', envelope })).toEqual({ message })
    expect((await vault.list())[0]).toMatchObject({ minimum: 2, versions: [1, 2] })
  })

  it('brings AES-GCM keys that decrypt only, also under a counter that stood here before', async () => {
    await using vault = await newVault()
    await vault.run(generate, { to: 'k', type: 'aes-256-gcm' })
    using backup = await backedUp(vault)
    await vault.run(encrypt, { key: 'k', message })
    await vault.run(revoke, { record: 'k' })
    await vault.restore(backup, { policy: 'replace' })
    await expect(vault.run(encrypt, { key: 'k', message })).rejects.toMatchObject({
      reason: 'key_worn_out',
    })
  })

  it('is all or nothing: past maxRecords nothing was restored', async () => {
    await using vault = await newVault()
    for (const to of ['a', 'b', 'c']) await vault.run(generate, { to, type: 'seed' })
    using backup = await backedUp(vault)
    await using small = await newVault(new MemoryStore(), { limits: { maxRecords: 2 } })
    await expect(small.restore(backup)).rejects.toMatchObject({ code: 'resource_exhausted' })
    expect(await small.list()).toEqual([])
  })
})

describe('a backup whose lines were rewritten by hand', () => {
  const keys = ['ed25519', 'x25519', 'secp256k1', 'p256', 'p384'] as const
  it.each(keys)('%s: a public key of another is refused', async (type) => {
    await using vault = await newVault()
    await vault.run(generate, { to: 'a', type })
    await vault.run(generate, { to: 'b', type })
    const to = join(directory(), 'backup.age')
    await vault.backup({ to, for: { recipients: [RECIPIENT] } })
    const text = await textOf(new Uint8Array(readFileSync(to)))
    const [a, b] = [...text.matchAll(/"public":"([^"]+)"/g)].map(([, found = '']) => found)
    const file = await fileOf(text.replace(a ?? '', b ?? ''))
    await expect(openBackup(source([file]))).rejects.toThrow(
      'line 3: record "a", version 1: its public key is not that of its secret',
    )
  })

  it('a usage that the type does not have, and a secret of another length, are refused', async () => {
    await using vault = await newVault()
    await vault.run(generate, { to: 'a', type: 'ed25519' })
    const to = join(directory(), 'backup.age')
    await vault.backup({ to, for: { recipients: [RECIPIENT] } })
    const text = await textOf(new Uint8Array(readFileSync(to)))
    for (const [from, by, why] of [
      ['"usage":["copy","sign"]', '"usage":["encrypt","sign"]', /a usage that no ed25519 has/],
      [/"secret":"[^"]+"/, '"secret":"AAAA"', /a secret of 3 bytes, which no ed25519 has/],
      ['"type":"ed25519"', '"type":"seed"', /a public key, which its type has not/],
      ['"minimum":1', '"minimum":2', /no version may be used/],
      ['"v":1', '"v":2', /written by a newer version/],
      ['{"stronghold":', '{"stronghol":', /line 1: this is no backup/],
    ] as const) {
      const file = await fileOf(text.replace(from, by))
      await expect(openBackup(source([file]))).rejects.toThrow(why)
    }
    await expect(openBackup(source([await fileOf('')]))).rejects.toThrow(/line 1: the backup ends/)
    await expect(openBackup(source([encodeUtf8('PK\u0003\u0004')]))).rejects.toMatchObject({
      code: 'data_loss',
    })
  })
})
