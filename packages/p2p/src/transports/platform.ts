/** The transports that the platform has, set up as a node is. Which platform it is, `#runtime` knows. */
import { transportRuntime } from '#runtime'

import type { TransportFactory } from '../compose.ts'
import { resolveLimits } from '../limits.ts'
import type { NodeInit } from '../node-interface.ts'

/** WebSocket, and TCP where there is any. */
export function platformTransports(
  init: Pick<NodeInit, 'limits' | 'resolver' | 'webSocketCertificate' | 'webSocketAuthorities'>,
): TransportFactory[] {
  const { resolver, webSocketCertificate: certificate, webSocketAuthorities: ca } = init
  const { tcp, webSocket } = transportRuntime
  const shared = {
    limits: resolveLimits(init.limits),
    ...(resolver === undefined ? {} : { resolver }),
  }
  return [
    ...(tcp === undefined ? [] : [tcp(shared)]),
    webSocket({
      ...shared,
      ...(ca === undefined ? {} : { trust: { ca: typeof ca === 'string' ? ca : [...ca] } }),
      ...(certificate === undefined ? {} : { certificate }),
    }),
  ]
}
