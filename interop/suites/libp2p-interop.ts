/**
 * The suites `connect`, `streams` and `relay` of `@libp2p/interop` with ours and stock js-libp2p in every role. What
 * they call `js` is ours and `go` is stock, as they leave out what has `go` on both sides.
 */
import { readFile } from 'node:fs/promises'

import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { createClient } from '@libp2p/daemon-client'
import { createServer } from '@libp2p/daemon-server'
import { identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import { connectInteropTests, relayInteropTests, streamInteropTests } from '@libp2p/interop'
import type { Daemon, DaemonFactory, SpawnOptions } from '@libp2p/interop'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

import type { SecurityName } from '../../packages/p2p/src/securities.ts'

import { composeOurs } from './_ours.ts'

const LISTEN = '/ip4/127.0.0.1/tcp/0'
/** One reservation per peer is what the suite makes; a relay must not be in the way of the others. */
const reservations = { maxReservations: 128 }

/** What the suite would try and neither side has: no test is made of it. */
const FOREIGN = [
  'webtransport',
  'webrtc-direct',
  '/plaintext/',
  '/mplex ',
  'go to go over relay go',
]

const factory: DaemonFactory = {
  spawn: async (options) => {
    const node = options.type === 'js' ? await ours(options) : await stock(options)
    const server = createServer(multiaddr(LISTEN), node as never)
    await server.start()
    return daemon(server)
  },
}

function daemon(server: ReturnType<typeof createServer>): Daemon {
  return {
    client: createClient(server.getMultiaddr()),
    stop: () => server.stop(),
  }
}

async function ours(options: SpawnOptions): Promise<unknown> {
  const composed = await composeOurs({
    ...(options.key !== undefined && { identity: await readFile(options.key) }),
    security: securityOf(options),
    transports: [circuitRelayTransport() as never],
    services: options.relay === true ? { relay: circuitRelayServer({ reservations }) } : {},
  })
  const { libp2p, parts } = composed
  await libp2p.start()
  if (options.noListen !== true) await parts.transportManager.listen([multiaddr(LISTEN)])
  return libp2p
}

async function stock(options: SpawnOptions): Promise<unknown> {
  const channels = { noise: noise(), tls: tls() }
  const node: Libp2p = await createLibp2p({
    start: false,
    ...(options.key !== undefined && {
      privateKey: privateKeyFromProtobuf(await readFile(options.key)),
    }),
    addresses: { listen: options.noListen === true ? [] : [LISTEN] },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: securityOf(options).map((name) => channels[name]),
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      ping: ping(),
      ...(options.relay === true && { relay: circuitRelayServer({ reservations }) }),
    },
  })
  return node
}

function securityOf({ encryption }: SpawnOptions): SecurityName[] {
  if (encryption === undefined) return ['noise', 'tls']
  if (encryption === 'plaintext') throw new TypeError('neither side speaks plaintext')
  return [encryption]
}

await only(() => {
  connectInteropTests(factory)
})
await only(() => streamInteropTests(factory))
await only(() => {
  relayInteropTests(factory)
})

/** Registers the tests but those of what neither side has. */
async function only(register: () => void | Promise<void>): Promise<void> {
  const all = globalThis.describe
  const some = ((title: string, body: () => void) => {
    if (!FOREIGN.some((one) => title.includes(one))) all(title, body)
  }) as typeof all
  globalThis.describe = some
  try {
    await register()
  } finally {
    globalThis.describe = all
  }
}
