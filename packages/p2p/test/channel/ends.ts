/** Two ends of a channel over pipes in memory: a real client on one side, a real server on the other, no libp2p. */
import { Calls } from '../../src/calls.ts'
import { AnsweringChannel, AskingChannel } from '../../src/channel/channel.ts'
import { Held } from '../../src/channel/held.ts'
import { requestIds } from '../../src/channel/ids.ts'
import { createClient } from '../../src/client.ts'
import { systemClock } from '../../src/clock.ts'
import type { Clock } from '../../src/clock.ts'
import type { Pipe } from '../../src/connection/pipe.ts'
import { Firewall } from '../../src/firewall/firewall.ts'
import type { FirewallInit } from '../../src/firewall/rules.ts'
import type { Address, PeerId } from '../../src/identity.ts'
import { resolveLimits } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import type { NewEvent } from '../../src/events.ts'
import type { Client, Handlers, Methods, Protocol } from '../../src/protocol.ts'
import { transportRuntime } from '../../src/runtime/node.ts'
import { Server } from '../../src/serve.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import { bothLending } from '../transports/lending.ts'

export const ASKER = 'asker' as PeerId
export const RESPONDER = 'responder' as PeerId

const CONNECTION = {
  id: 'c1',
  direction: 'inbound' as const,
  remoteAddress: '/memory/asker' as Address,
  security: 'noise',
  relayed: false,
}

export interface EndsInit {
  limits?: Partial<P2pLimits>
  asking?: Partial<P2pLimits>
  firewall?: FirewallInit
  clock?: Clock
  /** Keeps no events. */
  silent?: boolean
  /** Sees and may replace the pipes of each new channel: [asker's, responder's]. */
  wrap?: (pipes: [Pipe, Pipe]) => [Pipe, Pipe]
}

export interface Ends {
  asker: PeerId
  server: Server
  calls: Calls
  client<M extends Methods>(protocol: Protocol<M>): Client<M>
  serve<M extends Methods>(protocol: Protocol<M>, handlers: Handlers<M>): Disposable
  /** The pipes of the channels that were opened so far. */
  pipes: [Pipe, Pipe][]
  answering: AnsweringChannel[]
  /** What the server told. */
  events: NewEvent[]
  /** What the responder's next hello says. */
  responderInstance: Uint8Array
  close(): void
}

export function ends(init: EndsInit = {}): Ends {
  const clock = init.clock ?? systemClock
  const limits = resolveLimits(init.limits)
  const asking = resolveLimits(init.asking ?? init.limits)
  const firewall = new Firewall(init.firewall ?? { inbound: { fallback: 'allow' } }, {
    clock,
    limits,
    parsePeer: (text) => text as PeerId,
  })
  let ids = 0
  const server = new Server({
    limits,
    clock,
    firewall,
    randomText: () => `id-${++ids}`,
    observer: { wants: () => init.silent !== true, tell: (event) => all.events.push(event) },
  })
  const { afterTurn } = transportRuntime
  const all: Ends = {
    server,
    asker: ASKER,
    events: [],
    pipes: [],
    answering: [],
    responderInstance: new Uint8Array(16).fill(7),
    calls: new Calls({
      peer: RESPONDER,
      limits: asking,
      clock,
      randomId: requestIds((length) => crypto.getRandomValues(new Uint8Array(length))),
      open: () => Promise.resolve(open()),
      onIdle: () => {},
    }),
    client: (protocol) =>
      createClient(protocol, {
        limits: asking,
        calls: () => all.calls,
        decide: () => ({ verdict: 'allow', by: 'default' }),
      }),
    serve: (protocol, handlers) => server.serve(protocol, handlers),
    close: () => {
      all.calls.close()
      server.close()
    },
  }
  const askerHeld = new Held(asking.maxHeldBytesPerPeer)
  const open = (): AskingChannel => {
    const pipes = (init.wrap ?? ((pair) => pair))(bothLending(pipePair()))
    all.pipes.push(pipes)
    const lease = server.lease(ASKER)
    const host = server.host({ peer: ASKER, connection: CONNECTION })
    all.answering.push(
      new AnsweringChannel(pipes[1], {
        instance: all.responderInstance,
        limits,
        clock,
        held: lease.held,
        afterTurn,
        onClose: () => {
          lease.close()
        },
        host,
      }),
    )
    return new AskingChannel(pipes[0], {
      instance: new Uint8Array(16),
      limits: asking,
      clock,
      held: askerHeld,
      afterTurn,
      onClose: () => {},
    })
  }
  return all
}
