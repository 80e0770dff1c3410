/**
 * What of relays a node can be set up with again, as JSON, and the strict reading of it; and what a quota is. It knows
 * nothing of how a relay keeps it.
 */
import { parseAddress, parsePeerId } from '../identity.ts'
import type { Address, PeerId } from '../identity.ts'

import type { RelayQuota } from './relay-accounts.ts'

/** On what terms a relay serves. Prints as JSON. */
export interface RelayTerms {
  /** Whether everybody who is not denied may be reached through it, or only who is allowed. */
  readonly everybody: boolean
  readonly allowed: readonly PeerId[]
  readonly denied: readonly PeerId[]
  /** What everybody may use, where it is not what the limits say. */
  readonly quota: RelayQuota
  /** What single peers may use in the place of that. */
  readonly quotas: readonly { readonly peer: PeerId; readonly quota: RelayQuota }[]
}

/** A node's relays as JSON. */
export interface ExportedRelays {
  /** Relays to be reached through, each `RELAY/p2p-circuit`. */
  readonly use: readonly Address[]
  /** Absent where the node is no relay. */
  readonly serving?: RelayTerms
}

const QUOTA_KEYS: ReadonlySet<string> = new Set([
  'bytesPerDay',
  'circuits',
  'circuitBytes',
  'circuitMs',
])

/** @throws `TypeError` and `RangeError` for what is no quota */
export function checkQuota(quota: RelayQuota): void {
  for (const [key, value] of Object.entries(quota) as [string, unknown][]) {
    if (!QUOTA_KEYS.has(key))
      throw new TypeError(`Cannot set a quota: unknown key ${key.slice(0, 64)}`)
    if (!Number.isSafeInteger(value) || (value as number) < 0) {
      throw new RangeError(`Cannot set a quota: ${key} is no integer of at least zero`)
    }
  }
}

/**
 * Reads exported relays. What was exported before there were any has none.
 *
 * @throws `TypeError` for another shape and for unknown fields, `RangeError` for no quota, `SyntaxError` for what is no peer
 *   or address
 */
export function readRelays(json: unknown): ExportedRelays {
  if (json === undefined) return { use: [] }
  const { use, serving } = fieldsOf(json, ['use', 'serving'])
  return {
    use: textsOf(use, 'use').map((one) => parseAddress(one)),
    ...(serving === undefined ? {} : { serving: readTerms(serving) }),
  }
}

function readTerms(json: unknown): RelayTerms {
  const keys = ['everybody', 'allowed', 'denied', 'quota', 'quotas']
  const { everybody, allowed, denied, quota, quotas } = fieldsOf(json, keys)
  if (typeof everybody !== 'boolean') throw bad('everybody is neither true nor false')
  if (!Array.isArray(quotas)) throw bad('quotas is no list')
  return {
    everybody,
    allowed: textsOf(allowed, 'allowed').map(parsePeerId),
    denied: textsOf(denied, 'denied').map(parsePeerId),
    quota: readQuota(quota),
    quotas: quotas.map((item: unknown) => {
      const { peer, quota: own } = fieldsOf(item, ['peer', 'quota'])
      const [id = ''] = textsOf([peer], 'peer')
      return { peer: parsePeerId(id), quota: readQuota(own) }
    }),
  }
}

function readQuota(json: unknown): RelayQuota {
  const quota: RelayQuota = fieldsOf(json, [...QUOTA_KEYS])
  checkQuota(quota)
  return quota
}

function fieldsOf(json: unknown, keys: readonly string[]): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw bad('no object')
  for (const key of Object.keys(json)) {
    if (!keys.includes(key)) throw bad(`unknown field ${key.slice(0, 64)}`)
  }
  return { ...json }
}

function textsOf(json: unknown, name: string): string[] {
  if (Array.isArray(json) && json.every((one) => typeof one === 'string')) return json
  throw bad(`${name} is no list of texts`)
}

function bad(state: string): TypeError {
  return new TypeError(`Cannot restore relays: ${state}`)
}
