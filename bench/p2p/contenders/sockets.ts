/** Requests by hand on sockets of Node.js: TCP, and TLS 1.3 where both sides show a certificate. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'

import type { Contender, Dialer, ServedAddress } from '../contender.ts'
import { makeCertificates } from './certificates.ts'
import type { Certificates } from './certificates.ts'
import { echoFrames, FramedLine } from './framed.ts'

/** Bytes as they are. */
export const tcp: Contender = {
  async serve() {
    return { address: await listen(createServer({ noDelay: true }, answer)) }
  },
  async dialer({ port: own = 0 }) {
    return dialerOf(async (port) => {
      const socket = connect({ port: port ?? own, host: '127.0.0.1', noDelay: true })
      await once(socket, 'connect')
      return socket
    })
  },
}

/** `node:tls` with certificates on both sides. */
export const tls: Contender = {
  async serve() {
    const certificates = makeCertificates()
    const server = createTlsServer({
      ...certificates.server,
      ca: certificates.client.cert,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
      noDelay: true,
    })
    server.on('secureConnection', answer)
    return { address: { ...(await listen(server)), certificates } }
  },
  async dialer({ port: own = 0, certificates }) {
    const { client, server } = certificates as Certificates
    return dialerOf(async (port) => {
      const socket = connectTls({
        ...client,
        ca: server.cert,
        checkServerIdentity: () => undefined,
        minVersion: 'TLSv1.3',
        port: port ?? own,
        host: '127.0.0.1',
      })
      socket.setNoDelay(true)
      await once(socket, 'secureConnect')
      return socket
    })
  },
}

async function listen(server: ReturnType<typeof createServer>): Promise<ServedAddress> {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port }
}

function answer(socket: Socket): void {
  const take = echoFrames((bytes) => {
    socket.write(bytes)
  })
  socket.on('data', take).on('error', () => socket.destroy())
}

function dialerOf(open: (port: number | undefined) => Promise<Socket>): Dialer {
  return {
    async prepare() {},
    async connect(_slot, port) {
      const socket = await open(port)
      const line = new FramedLine(
        (bytes) => {
          socket.write(bytes)
        },
        async () => {
          const closed = once(socket, 'close')
          socket.destroy()
          await closed
        },
      )
      socket
        .on('data', (chunk: Buffer) => {
          line.take(chunk)
        })
        .on('error', () => socket.destroy())
        .on('close', () => {
          line.fail(new Error('the socket closed'))
        })
      return line
    },
  }
}
