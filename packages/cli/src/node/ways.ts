/** How a peer is reached: over which connection, how far it is, and how long a round trip takes. Knows no command. */
import type { Node, NodeConnection, PeerId } from '@stronghold/p2p'

/** Where a connection leads: within this machine, within a network, over the internet, or through a relay. */
export type Way = 'local' | 'lan' | 'direct' | 'relayed'

/** A connection with a peer. */
export interface Connected {
  readonly peer: string
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  readonly way: Way
  /** As `noise` or `tls`. */
  readonly security: string
  readonly openedAtMs: number
  /** `null` where the peer did not answer in time. */
  readonly rttMs: number | null
  /** Bytes that came and went; `null` where nobody counts them. */
  readonly receivedBytes: number | null
  readonly sentBytes: number | null
}

/** Longest wait for one answer to a ping, in milliseconds. */
const PING_TIMEOUT_MS = 5000

/** How a connection leads to its peer. */
export async function wayOf({
  relayed,
  remoteAddress,
}: Pick<NodeConnection, 'relayed' | 'remoteAddress'>): Promise<Way> {
  if (relayed) return 'relayed'
  // Doors are loaded also where no node is; where one is, this is there already.
  const { scopeOf } = await import('@stronghold/p2p')
  const scope = scopeOf(remoteAddress)
  return scope === 'public' ? 'direct' : scope === 'private' ? 'lan' : 'local'
}

/** A connection as a door tells it, with a round trip measured now. */
export async function connectedOf(
  node: Node,
  connection: NodeConnection,
  signal?: AbortSignal,
): Promise<Connected> {
  const { peer, remoteAddress, direction, security, openedAtMs } = connection
  const traffic = node.traffic(connection)
  return {
    peer,
    address: remoteAddress,
    direction,
    way: await wayOf(connection),
    security,
    openedAtMs,
    rttMs: await roundTrip(node, peer, signal),
    receivedBytes: traffic?.receivedBytes ?? null,
    sentBytes: traffic?.sentBytes ?? null,
  }
}

/** A round trip in milliseconds; `null` where no answer came in time. */
export async function roundTrip(
  node: Node,
  peer: PeerId,
  signal?: AbortSignal,
): Promise<number | null> {
  const limit = AbortSignal.timeout(PING_TIMEOUT_MS)
  try {
    return await node.ping(peer, {
      signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
    })
  } catch {
    return null
  }
}
