/** A peer that was not reached, as the program tells it: whom, where, in which layer it failed, and what to type next. Pure. */
import { Failure, failureOf } from './failure.ts'

/** What a relay says where it does not join us with a peer, and what helps. */
const RELAY_HINTS: Readonly<Record<string, (name: string) => string>> = {
  no_reservation: (name) =>
    `${name} is not up, or uses that relay no more; there: stronghold relay status`,
  connection_failed: (name) =>
    `${name} is not up, or refuses this machine; there: stronghold status`,
  resource_limit_exceeded: () =>
    'wait a while, then try again; whoever runs the relay can give more: stronghold relay quota PEER',
  reservation_refused: () => 'wait a while, or use another relay',
  permission_denied: () =>
    'whoever runs the relay can let this machine and the other: stronghold relay allow PEER',
}

/** Whether something failed before the other side could say anything about what was asked of it. */
export function isOnTheWay(code: unknown, reason: unknown): boolean {
  if (reason === 'layer_protocol') return code !== 'unimplemented'
  return (
    reason === 'layer_dial' ||
    reason === 'layer_security' ||
    reason === 'layer_relay' ||
    (typeof reason === 'string' && Object.hasOwn(RELAY_HINTS, reason))
  )
}

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
  const isBlocked = why.includes('blocked')
  const isAway =
    code === 'unavailable' ||
    code === 'deadline_exceeded' ||
    (isOnTheWay(code, layer) && !isBlocked)
  return new Failure(isAway ? 'unreachable' : exit, `cannot reach ${name}`, {
    // Said once is enough.
    reason: why.replace(`cannot reach ${name}: `, ''),
    hint: hintFor(name, layer, why),
    cause,
  })
}

function hintFor(name: string, layer: unknown, why: string): string {
  if (why.includes('dial self')) return 'that is this Stronghold itself: leave it out, as in PATH'
  if (why.includes('blocked')) return `stronghold peer unblock ${name}`
  // A name of the book, or the id itself.
  const isId = /^[1-9A-HJ-NP-Za-km-z]{40,}$/.test(name)
  const there = isId ? `NAME ADDRESS/p2p/${name}` : `${name} ADDRESS/p2p/PEER-ID`
  if (why.includes('no address')) {
    return `look for it: stronghold net discover; or say where it is: stronghold peer add ${there}`
  }
  if (typeof layer === 'string' && Object.hasOwn(RELAY_HINTS, layer)) {
    return RELAY_HINTS[layer]?.(name) ?? ''
  }
  if (why.includes('layer relay')) {
    return `see whether the relay is up; or say where else it is: stronghold peer add ${there}`
  }
  switch (layer) {
    case 'layer_security':
      return `somebody else may answer at that address; say where it is: stronghold peer add ${there}`
    case 'layer_limit':
      return 'wait a while, then try again'
    case 'layer_firewall':
      return `it does not take that from this machine; there: stronghold peer list`
    case 'layer_protocol':
      return `see that a Stronghold runs at that address, and not something else`
    default:
      return isRelayAway(why)
        ? `its relay is not up; say where else it is: stronghold peer add ${there}`
        : `see that it is up, there: stronghold status; here: stronghold doctor`
  }
}

/** Whether the address that did not answer is somebody else's than the peer's: that of the relay on the way. */
function isRelayAway(why: string): boolean {
  const [, at, peer] = /\(at \S*\/p2p\/(\w+), peer (\w+),/.exec(why) ?? []
  return at !== peer
}
