/**
 * Reads a pipe piece by piece during a handshake. Holds at most `maxBytes` over its whole life: the byte guard of
 * every phase before a connection is secured.
 */
import { concat } from '@stronghold/core'

import { P2pError } from '../errors.ts'
import type { Layer } from '../errors.ts'

import type { Pipe } from './pipe.ts'

/** What a reader needs to know. */
export interface PipeReaderInit {
  /** Bytes it takes in all before it gives up. */
  maxBytes: number
  /** Named in the error when the pipe ends too early. */
  layer: Layer
}

/** One `read` at a time. */
export class PipeReader {
  readonly #pipe: Pipe
  readonly #maxBytes: number
  readonly #layer: Layer
  #held: Uint8Array[] = []
  #heldBytes = 0
  #takenBytes = 0
  #over: Error | undefined
  #waiting:
    | { length: number; resolve: (chunk: Uint8Array) => void; reject: (error: Error) => void }
    | undefined

  constructor(pipe: Pipe, init: PipeReaderInit) {
    this.#pipe = pipe
    this.#maxBytes = init.maxBytes
    this.#layer = init.layer
    const over = (cause?: Error): void => {
      this.#fail(
        new P2pError('unavailable', 'Cannot finish the handshake: the connection ended', {
          layer: this.#layer,
          cause,
        }),
      )
    }
    pipe.listen({
      data: (chunk) => {
        this.#held.push(chunk)
        this.#heldBytes += chunk.byteLength
        this.#serve()
        if (this.#waiting === undefined) this.#pipe.pause()
      },
      drain: () => {},
      end: () => {
        over()
      },
      close: over,
    })
  }

  /**
   * The next `length` bytes.
   *
   * @throws `P2pError` `resource_exhausted` past `maxBytes`, `unavailable` when the pipe ends before
   */
  read(length: number): Promise<Uint8Array> {
    if (this.#waiting !== undefined) throw new TypeError('Cannot read: another read is waiting')
    this.#takenBytes += length
    if (this.#takenBytes > this.#maxBytes) {
      return Promise.reject(
        new P2pError('resource_exhausted', 'Cannot finish the handshake: too many bytes', {
          layer: 'limit',
        }),
      )
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { length, resolve, reject }
      this.#serve()
      if (this.#waiting !== undefined && this.#over === undefined) this.#pipe.resume()
    })
  }

  /** Gives unread bytes back to the pipe, which stays paused for the next layer. */
  release(): void {
    this.#pipe.pause()
    if (this.#heldBytes > 0) this.#pipe.unshift(concat(this.#held))
    this.#held = []
    this.#heldBytes = 0
  }

  #serve(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    if (this.#heldBytes < waiting.length) {
      if (this.#over !== undefined) this.#fail(this.#over)
      return
    }
    const all = this.#held.length === 1 ? (this.#held[0] as Uint8Array) : concat(this.#held)
    const rest = all.subarray(waiting.length)
    this.#held = rest.byteLength > 0 ? [rest] : []
    this.#heldBytes = rest.byteLength
    this.#waiting = undefined
    waiting.resolve(all.subarray(0, waiting.length))
  }

  #fail(error: Error): void {
    this.#over ??= error
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.reject(this.#over)
  }
}
