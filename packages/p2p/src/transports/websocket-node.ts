/** WebSocket on Node.js: `ws` below, certificates from the user. Opens and listens; upgrades nothing. */
import type { Transport } from '@libp2p/interface'
import { WebSocket } from 'ws'
import type { ClientOptions } from 'ws'

import { systemClock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import type { P2pLimits } from '../limits.ts'
import type { WebSocketInit, WebSocketTrust } from '../runtime/transports.ts'

import type { TransportComponents } from './dial.ts'
import type { WebSocketEndpoint } from './endpoint.ts'
import { ServerListener } from './server-listener.ts'
import { pipeOver } from './websocket-frames.ts'
import { openWebSocketServer } from './websocket-server.ts'
import { webSocketTransport } from './websocket.ts'

/** The WebSocket transport, to stand in `transports` of a libp2p node. */
export function webSocket(
  init: WebSocketInit = {},
): (components: TransportComponents) => Transport {
  const limits = init.limits ?? DEFAULT_LIMITS
  const clock = init.clock ?? systemClock
  return webSocketTransport({
    limits,
    resolver: init.resolver,
    hasCertificate: init.certificate !== undefined,
    connect: (endpoint, signal) => connect(endpoint, signal, init.trust ?? {}, limits),
    listen: (upgrader, log) =>
      new ServerListener({
        upgrader,
        log,
        backlog: init.backlog ?? 511,
        open: (address, arrived) =>
          openWebSocketServer(address, { arrived, limits, clock, certificate: init.certificate }),
      }),
  })
}

function connect(
  endpoint: WebSocketEndpoint,
  signal: AbortSignal,
  trust: WebSocketTrust,
  limits: Readonly<P2pLimits>,
): Promise<Pipe> {
  const { host, port, secure, sni } = endpoint
  const inUrl = endpoint.kind === 'ip6' ? `[${host.split('%')[0] ?? host}]` : host
  const options: ClientOptions & { closeTimeout: number } = {
    perMessageDeflate: false,
    followRedirects: false,
    skipUTF8Validation: true,
    maxPayload: limits.maxWebSocketMessageBytes,
    closeTimeout: limits.closeTimeoutMs,
    ...(secure ? trust : {}),
    ...(sni === undefined ? {} : { servername: sni, headers: { Host: `${sni}:${port}` } }),
  }
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${secure ? 'wss' : 'ws'}://${inUrl}:${port}/`, options)
    const aborted = (): void => {
      reject(signal.reason as Error)
      socket.terminate()
    }
    signal.addEventListener('abort', aborted)
    socket.on('error', reject)
    socket.once('open', () => {
      signal.removeEventListener('abort', aborted)
      // In this very turn, so that nothing is read before somebody listens.
      resolve(pipeOver(socket, limits))
    })
    socket.once('close', () => {
      signal.removeEventListener('abort', aborted)
      reject(new Error('the WebSocket was closed before it was open'))
    })
  })
}
