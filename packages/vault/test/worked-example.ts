/**
 * The vault of `docs/vault-format.md §8`: every random byte of it is fixed, so that it comes out the same for ever.
 * Random bytes count: the first that are asked for are all 0x01, the next all 0x02.
 */
import { encode, encodeUtf8, fromHex, toHex } from '@stronghold/core'

import { encodeOpenHeader } from '../src/header.ts'
import { Rows } from '../src/rows.ts'
import { deriveKeys, openedLength, headerAssociated, unseal } from '../src/seal.ts'
import type { Slab } from '../src/secret.ts'
import { MemoryStore } from '../src/stores/memory.ts'
import { createUnlocker } from '../src/unlock.ts'

/** 00 01 … 1f. */
export const DATA_KEY: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => i)
/** a0 a1 … af. */
export const VAULT: Uint8Array = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i)
export const PASSPHRASE: Uint8Array = encodeUtf8('correct horse battery staple')
export const KEY_FILE: Uint8Array = new Uint8Array(32).fill(0x6b)
/** 2026-11-21T12:00:00Z. */
export const NOW_MS = 1_795_262_400_000

/** The names of the example's values, in the order of the document. */
export async function workedExample(
  slab: Slab,
): Promise<{ values: ReadonlyMap<string, Uint8Array>; store: MemoryStore }> {
  let drawn = 0
  const random = (out: Uint8Array): void => {
    out.fill(++drawn)
  }
  const common = { vault: VAULT, dataKey: DATA_KEY, createdAtMs: NOW_MS, random }
  const openHeader = encodeOpenHeader({
    vault: VAULT,
    unlockers: [
      await createUnlocker({
        ...common,
        credential: { passphrase: PASSPHRASE },
        name: 'owner',
        kdf: { memoryKiB: 19_456, passes: 2 },
      }),
      await createUnlocker({ ...common, credential: { keyFile: KEY_FILE }, name: 'spare' }),
    ],
  })
  const keys = deriveKeys(DATA_KEY, slab)
  const values = new Map<string, Uint8Array>([
    ['data key', DATA_KEY],
    ['key 1 row', new Uint8Array(keys.row.bytes)],
    ['key 2 name', new Uint8Array(keys.name.bytes)],
    ['key 3 sum', new Uint8Array(keys.sum.bytes)],
    ['key 4 header', new Uint8Array(keys.header.bytes)],
    ['key 5 audit', new Uint8Array(keys.audit.bytes)],
    ['open', openHeader],
  ])
  const store = new MemoryStore()
  const secret = encodeUtf8('hello')
  const stored = encode({ key: 'motd', value: encodeUtf8('hi'), changedAtMs: NOW_MS })
  const recordId = new Uint8Array(16).fill(0x52)
  const secretId = new Uint8Array([...recordId, 0, 0, 0, 1])
  const entry = encodeUtf8('first entry')
  using rows = Rows.create(store, keys, {
    vault: VAULT,
    openHeader,
    nowMs: () => NOW_MS,
    random,
    first(tx) {
      tx.putSecret(2, secretId, secret)
      tx.append(entry)
      tx.setAuditHead(new Uint8Array(32).fill(0xee))
      tx.putPlain(1, encodeUtf8('box'), fromHex('c0ffee'))
    },
  })
  const storeId = rows.id(5, 'motd')
  rows.transaction((tx) => {
    tx.put(5, storeId, stored)
  })
  const header = store.header()
  if (header === undefined) throw new Error('no header')
  const opened = new Uint8Array(openedLength(header.sealed))
  unseal(keys.header, headerAssociated(VAULT, header.open), header.sealed, opened)
  values.set('secret id', secretId)
  values.set('secret', secret)
  values.set('secret sealed', store.row(2, secretId)?.sealed ?? secret)
  values.set('store id', storeId)
  values.set('store', stored)
  values.set('store sealed', store.row(5, storeId)?.sealed ?? secret)
  values.set('entry', entry)
  values.set('entry sealed', [...store.entries(0)][0]?.sealed ?? secret)
  values.set('header', opened)
  values.set('header sealed', header.sealed)
  return { values, store }
}

/** The values as the document prints them: a name, then hex in lines of 32 bytes. */
export function printed(values: ReadonlyMap<string, Uint8Array>): string {
  let text = ''
  for (const [name, bytes] of values) {
    text += `${name}\n`
    for (let i = 0; i < bytes.byteLength; i += 32) text += `  ${toHex(bytes.subarray(i, i + 32))}\n`
  }
  return text
}
