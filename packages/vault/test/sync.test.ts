/** Records from one vault to another: secrets in locked memory, labels kept, forgeries refused. */
import { createVault, MemoryStore } from '../src/index.ts'
import type { OpenVault, SyncChannel, SyncWritten, VaultTransaction } from '../src/index.ts'
import { generate, narrow, revoke, rotate } from '../src/catalog/index.ts'
import { encrypt } from '../src/catalog/index.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const BYTES = (text: string): Uint8Array => new TextEncoder().encode(text)
const INFO = { there: BYTES('to there'), back: BYTES('back') }

let home: OpenVault
let away: OpenVault
let ours: SyncChannel
let theirs: SyncChannel

async function vault(): Promise<OpenVault> {
  const credential = { keyFile: new Uint8Array(32).fill(7) }
  return await createVault({ at: new MemoryStore(), credential, memory: { bytes: 512 * 1024 } })
}

function at<T>(of: OpenVault, body: (tx: VaultTransaction) => T): T {
  return of.transaction(body)
}

/** A record of home's as it would be written, with all secrets sealed. */
function leaving(path: string): SyncWritten {
  return at(home, ({ sync }) => {
    const record = sync.at(path)
    if (record === undefined) throw new Error(`no ${path}`)
    return {
      ...record,
      usage: [...record.labels.usage],
      egress: record.labels.egress,
      versions: record.versions.map(({ number, createdAtMs }) => {
        const publicKey = sync.publicKeyOf(record.id, number)
        return {
          number,
          createdAtMs,
          digest: sync.digest(record.id, number),
          ...(publicKey === undefined ? {} : { publicKey }),
          sealed: sync.seal(ours, record.id, number),
        }
      }),
    }
  })
}

function arrive(written: SyncWritten): void {
  at(away, ({ sync }) => {
    sync.write(theirs, written)
  })
}

function first(written: SyncWritten): SyncWritten['versions'][number] {
  const [version] = written.versions
  if (version === undefined) throw new Error('no version')
  return version
}

beforeEach(async () => {
  home = await vault()
  away = await vault()
  const keys = [home, away].map((of) => at(of, ({ sync }) => sync.publicKey()))
  const [ourKey = new Uint8Array(), theirKey = new Uint8Array()] = keys
  ours = at(home, ({ sync }) =>
    sync.channel({ partner: theirKey, sendInfo: INFO.there, receiveInfo: INFO.back }),
  )
  theirs = at(away, ({ sync }) =>
    sync.channel({ partner: ourKey, sendInfo: INFO.back, receiveInfo: INFO.there }),
  )
  theirs.open(ours.seal(BYTES('hello')))
  const labels = { sync: true }
  await home.run(generate, { to: 'release/app', type: 'ed25519', labels })
  await home.run(generate, { to: 'box/key', type: 'aes-256-gcm', labels })
  await home.run(generate, { to: 'own/key', type: 'ed25519' })
})

afterEach(async () => {
  await home.close()
  await away.close()
})

describe('a sync channel', () => {
  it('opens each message once, in turn, and only what the partner sealed', () => {
    const [one, two] = [ours.seal(BYTES('one')), ours.seal(BYTES('two'))]
    expect(() => theirs.open(two)).toThrow('not sealed for this key')
    expect(new TextDecoder().decode(theirs.open(one))).toBe('one')
    expect(() => theirs.open(one)).toThrow()
    expect(new TextDecoder().decode(theirs.open(two))).toBe('two')
  })

  it('carries nothing for a vault with another key', async () => {
    await using copied = await vault()
    const ourKey = at(home, ({ sync }) => sync.publicKey())
    const channel = at(copied, ({ sync }) =>
      sync.channel({ partner: ourKey, sendInfo: INFO.back, receiveInfo: INFO.there }),
    )
    expect(() => channel.open(ours.seal(BYTES('hello')))).toThrow()
  })

  it('ends when the vault is locked', async () => {
    await home.lock()
    expect(() => ours.seal(BYTES('late'))).toThrow(TypeError)
  })
})

describe('a record that arrives', () => {
  it('has the same secret, labels and public key, and another origin', async () => {
    arrive(leaving('release/app'))
    const [here] = await home.list('release/app')
    const [there] = await away.list('release/app')
    expect(there).toMatchObject({ id: here?.id, labels: here?.labels, publicKey: here?.publicKey })
    expect(there?.origin).toBe('synced')
    const id = Buffer.from(there?.id ?? []).toString('hex')
    const digests = [home, away].map((of) => at(of, ({ sync }) => sync.digest(id, 1)))
    expect(digests[0]).toBe(digests[1])
  })

  it('does not encrypt with AES-GCM until it is rotated', async () => {
    arrive(leaving('box/key'))
    const message = BYTES('hi')
    await expect(away.run(encrypt, { key: 'box/key', message })).rejects.toMatchObject({
      reason: 'key_worn_out',
    })
    await away.run(rotate, { key: 'box/key' })
    await expect(away.run(encrypt, { key: 'box/key', message })).resolves.toBeDefined()
  })

  it('never leaves against its label', () => {
    expect(() => leaving('own/key')).toThrow('its labels do not allow it')
  })

  it('never widens labels, whatever it says', async () => {
    const wide = leaving('release/app')
    arrive(wide)
    await away.run(narrow, { record: 'release/app', labels: { egress: 'none' } })
    arrive(wide)
    expect((await away.list('release/app'))[0]?.labels.egress).toBe('none')
  })

  it('is not written over one that is not to be synchronised', async () => {
    const written = leaving('release/app')
    arrive(written)
    await away.run(narrow, { record: 'release/app', labels: { sync: false } })
    expect(() => {
      arrive(written)
    }).toThrow('its labels do not allow it')
  })

  it('is refused where digest, public key, labels, number or secret are not its own', () => {
    const written = leaving('release/app')
    const version = first(written)
    const other = first(leaving('box/key'))
    const { sealed: _, ...bare } = version
    const bad: Partial<SyncWritten>[] = [
      { versions: [{ ...version, digest: '00'.repeat(16) }] },
      { versions: [{ ...version, publicKey: new Uint8Array(32) }] },
      { versions: [{ ...version, number: 2 }] },
      { versions: [{ ...version, sealed: other.sealed ?? new Uint8Array() }] },
      { versions: [bare] },
      { usage: ['encrypt'] },
      { type: 'hmac-sha2' },
      { id: '00'.repeat(16) },
    ]
    for (const change of bad) {
      expect(
        () => {
          arrive({ ...written, ...change })
        },
        JSON.stringify(Object.keys(change)),
      ).toThrow()
    }
    expect(at(away, ({ sync }) => [...sync.records()])).toEqual([])
  })

  it('takes versions away that are not in it', async () => {
    await home.run(rotate, { key: 'release/app' })
    const both = leaving('release/app')
    arrive(both)
    arrive({ ...both, minimum: 2, versions: both.versions.slice(1) })
    const [there] = await away.list('release/app')
    expect(there).toMatchObject({ versions: [2], minimum: 2 })
  })
})

describe('a record that goes', () => {
  it('leaves a tombstone with the digest of its last version, where it could leave', async () => {
    const id = at(home, ({ sync }) => sync.at('release/app')?.id ?? '')
    const own = at(home, ({ sync }) => sync.at('own/key')?.id ?? '')
    const digest = at(home, ({ sync }) => sync.digest(id, 1))
    await home.run(revoke, { record: 'release/app' })
    await home.run(revoke, { record: 'own/key' })
    expect(at(home, ({ sync }) => sync.tombstone(id))).toMatchObject({ version: 1, last: digest })
    expect(at(home, ({ sync }) => sync.tombstone(own))).not.toHaveProperty('last')
    const { generation } = home.status().head ?? { generation: 0 }
    expect(at(home, ({ sync }) => sync.tombstoneGeneration(own))).toBe(generation)
  })

  it('is buried and released, and set aside where nothing may be lost', () => {
    arrive(leaving('release/app'))
    at(away, ({ sync }) => {
      const id = sync.at('release/app')?.id ?? ''
      const path = sync.setAside(id)
      expect(path).toMatch(/^release\/app\.aside-[0-9a-f]{4}$/)
      expect(sync.at(path)).toMatchObject({ labels: { sync: false } })
      sync.bury(id, { path: 'release/app', removedAtMs: 5, version: 1, last: '11'.repeat(16) })
      expect(sync.at('release/app')).toBeUndefined()
      expect(sync.tombstone(id)).toMatchObject({ removedAtMs: 5 })
      sync.release(id)
      expect([...sync.tombstones()]).toEqual([])
    })
  })
})
