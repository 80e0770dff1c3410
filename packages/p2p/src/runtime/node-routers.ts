/** Routers as Node.js reaches them: questions to a group by UDP, one HTTP exchange on a connection of its own. */
import { createSocket } from 'node:dgram'
import type { Socket } from 'node:dgram'
import { request as httpRequest } from 'node:http'
import { networkInterfaces } from 'node:os'

import { SEARCH_GROUP, SEARCH_PORT } from '../reach/upnp-message.ts'
import type { RouterRequest, RouterResponse, RouterRuntime } from './routers.ts'

// Device Architecture §1.3.2: the hops it suggests.
const SEARCH_HOPS = 2

/** Where routers are looked for. */
export interface RoutersInit {
  readonly group: string
  readonly port: number
  /** Own IPv4 addresses to ask from. */
  from(): string[]
}

/** Routers, looked for there. */
export function routersAt(init: RoutersInit): RouterRuntime {
  return {
    search: (packets, onAnswer, signal) => search(init, packets, onAnswer, signal),
    exchange,
  }
}

/** The platform's, on Node.js. */
export const routerRuntime: RouterRuntime | undefined = routersAt({
  group: SEARCH_GROUP,
  port: SEARCH_PORT,
  from: () =>
    Object.values(networkInterfaces())
      .flatMap((all) => all ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && !internal)
      .map(({ address }) => address),
})

async function search(
  init: RoutersInit,
  packets: readonly Uint8Array[],
  onAnswer: (packet: Uint8Array, from: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const { group, port } = init
  const sockets = await Promise.all(init.from().map((address) => open(address, onAnswer, signal)))
  const sent = sockets.flatMap((socket) =>
    packets.map(
      (packet) =>
        new Promise<void>((resolve, reject) => {
          if (signal.aborted) return reject(signal.reason as Error)
          socket?.send(packet, port, group, (error) => {
            if (error === null) resolve()
            else reject(error)
          })
        }),
    ),
  )
  // One network that it left on is enough.
  await Promise.any(sent)
}

function open(
  address: string,
  onAnswer: (packet: Uint8Array, from: string) => void,
  signal: AbortSignal,
): Promise<Socket | undefined> {
  const socket = createSocket('udp4')
  socket.unref()
  const close = (): void => {
    try {
      socket.close()
    } catch {
      // It is closed already.
    }
  }
  signal.addEventListener('abort', close, { once: true })
  return new Promise((resolve) => {
    socket.on('error', () => {
      close()
      resolve(undefined)
    })
    socket.on('message', (packet, { address: sender }) => {
      onAnswer(packet, sender)
    })
    socket.bind({ address, exclusive: true }, () => {
      socket.setMulticastTTL(SEARCH_HOPS)
      socket.setMulticastInterface(address)
      resolve(socket)
    })
  })
}

function exchange(init: RouterRequest): Promise<RouterResponse> {
  const { url, method, headers = {}, body, maxBytes, signal } = init
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(body.byteLength) }
    const request = httpRequest(
      url,
      { method, agent: false, signal, headers: { ...headers, ...length }, maxHeaderSize: 8192 },
      (response) => {
        const chunks: Buffer[] = []
        let taken = 0
        const localHost = response.socket.localAddress ?? ''
        response.on('data', (chunk: Buffer) => {
          taken += chunk.byteLength
          if (taken > maxBytes) request.destroy(new Error(`more than ${maxBytes} bytes`))
          else chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () => {
          const whole = new Uint8Array(Buffer.concat(chunks))
          resolve({ status: response.statusCode ?? 0, body: whole, localHost })
        })
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}
