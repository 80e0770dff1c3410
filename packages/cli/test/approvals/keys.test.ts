import { Slab } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { KeyReader } from '../../src/approvals/keys.ts'
import { TypedSecret } from '../../src/approvals/typed-secret.ts'
import { MAX_PASSPHRASE_BYTES } from '../../src/limits.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const keys = (...parts: readonly string[]): string[] => {
  const reader = new KeyReader()
  return parts.flatMap((part) => reader.read(bytes(part)))
}

describe('keys', () => {
  it('are letters, names and arrows', () => {
    expect(keys('od?')).toEqual(['o', 'd', '?'])
    expect(keys('\r\u0003\u007f ')).toEqual(['enter', 'ctrl-c', 'backspace', 'space'])
    expect(keys('\u001b[A\u001bOBj')).toEqual(['up', 'down', 'j'])
    expect(keys('\u001b[5~', '\u001b[6~')).toEqual(['page-up', 'page-down'])
    expect(keys('\u001b', 'o')).toEqual(['escape', 'o'])
  })

  it('are nothing where they are parts of other sequences, of any length', () => {
    expect(keys('\u001b[1;5D', 'é日', '\u001bo', '\u001b[200', '1;1R')).toEqual([])
    expect(keys(`\u001b[${'1;'.repeat(5000)}o`).length).toBeLessThan(10_000)
  })

  it('are never what is pasted', () => {
    expect(keys('j\u001b[200~ob', 'd\r\u0003', '\u001b[201~k')).toEqual(['j', 'k'])
  })
})

describe('a secret that is typed', () => {
  it('is a line with backspace, of any characters, and is wiped', () => {
    using slab = new Slab({ bytes: 8192 })
    const typed = new TypedSecret(slab)
    expect(typed.take(bytes('xx\u0015pß'))).toBe('typing')
    expect(typed.take(bytes('\u007fass\r'))).toBe('typed')
    expect(new TextDecoder().decode(typed.bytes)).toBe('pass')
    const { bytes: place } = typed
    typed[Symbol.dispose]()
    expect(place.every((byte) => byte === 0)).toBe(true)
  })

  it('is given up by ^C, ^D, escape and an empty line', () => {
    using slab = new Slab({ bytes: 8192 })
    for (const end of ['\u0003', '\u0004', '\u001b', '\r']) {
      using typed = new TypedSecret(slab)
      expect(typed.take(bytes(end))).toBe('given-up')
    }
  })

  it('MAX_PASSPHRASE_BYTES: so many are taken, one more is too long', () => {
    using slab = new Slab({ bytes: 8192 })
    using typed = new TypedSecret(slab)
    expect(typed.take(new Uint8Array(MAX_PASSPHRASE_BYTES).fill(0x61))).toBe('typing')
    expect(typed.bytes).toHaveLength(MAX_PASSPHRASE_BYTES)
    expect(typed.take(Uint8Array.of(0x61))).toBe('too-long')
  })
})
