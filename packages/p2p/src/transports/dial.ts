/** The two halves of every dial: a pipe to the address, then the upgrade of that pipe. */
import type { ComponentLogger, Connection, DialTransportOptions, Logger } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

import { PipeConnection } from '../connection/message-stream.ts'
import type { Pipe } from '../connection/pipe.ts'
import type { P2pLimits } from '../limits.ts'

import { isResolvable, resolveAddress } from './dns.ts'
import type { Resolver } from './dns.ts'
import { dialError } from './endpoint.ts'

/** What a transport takes from the libp2p node it is part of. */
export interface TransportComponents {
  logger: ComponentLogger
}

/** What a dial needs beside the address. */
export interface DialInit {
  /** Asked for the addresses of names. */
  resolver: Resolver | undefined
  limits: Readonly<P2pLimits>
  log: Logger
  /** One attempt at one address that holds no name. Rejects at once when the signal aborts. */
  connect(target: Multiaddr, signal: AbortSignal): Promise<Pipe>
}

/**
 * Resolves the address where it holds a name, connects to the first target that answers, and upgrades.
 *
 * @throws `signal.reason` when aborted; `P2pError` `unavailable` of layer `dial`; whatever the upgrader throws
 */
export async function dialAddress(
  address: Multiaddr,
  options: DialTransportOptions,
  init: DialInit,
): Promise<Connection> {
  const { signal, upgrader } = options
  signal.throwIfAborted()
  const { target, pipe } = await firstPipe(address, signal, init)
  const connection = new PipeConnection(pipe, {
    remoteAddr: target,
    direction: 'outbound',
    log: init.log.newScope('connection'),
  })
  try {
    signal.throwIfAborted()
    return await upgrader.upgradeOutbound(connection, options)
  } catch (error) {
    connection.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

async function firstPipe(
  address: Multiaddr,
  signal: AbortSignal,
  init: DialInit,
): Promise<{ target: Multiaddr; pipe: Pipe }> {
  const { resolver, limits } = init
  const resolve = resolver !== undefined && isResolvable(address)
  const targets = resolve ? await resolveAddress(address, { resolver, limits, signal }) : [address]
  let failure: unknown
  for (const target of targets) {
    try {
      return { target, pipe: await init.connect(target, signal) }
    } catch (error) {
      signal.throwIfAborted()
      failure ??= dialError(target, error)
    }
  }
  throw failure
}
