/** Tickets as text: what is printed is read, whatever else is refused. */
import { bech32m } from '@scure/base'
import { encode } from '@stronghold/core'
import { parseAddress, parsePeerId } from '@stronghold/p2p'
import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import {
  MAX_TICKET_ADDRESS_LENGTH,
  MAX_TICKET_ADDRESSES,
  MAX_TICKET_LENGTH,
} from '../src/limits.ts'
import { parseTicket, printTicket, TICKET_PREFIX } from '../src/ticket.ts'

const PEER = parsePeerId('12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA')
const OTHER = parsePeerId('12D3KooWKRyzVWW6ChFjQjK4miCty85Niy48tpPV95XdKu1BcvMA')
const ADDRESS = parseAddress('/ip4/192.168.1.7/tcp/7430')
const RELAYED = parseAddress(`/ip4/192.0.2.1/tcp/7430/p2p/${OTHER}/p2p-circuit`)
const TICKET = { peer: PEER, addresses: [ADDRESS], secret: new Uint8Array(16).fill(7) }

const address = fc.oneof(
  fc.ipV4().map((host) => parseAddress(`/ip4/${host}/tcp/7430`)),
  fc.ipV6().map((host) => parseAddress(`/ip6/${host}/tcp/7430`)),
  fc.constant(RELAYED),
)
const secret = fc.uint8Array({ minLength: 16, maxLength: 16 })

test.prop([fc.array(address, { maxLength: MAX_TICKET_ADDRESSES }), secret])(
  'parseTicket() gives what was printed, also in capitals',
  (addresses, secret) => {
    const ticket = { peer: PEER, addresses, secret }
    const printed = printTicket(ticket)
    expect(printed.length).toBeLessThanOrEqual(MAX_TICKET_LENGTH)
    expect(parseTicket(` ${printed}\n`)).toEqual(ticket)
    expect(parseTicket(printed.toUpperCase())).toEqual(ticket)
  },
)

test.prop([fc.nat(), fc.integer({ min: 1, max: 31 })])(
  'a ticket with a character changed is none',
  (where, by) => {
    const printed = printTicket(TICKET)
    const alphabet = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
    const at = TICKET_PREFIX.length + 1 + (where % (printed.length - TICKET_PREFIX.length - 1))
    const now = alphabet.indexOf(printed[at] ?? '')
    const other = printed.slice(0, at) + alphabet.charAt((now + by) % 32) + printed.slice(at + 1)
    expect(() => parseTicket(other)).toThrow(SyntaxError)
  },
)

test.prop([
  fc.oneof(
    fc.string(),
    fc.string().map((text) => `${TICKET_PREFIX}1${text}`),
  ),
])('junk is no ticket', (text) => {
  expect(() => parseTicket(text)).toThrow(/^Cannot read ticket: /)
})

test('the fifth address and those too long are left out; a peer’s own id at the end is not repeated', () => {
  const long = parseAddress(`/dns4/${'a'.repeat(60)}.${'b'.repeat(60)}/tcp/1`)
  const own = parseAddress(`${ADDRESS}/p2p/${PEER}`)
  const strange = parseAddress(`${ADDRESS}/p2p/${OTHER}`)
  const many = [long, strange, own, RELAYED, ADDRESS, ADDRESS, ADDRESS]
  expect(long.length).toBeGreaterThan(MAX_TICKET_ADDRESS_LENGTH)
  expect(parseTicket(printTicket({ ...TICKET, addresses: many })).addresses).toEqual([
    ADDRESS,
    RELAYED,
    ADDRESS,
    ADDRESS,
  ])
  expect(() => printTicket({ ...TICKET, secret: new Uint8Array(15) })).toThrow(RangeError)
})

test('a longest ticket is within the bound, and one past it is none', () => {
  const addresses = Array.from({ length: MAX_TICKET_ADDRESSES }, () => {
    const start = '/dns4/'
    const rest = MAX_TICKET_ADDRESS_LENGTH - start.length - '/tcp/1'.length
    const name = `${'a'.repeat(57)}.${'b'.repeat(rest - 58)}`
    return parseAddress(`${start}${name}/tcp/1`)
  })
  expect(addresses[0]).toHaveLength(MAX_TICKET_ADDRESS_LENGTH)
  const printed = printTicket({ ...TICKET, addresses })
  expect(printed.length).toBeLessThanOrEqual(MAX_TICKET_LENGTH)
  expect(parseTicket(printed).addresses).toEqual(addresses)
  expect(() => parseTicket(printed.padEnd(MAX_TICKET_LENGTH + 1, 'q'))).toThrow('it is too long')
})

test('what has the form of a ticket and says something else is none', () => {
  const id = bech32m.fromWords(bech32m.decode(printTicket(TICKET) as 'shpair1x', false).words)
  const peer = id.subarray(4, 4 + 38)
  const { secret } = TICKET
  const print = (said: unknown): string =>
    bech32m.encode(TICKET_PREFIX, bech32m.toWords(encode(said)), false)
  expect(parseTicket(print([1, peer, secret, [ADDRESS]]))).toEqual(TICKET)
  const wrong: unknown[] = [
    'text',
    [1, peer, secret],
    [2, peer, secret, [ADDRESS]],
    [1, peer.subarray(1), secret, [ADDRESS]],
    [1, peer, secret.subarray(1), [ADDRESS]],
    [1, peer, secret, ADDRESS],
    [1, peer, secret, ['nowhere']],
    [1, peer, secret, [`${ADDRESS}/p2p/${PEER}`]],
    [1, peer, secret, [`${ADDRESS}/p2p/${OTHER}`]],
    [1, peer, secret, [7]],
    [1, peer, secret, Array.from({ length: 5 }, () => ADDRESS)],
    [1, peer, secret, [ADDRESS], 0],
  ]
  for (const said of wrong) expect(() => parseTicket(print(said))).toThrow(SyntaxError)
})
