/** What this package asks of the platform to speak to everybody on a link. No type of a platform stands here. */

/** One address of one interface that is up. */
export interface InterfaceAddress {
  /** As `eth0`. */
  readonly name: string
  readonly family: 4 | 6
  /** Without a zone. */
  readonly address: string
  readonly prefixLength: number
  /** Only this machine is behind it. */
  readonly internal: boolean
}

/** From where a packet came, and where one goes. */
export interface Endpoint {
  /** Without a zone. */
  readonly address: string
  readonly port: number
}

/** How to open a link. */
export interface LinkInit {
  readonly on: InterfaceAddress
  /** All addresses of that interface and family: who else is on its networks. */
  readonly networks: readonly InterfaceAddress[]
  /** The group to join, of the same family. */
  readonly group: string
  readonly port: number
  /** A packet from this link: senders of other networks are left out. The bytes are the receiver's. */
  onPacket(bytes: Uint8Array, from: Endpoint): void
  /** It works no more; it is closed. */
  onError(error: Error): void
}

/** Everybody behind one interface, by one family. */
export interface Link {
  /** To the group, or to one. Rejects where there is no route. */
  send(bytes: Uint8Array, to?: Endpoint): Promise<void>
  /** Idempotent. */
  close(): Promise<void>
}

/** The platform's multicast. */
export interface MulticastRuntime {
  /** What is up now. */
  interfaces(): InterfaceAddress[]
  /** Rejects where the interface cannot join. */
  open(init: LinkInit): Promise<Link>
}
