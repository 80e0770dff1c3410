/**
 * Tickets as text (`wire.md §10`): whom to meet, where, and the one-time secret that proves it. bech32m, so that a mistyped one
 * is noticed. It knows no connection and no guard.
 */
import { base58, bech32m } from '@scure/base'
import { decode, encode } from '@stronghold/core'
import { parseAddress, parsePeerId } from '@stronghold/p2p'
import type { Address, PeerId } from '@stronghold/p2p'

import { MAX_TICKET_ADDRESS_LENGTH, MAX_TICKET_ADDRESSES, MAX_TICKET_LENGTH } from './limits.ts'

/** What stands in front of every ticket, before the `1` of bech32m. */
export const TICKET_PREFIX = 'shpair'

const VERSION = 1
const SECRET_BYTES = 16

/** What a ticket says. */
export interface Ticket {
  /** Who opened it. */
  readonly peer: PeerId
  /** Where that peer is: up to four, each without its peer id. */
  readonly addresses: readonly Address[]
  /** 16 bytes. */
  readonly secret: Uint8Array
}

/**
 * A ticket as text, at most 1,023 characters. Addresses past the fourth, and those that are too long, are left out.
 *
 * @param ticket - addresses may end with the peer's own id
 * @throws `RangeError` for a secret of another length
 */
export function printTicket({ peer, addresses, secret }: Ticket): string {
  if (secret.byteLength !== SECRET_BYTES) {
    throw new RangeError(
      `Cannot print ticket: its secret has ${secret.byteLength} bytes where ${SECRET_BYTES} are expected`,
    )
  }
  const short = addresses
    .map((address) => withoutPeer(address, peer))
    .filter((address) => address !== '' && address.length <= MAX_TICKET_ADDRESS_LENGTH)
  const said = [VERSION, base58.decode(peer), secret, short.slice(0, MAX_TICKET_ADDRESSES)]
  return bech32m.encode(TICKET_PREFIX, bech32m.toWords(encode(said)), false)
}

/**
 * Reads a ticket; blanks around it are nothing.
 *
 * @throws `SyntaxError` for anything that `printTicket` did not print
 */
export function parseTicket(text: string): Ticket {
  const ticket = text.trim()
  if (ticket.length > MAX_TICKET_LENGTH) throw noTicket('it is too long')
  if (!ticket.toLowerCase().startsWith(`${TICKET_PREFIX}1`)) {
    throw noTicket(`it does not begin with ${TICKET_PREFIX}1`)
  }
  const said = read(() => {
    const { words } = bech32m.decode(ticket as `${string}1${string}`, false)
    return decode(bech32m.fromWords(words), { maxBytes: MAX_TICKET_LENGTH, maxDepth: 2 })
  }, 'a character is wrong or missing')
  if (!Array.isArray(said) || said.length !== 4) throw noTicket('it says something else')
  const [version, id, secret, addresses] = said as unknown[]
  if (version !== VERSION) throw noTicket('it is of another version')
  if (!(secret instanceof Uint8Array) || secret.byteLength !== SECRET_BYTES) {
    throw noTicket('its secret has another length')
  }
  if (!(id instanceof Uint8Array)) throw noTicket('it names no peer')
  const peer = read(() => parsePeerId(base58.encode(id)), 'it names no peer')
  if (!Array.isArray(addresses) || addresses.length > MAX_TICKET_ADDRESSES) {
    throw noTicket('it has too many addresses')
  }
  return { peer, addresses: addresses.map((one: unknown) => readAddress(one, peer)), secret }
}

function readAddress(text: unknown, peer: PeerId): Address {
  const isShort = typeof text === 'string' && text.length <= MAX_TICKET_ADDRESS_LENGTH
  const address = isShort ? read(() => parseAddress(text), 'an address is none') : undefined
  // One form only: what was printed has no peer's id at its end, and reads as it is written.
  if (address === undefined || address !== text || withoutPeer(address, peer) !== address) {
    throw noTicket('an address is none')
  }
  return address
}

/** An address without the peer's id at its end; nothing where it ends with another's. */
function withoutPeer(address: Address, peer: PeerId): Address | '' {
  const end = /\/p2p\/([^/]+)$/.exec(address)
  if (end === null) return address
  return end[1] === peer ? (address.slice(0, end.index) as Address) : ''
}

function read<T>(reading: () => T, state: string): T {
  try {
    return reading()
  } catch (cause) {
    throw noTicket(state, cause)
  }
}

function noTicket(state: string, cause?: unknown): SyntaxError {
  return new SyntaxError(
    `Cannot read ticket: ${state}`,
    cause === undefined ? undefined : { cause },
  )
}
