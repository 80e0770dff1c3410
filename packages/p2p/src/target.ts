/** Whom to reach, as callers say it, and why that failed, as they hear it. Dials nothing by itself. */
import { isP2pError, P2pError } from './errors.ts'
import { parseAddress, parsePeerId, toMultiaddr } from './identity.ts'
import type { Address, PeerId } from './identity.ts'

/** Whom to call or connect to: a peer id, an address, or several addresses of one peer. */
export type Target = PeerId | Address | string | readonly (Address | string)[]

/** A target that was read. */
export interface Found {
  /** Undefined where the addresses do not say. */
  readonly peer: PeerId | undefined
  readonly addresses: readonly Address[]
}

/**
 * Reads a target.
 *
 * @throws `SyntaxError` for what is neither peer id nor address, `TypeError` for none or those of several peers
 */
export function readTarget(target: Target): Found {
  const all = typeof target === 'string' ? [target] : target
  if (typeof target === 'string' && !target.startsWith('/')) {
    return { peer: parsePeerId(target), addresses: [] }
  }
  const addresses = all.map((one) => parseAddress(one))
  const peers = new Set(addresses.map((one) => peerIn(one)))
  if (addresses.length === 0 || peers.size > 1) {
    throw new TypeError('Cannot read the target: not the addresses of one peer')
  }
  return { peer: [...peers][0], addresses }
}

/** The peer id that an address ends with. */
function peerIn(address: Address): PeerId | undefined {
  const last = toMultiaddr(address).getComponents().at(-1)
  return last?.name === 'p2p' && last.value !== undefined ? parsePeerId(last.value) : undefined
}

/** There is no connection, and none is made. */
export function notConnected(peer: PeerId): P2pError {
  return new P2pError('unavailable', `Cannot reach ${peer}: not connected`, { layer: 'dial', peer })
}

/** The owner of this node blocked the peer. */
export function blockedError(peer: PeerId): P2pError {
  return new P2pError('permission_denied', `Cannot reach ${peer}: it is blocked`, {
    layer: 'dial',
    peer,
  })
}

/** Nobody knows where the peer is. */
export function nowhere(peer: PeerId | undefined): P2pError {
  return new P2pError('unavailable', `Cannot reach ${peer ?? 'the peer'}: no address is known`, {
    layer: 'dial',
    ...(peer === undefined ? {} : { peer }),
  })
}

/** Whether an address leads through a relay. */
export function isRelayed(address: Address): boolean {
  return address.includes('/p2p-circuit')
}

/** Every way to a peer failed, each for its own reason; or there was none. */
export function noWay(peer: PeerId | undefined, failures: readonly P2pError[]): P2pError {
  const [first, second] = failures
  if (first === undefined) return nowhere(peer)
  if (second === undefined) return first
  const { code, layer, address, reason } = second
  return new P2pError(code, `${second.message}; and directly: ${first.message}`, {
    layer,
    cause: second,
    ...(peer === undefined ? {} : { peer }),
    ...(address === undefined ? {} : { address }),
    ...(reason === undefined ? {} : { reason }),
  })
}

/** The first error of ours in what a dial rejected with, or one around it: whom and where it was about stands in it. */
export function dialError(
  error: unknown,
  peer: PeerId | undefined,
  dial: readonly Address[],
): P2pError {
  const own = findOwn(error, 4)
  if (own !== undefined) return placed(own, peer, dial)
  const where = dial.length > 1 ? `${dial.length} addresses` : (dial[0] ?? peer ?? 'the peer')
  const state = error instanceof Error ? error.message : String(error)
  const told = isUndialable(error) ? 'no transport can' : state.slice(0, 128)
  return new P2pError('unavailable', `Cannot dial ${where}: ${told}`, {
    layer: 'dial',
    cause: error,
    ...(peer === undefined ? {} : { peer }),
    ...(dial[0] === undefined ? {} : { address: dial[0] }),
  })
}

/** Whether libp2p found nothing to dial with. */
function isUndialable(error: unknown): boolean {
  const names = ['NoValidAddressesError', 'TransportUnavailableError']
  return error instanceof Error && names.includes(error.name)
}

/** What fails on the way, as a handshake, does not know where that led. */
function placed(own: P2pError, peer: PeerId | undefined, dial: readonly Address[]): P2pError {
  // Who was meant: a relay on the way may be the one it is about.
  const whom = peer ?? own.peer
  // Of several nobody knows which one it was.
  const where = own.address ?? (dial.length === 1 ? dial[0] : undefined)
  if (whom === own.peer && where === own.address) return own
  return new P2pError(own.code, own.message, {
    layer: own.layer,
    ran: own.ran,
    cause: own,
    ...(whom === undefined ? {} : { peer: whom }),
    ...(where === undefined ? {} : { address: where }),
    ...(own.reason === undefined ? {} : { reason: own.reason }),
  })
}

function findOwn(error: unknown, depth: number): P2pError | undefined {
  if (isP2pError(error)) return error
  if (!(error instanceof Error) || depth === 0) return undefined
  const inner = error instanceof AggregateError ? error.errors : [error.cause]
  for (const one of inner) {
    const found = findOwn(one, depth - 1)
    if (found !== undefined) return found
  }
  return undefined
}
