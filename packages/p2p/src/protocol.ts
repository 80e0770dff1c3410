/**
 * Protocols as the application writes them down: names, methods, schemas, and what follows from them for callers
 * and handlers. Pure; `client.ts` and `serve.ts` are the two ends.
 */
import { isSchema } from '@stronghold/core'
import type { InferInput, InferOutput, Schema } from '@stronghold/core'

import { carrierOf } from './carry.ts'
import type { Carrier } from './carry.ts'
import type { ConnectionFacts } from './firewall/rules.ts'
import type { PeerId } from './identity.ts'

/** What the firewall, the prompt and the log see of a request. */
export type Facts = Readonly<Record<string, unknown>>

/** The schema of nothing: of a request or response that says no more than that it is there. */
export const nothing: Schema<undefined> = Object.freeze({
  '~standard': Object.freeze({
    version: 1,
    vendor: 'stronghold',
    validate: (value: unknown) =>
      value === undefined ? { value } : { issues: [{ message: 'Expected nothing' }] },
  }),
} as const)

/** What every method may say. */
export interface MethodInit<Req extends Schema> {
  /** Default: nothing. */
  request?: Req
  /** What the firewall, the prompt and the log see, computed by the receiver from the checked request. */
  facts?: (request: InferOutput<Req>) => Facts
  /** It has no side effects, so it may be sent again anywhere. Default false. */
  readOnly?: boolean
}

/** A method that takes one request and gives one answer. */
export interface UnaryInit<Req extends Schema, Res extends Schema> extends MethodInit<Req> {
  /** Default: nothing. */
  response?: Res
}

/** A method that answers with a stream of items. */
export interface ServerStreamInit<Req extends Schema, Down extends Schema> extends MethodInit<Req> {
  download: Down
}

/** A method that takes a stream of items and gives one answer. */
export interface ClientStreamInit<
  Req extends Schema,
  Up extends Schema,
  Res extends Schema,
> extends MethodInit<Req> {
  upload: Up
  /** Default: nothing. */
  response?: Res
}

/** A method with streams of items both ways. */
export interface BidiStreamInit<
  Req extends Schema,
  Up extends Schema,
  Down extends Schema,
> extends MethodInit<Req> {
  upload: Up
  download: Down
}

/** What all methods have. */
export interface AnyMethod {
  readonly kind: 'unary' | 'serverStream' | 'clientStream' | 'bidiStream'
  readonly request: Schema
  readonly upload: Schema | undefined
  readonly download: Schema | undefined
  readonly response: Schema | undefined
  readonly readOnly: boolean
  readonly facts: ((request: never) => Facts) | undefined
}

/** One request, one answer. */
export interface Unary<Req extends Schema, Res extends Schema> extends AnyMethod {
  readonly kind: 'unary'
  readonly request: Req
  readonly upload: undefined
  readonly download: undefined
  readonly response: Res
}

/** One request, items back. */
export interface ServerStream<Req extends Schema, Down extends Schema> extends AnyMethod {
  readonly kind: 'serverStream'
  readonly request: Req
  readonly upload: undefined
  readonly download: Down
  readonly response: undefined
}

/** One request and items, one answer. */
export interface ClientStream<
  Req extends Schema,
  Up extends Schema,
  Res extends Schema,
> extends AnyMethod {
  readonly kind: 'clientStream'
  readonly request: Req
  readonly upload: Up
  readonly download: undefined
  readonly response: Res
}

/** One request, items both ways. */
export interface BidiStream<
  Req extends Schema,
  Up extends Schema,
  Down extends Schema,
> extends AnyMethod {
  readonly kind: 'bidiStream'
  readonly request: Req
  readonly upload: Up
  readonly download: Down
  readonly response: undefined
}

/** The schema of what is not there. */
export type Nothing = Schema<undefined>

// NoInfer: what is left out is nothing, not whatever the place that the method stands in would take.

/**
 * One request, one answer.
 *
 * @throws `TypeError` for what is no schema
 */
export function unary<Req extends Schema = Nothing, Res extends Schema = Nothing>(
  init: UnaryInit<Req, Res>,
): Unary<NoInfer<Req>, NoInfer<Res>> {
  return define('unary', { ...init, response: init.response ?? nothing }) as Unary<Req, Res>
}

/**
 * One request, a stream of items back.
 *
 * @throws `TypeError` for what is no schema
 */
export function serverStream<Down extends Schema, Req extends Schema = Nothing>(
  init: ServerStreamInit<Req, Down>,
): ServerStream<NoInfer<Req>, NoInfer<Down>> {
  return define('serverStream', init) as ServerStream<Req, Down>
}

/**
 * One request followed by a stream of items, one answer.
 *
 * @throws `TypeError` for what is no schema
 */
export function clientStream<
  Up extends Schema,
  Req extends Schema = Nothing,
  Res extends Schema = Nothing,
>(init: ClientStreamInit<Req, Up, Res>): ClientStream<NoInfer<Req>, NoInfer<Up>, NoInfer<Res>> {
  return define('clientStream', { ...init, response: init.response ?? nothing }) as ClientStream<
    Req,
    Up,
    Res
  >
}

/**
 * One request, then streams of items both ways.
 *
 * @throws `TypeError` for what is no schema
 */
export function bidiStream<Up extends Schema, Down extends Schema, Req extends Schema = Nothing>(
  init: BidiStreamInit<Req, Up, Down>,
): BidiStream<NoInfer<Req>, NoInfer<Up>, NoInfer<Down>> {
  return define('bidiStream', init) as BidiStream<Req, Up, Down>
}

interface Given {
  request?: Schema
  upload?: Schema
  download?: Schema
  response?: Schema
  readOnly?: boolean
  facts?: (request: never) => Facts
}

const FIELDS: ReadonlySet<string> = new Set([
  'request',
  'upload',
  'download',
  'response',
  'readOnly',
  'facts',
])

function define(kind: AnyMethod['kind'], init: Given): AnyMethod {
  for (const [name, value] of Object.entries(init)) {
    if (!FIELDS.has(name)) {
      throw new TypeError(`Cannot define a method: unknown field ${name.slice(0, 64)}`)
    }
    if (name === 'readOnly' || name === 'facts' || value === undefined) continue
    if (!isSchema(value))
      throw new TypeError(`Cannot define a method: ${name} is no Standard Schema`)
  }
  return Object.freeze({
    kind,
    request: init.request ?? nothing,
    upload: init.upload,
    download: init.download,
    response: init.response,
    readOnly: init.readOnly === true,
    facts: init.facts,
  })
}

/** Methods by name. */
export type Methods = Readonly<Record<string, AnyMethod>>

/** A protocol: an id and its methods. */
export interface Protocol<M extends Methods = Methods> {
  /** As in `/example/files/1.0.0`. */
  readonly id: string
  readonly methods: M
}

/** A method with what carrying it needs. Made once per protocol. */
export interface BoundMethod {
  readonly protocol: string
  readonly method: string
  readonly definition: AnyMethod
  readonly request: Carrier
  readonly upload: Carrier | undefined
  readonly download: Carrier | undefined
  readonly response: Carrier | undefined
}

const PROTOCOL_ID = /^\/[\x21-\x7e]{1,254}$/
const METHOD_NAME = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/

/**
 * Writes a protocol down. Both sides use the same definition.
 *
 * @param id - begins with `/`, at most 255 printable ASCII characters without spaces
 * @throws `SyntaxError` for an id or a method name of another form, `TypeError` for what is no method
 */
export function defineProtocol<const M extends Methods>(id: string, methods: M): Protocol<M> {
  if (!PROTOCOL_ID.test(id)) {
    throw new SyntaxError(`Cannot define a protocol: "${id.slice(0, 64)}" is no protocol id`)
  }
  for (const [name, method] of Object.entries(methods)) {
    if (!METHOD_NAME.test(name)) {
      throw new SyntaxError(`Cannot define a protocol: "${name.slice(0, 64)}" is no method name`)
    }
    if (!isSchema(method.request)) {
      throw new TypeError(`Cannot define a protocol: ${name} is no method`)
    }
  }
  return Object.freeze({ id, methods: Object.freeze({ ...methods }) })
}

/** The methods of a protocol, ready to be carried. */
export function bindMethods(protocol: Protocol): ReadonlyMap<string, BoundMethod> {
  const bound = new Map<string, BoundMethod>()
  for (const [method, definition] of Object.entries(protocol.methods)) {
    const carrier = (schema: Schema | undefined): Carrier | undefined =>
      schema === undefined ? undefined : carrierOf(schema)
    bound.set(
      method,
      Object.freeze({
        protocol: protocol.id,
        method,
        definition,
        request: carrierOf(definition.request),
        upload: carrier(definition.upload),
        download: carrier(definition.download),
        response: carrier(definition.response),
      }),
    )
  }
  return bound
}

/** What a handler is told besides the request. */
export interface HandlerContext {
  readonly peer: PeerId
  readonly connection: ConnectionFacts
  /** Aborted when the asker cancels, its connection ends or the deadline passes. */
  readonly signal: AbortSignal
  /** The deadline, in milliseconds since the epoch. */
  readonly deadlineMs: number
}

/** What an upload or a download is taken from. */
export type Items<T> = Iterable<T> | AsyncIterable<T>

/** Now or later. */
export type Later<T> = T | Promise<T>

/** The handler of one method: it gets what the schemas give and returns what they take. */
export type Handler<M> =
  M extends Unary<infer Req, infer Res>
    ? (request: InferOutput<Req>, context: HandlerContext) => Later<InferInput<Res>>
    : M extends ServerStream<infer Req, infer Down>
      ? (request: InferOutput<Req>, context: HandlerContext) => Items<InferInput<Down>>
      : M extends ClientStream<infer Req, infer Up, infer Res>
        ? (
            request: InferOutput<Req>,
            context: HandlerContext & { readonly upload: AsyncIterable<InferOutput<Up>> },
          ) => Later<InferInput<Res>>
        : M extends BidiStream<infer Req, infer Up, infer Down>
          ? (
              request: InferOutput<Req>,
              context: HandlerContext & { readonly upload: AsyncIterable<InferOutput<Up>> },
            ) => Items<InferInput<Down>>
          : never

/** The handlers of a protocol, all of them. */
export type Handlers<M extends Methods> = { readonly [Name in keyof M]: Handler<M[Name]> }

/** What a call may say besides its request. */
export interface CallOptions {
  /** Ends the call; it rejects with the signal's reason, and the other side is told. */
  signal?: AbortSignal
  /** The deadline from now, in milliseconds. Default `requestTimeoutMs`. */
  timeoutMs?: number
}

/** The options of a call that has an upload. */
export interface UploadOptions<Item> extends CallOptions {
  upload: Items<Item>
}

/** The arguments of a call: what its schemas let one leave out may be left out. */
export type CallArguments<Req extends Schema, Options> =
  undefined extends InferInput<Req>
    ? Options extends { upload: unknown }
      ? [request: InferInput<Req>, options: Options]
      : [request?: InferInput<Req>, options?: Options]
    : Options extends { upload: unknown }
      ? [request: InferInput<Req>, options: Options]
      : [request: InferInput<Req>, options?: Options]

/** Calls one method: it takes what the schemas take and gives what they give. */
export type Caller<M> =
  M extends Unary<infer Req, infer Res>
    ? (...args: CallArguments<Req, CallOptions>) => Promise<InferOutput<Res>>
    : M extends ServerStream<infer Req, infer Down>
      ? (...args: CallArguments<Req, CallOptions>) => AsyncIterableIterator<InferOutput<Down>>
      : M extends ClientStream<infer Req, infer Up, infer Res>
        ? (...args: CallArguments<Req, UploadOptions<InferInput<Up>>>) => Promise<InferOutput<Res>>
        : M extends BidiStream<infer Req, infer Up, infer Down>
          ? (
              ...args: CallArguments<Req, UploadOptions<InferInput<Up>>>
            ) => AsyncIterableIterator<InferOutput<Down>>
          : never

/** A protocol's methods as functions, frozen. */
export type Client<M extends Methods> = { readonly [Name in keyof M]: Caller<M[Name]> }
