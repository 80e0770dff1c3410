/**
 * A guard in a thread of its own, as the thread beside it sees it: the same doors as `openGuard()` has, and no key, rule or
 * file behind them. Entry `@stronghold/guard/keeper`.
 */
import type { VaultInit } from '@stronghold/vault'

import type {
  Answer,
  Asker,
  Guard,
  NetworkDoor,
  OwnerDoor,
  PairAnswer,
  PeerRequest,
  SyncMessage,
  SyncReply,
  UsablePage,
  WantedRecords,
} from '../doors.ts'
import { DEFAULT_KEEPER_LIMITS } from '../limits.ts'
import type { GuardLimits, KeeperLimits } from '../limits.ts'
import { Topic } from '../topic.ts'
import { DoorError } from './messages.ts'
import { ownerOver } from './owner-methods.ts'
import { PortCaller } from './port.ts'
import { startKeeper } from './start.ts'
import type { KeeperSeams } from './start.ts'
import type { UnlockAtStart } from './worker.ts'

export type * from '../doors.ts'
export type { GuardLimits, KeeperLimits }
export type { Direction } from '../rules/diff.ts'
export type { WrittenRule } from '../rules/parse.ts'
export type { Effect } from '../rules/rule.ts'
export type { OwnerSocketInit } from './owner-door.ts'
export type { SocketLimits } from './socket.ts'
export type { KeeperSeams, Thread } from './start.ts'
export type { KeeperData, UnlockAtStart } from './worker.ts'

/** Which vault, how it is guarded, and where its owner comes in. */
export interface KeeperInit {
  /** By its directory; everything else as `openVault` takes it. */
  readonly vault: Omit<VaultInit, 'at'> & { readonly at: string }
  /** The peer id under which the vault is served: tickets are bound to it. */
  readonly peer: string
  /** Bounds that differ from `DEFAULT_GUARD_LIMITS` and `DEFAULT_KEEPER_LIMITS`. */
  readonly limits?: Partial<GuardLimits & KeeperLimits>
  /** Whoever approves shows again what unlocks the vault. Default false. */
  readonly confirmApprovals?: boolean
  /** The owner's socket, at most 103 bytes of path, and the files of the two tokens. Default: no socket. */
  readonly socket?: {
    readonly path: string
    readonly tokens: { readonly admin: string; readonly approver: string }
  }
  /** Default: it starts locked. */
  readonly unlock?: UnlockAtStart
}

/** A guard that lives in another thread. */
export interface Keeper extends Guard {
  /** Settles when the thread is gone: with nothing after `close()`, else with why. Everything that waits is answered then. */
  readonly ended: Promise<Error | undefined>
}

/**
 * Opens a vault and puts a guard in front of it, in a thread of its own.
 *
 * `owner` is for whoever runs this process; hand on `network` alone. A thread that ends answers all that waits as
 * `unavailable`, `ran: 'maybe'`.
 *
 * @throws `VaultError` as `openVault` and, with `unlock`, the owner door say
 */
export async function openKeeper(init: KeeperInit, seams: KeeperSeams = {}): Promise<Keeper> {
  const { vault, peer, limits: given = {}, socket, unlock, confirmApprovals = false } = init
  const limits: KeeperLimits & Partial<GuardLimits> = { ...DEFAULT_KEEPER_LIMITS, ...given }
  const thread = await startKeeper(
    { vault, peer, guardLimits: given, limits, socket, unlock, confirmApprovals },
    seams,
  )
  const cuts = new Topic<string>()
  const network = new PortCaller(thread.network, limits, (peerCut) => {
    cuts.publish(String(peerCut))
  })
  const owner = new PortCaller(thread.owner, limits)
  const ended = thread.ended.then((error) => {
    const why = error ?? new DoorError('unavailable', 'Cannot reach keeper: it is closed', 'no')
    network.end(why)
    owner.end(why)
    cuts.end()
    return error
  })
  const close = async (): Promise<void> => {
    await thread.close()
    await ended
  }
  return {
    network: new NetworkClient(network, cuts),
    owner: ownerClient(owner),
    ended,
    close,
    [Symbol.asyncDispose]: close,
  }
}

function ownerClient(port: PortCaller): OwnerDoor {
  return ownerOver({
    call: (method, args, signal) =>
      port.call(method, args, { signal, waits: signal !== undefined }),
    stream: (method, args, signal) => port.stream(method, args, signal),
  })
}

class NetworkClient implements NetworkDoor {
  readonly #port: PortCaller
  readonly #cuts: Topic<string>

  constructor(port: PortCaller, cuts: Topic<string>) {
    this.#port = port
    this.#cuts = cuts
  }

  submit(asker: Asker, request: PeerRequest): Promise<Answer> {
    const { id, steps, reason, timeoutMs, receipt } = request
    return this.#answer('submit', [of(asker), { id, steps, reason, timeoutMs, receipt }])
  }

  wait(asker: Asker, id: Uint8Array, options: { signal?: AbortSignal } = {}): Promise<Answer> {
    return this.#answer('wait', [of(asker), id], { ...options, waits: true })
  }

  cancel(asker: Asker, id: Uint8Array): Promise<Answer> {
    return this.#answer('cancel', [of(asker), id])
  }

  async acknowledge(asker: Asker, ids: readonly Uint8Array[]): Promise<void> {
    await this.#port.call('acknowledge', [of(asker), ids])
  }

  async list(asker: Asker, wanted: WantedRecords = {}): Promise<UsablePage> {
    return (await this.#port.call('list', [of(asker), wanted])) as UsablePage
  }

  async standing(asker: Asker): Promise<'known' | 'unknown' | 'blocked'> {
    return (await this.#port.call('standing', [of(asker)])) as 'known' | 'unknown' | 'blocked'
  }

  /** Heard from the thread's start on: nobody who loses his standing while this is called is missed. */
  cutOff({ signal }: { signal: AbortSignal }): AsyncIterable<string> {
    return this.#cuts.listen(signal)
  }

  pairing({ signal }: { signal: AbortSignal }): AsyncIterable<number> {
    return this.#port.stream('pairing', [], signal) as AsyncIterable<number>
  }

  async head(): Promise<Uint8Array | undefined> {
    return (await this.#port.call('head', [])) as Uint8Array | undefined
  }

  async pair(asker: Asker, ticket: Uint8Array, proof: Uint8Array): Promise<PairAnswer> {
    return (await this.#port.call('pair', [of(asker), ticket, proof])) as PairAnswer
  }

  async sync(asker: Asker, message: SyncMessage): Promise<SyncReply> {
    return (await this.#port.call('sync', [of(asker), message])) as SyncReply
  }

  /** What a peer is told is an answer, also where the port or the thread fails. */
  async #answer(
    method: string,
    args: readonly unknown[],
    options: { signal?: AbortSignal; waits?: boolean } = {},
  ): Promise<Answer> {
    try {
      return (await this.#port.call(method, args, options)) as Answer
    } catch (error) {
      if (error instanceof DoorError) {
        const { code, ran, message } = error
        return { state: 'failed', code, ran, message }
      }
      // No form as plain values: never sent.
      if (!(error instanceof TypeError) && !(error instanceof RangeError)) throw error
      const message = 'Cannot run request: it cannot be read'
      return { state: 'failed', code: 'invalid_argument', ran: 'no', message }
    }
  }
}

function of({ peer, connection }: Asker): Asker {
  return { peer, connection }
}
