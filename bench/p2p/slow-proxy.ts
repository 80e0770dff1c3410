/** A TCP proxy that hands on everything late. It knows nothing of what passes. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** A proxy that stands. */
export interface SlowProxy {
  readonly port: number
  readonly delayMs: number
  stop(): void
}

/** Leads to a port on this machine; what passes takes `delayMs` each way. */
export async function slowProxy(port: number, delayMs: number): Promise<SlowProxy> {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
    const far = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    pass(near, far, delayMs)
    pass(far, near, delayMs)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    delayMs,
    stop() {
      server.close()
    },
  }
}

function pass(from: Socket, to: Socket, delayMs: number): void {
  const late = (act: () => void): void => {
    setTimeout(act, delayMs)
  }
  from
    .on('data', (chunk: Buffer) => {
      late(() => to.write(chunk))
    })
    .on('end', () => {
      late(() => to.end())
    })
    .on('error', () => from.destroy())
    .on('close', () => {
      late(() => to.destroy())
    })
}
