/** A request as it is kept: in memory while it lives, and as the bytes of its row. Pure. */
import { decode, encode, fromHex, toHex } from '@stronghold/core'
import type { Ran, StatusCode } from '@stronghold/core'

import type { RequestState } from './approvals.ts'
import type { GuardReason, PeerStep } from './doors.ts'
import type { Touched } from './deciding.ts'

/** What was answered, for as long as it may be asked for again. */
export type KeptAnswer =
  | {
      readonly kind: 'done'
      readonly outputs: readonly Readonly<Record<string, unknown>>[]
      /** What a receipt is made of, where one was asked for (`audit.md §4`). */
      readonly leaf?: Uint8Array
    }
  | {
      readonly kind: 'failed'
      readonly code: StatusCode
      readonly ran: Ran
      readonly reason?: GuardReason
      readonly message: string
      readonly rule?: { readonly id: string; readonly note: string }
    }

/** A request that was taken. */
export interface HeldRequest {
  readonly peer: string
  /** 32 hex digits. */
  readonly id: string
  readonly requestHash: Uint8Array
  /** By this vault's clock, fixed at the first copy. */
  readonly expiresAtMs: number
  readonly askedAtMs: number
  readonly connection: string
  readonly reason: string
  readonly receipt: boolean
  /** Kept while it may still run. */
  readonly steps: readonly PeerStep[]
  readonly state: RequestState
  /** Was a person asked about it, ever. */
  readonly asked: boolean
  /** What it touches, as people see it while it is pending. */
  readonly touched: readonly Touched[]
  /** May an approval of all that it touches be remembered. */
  readonly grantable: boolean
  /** Who agreed to what is only a note, until its peer comes for it. */
  readonly approvedBy?: readonly string[]
  /** Rules whose limits it has reserved. */
  readonly reserved: readonly string[]
  readonly answer?: KeptAnswer
}

/** By what a request is found: its peer's id and its own. */
export function requestKey(peer: string, id: string): string {
  return `${peer} ${id}`
}

/** Bytes that what was sent and what is answered take up, about. */
export function weightOf({ steps, answer }: HeldRequest): number {
  let sum = 0
  for (const { input } of steps) sum += weight(input)
  if (answer?.kind === 'done') for (const output of answer.outputs) sum += weight(output)
  return sum
}

function weight(value: unknown): number {
  if (typeof value === 'string') return value.length
  if (value instanceof Uint8Array) return value.byteLength
  if (typeof value !== 'object' || value === null) return 8
  let sum = 0
  for (const one of Object.values(value)) sum += weight(one)
  return sum
}

/** What is remembered of a request that ran at once: enough to answer it again, and to tell another one under its id. */
export function encodeAnswered(held: HeldRequest): Uint8Array {
  const { peer, id, requestHash, expiresAtMs, askedAtMs, receipt, answer } = held
  return encode([peer, fromHex(id), requestHash, expiresAtMs, askedAtMs, receipt, answer], {
    maxDepth: 64,
  })
}

/** A request as its row holds it. */
export function encodeHeld(held: HeldRequest): Uint8Array {
  return encode({ v: 1, ...held, id: fromHex(held.id) }, { maxDepth: 64 })
}

/**
 * @throws `SyntaxError` for bytes that `encodeHeld` did not write
 */
export function decodeHeld(bytes: Uint8Array): HeldRequest {
  const row = decode(bytes, { maxDepth: 64 }) as Omit<HeldRequest, 'id'> & {
    v: unknown
    id: unknown
  }
  if (typeof row !== 'object' || row.v !== 1 || !(row.id instanceof Uint8Array)) {
    throw new SyntaxError('Cannot read request: its row is of another form')
  }
  const { v: _, id, ...held } = row
  return { ...held, id: toHex(id) }
}
