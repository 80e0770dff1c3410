/**
 * When a connection has lasted long enough: idle for too long, or replaced by a better one and out of work. Closing is
 * the node's.
 */
import type { Clock } from './clock.ts'
import type { Composed } from './compose.ts'
import type { Connections, Live } from './connections.ts'
import type { PeerId } from './identity.ts'

/** What it needs of the node. */
export interface LifetimesInit {
  readonly clock: Clock
  readonly connections: Connections
  /** Undefined before the node runs and after. */
  running(): Pick<Composed, 'upgrader'> | undefined
  /** Whether a connection is wanted though nothing runs on it. */
  needs(peer: PeerId): boolean
  close(live: Live, why: 'idle' | 'replaced'): void
}

// Ours: how often it is looked whether a relayed connection that was replaced may go.
const TIRED_POLL_MS = 1000

/** Watches the connections of one node. */
export class Lifetimes {
  readonly #init: LifetimesInit
  #stopIdle: (() => void) | undefined

  constructor(init: LifetimesInit) {
    this.#init = init
  }

  /** Closes what is idle for so long, from now until `stop`. */
  watchIdle(timeoutMs: number): void {
    const { clock, connections } = this.#init
    this.#stopIdle = clock.setTimer(Math.ceil(timeoutMs / 4), () => {
      const nowMs = clock.nowMs()
      for (const live of connections.list()) {
        if (this.#isBusy(live) || this.#init.needs(live.peer)) live.usedAtMs = nowMs
        else if (nowMs - live.usedAtMs >= timeoutMs) this.#init.close(live, 'idle')
      }
      this.watchIdle(timeoutMs)
    })
  }

  /** One that is half used up, or stands beside a direct one, goes once another took its place and nothing runs on it. */
  watchTired(live: Live): void {
    const { clock, connections } = this.#init
    clock.setTimer(TIRED_POLL_MS, () => {
      if (live.connection?.status !== 'open' || this.#init.running() === undefined) return
      const { budget, peer } = live
      const renewed = budget?.tired === true && connections.best(peer) !== undefined
      const over = renewed || live.replaced === true
      if (over && ![...live.channels].some((channel) => channel.busy)) {
        this.#init.close(live, 'replaced')
      } else this.watchTired(live)
    })
  }

  stop(): void {
    this.#stopIdle?.()
  }

  #isBusy({ channels, connection }: Live): boolean {
    if ([...channels].some((channel) => channel.busy)) return true
    if (connection === undefined || connection.streams.length > 0) return connection !== undefined
    // What is neither libp2p's nor a channel: circuits.
    const streams = this.#init.running()?.upgrader.muxerOf(connection)?.session.streamCount ?? 0
    return streams > channels.size
  }
}
