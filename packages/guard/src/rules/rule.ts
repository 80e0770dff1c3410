/**
 * What a rule is. Rules say which peers may use which procedures on which paths, and how much of it. Pure words: how they
 * are read, printed and applied stands in the files beside.
 */
import type { Pattern } from '@stronghold/core'
import type { NO_PATH } from '@stronghold/vault/catalog'

/** What a rule does with what it matches. */
export type Effect = 'allow' | 'ask' | 'deny'

/** Whom a rule is about: one peer by its id, all with a tag, or every peer that the owner made known. */
export type PeerMatch =
  | { readonly kind: 'peer'; readonly id: string }
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'known' }

/** A procedure in one of its roles; `role` is `-` for a procedure without records. */
export interface ProcedureMatch {
  readonly procedure: string
  readonly role: string
}

/** At most so many uses in any stretch of that length. */
export interface Limit {
  /** 1 to 1,000,000. */
  readonly count: number
  /** Milliseconds, to 366 days. */
  readonly windowMs: number
}

/** One rule. Immutable; a changed rule is another with the same id. */
export interface Rule {
  /** `[a-z][a-z0-9-]{0,31}`, given once and never again. */
  readonly id: string
  /** Any of them; at least one. */
  readonly peers: readonly PeerMatch[]
  /** Any of them; at least one. */
  readonly procedures: readonly ProcedureMatch[]
  /** Any of them; at least one. `-` is what has no path. */
  readonly paths: readonly (Pattern | typeof NO_PATH)[]
  /**
   * Formats by name, `sshsig:git` for one namespace of them. Absent: for `allow` every structured format, for `ask` and
   * `deny` all. What has no format is never narrowed by them.
   */
  readonly formats?: readonly string[]
  /** All of them hold. */
  readonly limits: readonly Limit[]
  /** What happens when a limit is used up: the request is denied, or the rule is passed over. */
  readonly whenUsedUp: 'deny' | 'next'
  /** Milliseconds since the epoch; the rule is passed over from then on. */
  readonly expiresAtMs?: number
  readonly effect: Effect
  /** For people; at most 256 characters. */
  readonly note: string
  /** Does a denied requester learn id and note. */
  readonly tell: boolean
}

/** The words that rules may use. They come from the catalog, so that a rule about nothing refuses to load. */
export interface Vocabulary {
  /** The roles of a procedure, `['-']` for one without records; `undefined` for an unknown one. */
  rolesOf(procedure: string): readonly string[] | undefined
  /** Every procedure there is, to suggest the nearest. */
  readonly procedures: readonly string[]
  /** Every format there is, without namespaces. */
  readonly formats: readonly string[]
  /** Whether every use of a procedure is in a format; of the others none is. */
  hasFormats(procedure: string): boolean
}
