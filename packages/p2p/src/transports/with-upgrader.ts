/** Any transport, with another upgrader in the place of the one that its node hands it. */
import {
  isStartable,
  serviceCapabilities,
  serviceDependencies,
  transportSymbol,
} from '@libp2p/interface'
import type {
  Connection,
  CreateListenerOptions,
  DialTransportOptions,
  Listener,
  Startable,
  Transport,
  Upgrader,
} from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

import type { P2pUpgrader } from '../connection/upgrader.ts'

/**
 * The same transport to everybody who looks at it; what it connects is upgraded by `upgrader`, which may ask for a
 * second dial where it has a `dial` of its own.
 */
export function withUpgrader(
  transport: Transport,
  upgrader: Upgrader & Partial<Pick<P2pUpgrader, 'dial'>>,
): Transport {
  const startable: Partial<Startable> = isStartable(transport) ? transport : {}
  return {
    [transportSymbol]: true,
    [Symbol.toStringTag]: transport[Symbol.toStringTag],
    ...(serviceCapabilities in transport && {
      [serviceCapabilities]: transport[serviceCapabilities],
    }),
    ...(serviceDependencies in transport && {
      [serviceDependencies]: transport[serviceDependencies],
    }),
    ...(startable.start !== undefined && {
      beforeStart: () => startable.beforeStart?.(),
      start: () => startable.start?.(),
      afterStart: () => startable.afterStart?.(),
      beforeStop: () => startable.beforeStop?.(),
      stop: () => startable.stop?.(),
      afterStop: () => startable.afterStop?.(),
    }),
    dial: (address: Multiaddr, options: DialTransportOptions): Promise<Connection> =>
      upgrader.dial === undefined
        ? transport.dial(address, { ...options, upgrader })
        : upgrader.dial(
            (attempt, signal) => transport.dial(address, { ...options, signal, upgrader: attempt }),
            options.signal,
          ),
    createListener: (options: CreateListenerOptions): Listener =>
      transport.createListener({ ...options, upgrader }),
    listenFilter: (addresses: Multiaddr[]) => transport.listenFilter(addresses),
    dialFilter: (addresses: Multiaddr[]) => transport.dialFilter(addresses),
  }
}
