/**
 * The connections of a node that are up: which there are, how each came and why it was closed. It dials nothing, and
 * closes what it is told to.
 */
import type { Connection as Libp2pConnection } from '@libp2p/interface'

import type { ChannelBudget } from './channel/channel.ts'
import type { ConnectionInfo } from './connection/upgrader.ts'
import { isP2pError } from './errors.ts'
import type { DisconnectReason } from './events.ts'
import type { Address, PeerId } from './identity.ts'
import type { Link } from './requests.ts'

/** One connection as its owner sees it: a frozen object that prints as JSON. */
export interface NodeConnection extends ConnectionInfo {
  /** Within this node. */
  readonly id: string
}

/** What a connection carried so far, inside its security channel. */
export interface Traffic {
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** What is known of a live connection. */
export interface Live extends Link {
  readonly info: NodeConnection
  /** libp2p's object, once it exists: a first stream may come before. */
  connection: Libp2pConnection | undefined
  /** What is left to it, where a relay carries it and sets bounds. */
  budget: ChannelBudget | undefined
  /** Where its peer sees us, as it told. */
  observed: Address | undefined
  /** Whether it was made to prove that an address can be reached, and goes again: nothing is asked on it. */
  passing: boolean
  /** Why we closed it, once we did. */
  why: DisconnectReason | undefined
}

const REASONS: Readonly<Record<string, DisconnectReason>> = { banned: 'banned', blocked: 'blocked' }

/** Why a connection is gone: as we said when we closed it, or as the error tells. */
export function reasonOf({ why }: Live, error: Error | undefined): DisconnectReason {
  if (why !== undefined) return why
  if (error === undefined) return 'remote_closed'
  if (!isP2pError(error)) return 'error'
  if (error.layer === 'relay') return 'limit'
  return (error.reason === undefined ? undefined : REASONS[error.reason]) ?? 'error'
}

/** All connections that are up. */
export class Connections {
  // Keyed by the upgrader's object, which is there before libp2p's connection is.
  readonly #all = new Map<ConnectionInfo, Live>()
  readonly #byPeer = new Map<PeerId, Live[]>()
  #next = 1

  /** The entry of a connection, made when it is first heard of. */
  of(info: ConnectionInfo): Live {
    const known = this.#all.get(info)
    if (known !== undefined) return known
    const id = `c${this.#next}`
    this.#next += 1
    const { direction, remoteAddress, security, relayed, peer, openedAtMs } = info
    const isReplaced = (): boolean => relayed && this.best(peer, true)?.info.relayed === false
    const live: Live = {
      peer,
      get replaced() {
        return isReplaced()
      },
      info: Object.freeze({ id, ...info }),
      facts: Object.freeze({ id, direction, remoteAddress, security, relayed }),
      connection: undefined,
      budget: undefined,
      observed: undefined,
      passing: false,
      why: undefined,
      channels: new Set(),
      usedAtMs: openedAtMs,
    }
    this.#all.set(info, live)
    const others = this.#byPeer.get(peer)
    if (others === undefined) this.#byPeer.set(peer, [live])
    else others.push(live)
    return live
  }

  /** Forgets a connection that is gone, and says what was known of it. */
  remove(info: ConnectionInfo): Live | undefined {
    const live = this.#all.get(info)
    if (live === undefined) return undefined
    this.#all.delete(info)
    const rest = (this.#byPeer.get(info.peer) ?? []).filter((one) => one !== live)
    if (rest.length === 0) this.#byPeer.delete(info.peer)
    else this.#byPeer.set(info.peer, rest)
    return live
  }

  /** All that are established, or those with one peer. */
  list(peer?: PeerId): Live[] {
    const some = peer === undefined ? [...this.#all.values()] : (this.#byPeer.get(peer) ?? [])
    return some.filter((live) => live.connection !== undefined)
  }

  /** The newest that no relay carries and that stays. */
  direct(peer: PeerId): Live | undefined {
    return this.list(peer).findLast(
      ({ info, passing, connection }) => !info.relayed && !passing && connection?.status === 'open',
    )
  }

  /** Closes one, and keeps why. */
  async close(live: Live, why: DisconnectReason): Promise<void> {
    this.mark([live], why)
    await live.connection?.close().catch((error: unknown) => {
      live.connection?.abort(error instanceof Error ? error : new Error(String(error)))
    })
  }

  /** Keeps why somebody closes them; what was said first stays. */
  mark(lives: readonly Live[], why: DisconnectReason): void {
    for (const live of lives) live.why ??= why
  }

  /** The one to ask on: direct before relayed, then the newest. One whose budget is half used up only if `tired`. */
  best(peer: PeerId, tired = false): Live | undefined {
    let best: Live | undefined
    for (const live of this.#byPeer.get(peer) ?? []) {
      if (live.connection?.status !== 'open' || live.why !== undefined || live.passing) continue
      if (!tired && live.budget?.tired === true) continue
      if (best === undefined || !live.info.relayed || best.info.relayed) best = live
    }
    return best
  }
}
