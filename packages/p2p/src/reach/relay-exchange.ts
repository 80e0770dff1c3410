/**
 * One message with its length before it, read from a pipe within a length and a time. It knows nothing of what the
 * message says; what follows it stays in the pipe.
 */
import { concat } from '@stronghold/core'

import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { isP2pError, P2pError } from '../errors.ts'
import { decodeVarint } from '../varint.ts'

/** What bounds the reading. */
export interface ReadMessageInit {
  /** Longest message, length excluded. */
  readonly maxBytes: number
  readonly timeoutMs: number
  readonly clock: Clock
  readonly signal?: AbortSignal
}

/**
 * The next message of the pipe, which is paused then and has what follows given back. On failure the pipe is reset,
 * unless the message was only malformed: then there may be an answer to that.
 *
 * @throws `P2pError` of layer `relay`: `resource_exhausted` for a longer one, `invalid_argument` for a length that is
 *   none, `unavailable` when the pipe ends before, `deadline_exceeded`; what the pipe closes with, where that is of
 *   ours and says more; the signal's reason
 */
export function readMessage(pipe: Pipe, init: ReadMessageInit): Promise<Uint8Array> {
  const { maxBytes, timeoutMs, clock, signal } = init
  return new Promise((resolve, reject) => {
    let held: Uint8Array = new Uint8Array(0)
    let over = false
    const settle = (): boolean => {
      if (over) return false
      over = true
      stopTimer()
      signal?.removeEventListener('abort', aborted)
      pipe.pause()
      return true
    }
    const fail = (error: Error, reset = true): void => {
      if (!settle()) return
      if (reset) pipe.destroy(error)
      reject(error)
    }
    const aborted = (): void => {
      fail(signal?.reason instanceof Error ? signal.reason : new Error('aborted'))
    }
    const stopTimer = clock.setTimer(timeoutMs, () => {
      fail(exchangeError('deadline_exceeded', 'it took too long'))
    })
    if (signal?.aborted === true) return aborted()
    signal?.addEventListener('abort', aborted, { once: true })
    if (pipe.closed) return fail(exchangeError('unavailable', 'the other side ended'))
    pipe.listen({
      data: (chunk) => {
        if (over) return
        // What is held stays below the longest message, so joining it again costs a bounded time.
        held = held.byteLength === 0 ? chunk : concat([held, chunk])
        try {
          const length = decodeVarint(held)
          if (length === undefined) return
          if (length.value > maxBytes) {
            return fail(exchangeError('resource_exhausted', `longer than ${maxBytes} bytes`))
          }
          const end = length.byteLength + length.value
          if (held.byteLength < end) return
          settle()
          if (held.byteLength > end) pipe.unshift(held.slice(end))
          resolve(held.slice(length.byteLength, end))
        } catch (cause) {
          fail(exchangeError('invalid_argument', 'malformed', cause), false)
        }
      },
      drain: () => {},
      end: () => {
        fail(exchangeError('unavailable', 'the other side ended'))
      },
      close: (cause) => {
        // A refusal of the protocol says more than that the stream is gone.
        const says =
          isP2pError(cause) && (cause.code === 'unimplemented' || cause.layer === 'relay')
        fail(says ? cause : exchangeError('unavailable', 'the other side ended', cause))
      },
    })
    pipe.resume()
  })
}

function exchangeError(
  code: 'resource_exhausted' | 'invalid_argument' | 'unavailable' | 'deadline_exceeded',
  state: string,
  cause?: unknown,
): P2pError {
  return new P2pError(code, `Cannot read the relay message: ${state}`, { layer: 'relay', cause })
}
