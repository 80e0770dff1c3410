import { describe, expect, it } from 'vitest'

import { BOX_OVERHEAD, SecretBox, sealTo } from '../src/box.ts'
import { Slab } from '../src/secret.ts'

describe('SecretBox', () => {
  it('opens into the slab what was sealed to it', () => {
    using slab = new Slab({ bytes: 4096 })
    using box = new SecretBox(slab)
    for (const length of [0, 1, 32, 1024]) {
      const sealed = sealTo(box.publicKey, new Uint8Array(length).fill(7))
      expect(sealed.byteLength).toBe(length + BOX_OVERHEAD)
      using secret = box.open(sealed)
      expect(new Uint8Array(secret.bytes)).toEqual(new Uint8Array(length).fill(7))
    }
  })

  it('refuses what was sealed to another, changed or cut, and gives the memory back', () => {
    using slab = new Slab({ bytes: 4096 })
    using box = new SecretBox(slab)
    using other = new SecretBox(slab)
    const used = slab.used
    const sealed = sealTo(box.publicKey, Uint8Array.of(1, 2, 3))
    const changed = sealed.with(40, sealed[40] === 0 ? 1 : 0)
    for (const wrong of [
      sealTo(other.publicKey, Uint8Array.of(1)),
      changed,
      sealed.subarray(1),
      sealed.subarray(0, 47),
    ]) {
      expect(() => box.open(wrong)).toThrow('it was not sealed to this vault')
    }
    expect(slab.used).toBe(used)
  })

  it('takes a key of 32 bytes only', () => {
    expect(() => sealTo(new Uint8Array(31), new Uint8Array(1))).toThrow(RangeError)
  })
})
