import * as fc from 'fast-check'
import { expect, it } from 'vitest'

import { NoiseCipher } from '../../src/connection/noise-handshake.ts'
import { NoisePipe } from '../../src/connection/noise-pipe.ts'
import { Slabs } from '../../src/connection/slabs.ts'
import type { Pipe, PipeEvents } from '../../src/connection/pipe.ts'
import { MAX_SPARE_SLABS, MIN_SLAB_WRITE_BYTES, SLAB_BYTES } from '../../src/limits.ts'
import { cryptoRuntime } from '../../src/runtime/node-crypto.ts'

const cipher = (): NoiseCipher => new NoiseCipher(cryptoRuntime.createAead(new Uint8Array(32)))

/** Takes what is written, and says when a test wants it that it is done with the oldest write. */
class Lent {
  readonly writes: { bytes: Uint8Array; was: Uint8Array; released: (() => void) | undefined }[] = []
  readonly sent: Uint8Array[] = []

  readonly pipe: Pipe = {
    write: ([bytes = new Uint8Array(0)], released) => {
      this.writes.push({ bytes, was: bytes.slice(), released })
      return true
    },
    end: () => {},
    destroy: () => {},
    pause: () => {},
    resume: () => {},
    unshift: () => {},
    listen: (_: PipeEvents) => {},
    queuedBytes: 0,
    closed: false,
  }

  /** The oldest write leaves as it is now. */
  release(): void {
    const write = this.writes.shift()
    if (write === undefined) return
    this.sent.push(write.bytes.slice())
    expect(Buffer.compare(write.bytes, write.was)).toBe(0)
    write.released?.()
  }
}

it('nothing of a write changes before the pipe below is done with it, and all is sealed as without slabs', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant('release'), fc.nat({ max: 200_000 })), { maxLength: 20 }),
      (steps) => {
        const slabs = new Slabs()
        // Two connections of one node.
        const both = [0, 1].map(() => {
          const lent = new Lent()
          return {
            lent,
            pipe: new NoisePipe(lent.pipe, cipher(), cipher(), { join: false, slabs }),
          }
        })
        const alone = new Lent()
        const reference = new NoisePipe({ ...alone.pipe }, cipher(), cipher(), { join: false })
        for (const [i, step] of steps.entries()) {
          for (const { lent, pipe } of both) {
            if (step === 'release') lent.release()
            else pipe.write([new Uint8Array(step).fill(i)])
          }
          // Never released: fresh memory every time.
          if (step !== 'release') reference.write([new Uint8Array(step).fill(i)])
        }
        const expected = Buffer.concat(alone.writes.map(({ bytes }) => bytes))
        for (const { lent } of both) {
          while (lent.writes.length > 0) lent.release()
          expect(Buffer.compare(Buffer.concat(lent.sent), expected)).toBe(0)
        }
      },
    ),
    { numRuns: 20 },
  )
})

it('a pipe that never says that it is done is written to from fresh memory', () => {
  const lent = new Lent()
  const pipe = new NoisePipe(lent.pipe, cipher(), cipher(), { join: false })
  for (let i = 0; i < 3; i++) pipe.write([new Uint8Array(40_000)])
  for (const { bytes } of lent.writes) expect(bytes.buffer.byteLength).toBe(bytes.byteLength)
})

it('what was released is used again, and no more of it waits than a few', () => {
  const slabs = new Slabs()
  expect(slabs.take(MIN_SLAB_WRITE_BYTES - 1)).toBeUndefined()
  expect(slabs.take(SLAB_BYTES + 1)).toBeUndefined()
  const many = MAX_SPARE_SLABS + 2
  const taken = Array.from({ length: many }, (_, i) =>
    slabs.take(i === 0 ? MIN_SLAB_WRITE_BYTES : SLAB_BYTES),
  )
  expect(new Set(taken).size).toBe(many)
  expect(taken.map((slab) => slab?.byteLength)).toEqual(Array(many).fill(SLAB_BYTES))
  for (const slab of taken) if (slab !== undefined) slabs.give(slab)
  const again = Array.from({ length: many }, () => slabs.take(100))
  expect(again.filter((slab) => slab !== undefined && taken.includes(slab))).toHaveLength(
    MAX_SPARE_SLABS,
  )
})
