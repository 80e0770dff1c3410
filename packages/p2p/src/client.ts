/**
 * The caller's end of a protocol: its methods as functions. Values in, messages out, and back; what lies between is
 * the business of `outgoing.ts` and `calls.ts`.
 */
import { AnswerCall, DownloadCall } from './outgoing.ts'
import type { AnyOptions, OutgoingInit } from './outgoing.ts'
import { bindMethods } from './protocol.ts'
import type { BoundMethod, Client, Methods, Protocol } from './protocol.ts'

/** What a client needs of its node. */
export type ClientInit = OutgoingInit

/**
 * The methods of a protocol as functions; a frozen plain object.
 *
 * @param only - the one method that the other side's framing carries, as it carries it; calls of others throw
 */
export function createClient<M extends Methods>(
  protocol: Protocol<M>,
  init: ClientInit,
  only?: BoundMethod,
): Client<M> {
  const client: Record<string, unknown> = {}
  for (const [name, bound] of bindMethods(protocol)) {
    const method = only?.method === name ? only : bound
    if (only !== undefined && method !== only) {
      client[name] = (): never => {
        throw new TypeError(`Cannot call ${name}: the framing carries ${only.method} alone`)
      }
      continue
    }
    client[name] = (request?: unknown, options: AnyOptions = NO_OPTIONS): unknown => {
      if (options !== NO_OPTIONS || method.upload !== undefined) checkOptions(options, method)
      return method.download === undefined
        ? new AnswerCall(init, method, request, options).answer()
        : new DownloadCall(init, method, request, options)
    }
  }
  return Object.freeze(client) as Client<M>
}

const NO_OPTIONS: AnyOptions = Object.freeze({})
const OPTIONS: ReadonlySet<string> = new Set(['signal', 'timeoutMs', 'upload'])

function checkOptions(options: AnyOptions, { method, upload }: BoundMethod): void {
  for (const name of Object.keys(options)) {
    if (!OPTIONS.has(name)) {
      throw new TypeError(`Cannot call ${method}: unknown option ${name.slice(0, 64)}`)
    }
  }
  const { timeoutMs } = options
  if (timeoutMs !== undefined && !(Number.isFinite(timeoutMs) && timeoutMs >= 1)) {
    throw new RangeError(`Cannot call ${method}: timeoutMs is not at least 1`)
  }
  if ((upload === undefined) !== (options.upload === undefined)) {
    const state = upload === undefined ? 'it takes no upload' : 'its upload is missing'
    throw new TypeError(`Cannot call ${method}: ${state}`)
  }
}
