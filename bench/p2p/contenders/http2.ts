/** A POST per request on `node:http2` over TLS 1.3, certificates on both sides. */
import { once } from 'node:events'
import { connect, createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'

import type { Contender } from '../contender.ts'
import { makeCertificates } from './certificates.ts'
import type { Certificates } from './certificates.ts'

/** See the file. */
export const http2: Contender = {
  async serve() {
    const certificates = makeCertificates()
    const server = createSecureServer({
      ...certificates.server,
      ca: certificates.client.cert,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    })
    server.on('sessionError', () => {})
    server.on('session', (session) => session.on('error', () => {}))
    server.on('stream', (stream) => {
      const parts: Buffer[] = []
      stream.on('data', (part: Buffer) => parts.push(part))
      stream.on('error', () => {})
      stream.on('end', () => {
        stream.respond({ ':status': 200 })
        stream.end(join(parts))
      })
    })
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
    await once(server, 'listening')
    return { address: { port: (server.address() as AddressInfo).port, certificates } }
  },
  async dialer({ port: own = 0, certificates }) {
    const { client, server } = certificates as Certificates
    return {
      async prepare() {},
      async connect(_slot, port) {
        const session = connect(`https://127.0.0.1:${port ?? own}`, {
          ...client,
          ca: server.cert,
          checkServerIdentity: () => undefined,
          minVersion: 'TLSv1.3',
        })
        session.on('error', () => {})
        await once(session, 'connect')
        return {
          ask: (body) =>
            new Promise((resolve, reject) => {
              const stream = session.request({ ':method': 'POST', ':path': '/' })
              const parts: Buffer[] = []
              stream.on('data', (part: Buffer) => parts.push(part))
              stream.on('error', reject)
              stream.on('end', () => {
                resolve(join(parts))
              })
              stream.end(body)
            }),
          async close() {
            const closed = once(session, 'close')
            session.destroy()
            await closed
          },
        }
      },
    }
  },
}

function join(parts: Buffer[]): Buffer {
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)
}
