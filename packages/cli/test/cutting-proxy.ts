/** A TCP proxy that cuts its first connection when so many pieces have passed, whichever way. It knows nothing of what passes. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** A proxy in front of a port of this machine. */
export class CuttingProxy implements Disposable {
  readonly #server = createServer({ noDelay: true }, (near) => {
    this.#pass(near)
  })
  readonly #sockets = new Set<Socket>()
  readonly #to: number
  readonly #after: number
  #connections = 0
  /** Was there anything to be cut. */
  hasCut = false

  private constructor(to: number, after: number) {
    this.#to = to
    this.#after = after
  }

  /** @param after - pieces that the first connection may carry; every later one carries all */
  static async start(to: number, after: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(to, after)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  [Symbol.dispose](): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #pass(near: Socket): void {
    const isFirst = this.#connections++ === 0
    const far = connect({ port: this.#to, host: '127.0.0.1', noDelay: true })
    let passed = 0
    const end = (): void => {
      near.destroy()
      far.destroy()
    }
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from)
      from.on('data', (piece) => {
        if (isFirst && passed++ >= this.#after) {
          this.hasCut = true
          end()
        } else to.write(piece)
      })
      from.on('error', end)
      from.on('close', end)
    }
  }
}
