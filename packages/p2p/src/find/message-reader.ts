/**
 * Messages with their length before them, read one by one from a pipe, within a length and a time each. It knows
 * nothing of what they say.
 */
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import { decodeVarint } from '../varint.ts'

/** What bounds the reading. */
export interface MessageReaderInit {
  /** Longest message, length excluded. */
  readonly maxBytes: number
  /** Longest wait for one message. */
  readonly timeoutMs: number
  readonly clock: Clock
}

/** One `read` at a time. Nothing is read from the pipe but by it. */
export class MessageReader {
  readonly #pipe: Pipe
  readonly #init: MessageReaderInit
  // Grows with what has come, never with what was announced; by doubling, so that tiny chunks cost as little as large ones.
  #buffer: Uint8Array = new Uint8Array(0)
  #heldBytes = 0
  #over: { error: Error | undefined } | undefined
  #wake: (() => void) | undefined

  constructor(pipe: Pipe, init: MessageReaderInit) {
    this.#pipe = pipe
    this.#init = init
    pipe.listen({
      data: (chunk) => {
        this.#append(chunk)
        pipe.pause()
        this.#wake?.()
      },
      drain: () => {},
      end: () => {
        this.#end(undefined)
      },
      close: (error) => {
        this.#end(error)
      },
    })
    if (pipe.closed) this.#end(undefined)
  }

  /**
   * The next message, or undefined where the other side ended between two. On failure the pipe is reset.
   *
   * @throws `P2pError` `resource_exhausted` for a longer one, `invalid_argument` for a length that is none,
   *   `unavailable` when the pipe ends inside one, `deadline_exceeded`; what the pipe broke with
   */
  async read(): Promise<Uint8Array | undefined> {
    let late = false
    const stopTimer = this.#init.clock.setTimer(this.#init.timeoutMs, () => {
      late = true
      this.#wake?.()
    })
    try {
      for (;;) {
        const message = this.#next()
        if (message !== undefined) return message
        if (this.#over !== undefined) {
          if (this.#over.error !== undefined) throw this.#over.error
          if (this.#heldBytes === 0) return undefined
          throw readError('unavailable', 'the other side ended inside it')
        }
        // Read again: the timer may have fired meanwhile.
        if (isLate()) throw readError('deadline_exceeded', 'it took too long')
        await new Promise<void>((resolve) => {
          this.#wake = resolve
          this.#pipe.resume()
        })
        this.#wake = undefined
      }
    } catch (error) {
      this.#pipe.destroy(error instanceof Error ? error : undefined)
      throw error
    } finally {
      stopTimer()
    }

    function isLate(): boolean {
      return late
    }
  }

  #next(): Uint8Array | undefined {
    const held = this.#buffer.subarray(0, this.#heldBytes)
    const length = readLength(held)
    if (length === undefined) return undefined
    if (length.value > this.#init.maxBytes) {
      throw readError('resource_exhausted', `longer than ${this.#init.maxBytes} bytes`)
    }
    const end = length.byteLength + length.value
    if (held.byteLength < end) return undefined
    const message = held.slice(length.byteLength, end)
    this.#buffer.copyWithin(0, end, this.#heldBytes)
    this.#heldBytes -= end
    return message
  }

  #append(chunk: Uint8Array): void {
    const size = this.#heldBytes + chunk.byteLength
    if (size > this.#buffer.byteLength) {
      const grown = new Uint8Array(Math.max(size, 2 * this.#buffer.byteLength))
      grown.set(this.#buffer.subarray(0, this.#heldBytes))
      this.#buffer = grown
    }
    this.#buffer.set(chunk, this.#heldBytes)
    this.#heldBytes = size
  }

  #end(error: Error | undefined): void {
    this.#over ??= { error }
    this.#wake?.()
  }
}

function readLength(head: Uint8Array): ReturnType<typeof decodeVarint> {
  try {
    return decodeVarint(head)
  } catch (cause) {
    throw readError('invalid_argument', 'malformed', cause)
  }
}

function readError(
  code: 'resource_exhausted' | 'invalid_argument' | 'unavailable' | 'deadline_exceeded',
  state: string,
  cause?: unknown,
): P2pError {
  return new P2pError(code, `Cannot read the message: ${state}`, {
    layer: code === 'resource_exhausted' ? 'limit' : 'protocol',
    cause,
  })
}
