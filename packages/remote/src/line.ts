/**
 * The line to a vault elsewhere: calls that are made again after a broken connection, answers whose heads are looked at,
 * acknowledgements that go along. It knows messages, and nothing of procedures.
 */
import { isP2pError } from '@stronghold/p2p'
import type { CallOptions, Client, Node, Target } from '@stronghold/p2p'

import { Acknowledged } from './acknowledged.ts'
import type { Timers } from './acknowledged.ts'
import { fromP2p, RemoteError } from './errors.ts'
import type { Heads } from './heads.ts'
import {
  CALL_TIMEOUT_MS,
  DEADLINE_GRACE_MS,
  MAX_LOST_MS,
  MAX_RETRY_MS,
  MAX_SHUT_MS,
  MIN_RETRY_MS,
} from './limits.ts'
import type { AnswerMessage } from './messages.ts'
import { vaultProtocol } from './protocol.ts'
import type { VaultMethods } from './protocol.ts'

/** How long something is tried, and who may end it. */
export interface Patience {
  /** When to give up, by the own clock. */
  untilMs: number
  /** May it be there already: then it is asked about again after whatever failed. */
  taken: boolean
  /** Was anything heard of it: then a door that is shut now may open again until its time is over. Default false. */
  readonly heard?: boolean
  readonly signal?: AbortSignal | undefined
  /** How long the other side may take besides. Default 0. */
  readonly holdMs?: number
}

/** The time of the machine. No timer keeps a process alive that has nothing else to do. */
export const systemTimers: Timers = Object.freeze({
  nowMs: () => Date.now(),
  setTimer: (delayMs: number, fire: () => void) => {
    const timer: unknown = setTimeout(fire, delayMs)
    if (typeof timer === 'object' && timer !== null && 'unref' in timer) {
      ;(timer as { unref(): void }).unref()
    }
    return () => {
      clearTimeout(timer as Parameters<typeof clearTimeout>[0])
    }
  },
})

/** The line to one vault. */
export class Line {
  readonly heads: Heads
  readonly acknowledged: Acknowledged
  readonly timers: Timers
  readonly #client: Client<VaultMethods>
  #closed = false

  constructor(node: Node, target: Target, heads: Heads, timers: Timers) {
    this.heads = heads
    this.timers = timers
    this.#client = node.client(vaultProtocol, target)
    this.acknowledged = new Acknowledged(timers, (ids) => {
      if (this.#closed) return
      this.#client.acknowledge({ ids }).catch(() => {})
    })
  }

  /**
   * Makes a call until there is an answer.
   *
   * @throws `RemoteError`; the signal's reason; what `take` of heads throws
   */
  async ask(
    call: (client: Client<VaultMethods>, options: CallOptions) => Promise<AnswerMessage>,
    patience: Patience,
  ): Promise<AnswerMessage> {
    const answer = { since: this.heads.mark() }
    const message = await this.call((client, options) => {
      answer.since = this.heads.mark()
      return call(client, options)
    }, patience)
    const head = message.state === 'pending' ? undefined : message.head
    if (head !== undefined) this.heads.take(head, answer.since)
    return message
  }

  /** The same for any answer. */
  async call<T>(
    call: (client: Client<VaultMethods>, options: CallOptions) => Promise<T>,
    patience: Patience,
  ): Promise<T> {
    const { signal, holdMs = 0 } = patience
    // What was answered once is worth waiting for until its time is over; what never was may meet a peer that lets us in and
    // throws us out for ever.
    let lostAtMs = patience.taken ? Infinity : undefined
    let shutSinceMs: number | undefined
    for (let pauseMs = MIN_RETRY_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_RETRY_MS)) {
      this.assertOpen()
      signal?.throwIfAborted()
      const leftMs = Math.max(1, patience.untilMs - this.timers.nowMs())
      const timeoutMs = Math.min(leftMs, holdMs + CALL_TIMEOUT_MS)
      try {
        return await call(this.#client, { timeoutMs, ...(signal === undefined ? {} : { signal }) })
      } catch (error) {
        signal?.throwIfAborted()
        if (!isPassing(error)) throw fromP2p(error)
        patience.taken ||= error.ran !== 'no'
        if (!patience.taken) throw fromP2p(error)
        if (patience.untilMs - this.timers.nowMs() <= pauseMs) throw tooLate(error)
        const nowMs = this.timers.nowMs()
        shutSinceMs = isShut(error) ? (shutSinceMs ?? nowMs) : undefined
        const shutForMs = shutSinceMs === undefined ? 0 : nowMs - shutSinceMs
        if (shutForMs >= MAX_SHUT_MS && patience.heard !== true) throw fromP2p(error)
        lostAtMs ??= nowMs + MAX_LOST_MS
        if (nowMs >= lostAtMs) throw fromP2p(error)
      }
      await this.pause(pauseMs, signal)
    }
  }

  /** Waits. @throws the signal's reason */
  async pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    const over = Promise.withResolvers<undefined>()
    const stop = this.timers.setTimer(delayMs, () => {
      over.resolve(undefined)
    })
    const giveUp = (): void => {
      stop()
      over.resolve(undefined)
    }
    signal?.addEventListener('abort', giveUp, { once: true })
    await over.promise
    signal?.removeEventListener('abort', giveUp)
    signal?.throwIfAborted()
  }

  /** When to give up on what the other side ends by itself. */
  untilMs(timeoutMs: number): number {
    return this.timers.nowMs() + timeoutMs + DEADLINE_GRACE_MS
  }

  /** @throws `RemoteError` `failed_precondition` */
  assertOpen(): void {
    if (this.#closed) {
      throw new RemoteError('failed_precondition', 'Cannot use vault: it was closed here')
    }
  }

  /** Tells what has arrived, and asks no more. */
  close(): void {
    if (this.#closed) return
    this.acknowledged.flush()
    this.#closed = true
  }
}

/** Whether a call failed for what may be over soon. */
function isPassing(error: unknown): error is Error & { readonly ran: 'no' | 'maybe' | 'yes' } {
  if (isP2pError(error, 'unavailable')) return true
  return isP2pError(error, 'deadline_exceeded') && error.layer === 'request'
}

/** Whether the other side closed a connection that was proven before it said anything on it. */
function isShut(error: unknown): boolean {
  return isP2pError(error, 'unavailable') && error.reason === 'closed_at_once'
}

function tooLate(cause: unknown): RemoteError {
  return new RemoteError('deadline_exceeded', 'Cannot finish request: its time is over', {
    reason: 'expired',
    ran: 'maybe',
    cause,
  })
}
