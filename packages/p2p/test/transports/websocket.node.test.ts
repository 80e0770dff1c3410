import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { expect, test } from 'vitest'

import { webSocket } from '../../src/transports/websocket-node.ts'

import { TEST_CERTIFICATE, TEST_KEY } from './certificate.ts'
import { hasIp6 } from './ip6.ts'
import { leavesNoSockets } from './socket-pair.ts'
import { transportSuite } from './transport-suite.ts'
import { components, PipeUpgrader } from './upgraders.ts'

leavesNoSockets()

const certificate = { key: TEST_KEY, cert: TEST_CERTIFICATE }
const trusting = webSocket({ certificate, trust: { ca: TEST_CERTIFICATE } })(components)
const { signal } = new AbortController()
const maxUnreadBytes = 16 * 1024 * 1024

transportSuite('WebSocket', {
  transport: trusting,
  addresses: [multiaddr('/ip4/127.0.0.1/tcp/0/ws'), multiaddr('/ip4/127.0.0.1/tcp/0/ws')],
  nowhere: multiaddr('/ip4/127.0.0.1/tcp/1/ws'),
  maxUnreadBytes,
  halfClose: false,
})

transportSuite('secure WebSocket', {
  transport: trusting,
  addresses: [multiaddr('/ip4/127.0.0.1/tcp/0/tls/ws'), multiaddr('/ip4/127.0.0.1/tcp/0/wss')],
  nowhere: multiaddr('/ip4/127.0.0.1/tcp/1/wss'),
  maxUnreadBytes,
  halfClose: false,
})

const resolver = {
  resolve4: () => Promise.resolve(['127.0.0.1']),
  resolve6: () => Promise.resolve([]),
  resolveTxt: () => Promise.resolve([]),
}

test.each(['/ws', '/wss', '/tls/ws', '/tls/sni/stronghold.test/ws'])(
  'listens on and dials %s, in the words of the address',
  async (suffix) => {
    const upgrader = new PipeUpgrader()
    const listener = trusting.createListener({ upgrader })
    await listener.listen(multiaddr(`/ip4/127.0.0.1/tcp/0${suffix}`))
    const [address] = listener.getAddrs() as [Multiaddr]
    expect(address.toString()).toMatch(new RegExp(`^/ip4/127.0.0.1/tcp/\\d+${suffix}$`))
    await trusting.dial(address, { upgrader, signal })
    const [arrived] = await upgrader.arrivals(1)
    expect(arrived?.connection.remoteAddr.toString().endsWith(suffix)).toBe(true)
    upgrader.destroy()
    await listener.close()
  },
)

test('a name in the address is what the certificate must say', async () => {
  const upgrader = new PipeUpgrader()
  const transport = webSocket({ certificate, trust: { ca: TEST_CERTIFICATE }, resolver })(
    components,
  )
  const listener = transport.createListener({ upgrader })
  await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0/tls/ws'))
  const port = listener.getAddrs()[0]?.getComponents()[1]?.value ?? ''
  for (const right of ['/dns4/stronghold.test', '/dns/localhost']) {
    await transport.dial(multiaddr(`${right}/tcp/${port}/wss`), { upgrader, signal })
  }
  for (const wrong of [
    `/dns4/other.test/tcp/${port}/tls/ws`,
    `/ip4/127.0.0.1/tcp/${port}/tls/sni/other.test/ws`,
  ]) {
    await expect(transport.dial(multiaddr(wrong), { upgrader, signal })).rejects.toThrow(
      /does not match certificate/,
    )
  }
  upgrader.destroy()
  await listener.close()
})

test('a certificate that nobody vouches for is refused, unless the user says otherwise', async () => {
  const upgrader = new PipeUpgrader()
  const listener = trusting.createListener({ upgrader })
  await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0/wss'))
  const [address] = listener.getAddrs() as [Multiaddr]
  const strict = webSocket()(components)
  await expect(strict.dial(address, { upgrader, signal })).rejects.toThrow(/self-signed/)
  const careless = webSocket({ trust: { rejectUnauthorized: false } })(components)
  await careless.dial(address, { upgrader, signal })
  upgrader.destroy()
  await listener.close()
})

test('takes WebSocket addresses only, and listens securely only with a certificate', () => {
  const plain = ['/ip4/1.2.3.4/tcp/1/ws', '/ip6/::1/tcp/1/ws']
  const secure = [
    '/ip4/1.2.3.4/tcp/1/wss',
    '/ip4/1.2.3.4/tcp/1/tls/ws',
    '/ip4/1.2.3.4/tcp/1/tls/sni/a/ws',
  ]
  const named = ['/dns4/a.test/tcp/1/ws', '/dns/a.test/tcp/1/tls/ws']
  const others = [
    '/ip4/1.2.3.4/tcp/1',
    '/ip4/1.2.3.4/tcp/1/tls',
    '/ip4/1.2.3.4/udp/1/ws',
    '/memory/1',
  ]
  const all = [...plain, ...secure, ...named, ...others].map((text) => multiaddr(text))
  const text = (addresses: Multiaddr[]): string[] => addresses.map(String)
  expect(text(trusting.dialFilter(all))).toEqual([...plain, ...secure, ...named])
  expect(text(trusting.listenFilter(all))).toEqual([...plain, ...secure])
  expect(text(webSocket()(components).listenFilter(all))).toEqual(plain)
})

test('listening securely without a certificate is a mistake of the caller', async () => {
  const listener = webSocket()(components).createListener({ upgrader: new PipeUpgrader() })
  await expect(listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0/wss'))).rejects.toThrow(
    'Cannot listen: a secure WebSocket needs a certificate',
  )
})

test.skipIf(!hasIp6)('IPv6: listens and dials', async () => {
  const upgrader = new PipeUpgrader()
  const listener = trusting.createListener({ upgrader })
  await listener.listen(multiaddr('/ip6/::1/tcp/0/wss'))
  await trusting.dial(listener.getAddrs()[0] as Multiaddr, { upgrader, signal })
  const [arrived] = await upgrader.arrivals(1)
  expect(arrived?.connection.remoteAddr.toString()).toMatch(/^\/ip6\/::1\/tcp\/\d+\/wss$/)
  upgrader.destroy()
  await listener.close()
})
