/**
 * Hole punching (libp2p/specs relay/DCUtR.md): two peers behind routers agree, over a connection through a relay, on the
 * moment when both dial each other. Messages and timing of both roles; it dials nothing itself.
 */
import { concat } from '@stronghold/core'

import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import type { P2pLimits } from '../limits.ts'
import { bytesField, decodeFields, varintField } from '../protobuf.ts'
import { readMessage } from './relay-exchange.ts'
import { frameRelayMessage } from './relay-message.ts'

/** DCUtR.md "The Protocol". */
export const PUNCH_PROTOCOL = '/libp2p/dcutr'

// DCUtR.md "RPC messages".
const CONNECT = 100
const SYNC = 300
const MAX_MESSAGE_BYTES = 4096
/** DCUtR.md "The Protocol" step 6: two retries. */
export const PUNCH_ATTEMPTS = 3

/** What travels between the two. */
export type PunchMessage =
  | {
      readonly type: 'connect'
      /** Multiaddrs as bytes, as they came: none is parsed yet. */
      readonly addresses: readonly Uint8Array[]
    }
  | { readonly type: 'sync' }

/** A message, without its length. */
export function encodePunch(message: PunchMessage): Uint8Array {
  if (message.type === 'sync') return varintField(1, SYNC)
  return concat([varintField(1, CONNECT), ...message.addresses.map((one) => bytesField(2, one))])
}

/**
 * Reads a message.
 *
 * @throws `SyntaxError` for another form or an unknown type
 */
export function decodePunch(bytes: Uint8Array): PunchMessage {
  const addresses: Uint8Array[] = []
  let type: unknown
  for (const { field, value } of decodeFields(bytes)) {
    if (field === 1) type = value
    else if (field === 2) {
      if (!(value instanceof Uint8Array)) throw new SyntaxError(`${UNREADABLE}: no address`)
      addresses.push(value)
    }
  }
  if (type === SYNC) return { type: 'sync' }
  if (type === CONNECT) return { type: 'connect', addresses }
  throw new SyntaxError(`${UNREADABLE}: unknown type`)
}

const UNREADABLE = 'Cannot read the hole punching message'

/**
 * Who speaks first on a connection that both sides dialled. Whoever dialled through the relay is the client, whatever the
 * sockets say: multistream, handshake and muxer need exactly one (DCUtR.md "The Protocol" step 5, TCP).
 */
export type PunchRole = 'client' | 'server'

/** What punching needs. */
export interface PunchInit {
  readonly limits: Pick<P2pLimits, 'punchTimeoutMs' | 'relayTimeoutMs'>
  readonly clock: Clock
  /** Where our router lets answers in, as multiaddr bytes. Asked at each attempt. */
  own(): readonly Uint8Array[]
  /** Dials all of them at once until a direct connection stands. @throws when none came within the signal's time */
  dial(addresses: readonly Uint8Array[], role: PunchRole, signal: AbortSignal): Promise<void>
  /** Ends it. */
  readonly signal: AbortSignal
}

/**
 * Punches as the one who was dialled through the relay: measures, and says when.
 *
 * @returns how many attempts it took
 * @throws `P2pError` of layer `relay` where neither side has an address to try, or the last attempt failed; as
 *   `readMessage`; the signal's reason
 */
export async function leadPunch(pipe: Pipe, init: PunchInit): Promise<number> {
  const { clock, signal } = init
  for (let attempt = 1; ; attempt++) {
    const own = init.own()
    write(pipe, { type: 'connect', addresses: own })
    const askedMs = clock.nowMs()
    const { addresses } = await readAs(pipe, 'connect', init)
    const roundTripMs = clock.nowMs() - askedMs
    if (own.length + addresses.length === 0) throw reset(pipe, 'no side has an address to try')
    write(pipe, { type: 'sync' })
    // By then the other side has the message, and dials.
    await wait(roundTripMs / 2, clock, signal)
    try {
      await dialWithin(addresses, 'server', init)
      pipe.end()
      return attempt
    } catch (cause) {
      signal.throwIfAborted()
      if (attempt === PUNCH_ATTEMPTS) throw reset(pipe, `${attempt} attempts failed`, cause)
    }
  }
}

/**
 * Punches as the one who dialled through the relay: answers, and dials when told to.
 *
 * @param attempts - how many at most
 * @throws as `leadPunch`
 */
export async function followPunch(
  pipe: Pipe,
  init: PunchInit,
  attempts: number = PUNCH_ATTEMPTS,
): Promise<void> {
  let asked = readAs(pipe, 'connect', init)
  for (let attempt = 1; ; attempt++) {
    const { addresses } = await asked
    write(pipe, { type: 'connect', addresses: init.own() })
    await readAs(pipe, 'sync', init)
    const dialled = dialWithin(addresses, 'client', init)
    if (attempt === attempts) {
      await dialled.catch((cause: unknown) => {
        throw reset(pipe, `${attempt} attempts failed`, cause)
      })
      return
    }
    // The other side counts its own time: it may begin anew, or end the stream because it sees us already.
    asked = readAs(pipe, 'connect', init)
    asked.catch(() => {})
    const reached = await dialled.then(
      () => true,
      () => false,
    )
    init.signal.throwIfAborted()
    if (reached) return
  }
}

async function dialWithin(
  addresses: readonly Uint8Array[],
  role: PunchRole,
  init: PunchInit,
): Promise<void> {
  const { clock, limits, signal } = init
  const late = new AbortController()
  const stopTimer = clock.setTimer(limits.punchTimeoutMs, () => {
    late.abort(new Error('nothing came through in time'))
  })
  try {
    await init.dial(addresses, role, AbortSignal.any([late.signal, signal]))
  } finally {
    stopTimer()
    // What is still being dialled is not wanted any more.
    late.abort(new Error('over'))
  }
}

function write(pipe: Pipe, message: PunchMessage): void {
  pipe.write([frameRelayMessage(encodePunch(message))])
}

async function readAs<T extends PunchMessage['type']>(
  pipe: Pipe,
  type: T,
  { clock, limits, signal }: PunchInit,
): Promise<Extract<PunchMessage, { type: T }>> {
  const timeoutMs = limits.relayTimeoutMs
  const bytes = await readMessage(pipe, { maxBytes: MAX_MESSAGE_BYTES, timeoutMs, clock, signal })
  let message: PunchMessage
  try {
    message = decodePunch(bytes)
  } catch (cause) {
    throw reset(pipe, 'the other side sent something else', cause)
  }
  if (message.type === type) return message as Extract<PunchMessage, { type: T }>
  throw reset(pipe, 'the other side sent something else')
}

function wait(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      stopTimer()
      reject(signal.reason as Error)
    }
    const stopTimer = clock.setTimer(ms, () => {
      signal.removeEventListener('abort', aborted)
      resolve()
    })
    if (signal.aborted) aborted()
    else signal.addEventListener('abort', aborted, { once: true })
  })
}

/** Ends the stream, and says why. */
function reset(pipe: Pipe, state: string, cause?: unknown): P2pError {
  const error = new P2pError('unavailable', `Cannot connect directly: ${state}`, {
    layer: 'relay',
    reason: 'punch_failed',
    cause,
  })
  pipe.destroy(error)
  return error
}
