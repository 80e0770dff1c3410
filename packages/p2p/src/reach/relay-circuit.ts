/**
 * A circuit inside a relay: what one pipe gives, the other gets, no faster than it is taken. It sees ciphertext, counts
 * it, and knows nothing of who the two ends are.
 */
import type { Pipe } from '../connection/pipe.ts'

/** What watches over a circuit. */
export interface CircuitInit {
  /** Bytes went from the first to the second pipe (`forth`) or back; an error ends the circuit before they leave. */
  carry(bytes: number, forth: boolean): Error | undefined
  /** Both pipes are over. Called once. */
  onClose(error?: Error): void
}

/** A circuit that stands. */
export interface Circuit {
  /** Resets both pipes. Idempotent. */
  end(error: Error): void
}

/**
 * Joins two pipes until both are over. What a direction holds is what its muxers hold: `streamWindowBytes` unread and a
 * stream's queue unsent; past that its sender is stopped.
 */
export function joinPipes(first: Pipe, second: Pipe, init: CircuitInit): Circuit {
  let open = 2
  let why: Error | undefined
  const end = (error: Error): void => {
    why ??= error
    first.destroy(error)
    second.destroy(error)
  }
  const carry = (from: Pipe, to: Pipe, forth: boolean): void => {
    from.listen({
      data: (chunk) => {
        const over = init.carry(chunk.byteLength, forth)
        if (over !== undefined) return end(over)
        if (!to.write([dense(chunk)])) from.pause()
      },
      // This pipe takes more: its sender, the other one, may go on.
      drain: () => {
        to.resume()
      },
      end: () => {
        to.end()
      },
      close: (error) => {
        if (error !== undefined) {
          why ??= error
          to.destroy(error)
        } else to.end()
        open -= 1
        if (open === 0) init.onClose(why)
      },
    })
  }
  carry(first, second, true)
  carry(second, first, false)
  first.resume()
  second.resume()
  return { end }
}

/** A small view of a large buffer is copied out: waiting for a slow receiver, it would keep all of that alive. */
function dense(chunk: Uint8Array): Uint8Array {
  return chunk.byteLength * 2 >= chunk.buffer.byteLength ? chunk : chunk.slice()
}
