/** One request to an open vault, from being taken to its answer. It knows no keys and no rows. */
import type { Pending, PendingState, RunOptions } from './contract.ts'
import { VaultError } from './errors.ts'
import { MAX_REASON_LENGTH } from './limits.ts'

/** A request whose answer is still to come. */
export class Request<Output> implements Pending<Output> {
  readonly #newId: () => string
  #id: string | undefined
  state: PendingState = 'pending'
  readonly #answer = Promise.withResolvers<Output>()
  #takeBack: () => boolean = () => true

  /** @param newId - called when the id is first asked for: most requests never are */
  constructor(newId: () => string) {
    this.#newId = newId
    // Whoever never asks for the result is not told by a crash that there was none.
    this.#answer.promise.catch(() => {})
  }

  get id(): string {
    return (this.#id ??= this.#newId())
  }

  result(): Promise<Output> {
    return this.#answer.promise
  }

  async cancel(): Promise<boolean> {
    return this.end(
      'canceled',
      new VaultError('canceled', 'Cannot finish request: it was canceled'),
    )
  }

  /** How it can be taken back, once it waits somewhere. */
  onTakeBack(takeBack: () => boolean): void {
    this.#takeBack = takeBack
  }

  /** Gives up before anything was done. @returns whether it was in time */
  end(state: 'canceled' | 'failed', reason: unknown): boolean {
    if (this.state !== 'pending' || !this.#takeBack()) return false
    this.state = state
    this.#answer.reject(reason)
    return true
  }

  done(output: Output): void {
    if (this.state !== 'pending') return
    this.state = 'done'
    this.#answer.resolve(output)
  }

  failed(error: unknown): void {
    if (this.state !== 'pending') return
    this.state = 'failed'
    this.#answer.reject(error)
  }
}

/**
 * Says that options hold together.
 *
 * @throws `RangeError` for a time-out that is no whole number from 1 or a reason that is too long, `SyntaxError` for a
 *   request id that is not 32 hex digits
 */
export function assertOptions({ reason, timeoutMs, requestId }: RunOptions): void {
  if (timeoutMs !== undefined && !(Number.isSafeInteger(timeoutMs) && timeoutMs > 0)) {
    throw new RangeError(`Cannot wait ${timeoutMs} ms: no whole number from 1`)
  }
  if (reason !== undefined && reason.length > MAX_REASON_LENGTH) {
    throw new RangeError(`Cannot give reason: longer than ${MAX_REASON_LENGTH} characters`)
  }
  if (requestId !== undefined && !/^[0-9a-f]{32}$/.test(requestId)) {
    throw new SyntaxError(
      `Cannot use request id: ${JSON.stringify(requestId.slice(0, 64))} is not 32 hex digits`,
    )
  }
}
