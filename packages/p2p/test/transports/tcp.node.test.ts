import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTls, TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'

import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { expect, test } from 'vitest'

import type { TakenSocket } from '../../src/transports/socket-pipe.ts'
import { tcp } from '../../src/transports/tcp.ts'
import type { TcpDialOptions } from '../../src/transports/tcp.ts'

import { TEST_CERTIFICATE, TEST_KEY } from './certificate.ts'
import { hasIp6 } from './ip6.ts'
import { Recorder, turns } from './pipe-events.ts'
import { leavesNoSockets } from './socket-pair.ts'
import { transportSuite } from './transport-suite.ts'
import { components, PipeUpgrader } from './upgraders.ts'
import type { Taken } from './upgraders.ts'

leavesNoSockets()

const transport = tcp()(components)
const { signal } = new AbortController()

transportSuite('TCP', {
  transport,
  addresses: [multiaddr('/ip4/127.0.0.1/tcp/0'), multiaddr('/ip4/127.0.0.1/tcp/0')],
  nowhere: multiaddr('/ip4/127.0.0.1/tcp/1'),
  maxUnreadBytes: 16 * 1024 * 1024,
})

test('takes TCP addresses only; names only where somebody resolves them', () => {
  const ips = ['/ip4/1.2.3.4/tcp/1', '/ip6/::1/tcp/1', '/ip6zone/eth0/ip6/fe80::1/tcp/1']
  const names = ['/dns4/a.test/tcp/1', '/dns/a.test/tcp/1', '/dns6/a.test/tcp/1']
  const others = [
    '/ip4/1.2.3.4/udp/1',
    '/ip4/1.2.3.4/tcp/1/ws',
    '/ip4/1.2.3.4',
    '/memory/1',
    '/ip4/1.2.3.4/tcp/1/p2p/12D3KooWQMhKfCxdCBUnLG1NLd4tYyvM85iPLxtsUDS7zk93zu1u/p2p-circuit',
    '/dnsaddr/a.test',
  ]
  const all = [...ips, ...names, ...others].map((text) => multiaddr(text))
  const text = (addresses: Multiaddr[]): string[] => addresses.map(String)
  expect(text(transport.dialFilter(all))).toEqual(ips)
  expect(text(transport.listenFilter(all))).toEqual(ips)
  const resolver = { resolve4: answer(['127.0.0.1']), resolve6: answer([]), resolveTxt: answer([]) }
  expect(text(tcp({ resolver })(components).dialFilter(all))).toEqual([...ips, ...names])
})

function answer<T>(value: T): () => Promise<T> {
  return () => Promise.resolve(value)
}

test('dials a name through the resolver that it was given, trying every answer', async () => {
  const upgrader = new PipeUpgrader()
  const listener = transport.createListener({ upgrader })
  await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
  const [, port] = (listener.getAddrs()[0] as Multiaddr).getComponents()
  // The first answer is a host where nobody listens on that port.
  const resolver = {
    resolve4: answer(['127.0.0.2', '127.0.0.1']),
    resolve6: answer([]),
    resolveTxt: answer([]),
  }
  const named = tcp({ resolver })(components)
  await named.dial(multiaddr(`/dns4/home.test/tcp/${port?.value ?? ''}`), { upgrader, signal })
  const remote = upgrader.outbound[0]?.connection.remoteAddr.toString()
  expect(remote).toBe(`/ip4/127.0.0.1/tcp/${port?.value ?? ''}`)
  await listener.close()
  upgrader.destroy()
})

test('a connect that gets no answer ends the moment its signal aborts', async () => {
  const controller = new AbortController()
  // TEST-NET-1 (RFC 5737): nobody answers, or the system refuses at once.
  const dial = transport.dial(multiaddr('/ip4/192.0.2.1/tcp/9'), {
    upgrader: new PipeUpgrader(),
    signal: controller.signal,
  })
  const reason = new Error('changed my mind')
  controller.abort(reason)
  await expect(dial).rejects.toBe(reason)
})

test('two connections may leave from one local port', async () => {
  const upgrader = new PipeUpgrader()
  const listeners = [transport.createListener({ upgrader }), transport.createListener({ upgrader })]
  const targets: Multiaddr[] = []
  for (const listener of listeners) {
    await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
    targets.push(...listener.getAddrs())
  }
  await transport.dial(targets[0] as Multiaddr, { upgrader, signal })
  const [first] = await upgrader.arrivals(1)
  const localPort = Number(first?.connection.remoteAddr.getComponents()[1]?.value)
  upgrader.destroy()
  await turns(2)
  for (const [i, target] of targets.entries()) {
    const options: TcpDialOptions = { upgrader, signal, localPort, localAddress: '127.0.0.1' }
    await transport.dial(target, options)
    await upgrader.arrivals(i + 2)
  }
  const ports = upgrader.inbound.map(({ connection }) => connection.remoteAddr.toString())
  expect(new Set(ports)).toEqual(new Set([`/ip4/127.0.0.1/tcp/${localPort}`]))
  upgrader.destroy()
  await Promise.all(listeners.map((listener) => listener.close()))
})

test('an unspecified address is announced as every address of the machine', async () => {
  const listener = transport.createListener({ upgrader: new PipeUpgrader() })
  await listener.listen(multiaddr('/ip4/0.0.0.0/tcp/0'))
  const addresses = listener.getAddrs().map(String)
  const [first] = addresses
  const port = first?.split('/').at(-1) ?? ''
  expect(Number(port)).toBeGreaterThan(0)
  expect(addresses).toContain(`/ip4/127.0.0.1/tcp/${port}`)
  expect(addresses.some((address) => address.includes('0.0.0.0'))).toBe(false)
  await listener.close()
})

test.skipIf(!hasIp6)('IPv6: listens, dials, and keeps apart from IPv4', async () => {
  const upgrader = new PipeUpgrader()
  const six = transport.createListener({ upgrader })
  await six.listen(multiaddr('/ip6/::/tcp/0'))
  const loopback = six.getAddrs().find((address) => address.toString().startsWith('/ip6/::1/'))
  const port = loopback?.getComponents()[1]?.value ?? ''
  // The same port of the other family is free.
  const four = transport.createListener({ upgrader })
  await four.listen(multiaddr(`/ip4/127.0.0.1/tcp/${port}`))
  await transport.dial(loopback as Multiaddr, { upgrader, signal })
  const [arrived] = await upgrader.arrivals(1)
  expect(arrived?.connection.remoteAddr.toString()).toMatch(/^\/ip6\/::1\/tcp\/\d+$/)
  const near = new Recorder((upgrader.outbound[0] as Taken).pipe)
  arrived?.pipe.destroy()
  await near.until(() => near.closed)
  await Promise.all([six.close(), four.close()])
})

test('the socket of a connection can be taken for native TLS, with what came before', async () => {
  const upgrader = new PipeUpgrader()
  const listener = transport.createListener({ upgrader })
  await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
  await transport.dial(listener.getAddrs()[0] as Multiaddr, { upgrader, signal })
  const [far] = (await upgrader.arrivals(1)) as [Taken]
  const [near] = upgrader.outbound as [Taken]
  const negotiated = new Recorder(far.pipe)
  near.pipe.write([Uint8Array.of(1)])
  await negotiated.until(() => negotiated.bytes === 1)
  far.pipe.pause()

  const nearSocket = near.pipe.takeSocket?.() as TakenSocket
  const client = connectTls({ socket: nearSocket.socket, rejectUnauthorized: false })
  client.write('hello')
  // The first bytes of the handshake are read before anybody knows that it is one.
  await turns(20)
  const { socket, head } = far.pipe.takeSocket?.() as TakenSocket
  if (head.byteLength > 0) socket.unshift(head)
  const server = new TLSSocket(socket, { isServer: true, key: TEST_KEY, cert: TEST_CERTIFICATE })
  const [data] = (await once(server, 'data')) as [Buffer]
  expect(data.toString()).toBe('hello')
  client.destroy()
  server.destroy()
  socket.destroy()
  await listener.close()
})

test('a process out of descriptors accepts again when it has some', async () => {
  // Two levels: the limit must not be this process's own.
  const program = fileURLToPath(new URL('./out-of-descriptors.ts', import.meta.url))
  const child = spawn(
    'sh',
    [
      '-c',
      'ulimit -n 64 && exec "$0" --conditions=@stronghold/source "$1"',
      process.execPath,
      program,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number]
  expect([code, said.trim()]).toEqual([0, 'served after the flood'])
})
