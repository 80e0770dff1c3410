/** Pipes whose memory is spoilt once a listener that only borrows it returned: who kept something of it is found out. */
import type { Pipe } from '../../src/connection/pipe.ts'

/** The same pipe, which lends what arrives to those who borrow. */
export function lending(pipe: Pipe): Pipe {
  return {
    write: (chunks, released) => pipe.write(chunks, released),
    end: () => pipe.end(),
    destroy: (error) => pipe.destroy(error),
    pause: () => pipe.pause(),
    resume: () => pipe.resume(),
    unshift: (chunk) => pipe.unshift(chunk),
    listen: (events) => {
      if (events.borrows !== true) {
        pipe.listen(events)
        return
      }
      pipe.listen({
        data: (chunk) => {
          const lent = Uint8Array.from(chunk)
          events.data(lent)
          lent.fill(0xee)
        },
        drain: () => events.drain(),
        end: () => events.end(),
        close: (error) => events.close(error),
      })
    },
    get queuedBytes() {
      return pipe.queuedBytes
    },
    get closed() {
      return pipe.closed
    },
  }
}

/** Both ends of a pair. */
export function bothLending([a, b]: [Pipe, Pipe]): [Pipe, Pipe] {
  return [lending(a), lending(b)]
}
