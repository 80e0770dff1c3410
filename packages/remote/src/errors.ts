/**
 * The one error class of this package: what a vault elsewhere refused, and what went wrong on the way to it. No message
 * holds what a secret holds; text of the other side's is on one line and cut.
 */
import { isStatusCode } from '@stronghold/core'
import type { Ran, StatusCode } from '@stronghold/core'
import { isP2pError } from '@stronghold/p2p'
import type { GuardReason } from '@stronghold/guard'

import { MAX_MESSAGE_LENGTH } from './limits.ts'

/** Why, where the code alone does not tell what to do next. What p2p adds (`relay_bytes` …) is text as well. */
export type RemoteReason =
  | GuardReason
  /** The vault is an older one than it was: `data_loss`. */
  | 'rolled_back'
  /** The receipt does not prove what was answered: `data_loss`. */
  | 'receipt_invalid'
  /** Another answer than the procedure gives: `data_loss`. */
  | 'bad_answer'
  /** Each connection is closed before the other side has said anything: it refuses this peer, or is full: `unavailable`. */
  | 'closed_at_once'
  /** The ticket is used, over, or wrong: `permission_denied`. */
  | 'ticket_refused'

/** What stands beside the code of a `RemoteError`. */
export interface RemoteErrorInit {
  /** Did it happen. Default `'no'`. */
  ran?: Ran
  /** A `RemoteReason`, or what p2p gave. */
  reason?: string
  /** The rule that decided, where the owner lets it be told. */
  rule?: { readonly id: string; readonly note: string }
  cause?: unknown
}

/** Every failure of a vault that is used from elsewhere. Messages read `Cannot <action> <thing>: <state>`. */
export class RemoteError extends Error {
  override readonly name = 'RemoteError'
  readonly code: StatusCode
  readonly ran: Ran
  readonly reason: string | undefined
  readonly rule: { readonly id: string; readonly note: string } | undefined

  constructor(code: StatusCode, message: string, init: RemoteErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause })
    this.code = code
    this.ran = init.ran ?? 'no'
    this.reason = init.reason
    this.rule = init.rule
  }
}

/** Narrows by code or by reason. Works across two bundled copies of this package, where `instanceof` does not. */
export function isRemoteError(
  error: unknown,
  is: { code?: StatusCode; reason?: RemoteReason } = {},
): error is RemoteError {
  return (
    error instanceof Error &&
    error.name === 'RemoteError' &&
    'code' in error &&
    isStatusCode(error.code) &&
    (is.code === undefined || error.code === is.code) &&
    (is.reason === undefined || ('reason' in error && error.reason === is.reason))
  )
}

/**
 * What p2p failed with, as whoever uses a vault hears it. A peer that the other side does not know is denied by its
 * firewall, which says no more than a rule that denies.
 */
export function fromP2p(error: unknown): unknown {
  if (!isP2pError(error)) return error
  const { code, ran, layer } = error
  const denied = code === 'permission_denied' && layer === 'firewall'
  const reason = denied ? 'denied_by_rule' : error.reason
  const message = denied ? 'Cannot run request: denied' : oneSentence(error.message)
  return new RemoteError(code, message, {
    ran,
    cause: error,
    ...(reason === undefined ? {} : { reason }),
  })
}

/** Text of the other side's as one of our messages: on one line, cut, without the full stop that ours do not have. */
export function oneSentence(text: string): string {
  const line = text
    .slice(0, MAX_MESSAGE_LENGTH)
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, ' ')
    .toWellFormed()
    .replace(/[.\s]+$/, '')
  return line.startsWith('Cannot ') ? line : `Cannot run request: ${line}`
}
