/**
 * What a node failed with, as it crosses the control socket: the code, the layer in the place of a reason that the network
 * does not give, and whom it was about and where. It knows no command.
 */
import { isStatusCode } from '@stronghold/core'
import type { Ran, StatusCode } from '@stronghold/core'
import { DoorError } from '@stronghold/guard/socket'

/** Errors of `p2p` and `remote`, by their shape: neither package is loaded for a failure. */
interface NodeError extends Error {
  readonly code: StatusCode
  readonly ran?: Ran
  readonly reason?: string
  readonly layer?: string
  readonly peer?: string
  readonly address?: string
}

/**
 * An error of the network as one that crosses. Everything else stays what it is.
 *
 * @param peer - who was meant, where that is known
 */
export function nodeFault(error: unknown, peer?: string): unknown {
  if (!isNodeError(error)) return error
  // What `remote` throws has the network's own error behind it.
  const inner = isNodeError(error.cause) ? error.cause : error
  const { layer = inner.layer, address = inner.address } = error
  // Who was meant: a relay on the way may be the one it is about.
  const whom = peer ?? error.peer ?? inner.peer
  const facts = [
    ...(address === undefined || error.message.includes(address) ? [] : [`at ${address}`]),
    ...(whom === undefined || `${error.message} ${address ?? ''}`.includes(whom)
      ? []
      : [`peer ${whom}`]),
    ...(layer === undefined ? [] : [`layer ${layer}`]),
  ]
  const message = facts.length === 0 ? error.message : `${error.message} (${facts.join(', ')})`
  const reason = error.reason ?? (layer === undefined ? undefined : `layer_${layer}`)
  return new DoorError(error.code, message, error.ran ?? 'no', reason)
}

/** Runs what uses the network, with its errors as those that cross. */
export async function crossing<T>(work: () => Promise<T>, peer?: string): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw nodeFault(error, peer)
  }
}

function isNodeError(error: unknown): error is NodeError {
  return (
    error instanceof Error &&
    (error.name === 'P2pError' || error.name === 'RemoteError') &&
    'code' in error &&
    isStatusCode(error.code)
  )
}
