/**
 * What a node heard and does not keep itself, for whoever asks later: what peers say of themselves, and where they see this
 * machine. Bounded; the oldest is forgotten. It asks nobody.
 */
import type { EventOf, MissedEvent, Node } from '@stronghold/p2p'

import { MAX_HEARD_ADDRESSES, MAX_HEARD_PEERS } from '../limits.ts'

/** What a peer says of itself; claims. */
export interface Heard {
  /** Its software; empty where it does not say. */
  readonly agent: string
  readonly protocols: readonly string[]
  /** Where it says it listens. */
  readonly addresses: readonly string[]
}

/** Where peers see this machine. */
export interface SeenAt {
  readonly address: string
  /** How many say so. */
  readonly by: number
}

type WatchedEvent = EventOf<'peerIdentified' | 'observedAddress'> | MissedEvent

/** Watches a node until that stops. */
export function watchNode(node: Node): Watch {
  return new Watch(node.events({ types: ['peerIdentified', 'observedAddress'] }))
}

/** What was heard of one node. */
export class Watch {
  readonly #heard = new Map<string, Heard>()
  readonly #seen = new Map<string, Set<string>>()
  readonly #waiting = new Map<string, Set<() => void>>()

  constructor(events: AsyncIterable<WatchedEvent>) {
    void this.#listen(events)
  }

  /** What a peer says of itself; `undefined` where it says nothing until the signal gives up. */
  async heard(peer: string, signal: AbortSignal): Promise<Heard | undefined> {
    if (!this.#heard.has(peer) && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const waiting = this.#waiting.get(peer) ?? new Set()
        this.#waiting.set(peer, waiting)
        const done = (): void => {
          waiting.delete(done)
          if (waiting.size === 0) this.#waiting.delete(peer)
          signal.removeEventListener('abort', done)
          resolve()
        }
        waiting.add(done)
        signal.addEventListener('abort', done, { once: true })
      })
    }
    return this.#heard.get(peer)
  }

  /** Where peers see this machine, what most of them say first. */
  seenAt(): SeenAt[] {
    return [...this.#seen]
      .map(([address, peers]) => ({ address, by: peers.size }))
      .sort((a, b) => b.by - a.by)
  }

  async #listen(events: AsyncIterable<WatchedEvent>): Promise<void> {
    for await (const event of events) {
      if (event.type === 'peerIdentified') {
        const { peer, agent = '', protocols, addresses } = event
        put(this.#heard, peer, { agent, protocols, addresses }, MAX_HEARD_PEERS)
        for (const done of [...(this.#waiting.get(peer) ?? [])]) done()
      } else if (event.type === 'observedAddress') {
        const peers = this.#seen.get(event.address) ?? new Set()
        if (peers.size < MAX_HEARD_PEERS) peers.add(event.peer)
        put(this.#seen, event.address, peers, MAX_HEARD_ADDRESSES)
      }
    }
  }
}

/** Sets an entry as the newest; the oldest goes where there are too many. */
function put<V>(map: Map<string, V>, key: string, value: V, most: number): void {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= most) break
    map.delete(oldest)
  }
}
