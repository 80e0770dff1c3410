import { readFileSync } from 'node:fs'

import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { hmac } from '@noble/hashes/hmac.js'
import { blake2b } from '@noble/hashes/blake2.js'
import { sha512 } from '@noble/hashes/sha2.js'
import { concat, encodeUtf8, fromHex } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { decodeOpenHeader, decodeSealedHeader } from '../src/header.ts'
import { Rows } from '../src/rows.ts'
import { deriveKeys } from '../src/seal.ts'
import { unlock } from '../src/unlock.ts'
import { testSlab } from './vault-of.ts'
import { DATA_KEY, KEY_FILE, PASSPHRASE, printed, VAULT, workedExample } from './worked-example.ts'

const FORMAT = readFileSync(new URL('../../../docs/vault-format.md', import.meta.url), 'utf8')

/** The values that the document gives. */
function documented(): { text: string; values: Map<string, Uint8Array> } {
  const text = /## 8\. Worked example[^]*?```\n([^]*?)```/.exec(FORMAT)?.[1] ?? ''
  const values = new Map<string, Uint8Array>()
  let name = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('  ')) {
      values.set(name, concat([values.get(name) ?? new Uint8Array(), fromHex(line.trim())]))
    } else name = line
  }
  return { text, values }
}

const u64 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes
}

describe('the worked example of the format', () => {
  it('is what this program writes', async () => {
    using slab = testSlab()
    const { values } = await workedExample(slab)
    expect(documented().text).toBe(printed(values))
  })

  it('opens with the passphrase and with the key file, and says what it should', async () => {
    using slab = testSlab()
    const { store } = await workedExample(slab)
    const open = documented().values.get('open') ?? new Uint8Array()
    expect(decodeOpenHeader(open).unlockers.map(({ name }) => name)).toEqual(['owner', 'spare'])
    for (const credential of [{ passphrase: PASSPHRASE }, { keyFile: KEY_FILE }]) {
      using dataKey = await unlock(open, credential, slab)
      expect(dataKey.bytes.slice()).toEqual(DATA_KEY)
      using rows = Rows.open(store, deriveKeys(dataKey.bytes, slab))
      expect(rows.head()).toMatchObject({ generation: 2, rows: 2, auditLength: 1, epoch: 0 })
      expect(rows.get(5, rows.id(5, 'motd'))).toEqual(documented().values.get('store'))
    }
  })

  it('is read by other implementations of its primitives, from the text of the document alone', () => {
    const { values } = documented()
    const of = (name: string): Uint8Array => values.get(name) ?? new Uint8Array()
    const names = ['row', 'name', 'sum', 'header', 'audit']
    const subkeys = names.map((_, i) =>
      blake2b(new Uint8Array(), {
        key: of('data key'),
        dkLen: 32,
        salt: concat([new Uint8Array([i + 1]), new Uint8Array(15)]),
        personalization: concat([encodeUtf8('shvault1'), new Uint8Array(8)]),
      }),
    )
    names.forEach((name, i) => {
      expect(of(`key ${i + 1} ${name}`)).toEqual(subkeys[i])
    })
    const open = (key: Uint8Array, associated: Uint8Array[], sealed: Uint8Array): Uint8Array =>
      xchacha20poly1305(key, sealed.subarray(0, 24), concat(associated)).decrypt(
        sealed.subarray(24),
      )
    const row = (kind: number, generation: number, id: Uint8Array): Uint8Array[] => [
      encodeUtf8('stronghold/row/1'),
      VAULT,
      Uint8Array.of(kind),
      u64(generation),
      id,
    ]
    const key = of('key 1 row')
    expect(open(key, row(2, 1, of('secret id')), of('secret sealed'))).toEqual(of('secret'))
    expect(open(key, row(5, 2, of('store id')), of('store sealed'))).toEqual(of('store'))
    const named = concat([Uint8Array.of(5), encodeUtf8('motd')])
    expect(blake2b(named, { key: of('key 2 name'), dkLen: 32 })).toEqual(of('store id'))
    expect(
      open(
        of('key 5 audit'),
        [encodeUtf8('stronghold/audit/1'), VAULT, u64(0)],
        of('entry sealed'),
      ),
    ).toEqual(of('entry'))
    const header = open(
      of('key 4 header'),
      [encodeUtf8('stronghold/header/1'), VAULT, blake2b(of('open'), { dkLen: 32 })],
      of('header sealed'),
    )
    expect(header).toEqual(of('header'))
    let sum = 0n
    for (const [kind, generation, name] of [
      [2, 1, 'secret'],
      [5, 2, 'store'],
    ] as const) {
      const tag = of(`${name} sealed`).slice(-16)
      const message = concat([Uint8Array.of(kind), u64(generation), tag, of(`${name} id`)])
      const mac = hmac(sha512, of('key 3 sum'), message).slice(0, 32)
      sum += BigInt(`0x${Buffer.from(mac).reverse().toString('hex')}`)
    }
    const decoded = decodeSealedHeader(header)
    const written = BigInt(`0x${Buffer.from(decoded.sum).reverse().toString('hex')}`)
    expect(written).toBe(sum % 2n ** 256n)
    const plain = concat([fromHex('0100000003'), encodeUtf8('box'), fromHex('00000003c0ffee')])
    expect(decoded.plain).toEqual(blake2b(plain, { dkLen: 32 }))
  })
})
