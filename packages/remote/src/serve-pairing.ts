/**
 * Pairing on the side that opened tickets: offered only while one is open, and whatever is right or wrong about a proof the
 * guard says. It knows no ticket.
 */
import { equalBytes } from '@stronghold/core'
import type { NetworkDoor, PairAnswer } from '@stronghold/guard'
import { P2pError } from '@stronghold/p2p'
import type { Node, PeerId } from '@stronghold/p2p'

import { systemTimers } from './line.ts'
import type { Timers } from './acknowledged.ts'
import { KEEP_PAIRING_MS, MAX_KEPT_PAIRINGS } from './limits.ts'
import type { PairAnswerMessage, PairMessage } from './messages.ts'
import { pairProtocol } from './pair.ts'

/** What the guard has to offer for pairing. */
export interface PairingDoor {
  readonly network: Pick<NetworkDoor, 'pair'>
}

/** A pairing that was taken, for a joiner that did not hear of it. */
interface Kept {
  readonly peer: PeerId
  readonly message: PairMessage
  readonly answer: PairAnswerMessage
  readonly untilMs: number
}

/** Pairing on a node. */
export interface PairingService extends AsyncDisposable {
  /** How many tickets are open now. With none the protocol is not there, but for a joiner that lost its answer. */
  setOpen(tickets: number): void
}

/**
 * Serves pairing on a node, from the first `setOpen` with a ticket on. A joiner that was cut off before its answer came may ask
 * again for a minute.
 *
 * @param timers - handed in by tests
 */
export function servePairing(
  node: Node,
  guard: PairingDoor,
  timers: Timers = systemTimers,
): PairingService {
  return new Pairing(node, guard, timers)
}

class Pairing implements PairingService {
  readonly #node: Node
  readonly #guard: PairingDoor
  readonly #timers: Timers
  #kept: Kept[] = []
  #tickets = 0
  #served: Disposable | undefined
  #stop: (() => void) | undefined

  constructor(node: Node, guard: PairingDoor, timers: Timers) {
    this.#node = node
    this.#guard = guard
    this.#timers = timers
  }

  setOpen(tickets: number): void {
    this.#tickets = tickets
    this.#offer()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tickets = 0
    this.#kept = []
    this.#offer()
  }

  #offer(): void {
    this.#stop?.()
    this.#stop = undefined
    const now = this.#timers.nowMs()
    this.#kept = this.#kept.filter(({ untilMs }) => untilMs > now)
    const [first] = this.#kept
    if (this.#tickets === 0 && first === undefined) {
      this.#served?.[Symbol.dispose]()
      this.#served = undefined
      return
    }
    if (first !== undefined) {
      this.#stop = this.#timers.setTimer(first.untilMs - now, () => {
        this.#offer()
      })
    }
    this.#served ??= this.#node.serve(
      pairProtocol,
      {
        pair: (message, { peer, connection }) =>
          this.#pair(message, peer, connection.remoteAddress),
      },
      { inbound: ({ peer }) => (this.#mayAsk(peer) ? 'allow' : 'deny') },
    )
  }

  #mayAsk(peer: PeerId): boolean {
    return this.#tickets > 0 || this.#kept.some((kept) => kept.peer === peer)
  }

  async #pair(message: PairMessage, peer: PeerId, connection: string): Promise<PairAnswerMessage> {
    const { ticket, proof } = message
    const kept = this.#kept.find(
      (one) =>
        one.peer === peer &&
        equalBytes(one.message.ticket, ticket) &&
        equalBytes(one.message.proof, proof),
    )
    if (kept !== undefined) return kept.answer
    const answer: PairAnswer = await this.#guard.network.pair({ peer, connection }, ticket, proof)
    if (!answer.paired) throw notTaken()
    const untilMs = this.#timers.nowMs() + KEEP_PAIRING_MS
    const said = { proof: answer.proof, name: answer.name }
    this.#kept = [...this.#kept, { peer, message, answer: said, untilMs }].slice(-MAX_KEPT_PAIRINGS)
    this.#offer()
    return said
  }
}

/** Nothing is kept of it, as of what never ran: strangers may not fill what is kept of those who are known. */
function notTaken(): P2pError {
  return new P2pError('permission_denied', 'Cannot pair: the ticket is not taken', {
    layer: 'handler',
    ran: 'no',
    reason: 'ticket_refused',
  })
}
