/** What peers are told, in words that tell no more than they may know. */
import type { Ran, StatusCode } from '@stronghold/core'
import { isVaultError } from '@stronghold/vault'

import type { Answer, GuardReason } from './doors.ts'
import type { HeldRequest, KeptAnswer } from './held.ts'
import type { Release } from './release.ts'

/** An answer that says no. */
export type Refusal = KeptAnswer & { readonly kind: 'failed' }

function refusal(
  code: StatusCode,
  message: string,
  { reason, ran = 'no' }: { reason?: GuardReason; ran?: Ran } = {},
): Refusal {
  return { kind: 'failed', code, ran, message, ...(reason === undefined ? {} : { reason }) }
}

/** What is said to everybody alike about what is not there and what is not allowed. */
export const DENIED: Refusal = refusal('permission_denied', 'Cannot run request: denied', {
  reason: 'denied_by_rule',
})
export const DENIED_BY_PERSON: Refusal = refusal(
  'permission_denied',
  'Cannot run request: a person denied it',
  { reason: 'denied_by_person' },
)
export const EXPIRED: Refusal = refusal(
  'deadline_exceeded',
  'Cannot run request: nobody decided in time',
  { reason: 'expired' },
)
export const CANCELED: Refusal = refusal('canceled', 'Cannot run request: it was taken back', {
  reason: 'canceled',
})
export const ANSWER_GONE: Refusal = refusal(
  'data_loss',
  'Cannot answer request: it was executed, and its answer is gone',
  { reason: 'answer_gone', ran: 'yes' },
)
export const CONFLICT: Refusal = refusal(
  'failed_precondition',
  'Cannot run request: another one has this id',
  { reason: 'conflict' },
)
export const LOCKED: Refusal = refusal('failed_precondition', 'Cannot run request: locked', {
  reason: 'locked',
})
/** It was noted while the vault was locked, and runs when its peer shows it again. */
export const SEND_AGAIN: Refusal = refusal(
  'failed_precondition',
  'Cannot answer request: it came while the vault was locked and has to be sent again',
  { reason: 'locked' },
)
export const UNREADABLE: Refusal = refusal(
  'invalid_argument',
  'Cannot run request: it cannot be read',
)
export const NOT_FOUND: Refusal = refusal('not_found', 'Cannot find request: none has this id')
export const TOO_MANY: Refusal = refusal(
  'resource_exhausted',
  'Cannot wait for request: too many wait already',
)

/** Why a piece of work came to nothing. What only the owner may know stays here. */
export function brokenBy(error: unknown): Refusal {
  if (!isVaultError(error))
    return refusal('internal', 'Cannot run request: internal error', { ran: 'maybe' })
  switch (error.reason) {
    case 'disk_full':
    case 'read_only':
      return refusal('resource_exhausted', 'Cannot run request: it cannot be written down', {
        reason: 'audit_unavailable',
      })
    case 'disk_failed':
      return refusal('unavailable', 'Cannot run request: the disk failed', {
        reason: 'audit_unavailable',
        ran: 'maybe',
      })
    case 'locked':
      return LOCKED
    default:
      return refusal(error.code, 'Cannot run request: the vault refuses', { ran: 'maybe' })
  }
}

/** A refusal as it leaves. */
export function refused({ kind: _, ...answer }: Refusal, head?: Uint8Array): Answer {
  return { state: 'failed', ...answer, ...(head === undefined ? {} : { head }) }
}

/** Where a request is, as its peer hears it. */
export function answerOf(held: HeldRequest, release: Release, nowMs: number): Answer {
  const { answer, expiresAtMs } = held
  if (answer === undefined) {
    return { state: 'pending', expiresAtMs, remainingMs: Math.max(expiresAtMs - nowMs, 0) }
  }
  if (answer.kind === 'failed') return refused(answer, release.head)
  const receipt = answer.leaf === undefined ? {} : { receipt: release.receipt(answer.leaf) }
  return { state: 'done', outputs: answer.outputs, head: release.head, ...receipt }
}
