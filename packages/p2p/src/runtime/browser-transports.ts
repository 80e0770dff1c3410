/** The network as browsers have it: WebSockets to dial, nothing else. */
import { browserWebSocket } from '../transports/websocket-browser.ts'

import type { TransportRuntime } from './transports.ts'

/** The platform's network, in browsers. */
export const transportRuntime: TransportRuntime = {
  tcp: undefined,
  webSocket: browserWebSocket,
  systemResolver: undefined,
  afterTurn: (callback) => {
    // A message comes after what is ready, as setImmediate does; timers are slowed down in pages nobody looks at.
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      callback()
    }
    port2.postMessage(undefined)
  },
}
