import { argon2Sync } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'

import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { blake2b } from '@noble/hashes/blake2.js'
import { concat, encodeUtf8 } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { decodeOpenHeader, encodeOpenHeader, encodeUnlocker } from '../src/header.ts'
import type { PassphraseUnlocker, Unlocker } from '../src/header.ts'
import { MAX_KDF_WAITING, MAX_PASSPHRASE_BYTES, MAX_UNLOCKERS } from '../src/limits.ts'
import { Slab } from '../src/secret.ts'
import {
  addUnlocker,
  createUnlocker,
  DEFAULT_KDF,
  removeUnlocker,
  replaceUnlocker,
  unlock,
} from '../src/unlock.ts'
import type { Credential, UnlockerInit } from '../src/unlock.ts'
import { testSlab, VAULT } from './vault-of.ts'

const KDF = { memoryKiB: 19 * 1024, passes: 2 }
const DATA_KEY = new Uint8Array(32).fill(0x44)
const RIGHT: Credential = { passphrase: encodeUtf8('correct horse') }
const WRONG: Credential = { passphrase: encodeUtf8('correct house') }
const KEY_FILE: Credential = { keyFile: new Uint8Array(32).fill(9) }
const FAILED = expect.objectContaining({
  code: 'unauthenticated',
  reason: 'unlock_failed',
}) as Error

async function unlocker(
  credential: Credential,
  init: Partial<UnlockerInit> = {},
): Promise<Unlocker> {
  return await createUnlocker({
    vault: VAULT,
    dataKey: DATA_KEY,
    credential,
    name: 'owner',
    createdAtMs: 1,
    kdf: KDF,
    ...init,
  })
}

function header(...unlockers: Unlocker[]): Uint8Array {
  return encodeOpenHeader({ vault: VAULT, unlockers })
}

function withKdf(kdf: { memoryKiB: number; passes: number }): PassphraseUnlocker {
  return {
    id: new Uint8Array(8),
    kind: 'passphrase',
    name: '',
    createdAtMs: 0,
    kdf: { ...kdf, salt: new Uint8Array(16) },
    wrapped: new Uint8Array(72),
  }
}

describe('unlock()', () => {
  it('gives the data key for every unlocker that fits, side by side', async () => {
    using slab = testSlab()
    const open = header(await unlocker(RIGHT), await unlocker(WRONG), await unlocker(KEY_FILE))
    for (const credential of [RIGHT, WRONG, KEY_FILE]) {
      using key = await unlock(open, credential, slab)
      expect(key.bytes.slice()).toEqual(DATA_KEY)
    }
    expect(slab.used).toBe(0)
  })

  it('fails alike for a wrong passphrase, a wrong key file and every damage', async () => {
    using slab = testSlab()
    const good = await unlocker(RIGHT)
    const file = await unlocker(KEY_FILE)
    const open = header(good, file)
    const errors: unknown[] = []
    const fails = async (bytes: Uint8Array, credential: Credential): Promise<void> => {
      errors.push(
        await unlock(bytes, credential, slab).then(
          () => 'unlocked',
          (e: unknown) => e,
        ),
      )
    }
    await fails(open, WRONG)
    await fails(open, { keyFile: new Uint8Array(32) })
    await fails(new Uint8Array(), RIGHT)
    await fails(open.subarray(1), RIGHT)
    await fails(open.subarray(1), KEY_FILE)
    await fails(header(file), RIGHT)
    await fails(header(good), KEY_FILE)
    await fails(header({ ...good, name: 'other' }), RIGHT)
    const changed = good.wrapped.map((byte, at) => (at === 30 ? byte ^ 1 : byte))
    await fails(header({ ...good, wrapped: changed }), RIGHT)
    await fails(encodeOpenHeader({ vault: VAULT.with(0, 0), unlockers: [good] }), RIGHT)
    for (const error of errors) {
      expect(error).toEqual(FAILED)
      expect((error as Error).message).toBe((errors[0] as Error).message)
    }
    expect(slab.used).toBe(0)
  })

  it('computes a key also where nothing is to be tried', async () => {
    using slab = testSlab()
    const timeOf = async (bytes: Uint8Array): Promise<number> => {
      const start = performance.now()
      await unlock(bytes, WRONG, slab).catch(() => undefined)
      return performance.now() - start
    }
    const wrong = header(await unlocker(RIGHT, { kdf: DEFAULT_KDF }))
    const [honest, broken] = [await timeOf(wrong), await timeOf(new Uint8Array(10))]
    expect(broken).toBeGreaterThan(honest / 4)
  })

  it('leaves the event loop alone and derives one key at a time', async () => {
    using slab = testSlab()
    const open = header(await unlocker(RIGHT, { kdf: DEFAULT_KDF }))
    let turns = 0
    let over = false
    const done = unlock(open, RIGHT, slab).finally(() => {
      over = true
    })
    const second = unlock(open, RIGHT, slab).then((key) => {
      expect(over).toBe(true)
      key.wipe()
    })
    while (!over) {
      turns++
      await setImmediate()
    }
    expect(turns).toBeGreaterThan(3)
    ;(await done).wipe()
    await second
  })

  it('refuses one more than may wait, and goes on afterwards', async () => {
    using slab = testSlab()
    const open = header(await unlocker(RIGHT))
    const waiting = Array.from({ length: MAX_KDF_WAITING }, () => unlock(open, RIGHT, slab))
    await expect(unlock(open, RIGHT, slab)).rejects.toMatchObject({ code: 'resource_exhausted' })
    for (const key of await Promise.all(waiting)) key.wipe()
    ;(await unlock(open, RIGHT, slab)).wipe()
  })

  it('can be called off while it waits', async () => {
    using slab = testSlab()
    const open = header(await unlocker(RIGHT))
    const first = unlock(open, RIGHT, slab)
    const control = new AbortController()
    const second = unlock(open, RIGHT, slab, { signal: control.signal })
    control.abort(new RangeError('enough'))
    await expect(second).rejects.toThrow(RangeError)
    ;(await first).wipe()
  })

  it('outlives a slab that goes while it computes', async () => {
    const slab = testSlab()
    const open = header(await unlocker(RIGHT))
    const running = unlock(open, RIGHT, slab)
    slab[Symbol.dispose]()
    await expect(running).rejects.toThrow(TypeError)
  })

  it('computes nothing with parameters out of bounds', async () => {
    using slab = testSlab()
    for (const kdf of [
      { memoryKiB: 19 * 1024 - 1, passes: 2 },
      { memoryKiB: 19 * 1024, passes: 1 },
      { memoryKiB: 1024 * 1024 + 1, passes: 2 },
      { memoryKiB: 19 * 1024, passes: 17 },
      { memoryKiB: Number.MAX_SAFE_INTEGER, passes: Number.MAX_SAFE_INTEGER },
    ]) {
      await expect(unlocker(RIGHT, { kdf })).rejects.toThrow(RangeError)
      await expect(unlock(header(withKdf(kdf)), RIGHT, slab)).rejects.toEqual(FAILED)
    }
    await expect(unlocker(RIGHT, { kdf: { memoryKiB: 20_000.5, passes: 2 } })).rejects.toThrow(
      RangeError,
    )
  })

  it('takes passphrases of 1 to 1,024 bytes', async () => {
    using slab = testSlab()
    const of = (length: number): Credential => ({ passphrase: new Uint8Array(length).fill(0x61) })
    const open = header(await unlocker(of(1)), await unlocker(of(MAX_PASSPHRASE_BYTES)))
    for (const length of [1, MAX_PASSPHRASE_BYTES]) (await unlock(open, of(length), slab)).wipe()
    for (const length of [0, MAX_PASSPHRASE_BYTES + 1]) {
      await expect(unlocker(of(length))).rejects.toThrow(RangeError)
      await expect(unlock(open, of(length), slab)).rejects.toThrow(RangeError)
    }
  })

  it('wraps as the format says, by other implementations of its primitives', async () => {
    const passphrase = await unlocker(RIGHT)
    const file = await unlocker(KEY_FILE)
    if (passphrase.kind !== 'passphrase' || file.kind !== 'key-file') throw new Error('mixed up')
    const argon = argon2Sync('argon2id', {
      message: encodeUtf8('correct horse'),
      nonce: passphrase.kdf.salt,
      parallelism: 1,
      tagLength: 32,
      memory: passphrase.kdf.memoryKiB,
      passes: passphrase.kdf.passes,
    })
    const blake = blake2b(concat([encodeUtf8('stronghold/key-file/1'), file.salt]), {
      key: new Uint8Array(32).fill(9),
      dkLen: 32,
    })
    for (const [found, key] of [
      [passphrase, argon],
      [file, blake],
    ] as const) {
      const { wrapped } = found
      const associated = concat([encodeUtf8('stronghold/unlocker/1'), VAULT, encodeUnlocker(found)])
      const opened = xchacha20poly1305(
        new Uint8Array(key),
        wrapped.subarray(0, 24),
        associated,
      ).decrypt(wrapped.subarray(24))
      expect(opened).toEqual(DATA_KEY)
    }
  })
})

describe('unlockers', () => {
  it('are added up to eight, replaced and removed, but never the last', async () => {
    const first = await unlocker(KEY_FILE)
    let open = header(first)
    for (let i = 1; i < MAX_UNLOCKERS; i++) open = addUnlocker(open, await unlocker(KEY_FILE))
    expect(decodeOpenHeader(open).unlockers).toHaveLength(MAX_UNLOCKERS)
    expect(() => addUnlocker(open, first)).toThrow(RangeError)
    const other = await unlocker(KEY_FILE, { name: 'other' })
    open = replaceUnlocker(open, first.id, other)
    expect(decodeOpenHeader(open).unlockers[0]?.name).toBe('other')
    expect(() => replaceUnlocker(open, first.id, other)).toThrow('there is none')
    expect(() => removeUnlocker(open, first.id)).toThrow('there is none')
    for (const { id } of decodeOpenHeader(open).unlockers.slice(1)) open = removeUnlocker(open, id)
    expect(() => removeUnlocker(open, other.id)).toThrow('it is the last one')
  })

  it('use secret memory and give it back', async () => {
    using slab = new Slab({ bytes: 4096 })
    const open = header(await unlocker(RIGHT))
    const key = await unlock(open, RIGHT, slab)
    expect(slab.used).toBe(64)
    key.wipe()
    expect(slab.used).toBe(0)
  })
})
