/** The framing of the Rust original and its successor (`wire.md §7.1`): varint length, JSON, one substream a request. */
import type { Framing, FramingOptions } from './framing.ts'
import { json } from './json.ts'

/** Protocol id of the crate `stronghold-p2p` 0.4 (`wire.md §7.1`). */
export const ORIGINAL_PROTOCOL = '/stronghold-p2p/1.0.0'
/** Protocol id of its successor. */
export const ORIGINAL_P2P_PROTOCOL = '/p2p/1.0.0'

/** A protocol id of the original. */
export type OriginalProtocol = typeof ORIGINAL_PROTOCOL | typeof ORIGINAL_P2P_PROTOCOL

/** What may be said of the original's framing. */
export interface OriginalOptions extends FramingOptions {
  /** Serve this protocol id alone, and ask it. Default: both are served, `/stronghold-p2p/1.0.0` is asked. */
  protocol?: OriginalProtocol
}

/**
 * A method as the Rust original sends and answers it.
 *
 * @throws `TypeError` for an unknown option or protocol id
 */
export function original(options: OriginalOptions = {}): Framing {
  const { method, protocol, ...rest } = options
  for (const key of Object.keys(rest)) {
    throw new TypeError(`Cannot frame as the original: unknown option ${key.slice(0, 64)}`)
  }
  const all: readonly string[] = [ORIGINAL_PROTOCOL, ORIGINAL_P2P_PROTOCOL]
  if (protocol !== undefined && !all.includes(protocol)) {
    throw new TypeError('Cannot frame as the original: that is none of its protocol ids')
  }
  const protocols = protocol === undefined ? all : [protocol]
  return Object.freeze({
    protocols: Object.freeze(protocols),
    method,
    prefixed: true,
    format: json,
  })
}
