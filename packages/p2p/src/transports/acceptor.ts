/**
 * Hands pipes that came in to the upgrader, and stops what is under way when the listener stops. It knows nothing
 * of what the pipes run on.
 */
import type { ConnectionLimits, Logger, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

import { PipeConnection } from '../connection/message-stream.ts'
import type { Pipe } from '../connection/pipe.ts'

/** How many may be under way at once is the upgrader's to decide. */
export class Acceptor {
  readonly #upgrader: Upgrader
  readonly #log: Logger
  readonly #upgrades = new Set<AbortController>()
  #stopped = false

  constructor(upgrader: Upgrader, log: Logger) {
    this.#upgrader = upgrader
    this.#log = log
  }

  /** Starts the upgrade of a pipe; resets it when that fails. Never throws. `limits`: what a relay lets it carry. */
  accept(pipe: Pipe, remoteAddr: Multiaddr, limits?: ConnectionLimits): void {
    if (this.#stopped) {
      pipe.destroy()
      return
    }
    const connection = new PipeConnection(pipe, {
      remoteAddr,
      direction: 'inbound',
      log: this.#log.newScope('connection'),
    })
    const abort = new AbortController()
    this.#upgrades.add(abort)
    const { signal } = abort
    this.#upgrade(connection, signal, limits)
      .catch((error: unknown) => {
        this.#log('no connection from %a - %e', remoteAddr, error)
        connection.abort(error instanceof Error ? error : new Error(String(error)))
      })
      .finally(() => this.#upgrades.delete(abort))
  }

  /** Resets what is not upgraded yet and refuses what comes. Connections that stand, stay. */
  stop(): void {
    this.#stopped = true
    for (const abort of this.#upgrades) abort.abort(new Error('the listener stopped'))
  }

  async #upgrade(
    connection: PipeConnection,
    signal: AbortSignal,
    limits: ConnectionLimits | undefined,
  ): Promise<void> {
    // An upgrader that does not look at its signal must not hold the socket.
    const reset = (): void => {
      connection.abort(signal.reason as Error)
    }
    signal.addEventListener('abort', reset)
    try {
      await this.#upgrader.upgradeInbound(connection, {
        signal,
        ...(limits === undefined ? {} : { limits }),
      })
    } finally {
      signal.removeEventListener('abort', reset)
    }
  }
}
