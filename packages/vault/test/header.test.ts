import { decode, encode } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { decodeOpenHeader, decodeSealedHeader, encodeOpenHeader } from '../src/header.ts'
import type { Unlocker } from '../src/header.ts'
import { MAX_HEADER_BYTES, MAX_UNLOCKER_NAME_LENGTH, MAX_UNLOCKERS } from '../src/limits.ts'
import { VAULT } from './vault-of.ts'

const UNLOCKER: Unlocker = {
  id: new Uint8Array(8),
  kind: 'passphrase',
  name: 'owner',
  createdAtMs: 1,
  kdf: { memoryKiB: 65_536, passes: 3, salt: new Uint8Array(16) },
  wrapped: new Uint8Array(72),
}

describe('the readable half of a header', () => {
  it('holds one to eight unlockers with names of up to 64 characters', () => {
    const name = 'x'.repeat(MAX_UNLOCKER_NAME_LENGTH)
    const unlockers = Array.from({ length: MAX_UNLOCKERS }, () => ({ ...UNLOCKER, name }))
    const header = { vault: VAULT, unlockers }
    expect(decodeOpenHeader(encodeOpenHeader(header))).toEqual(header)
    for (const bad of [[], [...unlockers, UNLOCKER], [{ ...UNLOCKER, name: `${name}x` }]]) {
      expect(() => encodeOpenHeader({ vault: VAULT, unlockers: bad })).toThrow(RangeError)
    }
  })

  it('is refused with anything too much, too little or of another type', () => {
    const good = decode(encodeOpenHeader({ vault: VAULT, unlockers: [UNLOCKER] })) as {
      unlockers: Record<string, unknown>[]
    }
    const [one = {}] = good.unlockers
    const kdf = one['kdf'] as Record<string, unknown>
    const bad: unknown[] = [
      null,
      [],
      { ...good, more: 1 },
      { vault: VAULT },
      { ...good, vault: VAULT.subarray(1) },
      { ...good, unlockers: [] },
      { ...good, unlockers: {} },
      { ...good, unlockers: Array.from({ length: MAX_UNLOCKERS + 1 }, () => one) },
    ]
    for (const key of Object.keys(one)) {
      bad.push({ ...good, unlockers: [{ ...one, [key]: undefined }] })
      bad.push({ ...good, unlockers: [{ ...one, [key]: -1 }] })
      bad.push({ ...good, unlockers: [{ ...one, [key]: new Uint8Array(5) }] })
    }
    for (const key of Object.keys(kdf)) {
      bad.push({ ...good, unlockers: [{ ...one, kdf: { ...kdf, [key]: 'a' } }] })
    }
    const long = 'x'.repeat(MAX_UNLOCKER_NAME_LENGTH + 1)
    bad.push({ ...good, unlockers: [{ ...one, name: long }] })
    bad.push({ ...good, unlockers: [{ ...one, salt: new Uint8Array(16) }] })
    bad.push({ ...good, unlockers: [{ ...one, kind: 'other' }] })
    bad.push({ ...good, unlockers: [{ ...one, createdAtMs: 2n ** 60n }] })
    for (const value of bad) expect(() => decodeOpenHeader(encode(value))).toThrow(SyntaxError)
  })

  it('is refused above 64 KiB before it is read', () => {
    expect(() => decodeOpenHeader(new Uint8Array(MAX_HEADER_BYTES + 1))).toThrow('too long')
    expect(() => decodeOpenHeader(new Uint8Array(MAX_HEADER_BYTES))).toThrow(SyntaxError)
  })
})

it('the sealed half of a header is refused with other fields or types', () => {
  const good: Record<string, unknown> = {
    epoch: 0,
    generation: 1,
    rows: 0,
    sum: new Uint8Array(32),
    auditHead: new Uint8Array(32),
    auditLength: 0,
    highestTimeMs: 0,
    createdAtMs: 0,
    plain: new Uint8Array(32),
  }
  expect(decodeSealedHeader(encode(good))).toEqual(good)
  for (const key of Object.keys(good)) {
    for (const value of [undefined, -1, 'a', new Uint8Array(31), null]) {
      expect(() => decodeSealedHeader(encode({ ...good, [key]: value }))).toThrow(SyntaxError)
    }
  }
  expect(() => decodeSealedHeader(encode({ ...good, more: 1 }))).toThrow(SyntaxError)
})
