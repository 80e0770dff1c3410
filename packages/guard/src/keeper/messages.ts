/**
 * What crosses between a keeper and the thread beside it, and what an error becomes on the way. Every message is bytes of
 * its own: a view of memory that was handed to another thread as it is would take all that lies around it along. Pure.
 */
import { decode, encode, isStatusCode, RAN } from '@stronghold/core'
import type { Ran, StatusCode } from '@stronghold/core'
import { isVaultError, VaultError } from '@stronghold/vault/errors'
import type { VaultReason } from '@stronghold/vault/errors'

import { MAX_KEEPER_MESSAGE_BYTES } from '../limits.ts'

/** One message, either way. Ids are the caller's, one per call. */
export type Message =
  | {
      readonly kind: 'call'
      readonly id: number
      readonly method: string
      readonly args: readonly unknown[]
    }
  /** The caller no longer wants to wait. The call is answered all the same. */
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly fault: Fault }
  /** One of several things that a call tells before its answer. */
  | { readonly kind: 'item'; readonly id: number; readonly value: unknown }
  /** Something that nobody asked for. */
  | { readonly kind: 'news'; readonly id: 0; readonly value: unknown }

/** An error as it crosses. */
export interface Fault {
  readonly code: StatusCode
  readonly reason?: string
  /** One sentence. */
  readonly message: string
  readonly ran: Ran
}

/** A failure that came through a door; `isVaultError` knows it. */
export class DoorError extends VaultError {
  /** Whether anything was done. */
  readonly ran: Ran

  constructor(code: StatusCode, message: string, ran: Ran, reason?: string) {
    super(code, message, reason === undefined ? {} : { reason: reason as VaultReason })
    this.ran = ran
  }
}

/** What of an error may cross. What the code did not expect says no more than that. */
export function faultOf(error: unknown): Fault {
  if (isVaultError(error)) {
    const { code, reason, message } = error
    const uncertain = code === 'internal' || code === 'unavailable' || code === 'data_loss'
    const ran = error instanceof DoorError ? error.ran : uncertain ? 'maybe' : 'no'
    return { code, message, ran, ...(reason === undefined ? {} : { reason }) }
  }
  if (error instanceof RangeError || error instanceof SyntaxError) {
    return { code: 'invalid_argument', message: error.message, ran: 'no' }
  }
  return { code: 'internal', message: 'Cannot serve call: internal error', ran: 'maybe' }
}

/** The error on the other side. */
export function errorOf({ code, message, ran, reason }: Fault): DoorError {
  return new DoorError(code, message, ran, reason)
}

/** @throws `SyntaxError` for what is no fault */
export function readFault(value: unknown): Fault {
  if (typeof value === 'object' && value !== null) {
    const { code, reason, message, ran } = value as Readonly<Record<string, unknown>>
    const known =
      isStatusCode(code) && typeof message === 'string' && RAN.some((other) => other === ran)
    if (known && (reason === undefined || typeof reason === 'string')) {
      const read = { code, message, ran: ran as Ran }
      return reason === undefined ? read : { ...read, reason }
    }
  }
  throw new SyntaxError('Cannot read fault: it is none')
}

const KINDS: readonly Message['kind'][] = ['call', 'abort', 'answer', 'failed', 'item', 'news']

/**
 * A message as bytes: a CBOR array of kind, id and what belongs to it.
 *
 * @throws `RangeError` past `MAX_KEEPER_MESSAGE_BYTES`; `TypeError` for what has no form as plain values
 */
export function encodeMessage(message: Message): Uint8Array {
  const head = [KINDS.indexOf(message.kind), message.id]
  return encode([...head, ...restOf(message)], { floats: true, maxBytes: MAX_KEEPER_MESSAGE_BYTES })
}

function restOf(message: Message): readonly unknown[] {
  switch (message.kind) {
    case 'call':
      return [message.method, message.args]
    case 'abort':
      return []
    case 'failed':
      return [message.fault]
    case 'answer':
    case 'item':
    case 'news':
      return [message.value]
  }
}

/**
 * A message from bytes.
 *
 * @throws `SyntaxError`, `RangeError` for what is none
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const value = decode(bytes, { floats: true, maxBytes: MAX_KEEPER_MESSAGE_BYTES })
  if (!Array.isArray(value)) throw unreadable()
  const [number, id, first, second] = value as readonly unknown[]
  const kind = typeof number === 'number' ? KINDS[number] : undefined
  if (!Number.isSafeInteger(id)) throw unreadable()
  const known = id as number
  switch (kind) {
    case 'call':
      if (typeof first !== 'string' || !Array.isArray(second)) throw unreadable()
      return { kind, id: known, method: first, args: second }
    case 'abort':
      return { kind, id: known }
    case 'failed':
      return { kind, id: known, fault: readFault(first) }
    case 'answer':
    case 'item':
      return { kind, id: known, value: first }
    case 'news':
      return { kind, id: 0, value: first }
    case undefined:
      throw unreadable()
  }
}

function unreadable(): SyntaxError {
  return new SyntaxError('Cannot read message: it is none')
}

/** All messages of one turn, in memory of their own that can be handed over. */
export function packTurn(messages: readonly Uint8Array[]): Uint8Array {
  return encode(messages)
}

/** @throws `SyntaxError`, `RangeError` for what `packTurn` did not make */
export function unpackTurn(packed: unknown): readonly Uint8Array[] {
  if (!(packed instanceof Uint8Array)) throw unreadable()
  const bounds = { maxDepth: 1, maxBytes: Infinity, maxItems: Infinity }
  const messages = decode(packed, bounds)
  if (!Array.isArray(messages) || !messages.every((one) => one instanceof Uint8Array)) {
    throw unreadable()
  }
  return messages
}
