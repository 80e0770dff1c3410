/**
 * The vault's protocol as both sides define it (`wire.md §9`): its id, its methods, and what firewall and logs see of them. It
 * knows nothing of who asks or decides.
 */
import { defineProtocol, nothing, unary } from '@stronghold/p2p'
import type { Protocol } from '@stronghold/p2p'

import {
  acknowledgeRequest,
  answer,
  cancelRequest,
  factsOf,
  listing,
  listRequest,
  submitRequest,
  waitRequest,
} from './messages.ts'
import type {
  AnswerMessage,
  ListingMessage,
  ListMessage,
  Message,
  SubmitMessage,
  WaitMessage,
} from './messages.ts'

/** Id of the protocol (`wire.md §9`). */
export const VAULT_PROTOCOL = '/stronghold/vault/1.0.0'

type Method<Request, Response> = ReturnType<typeof unary<Message<Request>, Message<Response>>>

/** The methods of the protocol. */
export type VaultMethods = {
  /** Takes a request, once; the same again is the same. Settles at the first answer there is. */
  readonly submit: Method<SubmitMessage, AnswerMessage>
  /** Waits for a request that is pending. */
  readonly wait: Method<WaitMessage, AnswerMessage>
  /** Takes a pending request back. */
  readonly cancel: Method<{ readonly id: Uint8Array }, AnswerMessage>
  /** These answers have arrived. */
  readonly acknowledge: Method<{ readonly ids: readonly Uint8Array[] }, undefined>
  /** What the asker may use; nothing more. */
  readonly list: Method<ListMessage, ListingMessage>
}

// A request has an id of its own, by which the vault knows it again: any copy may be sent to any instance, at any time.
const readOnly = true

/** The protocol. */
export const vaultProtocol: Protocol<VaultMethods> = defineProtocol(VAULT_PROTOCOL, {
  submit: unary({ request: submitRequest, response: answer, readOnly, facts: factsOf }),
  wait: unary({ request: waitRequest, response: answer, readOnly }),
  cancel: unary({ request: cancelRequest, response: answer, readOnly }),
  acknowledge: unary({ request: acknowledgeRequest, response: nothing, readOnly }),
  list: unary({ request: listRequest, response: listing, readOnly }),
})
