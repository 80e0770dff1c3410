/** A listener that writes down what a pipe tells it, and lets a test wait for it. */
import { concat } from '@stronghold/core'

import type { Pipe, PipeEvents } from '../../src/connection/pipe.ts'

export class Recorder implements PipeEvents {
  readonly chunks: Uint8Array[] = []
  bytes = 0
  drains = 0
  ended = false
  closed = false
  error: Error | undefined
  callsAfterClose = 0
  #waiting: { ready: () => boolean; resolve: () => void }[] = []

  /** Listens, and reads unless told not to. */
  constructor(pipe: Pipe, read = true) {
    pipe.listen(this)
    if (read) pipe.resume()
  }

  all(): Uint8Array {
    return concat(this.chunks)
  }

  data(chunk: Uint8Array): void {
    this.chunks.push(chunk)
    this.bytes += chunk.byteLength
    this.#told()
  }

  drain(): void {
    this.drains++
    this.#told()
  }

  end(): void {
    this.ended = true
    this.#told()
  }

  close(error?: Error): void {
    if (this.closed) this.callsAfterClose++
    this.closed = true
    this.error = error
    this.#told(true)
  }

  until(ready: () => boolean): Promise<void> {
    if (ready()) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ ready, resolve }))
  }

  #told(closing = false): void {
    if (this.closed && !closing) this.callsAfterClose++
    this.#waiting = this.#waiting.filter(({ ready, resolve }) => {
      if (!ready()) return true
      resolve()
      return false
    })
  }
}

/** Lets everything that is ready happen, so many turns of the event loop. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Bytes that differ all the way. */
export function pattern(length: number, seed = 1): Uint8Array {
  let state = seed
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return state >>> 24
  })
}
