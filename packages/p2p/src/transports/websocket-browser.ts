/** WebSocket in a browser: dial only, names and certificates are the browser's affair, reading cannot be slowed. */
import type { Transport } from '@libp2p/interface'

import { systemClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import type { P2pLimits } from '../limits.ts'
import type { WebSocketInit } from '../runtime/transports.ts'

import type { TransportComponents } from './dial.ts'
import type { WebSocketEndpoint } from './endpoint.ts'
import { HIGH_WATER_BYTES, isCleanClose, WebSocketPipe } from './websocket-pipe.ts'
import type { FrameEvents, Frames } from './websocket-pipe.ts'
import { webSocketTransport } from './websocket.ts'

/** Time between two looks at how much of what was sent has left: a browser tells nobody. */
const POLL_MS = 5

/** From the range that applications may use (RFC 6455 §7.4.2): any code that does not say that all is well. */
const RESET_CODE = 4000

/** The WebSocket transport over the `WebSocket` of the platform. Listens on nothing. */
export function browserWebSocket(
  init: Pick<WebSocketInit, 'limits' | 'clock'> = {},
): (components: TransportComponents) => Transport {
  const limits = init.limits ?? DEFAULT_LIMITS
  const clock = init.clock ?? systemClock
  return webSocketTransport({
    limits,
    resolver: undefined,
    hasCertificate: false,
    connect: (endpoint, signal) => connect(endpoint, signal, limits, clock),
    listen: undefined,
  })
}

function connect(
  endpoint: WebSocketEndpoint,
  signal: AbortSignal,
  limits: Readonly<P2pLimits>,
  clock: Clock,
): Promise<Pipe> {
  const { host, port, secure, sni } = endpoint
  const inUrl = sni ?? (endpoint.kind === 'ip6' ? `[${host}]` : host)
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${secure ? 'wss' : 'ws'}://${inUrl}:${port}/`)
    socket.binaryType = 'arraybuffer'
    const aborted = (): void => {
      reject(signal.reason as Error)
      socket.close()
    }
    signal.addEventListener('abort', aborted)
    socket.addEventListener('open', () => {
      signal.removeEventListener('abort', aborted)
      if (signal.aborted) return
      resolve(new WebSocketPipe((events) => framesOf(socket, events, clock), limits))
    })
    socket.addEventListener('close', () => {
      signal.removeEventListener('abort', aborted)
      reject(new Error('the WebSocket did not open'))
    })
  })
}

function framesOf(socket: WebSocket, events: FrameEvents, clock: Clock): Frames {
  let polling = false
  let over = false
  const poll = (): void => {
    polling = false
    if (over) return
    if (socket.bufferedAmount >= HIGH_WATER_BYTES) startPolling()
    else events.sent()
  }
  const startPolling = (): void => {
    if (polling) return
    polling = true
    clock.setTimer(POLL_MS, poll)
  }
  const closed = (error?: Error): void => {
    if (over) return
    over = true
    events.closed(error)
  }
  socket.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
    if (over) return
    if (data instanceof ArrayBuffer) {
      events.data(new Uint8Array(data))
      return
    }
    closed(new Error('the other side sent text'))
    socket.close(RESET_CODE)
  })
  socket.addEventListener('close', ({ code }) => {
    closed(isCleanClose(code) ? undefined : new Error(`the WebSocket was closed with code ${code}`))
  })
  return {
    send: (frame) => {
      socket.send(frame as Uint8Array<ArrayBuffer>)
      if (socket.bufferedAmount >= HIGH_WATER_BYTES) startPolling()
      else
        queueMicrotask(() => {
          if (!over) events.sent()
        })
    },
    get bufferedBytes() {
      return socket.bufferedAmount
    },
    close: () => {
      socket.close(1000)
    },
    terminate: () => {
      // A browser has no way to cut a connection: it is closed in a way that is no end, and what comes is dropped.
      socket.close(RESET_CODE)
      queueMicrotask(() => {
        closed()
      })
    },
    pause: () => {},
    resume: () => {},
  }
}
