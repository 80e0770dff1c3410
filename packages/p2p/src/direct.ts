/**
 * Direct connections in the place of relayed ones, as far as a node's own connections and sockets take part: which
 * connection, from which port, and when one came. When it is tried is the business of `reach/punches.ts`.
 */
import type { Clock } from './clock.ts'
import type { Composed } from './compose.ts'
import type { Connections, Live } from './connections.ts'
import type { Pipe } from './connection/pipe.ts'
import type { ConnectionInfo } from './connection/upgrader.ts'
import type { NewEvent } from './events.ts'
import { toMultiaddr } from './identity.ts'
import type { Address, PeerId } from './identity.ts'
import type { P2pLimits } from './limits.ts'
import type { AddressBook } from './reach/addresses.ts'
import { PUNCH_PROTOCOL } from './reach/punch.ts'
import { Punches } from './reach/punches.ts'
import type { PunchDial, Relayed } from './reach/punches.ts'
import { circuitAddress } from './reach/relay-transport.ts'
import { nowhere } from './target.ts'

/** What it needs of the node. */
export interface DirectInit {
  readonly limits: Readonly<P2pLimits>
  readonly clock: Clock
  readonly book: AddressBook
  readonly connections: Connections
  /** @throws `P2pError` when the node has stopped */
  running(): Pick<Composed, 'parts' | 'upgrader'>
  /** Whether the peer, which dialled us, is let in at all. */
  wants(peer: PeerId): boolean
  /** Opens a stream. @throws `P2pError` */
  openOn(live: Live, protocol: string): Pipe
  emit(event: NewEvent): void
}

/** Tries for direct connections on behalf of one node. */
export class Direct {
  /** On these alone. */
  readonly onLimited = true
  /** What it answers. */
  readonly protocols: readonly string[] = [PUNCH_PROTOCOL]
  readonly #init: DirectInit
  readonly #punches: Punches
  readonly #awaited = new Set<{ peer: PeerId; came(): void }>()

  constructor(init: DirectInit) {
    this.#init = init
    const { limits, clock } = init
    this.#punches = new Punches({
      limits,
      clock,
      wants: (peer) => init.wants(peer),
      emit: (event) => {
        init.emit(event)
      },
      direct: (peer, signal) => this.#direct(peer, signal),
      dial: (relayed, dial, signal) => this.#dial(relayed, dial, signal),
    })
  }

  /** A peer that came through a relay said where it is. */
  lead(info: ConnectionInfo, told: readonly Address[], protocols: readonly string[]): void {
    void this.#punches.lead(this.#relayedOf(info), told, protocols.includes(PUNCH_PROTOCOL))
  }

  /** Takes an inbound stream. False: not one of ours. */
  take(protocol: string, pipe: Pipe, info: ConnectionInfo): boolean {
    if (protocol !== PUNCH_PROTOCOL || !info.relayed) return false
    return this.#punches.follow(pipe, this.#relayedOf(info), info)
  }

  /** A direct connection with the peer is up. */
  came(peer: PeerId): void {
    for (const one of [...this.#awaited]) if (one.peer === peer) one.came()
  }

  close(): void {
    this.#punches.close()
  }

  #relayedOf(info: ConnectionInfo): Relayed {
    const { peer, direction, remoteAddress } = info
    const { relay = remoteAddress } = circuitAddress(remoteAddress) ?? {}
    return {
      peer,
      direction,
      relay,
      own: () => {
        const observed = this.#towards(relay)?.observed
        return observed === undefined ? [] : [observed]
      },
      open: (protocol) => this.#init.openOn(this.#init.connections.of(info), protocol),
    }
  }

  /** The connection to a relay that we dialled: its port is one that our router knows. */
  #towards(relay: Address): Live | undefined {
    const peer = /\/p2p\/([^/]+)$/.exec(relay)?.[1]
    if (peer === undefined) return undefined
    return this.#init.connections.list(peer as PeerId).findLast(({ info, connection }) => {
      const { relayed, direction, transport } = info
      const open = connection?.status === 'open'
      return open && !relayed && direction === 'outbound' && transport === 'tcp'
    })
  }

  async #direct(peer: PeerId, signal: AbortSignal): Promise<void> {
    if (this.#init.connections.best(peer, true)?.info.relayed === false) return
    const came = Promise.withResolvers<undefined>()
    const waiting = {
      peer,
      came: () => {
        came.resolve(undefined)
      },
    }
    const aborted = (): void => {
      came.reject(signal.reason as Error)
    }
    this.#awaited.add(waiting)
    signal.addEventListener('abort', aborted, { once: true })
    if (signal.aborted) aborted()
    try {
      await came.promise
    } finally {
      this.#awaited.delete(waiting)
      signal.removeEventListener('abort', aborted)
    }
  }

  async #dial({ relay }: Relayed, dial: PunchDial, signal: AbortSignal): Promise<void> {
    const { parts, upgrader } = this.#init.running()
    const { address, role } = dial
    const towards = role === undefined ? undefined : this.#towards(relay)?.connection
    const near = towards === undefined ? undefined : upgrader.localOf(towards)
    if (role !== undefined && near === undefined) throw nowhere(undefined)
    const made = await parts.transportManager.dial(toMultiaddr(address), {
      signal,
      initiator: role !== 'server',
      ...(near === undefined ? {} : { localPort: near.port, localAddress: near.host }),
    })
    const info = upgrader.infoOf(made)
    // Where nothing was punched it may be dialled there again.
    if (info !== undefined && role === undefined) {
      this.#init.book.succeeded(info.peer, info.remoteAddress)
    }
  }
}
