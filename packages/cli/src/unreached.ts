/** A peer that was not reached, as the program tells it: whom, where, in which layer it failed, and what to type next. Pure. */
import { Failure, failureOf } from './failure.ts'

/**
 * What went wrong on the way to a peer.
 *
 * @param error - as it came through the node door
 * @param name - what the peer is called here
 */
export function unreached(error: unknown, name: string): Failure {
  const { exit, message, reason, cause } = failureOf(error)
  const { code, reason: layer } = error as { code?: unknown; reason?: unknown }
  if (typeof code !== 'string') return failureOf(error)
  const why = reason === undefined ? message : `${message}: ${reason}`
  // What a relay refuses is no verdict of the peer's.
  const isAway =
    code === 'unavailable' || code === 'deadline_exceeded' || why.includes('layer relay')
  return new Failure(isAway ? 'unreachable' : exit, `cannot reach ${name}`, {
    reason: why,
    hint: hintFor(name, layer, why),
    cause,
  })
}

function hintFor(name: string, layer: unknown, why: string): string {
  if (why.includes('blocked')) return `stronghold peer unblock ${name}`
  if (why.includes('no address')) {
    return `look for it: stronghold net discover; or say where it is: stronghold peer add ${name} ADDRESS/p2p/PEER-ID`
  }
  if (why.includes('layer relay')) return 'see how its relay stands: stronghold relay status'
  switch (layer) {
    case 'layer_security':
      return `somebody else may answer at that address: stronghold peer show ${name}`
    case 'layer_limit':
      return 'wait a while, then try again'
    case 'layer_firewall':
    case 'layer_protocol':
      return `it does not take that from this machine; there: stronghold peer list`
    default:
      return `see that it is up, there: stronghold status; here: stronghold doctor`
  }
}
