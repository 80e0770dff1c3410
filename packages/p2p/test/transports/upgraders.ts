/** Upgraders that upgrade nothing: they take the pipe of a connection and let a test have it. */
import { defaultLogger } from '@libp2p/logger'
import type { Connection, MultiaddrConnection, Upgrader, UpgraderOptions } from '@libp2p/interface'

import { pipeOf } from '../../src/connection/message-stream.ts'
import type { Pipe } from '../../src/connection/pipe.ts'

import { turns } from './pipe-events.ts'

export const components = { logger: defaultLogger() }

/** What came to an upgrader. */
export interface Taken {
  pipe: Pipe
  connection: MultiaddrConnection
  options: UpgraderOptions
}

export class PipeUpgrader implements Upgrader {
  readonly inbound: Taken[] = []
  readonly outbound: Taken[] = []
  #waiting: (() => void)[] = []

  /** Resets every pipe. */
  destroy(): void {
    for (const { pipe } of [...this.inbound, ...this.outbound]) pipe.destroy()
  }

  /** Waits until so many came in. */
  async arrivals(count: number): Promise<Taken[]> {
    while (this.inbound.length < count) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    return this.inbound
  }

  async upgradeInbound(connection: MultiaddrConnection, options: UpgraderOptions): Promise<void> {
    this.inbound.push({ pipe: pipeOf(connection), connection, options })
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  async upgradeOutbound(
    connection: MultiaddrConnection,
    options: UpgraderOptions,
  ): Promise<Connection> {
    this.outbound.push({ pipe: pipeOf(connection), connection, options })
    return { remoteAddr: connection.remoteAddr } as Connection
  }

  createInboundAbortSignal(): never {
    throw new Error('not for these tests')
  }

  getStreamMuxers(): Map<string, never> {
    return new Map<string, never>()
  }

  getConnectionEncrypters(): Map<string, never> {
    return new Map<string, never>()
  }
}

/** Never finishes, whatever its signal says. */
export class StuckUpgrader extends PipeUpgrader {
  override async upgradeInbound(
    connection: MultiaddrConnection,
    options: UpgraderOptions,
  ): Promise<void> {
    await super.upgradeInbound(connection, options)
    await new Promise(() => {})
  }
}

/** Refuses everybody. */
export class RefusingUpgrader extends PipeUpgrader {
  override async upgradeInbound(
    connection: MultiaddrConnection,
    options: UpgraderOptions,
  ): Promise<void> {
    await super.upgradeInbound(connection, options)
    await turns(3) // or the reset overtakes the dial
    throw new Error('refused')
  }

  override async upgradeOutbound(
    connection: MultiaddrConnection,
    options: UpgraderOptions,
  ): Promise<Connection> {
    await super.upgradeOutbound(connection, options)
    throw new Error('refused')
  }
}
