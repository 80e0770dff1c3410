/** libp2p's request-response (`wire.md §7.2`): one message each way, each ended by the end of its direction. */
import { cbor } from './cbor.ts'
import type { Format, Framing, FramingOptions } from './framing.ts'
import { json } from './json.ts'

/** How messages are written: JSON, CBOR, or bytes as they are. */
export type FormatName = 'json' | 'cbor' | 'raw'

const raw: Format = Object.freeze({
  name: 'raw',
  bytesOnly: true,
  pack: (value: unknown): Uint8Array => {
    if (value instanceof Uint8Array) return value
    throw new TypeError('Cannot carry the value: not a Uint8Array where the schema is bytes')
  },
  read: (message: Uint8Array): unknown => message,
})

const FORMATS: Readonly<Record<FormatName, Format>> = { json, cbor, raw }
// As multistream-select takes it, and without spaces.
const PROTOCOL_ID = /^\/[\x21-\x7e]{1,254}$/

/**
 * A method under a protocol id of the application's choice, as libp2p's request-response sends and answers it.
 *
 * @param protocol - begins with `/`, at most 255 printable ASCII characters without spaces
 * @param format - `raw` carries methods whose schemas are `bytes`
 * @throws `SyntaxError` for a protocol id of another form, `TypeError` for an unknown format or option
 */
export function requestResponse(
  protocol: string,
  format: FormatName,
  options: FramingOptions = {},
): Framing {
  if (!PROTOCOL_ID.test(protocol)) {
    throw new SyntaxError(`Cannot frame requests: "${protocol.slice(0, 64)}" is no protocol id`)
  }
  if (!Object.hasOwn(FORMATS, format)) {
    throw new TypeError(`Cannot frame requests: unknown format ${(format as string).slice(0, 64)}`)
  }
  const { method, ...rest } = options
  for (const key of Object.keys(rest)) {
    throw new TypeError(`Cannot frame requests: unknown option ${key.slice(0, 64)}`)
  }
  const protocols = Object.freeze([protocol])
  return Object.freeze({ protocols, method, prefixed: false, format: FORMATS[format] })
}
