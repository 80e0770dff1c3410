/**
 * What a relay allows one connection, counted at our end: bytes and time. Half used up it is tired, and new requests go
 * elsewhere; used up, the connection ends with an error that says so, before the relay cuts it without one.
 */
import type { Clock } from '../clock.ts'
import type { Pipe, PipeEvents } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import type { CircuitLimit } from './relay-message.ts'

/** The `reason` of an error that ended a connection whose bytes were used up. */
export const BUDGET_BYTES = 'relay_bytes'
/** The `reason` of an error that ended a connection whose time was used up. */
export const BUDGET_TIME = 'relay_time'

// Ours. From here on a connection is worth being renewed: what is under way may still finish.
const TIRED_PART = 0.5
// Ours. What handshakes, headers and other messages of a connection take of its bytes.
const OVERHEAD_BYTES = 4096
const OVERHEAD_PART = 0.02
// Ours. The relay's clock started before ours, and its answer travelled; what is under way gets a clean end.
const LATEST_PART = 0.95

// Ours. How long the last bytes of a connection that is used up may take to leave.
const LINGER_MS = 1000

/** The budget of one connection. */
export class Budget {
  readonly limit: CircuitLimit
  readonly #clock: Clock
  readonly #startedMs: number
  #bytes = 0

  /** From now on. */
  constructor(limit: CircuitLimit, clock: Clock) {
    this.limit = limit
    this.#clock = clock
    this.#startedMs = clock.nowMs()
  }

  /** Bytes used, of both directions: some relays count them together, so that is what is safe. */
  get usedBytes(): number {
    return this.#bytes
  }

  /** Time used. */
  get ageMs(): number {
    return this.#clock.nowMs() - this.#startedMs
  }

  /** Whether half of it is used up: what is new had better go elsewhere. */
  get tired(): boolean {
    const { bytes = Infinity, durationMs = Infinity } = this.limit
    return this.#bytes >= bytes * TIRED_PART || this.ageMs >= durationMs * TIRED_PART
  }

  /** The longest message that may pass, on a connection that carries nothing else. */
  get mostBytes(): number {
    const { bytes = Infinity } = this.limit
    return Math.max(0, bytes * (1 - OVERHEAD_PART) - OVERHEAD_BYTES)
  }

  /** When its time is used up, from its start. */
  get latestMs(): number | undefined {
    const { durationMs } = this.limit
    return durationMs === undefined ? undefined : Math.max(1, durationMs * LATEST_PART)
  }

  /** Counts bytes. False: they are more than there is. */
  take(bytes: number): boolean {
    this.#bytes += bytes
    return this.#bytes <= (this.limit.bytes ?? Infinity)
  }
}

/** A pipe through a relay, ended by its budget. */
export class BudgetPipe implements Pipe {
  readonly #below: Pipe
  readonly #budget: Budget
  readonly #clock: Clock
  readonly #stopTimer: (() => void) | undefined
  #events: PipeEvents | undefined
  #over = false

  /** Takes the pipe over. The time counts from the budget's start. */
  constructor(below: Pipe, budget: Budget, clock: Clock) {
    this.#below = below
    this.#budget = budget
    this.#clock = clock
    const { latestMs } = budget
    if (latestMs === undefined) return
    this.#stopTimer = clock.setTimer(latestMs, () => {
      this.destroy(spent(BUDGET_TIME, `its ${budget.limit.durationMs ?? 0} ms are over`))
    })
  }

  get queuedBytes(): number {
    return this.#below.queuedBytes
  }

  get closed(): boolean {
    return this.#over || this.#below.closed
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.closed) return true
    const first = chunks.findIndex(({ byteLength }) => !this.#budget.take(byteLength))
    if (first === -1) return this.#below.write(chunks)
    // What still fits may be the answers to much of what is under way.
    this.#below.write(chunks.slice(0, first))
    this.#below.end()
    this.#over = true
    const error = spent(BUDGET_BYTES, this.#bytesState)
    const stopTimer = this.#clock.setTimer(LINGER_MS, () => {
      this.#below.destroy(error)
    })
    this.#below.listen({ data: () => {}, drain: () => {}, end: () => {}, close: stopTimer })
    this.#below.resume()
    queueMicrotask(() => {
      this.#tellClose(error)
    })
    return true
  }

  end(): void {
    this.#below.end()
  }

  destroy(error?: Error): void {
    this.#stopTimer?.()
    this.#below.destroy(error)
  }

  pause(): void {
    this.#below.pause()
  }

  resume(): void {
    this.#below.resume()
  }

  unshift(chunk: Uint8Array): void {
    this.#below.unshift(chunk)
    // It is counted a second time when it comes again.
    this.#budget.take(-chunk.byteLength)
  }

  listen(events: PipeEvents): void {
    this.#events = events
    this.#below.listen({
      borrows: events.borrows,
      data: (chunk) => {
        if (this.#budget.take(chunk.byteLength)) this.#events?.data(chunk)
        else this.destroy(spent(BUDGET_BYTES, this.#bytesState))
      },
      drain: () => {
        this.#events?.drain()
      },
      end: () => {
        this.#events?.end()
      },
      close: (error) => {
        this.#tellClose(error)
      },
    })
  }

  #tellClose(error: Error | undefined): void {
    this.#stopTimer?.()
    const events = this.#events
    this.#events = undefined
    events?.close(error)
  }

  get #bytesState(): string {
    return `its ${this.#budget.limit.bytes ?? 0} bytes are used up`
  }
}

function spent(reason: string, state: string): P2pError {
  const text = `Cannot keep the relayed connection: ${state}`
  return new P2pError('resource_exhausted', text, { layer: 'relay', reason, ran: 'maybe' })
}
