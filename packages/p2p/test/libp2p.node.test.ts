/** The service on stock js-libp2p, with stock TCP, Noise and Yamux, beside nodes of ours and beside its like. */
import { equalBytes } from '@stronghold/core'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import type { Libp2p } from 'libp2p'
import { afterEach, describe, expect, test } from 'vitest'

import {
  bidiStream,
  bytes,
  clientStream,
  createNode,
  defineProtocol,
  isP2pError,
  original,
  requestResponse,
  serverStream,
  unary,
} from '../src/index.ts'
import type { Client, ClientOptions, FirewallInit, P2pLimits, ServeOptions } from '../src/index.ts'
import { customTransport, requests } from '../src/libp2p.ts'
import type { RequestsService } from '../src/libp2p.ts'

const echo = defineProtocol('/example/echo/1.0.0', {
  bytes: unary({ request: bytes, response: bytes, readOnly: true }),
  // With side effects.
  touch: unary({ request: bytes, response: bytes }),
  count: serverStream({ download: bytes }),
  sum: clientStream({ upload: bytes, response: bytes }),
  both: bidiStream({ upload: bytes, download: bytes }),
})
type Echo = typeof echo.methods

interface Counts {
  made: number
  taken: number
  /** Lets a handler that takes uploads read on. */
  read: PromiseWithResolvers<undefined>
}

function handlersOf(counts: Counts): Parameters<RequestsService['serve']>[1] {
  return {
    bytes: (message: Uint8Array) => message,
    touch: (message: Uint8Array) => message,
    count: function* () {
      for (; counts.made < 8 * 1024; counts.made++) yield new Uint8Array(1024)
    },
    sum: async (_: unknown, { upload }: { upload: AsyncIterable<Uint8Array> }) => {
      await counts.read.promise
      let sum = 0
      for await (const item of upload) sum += item.byteLength
      return new TextEncoder().encode(String(sum))
    },
    both: async function* (_: unknown, { upload }: { upload: AsyncIterable<Uint8Array> }) {
      for await (const item of upload) yield item
    },
  } as never
}

/** What both kinds of node have. */
interface Side {
  addresses: string[]
  peer: string
  serve(counts: Counts, options?: ServeOptions): void
  client(to: Side, options?: ClientOptions): Client<Echo>
  events: RequestsService['events']
  firewall: RequestsService['firewall']
  stop(): Promise<void>
}

interface SideInit {
  firewall?: FirewallInit
  limits?: Partial<P2pLimits>
}

const LISTEN = ['/ip4/127.0.0.1/tcp/0']
const OPEN: FirewallInit = { inbound: { fallback: 'allow' } }
const open: Side[] = []

afterEach(async () => {
  for (const side of open.splice(0)) await side.stop()
})

async function stock({ firewall = OPEN, limits = {} }: SideInit = {}): Promise<Side> {
  const node: Libp2p<{ requests: RequestsService }> = await createLibp2p({
    addresses: { listen: LISTEN },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { requests: requests({ firewall, limits }) },
  })
  const service = node.services.requests
  const side: Side = {
    addresses: node.getMultiaddrs().map(String),
    peer: node.peerId.toString(),
    serve: (counts, options) => service.serve(echo, handlersOf(counts) as never, options),
    client: (to, options) => service.client(echo, to.addresses, options),
    events: service.events.bind(service),
    firewall: service.firewall,
    stop: async () => {
      await node.stop()
    },
  }
  open.push(side)
  return side
}

async function ours({ firewall = OPEN, limits = {} }: SideInit = {}): Promise<Side> {
  const node = await createNode({ listen: LISTEN, firewall, limits })
  const side: Side = {
    addresses: node.addresses,
    peer: node.peer,
    serve: (counts, options) => node.serve(echo, handlersOf(counts) as never, options),
    client: (to, options) => node.client(echo, to.addresses, options),
    events: node.events.bind(node),
    firewall: node.firewall,
    stop: () => node.stop(),
  }
  open.push(side)
  return side
}

function counts(): Counts {
  return { made: 0, taken: 0, read: Promise.withResolvers() }
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise
  } catch (error) {
    if (!isP2pError(error)) throw error
    return { code: error.code, ran: error.ran, layer: error.layer }
  }
}

describe.each([
  ['stock asks ours', stock, ours],
  ['ours asks stock', ours, stock],
  ['stock asks stock', stock, stock],
])('%s', (_, asking, answering) => {
  test('every kind of method, long messages, many at once', async () => {
    const home = await answering()
    const served = counts()
    served.read.resolve(undefined)
    home.serve(served)
    const remote = (await asking()).client(home)
    const long = Uint8Array.from({ length: 3_000_000 }, (_, at) => at % 251)
    expect(equalBytes(await remote.bytes(long), long)).toBe(true)
    const many = Array.from({ length: 200 }, (_, at) => remote.touch(Uint8Array.of(at)))
    expect((await Promise.all(many)).map(([byte]) => byte)).toEqual(
      Array.from({ length: 200 }, (_, at) => at),
    )
    const items = Array.from({ length: 100 }, () => new Uint8Array(50_000))
    const sum = await remote.sum(undefined, { upload: items })
    expect(new TextDecoder().decode(sum)).toBe('5000000')
    let echoed = 0
    for await (const item of remote.both(undefined, { upload: items })) echoed += item.byteLength
    expect(echoed).toBe(5_000_000)
  })

  test('a slow reader stops the sender, a slow handler the uploader', async () => {
    const limits = { requestWindowBytes: 64 * 1024 }
    const home = await answering({ firewall: OPEN, limits })
    const served = counts()
    home.serve(served)
    const remote = (await asking({ limits })).client(home)
    const items = remote.count()
    await items.next()
    // Nothing more comes while nobody reads: a round trip of another request says that all is quiet.
    for (let at = 0; at < 20; at++) await remote.bytes(Uint8Array.of(at))
    expect(served.made).toBeLessThan(200)
    let bytesRead = 1024
    for await (const item of items) bytesRead += item.byteLength
    expect(bytesRead).toBe(8 * 1024 * 1024)

    let pushed = 0
    const upload = function* (): Generator<Uint8Array> {
      for (; pushed < 4096; pushed++) yield new Uint8Array(1024)
    }
    const sum = remote.sum(undefined, { upload: upload() })
    for (let at = 0; at < 20; at++) await remote.bytes(Uint8Array.of(at))
    expect(pushed).toBeLessThan(200)
    served.read.resolve(undefined)
    expect(new TextDecoder().decode(await sum)).toBe(String(4096 * 1024))
  })

  test('the same in the framings of others', async () => {
    const home = await answering()
    const framings = [
      original({ method: 'bytes' }),
      requestResponse('/echo/json/1', 'json', { method: 'bytes' }),
      requestResponse('/echo/cbor/1', 'cbor', { method: 'bytes' }),
      requestResponse('/echo/raw/1', 'raw', { method: 'bytes' }),
    ]
    home.serve(counts(), { as: framings })
    const away = await asking()
    const message = Uint8Array.from({ length: 200_000 }, (_, at) => at % 251)
    for (const as of framings) {
      const remote = away.client(home, { as })
      expect(equalBytes(await remote.bytes(message), message)).toBe(true)
      const many = Array.from({ length: 40 }, (_, at) => remote.bytes(Uint8Array.of(at)))
      expect((await Promise.all(many)).map(([byte]) => byte)).toEqual([...Array(40).keys()])
    }
  })

  test('who is denied is told so, and the connection stays', async () => {
    const home = await answering({ firewall: { inbound: { fallback: 'deny' } } })
    home.serve(counts(), { as: original({ method: 'bytes' }) })
    const away = await asking()
    const denied = home.events({ types: ['denied'] })
    const remote = away.client(home)
    expect(await failure(remote.bytes(Uint8Array.of(1)))).toEqual({
      code: 'unimplemented',
      ran: 'no',
      layer: 'protocol',
    })
    expect((await denied.next()).value).toMatchObject({
      type: 'denied',
      peer: away.peer,
      by: 'fallback',
    })
    const asOriginal = away.client(home, { as: original({ method: 'bytes' }) })
    expect(await failure(asOriginal.bytes(Uint8Array.of(1)))).toMatchObject({
      code: expect.stringMatching(/unimplemented|unavailable/),
    })
    home.firewall.set('inbound', 'fallback', 'allow')
    expect(await remote.bytes(Uint8Array.of(1))).toEqual(Uint8Array.of(1))
    expect(await asOriginal.bytes(Uint8Array.of(1))).toEqual(Uint8Array.of(1))
  })

  test('an end of the other side ends what is in flight', async () => {
    const home = await answering()
    const served = counts()
    home.serve(served)
    const remote = (await asking()).client(home)
    await remote.bytes(Uint8Array.of(1))
    const sum = failure(remote.sum(undefined, { upload: [Uint8Array.of(1)] }))
    await remote.bytes(Uint8Array.of(1))
    await home.stop()
    expect(await sum).toEqual({ code: 'unavailable', ran: 'maybe', layer: 'request' })
  })
})

test('connections are told as they are', async () => {
  const home = await stock()
  home.serve(counts())
  const events = home.events({ types: ['connected', 'disconnected', 'request'] })
  const away = await ours()
  await away.client(home).bytes(Uint8Array.of(1))
  const connected = (await events.next()).value
  expect(connected).toMatchObject({
    type: 'connected',
    peer: away.peer,
    direction: 'inbound',
    transport: 'tcp',
    security: 'noise',
    muxer: '/yamux/1.0.0',
    relayed: false,
  })
  expect((await events.next()).value).toMatchObject({
    type: 'request',
    connection: (connected as { connection: string }).connection,
  })
  await away.stop()
  expect((await events.next()).value).toMatchObject({ type: 'disconnected', peer: away.peer })
})

test('a stopped service says so, and its events end', async () => {
  const home = await stock()
  const away = await stock()
  home.serve(counts())
  const remote = away.client(home)
  await remote.bytes(Uint8Array.of(1))
  const events = away.events({ types: ['denied'] })
  await away.stop()
  await expect(events.next()).resolves.toEqual({ done: true, value: undefined })
  expect(await failure(remote.bytes(Uint8Array.of(1)))).toMatchObject({
    code: 'failed_precondition',
  })
})

test('what is misuse throws', async () => {
  expect(() => requests({ firewal: {} } as never)).toThrow('unknown key firewal')
  expect(() => requests({ limits: { maxNesting: 0 } })).toThrow(RangeError)
  const home = await stock()
  home.serve(counts())
  expect(() => {
    home.serve(counts())
  }).toThrow('it is served already')
})

test('a node of ours takes a libp2p transport', async () => {
  const transports = [customTransport(tcp({ inboundSocketInactivityTimeout: 10_000 }) as never)]
  await using home = await createNode({ transports, listen: LISTEN, firewall: OPEN })
  home.serve(echo, handlersOf(counts()) as never)
  await using away = await createNode()
  expect(await away.client(echo, home.addresses).bytes(Uint8Array.of(1))).toEqual(Uint8Array.of(1))
})
