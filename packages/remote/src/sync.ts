/**
 * Synchronisation over p2p (`docs/sync.md`): carries what a guard says to the partner and its answers back, message by message. It
 * opens nothing, decides nothing, and knows no record.
 */
import type {
  Asker,
  NetworkDoor,
  SyncMessage,
  SyncOwnerDoor,
  SyncPurpose,
  SyncReply,
  SyncReport,
} from '@stronghold/guard'
import { isP2pError } from '@stronghold/p2p'
import type { Address, Client, ConnectionFacts, Node, PeerId } from '@stronghold/p2p'

import { fromP2p, RemoteError } from './errors.ts'
import { MAX_CONNECTION_LENGTH, SYNC_CALL_TIMEOUT_MS } from './limits.ts'
import { syncProtocol } from './sync-protocol.ts'
import type { SyncMethods, SyncReplyMessage } from './sync-protocol.ts'

/** How a run is made. */
export interface RunSyncOptions {
  /** Default `run`. */
  readonly purpose?: SyncPurpose
  /** Gives the run up. What was settled stays; the next run goes on from there. */
  readonly signal?: AbortSignal
  /** How many records are settled of how many that differ; 0 of 0 while they are compared. Must not throw. */
  readonly onProgress?: (progress: { readonly settled: number; readonly of: number }) => void
  /** Where the partner is. Default: as the node's address book says. */
  readonly target?: PeerId | Address | readonly Address[]
  /** Longest that one message may take, in milliseconds. Default two minutes. */
  readonly timeoutMs?: number
}

/** A vault and its sync key, as a peer tells them: to be shown, and pinned with `syncAdd`. */
export interface SyncKey {
  readonly peer: PeerId
  /** 16 bytes. */
  readonly vault: Uint8Array
  /** X25519, 32 bytes. */
  readonly key: Uint8Array
  /** The envelope by which its node vouches for it, where it has one (`audit.md §4`). Nobody has verified it yet. */
  readonly certificate?: Uint8Array
}

/**
 * Lets partners synchronise with a guarded vault until the result is disposed of. Known peers are let through to the guard, which
 * knows its partners; everybody else is denied.
 *
 * @throws `TypeError` where this node serves it already
 */
export function serveSync(
  node: Node,
  guard: { readonly network: Pick<NetworkDoor, 'sync' | 'standing'> },
): Disposable {
  const { network } = guard
  const answer = async (
    context: { readonly peer: PeerId; readonly connection: ConnectionFacts },
    message: SyncMessage,
  ): Promise<SyncReplyMessage> => network.sync(askerOf(context), message)
  return node.serve(
    syncProtocol,
    {
      key: (_, context) => answer(context, { kind: 'key' }),
      begin: ({ nonce }, context) => answer(context, { kind: 'begin', nonce }),
      step: ({ session, sealed }, context) => answer(context, { kind: 'step', session, sealed }),
    },
    {
      // Asked every time: who is blocked is out at once.
      inbound: async (request) =>
        (await network.standing(askerOf(request))) === 'known' ? 'allow' : 'deny',
    },
  )
}

/**
 * Fetches what a partnership pins. The connection proves the peer; that its key is the right one is for a person to see.
 *
 * @throws `RemoteError` where the peer cannot be reached or does not know this node
 */
export async function fetchSyncKey(
  node: Node,
  target: PeerId | Address | readonly Address[],
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<SyncKey> {
  const { signal, timeoutMs = SYNC_CALL_TIMEOUT_MS } = options
  const stopped = signal === undefined ? {} : { signal }
  try {
    const { peer } = await node.connect(target, stopped)
    const client = node.client(syncProtocol, peer)
    const reply = await client.key({}, { timeoutMs, ...stopped })
    if (reply.state === 'failed') throw refused(reply)
    if (reply.state !== 'key') throw unexpected()
    const { vault, key, certificate } = reply
    return { peer, vault, key, ...(certificate === undefined ? {} : { certificate }) }
  } catch (error) {
    throw isP2pError(error) ? fromP2p(error) : error
  }
}

/**
 * Makes one run with a partner, as the asker. A run that was cut off leaves both vaults whole; the next one goes on.
 *
 * @param name - of the partnership
 * @throws `VaultError` as `syncBegin` and `syncNext` say; `RemoteError` where the partner cannot be reached; `signal.reason`
 */
export async function runSync(
  node: Node,
  guard: { readonly owner: Pick<SyncOwnerDoor, 'syncBegin' | 'syncNext' | 'syncEnd'> },
  name: string,
  options: RunSyncOptions = {},
): Promise<SyncReport> {
  const { purpose, signal, onProgress, target, timeoutMs = SYNC_CALL_TIMEOUT_MS } = options
  signal?.throwIfAborted()
  const { owner } = guard
  let turn = await owner.syncBegin(name, purpose)
  if (turn.done) return turn.report
  const { session, peer } = turn
  const client = node.client(syncProtocol, target ?? (peer as PeerId))
  const call = { timeoutMs, ...(signal === undefined ? {} : { signal }) }
  try {
    while (!turn.done) {
      onProgress?.(turn.progress)
      const reply = await said(client, turn.say, call)
      turn = await owner.syncNext(session, reply)
    }
    return turn.report
  } catch (error) {
    // It may be gone by itself, and whoever waits wants to know why the run failed.
    await owner.syncEnd(session).catch(() => {})
    throw isP2pError(error) ? fromP2p(error) : error
  }
}

/**
 * Says one message of a run to a partner, for whoever makes the run where no node is.
 *
 * @throws `RemoteError` where the partner cannot be reached
 */
export async function sayToPartner(
  node: Node,
  partner: PeerId,
  message: SyncMessage,
  { timeoutMs = SYNC_CALL_TIMEOUT_MS }: Pick<RunSyncOptions, 'timeoutMs'> = {},
): Promise<SyncReply> {
  try {
    return await said(node.client(syncProtocol, partner), message, { timeoutMs })
  } catch (error) {
    throw isP2pError(error) ? fromP2p(error) : error
  }
}

/** Says one thing and hears the answer. */
async function said(
  client: Client<SyncMethods>,
  say: SyncMessage,
  call: { timeoutMs: number; signal?: AbortSignal },
): Promise<SyncReply> {
  const reply =
    say.kind === 'key'
      ? await client.key({}, call)
      : say.kind === 'begin'
        ? await client.begin({ nonce: say.nonce }, call)
        : await client.step({ session: say.session, sealed: say.sealed }, call)
  return read(reply)
}

/** Without fields that are there and say nothing. */
function read(reply: SyncReplyMessage): SyncReply {
  if (reply.state === 'key') {
    const { certificate, ...rest } = reply
    return certificate === undefined ? rest : { ...rest, certificate }
  }
  if (reply.state === 'failed') {
    const { reason, ...rest } = reply
    return reason === undefined ? rest : { ...rest, reason }
  }
  return reply
}

/** Who asks, as the guard is told. */
function askerOf({
  peer,
  connection: { remoteAddress, relayed },
}: {
  readonly peer: PeerId
  readonly connection: ConnectionFacts
}): Asker {
  const how = relayed ? `relayed by ${remoteAddress}` : remoteAddress
  return { peer, connection: how.slice(0, MAX_CONNECTION_LENGTH) }
}

function refused({ code, reason }: SyncReplyMessage & { state: 'failed' }): RemoteError {
  const init = reason === undefined ? {} : { reason }
  return new RemoteError(code, 'Cannot fetch sync key: the peer refuses', init)
}

function unexpected(): RemoteError {
  const init = { reason: 'bad_answer', ran: 'maybe' } as const
  return new RemoteError('data_loss', 'Cannot fetch sync key: the answer is none', init)
}
