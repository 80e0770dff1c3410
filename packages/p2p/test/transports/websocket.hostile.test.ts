/** Peers on the WebSocket port that are none: each is answered or cut off, and the next honest one is served. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'

import type { Listener, Transport } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { resolveLimits } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import { webSocket } from '../../src/transports/websocket-node.ts'

import { TEST_CERTIFICATE, TEST_KEY } from './certificate.ts'
import { Recorder, turns } from './pipe-events.ts'
import { leavesNoSockets } from './socket-pair.ts'
import { components, PipeUpgrader } from './upgraders.ts'
import type { Taken } from './upgraders.ts'

leavesNoSockets()

// A test that cuts nobody off for being slow leaves everybody time, however busy the machine is.
const HURRIED = { handshakeTimeoutMs: 200 }
const limits = resolveLimits({
  handshakeTimeoutMs: 15_000,
  maxPendingInbound: 8,
  maxPendingPerAddress: 4,
  maxWebSocketMessageBytes: 10_000,
})
const certificate = { key: TEST_KEY, cert: TEST_CERTIFICATE }

let transport: Transport
let upgrader: PipeUpgrader
let listener: Listener
let address: Multiaddr
let port: number

beforeEach(async () => {
  await listenOn('/ip4/127.0.0.1/tcp/0/ws')
})

afterEach(async () => {
  await honestPeerIsServed()
  await listener.close()
  upgrader.destroy()
})

async function listenOn(where: string, more: Partial<P2pLimits> = {}): Promise<void> {
  transport = webSocket({
    limits: { ...limits, ...more },
    certificate,
    trust: { ca: TEST_CERTIFICATE },
  })(components)
  upgrader = new PipeUpgrader()
  listener = transport.createListener({ upgrader })
  await listener.listen(multiaddr(where))
  address = listener.getAddrs()[0] as Multiaddr
  port = Number(address.getComponents()[1]?.value)
}

async function honestPeerIsServed(): Promise<void> {
  const before = upgrader.inbound.length
  const { signal } = new AbortController()
  await transport.dial(address, { upgrader, signal })
  const far = (await upgrader.arrivals(before + 1)).at(-1)
  if (far === undefined) throw new Error('nobody came')
  const atFar = new Recorder(far.pipe)
  upgrader.outbound.at(-1)?.pipe.write([Uint8Array.of(1)])
  await atFar.until(() => atFar.bytes === 1)
}

/** A raw client: all that it got, when the server has hung up. */
class Client {
  readonly socket: Socket
  readonly over: Promise<string>

  constructor(from = '127.0.0.1') {
    this.socket = connect({ port, host: '127.0.0.1', localAddress: from })
    let got = ''
    this.socket.on('data', (chunk) => (got += chunk.toString('latin1')))
    this.socket.on('error', () => {})
    this.over = new Promise((resolve) => {
      this.socket.on('close', () => {
        resolve(got)
      })
    })
  }

  send(text: string): this {
    this.socket.write(text, 'latin1')
    return this
  }

  /** Waits for the answer to the upgrade. */
  async upgraded(): Promise<this> {
    this.send(UPGRADE)
    await once(this.socket, 'data')
    return this
  }
}

const UPGRADE = [
  'GET / HTTP/1.1',
  'Host: x',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  '\r\n',
].join('\r\n')

/** A masked frame of a client, with a mask of zeros. */
function frame(opcode: number, length: number, body = ''): string {
  const size =
    length < 126
      ? Buffer.from([0x80 | length])
      : length < 65_536
        ? Buffer.from([0xfe, length >> 8, length & 255])
        : Buffer.concat([Buffer.from([0xff]), bigEndian(length)])
  const head = Buffer.concat([Buffer.from([opcode]), size, Buffer.alloc(4)])
  return head.toString('latin1') + body
}

function bigEndian(length: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(length))
  return bytes
}

test.each([
  ['GET', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['POST with a body', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello'],
  ['an old version', 'GET / HTTP/1.0\r\n\r\n'],
])('a plain request (%s) is answered 426 and the connection closed', async (_, request) => {
  expect(await new Client().send(request).over).toMatch(/^HTTP\/1\.1 426 .*Connection: close/s)
})

test.each([
  ['another protocol', UPGRADE.replace('Upgrade: websocket', 'Upgrade: h2c')],
  ['no key', UPGRADE.replace(/Sec-WebSocket-Key.*\r\n/, '')],
  ['a bad key', UPGRADE.replace('AAAA', '')],
  ['another version', UPGRADE.replace('Version: 13', 'Version: 99')],
  ['another method', UPGRADE.replace('GET', 'PUT')],
  ['a bad list of protocols', UPGRADE.replace('Host', 'Sec-WebSocket-Protocol: ,\r\nHost')],
])('a bad upgrade (%s) is answered 4xx and the connection closed', async (_, request) => {
  expect(await new Client().send(request).over).toMatch(/^HTTP\/1\.1 40[05] /)
  expect(upgrader.inbound).toEqual([])
})

test('an upgrade that is reset in the middle ends nothing but itself', async () => {
  const client = new Client()
  client.send(UPGRADE)
  client.socket.resetAndDestroy()
  await client.over
  const later = new Client().send(UPGRADE)
  later.socket.end()
  later.socket.destroy()
  await later.over
  await turns(5)
})

test.each([
  ['noise', '\x13/multistream/1.0.0\n'],
  ['zeros', '\0'.repeat(5000)],
  ['a request that is none', 'GET\r\n\r\n'],
])('bytes that are no HTTP (%s) are refused', async (_, bytes) => {
  expect(await new Client().send(bytes).over).toMatch(/^(HTTP\/1\.1 400 |$)/)
})

test('maxUpgradeRequestBytes: a longer head is answered 431', async () => {
  const request = (length: number): string =>
    UPGRADE.replace('Host: x', `Host: x\r\nX: ${'a'.repeat(length)}`)
  const client = await (async () => {
    const ok = new Client().send(request(limits.maxUpgradeRequestBytes - 500))
    await once(ok.socket, 'data')
    return ok
  })()
  client.socket.destroy()
  const answer = await new Client().send(request(limits.maxUpgradeRequestBytes)).over
  expect(answer).toMatch(/^HTTP\/1\.1 431 /)
})

test('handshakeTimeoutMs: who sends a request too slowly, or none, is cut off', async () => {
  await listener.close()
  await listenOn('/ip4/127.0.0.1/tcp/0/ws', HURRIED)
  const silent = new Client()
  const slow = new Client()
  const drip = setInterval(() => slow.send('GET / HTTP/1.1\r\nX: a'), 20)
  const started = performance.now()
  expect(await silent.over).toBe('')
  await slow.over
  clearInterval(drip)
  expect(performance.now() - started).toBeGreaterThan(HURRIED.handshakeTimeoutMs * 0.9)
  await listener.close()
  await listenOn('/ip4/127.0.0.1/tcp/0/ws')
})

test('maxPendingPerAddress: idle sockets of one address leave room for another', async () => {
  const idle = Array.from({ length: 20 }, () => new Client('127.0.0.3'))
  // All but four are cut off at once.
  const first = await Promise.all(idle.map(({ socket }) => settled(socket)))
  expect(first.filter((open) => open)).toHaveLength(limits.maxPendingPerAddress)
  await honestPeerIsServed()
  for (const { socket } of idle) socket.destroy()
  await Promise.all(idle.map(({ over }) => over))
})

test('maxPendingInbound: nor do idle sockets of many addresses add up to more', async () => {
  const idle = Array.from({ length: 20 }, (_, i) => new Client(`127.0.1.${1 + i}`))
  const first = await Promise.all(idle.map(({ socket }) => settled(socket)))
  expect(first.filter((open) => open)).toHaveLength(limits.maxPendingInbound)
  for (const { socket } of idle) socket.resetAndDestroy()
  await Promise.all(idle.map(({ over }) => over))
  await turns(30)
})

/** Whether the server still has it some turns after it connected. */
async function settled(socket: Socket): Promise<boolean> {
  if (socket.connecting) await Promise.race([once(socket, 'connect'), once(socket, 'close')])
  await turns(30)
  return !socket.destroyed
}

test('closing the listener closes sockets that are no WebSocket yet', async () => {
  await listener.close()
  await listenOn('/ip4/127.0.0.1/tcp/0/ws', { handshakeTimeoutMs: 60_000 })
  const client = new Client()
  await once(client.socket, 'connect')
  await turns(5)
  await listener.close()
  expect(await client.over).toBe('')
  await listenOn('/ip4/127.0.0.1/tcp/0/ws')
})

test.each([
  ['text', frame(0x81, 5, 'hello')],
  ['an empty text', frame(0x81, 0)],
  ['a reserved bit', frame(0xc2, 1, 'x')],
  ['a reserved opcode', frame(0x83, 1, 'x')],
  ['no mask', '\x82\x01x'],
  ['a long ping', frame(0x89, 126, 'x'.repeat(126))],
  ['a continuation of nothing', frame(0x80, 1, 'x')],
  ['a bad close code', frame(0x88, 2, '\x00\x01')],
  ['a cut-off frame and the end', ''],
])('a frame against the protocol (%s) is one reset', async (what, bytes) => {
  const client = await new Client().upgraded()
  const [far] = await upgrader.arrivals(1)
  const atFar = new Recorder((far as Taken).pipe)
  if (bytes === '') client.send(frame(0x82, 100, 'x')).socket.end()
  else client.send(bytes)
  await atFar.until(() => atFar.closed)
  expect(atFar.error, what).toBeInstanceOf(Error)
  expect([atFar.bytes, atFar.ended]).toEqual([0, false])
  await client.over
})

test('maxWebSocketMessageBytes: a longer message is a reset before its bytes are there', async () => {
  for (const [length, fits] of [
    [limits.maxWebSocketMessageBytes, true],
    [limits.maxWebSocketMessageBytes + 1, false],
    [2 ** 40, false],
  ] as const) {
    const before = upgrader.inbound.length
    const client = await new Client().upgraded()
    const far = (await upgrader.arrivals(before + 1)).at(-1)
    const atFar = new Recorder((far as Taken).pipe)
    client.send(frame(0x82, length, fits ? 'x'.repeat(length) : ''))
    await atFar.until(() => (fits ? atFar.bytes === length : atFar.closed))
    expect(atFar.error instanceof Error).toBe(!fits)
    client.socket.destroy()
    await client.over
  }
})

test('a message in fragments adds up to no more than that', async () => {
  const client = await new Client().upgraded()
  const [far] = await upgrader.arrivals(1)
  const atFar = new Recorder((far as Taken).pipe)
  client.send(frame(0x02, 6000, 'x'.repeat(6000)))
  client.send(frame(0x00, 6000, 'x'.repeat(6000)))
  await atFar.until(() => atFar.closed)
  expect([atFar.bytes, atFar.error instanceof Error]).toEqual([0, true])
  await client.over
})

test('pings are answered, and a peer that reads no answer does not grow the queue', async () => {
  const client = await new Client().upgraded()
  const [far] = await upgrader.arrivals(1)
  const { pipe } = far as Taken
  const atFar = new Recorder(pipe)
  client.socket.pause()
  const pings = frame(0x89, 100, 'p'.repeat(100)).repeat(1000)
  let most = 0
  for (let i = 0; i < 100 && !atFar.closed; i++) {
    client.send(pings)
    await turns(1)
    most = Math.max(most, pipe.queuedBytes)
  }
  expect(most).toBeLessThan(1_000_000)
  client.socket.destroy()
  await client.over
  await atFar.until(() => atFar.closed)
})

test('a TLS port: plain bytes, a plain upgrade and silence are cut off', async () => {
  await listener.close()
  await listenOn('/ip4/127.0.0.1/tcp/0/tls/ws', HURRIED)
  const plain = new Client().send(UPGRADE)
  const zeros = new Client().send('\0'.repeat(1000))
  const silent = new Client()
  await Promise.all([plain.over, zeros.over, silent.over])
  expect(upgrader.inbound).toEqual([])
  await listener.close()
  await listenOn('/ip4/127.0.0.1/tcp/0/ws')
})

test('a dial to a server that is none is unavailable', async () => {
  for (const answer of [
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1:1/\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    'nonsense\r\n\r\n',
    '',
  ]) {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(answer))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const bound = server.address()
    const to = typeof bound === 'object' && bound !== null ? bound.port : 0
    const { signal } = new AbortController()
    const dial = transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${to}/ws`), { upgrader, signal })
    await expect(dial).rejects.toMatchObject({
      name: 'P2pError',
      code: 'unavailable',
      layer: 'dial',
    })
    server.close()
  }
})

test('a dial to a server that says nothing ends the moment its signal aborts', async () => {
  const gone: Promise<unknown>[] = []
  const server = createServer((socket) => {
    gone.push(new Promise((resolve) => socket.once('close', resolve)))
    socket.on('error', () => {}).resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const bound = server.address()
  const to = typeof bound === 'object' && bound !== null ? bound.port : 0
  for (const suffix of ['/ws', '/wss']) {
    const controller = new AbortController()
    const { signal } = controller
    const dial = transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${to}${suffix}`), {
      upgrader,
      signal,
    })
    await once(server, 'connection')
    const reason = new Error('changed my mind')
    controller.abort(reason)
    await expect(dial).rejects.toBe(reason)
  }
  expect(gone).toHaveLength(2)
  await Promise.all(gone)
  server.close()
})
