/**
 * How values become messages and messages values (`wire.md §4.9`): raw bytes, or deterministic CBOR checked by a
 * schema. Knows nothing of channels.
 */
import { decode, encode, isBytesSchema, validate } from '@stronghold/core'
import type { Checked, Schema } from '@stronghold/core'

/** Bounds on a message that is decoded. */
export interface CarryLimits {
  maxMessageBytes: number
  maxNesting: number
  maxMessageValues: number
}

/** One schema's way of being carried. */
export interface Carrier {
  /** A value as message. @throws `TypeError` for what cannot be carried */
  pack(value: unknown): Uint8Array
  /** The value of a message, checked, or why it is none. Never throws for what a peer sent. */
  unpack(message: Uint8Array, limits: CarryLimits): Checked<unknown> | Promise<Checked<unknown>>
}

/** How a schema's values are carried. */
export function carrierOf(schema: Schema): Carrier {
  return isBytesSchema(schema) ? BYTES : new Structured(schema)
}

const BYTES: Carrier = Object.freeze({
  pack: (value: unknown): Uint8Array => {
    if (value instanceof Uint8Array) return value
    throw new TypeError('Cannot carry the value: not a Uint8Array where the schema is bytes')
  },
  unpack: (message: Uint8Array) => ({ ok: true as const, value: message }),
})

const EMPTY = new Uint8Array(0)
// Ours: how deep is too deep is the receiver's to say; this only ends a cycle.
const MAX_SENT_DEPTH = 1024

class Structured implements Carrier {
  readonly #schema: Schema

  constructor(schema: Schema) {
    this.#schema = schema
  }

  pack(value: unknown): Uint8Array {
    return value === undefined ? EMPTY : encode(value, { floats: true, maxDepth: MAX_SENT_DEPTH })
  }

  unpack(message: Uint8Array, limits: CarryLimits): Checked<unknown> | Promise<Checked<unknown>> {
    const value = read(message, limits)
    return value.ok ? this.#check(value.value) : value
  }

  #check(value: unknown): Checked<unknown> | Promise<Checked<unknown>> {
    return validate(this.#schema, value)
  }
}

function read(message: Uint8Array, limits: CarryLimits): Checked<unknown> {
  if (message.byteLength === 0) return { ok: true, value: undefined }
  try {
    const value = decode(message, {
      maxBytes: limits.maxMessageBytes,
      maxDepth: limits.maxNesting,
      maxItems: limits.maxMessageValues,
      floats: true,
    })
    return { ok: true, value }
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : String(error) }
  }
}
