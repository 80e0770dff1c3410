/** Two pipes joined in memory, for tests and the in-memory transport; backpressure as on a socket. */
import { systemClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import type { Pipe, PipeEvents } from '../connection/pipe.ts'

/** How a pair behaves. */
export interface PipePairInit {
  /** Bytes in flight in one direction before `write` says false. Default 64 KiB. */
  highWaterBytes?: number
  /** Time from one end to the other. Default 0. */
  latencyMs?: number
  /** Runs the latency. Default the system's. */
  clock?: Clock
  /** Cuts what is written into what arrives: each piece is one `data`. Default in one piece. */
  fragment?: (chunk: Uint8Array) => readonly Uint8Array[]
}

/** Two ends: what one writes the other reads, each write one `data`, on a later microtask. */
export function pipePair(init: PipePairInit = {}): [Pipe, Pipe] {
  const a = new MemoryPipe(init)
  const b = new MemoryPipe(init)
  a.join(b)
  b.join(a)
  return [a, b]
}

class MemoryPipe implements Pipe {
  readonly #highWaterBytes: number
  readonly #fragment: (chunk: Uint8Array) => readonly Uint8Array[]
  readonly #travel: (arrive: () => void) => void
  #other: MemoryPipe | undefined
  #events: PipeEvents | undefined
  #inbox: Uint8Array[] = []
  #inboxBytes = 0
  #paused = true
  #scheduled = false
  #ended = false // we write no more
  #ending = false // the other side writes no more, end not told yet
  #endTold = false
  #closing: { error: Error | undefined } | undefined
  #full = false
  closed = false

  constructor(init: PipePairInit) {
    const { highWaterBytes = 64 * 1024, latencyMs = 0, clock = systemClock } = init
    this.#highWaterBytes = highWaterBytes
    this.#fragment = init.fragment ?? ((chunk) => [chunk])
    this.#travel = (arrive) => {
      if (latencyMs > 0) clock.setTimer(latencyMs, arrive)
      else arrive()
    }
  }

  join(other: MemoryPipe): void {
    this.#other = other
  }

  get queuedBytes(): number {
    return this.#other?.waitingBytes ?? 0
  }

  get waitingBytes(): number {
    return this.#inboxBytes
  }

  write(chunks: readonly Uint8Array[]): boolean {
    const other = this.#other
    if (this.#ended || this.closed || other === undefined) return true
    for (const chunk of chunks) if (chunk.byteLength > 0) other.arrive(chunk)
    this.#full = other.waitingBytes >= this.#highWaterBytes
    return !this.#full
  }

  end(): void {
    if (this.#ended || this.closed) return
    this.#ended = true
    this.#other?.arriveEnd()
    this.#maybeClose()
  }

  destroy(error?: Error): void {
    if (this.closed) return
    this.closed = true
    this.#inbox = []
    this.#inboxBytes = 0
    this.#closing = { error }
    this.#schedule()
    this.#other?.arriveReset(error)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#schedule()
  }

  unshift(chunk: Uint8Array): void {
    this.#inbox.unshift(chunk)
    this.#inboxBytes += chunk.byteLength
    this.#schedule()
  }

  listen(events: PipeEvents): void {
    this.#events = events
    this.#schedule()
  }

  arrive(chunk: Uint8Array): void {
    if (this.closed) return
    // A copy, as between processes: the writer may wipe its own.
    const copy = new Uint8Array(chunk)
    this.#inboxBytes += copy.byteLength
    this.#travel(() => {
      if (this.closed) return
      this.#inbox.push(...this.#fragment(copy))
      this.#schedule()
    })
  }

  arriveEnd(): void {
    this.#travel(() => {
      this.#ending = true
      this.#schedule()
    })
  }

  arriveReset(error: Error | undefined): void {
    this.#travel(() => {
      if (this.closed) return
      this.closed = true
      this.#inbox = []
      this.#inboxBytes = 0
      this.#closing = { error: new Error('the other side reset the pipe', { cause: error }) }
      this.#schedule()
    })
  }

  room(): void {
    if (!this.#full || this.closed) return
    if ((this.#other?.waitingBytes ?? 0) >= this.#highWaterBytes) return
    this.#full = false
    this.#events?.drain()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  #deliver(): void {
    const events = this.#events
    if (events === undefined) return
    if (this.#closing !== undefined) {
      const { error } = this.#closing
      this.#closing = undefined
      this.#events = undefined
      events.close(error)
      return
    }
    while (!this.#paused && this.#inbox.length > 0 && this.#events === events) {
      const chunk = this.#inbox.shift() as Uint8Array
      this.#inboxBytes -= chunk.byteLength
      events.data(chunk)
      if (this.closed) return
    }
    if (this.#events !== events) return this.#schedule()
    this.#other?.room()
    if (this.#ending && !this.#endTold && this.#inbox.length === 0 && !this.#paused) {
      this.#endTold = true
      events.end()
      this.#maybeClose()
    }
  }

  #maybeClose(): void {
    if (!this.#ended || !this.#endTold || this.closed) return
    this.closed = true
    this.#closing = { error: undefined }
    this.#schedule()
  }
}
