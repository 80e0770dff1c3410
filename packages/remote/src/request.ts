/**
 * One request to a vault elsewhere, from being sent to its answer: taken, waited for, come back to, taken back. It knows no
 * procedure; what outputs must be is handed in.
 */
import { toHex } from '@stronghold/core'
import type { Pending, PendingState } from '@stronghold/vault'

import { oneSentence, RemoteError } from './errors.ts'
import type { Line } from './line.ts'
import { MAX_HOLD_MS, MAX_RETRY_MS, MIN_RETRY_MS } from './limits.ts'
import type { AnswerMessage, SubmitMessage } from './messages.ts'

/** A request to a vault elsewhere. It stays there when whoever asked goes away: `resume` of the vault comes back to it. */
export interface RemotePending<Output> extends Pending<Output> {
  /** When nobody decides any more, by the other side's clock; `undefined` where it did not have to say so. */
  readonly expiresAtMs: number | undefined
  /** What proves it, once there is a result and where one was asked for. Verified. */
  readonly receipt: Uint8Array | undefined
}

/** Raw outputs, one per step. */
export type Outputs = readonly Readonly<Record<string, unknown>>[]

/** What came of a request. */
export interface Done {
  readonly outputs: Outputs
  readonly receipt: Uint8Array | undefined
}

/** What a request needs to know about what it is for. */
export interface RequestInit<Output> {
  /** 16 bytes. */
  readonly id: Uint8Array
  /** Whether the answer may be forgotten there once it is here: not where the caller gave the id, who may ask again. */
  readonly forget: boolean
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  /** Verifies what was answered and reads the outputs. @throws `RemoteError` */
  read(done: Done): Output | Promise<Output>
}

/** See `RemotePending`. */
export class RemoteRequest<Output> implements RemotePending<Output> {
  readonly #line: Line
  readonly #init: RequestInit<Output>
  readonly #answer = Promise.withResolvers<Output>()
  readonly #patience: { untilMs: number; taken: boolean; readonly signal: AbortSignal | undefined }
  #waits = false
  /** What failed because the vault is locked is decided by nobody. */
  #isUndecided = false
  #message: SubmitMessage | undefined
  state: PendingState = 'pending'
  expiresAtMs: number | undefined
  receipt: Uint8Array | undefined

  constructor(line: Line, init: RequestInit<Output>) {
    this.#line = line
    this.#init = init
    const { timeoutMs, signal } = init
    this.#patience = { untilMs: line.untilMs(timeoutMs), taken: false, signal }
    // Whoever never asks for the result is not told by a crash that there was none.
    this.#answer.promise.catch(() => {})
  }

  get id(): string {
    return toHex(this.#init.id)
  }

  /** Sends it; settles at the first answer there is. @throws `RemoteError` where none came; the signal's reason */
  async submit(message: SubmitMessage): Promise<void> {
    this.#message = message
    await this.#take(await this.#send(message))
  }

  /** Asks how it stands, where it was sent before. @throws `RemoteError` `not_found` where nobody knows it */
  async look(): Promise<void> {
    this.#patience.taken = true
    const message = { id: this.#init.id, holdMs: 0 }
    const answer = await this.#line.ask(
      (client, options) => client.wait(message, options),
      this.#patience,
    )
    if (answer.state === 'failed' && answer.code === 'not_found') throw failureOf(answer)
    await this.#take(answer)
  }

  result(): Promise<Output> {
    if (!this.#waits && this.state === 'pending') {
      this.#waits = true
      this.#wait().catch((error: unknown) => {
        this.#answer.reject(error)
      })
    }
    return this.#answer.promise
  }

  async cancel(): Promise<boolean> {
    if (this.state !== 'pending' && !this.#isUndecided) return this.state === 'canceled'
    const { id } = this.#init
    const patience = { untilMs: this.#line.untilMs(0), taken: true }
    const answer = await this.#line.ask(
      (client, options) => client.cancel({ id }, options),
      patience,
    )
    if (isLocked(answer)) throw failureOf(answer)
    if (this.#isUndecided && isCanceled(answer)) this.state = 'canceled'
    await this.#take(answer)
    return this.state === 'canceled'
  }

  #send(message: SubmitMessage): Promise<AnswerMessage> {
    const whole = { ...message, ...this.#line.acknowledged.take() }
    return this.#line.ask((client, options) => client.submit(whole, options), this.#patience)
  }

  async #wait(): Promise<void> {
    const { id } = this.#init
    const { signal } = this.#patience
    let pauseMs = 0
    while (this.state === 'pending') {
      const leftMs = this.#patience.untilMs - this.#line.timers.nowMs()
      const holdMs = Math.max(0, Math.min(leftMs, MAX_HOLD_MS))
      const whole = { id, holdMs, ...this.#line.acknowledged.take() }
      this.#patience.taken = true
      const answer = await this.#line.ask((client, options) => client.wait(whole, options), {
        ...this.#patience,
        heard: true,
        holdMs,
      })
      if (leftMs <= 0 && answer.state === 'pending') throw expired()
      if (!isLocked(answer)) {
        pauseMs = 0
        await this.#take(answer)
        continue
      }
      if (leftMs <= 0) throw failureOf(answer)
      // A vault that is locked takes it again and keeps it, and once unlocked runs only what is shown again.
      await this.#line.pause(pauseMs, signal)
      pauseMs = Math.min(Math.max(2 * pauseMs, MIN_RETRY_MS), MAX_RETRY_MS)
      if (this.#message === undefined) continue
      const again = await this.#send(this.#message)
      if (!isLocked(again)) await this.#take(again)
    }
  }

  async #take(answer: AnswerMessage): Promise<void> {
    if (this.state !== 'pending') return
    if (answer.state === 'pending') {
      this.expiresAtMs = answer.expiresAtMs
      this.#patience.untilMs = this.#line.untilMs(answer.remainingMs)
      return
    }
    if (this.#init.forget) this.#line.acknowledged.add(this.#init.id)
    if (answer.state === 'failed') {
      this.state = isCanceled(answer) ? 'canceled' : 'failed'
      this.#isUndecided = isLocked(answer)
      this.#answer.reject(failureOf(answer))
      return
    }
    this.state = 'done'
    this.receipt = answer.receipt
    try {
      const { outputs, receipt } = answer
      this.#answer.resolve(await this.#init.read({ outputs, receipt }))
    } catch (error) {
      this.state = 'failed'
      this.#answer.reject(error)
    }
  }
}

type Failure = AnswerMessage & { readonly state: 'failed' }

function isLocked(answer: AnswerMessage): answer is Failure {
  return answer.state === 'failed' && answer.reason === 'locked'
}

function isCanceled(answer: AnswerMessage): boolean {
  return answer.state === 'failed' && answer.reason === 'canceled'
}

function failureOf({ code, ran, reason, message, rule }: Failure): RemoteError {
  return new RemoteError(code, oneSentence(message), {
    ran,
    ...(reason === undefined ? {} : { reason }),
    ...(rule === undefined ? {} : { rule }),
  })
}

function expired(): RemoteError {
  return new RemoteError('deadline_exceeded', 'Cannot finish request: nobody decided in time', {
    reason: 'expired',
    ran: 'maybe',
  })
}
