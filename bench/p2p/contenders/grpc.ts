/** A unary call per request on `@grpc/grpc-js` over TLS, certificates on both sides. Bodies are raw bytes. */
import { promisify } from 'node:util'

import type { Contender } from '../contender.ts'
import { makeCertificates } from './certificates.ts'
import type { Certificates } from './certificates.ts'
import { foreign } from './foreign.ts'

type Answer = (error: Error | null, body?: Buffer) => void
type Pass = (body: Buffer) => Buffer

interface Grpc {
  Server: new () => {
    addService(
      service: object,
      handlers: Record<string, (call: Call, answer: Answer) => void>,
    ): void
    bindAsync(
      address: string,
      credentials: unknown,
      done: (e: Error | null, port: number) => void,
    ): void
  }
  ServerCredentials: {
    createSsl(ca: Buffer, pairs: object[], checkClient: boolean): unknown
  }
  Client: new (
    address: string,
    credentials: unknown,
    options: Record<string, unknown>,
  ) => {
    waitForReady(deadline: number, done: (error?: Error) => void): void
    makeUnaryRequest(path: string, to: Pass, from: Pass, body: Uint8Array, answer: Answer): unknown
    close(): void
  }
  credentials: {
    createSsl(ca: Buffer, key: Buffer, cert: Buffer, verify: object): unknown
  }
}

interface Call {
  request: Buffer
}

const PATH = '/bench.Echo/Echo'
const pass: Pass = (body) => body

/** See the file. */
export const grpc: Contender = {
  async serve() {
    const { Server, ServerCredentials } = await foreign<Grpc>('@grpc/grpc-js')
    const certificates = makeCertificates()
    const server = new Server()
    const method = {
      path: PATH,
      requestStream: false,
      responseStream: false,
      requestSerialize: pass,
      requestDeserialize: pass,
      responseSerialize: pass,
      responseDeserialize: pass,
    }
    server.addService(
      { echo: method },
      {
        echo: (call, answer) => {
          answer(null, call.request)
        },
      },
    )
    const credentials = ServerCredentials.createSsl(
      Buffer.from(certificates.client.cert),
      [
        {
          private_key: Buffer.from(certificates.server.key),
          cert_chain: Buffer.from(certificates.server.cert),
        },
      ],
      true,
    )
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', credentials, (error, bound) => {
        if (error === null) resolve(bound)
        else reject(error)
      })
    })
    return { address: { port, certificates } }
  },
  async dialer({ port: own = 0, certificates }) {
    const { Client, credentials } = await foreign<Grpc>('@grpc/grpc-js')
    const { client: mine, server } = certificates as Certificates
    const secured = credentials.createSsl(
      Buffer.from(server.cert),
      Buffer.from(mine.key),
      Buffer.from(mine.cert),
      { checkServerIdentity: () => undefined },
    )
    return {
      async prepare() {},
      async connect(_slot, port) {
        const options = {
          // Else all clients of a process share one connection.
          'grpc.use_local_subchannel_pool': 1,
          'grpc.ssl_target_name_override': 'localhost',
        }
        const client = new Client(`127.0.0.1:${port ?? own}`, secured, options)
        await promisify(client.waitForReady.bind(client))(Date.now() + 20_000)
        return {
          ask: (body) =>
            new Promise((resolve, reject) => {
              client.makeUnaryRequest(PATH, pass, pass, body, (error, answer) => {
                if (answer === undefined) reject(error ?? new Error('no answer'))
                else resolve(answer)
              })
            }),
          async close() {
            client.close()
          },
        }
      },
    }
  },
}
