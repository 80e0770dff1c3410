/**
 * The messages of the rendezvous protocol (libp2p/specs rendezvous/README.md "Protobuf") as bytes. Pure; it verifies no
 * record and knows no stream.
 */
import { concat, decodeUtf8, encodeUtf8 } from '@stronghold/core'

import { bytesField, decodeFields, varintField } from '../protobuf.ts'
import type { ProtobufField } from '../protobuf.ts'
import { encodeVarint } from '../varint.ts'

/** The protocol id. */
export const RENDEZVOUS_PROTOCOL = '/rendezvous/1.0.0'

/** How a point answers (rendezvous/README.md "Protobuf", `ResponseStatus`). */
export const RENDEZVOUS_STATUS = {
  ok: 0,
  invalidNamespace: 100,
  invalidRecord: 101,
  invalidTtl: 102,
  invalidCookie: 103,
  notAuthorized: 200,
  internal: 300,
  unavailable: 400,
} as const

/** Name of a status. */
export type RendezvousStatus = keyof typeof RENDEZVOUS_STATUS

/** How long a registration stands that names no time, and the longest (rendezvous/README.md "Registration Lifetime"). */
export const DEFAULT_REGISTRATION_SECONDS: number = 2 * 60 * 60
/** The longest. */
export const MAX_REGISTRATION_SECONDS: number = 72 * 60 * 60

/** One registration as a point tells it. */
export interface RegistrationMessage {
  readonly namespace: string
  /** A signed peer record, as it came. */
  readonly record: Uint8Array
  /** Seconds. Absent: the default. */
  readonly ttlSeconds?: number
}

/** A message. What the sender left out is absent. */
export type RendezvousMessage =
  | ({ readonly type: 'register' } & RegistrationMessage)
  | { readonly type: 'unregister'; readonly namespace: string }
  | {
      readonly type: 'discover'
      /** Absent: all. */
      readonly namespace?: string
      readonly limit?: number
      readonly cookie?: Uint8Array
    }
  | {
      readonly type: 'registered'
      /** A number of ours or of somebody later. */
      readonly status: number
      readonly text?: string
      readonly ttlSeconds?: number
    }
  | {
      readonly type: 'discovered'
      readonly status: number
      readonly text?: string
      readonly registrations: readonly RegistrationMessage[]
      readonly cookie?: Uint8Array
    }

// `MessageType`; each body stands in the field one or two numbers behind its type.
const TYPES = ['register', 'registered', 'unregister', 'discover', 'discovered'] as const
const FIRST_BODY = 2
// Ours: for people, and short.
const MAX_TEXT_LENGTH = 128

/** A message with its length before it, ready to be written. */
export function frameRendezvous(message: RendezvousMessage): Uint8Array {
  const encoded = encodeRendezvous(message)
  return concat([encodeVarint(encoded.byteLength), encoded])
}

/** A message without its length. */
export function encodeRendezvous(message: RendezvousMessage): Uint8Array {
  const type = TYPES.indexOf(message.type)
  // Zeros are written, too: proto2 tells absent from zero.
  return concat([varintField(1, type), bytesField(type + FIRST_BODY, bodyOf(message))])
}

function bodyOf(message: RendezvousMessage): Uint8Array {
  switch (message.type) {
    case 'register':
      return registrationBody(message)
    case 'unregister':
      return textField(1, message.namespace)
    case 'discover':
      return concat([
        textField(1, message.namespace),
        numberField(2, message.limit),
        message.cookie === undefined ? NOTHING : bytesField(3, message.cookie),
      ])
    case 'registered':
      return concat([
        varintField(1, message.status),
        textField(2, message.text),
        numberField(3, message.ttlSeconds),
      ])
    case 'discovered':
      return concat([
        ...message.registrations.map((one) => bytesField(1, registrationBody(one))),
        message.cookie === undefined ? NOTHING : bytesField(2, message.cookie),
        varintField(3, message.status),
        textField(4, message.text),
      ])
  }
}

const NOTHING = new Uint8Array(0)

function registrationBody({ namespace, record, ttlSeconds }: RegistrationMessage): Uint8Array {
  return concat([textField(1, namespace), bytesField(2, record), numberField(3, ttlSeconds)])
}

function textField(field: number, text: string | undefined): Uint8Array {
  return text === undefined ? NOTHING : bytesField(field, encodeUtf8(text))
}

function numberField(field: number, value: number | undefined): Uint8Array {
  return value === undefined ? NOTHING : varintField(field, value)
}

/** @throws `SyntaxError` for anything that is no such message */
export function decodeRendezvous(bytes: Uint8Array): RendezvousMessage {
  const fields = decodeFields(bytes)
  const type = TYPES[numberOf(fields, 1) ?? 0]
  if (type === undefined) throw malformed('unknown type')
  const body = bytesOf(fields, TYPES.indexOf(type) + FIRST_BODY)
  if (body === undefined) throw malformed('nothing in it')
  const inner = decodeFields(body)
  switch (type) {
    case 'register':
      return { type, ...readRegistration(inner) }
    case 'unregister':
      return { type, namespace: textOf(inner, 1) ?? '' }
    case 'discover':
      return {
        type,
        ...maybe('namespace', textOf(inner, 1)),
        ...maybe('limit', numberOf(inner, 2)),
        ...maybe('cookie', bytesOf(inner, 3)),
      }
    case 'registered':
      return {
        type,
        status: numberOf(inner, 1) ?? RENDEZVOUS_STATUS.ok,
        ...maybe('text', sentenceOf(inner, 2)),
        ...maybe('ttlSeconds', numberOf(inner, 3)),
      }
    case 'discovered':
      return {
        type,
        registrations: inner
          .filter(({ field }) => field === 1)
          .map(({ value }) => readRegistration(decodeFields(asBytes(value)))),
        ...maybe('cookie', bytesOf(inner, 2)),
        status: numberOf(inner, 3) ?? RENDEZVOUS_STATUS.ok,
        ...maybe('text', sentenceOf(inner, 4)),
      }
  }
}

function readRegistration(fields: readonly ProtobufField[]): RegistrationMessage {
  return {
    namespace: textOf(fields, 1) ?? '',
    record: bytesOf(fields, 2) ?? NOTHING,
    ...maybe('ttlSeconds', numberOf(fields, 3)),
  }
}

function maybe<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>)
}

/** The last of that number counts (protobuf "Encoding"). */
function lastOf(
  fields: readonly ProtobufField[],
  field: number,
): ProtobufField['value'] | undefined {
  return fields.findLast((one) => one.field === field)?.value
}

function numberOf(fields: readonly ProtobufField[], field: number): number | undefined {
  const value = lastOf(fields, field)
  if (value === undefined) return undefined
  if (value instanceof Uint8Array) throw malformed('a field of another type')
  // More than can be counted is more than anything is allowed to be.
  return typeof value === 'bigint' ? Number.MAX_SAFE_INTEGER : value
}

function bytesOf(fields: readonly ProtobufField[], field: number): Uint8Array | undefined {
  const value = lastOf(fields, field)
  return value === undefined ? undefined : asBytes(value)
}

function asBytes(value: ProtobufField['value']): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw malformed('a field of another type')
}

function textOf(fields: readonly ProtobufField[], field: number): string | undefined {
  const bytes = bytesOf(fields, field)
  if (bytes === undefined) return undefined
  try {
    return decodeUtf8(bytes)
  } catch {
    throw malformed('a text that is none')
  }
}

/** What ends in a log is short and holds no control character. */
function sentenceOf(fields: readonly ProtobufField[], field: number): string | undefined {
  const text = textOf(fields, field)
  return text?.slice(0, MAX_TEXT_LENGTH).replace(/[\0-\x1f\x7f-\x9f]/g, '?')
}

function malformed(state: string): SyntaxError {
  return new SyntaxError(`Cannot read the rendezvous message: ${state}`)
}
