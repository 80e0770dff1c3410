/**
 * A guarded vault, served over p2p: what arrives goes to the guard's network door, always with the peer id that the connection
 * proves. It knows no rule: known and not blocked is let through, everybody else is denied, all else is the guard's.
 */
import { parsePattern } from '@stronghold/core'
import type { Answer, Asker, NetworkDoor } from '@stronghold/guard'
import { isP2pError, P2pError } from '@stronghold/p2p'
import type { ConnectionFacts, Node, PeerId, RequestFacts } from '@stronghold/p2p'
import { isVaultError } from '@stronghold/vault'

import { CUT_AFTER_MS, MAX_CONNECTION_LENGTH, MAX_HOLD_MS, MAX_KNOWN_PEERS } from './limits.ts'
import type { AnswerMessage, ListingMessage, ListMessage } from './messages.ts'
import { vaultProtocol } from './protocol.ts'

/**
 * Serves a guarded vault to other peers until the result is disposed of. Peers that lose their standing lose their connections
 * at once.
 *
 * @param guard - what of it the network may use
 * @throws `TypeError` where a vault is served on this node already
 */
export function serveVault(node: Node, guard: { readonly network: NetworkDoor }): AsyncDisposable {
  const { network } = guard
  const entrance = new Entrance(node, network)
  const served = node.serve(
    vaultProtocol,
    {
      submit: async ({ id, steps, reason, timeoutMs, receipt, acknowledge }, context) => {
        const asker = askerOf(context)
        forget(network, asker, acknowledge)
        return reply(network.submit(asker, { id, steps, reason, timeoutMs, receipt }))
      },
      wait: async ({ id, holdMs, acknowledge }, context) => {
        const asker = askerOf(context)
        forget(network, asker, acknowledge)
        const time = AbortSignal.timeout(Math.min(holdMs, MAX_HOLD_MS))
        const signal = AbortSignal.any([context.signal, time])
        return reply(network.wait(asker, id, { signal }))
      },
      cancel: ({ id }, context) => reply(network.cancel(askerOf(context), id)),
      acknowledge: async ({ ids }, context) => {
        await network.acknowledge(askerOf(context), ids).catch(told)
        return undefined
      },
      list: (request, context) => list(network, askerOf(context), request),
    },
    { inbound: (request) => entrance.rule(request) },
  )
  return {
    [Symbol.asyncDispose]: async () => {
      served[Symbol.dispose]()
      await entrance.close()
    },
  }
}

/** Who may come in at all. Whoever is known is not asked about again until the guard says otherwise. */
class Entrance {
  readonly #node: Node
  readonly #network: NetworkDoor
  readonly #known = new Set<PeerId>()
  /** Whose connections are about to end. */
  readonly #leaving = new Map<
    PeerId,
    { readonly timer: NodeJS.Timeout; readonly ids: Set<string> }
  >()
  readonly #closing = new AbortController()
  readonly #watch: Promise<void>
  #watching = true

  constructor(node: Node, network: NetworkDoor) {
    this.#node = node
    this.#network = network
    this.#watch = this.#cut()
  }

  rule({ peer, connection }: RequestFacts): 'allow' | Promise<'allow' | 'deny'> {
    return this.#known.has(peer) ? 'allow' : this.#ask(peer, connection)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#watch
    for (const [peer, { timer }] of this.#leaving) {
      clearTimeout(timer)
      this.#end(peer)
    }
  }

  async #ask(peer: PeerId, connection: ConnectionFacts): Promise<'allow' | 'deny'> {
    const standing = await this.#network.standing(askerOf({ peer, connection }))
    if (standing !== 'known') return 'deny'
    // Remembered only while we hear of whoever is to be forgotten.
    if (this.#watching) this.#remember(peer)
    return 'allow'
  }

  #remember(peer: PeerId): void {
    if (this.#known.size >= MAX_KNOWN_PEERS) {
      for (const oldest of this.#known) {
        this.#known.delete(oldest)
        break
      }
    }
    this.#known.add(peer)
  }

  async #cut(): Promise<void> {
    const { signal } = this.#closing
    try {
      for await (const text of this.#network.cutOff({ signal })) {
        const peer = text as PeerId
        this.#known.delete(peer)
        this.#leave(peer)
      }
    } catch {
      // Its calls fail as well, and say so to whoever asks.
    }
    this.#watching = false
    this.#known.clear()
  }

  /** What it waits for is refused at this moment: that shall leave before its connections end. */
  #leave(peer: PeerId): void {
    const ids = this.#node.connections(peer).map(({ id }) => id)
    const leaving = this.#leaving.get(peer)
    if (leaving !== undefined) {
      for (const id of ids) leaving.ids.add(id)
      return
    }
    const timer = setTimeout(() => {
      this.#end(peer)
    }, CUT_AFTER_MS)
    this.#leaving.set(peer, { timer, ids: new Set(ids) })
  }

  #end(peer: PeerId): void {
    const ids = this.#leaving.get(peer)?.ids
    this.#leaving.delete(peer)
    // Who was let in again meanwhile, and came, stays.
    if (!this.#node.connections(peer).some(({ id }) => ids?.has(id) === true)) return
    // To close a connection waits for the other side's consent; to block does not. Whoever comes again is asked about.
    try {
      const wasBlocked = this.#node.blocked.includes(peer)
      this.#node.block(peer)
      if (!wasBlocked) this.#node.unblock(peer)
    } catch {
      // A node that has stopped has no connections.
    }
  }
}

/** Who asks, as the guard is told. */
function askerOf({
  peer,
  connection: { remoteAddress, relayed },
}: {
  peer: PeerId
  connection: ConnectionFacts
}): Asker {
  const how = relayed ? `relayed by ${remoteAddress}` : remoteAddress
  return { peer, connection: how.slice(0, MAX_CONNECTION_LENGTH) }
}

/** Answers that have arrived need not be kept. That it could not be noted is nobody's business. */
function forget(network: NetworkDoor, asker: Asker, ids: readonly Uint8Array[] | undefined): void {
  if (ids !== undefined && ids.length > 0) network.acknowledge(asker, ids).catch(() => {})
}

/** An answer as it travels. */
async function reply(answer: Promise<Answer>): Promise<AnswerMessage> {
  return answer.catch(told)
}

async function list(
  network: NetworkDoor,
  asker: Asker,
  { pattern, after }: ListMessage,
): Promise<ListingMessage> {
  assertPattern(pattern)
  const from = after === undefined ? {} : { after }
  return await network.list(asker, { pattern, ...from }).catch(told)
}

function assertPattern(text: string): void {
  try {
    parsePattern(text)
  } catch (cause) {
    throw new P2pError('invalid_argument', (cause as Error).message, {
      layer: 'handler',
      ran: 'no',
      cause,
    })
  }
}

/** What the guard itself failed with, as the asker hears it: its code, and no more than a code says. */
function told(error: unknown): never {
  if (isP2pError(error) || !isVaultError(error)) throw error
  throw new P2pError(error.code, 'Cannot run request: the vault refuses', {
    layer: 'handler',
    ran: 'maybe',
    cause: error,
    ...(error.reason === undefined ? {} : { reason: error.reason }),
  })
}
