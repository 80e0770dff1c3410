/** libp2p nodes with our upgrader, identify and ping inside, for tests of those. */
import { createLibp2p } from 'libp2p'
import type { Libp2p, Transport } from '@libp2p/interface'
import type { Libp2pInit } from 'libp2p'

import { Admission } from '../../src/connection/admission.ts'
import { identify } from '../../src/connection/identify.ts'
import { createNoise } from '../../src/connection/noise.ts'
import { ping } from '../../src/connection/ping.ts'
import { createUpgrader } from '../../src/connection/upgrader.ts'
import { resolveLimits } from '../../src/limits.ts'
import { openIdentity } from '../../src/open-identity.ts'
import { withUpgrader } from '../../src/transports/with-upgrader.ts'
import type { Clock } from '../../src/clock.ts'
import type { IdentifyInit, IdentifyService } from '../../src/connection/identify.ts'
import type { PingService } from '../../src/connection/ping.ts'
import type { Security } from '../../src/connection/security.ts'
import type {
  P2pUpgrader,
  UpgraderComponents,
  UpgraderInit,
} from '../../src/connection/upgrader.ts'
import type { P2pLimits } from '../../src/limits.ts'
import type { Identity } from '../../src/open-identity.ts'
import type { TransportComponents } from '../../src/transports/dial.ts'

/** A node and what of ours is in it. */
export interface OurNode extends AsyncDisposable {
  libp2p: Libp2p<{ identify: IdentifyService; ping: PingService }>
  upgrader: P2pUpgrader
  admission: Admission
  identity: Identity
}

/** How a node of ours is made. Everything has a default but the transport. */
export interface OurNodeInit {
  transport: (components: TransportComponents) => Transport
  listen?: string[]
  securities?: (identity: Identity) => Security[]
  limits?: Partial<P2pLimits>
  reserved?: (peer: string) => boolean
  clock?: Clock
  upgrader?: Partial<UpgraderInit>
  identify?: Partial<IdentifyInit>
  libp2p?: Partial<Libp2pInit>
}

type Components = TransportComponents &
  UpgraderComponents & { registrar: { getProtocols(): string[] } }

/** Starts one. */
export async function ourNode(init: OurNodeInit): Promise<OurNode> {
  const identity = await openIdentity({ generate: 'ed25519' })
  const limits = resolveLimits(init.limits)
  const admission = new Admission({ limits, ...(init.reserved && { reserved: init.reserved }) })
  const securities = init.securities?.(identity) ?? [createNoise({ identity })]
  const clock = init.clock === undefined ? {} : { clock: init.clock }
  let upgrader: P2pUpgrader | undefined
  const libp2p = await createLibp2p({
    privateKey: identity.libp2p.privateKey,
    addresses: { listen: init.listen ?? [] },
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: Infinity,
      maxIncomingPendingConnections: Infinity,
      inboundConnectionThreshold: Infinity,
    },
    connectionGater: { denyDialMultiaddr: () => false },
    ...init.libp2p,
    transports: [
      (components: unknown): Transport => {
        const parts = components as Components
        upgrader = createUpgrader(parts, {
          securities,
          limits,
          admission,
          offers: (protocol) => parts.registrar.getProtocols().includes(protocol),
          ...clock,
          ...init.upgrader,
        })
        return withUpgrader(init.transport(parts), upgrader)
      },
    ],
    services: {
      identify: identify({
        identity,
        limits,
        agentVersion: 'stronghold/0.1.0',
        ...clock,
        ...init.identify,
      }),
      ping: ping({ limits, ...clock }),
    },
  })
  if (upgrader === undefined) throw new Error('the transport was not made')
  return {
    libp2p,
    upgrader,
    admission,
    identity,
    [Symbol.asyncDispose]: async () => {
      await libp2p.stop()
    },
  }
}
