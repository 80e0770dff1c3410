/** Nodes over real sockets: each transport with each security channel, and a cable that is pulled. */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, expect, test } from 'vitest'

import { bytes, createNode, defineProtocol, serverStream, unary } from '../src/index.ts'
import type { NodeInit } from '../src/index.ts'
import { memoryNetwork } from '../src/testing.ts'

import { TEST_CERTIFICATE, TEST_KEY } from './transports/certificate.ts'

const protocol = defineProtocol('/example/net/1.0.0', {
  echo: unary({ request: bytes, response: bytes }),
  down: serverStream({ download: bytes }),
})
const handlers = {
  echo: (message: Uint8Array) => message,
  down: async function* (): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 100; i++) yield await Promise.resolve(new Uint8Array(50_000).fill(i))
  },
}
const OPEN: NodeInit = { firewall: { inbound: { fallback: 'allow' } } }

const folder = mkdtempSync(join(tmpdir(), 'p2p-node-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
})

const cases = ['tcp/0', 'tcp/0/ws', 'tcp/0/tls/ws'].flatMap((listen) =>
  (['noise', 'tls'] as const).map((security) => [listen, security] as const),
)

test.each(cases)('/%s with %s', async (listen, security) => {
  const pem = listen.includes('tls') ? { key: TEST_KEY, cert: TEST_CERTIFICATE } : undefined
  await using home = await createNode({
    ...OPEN,
    security: [security],
    listen: [`/ip4/127.0.0.1/${listen}`],
    ...(pem === undefined ? {} : { webSocketCertificate: pem }),
  })
  home.serve(protocol, handlers)
  await using away = await createNode({
    security: [security],
    ...(pem === undefined ? {} : { webSocketAuthorities: pem.cert }),
  })
  const remote = away.client(protocol, home.addresses)
  const long = new Uint8Array(1_000_000).fill(7)
  const got = await remote.echo(long)
  expect(Buffer.compare(got, long)).toBe(0)
  let read = 0
  for await (const item of remote.down()) read += item.byteLength
  expect(read).toBe(5_000_000)
  const [connection] = away.connections()
  expect(connection?.security).toBe(security)
  expect(connection?.transport).toBe(
    pem === undefined ? (listen.endsWith('ws') ? 'ws' : 'tcp') : 'wss',
  )
})

test('IPv4 and IPv6 at once, one of them stopped', async (context) => {
  await using home = await createNode({ ...OPEN, listen: ['/ip4/127.0.0.1/tcp/0'] })
  home.serve(protocol, handlers)
  try {
    await home.listen('/ip6/::1/tcp/0')
  } catch {
    context.skip('this machine has no IPv6')
  }
  const [four = '', six = ''] = home.addresses
  expect(six).toContain('/ip6/::1/')
  await home.unlisten(four.slice(0, four.indexOf('/p2p/')))
  await using away = await createNode()
  expect(await away.client(protocol, six).echo(Uint8Array.of(1))).toEqual(Uint8Array.of(1))
  await using late = await createNode()
  await expect(late.connect(four)).rejects.toMatchObject({ code: 'unavailable', layer: 'dial' })
})

test('who listens securely without a certificate is told what to give, where one would help', async () => {
  const needs =
    'a secure WebSocket needs a certificate, given to createNode as webSocketCertificate'
  await using node = await createNode()
  for (const end of ['wss', 'tls/ws', 'tls/sni/stronghold.test/ws']) {
    const address = `/ip4/127.0.0.1/tcp/0/${end}`
    await expect(node.listen(address)).rejects.toMatchObject({
      code: 'failed_precondition',
      message: `Cannot listen on ${address}: ${needs}`,
    })
  }
  const nowhere = ['/dns4/localhost/tcp/0/wss', '/ip4/127.0.0.1/tcp/0/tls', '/memory/one']
  for (const address of nowhere) {
    await expect(node.listen(address)).rejects.toThrow(
      `Cannot listen on ${address}: no transport can`,
    )
  }
  await using network = memoryNetwork()
  const without = await network.createNode()
  await expect(without.listen('/ip4/127.0.0.1/tcp/0/wss')).rejects.toThrow('no transport can')
})

test('an address that is banned gets nowhere, and what is open closes', async () => {
  await using home = await createNode({ ...OPEN, listen: ['/ip4/127.0.0.1/tcp/0'] })
  home.serve(protocol, handlers)
  await using away = await createNode()
  const remote = away.client(protocol, home.addresses)
  await remote.echo(Uint8Array.of(1))
  home.ban('127.0.0.0/8')
  await expect.poll(() => home.connections()).toHaveLength(0)
  await expect.poll(() => away.connections()).toHaveLength(0)
  await expect(away.connect(home.addresses)).rejects.toMatchObject({ name: 'P2pError' })
  expect(home.unban('127.0.0.0/8')).toBe(true)
  expect(await remote.echo(Uint8Array.of(2))).toEqual(Uint8Array.of(2))
})

test('a pulled cable: the request is answered over the next connection, and ran once', async () => {
  await using home = await createNode({ ...OPEN, listen: ['/ip4/127.0.0.1/tcp/0'] })
  let runs = 0
  const done = Promise.withResolvers<undefined>()
  home.serve(protocol, {
    ...handlers,
    echo: async (message) => {
      if (message[0] === 1) return message
      runs += 1
      await done.promise
      return message
    },
  })
  const port = Number(/tcp\/(\d+)/.exec(home.addresses[0] ?? '')?.[1])
  const sockets: Socket[] = []
  const proxy = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    sockets.push(near, far)
    for (const socket of [near, far]) socket.on('error', () => {})
    near.pipe(far).pipe(near)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const through = `/ip4/127.0.0.1/tcp/${(proxy.address() as AddressInfo).port}/p2p/${home.peer}`
  await using away = await createNode()
  const remote = away.client(protocol, through)
  // Only of a responder that said hello is it known whether it remembers.
  await remote.echo(Uint8Array.of(1))
  const answer = remote.echo(Uint8Array.of(9))
  await expect.poll(() => runs).toBe(1)
  for (const socket of sockets.splice(0)) socket.resetAndDestroy()
  await expect.poll(() => sockets.length, { timeout: 10_000 }).toBeGreaterThan(0)
  done.resolve(undefined)
  expect(await answer).toEqual(Uint8Array.of(9))
  expect(runs).toBe(1)
  proxy.close()
})

test('a peer that closes every connection at once is dialled a few times, not until the deadline', async () => {
  await using home = await createNode({ ...OPEN, listen: ['/ip4/127.0.0.1/tcp/0'] })
  let isAsked = false
  home.serve(protocol, {
    ...handlers,
    echo: async (message) => {
      if (message[0] === 1) return message
      isAsked = true
      return await new Promise<Uint8Array>(() => {})
    },
  })
  await using away = await createNode()
  let refused = 0
  const events = home.events({ types: ['refused'] })
  void (async () => {
    for await (const event of events) refused += event.type === 'refused' ? 1 : 0
  })()
  const remote = away.client(protocol, home.addresses)
  // It has said hello once: the request goes again to whoever says the same.
  await remote.echo(Uint8Array.of(1))
  const answer = remote.echo(Uint8Array.of(9), { timeoutMs: 60_000 })
  await expect.poll(() => isAsked).toBe(true)
  home.block(away.peer)
  const failed = { code: 'unavailable', ran: 'maybe', reason: 'closed_at_once' }
  await expect(answer).rejects.toMatchObject(failed)
  expect(refused).toBeLessThan(10)
  // Nor is a request that finds the door shut from the first.
  await expect(remote.echo(Uint8Array.of(9))).rejects.toMatchObject(failed)
})

test('an identity lives in a file of its own, for its owner alone', async () => {
  const path = join(folder, 'identity')
  let peer = ''
  {
    await using node = await createNode({ identity: path })
    peer = node.peer
  }
  expect(statSync(path).mode & 0o777).toBe(0o600)
  await using node = await createNode({ identity: path })
  expect(node.peer).toBe(peer)
})
