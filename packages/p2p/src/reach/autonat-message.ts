/**
 * The messages of AutoNAT v2 (libp2p/specs autonat/autonat-v2.md "RPC Messages") as bytes. Pure; addresses stay as they
 * came, and padding is counted, never kept.
 */
import { concat } from '@stronghold/core'

import { bytesField, decodeFields, fixed64Field, varintField } from '../protobuf.ts'
import type { ProtobufField } from '../protobuf.ts'

/** On which a check is asked for (autonat-v2.md "AutoNAT V2 Protocol"). */
export const DIAL_REQUEST_PROTOCOL = '/libp2p/autonat/2/dial-request'
/** On which whoever dials back proves it. */
export const DIAL_BACK_PROTOCOL = '/libp2p/autonat/2/dial-back'

/** How a check ended (`ResponseStatus`). */
export const CHECK_STATUS = {
  internalError: 0,
  rejected: 100,
  dialRefused: 101,
  ok: 200,
} as const

/** How the dial went (`DialStatus`). */
export const DIAL_STATUS = {
  unused: 0,
  dialError: 100,
  dialBackError: 101,
  ok: 200,
} as const

/** The most of padding in one message (autonat-v2.md "Amplification Attack Prevention"). */
export const PADDING_BYTES = 4096
/** Longest message on the stream of a proof, length excluded: nine bytes, and two. */
export const MAX_DIAL_BACK_BYTES = 16

/** A message on the stream of a check. */
export type CheckMessage =
  | {
      readonly type: 'request'
      /** Multiaddrs as bytes, the most wanted first. */
      readonly addresses: readonly Uint8Array[]
      /** 64 bits that nobody can foresee. */
      readonly nonce: bigint
    }
  | {
      readonly type: 'response'
      /** A number of `CHECK_STATUS`, or one of somebody later. */
      readonly status: number
      /** Which of the addresses was dialled. */
      readonly index: number
      /** A number of `DIAL_STATUS`, or one of somebody later. */
      readonly dial: number
    }
  | {
      readonly type: 'dataRequest'
      readonly index: number
      /** So many bytes of padding are wanted before another IP address than the asker's own is dialled. */
      readonly byteLength: number
    }
  | { readonly type: 'data'; readonly byteLength: number }

/** A message, without its length. */
export function encodeCheck(message: CheckMessage): Uint8Array {
  switch (message.type) {
    case 'request': {
      const addresses = message.addresses.map((one) => bytesField(1, one))
      return bytesField(1, concat([...addresses, fixed64Field(2, message.nonce)]))
    }
    case 'response': {
      const { status, index, dial } = message
      return bytesField(2, concat([field(1, status), field(2, index), field(3, dial)]))
    }
    case 'dataRequest':
      return bytesField(3, concat([field(1, message.index), field(2, message.byteLength)]))
    case 'data':
      return bytesField(4, bytesField(1, new Uint8Array(message.byteLength)))
  }
}

/**
 * Reads a message.
 *
 * @throws `SyntaxError` for another form, or none of the four
 */
export function decodeCheck(bytes: Uint8Array): CheckMessage {
  // Of a choice the last one counts, as protobuf has it.
  const chosen = decodeFields(bytes).findLast(({ field: at }) => at >= 1 && at <= 4)
  if (chosen === undefined) throw unreadable('none that is known')
  if (!(chosen.value instanceof Uint8Array)) throw unreadable('no message in it')
  const fields = decodeFields(chosen.value)
  switch (chosen.field) {
    case 1:
      return {
        type: 'request',
        addresses: fields.filter(({ field: at }) => at === 1).map(bytesOf),
        nonce: nonceOf(fields, 2),
      }
    case 2: {
      const [status, index, dial] = [numberOf(fields, 1), numberOf(fields, 2), numberOf(fields, 3)]
      return { type: 'response', status, index, dial }
    }
    case 3:
      return { type: 'dataRequest', index: numberOf(fields, 1), byteLength: numberOf(fields, 2) }
    default: {
      const data = fields.findLast(({ field: at }) => at === 1)
      return { type: 'data', byteLength: data === undefined ? 0 : bytesOf(data).byteLength }
    }
  }
}

/** What whoever dialled back sends (`DialBack`), without its length. */
export function encodeDialBack(nonce: bigint): Uint8Array {
  return fixed64Field(1, nonce)
}

/**
 * The nonce that it carries.
 *
 * @throws `SyntaxError` for another form
 */
export function decodeDialBack(bytes: Uint8Array): bigint {
  return nonceOf(decodeFields(bytes), 1)
}

/** That the nonce arrived (`DialBackResponse`), without its length: its only status is zero, which is not written. */
export function encodeDialBackAnswer(): Uint8Array {
  return new Uint8Array(0)
}

/**
 * Whether it says that the nonce arrived.
 *
 * @throws `SyntaxError` for another form
 */
export function decodeDialBackAnswer(bytes: Uint8Array): boolean {
  return numberOf(decodeFields(bytes), 1) === 0
}

function field(at: number, value: number): Uint8Array {
  return value === 0 ? new Uint8Array(0) : varintField(at, value)
}

function bytesOf({ value }: ProtobufField): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw unreadable('a number where bytes are')
}

function numberOf(fields: readonly ProtobufField[], at: number): number {
  const value = fields.findLast((one) => one.field === at)?.value ?? 0
  if (typeof value === 'number') return value
  throw unreadable('no number where one is')
}

function nonceOf(fields: readonly ProtobufField[], at: number): bigint {
  const value = fields.findLast((one) => one.field === at)?.value
  if (value === undefined) return 0n
  if (!(value instanceof Uint8Array) || value.byteLength !== 8) throw unreadable('no nonce')
  return new DataView(value.buffer, value.byteOffset).getBigUint64(0, true)
}

function unreadable(state: string): SyntaxError {
  return new SyntaxError(`Cannot read the AutoNAT message: ${state}`)
}
