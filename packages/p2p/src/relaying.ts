/**
 * Relays, as far as a node's own connections and listeners take part: how one is reached, and what becomes of listening
 * there. What is said to them, and what they are told, is the business of `reach/relays.ts`.
 */
import type { Clock } from './clock.ts'
import type { Composed } from './compose.ts'
import type { Pipe } from './connection/pipe.ts'
import type { ConnectionInfo } from './connection/upgrader.ts'
import type { Connections, Live } from './connections.ts'
import type { Dialling } from './dialling.ts'
import type { NewEvent } from './events.ts'
import { bareOf } from './identity.ts'
import type { Address, PeerId } from './identity.ts'
import type { P2pLimits } from './limits.ts'
import type { Identity } from './open-identity.ts'
import type { AddressBook } from './reach/addresses.ts'
import type { RelayLink } from './reach/relay-client.ts'
import { Relays } from './reach/relays.ts'
import type { RelayInit } from './reach/relays.ts'
import { notConnected, readTarget } from './target.ts'

/** What it needs of the node. */
export interface RelayingInit {
  readonly limits: Readonly<P2pLimits>
  readonly clock: Clock
  readonly identity: Identity
  readonly relay: RelayInit
  readonly book: AddressBook
  readonly connections: Connections
  random(length: number): Uint8Array
  /** Asked for when a relay is to be reached. */
  dialling(): Dialling
  /** Undefined before the node starts. */
  composed(): Composed | undefined
  /** Opens a stream. @throws `P2pError` */
  openOn(live: Live, protocol: string): Pipe
  listen(address: Address): Promise<Address[]>
  unlisten(address: Address): Promise<boolean>
  /** A relay was won or lost: our addresses may be others. */
  onEvent(event: NewEvent): void
}

/** The relays of one node. */
export class Relaying {
  /** Nobody is relayed twice. */
  readonly onLimited = false
  readonly relays: Relays
  readonly #init: RelayingInit

  constructor(init: RelayingInit) {
    const { limits, clock, identity, relay, book } = init
    this.#init = init
    this.relays = new Relays({
      ...{ limits, clock, identity, init: relay },
      random: (length) => init.random(length),
      known: () => book.dialingRelays(),
      connect: (address, signal) => this.#connect(address, signal),
      open: (peer, protocol) => {
        const direct = init.connections.direct(peer)
        return direct === undefined ? undefined : init.openOn(direct, protocol)
      },
      addresses: () => this.#directAddresses(),
      listen: (address) => init.listen(address),
      unlisten: (address) => init.unlisten(address),
      emit: (event) => {
        init.onEvent(event)
      },
    })
  }

  /** What it answers. */
  get protocols(): readonly string[] {
    return this.relays.protocols
  }

  /** Takes a stream of one of its protocols. False: not taken. */
  take(protocol: string, pipe: Pipe, { peer, remoteAddress, relayed }: ConnectionInfo): boolean {
    return this.relays.take(protocol, pipe, { peer, address: bareOf(remoteAddress), relayed })
  }

  /** Whether we are to be reached through a peer. */
  uses(peer: PeerId): boolean {
    return this.relays.status().relays.some(({ relay }) => relay === peer)
  }

  async #connect(relay: Address, signal: AbortSignal): Promise<RelayLink> {
    const live = await this.#init.dialling().connect(readTarget(relay), signal, true)
    const { connection, peer } = live
    if (connection === undefined) throw notConnected(peer)
    const address = bareOf(live.info.remoteAddress)
    return {
      peer,
      address: `${address}/p2p/${peer}` as Address,
      open: (protocol) => this.#init.openOn(live, protocol),
      closed: new Promise((resolve) => {
        connection.addEventListener('close', () => {
          resolve()
        })
        if (connection.status !== 'open') resolve()
      }),
    }
  }

  #directAddresses(): Uint8Array[] {
    const all = this.#init.composed()?.libp2p.getMultiaddrs() ?? []
    const direct = all.filter((one) => !one.toString().includes('/p2p-circuit'))
    return direct.map(({ bytes }) => bytes)
  }
}
