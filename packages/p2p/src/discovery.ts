/**
 * Finding, as far as a node's own connections and address book take part: what is asked of whom, and what is kept of who
 * was found. How each way works, and all of them as one, is the business of `find/`.
 */
import type { Clock } from './clock.ts'
import type { Composed, ServiceFactory } from './compose.ts'
import type { Pipe } from './connection/pipe.ts'
import type { ConnectionInfo } from './connection/upgrader.ts'
import type { Live } from './connections.ts'
import type { Dialling } from './dialling.ts'
import type { NewEvent } from './events.ts'
import type { FoundPeer } from './find/find.ts'
import { Finding } from './find/finding.ts'
import { waysOf } from './find/ways.ts'
import type { FindInit, Ways } from './find/ways.ts'
import { addressOf, parsePeerId } from './identity.ts'
import type { Address, PeerId } from './identity.ts'
import type { P2pLimits } from './limits.ts'
import type { Identity } from './open-identity.ts'
import type { AddressBook } from './reach/addresses.ts'
import type { MulticastRuntime } from './runtime/multicast.ts'

/** What it needs of the node. */
export interface DiscoveryInit {
  readonly limits: Readonly<P2pLimits>
  readonly clock: Clock
  readonly identity: Identity
  readonly find: FindInit
  readonly book: AddressBook
  /** For tests. Default: the platform's. */
  readonly multicast: MulticastRuntime | undefined
  random(length: number): Uint8Array
  /** Asked for when somebody is to be asked. */
  dialling(): Dialling
  /** Undefined before the node starts. */
  composed(): Composed | undefined
  isBlocked(peer: PeerId): boolean
  /** Opens a stream. @throws `P2pError` */
  openOn(live: Live, protocol: string): Pipe
  emit(event: NewEvent): void
}

/** All that one node finds, and is found by. */
export class Discovery {
  /** Who asks may come through a relay. */
  readonly onLimited = true
  readonly finding: Finding
  readonly #init: DiscoveryInit
  readonly #ways: Ways

  constructor(init: DiscoveryInit) {
    const { limits, clock, identity, multicast } = init
    const shared = { clock, limits, addresses: () => this.#addresses() }
    this.#init = init
    this.#ways = waysOf(init.find, {
      ...shared,
      peer: identity.peer,
      identity,
      multicast,
      random: (length) => init.random(length),
      open: async (to, protocol, signal) => {
        const dialling = init.dialling()
        if (to.peer !== undefined) dialling.dialable(to.peer, to.addresses)
        // Not by what is found: this is how it is found.
        return init.openOn(await dialling.connectKnown(to, signal), protocol)
      },
      connect: (to, signal) => init.dialling().connectKnown(to, signal),
      onFound: (found) => {
        this.#keep(found)
      },
      onProblem: (source, message) => {
        init.emit({ type: 'findFailed', source, message })
      },
    })
    this.finding = new Finding({
      ...shared,
      ...this.#ways,
      parsePeer: parsePeerId,
      wants: (peer) => this.#wants(peer),
      onFound: (found) => {
        this.#keep(found)
        init.emit({ type: 'found', ...found })
      },
      onFailed: (source, error) => {
        const message = error instanceof Error ? error.message : String(error)
        init.emit({ type: 'findFailed', source, message })
      },
    })
  }

  /** What it answers. */
  get protocols(): Iterable<string> {
    return this.#ways.serves.keys()
  }

  /** Takes a stream of one of its protocols. False: not taken. */
  take(protocol: string, pipe: Pipe, { peer }: ConnectionInfo): boolean {
    const serve = this.#ways.serves.get(protocol)
    serve?.(pipe, peer)
    return serve !== undefined
  }

  /** What the libp2p node has to run for it. */
  services(): Promise<Record<string, ServiceFactory>> {
    return this.#ways.services()
  }

  /** Begins, and says where we are unless that is not wanted. */
  async start(): Promise<void> {
    await this.#ways.start()
    const { announce = true } = this.#init.find
    if (announce && this.#ways.advertisers.length > 0) this.finding.advertise()
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await this.finding.stop()
    await this.#ways.stop()
  }

  /** Also of a node that no longer runs: goodbyes are said then. */
  #addresses(): Address[] {
    return (
      this.#init
        .composed()
        ?.libp2p.getMultiaddrs()
        .map((one) => addressOf(one)) ?? []
    )
  }

  /** What was found goes into the book, where it pushes out nothing that works. */
  #keep({ peer, addresses, expiresAtMs }: FoundPeer): void {
    if (!this.#wants(peer)) return
    const { book, clock, limits } = this.#init
    const ttlMs = Math.min(expiresAtMs - clock.nowMs(), limits.maxFoundTtlMs)
    if (ttlMs > 0) book.add(peer, addresses, { source: 'discovery', ttlMs })
  }

  #wants(peer: PeerId): boolean {
    return peer !== this.#init.identity.peer && !this.#init.isBlocked(peer)
  }
}
