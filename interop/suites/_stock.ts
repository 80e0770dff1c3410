/** The other side: js-libp2p as it comes, and with less than it comes with. */
import { identify, identifyPush } from '@libp2p/identify'
import type { ConnectionEncrypter, Libp2p } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import type { Ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import type { Libp2pInit } from 'libp2p'

import type { SecurityName } from '../../packages/p2p/src/securities.ts'
import { TEST_CERTIFICATE, TEST_KEY } from '../../packages/p2p/test/transports/certificate.ts'

/** A peer of js-libp2p. */
export type Stock = Libp2p<{ ping?: Ping }>

/** What a stock peer has. */
export interface StockInit {
  listen?: string
  security: SecurityName
  /** Whether it agrees on the muxer inside the handshake. */
  early: boolean
  /** Whether it has identify and ping. */
  talks: boolean
}

type EncrypterFactory = NonNullable<Libp2pInit['connectionEncrypters']>[number]

const channels: Record<SecurityName, EncrypterFactory> = { noise: noise(), tls: tls() }

/** Starts one. */
export async function stockNode(init: StockInit): Promise<Stock> {
  const channel = channels[init.security]
  const base: Libp2pInit = {
    addresses: { listen: init.listen === undefined ? [] : [init.listen] },
    transports: [tcp(), webSockets({ https: { key: TEST_KEY, cert: TEST_CERTIFICATE } })],
    connectionEncrypters: [init.early ? channel : late(channel)],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    connectionGater: { denyDialMultiaddr: () => false },
  }
  if (!init.talks) return createLibp2p(base)
  const services = { identify: identify(), push: identifyPush(), ping: ping() }
  return createLibp2p({ ...base, services })
}

/** The same channel, with nothing about muxers in its handshake. */
function late(channel: EncrypterFactory): EncrypterFactory {
  return (components) => {
    const made = channel(components)
    const silent: ConnectionEncrypter = {
      protocol: made.protocol,
      secureOutbound: (connection, options) =>
        made.secureOutbound(connection, { ...options, skipStreamMuxerNegotiation: true }),
      secureInbound: (connection, options) =>
        made.secureInbound(connection, { ...options, skipStreamMuxerNegotiation: true }),
    }
    return silent
  }
}
