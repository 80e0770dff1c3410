import { concat, fromHex } from '@stronghold/core'
import { multiaddr } from '@multiformats/multiaddr'
import { base36 } from 'multiformats/bases/base36'
import { describe, expect, it } from 'vitest'

import {
  addressOf,
  parseAddress,
  parsePeerId,
  peerIdOf,
  toLibp2pPeerId,
  toMultiaddr,
} from '../src/identity.ts'
import { decodePublicKey, encodeKey } from '../src/keys.ts'
import { der, derBits, derNatural, derOid, NULL, SEQUENCE } from '../src/der.ts'

const ED25519 = '12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq'
const HASHED = 'QmVMT29id3TUASyfZZ6k9hmNyc2nYabCo4uMSpDw4zrgDk'

const RSA = der(SEQUENCE, derOid('1.2.840.113549.1.1.1'), der(NULL))

function rsaKey(bits: number, exponent = Uint8Array.of(1, 0, 1)): Uint8Array {
  const modulus = new Uint8Array(bits / 8).fill(0xff)
  const numbers = der(SEQUENCE, derNatural(modulus), derNatural(exponent))
  return encodeKey('rsa', der(SEQUENCE, RSA, derBits(numbers)))
}

describe('parsePeerId()', () => {
  it('reads base58btc and CIDv1 in three bases, and gives base58btc', () => {
    for (const text of [ED25519, HASHED]) {
      const cid = toLibp2pPeerId(parsePeerId(text)).toCID()
      expect(parsePeerId(text)).toBe(text)
      expect(parsePeerId(cid.toString())).toBe(text)
      expect(parsePeerId(cid.toString(base36))).toBe(text)
    }
  })

  it('refuses what is no peer id', () => {
    const cases = [
      '',
      ' ',
      'Qm',
      ED25519.slice(0, -1),
      `${ED25519}1`,
      `${ED25519} `,
      HASHED.slice(0, -1),
      HASHED.toLowerCase(),
      'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi', // a CIDv1 of a file
      '1'.repeat(129),
      '/p2p/' + ED25519,
    ]
    for (const text of cases) expect(() => parsePeerId(text), text).toThrow(SyntaxError)
  })

  it('cuts what it quotes to 64 characters', () => {
    expect(() => parsePeerId('x'.repeat(100))).toThrow(`'${'x'.repeat(64)}'`)
  })
})

describe('parseAddress()', () => {
  it('gives one form to each address', () => {
    expect(parseAddress('/ip4/127.0.0.1/tcp/1')).toBe('/ip4/127.0.0.1/tcp/1')
    expect(parseAddress('/ip6/0:0:0:0:0:0:0:1/tcp/1')).toBe('/ip6/::1/tcp/1')
    expect(parseAddress(`/ip4/127.0.0.1/tcp/1/p2p/${ED25519}`)).toBe(
      `/ip4/127.0.0.1/tcp/1/p2p/${ED25519}`,
    )
    const cid = toLibp2pPeerId(parsePeerId(ED25519)).toCID().toString()
    expect(parseAddress(`/ip4/127.0.0.1/tcp/1/p2p/${cid}`)).toBe(
      `/ip4/127.0.0.1/tcp/1/p2p/${ED25519}`,
    )
    expect(parseAddress(`/dns4/a.example/tcp/1/p2p/${HASHED}/p2p-circuit/p2p/${ED25519}`)).toBe(
      `/dns4/a.example/tcp/1/p2p/${HASHED}/p2p-circuit/p2p/${ED25519}`,
    )
  })

  it('refuses what is none', () => {
    for (const text of [
      '',
      'ip4',
      '/ip4',
      '/ip4/1.2.3.4/tcp/70000',
      '/p2p/x',
      `/dns4/${'a'.repeat(1024)}`,
    ]) {
      expect(() => parseAddress(text), text).toThrow(SyntaxError)
    }
  })
})

describe('between our text and libp2p’s objects', () => {
  it('peer ids and addresses come back as they were', () => {
    for (const text of [ED25519, HASHED])
      expect(peerIdOf(toLibp2pPeerId(parsePeerId(text)))).toBe(text)
    const address = parseAddress('/ip4/10.0.0.1/tcp/7430/ws')
    expect(addressOf(toMultiaddr(address))).toBe(address)
    expect(addressOf(multiaddr('/ip4/10.0.0.1/tcp/7430/ws'))).toBe(address)
  })
})

describe('decodePublicKey()', () => {
  const ed25519 = fromHex(
    '080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e',
  )

  it('takes RSA from 2,048 to 8,192 bits', () => {
    expect(decodePublicKey(rsaKey(2048)).type).toBe('rsa')
    expect(decodePublicKey(rsaKey(8192)).type).toBe('rsa')
    expect(() => decodePublicKey(rsaKey(2040))).toThrow('2048 to 8192 bits')
    expect(() => decodePublicKey(rsaKey(8200))).toThrow('2048 to 8192 bits')
  })

  it('refuses RSA exponents that are even, one, or of more than four bytes', () => {
    for (const exponent of [[2], [1], [1, 0, 0, 0, 1]]) {
      expect(() => decodePublicKey(rsaKey(2048, Uint8Array.from(exponent)))).toThrow('exponent')
    }
  })

  it('refuses every other encoding of the same key', () => {
    expect(decodePublicKey(ed25519).type).toBe('ed25519')
    const data = ed25519.subarray(4)
    const forms: Record<string, Uint8Array> = {
      'data before type': concat([ed25519.subarray(2), ed25519.subarray(0, 2)]),
      'a field more': concat([ed25519, Uint8Array.of(0x18, 0)]),
      'type twice': concat([Uint8Array.of(8, 1), ed25519]),
      'a long varint': concat([Uint8Array.of(8, 0x81, 0, 0x12, 0x20), data]),
      'no type': ed25519.subarray(2),
      'unknown type': concat([Uint8Array.of(8, 4, 0x12, 0x20), data]),
      'no data': Uint8Array.of(8, 1),
      'cut off': ed25519.subarray(0, -1),
      'too long': encodeKey('ed25519', new Uint8Array(33)),
      empty: new Uint8Array(0),
      'over the bound': new Uint8Array(1101),
    }
    for (const [name, form] of Object.entries(forms)) {
      expect(() => decodePublicKey(form), name).toThrow(SyntaxError)
    }
  })
})
