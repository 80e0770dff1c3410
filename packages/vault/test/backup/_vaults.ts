/** Vaults with something of everything in them, an identity to back them up for, and all that a vault holds as text. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { decode, encodeUtf8, toHex } from '@stronghold/core'
import { onTestFinished } from 'vitest'

import type { BackupSource } from '../../src/backup.ts'
import {
  encrypt,
  generate,
  importSecret,
  narrow,
  RECORD_TYPES,
  retire,
  revoke,
  rotate,
} from '../../src/catalog/index.ts'
import type { RecordType } from '../../src/catalog/index.ts'
import { decryptAge, encryptAge } from '../../src/formats/age.ts'
import { publicKey } from '../../src/primitives/x25519.ts'
import { Rows } from '../../src/rows.ts'
import { deriveKeys } from '../../src/seal.ts'
import { Slab } from '../../src/secret.ts'
import type { Store } from '../../src/stores/store.ts'
import { unlock } from '../../src/unlock.ts'
import type { OpenVault } from '../../src/vault.ts'
import { KEY_FILE, newVault } from '../open.ts'
import { IDENTITY, SECRET_KEY } from './_identity.ts'

export { IDENTITY, RECIPIENT } from './_identity.ts'

/** A directory that goes when the test ends. */
export function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'stronghold-backup-'))
  onTestFinished(() => {
    rmSync(path, { recursive: true, force: true })
  })
  return path
}

/** A file as a source. */
export function source(from: BackupSource['from']): BackupSource {
  return { from, identity: IDENTITY }
}

/** What is inside a backup. */
export async function textOf(file: Uint8Array): Promise<string> {
  using slab = new Slab({ bytes: 256 * 1024 })
  const parts: Buffer[] = []
  const identity = { type: 'x25519', secretKey: SECRET_KEY } as const
  for await (const part of decryptAge(slab, [identity], [file])) parts.push(Buffer.from(part))
  return Buffer.concat(parts).toString()
}

/** A backup with that inside. */
export async function fileOf(text: string | Uint8Array): Promise<Uint8Array> {
  using slab = new Slab({ bytes: 256 * 1024 })
  const parts: Uint8Array[] = []
  const recipient = { type: 'x25519', publicKey: publicKey(SECRET_KEY) } as const
  const plaintext = typeof text === 'string' ? encodeUtf8(text) : text
  for await (const part of encryptAge(slab, [recipient], [plaintext])) parts.push(part)
  return new Uint8Array(Buffer.concat(parts))
}

/** One thing that is done to a vault. */
export type Act =
  | { do: 'generate'; path: string; type: RecordType }
  | { do: 'import'; path: string; secret: Uint8Array }
  | { do: 'rotate' | 'revoke' | 'narrow' | 'encrypt' | 'retire' | 'trim'; at: number }
  | { do: 'put'; key: string; value: Uint8Array; lifetimeMs: number | undefined }
  | { do: 'row' | 'plain'; kind: number; id: number; value: Uint8Array }
  | { do: 'append'; value: Uint8Array }
  | { do: 'cut' }

/** Does it; what the vault refuses has not happened. */
export async function act(vault: OpenVault, acts: readonly Act[]): Promise<void> {
  for (const one of acts) {
    const paths = (await vault.list()).map(({ path }) => path)
    const path = 'at' in one ? paths[one.at % Math.max(paths.length, 1)] : undefined
    if ('at' in one && path === undefined) continue
    const key = path ?? ''
    try {
      await perform(vault, one, key)
    } catch (error) {
      if ((error as { name?: string }).name !== 'VaultError') throw error
    }
  }
}

async function perform(vault: OpenVault, one: Act, key: string): Promise<void> {
  switch (one.do) {
    case 'generate':
      await vault.run(generate, { to: one.path, type: one.type })
      break
    case 'import':
      await vault.run(importSecret, {
        to: one.path,
        as: { format: 'raw', type: 'opaque' },
        secret: Uint8Array.from(one.secret),
      })
      break
    case 'rotate':
      await vault.run(rotate, { key })
      break
    case 'revoke':
      await vault.run(revoke, { record: key })
      break
    case 'narrow':
      await vault.run(narrow, { record: key, labels: { egress: 'public' } })
      break
    case 'encrypt':
      await vault.run(encrypt, { key, message: encodeUtf8('hello') })
      break
    case 'retire':
    case 'trim': {
      const [info] = await vault.list(key)
      const below = info?.version ?? 1
      await vault.run(retire, { record: key, below, remove: one.do === 'trim' })
      break
    }
    case 'put': {
      const { lifetimeMs } = one
      await vault.store.put(one.key, one.value, lifetimeMs === undefined ? {} : { lifetimeMs })
      break
    }
    case 'row':
      vault.transaction((tx) => {
        tx.putSecret(one.kind, Uint8Array.of(one.id), one.value)
      })
      break
    case 'plain':
      vault.transaction((tx) => {
        tx.putPlain(one.kind, Uint8Array.of(one.id), one.value)
      })
      break
    case 'append':
      vault.transaction((tx) => {
        tx.append(one.value)
        tx.setAuditHead(new Uint8Array(32).fill(one.value.byteLength))
      })
      break
    case 'cut':
      vault.transaction((tx) => {
        const position = tx.append(encodeUtf8('cut'))
        tx.cutEntries(position)
      })
  }
}

/** Something of everything. */
export const SOME: readonly Act[] = [
  ...RECORD_TYPES.map((type) => ({ do: 'generate' as const, path: `keys/${type}`, type })),
  { do: 'generate', path: 'gone/key', type: 'ed25519' },
  { do: 'import', path: 'a/secret', secret: new Uint8Array(3000).fill(0x73) },
  { do: 'rotate', at: 3 },
  { do: 'rotate', at: 4 },
  { do: 'rotate', at: 4 },
  { do: 'retire', at: 4 },
  { do: 'rotate', at: 5 },
  { do: 'trim', at: 5 },
  { do: 'narrow', at: 7 },
  { do: 'revoke', at: 1 },
  { do: 'put', key: 'motd', value: encodeUtf8('hi'), lifetimeMs: undefined },
  { do: 'put', key: 'Ünï "quoted" \\ 𝔎', value: new Uint8Array(), lifetimeMs: 1e9 },
  { do: 'row', kind: 16, id: 1, value: encodeUtf8('rules') },
  { do: 'row', kind: 63, id: 1, value: new Uint8Array(700).fill(1) },
  { do: 'plain', kind: 1, id: 1, value: encodeUtf8('bound') },
  { do: 'plain', kind: 24, id: 1, value: new Uint8Array() },
  { do: 'append', value: encodeUtf8('first') },
  { do: 'append', value: encodeUtf8('second') },
  { do: 'cut' },
  { do: 'append', value: new Uint8Array() },
]

/** Does all of `SOME` to a new vault; fails where one of it was refused. */
export async function someVault(store: Store): Promise<OpenVault> {
  const vault = await newVault(store)
  await act(vault, SOME)
  const gcm = 'keys/aes-256-gcm'
  await vault.run(encrypt, { key: gcm, message: encodeUtf8('hello') })
  const records = await vault.list()
  if (records.length !== RECORD_TYPES.length + 1) throw new Error('not all was done')
  if (records.reduce((sum, { versions }) => sum + versions.length, 0) !== records.length + 3) {
    throw new Error('not all was rotated')
  }
  return vault
}

/** All that lies in a vault, with names in the place of keyed hashes. Read with nothing that backups use. */
export async function everything(store: Store): Promise<Record<string, unknown>> {
  using slab = new Slab({ bytes: 2 * 1024 * 1024 })
  const header = store.header()
  if (header === undefined) throw new Error('there is no vault')
  using dataKey = await unlock(header.open, KEY_FILE, slab)
  using rows = Rows.open(store, deriveKeys(dataKey.bytes, slab))
  const all: Record<string, unknown> = {}
  for (let kind = 1; kind < 64; kind++) {
    for (const { id, value } of rows.list(kind)) {
      if (kind === 1) {
        const record = decode(value) as { path: string }
        all[`record ${record.path}`] = record
      } else if (kind === 5) {
        const entry = decode(value) as { key: string }
        all[`entry ${entry.key}`] = entry
      } else all[`${kind} ${toHex(id)}`] = toHex(value)
    }
    for (const { id, value } of rows.listPlain(kind)) all[`plain ${kind} ${toHex(id)}`] = value
  }
  for (const { position, value } of rows.entries(0)) all[`audit ${position}`] = toHex(value)
  const { vault, epoch, auditHead, auditLength, createdAtMs } = rows.head()
  return { ...all, head: { vault, epoch, auditHead, auditLength, createdAtMs } }
}
