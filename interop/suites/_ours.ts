/**
 * Our side. A node as `createNode` makes it, for suites that need its libp2p node itself; and a way to streams of
 * libp2p on a node of `createNode`.
 */
import { transportSymbol } from '@libp2p/interface'
import type { Connection, StreamHandler } from '@libp2p/interface'

import { systemClock } from '../../packages/p2p/src/clock.ts'
import { compose } from '../../packages/p2p/src/compose.ts'
import type { Composed, ServiceFactory, TransportFactory } from '../../packages/p2p/src/compose.ts'
import { Admission } from '../../packages/p2p/src/connection/admission.ts'
import type { EventOf, EventType } from '../../packages/p2p/src/events.ts'
import { customTransport } from '../../packages/p2p/src/libp2p.ts'
import { resolveLimits } from '../../packages/p2p/src/limits.ts'
import type { CustomTransport, Node } from '../../packages/p2p/src/node-interface.ts'
import { openIdentity } from '../../packages/p2p/src/open-identity.ts'
import type { IdentitySource } from '../../packages/p2p/src/open-identity.ts'
import { securitiesOf } from '../../packages/p2p/src/securities.ts'
import type { SecurityName } from '../../packages/p2p/src/securities.ts'
import { tcp } from '../../packages/p2p/src/transports/tcp.ts'
import { webSocket } from '../../packages/p2p/src/transports/websocket-node.ts'

/** How a composed node differs from the default. */
export interface OursInit {
  identity?: IdentitySource
  security?: readonly SecurityName[]
  /** Beside TCP and WebSocket. */
  transports?: readonly TransportFactory[]
  services?: Readonly<Record<string, ServiceFactory>>
}

/** The parts of `createNode` without requests. Not started, listens nowhere. */
export async function composeOurs(init: OursInit = {}): Promise<Composed> {
  const identity = await openIdentity(init.identity ?? { generate: 'ed25519' })
  const limits = resolveLimits({})
  const clock = systemClock
  const composed: Composed = await compose({
    identity,
    limits,
    clock,
    securities: securitiesOf(init.security, { identity, clock, limits }),
    admission: new Admission({ limits }),
    transports: [tcp({ limits }), webSocket({ limits }), ...(init.transports ?? [])],
    answerers: [],
    services: init.services ?? {},
    resolver: undefined,
    announce: [],
    alsoAnnounced: () => [],
    agent: 'stronghold/0.1.0',
    offers: (protocol) => composed.parts.registrar.getProtocols().includes(protocol),
    onObserved: () => {},
  })
  return composed
}

/** Streams of libp2p on a node of `createNode`. */
export interface Streams {
  /** For `createNode`'s `transports`. */
  readonly transport: CustomTransport
  handle(protocol: string, handler: StreamHandler): Promise<void>
  connectionTo(peer: string): Connection
  /** libp2p's ping, in milliseconds. */
  ping(connection: Connection): Promise<number>
}

interface Parts {
  registrar: { handle(protocol: string, handler: StreamHandler): Promise<void> }
  connectionManager: { getConnections(): Connection[] }
  ping: { ping(connection: Connection): Promise<number> }
}

/** A transport that dials nothing and listens nowhere: whoever makes it is shown the parts of the node. */
export function streams(): Streams {
  let parts: Parts | undefined
  const shown = (): Parts => {
    if (parts === undefined) throw new TypeError('no node was made with this transport')
    return parts
  }
  const nowhere = (): never => {
    throw new TypeError('this transport goes nowhere')
  }
  return {
    transport: customTransport((components: Parts) => {
      parts = components
      return {
        [Symbol.toStringTag]: 'nowhere',
        [transportSymbol]: true,
        dial: nowhere,
        createListener: nowhere,
        listenFilter: () => [],
        dialFilter: () => [],
      }
    }),
    handle: (protocol, handler) => shown().registrar.handle(protocol, handler),
    connectionTo: (peer) => {
      const all = shown().connectionManager.getConnections()
      const found = all.find(({ remotePeer }) => remotePeer.toString() === peer)
      if (found === undefined) throw new Error(`not connected to ${peer}`)
      return found
    },
    ping: (connection) => shown().ping.ping(connection),
  }
}

/** The next event of a type, from the moment of the call. */
export async function first<T extends EventType>(node: Node, type: T): Promise<EventOf<T>> {
  for await (const event of node.events({ types: [type] })) {
    if (isOf(event, type)) return event
  }
  throw new Error('the node ended before it happened')
}

function isOf<T extends EventType>(event: object, type: T): event is EventOf<T> {
  return 'type' in event && event.type === type
}
