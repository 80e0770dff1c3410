/**
 * Calls to a door at a unix socket. Each call is a connection of its own: nothing is held open, nothing has to be closed,
 * and whoever was started again is found. It knows no door.
 */
import { lstatSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { dirname } from 'node:path'

import { concat, decode, encode } from '@stronghold/core'

import { MAX_OWNER_ANSWER_BYTES } from '../limits.ts'
import { CBOR_TYPE, FAULT_MARK, METHOD_PATH, unframed } from './http.ts'
import { DoorError, errorOf, readFault } from './messages.ts'
import type { DoorTransport } from './table.ts'

// An import of this module would load all that it names, an HTTP client of another kind among it: a third of a short command.
const { request } = process.getBuiltinModule('node:http')

/** Whom a socket is of, for errors. */
export interface SocketTransportInit {
  readonly path: string
  /** Shown with each call: letters and digits. Default: nothing. */
  readonly token?: string
  /** Who is behind it: `keeper`. */
  readonly name: string
}

/** Connects with each call. What is called after a stream or a wait reaches the other side after it. */
export class SocketTransport implements DoorTransport {
  readonly #path: string
  readonly #name: string
  readonly #headers: Readonly<Record<string, string>>
  /** Streams that were asked for are heard before what is asked after them. */
  #begun: Promise<unknown> = Promise.resolve()

  constructor({ path, token, name }: SocketTransportInit) {
    this.#path = path
    this.#name = name
    this.#headers = {
      'content-type': CBOR_TYPE,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    }
  }

  async call(method: string, args: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    if (signal !== undefined) {
      // Whoever gives up waiting has no answer, as with a guard in this thread.
      for await (const value of this.stream(method, args, signal)) return value
      return undefined
    }
    await this.#begun
    try {
      return await this.#whole(await this.#post(method, args, signal))
    } catch (error) {
      throw this.#broken(error)
    }
  }

  stream(method: string, args: readonly unknown[], signal: AbortSignal): AsyncIterable<unknown> {
    const items = this.#items(method, args, signal)
    // The first item is empty and says that the keeper listens.
    const first = items.next()
    this.#begun = Promise.allSettled([this.#begun, first])
    return (async function* () {
      try {
        if ((await first).done !== true) yield* items
      } finally {
        await items.return()
      }
    })()
  }

  async *#items(
    method: string,
    args: readonly unknown[],
    signal: AbortSignal,
  ): AsyncGenerator<unknown, void, void> {
    try {
      const response = await this.#post(method, args, signal)
      for await (const item of unframed(response, MAX_OWNER_ANSWER_BYTES)) {
        if (item[0] === FAULT_MARK) throw errorOf(readFault(read(item.subarray(1))))
        yield item.byteLength === 0 ? undefined : read(item)
      }
    } catch (error) {
      if (!signal.aborted) throw this.#broken(error)
    }
  }

  /** In a directory that others can write to anybody may listen, and would be shown the token. */
  #assertOurs(): void {
    const folder = lstatSync(dirname(this.#path), { throwIfNoEntry: false })
    if (folder === undefined) return
    if (folder.uid === process.getuid?.() && (folder.mode & 0o022) === 0) return
    const where = JSON.stringify(this.#path.slice(-64))
    throw new DoorError(
      'failed_precondition',
      `Cannot reach ${this.#name} at ${where}: others may listen there`,
      'no',
    )
  }

  /** The response, once its head is there and says that all is well. */
  async #post(
    method: string,
    args: readonly unknown[],
    signal: AbortSignal | undefined,
  ): Promise<IncomingMessage> {
    this.#assertOurs()
    const body = encode(args, { floats: true })
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request({
        socketPath: this.#path,
        method: 'POST',
        path: METHOD_PATH + method,
        agent: false,
        headers: { ...this.#headers, 'content-length': body.byteLength },
        ...(signal === undefined ? {} : { signal }),
      })
      call.once('response', resolve)
      // It stays: a refused call may break again while the rest of its body is on the way.
      call.on('error', reject)
      call.end(body)
    })
    if (response.statusCode === 200) return response
    throw errorOf(readFault(await this.#whole(response)))
  }

  async #whole(response: IncomingMessage): Promise<unknown> {
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      length += chunk.byteLength
      if (length > MAX_OWNER_ANSWER_BYTES) throw new RangeError('Cannot read answer: too long')
      chunks.push(chunk)
    }
    return read(concat(chunks))
  }

  /** Every way in which a connection fails, in one sentence. */
  #broken(cause: unknown): Error {
    if (cause instanceof DoorError) return cause
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    const where = JSON.stringify(this.#path.slice(-64))
    const [why, ran] =
      code === 'ENOENT' || code === 'ECONNREFUSED'
        ? (['nobody listens there', 'no'] as const)
        : code === 'EACCES' || code === 'EPERM'
          ? (['it belongs to another user', 'no'] as const)
          : cause instanceof SyntaxError || cause instanceof RangeError
            ? (['it does not answer as it should', 'maybe'] as const)
            : (['the connection broke', 'maybe'] as const)
    const error = new DoorError(
      'unavailable',
      `Cannot reach ${this.#name} at ${where}: ${why}`,
      ran,
    )
    error.cause = cause
    return error
  }
}

function read(bytes: Uint8Array): unknown {
  return decode(bytes, { floats: true, maxBytes: MAX_OWNER_ANSWER_BYTES, maxItems: Infinity })
}
