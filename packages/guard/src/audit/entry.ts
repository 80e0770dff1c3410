/**
 * Audit entries as bytes (`docs/audit.md §1`). Writing takes exactly the fields of an event, so that nothing gets in that
 * nobody thought of; reading keeps what a newer version may have written. It knows neither chain nor disk.
 */
import { decode, encode, isStatusCode } from '@stronghold/core'
import type { StatusCode } from '@stronghold/core'

import { readHead } from '../heads.ts'
import type { SignedHead } from '../heads.ts'
import { MAX_AUDIT_ENTRY_BYTES, MAX_AUDIT_LIST, MAX_AUDIT_TEXT_LENGTH } from '../limits.ts'
import type { Use } from '../receipts.ts'

/** What became of a request. */
export type AuditOutcome =
  | 'asked'
  | 'approved'
  | 'noted'
  | 'denied'
  | 'executed'
  | 'failed'
  | 'expired'
  | 'canceled'
  | 'conflict'

/** The facts of each event. Hashes are 32 bytes and salted, ids of requests 16 bytes, times milliseconds. */
export interface AuditFacts {
  created: { by: string }
  unlocked: { by: string }
  locked: { by: string }
  rekeyed: { by: string }
  /** `epoch` is the one that begins. */
  restored: { by: string; epoch: number }
  request: {
    peer: string
    connection: string
    id: Uint8Array
    bound?: Uint8Array
    use: readonly Use[]
    formats?: readonly string[]
    reason?: string
    verdict?: 'allow' | 'ask' | 'deny'
    rule?: string
    outcome: AuditOutcome
    result?: Uint8Array
    code?: StatusCode
  }
  decision: {
    peer: string
    id: Uint8Array
    bound: Uint8Array
    choice: 'once' | 'time' | 'deny' | 'deny-and-block'
    by: string
    rule: string
    /** Of a grant. */
    for?: number
  }
  released: { peer: string; id: Uint8Array }
  owner: {
    use: readonly Use[]
    outcome: 'executed' | 'failed'
    by?: string
    id?: Uint8Array
    bound?: Uint8Array
    formats?: readonly string[]
    reason?: string
    result?: Uint8Array
    code?: StatusCode
  }
  rule: { change: 'added' | 'edited' | 'moved' | 'removed'; id: string; hash?: Uint8Array }
  peer: {
    change: 'added' | 'paired' | 'renamed' | 'tagged' | 'blocked' | 'unblocked' | 'removed'
    peer: string
    name: string
  }
  grant: { change: 'made' | 'revoked'; id: string; peer?: string }
  ticket: { change: 'opened' | 'used' | 'canceled' | 'closed'; id: Uint8Array; peer?: string }
  unlocker: { change: 'added' | 'changed' | 'removed'; id: string; kind: string }
  store: { change: 'set' | 'deleted'; key: string }
  certificate: { key: Uint8Array; peer: string }
  strangers: { count: number; since: number }
  denials: { peer: string; count: number; since: number }
  unproven: { by: string; count: number; since: number }
  /** `dropped` is how many were no notes. */
  intake: { count: number; from: number; to: number; dropped?: number }
  checkpoint: { before: number; head: SignedHead }
  partner: {
    change: 'added' | 'pinned' | 'paused' | 'resumed' | 'removed' | 'decided'
    name: string
    peer: string
    detail?: string
  }
  sync: {
    peer: string
    name: string
    phase: 'begun' | 'sent' | 'received' | 'ended' | 'stopped'
    /** What came of each, its path here, its id and version. */
    records?: readonly SyncedRecord[]
    detail?: string
  }
  /** `vault`, 16 bytes, `epoch` and `generation` are those of the backup. */
  backup: {
    change: 'made' | 'restored' | 'proven'
    file: string
    vault: Uint8Array
    epoch: number
    generation: number
    detail?: string
  }
}

/** A record that was sent or came: what came of it, its path here, its id, 16 bytes, and its newest version. */
export type SyncedRecord = readonly [what: string, path: string, id: Uint8Array, version: number]

/** Name of an event. */
export type AuditEvent = keyof AuditFacts

/** An entry to be written. */
export type NewEntry = {
  [E in AuditEvent]: { readonly at: number; readonly event: E; readonly facts: AuditFacts[E] }
}[AuditEvent]

/** An entry as it was read: event and facts may be of a newer version. */
export interface ReadEntry {
  readonly at: number
  readonly event: string
  readonly facts: Readonly<Record<string, unknown>>
}

/** Whether a value is what a field holds. */
type Check = (value: unknown) => boolean

/** Checks by field. */
interface Fields<F> {
  readonly required: { readonly [K in keyof F as undefined extends F[K] ? never : K]: Check }
  readonly optional?: { readonly [K in keyof F as undefined extends F[K] ? K : never]-?: Check }
}

const text: Check = (value) => typeof value === 'string' && value.length <= MAX_AUDIT_TEXT_LENGTH
const uint: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const bytes =
  (length: number): Check =>
  (value) =>
    value instanceof Uint8Array && value.byteLength === length
const [requestId, hash] = [bytes(16), bytes(32)]
const oneOf =
  (...words: readonly string[]): Check =>
  (value) =>
    words.includes(value as string)
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.length <= MAX_AUDIT_LIST && value.every(check)
const use: Check = (value) =>
  Array.isArray(value) &&
  value.slice(0, 3).every(text) &&
  (value.length === 3 ||
    (value.length === 5 && requestId(value[3]) && uint(value[4]) && value[4] !== 0))
const synced: Check = (value) =>
  Array.isArray(value) &&
  value.length === 4 &&
  text(value[0]) &&
  text(value[1]) &&
  requestId(value[2]) &&
  uint(value[3])
const head: Check = (value) => {
  try {
    readHead(value)
    return true
  } catch {
    return false
  }
}

const BY = { required: { by: text } }
const EVENTS: { readonly [E in AuditEvent]: Fields<AuditFacts[E]> } = {
  created: BY,
  unlocked: BY,
  locked: BY,
  rekeyed: BY,
  restored: { required: { by: text, epoch: uint } },
  request: {
    required: {
      peer: text,
      connection: text,
      id: requestId,
      use: list(use),
      outcome: oneOf(
        'asked',
        'approved',
        'noted',
        'denied',
        'executed',
        'failed',
        'expired',
        'canceled',
        'conflict',
      ),
    },
    optional: {
      bound: hash,
      formats: list(text),
      reason: text,
      verdict: oneOf('allow', 'ask', 'deny'),
      rule: text,
      result: hash,
      code: isStatusCode,
    },
  },
  decision: {
    required: {
      peer: text,
      id: requestId,
      bound: hash,
      choice: oneOf('once', 'time', 'deny', 'deny-and-block'),
      by: text,
      rule: text,
    },
    optional: { for: uint },
  },
  released: { required: { peer: text, id: requestId } },
  owner: {
    required: { use: list(use), outcome: oneOf('executed', 'failed') },
    optional: {
      by: text,
      id: requestId,
      bound: hash,
      formats: list(text),
      reason: text,
      result: hash,
      code: isStatusCode,
    },
  },
  rule: {
    required: { change: oneOf('added', 'edited', 'moved', 'removed'), id: text },
    optional: { hash },
  },
  peer: {
    required: {
      change: oneOf('added', 'paired', 'renamed', 'tagged', 'blocked', 'unblocked', 'removed'),
      peer: text,
      name: text,
    },
  },
  grant: {
    required: { change: oneOf('made', 'revoked'), id: text },
    optional: { peer: text },
  },
  ticket: {
    required: { change: oneOf('opened', 'used', 'canceled', 'closed'), id: requestId },
    optional: { peer: text },
  },
  unlocker: {
    required: { change: oneOf('added', 'changed', 'removed'), id: text, kind: text },
  },
  store: { required: { change: oneOf('set', 'deleted'), key: text } },
  certificate: { required: { key: hash, peer: text } },
  strangers: { required: { count: uint, since: uint } },
  denials: { required: { peer: text, count: uint, since: uint } },
  unproven: { required: { by: text, count: uint, since: uint } },
  intake: { required: { count: uint, from: uint, to: uint }, optional: { dropped: uint } },
  checkpoint: { required: { before: uint, head } },
  partner: {
    required: {
      change: oneOf('added', 'pinned', 'paused', 'resumed', 'removed', 'decided'),
      name: text,
      peer: text,
    },
    optional: { detail: text },
  },
  sync: {
    required: {
      peer: text,
      name: text,
      phase: oneOf('begun', 'sent', 'received', 'ended', 'stopped'),
    },
    optional: { records: list(synced), detail: text },
  },
  backup: {
    required: {
      change: oneOf('made', 'restored', 'proven'),
      file: text,
      vault: requestId,
      epoch: uint,
      generation: uint,
    },
    optional: { detail: text },
  },
}

/** The same by name, for whoever checks entry after entry. */
const FORMS: ReadonlyMap<
  string,
  { readonly checks: ReadonlyMap<string, Check>; readonly required: readonly string[] }
> = new Map(
  Object.entries(EVENTS).map(
    ([event, { required, optional = {} }]: [string, Fields<Record<string, unknown>>]) => [
      event,
      {
        checks: new Map<string, Check>(Object.entries({ ...required, ...optional })),
        required: Object.keys(required),
      },
    ],
  ),
)

/**
 * An entry as bytes.
 *
 * @throws `TypeError` for an event that is unknown and for a field that is missing, unknown or of another form;
 *   `RangeError` past `MAX_AUDIT_ENTRY_BYTES`
 */
export function encodeEntry({ at, event, facts }: NewEntry): Uint8Array {
  const form = FORMS.get(event)
  if (form === undefined) throw wrong(event, 'an unknown event')
  if (!uint(at)) throw wrong(event, 'no time')
  const given: Readonly<Record<string, unknown>> = facts
  for (const name of Object.keys(given)) {
    const value = given[name]
    if (value === undefined) continue
    const check = form.checks.get(name)
    if (check === undefined) throw wrong(event, `an unknown field ${quoted(name)}`)
    if (!check(value)) throw wrong(event, `${name} of another form`)
  }
  for (const name of form.required) {
    const isGiven = Object.hasOwn(given, name) && given[name] !== undefined
    if (!isGiven) throw wrong(event, `no ${name}`)
  }
  return encode({ at, event, facts }, { maxBytes: MAX_AUDIT_ENTRY_BYTES })
}

/**
 * An entry from bytes; fields and events that this version does not know are kept.
 *
 * @throws `SyntaxError` for anything that is no entry of any version, `RangeError` past `MAX_AUDIT_ENTRY_BYTES`
 */
export function decodeEntry(bytes: Uint8Array): ReadEntry {
  const value = decode(bytes, { maxBytes: MAX_AUDIT_ENTRY_BYTES })
  if (!isMap(value)) throw new SyntaxError('Cannot read audit entry: no map')
  const { at, event, facts, ...others } = value
  const isEntry =
    uint(at) && typeof event === 'string' && isMap(facts) && Object.keys(others).length === 0
  if (!isEntry) throw new SyntaxError('Cannot read audit entry: not at, event and facts')
  return { at: at as number, event, facts }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array)
  )
}

function wrong(event: string, why: string): TypeError {
  return new TypeError(`Cannot write audit entry ${quoted(event)}: ${why}`)
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}
