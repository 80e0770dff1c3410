/** The framing of the Rust original and its successor (`wire.md §7.1`): varint length, JSON, one substream a request. */
import type { Framing, FramingOptions } from './framing.ts'
import { json } from './json.ts'

/** A protocol id of the original: of the crate `stronghold-p2p` 0.4 (`wire.md §7.1`), and of its successor. */
export type OriginalProtocol = '/stronghold-p2p/1.0.0' | '/p2p/1.0.0'

const PROTOCOLS: readonly OriginalProtocol[] = ['/stronghold-p2p/1.0.0', '/p2p/1.0.0']

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
  if (protocol !== undefined && !PROTOCOLS.includes(protocol)) {
    throw new TypeError('Cannot frame as the original: that is none of its protocol ids')
  }
  return Object.freeze({
    protocols: Object.freeze(protocol === undefined ? [...PROTOCOLS] : [protocol]),
    method,
    prefixed: true,
    format: json,
  })
}
