/** A vault from being made to being closed: batches, locking, unlockers, the plain store, and a disk that fails. */
import { manualClock } from '@stronghold/testkit'
import { afterEach, describe, expect, test } from 'vitest'

import { gc, generate, mac, pub, random } from '../src/catalog/index.ts'
import { isVaultError, VaultError } from '../src/errors.ts'
import { verifyHead } from '../src/head.ts'
import { MAX_REASON_LENGTH, MAX_STORE_KEY_BYTES } from '../src/limits.ts'
import { MemoryStore } from '../src/stores/memory.ts'
import type { Change } from '../src/stores/store.ts'
import { openVault } from '../src/vault.ts'
import type { OpenVault } from '../src/vault.ts'
import { CHEAP, KEY_FILE, newVault, passphrase } from './open.ts'

/** A store that counts commits, folds and failures that a test orders. */
class CountingStore extends MemoryStore {
  commits = 0
  compactions = 0
  failing: VaultError | undefined
  /** Whether what fails is there all the same. */
  late = false

  override commit(change: Change): void {
    this.commits++
    if (this.failing !== undefined && !this.late) throw this.failing
    super.commit(change)
    if (this.failing !== undefined) throw this.failing
  }

  override compact(): void {
    this.compactions++
    if (this.failing !== undefined) throw this.failing
  }

  override close(): void {}
}

const opened: OpenVault[] = []
afterEach(async () => {
  for (const vault of opened.splice(0)) await vault.close()
})
async function vaultOf(...args: Parameters<typeof newVault>): Promise<OpenVault> {
  const vault = await newVault(...args)
  opened.push(vault)
  return vault
}
async function failure(
  of: Promise<unknown>,
): Promise<{ code: string; reason: string | undefined }> {
  const error: unknown = await of.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!isVaultError(error)) throw error ?? new Error('it did not fail')
  return { code: error.code, reason: error.reason }
}

const seed = (to: string) => ({ type: 'seed', to }) as const
const locked = { code: 'failed_precondition', reason: 'locked' }

describe('a batch', () => {
  test('is what was submitted in one turn of the event loop: one commit for all', async () => {
    const store = new CountingStore()
    const vault = await vaultOf(store)
    const before = store.commits
    await Promise.all(Array.from({ length: 64 }, (_, i) => vault.run(generate, seed(`n${i}`))))
    expect(store.commits).toBe(before + 1)
    // Also what this turn leads to without waiting.
    const later = Promise.resolve().then(() => vault.run(generate, seed('later')))
    await Promise.all([
      vault.run(generate, seed('now')),
      later,
      vault.store.put('k', Uint8Array.of(1)),
    ])
    expect(store.commits).toBe(before + 2)
  })

  test('that changes nothing writes nothing', async () => {
    const store = new CountingStore()
    const vault = await vaultOf(store)
    await vault.run(generate, { type: 'hmac-sha2', to: 'a' })
    const before = store.commits
    await vault.run(mac, { key: 'a', message: new Uint8Array(3) })
    await vault.run(random, { length: 8 })
    await vault.store.get('none')
    await vault.list()
    await failure(vault.run(pub, { key: 'none' }))
    expect(store.commits).toBe(before)
  })

  test('maxQueuedRuns: as many wait, not one more', async () => {
    const vault = await vaultOf(new MemoryStore(), { limits: { maxQueuedRuns: 2 } })
    const runs = [1, 2, 3].map((length) => vault.run(random, { length }))
    expect((await Promise.allSettled(runs)).map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
    ])
    expect((await failure(runs[2]!)).code).toBe('resource_exhausted')
    await vault.run(random, { length: 1 })
  })

  test('whose commit fails answers nobody, and the vault goes on from what the disk says', async () => {
    for (const late of [false, true]) {
      const store = new CountingStore()
      const vault = await vaultOf(store)
      await vault.run(generate, seed('before'))
      store.failing = new VaultError('unavailable', 'Cannot write: the disk failed', {
        reason: 'disk_failed',
      })
      store.late = late
      const runs = [vault.run(generate, seed('a')), vault.run(random, { length: 1 })]
      for (const run of runs) expect(await failure(run)).toMatchObject({ reason: 'disk_failed' })
      store.failing = undefined
      const paths = (await vault.list()).map(({ path }) => path)
      expect(paths).toEqual(late ? ['a', 'before'] : ['before'])
      await vault.run(generate, seed('after'))
      expect(vault.status().records).toBe(late ? 3 : 2)
    }
  })

  test('folds files once it is committed, for those who asked', async () => {
    const store = new CountingStore()
    const vault = await vaultOf(store)
    await Promise.all([vault.run(gc, {}), vault.run(gc, {}), vault.run(generate, seed('a'))])
    expect(store.compactions).toBe(1)
    store.failing = new VaultError('resource_exhausted', 'Cannot fold: full', {
      reason: 'disk_full',
    })
    const runs = [vault.run(gc, {}), vault.run(random, { length: 1 })] as const
    expect(await failure(runs[0])).toMatchObject({ reason: 'disk_full' })
    await runs[1]
  })

  test('a deadline that has passed by the time of the batch ends a run before it is done', async () => {
    const clock = manualClock()
    const vault = await vaultOf(new MemoryStore(), {}, { clock })
    const run = vault.run(generate, seed('a'), { timeoutMs: 10 })
    const other = vault.run(generate, seed('b'), { timeoutMs: 11 })
    clock.advance(10)
    expect((await failure(run)).code).toBe('deadline_exceeded')
    await other
  })

  test('a reason is at most MAX_REASON_LENGTH characters long', async () => {
    const vault = await vaultOf()
    await vault.run(random, { length: 1 }, { reason: 'x'.repeat(MAX_REASON_LENGTH) })
    const longer = vault.run(random, { length: 1 }, { reason: 'x'.repeat(MAX_REASON_LENGTH + 1) })
    await expect(longer).rejects.toThrow(RangeError)
  })
})

describe('locking', () => {
  test('lets what was submitted finish, then refuses, then unlocks to the same', async () => {
    const vault = await vaultOf()
    const run = vault.run(generate, seed('a'))
    const lock = vault.lock()
    await run
    await lock
    expect(vault.state).toBe('locked')
    expect(await failure(vault.run(pub, { key: 'a' }))).toEqual(locked)
    expect(await failure(vault.store.get('a'))).toEqual(locked)
    expect(await failure(vault.list())).toEqual(locked)
    expect(() => vault.head()).toThrow(/locked/)
    expect(vault.status()).not.toHaveProperty('head')
    await vault.lock()
    expect(await failure(vault.unlock({ keyFile: new Uint8Array(32) }))).toEqual({
      code: 'unauthenticated',
      reason: 'unlock_failed',
    })
    await vault.unlock(KEY_FILE)
    expect((await failure(vault.unlock(KEY_FILE))).code).toBe('failed_precondition')
    expect((await vault.list()).map(({ path }) => path)).toEqual(['a'])
  })

  test('comes by itself when nobody used the vault', async () => {
    const clock = manualClock()
    const vault = await vaultOf(new MemoryStore(), { autoLockMs: 1000 }, { clock })
    clock.advance(999)
    await vault.run(random, { length: 1 })
    clock.advance(999)
    expect(vault.state).toBe('unlocked')
    clock.advance(1)
    await vault.lock() // behind the one that the timer began
    expect(vault.state).toBe('locked')
    expect(clock.timers).toBe(0)
    await vault.unlock(KEY_FILE)
    await vault.lock()
    expect(clock.timers).toBe(0)
  })

  test('close lets go; again does nothing; whatever comes after is refused', async () => {
    const store = new MemoryStore()
    const vault = await vaultOf(store)
    await Promise.all([vault.close(), vault.close()])
    await vault.close()
    expect(vault.state).toBe('closed')
    expect((await failure(vault.run(random, { length: 1 }))).code).toBe('failed_precondition')
    expect((await failure(vault.unlock(KEY_FILE))).code).toBe('failed_precondition')
    expect(() => vault.status()).toThrow(/closed/)
  })

  test('there is one vault in a store, and none where none was made', async () => {
    const store = new CountingStore()
    expect((await failure(openVault({ at: store }))).code).toBe('not_found')
    await vaultOf(store)
    expect(await failure(newVault(store))).toMatchObject({ reason: 'conflict' })
  })

  test('init that does not hold together is misuse', async () => {
    await expect(newVault(new MemoryStore(), { limits: { maxRecords: 0 } })).rejects.toThrow(
      RangeError,
    )
    await expect(newVault(new MemoryStore(), { autoLockMs: 0.5 })).rejects.toThrow(RangeError)
  })
})

describe('the head', () => {
  test('is signed, grows with each commit, and keeps its key', async () => {
    const vault = await vaultOf()
    const first = vault.head()
    expect(verifyHead(first)).toBe(true)
    await vault.run(generate, seed('a'))
    await vault.lock()
    await vault.unlock(KEY_FILE)
    const second = vault.status().head!
    expect(second.generation).toBe(first.generation + 1)
    expect(second.publicKey).toEqual(first.publicKey)
    expect(verifyHead(second)).toBe(true)
    expect(verifyHead({ ...second, generation: second.generation + 1 })).toBe(false)
    expect(verifyHead({ ...second, signature: new Uint8Array(63) })).toBe(false)
  })
})

describe('unlockers', () => {
  const old = passphrase('the first one')
  const next = passphrase('the second one')

  test('are added and taken away, never the last; whoever adds one proves that he may', async () => {
    const vault = await vaultOf()
    const [first] = vault.unlockers.list()
    expect(first).toMatchObject({ kind: 'key-file', name: 'key file' })
    const added = { credential: old, kdf: CHEAP, name: 'mine' }
    const wrong = { keyFile: new Uint8Array(32) }
    expect(await failure(vault.unlockers.add(wrong, added))).toMatchObject({
      reason: 'unlock_failed',
    })
    const info = await vault.unlockers.add(KEY_FILE, added)
    expect(vault.unlockers.list()).toEqual([first, info])
    expect(info).toMatchObject({ kind: 'passphrase', name: 'mine', kdf: CHEAP })
    await vault.unlockers.remove(first!.id)
    expect((await failure(vault.unlockers.remove(first!.id))).code).toBe('not_found')
    expect((await failure(vault.unlockers.remove(info.id))).code).toBe('failed_precondition')
    await vault.lock()
    expect(await failure(vault.unlock(KEY_FILE))).toMatchObject({ reason: 'unlock_failed' })
    expect(await failure(vault.unlockers.remove(info.id))).toEqual(locked)
    await vault.unlock(old)
  })

  test('a passphrase is changed by wrapping anew; nothing else is written', async () => {
    const vault = await vaultOf()
    const { id } = await vault.unlockers.add(KEY_FILE, {
      credential: old,
      kdf: CHEAP,
      name: 'mine',
    })
    const changed = await vault.unlockers.change(old, { credential: next, kdf: CHEAP })
    expect(changed).toMatchObject({ name: 'mine' })
    expect(changed.id).not.toBe(id)
    await vault.lock()
    expect(await failure(vault.unlock(old))).toMatchObject({ reason: 'unlock_failed' })
    await vault.unlock(next)
  })

  test('rekey seals everything anew, for those whose credential is given', async () => {
    const store = new CountingStore()
    const vault = await vaultOf(store)
    await vault.unlockers.add(KEY_FILE, { credential: old, kdf: CHEAP })
    const { record } = await vault.run(generate, { type: 'ed25519', to: 'a' })
    await vault.store.put('k', Uint8Array.of(1))
    const before = [...store.rows()].map(({ sealed }) => sealed)
    await expect(vault.unlockers.rekey([])).rejects.toThrow(RangeError)
    expect(await vault.unlockers.rekey([KEY_FILE])).toMatchObject([{ kind: 'key-file' }])
    for (const { sealed } of store.rows()) expect(before).not.toContainEqual(sealed)
    expect((await vault.run(pub, { key: 'a' })).publicKey).toEqual(record.publicKey)
    expect(await vault.store.get('k')).toEqual(Uint8Array.of(1))
    await vault.lock()
    expect(await failure(vault.unlock(old))).toMatchObject({ reason: 'unlock_failed' })
    await vault.unlock(KEY_FILE)
    expect((await vault.run(pub, { key: 'a' })).publicKey).toEqual(record.publicKey)
  })
})

describe('the plain store', () => {
  const one = Uint8Array.of(1)

  test('gives what was put, lists without values, forgets what was deleted', async () => {
    const vault = await vaultOf()
    await Promise.all([vault.store.put('b/1', one), vault.store.put('a', new Uint8Array(5))])
    await vault.store.put('b/1', Uint8Array.of(2))
    expect(await vault.store.get('b/1')).toEqual(Uint8Array.of(2))
    expect(await vault.store.get('c')).toBeUndefined()
    expect(await vault.store.list()).toMatchObject([
      { key: 'a', length: 5 },
      { key: 'b/1', length: 1 },
    ])
    expect(await vault.store.list('b')).toHaveLength(1)
    await vault.lock()
    await vault.unlock(KEY_FILE)
    expect(await vault.store.delete('a')).toBe(true)
    expect(await vault.store.delete('a')).toBe(false)
    expect(await vault.store.get('b/1')).toEqual(Uint8Array.of(2))
  })

  test('forgets when the lifetime is over, also where the clock runs back', async () => {
    const clock = manualClock()
    const vault = await vaultOf(new MemoryStore(), {}, { clock })
    await vault.store.put('a', one, { lifetimeMs: 100 })
    clock.advance(99)
    expect(await vault.store.get('a')).toEqual(one)
    expect(await vault.store.list()).toMatchObject([{ expiresAtMs: clock.nowMs() + 1 }])
    clock.advance(1)
    expect(await vault.store.get('a')).toBeUndefined()
    clock.advance(-50)
    expect(await vault.store.get('a')).toBeUndefined()
    expect(await vault.store.list()).toEqual([])
    expect(await vault.store.delete('a')).toBe(false)
    for (const lifetimeMs of [0, -1, 1.5, Infinity]) {
      expect((await failure(vault.store.put('a', one, { lifetimeMs }))).code).toBe(
        'invalid_argument',
      )
    }
    await vault.store.put('b', one, { lifetimeMs: Number.MAX_SAFE_INTEGER })
    expect(await vault.store.get('b')).toEqual(one)
  })

  test('maxStoreEntries: as many, not one more; what is over makes room', async () => {
    const clock = manualClock()
    const vault = await vaultOf(new MemoryStore(), { limits: { maxStoreEntries: 2 } }, { clock })
    await Promise.all([vault.store.put('a', one, { lifetimeMs: 10 }), vault.store.put('b', one)])
    expect((await failure(vault.store.put('c', one))).code).toBe('resource_exhausted')
    await vault.store.put('b', Uint8Array.of(2))
    clock.advance(10)
    await vault.store.put('c', one)
    expect((await vault.store.list()).map(({ key }) => key)).toEqual(['b', 'c'])
  })

  test('maxStoreValueBytes, MAX_STORE_KEY_BYTES: as long, not one byte longer', async () => {
    const vault = await vaultOf(new MemoryStore(), { limits: { maxStoreValueBytes: 100 } })
    const key = 'ä'.repeat(MAX_STORE_KEY_BYTES / 2)
    await vault.store.put(key, new Uint8Array(100))
    const refused = [
      vault.store.put(`${key}x`, one),
      vault.store.put('', one),
      vault.store.put('\ud800', one),
      vault.store.put('a', new Uint8Array(101)),
      vault.store.put('a', 'text' as never),
      vault.store.get(`${key}x`),
    ]
    for (const one of refused) expect((await failure(one)).code).toBe('invalid_argument')
    expect((await vault.store.get(key))?.byteLength).toBe(100)
  })
})

describe('a transaction for a guard', () => {
  test('decides, runs and writes its own rows in one commit, or nothing of it', async () => {
    const store = new CountingStore()
    const vault = await vaultOf(store)
    const chain = vault.read([{ procedure: generate, input: seed('a') }])
    const id = Uint8Array.of(1)
    const before = store.commits
    const entry = Uint8Array.of(9)
    expect(() =>
      vault.transaction((tx) => {
        tx.run(chain)
        tx.put(16, id, entry)
        tx.append(entry)
        throw new RangeError('no')
      }),
    ).toThrow('no')
    expect(store.commits).toBe(before)
    const committed: string[] = []
    vault.transaction((tx) => {
      expect(tx.find('a')).toBeUndefined()
      tx.savepoint(() => tx.run(chain))
      expect(tx.find('a')).toMatchObject({ path: 'a', version: 1 })
      tx.put(16, tx.rowId(16, 'name'), entry)
      tx.putSecret(17, id, entry)
      tx.putPlain(18, id, entry)
      expect(tx.append(entry)).toBe(0)
      tx.setAuditHead(new Uint8Array(32).fill(1))
      tx.afterCommit(() => committed.push('committed'))
      expect(committed).toEqual([])
    })
    expect(store.commits).toBe(before + 1)
    expect(committed).toEqual(['committed'])
    expect(vault.head()).toMatchObject({ auditLength: 1 })
    vault.transaction((tx) => {
      expect(tx.get(16, tx.rowId(16, 'name'))).toEqual(entry)
      using secret = tx.open(17, id)
      expect(secret?.bytes).toEqual(entry)
      expect([...tx.rows(16)]).toHaveLength(1)
      expect([...tx.plainRows(18)]).toHaveLength(1)
      tx.remove(16, tx.rowId(16, 'name'))
      tx.removePlain(18, id)
      expect(tx.getPlain(18, id)).toBeUndefined()
      for (const touch of [
        () => tx.get(1, id),
        () => tx.open(2, id),
        () => {
          tx.put(6, id, entry)
        },
      ]) {
        expect(touch).toThrow(RangeError)
      }
    })
  })
})

describe('readable rows', () => {
  const id = Uint8Array.of(1)
  const row = { kind: 16, id, value: Uint8Array.of(7) }

  test('are read and written while the vault is locked, and by transactions while it is not', async () => {
    const vault = await vaultOf()
    vault.transaction((tx) => {
      tx.putPlain(1, id, Uint8Array.of(5))
    })
    for (const touch of [
      () => vault.plainRows(16),
      () => {
        vault.commitPlain([row], [])
      },
    ]) {
      expect(touch).toThrow(/unlocked/)
    }
    await vault.lock()
    expect(vault.plainRows(1)).toEqual([{ id, value: Uint8Array.of(5) }])
    vault.commitPlain([row, { ...row, id: Uint8Array.of(2) }], [])
    vault.commitPlain([], [{ kind: 16, id: Uint8Array.of(2) }])
    expect(vault.plainRows(16)).toEqual([{ id, value: row.value }])
    await vault.unlock(KEY_FILE)
    vault.transaction((tx) => {
      expect([...tx.plainRows(16)]).toEqual([{ kind: 16, id, value: row.value }])
      tx.removePlain(16, id)
    })
    await vault.lock()
    expect(vault.plainRows(16)).toEqual([])
    await vault.close()
    expect(() => vault.plainRows(16)).toThrow(/closed/)
  })

  test('of the kinds that unlocking checks do not change while the vault is locked', async () => {
    const store = new MemoryStore()
    const vault = await vaultOf(store)
    vault.transaction((tx) => {
      tx.putPlain(1, id, Uint8Array.of(5))
    })
    await vault.lock()
    for (const kind of [0, 1, 15, 64]) {
      expect(() => {
        vault.commitPlain([{ kind, id, value: id }], [])
      }).toThrow(RangeError)
    }
    expect(() => {
      vault.commitPlain([{ kind: 16, id: new Uint8Array(), value: id }], [])
    }).toThrow(RangeError)
    store.commit({
      put: [],
      remove: [],
      plainPut: [{ kind: 1, id, value: Uint8Array.of(6) }],
      plainRemove: [],
      entries: [],
      cutEntriesBefore: 0,
      header: () => store.header()!,
    })
    expect(await failure(vault.unlock(KEY_FILE))).toMatchObject({ reason: 'damaged' })
  })

  test('are read again where nobody knows whether they were written', async () => {
    let reopened = 0
    let failing: VaultError | undefined
    class FailingStore extends MemoryStore {
      override commitPlain(...change: Parameters<MemoryStore['commitPlain']>): void {
        if (failing !== undefined) throw failing
        super.commitPlain(...change)
      }
      override reopen(): void {
        reopened++
      }
    }
    const vault = await vaultOf(new FailingStore())
    await vault.lock()
    for (const [reason, times] of [
      ['disk_full', 0],
      ['disk_failed', 1],
    ] as const) {
      failing = new VaultError('unavailable', 'no', { reason })
      expect(() => {
        vault.commitPlain([row], [])
      }).toThrow('no')
      failing = undefined
      expect(vault.plainRows(16)).toEqual([])
      expect(reopened).toBe(times)
    }
    vault.commitPlain([row], [])
    expect(vault.plainRows(16)).toHaveLength(1)
  })
})
