/**
 * The messages of the vault's protocol (`wire.md §9`): their types, and schemas that are strict and bounded, for both ends
 * alike. Nothing of another shape comes further than this. It knows no connection.
 */
import { RAN, STATUS_CODES } from '@stronghold/core'
import type { Ran, Schema, StatusCode } from '@stronghold/core'
import { procedureOf } from '@stronghold/vault/catalog'
import { z } from 'zod'

import {
  MAX_ACKNOWLEDGED,
  MAX_HEAD_BYTES,
  MAX_HOLD_MS,
  MAX_INPUT_DEPTH,
  MAX_INPUT_FIELDS,
  MAX_INPUT_TEXT,
  MAX_INPUT_VALUES,
  MAX_LISTED,
  MAX_MESSAGE_LENGTH,
  MAX_PATTERN_LENGTH,
  MAX_NAME_LENGTH,
  MAX_REASON_LENGTH,
  MAX_RECEIPT_BYTES,
  MAX_STEPS,
  MAX_TIMEOUT_MS,
  MAX_USES,
} from './limits.ts'

/** One step as it travels. */
export interface WireStep {
  readonly procedure: string
  readonly version: number
  /** Paths are text; whole fields may be `{ step, output }`. */
  readonly input: Readonly<Record<string, unknown>>
}

/** `submit`: a request, the first time or again. */
export interface SubmitMessage {
  /** 16 bytes. */
  readonly id: Uint8Array
  readonly steps: readonly WireStep[]
  readonly reason: string
  readonly timeoutMs: number
  readonly receipt: boolean
  /** Requests whose answers have arrived. */
  readonly acknowledge?: readonly Uint8Array[] | undefined
}

/** `wait`: for a request that is pending. */
export interface WaitMessage {
  /** 16 bytes. */
  readonly id: Uint8Array
  /** How long, in milliseconds; 0 asks how it stands. */
  readonly holdMs: number
  readonly acknowledge?: readonly Uint8Array[] | undefined
}

/** `list`: what may be used, from a path on. */
export interface ListMessage {
  readonly pattern: string
  /** The last path that has arrived. */
  readonly after?: string | undefined
}

/** A record that may be used, as it travels. */
export interface WireRecord {
  readonly path: string
  readonly type: string
  readonly version: number
  readonly publicKey?: Uint8Array | undefined
  readonly uses: readonly { readonly use: string; readonly effect: 'allow' | 'ask' }[]
}

/** What `list` gives. */
export interface ListingMessage {
  /** In the order of paths. */
  readonly records: readonly WireRecord[]
  readonly more: boolean
}

/** Where a request is, or what came of it: the answer of `submit`, `wait` and `cancel`. */
export type AnswerMessage =
  | {
      readonly state: 'done'
      /** One per step, without what a later step took. */
      readonly outputs: readonly Readonly<Record<string, unknown>>[]
      readonly receipt?: Uint8Array | undefined
      readonly head: Uint8Array
    }
  | {
      readonly state: 'pending'
      /** By the other side's clock, milliseconds since the epoch. */
      readonly expiresAtMs: number
      readonly remainingMs: number
    }
  | {
      readonly state: 'failed'
      readonly code: StatusCode
      readonly ran: Ran
      readonly reason?: string | undefined
      readonly message: string
      readonly rule?: { readonly id: string; readonly note: string } | undefined
      readonly head?: Uint8Array | undefined
    }

/** The schema of a message: what goes in comes out. */
export type Message<T> = Schema<T, T>

/** Names of procedures, uses and reasons. */
const name = z.string().regex(/^[a-z][a-z0-9_:-]{0,63}$/)
const path = z.string().min(1).max(MAX_PATTERN_LENGTH)

function bytes(most: number, least = 0): z.ZodType<Uint8Array, Uint8Array> {
  return z
    .custom<Uint8Array>((value) => value instanceof Uint8Array, {
      error: 'Expected bytes',
      abort: true,
    })
    .refine(({ byteLength }) => byteLength >= least && byteLength <= most, {
      error: least === most ? `Expected ${most} bytes` : `Expected ${least} to ${most} bytes`,
    })
}

const id = bytes(16, 16)
const ids = z.array(id).max(MAX_ACKNOWLEDGED)

/** What CBOR without floats carries, so deep and so much of it. Longer bytes are the procedure's to refuse. */
function isPlain(value: unknown, depth: number, budget: { values: number }): boolean {
  if (--budget.values < 0) return false
  switch (typeof value) {
    case 'boolean':
      return true
    case 'string':
      return value.length <= MAX_INPUT_TEXT
    case 'number':
      return Number.isSafeInteger(value)
    case 'object':
      break
    default:
      return false
  }
  if (value === null || value instanceof Uint8Array) return true
  if (depth === 0) return false
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depth - 1, budget))
  return Object.entries(value).every(
    ([key, item]) => key.length <= MAX_INPUT_TEXT && isPlain(item, depth - 1, budget),
  )
}

type Fields = Record<string, unknown>

function fields(most: number, depth: number, values: number): z.ZodType<Fields, Fields> {
  return z.custom<Record<string, unknown>>(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      !(value instanceof Uint8Array) &&
      Object.keys(value).length <= most &&
      isPlain(value, depth + 1, { values: values + 1 }),
    { error: `Expected at most ${most} plain fields, no deeper than ${depth}` },
  )
}

const step = z.strictObject({
  procedure: name,
  version: z.int().min(1),
  input: fields(MAX_INPUT_FIELDS, MAX_INPUT_DEPTH, MAX_INPUT_VALUES),
})

/** `submit`, as it is asked. */
export const submitRequest: Message<SubmitMessage> = z.strictObject({
  id,
  steps: z.array(step).min(1).max(MAX_STEPS),
  reason: z.string().max(MAX_REASON_LENGTH),
  timeoutMs: z.int().min(1).max(MAX_TIMEOUT_MS),
  receipt: z.boolean(),
  acknowledge: ids.optional(),
})

/** `wait`, as it is asked. */
export const waitRequest: Message<WaitMessage> = z.strictObject({
  id,
  holdMs: z.int().min(0).max(MAX_HOLD_MS),
  acknowledge: ids.optional(),
})

/** `cancel`, as it is asked. */
export const cancelRequest: Message<{ readonly id: Uint8Array }> = z.strictObject({ id })

/** `acknowledge`, as it is asked. */
export const acknowledgeRequest: Message<{ readonly ids: readonly Uint8Array[] }> = z.strictObject({
  ids,
})

/** `list`, as it is asked. */
export const listRequest: Message<ListMessage> = z.strictObject({
  pattern: path,
  after: path.optional(),
})

/** `list`, as it is answered. */
export const listing: Message<ListingMessage> = z.strictObject({
  records: z
    .array(
      z.strictObject({
        path,
        type: z.string().max(64),
        version: z.int().min(1),
        publicKey: bytes(256).optional(),
        uses: z
          .array(z.strictObject({ use: name, effect: z.enum(['allow', 'ask']) }))
          .max(MAX_USES),
      }),
    )
    .max(MAX_LISTED),
  more: z.boolean(),
})

const head = bytes(MAX_HEAD_BYTES)
const timeMs = z.int().min(0)

/** `submit`, `wait` and `cancel`, as they are answered. */
export const answer: Message<AnswerMessage> = z.discriminatedUnion('state', [
  z.strictObject({
    state: z.literal('done'),
    // A procedure's outputs are checked by its own schema.
    outputs: z.array(z.record(z.string(), z.unknown())).max(MAX_STEPS),
    receipt: bytes(MAX_RECEIPT_BYTES).optional(),
    head,
  }),
  z.strictObject({ state: z.literal('pending'), expiresAtMs: timeMs, remainingMs: timeMs }),
  z.strictObject({
    state: z.literal('failed'),
    code: z.enum(STATUS_CODES),
    ran: z.enum(RAN),
    reason: name.optional(),
    message: z.string().max(MAX_MESSAGE_LENGTH),
    rule: z.strictObject({ id: z.string().max(64), note: z.string().max(256) }).optional(),
    head: head.optional(),
  }),
])

/** What firewall and logs see of a request: its procedures, and the text where they name records. Never another field. */
export function factsOf({ steps }: SubmitMessage): {
  readonly procedures: readonly string[]
  readonly paths: readonly string[]
} {
  const paths = steps.flatMap(({ procedure, input }) =>
    Object.keys(procedureOf(procedure)?.roles ?? {}).flatMap((role) =>
      [Object.hasOwn(input, role) ? input[role] : undefined]
        .flat()
        .filter((value): value is string => typeof value === 'string'),
    ),
  )
  return { procedures: steps.map(({ procedure }) => procedure), paths }
}

/** `pair`: a ticket is proved. */
export interface PairMessage {
  /** Its id, 16 bytes. */
  readonly ticket: Uint8Array
  /** 32 bytes. */
  readonly proof: Uint8Array
}

/** It was taken; the other side's proof. */
export interface PairAnswerMessage {
  /** 32 bytes. */
  readonly proof: Uint8Array
  /** What the asker is called there: a claim. */
  readonly name?: string | undefined
}

/** `pair`, as it is asked. */
export const pairRequest: Message<PairMessage> = z.strictObject({
  ticket: id,
  proof: bytes(32, 32),
})

/** `pair`, as it is answered. */
export const pairAnswer: Message<PairAnswerMessage> = z.strictObject({
  proof: bytes(32, 32),
  name: z.string().max(MAX_NAME_LENGTH).optional(),
})
