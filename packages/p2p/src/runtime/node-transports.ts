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
    // A tick that a microtask asks for comes when no microtask is left: after everything this turn leads to, and
    // without the rest of the event loop that an immediate waits for.
    queueMicrotask(() => {
      process.nextTick(callback)
    })
  },
}
