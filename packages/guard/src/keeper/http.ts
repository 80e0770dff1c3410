/**
 * How calls lie in HTTP at the owner's socket: `POST /v1/METHOD`, the arguments as a CBOR array, the answer as CBOR, a stream
 * as items that each say their length. CBOR and not JSON: bytes stay bytes, and its reader here has a bound on everything.
 */
import { concat } from '@stronghold/core'
import type { StatusCode } from '@stronghold/core'

/** The one type of a body. */
export const CBOR_TYPE = 'application/cbor'
/** The type of a stream: 4 bytes of length, most significant first, and as many of CBOR, again and again. */
export const STREAM_TYPE = 'application/cbor-seq'
/** Where the methods are. */
export const METHOD_PATH = '/v1/'

/** The status that goes with a code; what counts is the code in the body. */
export const HTTP_STATUS: Readonly<
  Record<StatusCode, 400 | 401 | 403 | 404 | 409 | 429 | 500 | 501 | 503>
> = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  failed_precondition: 409,
  resource_exhausted: 429,
  deadline_exceeded: 503,
  canceled: 503,
  unavailable: 503,
  unimplemented: 501,
  data_loss: 500,
  internal: 500,
}

/** Stands before the fault that ends a stream, in the place of an item: no CBOR begins with it (RFC 8949 §3.2.1). */
export const FAULT_MARK = 0xff

/** One item of a stream. An empty one says that the stream has begun. */
export function frame(item: Uint8Array): Uint8Array {
  const head = new Uint8Array(4)
  new DataView(head.buffer).setUint32(0, item.byteLength)
  return concat([head, item])
}

/**
 * The items of a stream, as they arrive.
 *
 * @throws `RangeError` for one that says it is longer than `maxBytes`, before it is there; `SyntaxError` where it is cut off
 */
export async function* unframed(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Uint8Array, void, void> {
  let held: Uint8Array[] = []
  let bytes = 0
  let need = 4
  for await (const chunk of chunks) {
    held.push(chunk)
    bytes += chunk.byteLength
    if (bytes < need) continue
    let all = concat(held)
    for (;;) {
      if (all.byteLength < 4) {
        need = 4
        break
      }
      const length = new DataView(all.buffer, all.byteOffset).getUint32(0)
      if (length > maxBytes) throw new RangeError(`Cannot read item: it has ${length} bytes`)
      need = 4 + length
      if (all.byteLength < need) break
      yield all.slice(4, need)
      all = all.subarray(need)
    }
    held = all.byteLength === 0 ? [] : [all]
    bytes = all.byteLength
  }
  if (bytes > 0) throw new SyntaxError('Cannot read stream: it is cut off')
}
