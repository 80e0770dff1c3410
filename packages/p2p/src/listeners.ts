/** What a node listens on: each address that was asked for, and what it came out as. */
import type { Libp2pParts } from './compose.ts'
import { P2pError } from './errors.ts'
import type { EventHub } from './events.ts'
import { parseAddress, toMultiaddr } from './identity.ts'
import type { Address } from './identity.ts'

type TransportManager = Libp2pParts['transportManager']
type Listener = ReturnType<TransportManager['getListeners']>[number]

/** Starts and stops listeners one at a time. */
export class Listeners {
  readonly #manager: TransportManager
  readonly #events: EventHub
  readonly #all = new Map<Address, Listener[]>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(manager: TransportManager, events: EventHub) {
    this.#manager = manager
    this.#events = events
  }

  /**
   * Listens on an address and says what it came out as.
   *
   * @throws `P2pError` when that cannot be listened on
   */
  listen(address: Address): Promise<Address[]> {
    return this.#inTurn(() => this.#listen(address))
  }

  /** Stops listening there: on what was asked for, or on one of what it came out as. */
  unlisten(address: Address): Promise<boolean> {
    return this.#inTurn(() => this.#unlisten(address))
  }

  async #listen(address: Address): Promise<Address[]> {
    const before = new Set(this.#manager.getListeners())
    try {
      await this.#manager.listen([toMultiaddr(address)])
    } catch (cause) {
      const message = `Cannot listen on ${address}: ${stateOf(cause) ?? this.#refused(address)}`
      this.#events.emit({ type: 'listenError', address, message })
      throw new P2pError('failed_precondition', message, {
        layer: 'dial',
        address,
        cause,
      })
    }
    const made = this.#manager.getListeners().filter((one) => !before.has(one))
    this.#all.set(address, [...(this.#all.get(address) ?? []), ...made])
    const opened = made.flatMap((one) => addressesOf(one))
    for (const one of opened) this.#events.emit({ type: 'listening', address: one })
    return opened
  }

  async #unlisten(address: Address): Promise<boolean> {
    for (const [asked, listeners] of this.#all) {
      const chosen =
        asked === address
          ? listeners
          : listeners.filter((one) => addressesOf(one).includes(address))
      if (chosen.length === 0) continue
      const gone = chosen.flatMap((one) => addressesOf(one))
      await Promise.all(chosen.map((one) => one.close()))
      const rest = listeners.filter((one) => !chosen.includes(one))
      if (rest.length === 0) this.#all.delete(asked)
      else this.#all.set(asked, rest)
      for (const one of gone) this.#events.emit({ type: 'stopped', address: one })
      return true
    }
    return false
  }

  /** Why no transport takes an address. */
  #refused(address: Address): string {
    const plain = address.replace(/\/(?:wss|tls(?:\/sni\/[^/]+)?\/ws)$/, '/ws')
    const lacksCertificate =
      plain !== address &&
      this.#manager.listenTransportForMultiaddr(toMultiaddr(parseAddress(plain))) !== undefined
    return lacksCertificate
      ? 'a secure WebSocket needs a certificate, given to createNode as webSocketCertificate'
      : 'no transport can'
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }
}

function addressesOf(listener: Listener): Address[] {
  return listener.getAddrs().map((one) => parseAddress(one.toString()))
}

/** libp2p tells what its listeners threw as text, stacks and all; what ours said is the last part of their first line. */
function stateOf(cause: unknown): string | undefined {
  const text = cause instanceof Error ? cause.message : String(cause)
  const own = /P2pError: Cannot listen on \S+: ([^\n]+)/.exec(text)
  return own?.[1]
}
