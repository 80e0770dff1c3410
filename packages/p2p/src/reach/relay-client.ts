/**
 * What a peer asks of a relay, and what a relay asks of it (circuit relay v2): a reservation, a circuit to somebody, a
 * circuit from somebody. One exchange each, over streams that it is handed; keeping a reservation is not its business.
 */
import type { StatusCode } from '@stronghold/core'

import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { isP2pError, P2pError } from '../errors.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import { readMessage } from './relay-exchange.ts'
import {
  decodeHop,
  decodeStop,
  encodeHop,
  encodeStop,
  frameRelayMessage,
  HOP_PROTOCOL,
  openVoucher,
  STATUS,
  statusName,
} from './relay-message.ts'
import type { CircuitLimit, HopMessage, StatusName } from './relay-message.ts'

/** A connection to a relay, as far as it is needed here. */
export interface RelayLink {
  readonly peer: PeerId
  /** Where the relay is, with its peer id at the end. */
  readonly address: Address
  /** Opens a stream. @throws `P2pError` where none can be opened */
  open(protocol: string): Pipe
  /** Over; settles once. */
  readonly closed: Promise<void>
}

/** What bounds an exchange. */
export interface ExchangeInit {
  readonly limits: Pick<P2pLimits, 'relayTimeoutMs' | 'maxRelayMessageBytes'>
  readonly clock: Clock
}

/** A reservation that was granted and checked. */
export interface Granted {
  /** By the relay's clock. */
  readonly expiresAtMs: number
  /** Where the relay says it is, as bytes: none is parsed yet. */
  readonly addresses: readonly Uint8Array[]
  readonly limit: CircuitLimit | undefined
}

/** A circuit: raw, neither end is proven to the other. */
export interface RawCircuit {
  readonly pipe: Pipe
  readonly limit: CircuitLimit | undefined
}

/**
 * Asks a relay for a reservation.
 *
 * @param self - for whom, as the voucher has to say where there is one
 * @throws `P2pError` of layer `relay`: what the relay's status means, `unauthenticated` or `invalid_argument` for a
 *   voucher of something else, and as `readMessage`; the signal's reason
 */
export async function askReservation(
  link: RelayLink,
  self: PeerId,
  init: ExchangeInit,
  signal: AbortSignal,
): Promise<Granted> {
  const pipe = link.open(HOP_PROTOCOL)
  const answer = await askHop(pipe, { type: 'reserve' }, link, init, signal)
  pipe.end()
  drop(pipe, init)
  const { reservation, limit } = answer
  if (reservation === undefined) throw wrong(link, 'a reservation is missing')
  if (reservation.voucher !== undefined) {
    const voucher = await openVoucher(reservation.voucher).catch((cause: unknown) => {
      throw wrong(link, 'its voucher is wrong', cause)
    })
    if (voucher.relay !== link.peer || voucher.peer !== self) {
      throw wrong(link, 'its voucher is for others')
    }
  }
  const { expiresAtMs, addresses } = reservation
  return { expiresAtMs, addresses, limit }
}

/**
 * Asks a relay for a circuit.
 *
 * @throws as `askReservation`
 */
export async function askCircuit(
  link: RelayLink,
  to: PeerId,
  init: ExchangeInit,
  signal: AbortSignal,
): Promise<RawCircuit> {
  const pipe = link.open(HOP_PROTOCOL)
  const { limit } = await askHop(pipe, { type: 'connect', peer: to }, link, init, signal)
  return { pipe, limit }
}

/** What a relay asked for on a stop stream, answered. */
export interface Incoming extends RawCircuit {
  /** Who is said to be at the other end: proven by nobody yet. */
  readonly from: PeerId
}

/**
 * Answers a stop stream: takes the circuit, or says why not.
 *
 * @param wanted - whether circuits of this relay are taken
 * @returns undefined where none was taken
 * @throws as `readMessage`
 */
export async function answerStop(
  pipe: Pipe,
  wanted: boolean,
  init: ExchangeInit,
): Promise<Incoming | undefined> {
  const { limits, clock } = init
  const bytes = await readMessage(pipe, {
    maxBytes: limits.maxRelayMessageBytes,
    timeoutMs: limits.relayTimeoutMs,
    clock,
  })
  const message = decoded(() => decodeStop(bytes))
  if (wanted && message?.type === 'connect') {
    writeStatus(pipe, 'OK')
    return { pipe, limit: message.limit, from: message.peer }
  }
  const malformed = message === undefined ? 'MALFORMED_MESSAGE' : 'UNEXPECTED_MESSAGE'
  writeStatus(pipe, wanted ? malformed : 'PERMISSION_DENIED')
  pipe.end()
  drop(pipe, init)
  return undefined
}

function writeStatus(pipe: Pipe, status: StatusName): void {
  pipe.write([frameRelayMessage(encodeStop({ type: 'status', status: STATUS[status] }))])
}

async function askHop(
  pipe: Pipe,
  ask: HopMessage,
  link: RelayLink,
  { limits, clock }: ExchangeInit,
  signal: AbortSignal,
): Promise<Extract<HopMessage, { type: 'status' }>> {
  pipe.write([frameRelayMessage(encodeHop(ask))])
  const bytes = await readMessage(pipe, {
    maxBytes: limits.maxRelayMessageBytes,
    timeoutMs: limits.relayTimeoutMs,
    clock,
    signal,
  }).catch((error: unknown) => {
    pipe.destroy()
    throw isP2pError(error) ? unheard(link, error) : error
  })
  const answer = decoded(() => decodeHop(bytes))
  if (answer?.type === 'status' && answer.status === STATUS.OK) return answer
  pipe.destroy()
  if (answer?.type !== 'status') throw wrong(link, 'its answer is none')
  throw refusedBy(link, answer.status)
}

/** Lets the other side end what is over, but not for ever. */
function drop(pipe: Pipe, { limits, clock }: ExchangeInit): void {
  const stopTimer = clock.setTimer(limits.relayTimeoutMs, () => {
    pipe.destroy()
  })
  pipe.listen({ data: () => {}, drain: () => {}, end: () => {}, close: stopTimer })
  pipe.resume()
}

function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch {
    return undefined
  }
}

const CODES: Readonly<Partial<Record<number, StatusCode>>> = {
  [STATUS.RESERVATION_REFUSED]: 'resource_exhausted',
  [STATUS.RESOURCE_LIMIT_EXCEEDED]: 'resource_exhausted',
  [STATUS.PERMISSION_DENIED]: 'permission_denied',
  [STATUS.CONNECTION_FAILED]: 'unavailable',
  [STATUS.NO_RESERVATION]: 'unavailable',
  [STATUS.MALFORMED_MESSAGE]: 'invalid_argument',
  [STATUS.UNEXPECTED_MESSAGE]: 'invalid_argument',
}

const STATES: Readonly<Partial<Record<number, string>>> = {
  [STATUS.RESERVATION_REFUSED]: 'it has no room',
  [STATUS.RESOURCE_LIMIT_EXCEEDED]: 'too many circuits stand',
  [STATUS.PERMISSION_DENIED]: 'it does not let us',
  [STATUS.CONNECTION_FAILED]: 'it could not reach the peer',
  [STATUS.NO_RESERVATION]: 'the peer is not reached through it',
}

function refusedBy({ peer, address }: RelayLink, status: number): P2pError {
  const name = statusName(status)
  const state = STATES[status] ?? name
  return new P2pError(CODES[status] ?? 'unavailable', `Cannot use the relay ${peer}: ${state}`, {
    layer: 'relay',
    address,
    reason: name.toLowerCase().slice(0, 32),
  })
}

/** No answer came of a relay: which one, and where, an exchange does not know. */
function unheard({ peer, address }: RelayLink, error: P2pError): P2pError {
  const state =
    error.code === 'unimplemented'
      ? 'it is no relay'
      : error.message.replace('Cannot read the relay message: ', '')
  return new P2pError(error.code, `Cannot use the relay ${peer}: ${state}`, {
    layer: error.layer,
    address,
    cause: error,
    ...(error.reason === undefined ? {} : { reason: error.reason }),
  })
}

function wrong({ peer, address }: RelayLink, state: string, cause?: unknown): P2pError {
  return new P2pError('invalid_argument', `Cannot use the relay ${peer}: ${state}`, {
    layer: 'relay',
    address,
    cause,
  })
}
