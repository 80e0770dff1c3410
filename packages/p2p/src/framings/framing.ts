/**
 * Framings of others: one substream per request, one message each way, no request ids (`wire.md §7`). This file says
 * what a framing is and which method it carries; it knows nothing of pipes or handlers.
 */
import { isBytesSchema, validate } from '@stronghold/core'
import type { Checked, Schema } from '@stronghold/core'

import type { Carrier, CarryLimits } from '../carry.ts'
import { nothing } from '../protocol.ts'
import type { BoundMethod } from '../protocol.ts'

/** How one value is written as a message. */
export interface Format {
  /** As `json`. */
  readonly name: string
  /** Carries nothing but bytes, as they are, also none at all. For others a message without bytes is a refusal. */
  readonly bytesOnly: boolean
  /**
   * A value as message.
   *
   * @param isBytes - whether the schema is `bytes`
   * @throws `TypeError` for a value without a form here
   */
  pack(value: unknown, isBytes: boolean): Uint8Array
  /**
   * The value of a message, not yet checked by a schema.
   *
   * @throws an error that says what is wrong, for what is no message
   */
  read(message: Uint8Array, isBytes: boolean, limits: CarryLimits): unknown
}

/** A framing. Made by `original()` and `requestResponse()`. Carries one method that answers once. */
export interface Framing {
  /** Protocol ids. All of them are served; the first one is asked. */
  readonly protocols: readonly string[]
  /** The method's name. Undefined: the only unary one of the protocol. */
  readonly method: string | undefined
  /** Whether a message begins with its length, as unsigned varint; otherwise the end of the stream ends it. */
  readonly prefixed: boolean
  readonly format: Format
}

/** What every framing may say. */
export interface FramingOptions {
  /** The method's name. Needed where the protocol has several unary ones. */
  method?: string
}

/**
 * A framing's method, carried as the framing does it.
 *
 * @param what - begins the message of an error
 * @throws `TypeError` where the framing cannot tell which method it carries, or cannot carry it
 */
export function carriedMethod(
  framing: Framing,
  methods: ReadonlyMap<string, BoundMethod>,
  what: string,
): BoundMethod {
  const method = chosenMethod(framing, methods, what)
  const { request, response = nothing } = method.definition
  const { format } = framing
  return Object.freeze({
    ...method,
    request: carrierIn(format, request, what),
    response: carrierIn(format, response, what),
  })
}

function chosenMethod(
  { method: name, protocols }: Framing,
  methods: ReadonlyMap<string, BoundMethod>,
  what: string,
): BoundMethod {
  const unary = [...methods.values()].filter(({ definition }) => definition.kind === 'unary')
  if (name === undefined) {
    const [only] = unary
    if (only !== undefined && unary.length === 1) return only
    throw new TypeError(
      `${what} as ${protocols[0]}: name its method, the protocol has ${unary.length} unary ones`,
    )
  }
  const named = unary.find(({ method }) => method === name)
  if (named !== undefined) return named
  throw new TypeError(`${what} as ${protocols[0]}: it has no unary method ${name.slice(0, 64)}`)
}

function carrierIn(format: Format, schema: Schema, what: string): Carrier {
  const isBytes = isBytesSchema(schema)
  if (format.bytesOnly && !isBytes) {
    throw new TypeError(`${what} as ${format.name}: a schema of the method is not bytes`)
  }
  return new FormatCarrier(format, schema, isBytes)
}

class FormatCarrier implements Carrier {
  readonly #format: Format
  readonly #schema: Schema
  readonly #isBytes: boolean

  constructor(format: Format, schema: Schema, isBytes: boolean) {
    this.#format = format
    this.#schema = schema
    this.#isBytes = isBytes
  }

  pack(value: unknown): Uint8Array {
    // Neither JSON nor Rust knows undefined: what says nothing is null there.
    return this.#format.pack(value === undefined ? null : value, this.#isBytes)
  }

  unpack(message: Uint8Array, limits: CarryLimits): Checked<unknown> | Promise<Checked<unknown>> {
    let value: unknown
    try {
      value = this.#format.read(message, this.#isBytes, limits)
    } catch (error) {
      return { ok: false, problem: error instanceof Error ? error.message : String(error) }
    }
    const isNothing = value === null && this.#schema === nothing
    return validate(this.#schema, isNothing ? undefined : value)
  }
}

/** Numbers from 0 to 255 as the bytes they stand for. @throws `SyntaxError` for anything else */
export function bytesOf(value: unknown): Uint8Array {
  if (!Array.isArray(value)) throw new SyntaxError('Cannot read bytes: no array of numbers')
  const bytes = new Uint8Array(value.length)
  for (const [at, byte] of value.entries()) {
    if (!Number.isInteger(byte) || byte < 0 || byte > 255) {
      throw new SyntaxError(`Cannot read bytes: element ${at} is no integer from 0 to 255`)
    }
    bytes[at] = byte as number
  }
  return bytes
}
