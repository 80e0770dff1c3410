/**
 * The messages of circuit relay v2 (libp2p/specs relay/circuit-v2.md): hop, stop and reservation vouchers, to bytes and
 * back. It knows no stream and decides nothing.
 */
import { concat } from '@stronghold/core'
import { base58btc } from 'multiformats/bases/base58'

import { P2pError } from '../errors.ts'
import { parsePeerId } from '../identity.ts'
import type { PeerId } from '../identity.ts'
import type { Identity } from '../open-identity.ts'
import { openEnvelope, sealEnvelope } from '../peer-record.ts'
import type { EnvelopeKind } from '../peer-record.ts'
import { bytesField, decodeFields, varintField } from '../protobuf.ts'
import type { ProtobufField } from '../protobuf.ts'
import { encodeVarint } from '../varint.ts'

// circuit-v2.md "Hop Protocol", "Stop Protocol".

/** Asked of a relay: reserve, connect. */
export const HOP_PROTOCOL = '/libp2p/circuit/relay/0.2.0/hop'
/** Asked by a relay: take a circuit. */
export const STOP_PROTOCOL = '/libp2p/circuit/relay/0.2.0/stop'

/** Status codes (circuit-v2.md "Protobuf"). */
export const STATUS: Readonly<
  Record<
    | 'OK'
    | 'RESERVATION_REFUSED'
    | 'RESOURCE_LIMIT_EXCEEDED'
    | 'PERMISSION_DENIED'
    | 'CONNECTION_FAILED'
    | 'NO_RESERVATION'
    | 'MALFORMED_MESSAGE'
    | 'UNEXPECTED_MESSAGE',
    number
  >
> = Object.freeze({
  OK: 100,
  RESERVATION_REFUSED: 200,
  RESOURCE_LIMIT_EXCEEDED: 201,
  PERMISSION_DENIED: 202,
  CONNECTION_FAILED: 203,
  NO_RESERVATION: 204,
  MALFORMED_MESSAGE: 400,
  UNEXPECTED_MESSAGE: 401,
})

/** The name of a status. */
export type StatusName = keyof typeof STATUS

/** What a relay allows a circuit. Undefined: no bound. */
export interface CircuitLimit {
  /** Whole seconds on the wire. */
  readonly durationMs: number | undefined
  /** Bytes in each direction. */
  readonly bytes: number | undefined
}

/** What a relay grants. */
export interface Reservation {
  /** Since the epoch, by the relay's clock; whole seconds on the wire. */
  readonly expiresAtMs: number
  /** The relay's own addresses as bytes, as they came: none is parsed yet. */
  readonly addresses: readonly Uint8Array[]
  /** A signed envelope, where the relay gives one. */
  readonly voucher: Uint8Array | undefined
}

/** What travels on a hop stream. */
export type HopMessage =
  | { readonly type: 'reserve' }
  | { readonly type: 'connect'; readonly peer: PeerId }
  | {
      readonly type: 'status'
      /** A number of `STATUS`, or another. */
      readonly status: number
      readonly reservation?: Reservation
      readonly limit?: CircuitLimit
    }

/** What travels on a stop stream. */
export type StopMessage =
  | { readonly type: 'connect'; readonly peer: PeerId; readonly limit?: CircuitLimit }
  | { readonly type: 'status'; readonly status: number }

const HOP_TYPES = ['reserve', 'connect', 'status'] as const
const STOP_TYPES = ['connect', 'status'] as const
// Ours. The longest peer id is an inline key of 42 bytes; decoding base58 takes time that grows with the square.
const MAX_MULTIHASH_BYTES = 64

/** A hop message, without its length. */
export function encodeHop(message: HopMessage): Uint8Array {
  const type = varintField(1, HOP_TYPES.indexOf(message.type))
  switch (message.type) {
    case 'reserve':
      return type
    case 'connect':
      return concat([type, peerField(message.peer)])
    case 'status': {
      const { reservation, limit, status } = message
      return concat([
        type,
        ...(reservation === undefined ? [] : [bytesField(3, encodeReservation(reservation))]),
        ...limitField(4, limit),
        varintField(5, status),
      ])
    }
  }
}

/** A stop message, without its length. */
export function encodeStop(message: StopMessage): Uint8Array {
  const type = varintField(1, STOP_TYPES.indexOf(message.type))
  return message.type === 'connect'
    ? concat([type, peerField(message.peer), ...limitField(3, message.limit)])
    : concat([type, varintField(4, message.status)])
}

/**
 * Reads a hop message.
 *
 * @throws `SyntaxError` for another form, an unknown type, or no peer where one is due
 */
export function decodeHop(bytes: Uint8Array): HopMessage {
  const fields = fieldsOf(bytes)
  switch (HOP_TYPES[numberOf(fields.get(1), 'type')]) {
    case 'reserve':
      return { type: 'reserve' }
    case 'connect':
      return { type: 'connect', peer: decodePeer(fields.get(2)) }
    case 'status': {
      const reservation = fields.get(3)
      return {
        type: 'status',
        status: numberOf(fields.get(5), 'status'),
        ...(reservation === undefined ? {} : { reservation: decodeReservation(reservation) }),
        ...decodeLimit(fields.get(4)),
      }
    }
    default:
      throw new SyntaxError('Cannot read the hop message: unknown type')
  }
}

/**
 * Reads a stop message.
 *
 * @throws as `decodeHop`
 */
export function decodeStop(bytes: Uint8Array): StopMessage {
  const fields = fieldsOf(bytes)
  switch (STOP_TYPES[numberOf(fields.get(1), 'type')]) {
    case 'connect':
      return { type: 'connect', peer: decodePeer(fields.get(2)), ...decodeLimit(fields.get(3)) }
    case 'status':
      return { type: 'status', status: numberOf(fields.get(4), 'status') }
    default:
      throw new SyntaxError('Cannot read the stop message: unknown type')
  }
}

/** A message with its length before it, as it stands on the wire. */
export function frameRelayMessage(message: Uint8Array): Uint8Array {
  return concat([encodeVarint(message.byteLength), message])
}

/** The name of a status, or the number where it has none. */
export function statusName(status: number): string {
  const known = Object.entries(STATUS).find(([, number]) => number === status)
  return known?.[0] ?? `status ${status}`
}

// Vouchers (circuit-v2.md "Reservation Vouchers"; domain and codec as in go and js).

/** What the signature of a voucher is for. */
export const VOUCHER: EnvelopeKind = {
  domain: 'libp2p-relay-rsvp',
  payloadType: Uint8Array.of(0x03, 0x02),
}

/** A relay's word that it serves a peer. */
export interface Voucher {
  readonly relay: PeerId
  readonly peer: PeerId
  /** Since the epoch; whole seconds on the wire. */
  readonly expiresAtMs: number
}

/** Signs a voucher with the relay's identity. */
export function sealVoucher(
  identity: Pick<Identity, 'publicKey' | 'sign'>,
  { relay, peer, expiresAtMs }: Voucher,
): Promise<Uint8Array> {
  const payload = concat([
    bytesField(1, multihashOf(relay)),
    bytesField(2, multihashOf(peer)),
    varintField(3, Math.floor(expiresAtMs / 1000)),
  ])
  return sealEnvelope(identity, VOUCHER, payload)
}

/**
 * Reads and verifies a voucher.
 *
 * @throws `P2pError` as `openEnvelope`, `invalid_argument` for another payload, `unauthenticated` when another peer
 *   than the relay it names signed it
 */
export async function openVoucher(bytes: Uint8Array): Promise<Voucher> {
  const { peer: signer, payload } = await openEnvelope(bytes, [VOUCHER])
  const voucher = decodeVoucher(payload)
  if (voucher.relay !== signer) {
    throw new P2pError('unauthenticated', 'Cannot take the voucher: another peer signed it', {
      layer: 'relay',
      peer: signer,
    })
  }
  return voucher
}

function decodeVoucher(payload: Uint8Array): Voucher {
  try {
    const fields = fieldsOf(payload)
    return {
      relay: peerOf(fields.get(1)),
      peer: peerOf(fields.get(2)),
      expiresAtMs: secondsOf(fields.get(3)),
    }
  } catch (cause) {
    const state = 'Cannot read the voucher: not one'
    throw new P2pError('invalid_argument', state, { layer: 'relay', cause })
  }
}

type Value = ProtobufField['value'] | undefined

/** Of a field that came several times the last counts, as protobuf has it. */
function fieldsOf(bytes: Uint8Array): Map<number, ProtobufField['value']> {
  return new Map(decodeFields(bytes).map(({ field, value }) => [field, value]))
}

function encodeReservation({ expiresAtMs, addresses, voucher }: Reservation): Uint8Array {
  return concat([
    varintField(1, Math.floor(expiresAtMs / 1000)),
    ...addresses.map((address) => bytesField(2, address)),
    ...(voucher === undefined ? [] : [bytesField(3, voucher)]),
  ])
}

function decodeReservation(value: Value): Reservation {
  const addresses: Uint8Array[] = []
  let expire: Value
  let voucher: Uint8Array | undefined
  for (const { field, value: one } of decodeFields(bytesOf(value, 'reservation'))) {
    if (field === 1) expire = one
    else if (field === 2) addresses.push(bytesOf(one, 'address'))
    else if (field === 3) voucher = bytesOf(one, 'voucher')
  }
  return { expiresAtMs: secondsOf(expire), addresses, voucher }
}

function limitField(field: number, limit: CircuitLimit | undefined): Uint8Array[] {
  if (limit === undefined) return []
  const { durationMs, bytes } = limit
  const parts = [
    ...(durationMs === undefined ? [] : [varintField(1, Math.ceil(durationMs / 1000))]),
    ...(bytes === undefined ? [] : [varintField(2, bytes)]),
  ]
  return [bytesField(field, concat(parts))]
}

/** Zero means no bound, and so does what is beyond any bound. */
function decodeLimit(value: Value): { limit?: CircuitLimit } {
  if (value === undefined) return {}
  const fields = fieldsOf(bytesOf(value, 'limit'))
  const bound = (field: number): number | undefined => {
    const given = fields.get(field) ?? 0
    if (given instanceof Uint8Array) throw new SyntaxError('Cannot read the limit: no number')
    return typeof given === 'bigint' || given === 0 ? undefined : given
  }
  const seconds = bound(1)
  const durationMs = seconds === undefined ? undefined : Math.min(seconds, 2 ** 32) * 1000
  return { limit: { durationMs, bytes: bound(2) } }
}

function peerField(peer: PeerId): Uint8Array {
  return bytesField(2, bytesField(1, multihashOf(peer)))
}

function decodePeer(value: Value): PeerId {
  return peerOf(fieldsOf(bytesOf(value, 'peer')).get(1))
}

function multihashOf(peer: PeerId): Uint8Array {
  return base58btc.baseDecode(peer)
}

function peerOf(value: Value): PeerId {
  const multihash = bytesOf(value, 'peer id')
  if (multihash.byteLength > MAX_MULTIHASH_BYTES) {
    throw new SyntaxError('Cannot read the peer id: too long')
  }
  return parsePeerId(base58btc.baseEncode(multihash))
}

/** Seconds as milliseconds; what is beyond a date is the last one. */
function secondsOf(value: Value): number {
  if (value === undefined || value instanceof Uint8Array) {
    throw new SyntaxError('Cannot read the relay message: no time')
  }
  return Math.min(Number(value), 2 ** 40) * 1000
}

function numberOf(value: Value, what: string): number {
  if (typeof value === 'number') return value
  throw new SyntaxError(`Cannot read the relay message: no ${what}`)
}

function bytesOf(value: Value, what: string): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new SyntaxError(`Cannot read the relay message: no ${what}`)
}
