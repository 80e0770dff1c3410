/**
 * The HTTP server below WebSocket listeners: takes upgrades, answers everything else with an error, and gives nobody
 * longer than a handshake may take. It knows nothing of libp2p.
 */
import { createServer as createHttpServer } from 'node:http'
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

import type { Multiaddr } from '@multiformats/multiaddr'
import { WebSocketServer } from 'ws'
import type { ServerOptions } from 'ws'

import type { Clock } from '../clock.ts'
import { ipGroup, parseIp } from '../connection/ip.ts'
import type { P2pLimits } from '../limits.ts'
import type { WebSocketCertificate } from '../runtime/transports.ts'

import { isIp, webSocketEndpoint } from './endpoint.ts'
import type { Arrival, OpenServer } from './server-listener.ts'
import { pipeOver } from './websocket-frames.ts'

/** What the server needs. */
export interface WebSocketServerInit {
  arrived: Arrival
  limits: Readonly<P2pLimits>
  clock: Clock
  certificate: WebSocketCertificate | undefined
}

/**
 * A server for one address, not listening yet.
 *
 * @throws `TypeError` for another kind of address, and for a secure one without a certificate
 */
export function openWebSocketServer(address: Multiaddr, init: WebSocketServerInit): OpenServer {
  const { limits, certificate, arrived } = init
  const endpoint = webSocketEndpoint(address)
  if (endpoint === undefined || !isIp(endpoint)) {
    throw new TypeError('Cannot listen: not a WebSocket address')
  }
  const http = {
    maxHeaderSize: limits.maxUpgradeRequestBytes,
    requestTimeout: 0,
    headersTimeout: 0,
  }
  let server: HttpServer | HttpsServer
  if (!endpoint.secure) server = createHttpServer(http)
  else if (certificate !== undefined) server = createHttpsServer({ ...certificate, ...http })
  else throw new TypeError('Cannot listen: a secure WebSocket needs a certificate')

  const options: ServerOptions & { closeTimeout: number } = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    skipUTF8Validation: true,
    maxPayload: limits.maxWebSocketMessageBytes,
    closeTimeout: limits.closeTimeoutMs,
  }
  const upgrades = new WebSocketServer(options)
  const pending = new Pending(init)
  server.on('connection', (socket: Socket) => {
    pending.add(socket)
  })
  server.on('request', refuse)
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    upgrades.handleUpgrade(request, socket, head, (webSocket) => {
      // In this very turn: the pipe listens for errors from here on, and has read nothing.
      const pipe = pipeOver(webSocket, limits)
      const { remoteAddress, remotePort } = request.socket
      pending.done(request.socket)
      arrived(pipe, remoteAddress, remotePort)
    })
  })
  return {
    server,
    endpoint,
    suffix: endpoint.suffix,
    stop: () => {
      pending.stop()
    },
  }
}

function refuse(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(426, { Connection: 'close', Upgrade: 'websocket', 'Content-Length': 0 })
  response.end()
}

/** Sockets on which no WebSocket is open yet: few in all, few from one address, and none of them for long. */
class Pending {
  readonly #init: WebSocketServerInit
  readonly #sockets = new Map<string, { socket: Socket; leave: () => void }>()
  readonly #perAddress = new Map<string, number>()

  constructor(init: WebSocketServerInit) {
    this.#init = init
  }

  add(socket: Socket): void {
    const { limits, clock } = this.#init
    const key = keyOf(socket)
    const ip = parseIp(socket.remoteAddress ?? '')
    const group = ip === undefined ? '' : ipGroup(ip)
    const before = this.#perAddress.get(group) ?? 0
    const full = this.#sockets.size >= limits.maxPendingInbound
    if (full || before >= limits.maxPendingPerAddress || this.#sockets.has(key)) {
      socket.destroy()
      return
    }
    this.#perAddress.set(group, before + 1)
    const cancel = clock.setTimer(limits.handshakeTimeoutMs, () => {
      socket.destroy()
    })
    const leave = (): void => {
      if (this.#sockets.get(key)?.socket !== socket) return
      this.#sockets.delete(key)
      cancel()
      const left = (this.#perAddress.get(group) ?? 1) - 1
      if (left > 0) this.#perAddress.set(group, left)
      else this.#perAddress.delete(group)
    }
    this.#sockets.set(key, { socket, leave })
    socket.once('close', leave)
  }

  /** Takes the TLS socket where there is one, which has the same other end. */
  done(socket: Socket): void {
    this.#sockets.get(keyOf(socket))?.leave()
  }

  stop(): void {
    for (const { socket } of [...this.#sockets.values()]) socket.destroy()
  }
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? ''}`
}
