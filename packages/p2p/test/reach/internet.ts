/** A transport between hosts with addresses, without sockets: public hosts, and hosts behind routers that translate. */
import { transportSymbol, TypedEventEmitter } from '@libp2p/interface'
import type {
  Connection,
  CreateListenerOptions,
  DialTransportOptions,
  Listener,
  ListenerEvents,
  Transport,
} from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'

import type { TransportFactory } from '../../src/compose.ts'
import type { Pipe } from '../../src/connection/pipe.ts'
import { DEFAULT_LIMITS } from '../../src/limits.ts'
import { openNode } from '../../src/node.ts'
import type { Node, NodeInit, NodeSeams } from '../../src/node-interface.ts'
import { Acceptor } from '../../src/transports/acceptor.ts'
import { dialAddress } from '../../src/transports/dial.ts'
import type { TransportComponents } from '../../src/transports/dial.ts'
import { tcpEndpoint } from '../../src/transports/endpoint.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'

/** What stands between a host and the internet: nothing, a router that keeps ports, one that never does. */
export type Router = 'none' | 'easy' | 'symmetric'

/** One who dials, waiting for an answer. */
interface Waiting {
  readonly from: string
  readonly to: string
  join(pipe: Pipe): void
}

/** The internet. */
export class Internet implements AsyncDisposable {
  readonly listeners = new Map<string, (pipe: Pipe, from: string) => void>()
  readonly waiting = new Set<Waiting>()
  readonly #nodes: Node[] = []
  #ports = 40_000

  /** A node on a host. */
  async node(
    host: string,
    init: NodeInit = {},
    router: Router = 'none',
    seams: NodeSeams = {},
  ): Promise<Node> {
    const node = await openNode(init, seams, [this.#transport(host, router)])
    this.#nodes.push(node)
    return node
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()))
  }

  nextPort(): number {
    return ++this.#ports
  }

  /** A packet of a dial: to who listens, to who dials back, or lost. */
  connect(
    host: string,
    router: Router,
    to: string,
    localPort: number | undefined,
    signal: AbortSignal,
  ): Promise<Pipe> {
    const port = localPort ?? this.nextPort()
    const from = `${host}:${router === 'symmetric' ? this.nextPort() : port}`
    const [near, far] = pipePair()
    const ours = Object.assign(near, { local: { host, port } })
    const arrived = this.listeners.get(to)
    if (arrived !== undefined) {
      arrived(far, from)
      return Promise.resolve(ours)
    }
    for (const other of this.waiting) {
      if (other.from !== to || other.to !== from) continue
      this.waiting.delete(other)
      other.join(far)
      return Promise.resolve(ours)
    }
    return new Promise((resolve, reject) => {
      const other: Waiting = {
        from,
        to,
        join: (pipe) => {
          resolve(Object.assign(pipe, { local: { host, port } }))
        },
      }
      this.waiting.add(other)
      signal.addEventListener('abort', () => {
        this.waiting.delete(other)
        reject(signal.reason as Error)
      })
    })
  }

  #transport(host: string, router: Router): TransportFactory {
    return (components: TransportComponents) => {
      const log = components.logger.forComponent('test:internet')
      const transport: Transport = {
        [transportSymbol]: true,
        [Symbol.toStringTag]: 'internet',
        dial: (
          address: Multiaddr,
          options: DialTransportOptions & { localPort?: number },
        ): Promise<Connection> =>
          dialAddress(address, options, {
            resolver: undefined,
            limits: DEFAULT_LIMITS,
            log,
            connect: (target, signal) => {
              return this.connect(host, router, placeOf(target) ?? '', options.localPort, signal)
            },
          }),
        createListener: ({ upgrader }: CreateListenerOptions) =>
          new HostListener(this, host, new Acceptor(upgrader, log)),
        listenFilter: (all: Multiaddr[]) => all.filter((one) => placeOf(one) !== undefined),
        dialFilter: (all: Multiaddr[]) => all.filter((one) => placeOf(one) !== undefined),
      }
      return transport
    }
  }
}

/** Listens on its host's port, whatever address it is told. */
class HostListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  readonly #internet: Internet
  readonly #host: string
  readonly #acceptor: Acceptor
  #address: Multiaddr | undefined

  constructor(internet: Internet, host: string, acceptor: Acceptor) {
    super()
    this.#internet = internet
    this.#host = host
    this.#acceptor = acceptor
  }

  async listen(address: Multiaddr): Promise<void> {
    this.#address = address
    this.#internet.listeners.set(this.#place, (pipe, from) => {
      this.#acceptor.accept(pipe, multiaddr(`/ip4/${from.replace(':', '/tcp/')}`))
    })
    this.safeDispatchEvent('listening')
  }

  getAddrs(): Multiaddr[] {
    return this.#address === undefined ? [] : [this.#address]
  }

  updateAnnounceAddrs(): void {
    // Nothing about these addresses is only known later.
  }

  async close(): Promise<void> {
    this.#acceptor.stop()
    this.#internet.listeners.delete(this.#place)
    this.#address = undefined
    await Promise.resolve()
    this.safeDispatchEvent('close')
  }

  get #place(): string {
    return `${this.#host}:${placeOf(this.#address)?.split(':')[1] ?? ''}`
  }
}

function placeOf(address: Multiaddr | undefined): string | undefined {
  const endpoint = address === undefined ? undefined : tcpEndpoint(address)
  return endpoint === undefined ? undefined : `${endpoint.host}:${endpoint.port}`
}
