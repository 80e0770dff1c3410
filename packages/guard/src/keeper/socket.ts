/**
 * A door at a unix socket that only its user can reach. It reads HTTP and calls methods; who may call what it is told, and
 * it knows no door.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { dirname } from 'node:path'

import { createAdaptorServer } from '@hono/node-server'
import type { HttpBindings } from '@hono/node-server'
import { concat, decode, encode } from '@stronghold/core'
import { VaultError } from '@stronghold/vault/errors'
import { Hono } from 'hono'
import type { Context } from 'hono'

import { DEFAULT_KEEPER_LIMITS, MAX_OWNER_ANSWER_BYTES, MAX_SOCKET_PATH_BYTES } from '../limits.ts'
import type { KeeperLimits } from '../limits.ts'
import { CBOR_TYPE, FAULT_MARK, frame, HTTP_STATUS, METHOD_PATH, STREAM_TYPE } from './http.ts'
import { DoorError, faultOf } from './messages.ts'
import type { MethodKind } from './table.ts'

/** Calls a method by its name. @throws `DoorError` for what may not be called, or not so */
export type SocketCalls = (
  name: string,
  args: readonly unknown[],
  signal: AbortSignal,
) => Promise<unknown> | AsyncIterable<unknown>

/** Bounds of a socket. */
export type SocketLimits = Pick<
  KeeperLimits,
  | 'arrivalTimeoutMs'
  | 'maxBodyBytes'
  | 'maxConnections'
  | 'maxHeaderBytes'
  | 'maxHeaders'
  | 'maxOwnerCalls'
>

/** Where somebody comes in, and to what. */
export interface SocketInit {
  /** At most 103 bytes; its directory is made with mode 0700 where there is none. */
  readonly path: string
  /** Every method there is, and how it answers. */
  readonly methods: Readonly<Record<string, { readonly kind: MethodKind }>>
  /** What whoever shows this may call, which is empty where nothing was shown; `undefined` lets nobody in. */
  readonly admit: (shown: string) => SocketCalls | undefined
  /** Default: those of a keeper. */
  readonly limits?: SocketLimits
}

/** A socket that is open. */
export interface OpenSocket {
  /** Ends every connection and takes the socket away. */
  close(): Promise<void>
}

/**
 * Opens the socket. Whoever calls holds the vault: a socket that stands there already belongs to nobody and is replaced.
 *
 * @throws `RangeError` for a path above 103 bytes; `VaultError` `failed_precondition` (`unsafe_file`) for a directory that
 *   others may enter or a file that is no socket; `unavailable` where the system refuses
 */
export async function openSocket(init: SocketInit): Promise<OpenSocket> {
  const { path, limits = DEFAULT_KEEPER_LIMITS } = init
  assertPlace(path)
  const server = createAdaptorServer({
    fetch: routes(init).fetch,
    overrideGlobalObjects: false,
    serverOptions: {
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.arrivalTimeoutMs,
      requestTimeout: limits.arrivalTimeoutMs,
      connectionsCheckingInterval: Math.ceil(limits.arrivalTimeoutMs / 4),
    },
  }) as Server
  server.maxConnections = limits.maxConnections
  server.keepAliveTimeout = limits.arrivalTimeoutMs
  server.maxHeadersCount = 0 // counted by ourselves: Node.js would drop what is too much, and go on
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `Cannot listen at ${quote(path)}: the system refuses`
      reject(new VaultError('unavailable', message, { cause }))
    })
    server.listen(path, resolve)
  })
  // Nobody else gets as far as the directory; a thread has no umask of its own.
  chmodSync(path, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  }
}

interface Env {
  Bindings: HttpBindings
  Variables: { calls: SocketCalls }
}
type Call = Context<Env>

/** The routes, one for each method. */
function routes({ methods, admit, limits = DEFAULT_KEEPER_LIMITS }: SocketInit): Hono<Env> {
  const app = new Hono<Env>()
  let running = 0

  app.use(async (c, next) => {
    if (c.env.incoming.rawHeaders.length > 2 * limits.maxHeaders) {
      throw new DoorError('resource_exhausted', 'Cannot serve call: too many headers', 'no')
    }
    const shown = /^Bearer (\S{1,128})$/.exec(c.req.header('authorization') ?? '')?.[1] ?? ''
    const calls = admit(shown)
    if (calls === undefined) {
      throw new DoorError('unauthenticated', 'Cannot serve call: the token opens nothing', 'no')
    }
    if (running >= limits.maxOwnerCalls) {
      throw new DoorError('resource_exhausted', 'Cannot serve call: too many run already', 'no')
    }
    c.set('calls', calls)
    running++
    // Also a stream and a canceled call run until their connection is through with them.
    c.env.outgoing.once('close', () => {
      running--
    })
    await next()
  })

  for (const [name, { kind }] of Object.entries(methods)) {
    app.post(METHOD_PATH + name, async (c) => {
      const args = await argsOf(c, limits.maxBodyBytes)
      const stop = new AbortController()
      c.env.outgoing.once('close', () => {
        stop.abort()
      })
      const result = c.get('calls')(name, args, stop.signal)
      if (Symbol.asyncIterator in result) return stream(c, result, stop)
      return kind === 'wait' ? stream(c, only(result), stop) : answer(c, await result)
    })
  }

  app.notFound((c) => {
    return failed(c, new DoorError('unimplemented', 'Cannot serve call: no such method', 'no'))
  })
  app.onError((error, c) => failed(c, error))
  return app
}

async function argsOf(c: Call, maxBytes: number): Promise<readonly unknown[]> {
  if (c.req.header('content-type') !== CBOR_TYPE) {
    throw new DoorError('invalid_argument', `Cannot serve call: no ${CBOR_TYPE}`, 'no')
  }
  // What a body says of its length allocates nothing; it is counted as it comes.
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of c.req.raw.body ?? []) {
    chunks.push(chunk)
    length += chunk.byteLength
    if (length > maxBytes) {
      throw new DoorError('resource_exhausted', `Cannot serve call: over ${maxBytes} bytes`, 'no')
    }
  }
  const args: unknown = decode(concat(chunks), { floats: true, maxBytes })
  if (Array.isArray(args)) return args as readonly unknown[]
  throw new DoorError('invalid_argument', 'Cannot serve call: its arguments are no list', 'no')
}

function answer(c: Call, value: unknown): Response {
  return c.body(encoded(value), 200, { 'content-type': CBOR_TYPE })
}

/** An answer that is long in coming is a stream of one: its head says at once that it is waited for. */
async function* only(result: Promise<unknown>): AsyncGenerator {
  yield await result
}

function stream(c: Call, items: AsyncIterable<unknown>, stop: AbortController): Response {
  return c.body(streamed(items, stop), 200, { 'content-type': STREAM_TYPE })
}

function failed(c: Call, error: unknown): Response {
  const fault = faultOf(error)
  // What is still to come of a call that was refused is not waited for.
  return c.body(encoded(fault), HTTP_STATUS[fault.code], {
    'content-type': CBOR_TYPE,
    connection: 'close',
  })
}

function encoded(value: unknown): Uint8Array<ArrayBuffer> {
  try {
    const bytes = encode(value, { floats: true, maxBytes: MAX_OWNER_ANSWER_BYTES })
    return bytes as Uint8Array<ArrayBuffer>
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new DoorError('resource_exhausted', 'Cannot answer call: too long', 'yes')
  }
}

/** Pulled as fast as it is read; an empty item first, so that the other side knows from when on it hears. */
function streamed(
  items: AsyncIterable<unknown>,
  stop: AbortController,
): ReadableStream<Uint8Array> {
  const iterator = items[Symbol.asyncIterator]()
  // Asked for before the first byte leaves: listening begins with the first question.
  let next: Promise<IteratorResult<unknown, unknown>> = iterator.next()
  next.catch(() => {})
  return new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(frame(new Uint8Array()))
    },
    async pull(controller) {
      let item: Uint8Array
      try {
        const { done, value } = await next
        if (done === true) {
          controller.close()
          return
        }
        item = encoded(value)
      } catch (error) {
        const mark = Uint8Array.of(FAULT_MARK)
        controller.enqueue(frame(concat([mark, encoded(faultOf(error))])))
        controller.close()
        return
      }
      controller.enqueue(frame(item))
      next = iterator.next()
      next.catch(() => {})
    },
    cancel() {
      stop.abort()
    },
  })
}

/** The directory keeps others out from the first moment on: between binding a socket and setting its mode there is one. */
function assertPlace(path: string): void {
  const length = Buffer.byteLength(path)
  if (length > MAX_SOCKET_PATH_BYTES) {
    throw new RangeError(
      `Cannot listen at ${quote(path)}: the path has ${length} bytes where a socket may have ${MAX_SOCKET_PATH_BYTES}`,
    )
  }
  const directory = dirname(path)
  if (lstatSync(directory, { throwIfNoEntry: false }) === undefined) {
    mkdirSync(directory, { mode: 0o700 })
  }
  const { uid, mode } = lstatSync(directory)
  const isOurs = uid === process.getuid?.() && (mode & 0o077) === 0
  if (!lstatSync(directory).isDirectory() || !isOurs) {
    throw unsafe(`Cannot listen at ${quote(path)}: others may enter its directory`)
  }
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there === undefined) return
  if (!there.isSocket()) throw unsafe(`Cannot listen at ${quote(path)}: a file stands there`)
  rmSync(path)
}

function unsafe(message: string): VaultError {
  return new VaultError('failed_precondition', message, { reason: 'unsafe_file' })
}

function quote(path: string): string {
  return JSON.stringify(path.slice(-64))
}
