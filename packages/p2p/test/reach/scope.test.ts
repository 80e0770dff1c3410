import { expect, test } from 'vitest'

import type { Address } from '../../src/identity.ts'
import { scopeOf } from '../../src/reach/scope.ts'

test.each([
  ['/ip4/198.51.100.1/tcp/1', 'public'],
  ['/ip4/9.255.255.255/tcp/1', 'public'],
  ['/ip4/10.0.0.0/tcp/1', 'private'],
  ['/ip4/11.0.0.0/tcp/1', 'public'],
  ['/ip4/172.31.255.255/tcp/1', 'private'],
  ['/ip4/172.32.0.0/tcp/1', 'public'],
  ['/ip4/192.168.1.1/udp/1/quic-v1', 'private'],
  ['/ip4/100.64.0.1/tcp/1', 'private'],
  ['/ip4/127.0.0.1/tcp/1/ws', 'local'],
  ['/ip4/169.254.1.1/tcp/1', 'local'],
  ['/ip6/::1/tcp/1', 'local'],
  ['/ip6/2001:db8::1/tcp/1', 'public'],
  ['/ip6/fd00::1/tcp/1', 'private'],
  ['/ip6/::ffff:10.0.0.1/tcp/1', 'private'],
  ['/ip6zone/eth0/ip6/fe80::1/tcp/1', 'local'],
  ['/dns4/example.com/tcp/1', 'public'],
  ['/dns/localhost/tcp/1', 'local'],
  ['/dns4/printer.local/tcp/1', 'private'],
  ['/memory/1', 'local'],
  ['/p2p-circuit', 'public'],
])('%s is %s', (address, scope) => {
  expect(scopeOf(address as Address)).toBe(scope)
})
