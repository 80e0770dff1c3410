/** What a node can be set up with again, as it leaves and comes back. Reads shapes; what is in them is others' part. */
import type { ExportedRules } from './firewall/rules.ts'
import type { PeerId } from './identity.ts'
import type { ExportedRelays } from './reach/relay-settings.ts'

/** What a node can be set up with again. Prints as JSON. */
export interface ExportedNode {
  readonly version: 1
  readonly firewall: ExportedRules
  readonly blocked: readonly PeerId[]
  readonly banned: readonly string[]
  readonly book: unknown
  readonly relay: ExportedRelays
}

/** What was exported, as far as its outer shape was looked at. */
export interface ReadNode {
  readonly firewall: unknown
  readonly blocked: readonly string[]
  readonly banned: readonly string[]
  readonly book: unknown
  readonly relay: unknown
}

/**
 * Reads what `export` gave.
 *
 * @throws `TypeError` for another shape
 */
export function readExported(exported: unknown): ReadNode {
  if (typeof exported !== 'object' || exported === null) throw notExported('no object')
  const { version, firewall, blocked, banned, book, relay, ...rest } = exported as Record<
    string,
    unknown
  >
  if (version !== 1) throw notExported('unknown version')
  for (const key of Object.keys(rest)) throw notExported(`unknown field ${key.slice(0, 64)}`)
  if (!isTexts(blocked) || !isTexts(banned)) throw notExported('blocked or banned is no list')
  return { firewall, blocked, banned, book, relay }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}

function notExported(state: string): TypeError {
  return new TypeError(`Cannot restore the node: ${state}`)
}
