/** Published multiaddrs: text to bytes and back, and the codes of the protocols that our addresses name. */
import { fromHex, toHex } from '@stronghold/core'
import { publishedVectorBytes } from '@stronghold/testkit'
import { multiaddr } from '@multiformats/multiaddr'
import { describe, expect, test } from 'vitest'

import { addressOf, parseAddress, toMultiaddr } from '../src/identity.ts'

const text = (name: string): string | undefined => {
  const bytes = publishedVectorBytes(`libp2p/${name}`)
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
}
const feature = text('multiaddr.feature')
const table = text('multiaddr-protocols.csv')

describe.skipIf(feature === undefined)('multiaddr.feature', () => {
  const pairs = [
    ...(feature ?? '').matchAll(/multiaddr (\/\S+)\n\s+Then the packed form is 0x(\w+)/g),
  ].map(([, address = '', hex = '']) => ({ address, hex }))
  const packed = [
    ...(feature ?? '').matchAll(/multiaddr 0x(\w+)\n\s+Then the string form is (\S+)/g),
  ].map(([, hex = '', address = '']) => ({ address, hex }))

  test('holds text and bytes, each way', () => {
    expect(pairs.length).toBeGreaterThan(0)
    expect(packed.length).toBeGreaterThan(0)
  })

  test.each(pairs)('$address is $hex', ({ address, hex }) => {
    expect(toHex(toMultiaddr(parseAddress(address)).bytes)).toBe(hex)
  })

  test.each(packed)('$hex is $address', ({ address, hex }) => {
    expect(addressOf(multiaddr(fromHex(hex)))).toBe(address)
  })
})

describe.skipIf(table === undefined)('multiaddr-protocols.csv', () => {
  const peer = '12D3KooWEqzXKp3ecZHeWdmBj8MEqwEzWQQqKaGiCQQC8JoBFMHu'
  const codes = new Map(
    (table ?? '')
      .split('\n')
      .map((line) => line.split(',').map((cell) => cell.trim()))
      .map(([code = '', , name = '']) => [name, Number(code)]),
  )

  test.each([
    '/ip4/127.0.0.1/tcp/1',
    '/ip6/::1/tcp/1/ws',
    '/ip4/127.0.0.1/tcp/1/wss',
    '/dns/a.test/tcp/1/tls/ws',
    '/dns4/a.test/tcp/1/tls/sni/a.test/ws',
    '/dns6/a.test/tcp/1',
    '/dnsaddr/a.test',
    '/memory/a',
    `/ip4/127.0.0.1/tcp/1/p2p/${peer}/p2p-circuit/p2p/${peer}`,
  ])('%s has the codes of the table', (address) => {
    for (const { name, code } of toMultiaddr(parseAddress(address)).getComponents()) {
      expect({ name, code }).toEqual({ name, code: codes.get(name) })
    }
  })
})
