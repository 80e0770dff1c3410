/**
 * `hyperdht` with `protomux-rpc`: Noise over UDP, found by public key. Its network is one of its own, on loopback
 * only: the server's process holds the node that the others start from.
 */
import type { Contender } from '../contender.ts'
import { foreign } from './foreign.ts'

interface Secret {
  publicKey: Buffer
}

interface DhtNode {
  ready(): Promise<void>
  fullyBootstrapped(): Promise<void>
  address(): { port: number }
  createServer(on: (stream: SecretStream) => void): { listen(key: Secret): Promise<void> }
  connect(key: Buffer, options: { keyPair: Secret }): SecretStream
}

interface SecretStream {
  opened: Promise<boolean>
  setKeepAlive?(ms: number): void
  on(event: 'error', listener: () => void): void
  once(event: 'close', listener: () => void): void
  destroy(): void
}

interface Dht {
  default: {
    new (options: object): DhtNode
    keyPair(): Secret
  }
}

interface Rpc {
  default: new (stream: SecretStream) => {
    respond(method: string, options: object, answer: (body: Buffer) => Buffer): void
    request(method: string, body: Uint8Array, options: object): Promise<Buffer>
    cork(): void
    uncork(): void
  }
}

/** Bodies as they are. */
const RAW = { valueEncoding: null }
const HOST = '127.0.0.1'

/** See the file. */
export const hyperdht: Contender = {
  async serve() {
    const { default: Node } = await foreign<Dht>('hyperdht')
    const { default: ProtomuxRpc } = await foreign<Rpc>('protomux-rpc')
    const open = { ephemeral: false, firewalled: false, host: HOST }
    const first = new Node({ ...open, bootstrap: [] })
    await first.fullyBootstrapped()
    const bootstrap = [{ host: HOST, port: first.address().port }]
    const node = new Node({ ...open, bootstrap })
    await node.fullyBootstrapped()
    const key = Node.keyPair()
    const server = node.createServer((stream) => {
      stream.on('error', () => {})
      new ProtomuxRpc(stream).respond('echo', RAW, (body) => body)
    })
    await server.listen(key)
    return { address: { bootstrap, key: key.publicKey.toString('hex') } }
  },
  async dialer({ bootstrap, key }) {
    const { default: Node } = await foreign<Dht>('hyperdht')
    const { default: ProtomuxRpc } = await foreign<Rpc>('protomux-rpc')
    const node = new Node({ bootstrap, host: HOST, ephemeral: true })
    await node.fullyBootstrapped()
    const peer = Buffer.from(key as string, 'hex')
    return {
      async prepare() {},
      async connect() {
        const stream = node.connect(peer, { keyPair: Node.keyPair() })
        stream.on('error', () => {})
        if (!(await stream.opened)) throw new Error('the stream did not open')
        const rpc = new ProtomuxRpc(stream)
        let corked = false
        return {
          ask(body) {
            if (!corked) {
              corked = true
              rpc.cork()
              queueMicrotask(() => {
                corked = false
                rpc.uncork()
              })
            }
            return rpc.request('echo', body, RAW)
          },
          async close() {
            const closed = new Promise<void>((resolve) => {
              stream.once('close', resolve)
            })
            stream.destroy()
            await closed
          },
        }
      },
    }
  },
}
