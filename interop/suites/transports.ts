/** The transport suite of `@libp2p/interface-compliance-tests` on our TCP and WebSocket transports. */
import tests from '@libp2p/interface-compliance-tests/transport'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { TCP, WebSockets, WebSocketsSecure } from '@multiformats/multiaddr-matcher'
import type { MultiaddrMatcher } from '@multiformats/multiaddr-matcher'
import type { Libp2pInit } from 'libp2p'

import { tcp } from '../../packages/p2p/src/transports/tcp.ts'
import { webSocket } from '../../packages/p2p/src/transports/websocket-node.ts'
import { TEST_CERTIFICATE, TEST_KEY } from '../../packages/p2p/test/transports/certificate.ts'

type Factory = NonNullable<Libp2pInit['transports']>[number]

const certificate = { key: TEST_KEY, cert: TEST_CERTIFICATE }

suite('TCP', () => tcp(), TCP, ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0'])
suite('WebSocket', () => webSocket(), WebSockets, [
  '/ip4/127.0.0.1/tcp/0/ws',
  '/ip4/127.0.0.1/tcp/0/ws',
])
suite(
  'secure WebSocket',
  () => webSocket({ certificate, trust: { ca: TEST_CERTIFICATE } }),
  WebSocketsSecure,
  ['/ip4/127.0.0.1/tcp/0/tls/ws', '/ip4/127.0.0.1/tcp/0/wss'],
)

function suite(
  name: string,
  transport: () => Factory,
  matcher: MultiaddrMatcher,
  listen: string[],
): void {
  describe(`the transport over ${name}`, () => {
    tests({
      async setup() {
        const common = {
          transports: [transport()],
          connectionEncrypters: [noise()],
          streamMuxers: [yamux()],
          connectionGater: { denyDialMultiaddr: () => false },
        }
        return {
          dialer: common,
          listener: { ...common, addresses: { listen } },
          listenMultiaddrMatcher: matcher,
          dialMultiaddrMatcher: matcher,
        }
      },
      async teardown() {
        // The suite stops its nodes.
      },
    })
  })
}
