/**
 * What is hashed to name a request, what an approval of it is bound to, and a rule (`docs/approvals.md`): one form of bytes
 * for each. Pure, so that requesters anywhere write the same. It hashes nothing.
 */
import { encode } from '@stronghold/core'

import { printPeer } from './rules/parse.ts'
import type { Rule } from './rules/rule.ts'

/** All that a peer says when it asks, and what follows from it alone. */
export interface HashedRequest {
  /** The vault that is asked, 16 bytes. */
  readonly vault: Uint8Array
  /** Peer id of who asks, text. */
  readonly peer: string
  /** The request's id, 16 bytes. */
  readonly id: Uint8Array
  /** As they were sent: paths are text, whole fields may be `{ step, output }`. */
  readonly steps: readonly {
    readonly procedure: string
    readonly version: number
    readonly input: Readonly<Record<string, unknown>>
  }[]
  /** Procedure, role and path, as the catalog's `footprint` gives them for these steps, in that order. */
  readonly footprint: readonly (readonly [procedure: string, role: string, path: string])[]
  /** As the catalog's `formatTags` gives them step by step, each once, in that order. */
  readonly formats: readonly string[]
  readonly reason: string
  readonly timeoutMs: number
}

/** A request as it was decided. */
export interface HashedBinding {
  /** The request's hash, 32 bytes. */
  readonly request: Uint8Array
  /** The records that stood at the decision, in the footprint's order: id, 16 bytes, and the version that is used. */
  readonly records: readonly { readonly id: Uint8Array; readonly version: number }[]
  /** By the vault's clock, milliseconds since the epoch. */
  readonly expiresAtMs: number
}

/**
 * A request: whoever keeps these bytes can show later what was asked.
 *
 * @throws `TypeError` for an input without deterministic CBOR, as one with a float; `RangeError` for one nested too deep
 */
export function requestBytes(request: HashedRequest): Uint8Array {
  const { vault, peer, id, steps, footprint, formats, reason, timeoutMs } = request
  return encode({
    domain: 'stronghold/request/1',
    vault,
    peer,
    id,
    steps: steps.map(({ procedure, version, input }) => ({ procedure, version, input })),
    footprint,
    formats,
    reason,
    timeoutMs,
  })
}

/** What an approval is bound to. */
export function boundBytes({ request, records, expiresAtMs }: HashedBinding): Uint8Array {
  return encode({
    domain: 'stronghold/bound/1',
    request,
    records: records.map(({ id, version }) => [id, version]),
    expiresAtMs,
  })
}

/** A rule as it reads; its place among others is no part of it. */
export function ruleBytes(rule: Rule): Uint8Array {
  return encode({
    domain: 'stronghold/rule/1',
    id: rule.id,
    peers: rule.peers.map((peer) => printPeer(peer)),
    procedures: rule.procedures.map(({ procedure, role }) => `${procedure}:${role}`),
    paths: rule.paths.map((path) => path.toString()),
    formats: rule.formats,
    limits: rule.limits.map(({ count, windowMs }) => [count, windowMs]),
    whenUsedUp: rule.whenUsedUp,
    expiresAtMs: rule.expiresAtMs,
    effect: rule.effect,
    note: rule.note,
    tell: rule.tell,
  })
}
