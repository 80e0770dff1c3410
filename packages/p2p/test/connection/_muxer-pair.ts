/** Two muxers joined in memory, and pipes that tests read from. */
import { concat } from '@stronghold/core'
import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'

import { DEFAULT_LIMITS } from '../../src/limits.ts'
import { Muxer } from '../../src/connection/muxer.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { MuxerInit, MuxerLimits } from '../../src/connection/muxer.ts'
import type { Pipe } from '../../src/connection/pipe.ts'
import { bothLending } from '../transports/lending.ts'

/** A logger that says nothing. */
export const LOG: MuxerInit['log'] = Object.assign(() => {}, {
  enabled: false,
  error: () => {},
  trace: () => {},
  newScope: () => LOG,
})

export interface Side extends Partial<Omit<MuxerInit, 'limits'>> {
  limits?: Partial<MuxerLimits>
}

export function muxer(pipe: Pipe, initiator: boolean, side: Side = {}): Muxer {
  const { limits, ...rest } = side
  return new Muxer(pipe, {
    initiator,
    log: LOG,
    clock: manualClock(),
    ...rest,
    limits: { ...DEFAULT_LIMITS, ...limits },
  })
}

export interface MuxerPair {
  a: Muxer
  b: Muxer
  clock: ManualClock
  /** The pipes below. */
  below: [Pipe, Pipe]
}

export function muxerPair(aSide: Side = {}, bSide: Side = {}, highWaterBytes?: number): MuxerPair {
  const clock = manualClock()
  const below = bothLending(pipePair(highWaterBytes === undefined ? {} : { highWaterBytes }))
  const a = muxer(below[0], true, { clock, ...aSide })
  const b = muxer(below[1], false, { clock, ...bSide })
  return { a, b, clock, below }
}

/** What a pipe told, and ways to wait for it. */
export class Reading {
  readonly pipe: Pipe
  chunks: Uint8Array[] = []
  bytes = 0
  drains = 0
  ended = false
  closes: (Error | undefined)[] = []
  #waiting: { until: () => boolean; resolve: () => void }[] = []

  constructor(pipe: Pipe, paused = false) {
    this.pipe = pipe
    const check = (): void => {
      this.#waiting = this.#waiting.filter(({ until, resolve }) => {
        if (until()) resolve()
        return !until()
      })
    }
    pipe.listen({
      data: (chunk) => {
        if (this.ended || this.closes.length > 0) throw new Error('data after the end')
        this.chunks.push(chunk)
        this.bytes += chunk.byteLength
        check()
      },
      drain: () => {
        this.drains += 1
        check()
      },
      end: () => {
        if (this.ended) throw new Error('two ends')
        this.ended = true
        check()
      },
      close: (error) => {
        this.closes.push(error)
        check()
      },
    })
    if (!paused) pipe.resume()
  }

  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiting.push({ until: condition, resolve })
    })
  }

  get all(): Uint8Array {
    return concat(this.chunks)
  }

  async closed(): Promise<Error | undefined> {
    await this.until(() => this.closes.length > 0)
    return this.closes[0]
  }
}

/** Lets everything that is under way in memory come to rest. */
export async function rest(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** A side that takes every inbound stream as a pipe, whatever its protocol. */
export function taking(protocols?: readonly string[]): Side & { taken: [string, Pipe][] } {
  const taken: [string, Pipe][] = []
  return {
    taken,
    offers: (protocol) => protocols?.includes(protocol) ?? true,
    onPipe: (protocol, pipe) => {
      taken.push([protocol, pipe])
      return true
    },
  }
}
