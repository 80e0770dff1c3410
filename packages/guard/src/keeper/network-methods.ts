/**
 * What the network port knows: the network door and nothing else. There is no message here that unlocks, approves, or
 * changes rules or peers, but for `pair`, whose tickets the keeper alone holds.
 */
import type { Asker, NetworkDoor, PeerRequest, SyncMessage, WantedRecords } from '../doors.ts'
import { DoorError } from './messages.ts'
import type { PortMethod } from './port.ts'

const MAX_PEER_LENGTH = 128
const MAX_CONNECTION_LENGTH = 1024
const MAX_PATTERN_LENGTH = 2048

/** The methods of the network port. */
export function networkMethods(door: NetworkDoor): ReadonlyMap<string, PortMethod> {
  return new Map<string, PortMethod>([
    ['submit', ([asker, request]) => door.submit(askerOf(asker), requestOf(request))],
    ['wait', ([asker, id], { signal }) => door.wait(askerOf(asker), bytesOf(id), { signal })],
    ['cancel', ([asker, id]) => door.cancel(askerOf(asker), bytesOf(id))],
    ['acknowledge', ([asker, ids]) => door.acknowledge(askerOf(asker), listOf(ids).map(bytesOf))],
    ['list', ([asker, wanted]) => door.list(askerOf(asker), wantedOf(wanted))],
    ['standing', ([asker]) => door.standing(askerOf(asker))],
    ['pairing', (_, { signal }) => door.pairing({ signal })],
    ['head', () => door.head()],
    [
      'pair',
      ([asker, ticket, proof]) => door.pair(askerOf(asker), bytesOf(ticket), bytesOf(proof)),
    ],
    ['sync', ([asker, message]) => door.sync(askerOf(asker), syncMessageOf(message))],
  ])
}

function askerOf(value: unknown): Asker {
  const { peer, connection } = objectOf(value)
  const isPeer = typeof peer === 'string' && peer.length <= MAX_PEER_LENGTH
  if (!isPeer || typeof connection !== 'string') throw malformed()
  return { peer, connection: connection.slice(0, MAX_CONNECTION_LENGTH) }
}

/** What its steps hold is the guard's to judge: it answers the peer in words. */
function requestOf(value: unknown): PeerRequest {
  const { id, steps, reason, timeoutMs, receipt } = objectOf(value)
  if (typeof reason !== 'string' || typeof receipt !== 'boolean') throw malformed()
  if (typeof timeoutMs !== 'number') throw malformed()
  return {
    id: bytesOf(id),
    steps: listOf(steps).map((step) => {
      const { procedure, version, input } = objectOf(step)
      if (typeof procedure !== 'string' || typeof version !== 'number') throw malformed()
      return { procedure, version, input: objectOf(input) }
    }),
    reason,
    timeoutMs,
    receipt,
  }
}

function syncMessageOf(value: unknown): SyncMessage {
  const { kind, nonce, session, sealed } = objectOf(value)
  switch (kind) {
    case 'key':
      return { kind }
    case 'begin':
      return { kind, nonce: bytesOf(nonce) }
    case 'step':
      return { kind, session: bytesOf(session), sealed: bytesOf(sealed) }
    default:
      throw malformed()
  }
}

function wantedOf(value: unknown): WantedRecords {
  const { pattern, after } = objectOf(value)
  return {
    ...(pattern === undefined ? {} : { pattern: pathOf(pattern) }),
    ...(after === undefined ? {} : { after: pathOf(after) }),
  }
}

function pathOf(value: unknown): string {
  if (typeof value !== 'string' || value.length > MAX_PATTERN_LENGTH) throw malformed()
  return value
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  const isObject = typeof value === 'object' && value !== null
  if (!isObject || Array.isArray(value) || value instanceof Uint8Array) throw malformed()
  return value as Readonly<Record<string, unknown>>
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed()
  return value
}

function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw malformed()
  return value
}

function malformed(): DoorError {
  return new DoorError('invalid_argument', 'Cannot serve call: its arguments do not fit', 'no')
}
