/** The network as Node.js has it. */
import { systemResolver } from '../transports/system-resolver.ts'
import { tcp } from '../transports/tcp.ts'
import { webSocket } from '../transports/websocket-node.ts'

import type { TransportRuntime } from './transports.ts'

/** The platform's network, on Node.js. */
export const transportRuntime: TransportRuntime = {
  tcp,
  webSocket,
  systemResolver: () => systemResolver(),
  afterTurn: (callback) => {
    setImmediate(callback)
  },
}
