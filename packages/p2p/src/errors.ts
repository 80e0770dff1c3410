/**
 * The one error class of this package. Handlers throw it, callers catch it; the channel carries its code,
 * its `ran`, its reason and its message, and nothing else.
 */
import { isStatusCode } from '@stronghold/core'
import type { Ran, StatusCode } from '@stronghold/core'

import type { Address, PeerId } from './identity.ts'

/** Where a request failed. */
export type Layer =
  'dial' | 'security' | 'protocol' | 'firewall' | 'request' | 'handler' | 'relay' | 'limit'

/** `Layer` in wire order: the number of a layer is its index here (`wire.md §4.7`). */
export const LAYERS: readonly Layer[] = [
  'dial',
  'security',
  'protocol',
  'firewall',
  'request',
  'handler',
  'relay',
  'limit',
]

/** What stands beside the code of a `P2pError`. Everything but `layer` has a default. */
export interface P2pErrorInit {
  /** Where it failed. */
  layer: Layer
  /** Did the handler start. Default `'no'`, for layer `handler` `'yes'`. */
  ran?: Ran
  /** The other side, where known. */
  peer?: PeerId
  /** The address in question, where known. */
  address?: Address
  /** At most 32 printable ASCII characters for programs; never interpreted by p2p. */
  reason?: string
  /** Kept at home, never sent. */
  cause?: unknown
}

/** Every failure of a request, a dial or a handshake. `code` is one of the twelve codes of `StatusCode`. */
export class P2pError extends Error {
  override readonly name = 'P2pError'
  readonly code: StatusCode
  readonly ran: Ran
  readonly layer: Layer
  readonly peer: PeerId | undefined
  readonly address: Address | undefined
  readonly reason: string | undefined

  /**
   * @throws `RangeError` for a reason that is not 1 to 32 printable ASCII characters
   */
  constructor(code: StatusCode, message: string, init: P2pErrorInit) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause })
    if (!isStatusCode(code))
      throw new TypeError(`Cannot make an error: unknown code ${String(code)}`)
    if (init.reason !== undefined && !/^[\x20-\x7e]{1,32}$/.test(init.reason)) {
      throw new RangeError('Cannot make an error: reason is not 1 to 32 printable ASCII characters')
    }
    this.code = code
    this.layer = init.layer
    this.ran = init.ran ?? (init.layer === 'handler' ? 'yes' : 'no')
    this.peer = init.peer
    this.address = init.address
    this.reason = init.reason
  }
}

/** Narrows by code. Works across two bundled copies of this package, where `instanceof` does not. */
export function isP2pError<C extends StatusCode>(
  error: unknown,
  code?: C,
): error is P2pError & { readonly code: C } {
  return (
    error instanceof Error &&
    error.name === 'P2pError' &&
    'code' in error &&
    isStatusCode(error.code) &&
    (code === undefined || error.code === code)
  )
}
