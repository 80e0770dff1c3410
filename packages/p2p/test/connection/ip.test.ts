import { fc, test as law } from '@fast-check/vitest'
import { BlockList, isIP } from 'node:net'
import { expect, test } from 'vitest'

import { ipGroup, ipPrefix, parseIp, prefixKey } from '../../src/connection/ip.ts'

const keyOf = (text: string): string | undefined => {
  const ip = parseIp(text)
  return ip === undefined ? undefined : prefixKey(ip)
}

test('addresses and prefixes print in one form', () => {
  expect(keyOf('192.0.2.1')).toBe('192.0.2.1/32')
  expect(keyOf('192.0.2.77/24')).toBe('192.0.2.0/24')
  expect(keyOf('0.0.0.0/0')).toBe('0.0.0.0/0')
  expect(keyOf('::1')).toBe('0:0:0:0:0:0:0:1/128')
  expect(keyOf('2001:DB8::/32')).toBe('2001:db8:0:0:0:0:0:0/32')
  expect(keyOf('fe80::1%eth0')).toBe('fe80:0:0:0:0:0:0:1/128')
  expect(keyOf('1:2:3:4:5:6:7::')).toBe('1:2:3:4:5:6:7:0/128')
})

test('an IPv4 address inside IPv6 is that IPv4 address', () => {
  expect(keyOf('::ffff:192.0.2.1')).toBe('192.0.2.1/32')
  expect(keyOf('::ffff:c000:201')).toBe('192.0.2.1/32')
  expect(keyOf('::ffff:192.0.2.1/120')).toBe('192.0.2.0/24')
})

test('an IPv6 address counts by its /64, an IPv4 address by itself', () => {
  const group = (text: string): string => ipGroup(parseIp(text) ?? expect.fail())
  expect(group('2001:db8:0:1:a::1')).toBe(group('2001:db8:0:1:b::2'))
  expect(group('2001:db8:0:1::1')).not.toBe(group('2001:db8:0:2::1'))
  expect(group('192.0.2.1')).not.toBe(group('192.0.2.2'))
})

test('what is no address is none', () => {
  for (const text of [
    '',
    'localhost',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.4/33',
    '::1/129',
    '1::2::3',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    '::1.2.3',
    '1.2.3.4::',
    '::1%',
    '1.2.3.4/',
    `${'1'.repeat(1000)}.2.3.4`,
  ]) {
    expect(parseIp(text), text).toBeUndefined()
  }
})

const ip6 = fc.ipV6().filter((text) => !text.toLowerCase().startsWith('::ffff:'))

law.prop([fc.oneof(fc.ipV4(), ip6)])('every address that Node.js knows is read', (text) => {
  expect(parseIp(text)?.version).toBe(isIP(text))
})

law.prop([fc.oneof(fc.ipV4(), ip6), fc.oneof(fc.ipV4(), ip6), fc.nat(128)])(
  'a prefix holds what Node.js says that it holds',
  (base, other, some) => {
    const version = isIP(base) === 4 ? 4 : 6
    const length = version === 4 ? some % 33 : some
    const list = new BlockList()
    list.addSubnet(base, length, version === 4 ? 'ipv4' : 'ipv6')
    for (const text of [base, other]) {
      const ip = parseIp(text) ?? expect.fail()
      const prefix = parseIp(`${base}/${length.toString()}`) ?? expect.fail()
      const holds =
        ip.version === prefix.version &&
        prefixKey(ipPrefix(ip, prefix.length)) === prefixKey(prefix)
      if (isIP(text) === isIP(base)) {
        expect(holds).toBe(list.check(text, version === 4 ? 'ipv4' : 'ipv6'))
      } else expect(holds).toBe(false)
    }
  },
)
