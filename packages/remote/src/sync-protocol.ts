/**
 * The protocol of synchronisation as both sides define it (`docs/sync.md §5`): its id, its methods, and schemas that are strict and
 * bounded. What is sealed stays sealed here.
 */
import { STATUS_CODES } from '@stronghold/core'
import { defineProtocol, unary } from '@stronghold/p2p'
import type { Protocol } from '@stronghold/p2p'
import { z } from 'zod'

import { MAX_CERTIFICATE_BYTES, MAX_MESSAGE_LENGTH, MAX_SEALED_BYTES } from './limits.ts'
import type { Message } from './messages.ts'

/** Id of the protocol (`docs/sync.md §5`). */
export const SYNC_PROTOCOL = '/stronghold/sync/1.0.0'

/** What an answerer says. */
export type SyncReplyMessage =
  | {
      readonly state: 'key'
      readonly vault: Uint8Array
      readonly key: Uint8Array
      readonly certificate?: Uint8Array | undefined
    }
  | {
      readonly state: 'begun'
      readonly session: Uint8Array
      readonly vault: Uint8Array
      readonly key: Uint8Array
      readonly nonce: Uint8Array
      readonly sealed: Uint8Array
    }
  | { readonly state: 'step'; readonly sealed: Uint8Array }
  | {
      readonly state: 'failed'
      readonly code: (typeof STATUS_CODES)[number]
      readonly reason?: string | undefined
      readonly message: string
    }

/** `begin`, as it is asked. */
export interface SyncBeginMessage {
  /** 16 bytes. */
  readonly nonce: Uint8Array
}

/** `step`, as it is asked. */
export interface SyncStepMessage {
  /** 16 bytes. */
  readonly session: Uint8Array
  readonly sealed: Uint8Array
}

type Method<Request> = ReturnType<typeof unary<Message<Request>, Message<SyncReplyMessage>>>

/** The methods of the protocol. */
export type SyncMethods = {
  /** The other side's vault and sync key. */
  readonly key: Method<Readonly<Record<string, never>>>
  /** Begins a run; the answer is sealed to the asker's pinned key. */
  readonly begin: Method<SyncBeginMessage>
  /** One message inside it. */
  readonly step: Method<SyncStepMessage>
}

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
const key = bytes(32, 32)
const sealed = bytes(MAX_SEALED_BYTES)

/** Every answer. */
export const syncReply: Message<SyncReplyMessage> = z.discriminatedUnion('state', [
  z.strictObject({
    state: z.literal('key'),
    vault: id,
    key,
    certificate: bytes(MAX_CERTIFICATE_BYTES).optional(),
  }),
  z.strictObject({ state: z.literal('begun'), session: id, vault: id, key, nonce: id, sealed }),
  z.strictObject({ state: z.literal('step'), sealed }),
  z.strictObject({
    state: z.literal('failed'),
    code: z.enum(STATUS_CODES),
    reason: z.string().max(32).optional(),
    message: z.string().max(MAX_MESSAGE_LENGTH),
  }),
])

const keyRequest: Message<Readonly<Record<string, never>>> = z.strictObject({})
const beginRequest: Message<SyncBeginMessage> = z.strictObject({ nonce: id })
const stepRequest: Message<SyncStepMessage> = z.strictObject({ session: id, sealed })

/** The protocol. Messages of a run are counted, so none is sent again elsewhere. */
export const syncProtocol: Protocol<SyncMethods> = defineProtocol(SYNC_PROTOCOL, {
  key: unary({ request: keyRequest, response: syncReply, readOnly: true }),
  begin: unary({ request: beginRequest, response: syncReply }),
  step: unary({ request: stepRequest, response: syncReply }),
})
