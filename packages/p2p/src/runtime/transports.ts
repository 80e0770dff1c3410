/** What this package asks of the platform's network. No type of a platform stands here. */
import type { Transport } from '@libp2p/interface'

import type { Clock } from '../clock.ts'
import type { P2pLimits } from '../limits.ts'
import type { TransportComponents } from '../transports/dial.ts'
import type { Resolver } from '../transports/dns.ts'

/** How TCP is set up. */
export interface TcpInit {
  /** Default `DEFAULT_LIMITS`. */
  limits?: Readonly<P2pLimits>
  /** Asked for names in addresses; without one they are not dialled. */
  resolver?: Resolver
  /** Connections that the system holds until they are accepted. Default 511. */
  backlog?: number
}

/** Key and certificate of a listener. */
export interface WebSocketCertificate {
  /** The private key, PEM. */
  key: string
  /** The certificate and those between it and an authority, PEM. */
  cert: string
  /** Opens the key where it is encrypted. */
  passphrase?: string
}

/** Whom a dial believes. The peer id is verified in any case. */
export interface WebSocketTrust {
  /** Authorities, PEM, in place of those of the platform. */
  ca?: string | string[]
  /** False takes any certificate. Default true. */
  rejectUnauthorized?: boolean
}

/** How WebSocket is set up. A browser looks at `limits` and `clock` only. */
export interface WebSocketInit {
  /** Default `DEFAULT_LIMITS`. */
  limits?: Readonly<P2pLimits>
  /** Asked for names in addresses. Default the platform itself. */
  resolver?: Resolver
  /** Without it nobody listens on `/wss`. */
  certificate?: WebSocketCertificate
  /** For dialling `/wss`. */
  trust?: WebSocketTrust
  /** Connections that the system holds until they are accepted. Default 511. */
  backlog?: number
  /** For tests. */
  clock?: Clock
}

/** The platform's network; undefined is what it does not have. */
export interface TransportRuntime {
  tcp: ((init?: TcpInit) => (components: TransportComponents) => Transport) | undefined
  /** Browsers dial only, and take no certificates. */
  webSocket: (init?: WebSocketInit) => (components: TransportComponents) => Transport
  /** Without one, names stay in addresses and `dnsaddr` cannot be dialled. */
  systemResolver: (() => Resolver) | undefined
  /** Calls back when what is ready in this turn of the event loop has been handled. */
  afterTurn(callback: () => void): void
}
