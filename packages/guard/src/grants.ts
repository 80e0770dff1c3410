/**
 * Approvals that are remembered for a time (`docs/approvals.md`): each helps one peer, in one role of one procedure, with one
 * record, in one format, under the rule that asked as it read then, and nobody and nothing else. Pure: values in, values out.
 */
import { decode, encode, toHex } from '@stronghold/core'

import type { Choice } from './doors.ts'
import { Fields } from './fields.ts'
import { isGrantable } from './rules/decide.ts'
import type { Cell } from './rules/decide.ts'
import type { Rule } from './rules/rule.ts'

/** What a grant helps with. Hashes and ids as hex where they are bytes. */
export interface GrantScope {
  readonly peer: string
  readonly procedure: string
  readonly role: string
  /** Id of the record, 32 hex digits: what comes to stand at its path later gains nothing. */
  readonly record: string
  /** As rules name it; absent where the procedure has none. */
  readonly format?: string
  readonly rule: string
  /** Of that rule as it read, 64 hex digits: an edited rule asks again. */
  readonly ruleHash: string
}

/** A remembered approval. Immutable. */
export interface StoredGrant extends GrantScope {
  /** Where the record stood: for people only. */
  readonly path: string
  readonly grantedAtMs: number
  readonly expiresAtMs: number
}

/** How much is remembered, and how long: fields of `GuardLimits`. */
export interface GrantLimits {
  readonly maxGrantsPerPeer: number
  readonly maxGrants: number
  readonly maxGrantMs: number
}

/** Why nothing was remembered. */
export type NotRemembered =
  /** Nobody saw what was signed, a secret itself leaves, or there is no record to name. */
  'not-grantable' | 'peer-full' | 'full'

/** What a person decided; whatever is unknown counts as `once`. */
export function choiceOf(value: unknown): Choice {
  return value === 'time' || value === 'deny' || value === 'deny-and-block' ? value : 'once'
}

/** By what a grant is found. No two scopes have one key. */
export function grantKey(scope: GrantScope): string {
  const { peer, procedure, role, record, format, rule, ruleHash } = scope
  return JSON.stringify([peer, procedure, role, record, format ?? null, rule, ruleHash])
}

/**
 * What a cell would have to be granted as, or `undefined` where it never is.
 *
 * @param record - id of the record at the cell's path now, 16 bytes; absent where none stands
 * @param ruleHash - of the rule that asks, 32 bytes
 */
export function scopeOf(
  cell: Cell,
  about: {
    readonly peer: string
    readonly record: Uint8Array | undefined
    readonly rule: Rule
    readonly ruleHash: Uint8Array
  },
): GrantScope | undefined {
  const { peer, record, rule, ruleHash } = about
  if (record === undefined || !isGrantable(cell)) return undefined
  const { procedure, role, format } = cell
  return {
    peer,
    procedure,
    role,
    record: toHex(record),
    ...(format !== undefined && { format }),
    rule: rule.id,
    ruleHash: toHex(ruleHash),
  }
}

/** Does a grant that was found by its key hold now. */
export function isInForce(grant: StoredGrant | undefined, nowMs: number): boolean {
  return grant !== undefined && grant.grantedAtMs <= nowMs && nowMs < grant.expiresAtMs
}

/** What is to be remembered, cell by cell. */
export interface Wish {
  readonly scope: GrantScope | undefined
  readonly path: string
}

/**
 * The grants of one approval: all of them, or none and why. They begin now and last as long as was wished, at most
 * `maxGrantMs`, and no longer than the rule that asked.
 *
 * @param existing - grants by key; those that have ended do not count
 */
export function grantsFor(
  wishes: readonly Wish[],
  term: { readonly nowMs: number; readonly forMs: number; readonly ruleEndsAtMs?: number },
  existing: ReadonlyMap<string, StoredGrant>,
  limits: GrantLimits,
): readonly StoredGrant[] | NotRemembered {
  const { nowMs, forMs, ruleEndsAtMs = Infinity } = term
  // What is no length of time is none.
  const lasts = forMs > 0 ? Math.min(forMs, limits.maxGrantMs) : 0
  const expiresAtMs = Math.min(Math.floor(nowMs + lasts), ruleEndsAtMs)
  if (wishes.length === 0 || expiresAtMs <= nowMs) return 'not-grantable'
  const grants = new Map<string, StoredGrant>()
  for (const { scope, path } of wishes) {
    if (scope === undefined) return 'not-grantable'
    grants.set(grantKey(scope), { ...scope, path, grantedAtMs: nowMs, expiresAtMs })
  }
  const held = new Map<string, number>()
  let all = 0
  for (const [key, grant] of [...existing, ...grants]) {
    const counts = grants.has(key) ? grants.get(key) === grant : isInForce(grant, nowMs)
    if (!counts) continue
    all += 1
    held.set(grant.peer, (held.get(grant.peer) ?? 0) + 1)
  }
  if (all > limits.maxGrants) return 'full'
  for (const { peer } of grants.values()) {
    if ((held.get(peer) ?? 0) > limits.maxGrantsPerPeer) return 'peer-full'
  }
  return [...grants.values()]
}

/** A grant as bytes. */
export function encodeGrant(grant: StoredGrant): Uint8Array {
  return encode({ v: 1, ...grant })
}

/** @throws `SyntaxError` for anything that `encodeGrant` did not write */
export function decodeGrant(bytes: Uint8Array): StoredGrant {
  const fields = new Fields(decode(bytes), 'grant')
  if (fields.uint('v') !== 1) throw fields.bad('of another version')
  const grant: StoredGrant = {
    peer: fields.text('peer'),
    procedure: fields.text('procedure'),
    role: fields.text('role'),
    record: fields.text('record'),
    ...(fields.has('format') && { format: fields.text('format') }),
    rule: fields.text('rule'),
    ruleHash: fields.text('ruleHash'),
    path: fields.text('path'),
    grantedAtMs: fields.uint('grantedAtMs'),
    expiresAtMs: fields.uint('expiresAtMs'),
  }
  fields.end()
  return grant
}
