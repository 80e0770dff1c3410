/**
 * The address book as JSON: its shape, and the strict reading of it. It knows nothing of what the book does with it.
 */
import type { Address, PeerId } from '../identity.ts'

/** Where an address is from. What the user gave is never forgotten silently. */
export type AddressSource = 'user' | 'identify' | 'discovery' | 'connection'

/** How relays are used towards a peer: after direct ways, alone, not at all, or exactly that one. */
export type RelayMode = 'fallback' | 'only' | 'never' | PeerId

/** One address as JSON. */
export interface ExportedAddress {
  /** Without the peer's own `/p2p/…` at its end. */
  readonly address: Address
  readonly source: AddressSource
  /** Since the epoch. Absent: does not expire. */
  readonly expiresAtMs?: number
  /** When it last worked, since the epoch. */
  readonly lastSuccessMs?: number
}

/** The book as JSON. */
export interface ExportedBook {
  readonly version: 1
  readonly peers: readonly {
    readonly peer: PeerId
    readonly addresses: readonly ExportedAddress[]
  }[]
  /** Relays to dial through, in order. */
  readonly dialingRelays: readonly Address[]
  /** Peers towards whom relays are used in another way than `'fallback'`. */
  readonly relayModes: readonly { readonly peer: PeerId; readonly relay: RelayMode }[]
}

/** Readers of canonical text. @throws where it is none */
export interface BookParsers {
  parsePeer(text: string): PeerId
  parseAddress(text: string): Address
}

const SOURCES: readonly unknown[] = ['user', 'identify', 'discovery', 'connection']
const MODES: readonly unknown[] = ['fallback', 'only', 'never']

/**
 * Reads an exported book.
 *
 * @throws `TypeError` for another version or shape and for unknown fields, `SyntaxError` for what is no peer or address
 */
export function readBook(json: unknown, parsers: BookParsers): ExportedBook {
  const book = fieldsOf(json, ['version', 'peers', 'dialingRelays', 'relayModes'])
  if (book['version'] !== 1) throw bad('unknown version')
  return {
    version: 1,
    peers: listOf(book['peers'], 'peers').map((item) => {
      const { peer, addresses } = fieldsOf(item, ['peer', 'addresses'])
      return {
        peer: parsers.parsePeer(textOf(peer, 'peer')),
        addresses: listOf(addresses, 'addresses').map((one) => readAddress(one, parsers)),
      }
    }),
    dialingRelays: listOf(book['dialingRelays'], 'dialingRelays').map((address) =>
      parsers.parseAddress(textOf(address, 'dialingRelays')),
    ),
    relayModes: listOf(book['relayModes'], 'relayModes').map((item) => {
      const { peer, relay } = fieldsOf(item, ['peer', 'relay'])
      return {
        peer: parsers.parsePeer(textOf(peer, 'peer')),
        relay: readRelayMode(textOf(relay, 'relay'), parsers),
      }
    }),
  }
}

/** @throws `SyntaxError` for what is neither one of the three words nor a peer */
export function readRelayMode(text: string, parsers: BookParsers): RelayMode {
  return MODES.includes(text) ? (text as RelayMode) : parsers.parsePeer(text)
}

function readAddress(json: unknown, parsers: BookParsers): ExportedAddress {
  const { address, source, expiresAtMs, lastSuccessMs } = fieldsOf(json, [
    'address',
    'source',
    'expiresAtMs',
    'lastSuccessMs',
  ])
  if (!SOURCES.includes(source)) throw bad('unknown source')
  return {
    address: parsers.parseAddress(textOf(address, 'address')),
    source: source as AddressSource,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs: timeOf(expiresAtMs, 'expiresAtMs') }),
    ...(lastSuccessMs === undefined
      ? {}
      : { lastSuccessMs: timeOf(lastSuccessMs, 'lastSuccessMs') }),
  }
}

function fieldsOf(value: unknown, names: readonly string[]): Partial<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad('not an object where one should be')
  }
  for (const name of Object.keys(value)) {
    if (!names.includes(name)) throw bad(`unknown field ${JSON.stringify(name.slice(0, 64))}`)
  }
  return value
}

function listOf(value: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(value)) throw bad(`${name} is no list`)
  return value
}

function textOf(value: unknown, name: string): string {
  if (typeof value !== 'string') throw bad(`${name} is no text`)
  return value
}

function timeOf(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw bad(`${name} is no time`)
  return value as number
}

function bad(why: string): TypeError {
  return new TypeError(`Cannot import the address book: ${why}`)
}
