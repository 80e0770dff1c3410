import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Pipe } from '../../src/connection/pipe.ts'

import { muxer, Reading, rest, taking } from './_muxer-pair.ts'

const RUNS = process.env['STRONGHOLD_LONG'] === '1' ? 2000 : 100

const byteAt = (stream: number, side: number, at: number): number => (at * 13 + stream + side) & 255

/** One end of a stream: writes with regard to room, checks what it reads against what the other end writes. */
class Talker {
  readonly pipe: Pipe
  readonly #stream: number
  readonly #side: number
  readonly reading: Reading
  wrote = 0
  checked = 0
  destroyed = false

  constructor(pipe: Pipe, stream: number, side: number) {
    this.pipe = pipe
    this.#stream = stream
    this.#side = side
    this.reading = new Reading(pipe)
  }

  write(bytes: number): void {
    const chunk = new Uint8Array(bytes)
    for (let i = 0; i < bytes; i++) chunk[i] = byteAt(this.#stream, this.#side, this.wrote + i)
    this.wrote += bytes
    this.pipe.write([chunk])
  }

  check(): void {
    for (const chunk of this.reading.chunks.splice(0)) {
      for (const byte of chunk) {
        if (byte !== byteAt(this.#stream, 1 - this.#side, this.checked))
          throw new Error('wrong byte')
        this.checked += 1
      }
    }
  }

  /** Takes the last piece back as unread and reads it again. */
  giveBack(): void {
    const last = this.reading.chunks.pop()
    if (last === undefined || this.pipe.closed || this.reading.ended) return
    this.reading.bytes -= last.byteLength
    this.pipe.unshift(last)
  }
}

const step = fc.record({
  do: fc.constantFrom(
    'open',
    'write',
    'write',
    'write',
    'end',
    'destroy',
    'pause',
    'resume',
    'back',
    'turn',
    'turn',
  ),
  side: fc.nat(1),
  stream: fc.nat(5),
  size: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 100_000 })),
})

test.prop(
  [
    fc.array(step, { maxLength: 60 }),
    fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 }),
    fc.integer({ min: 1000, max: 200_000 }),
  ],
  { numRuns: RUNS },
)(
  'pipes over a muxer lose, double and reorder nothing, and leave nothing',
  async (steps, cuts, room) => {
    let cut = 0
    const [left, right] = pipePair({
      highWaterBytes: room,
      fragment: (chunk) => {
        const pieces: Uint8Array[] = []
        for (let at = 0; at < chunk.byteLength;) {
          const length = cuts[cut++ % cuts.length] as number
          pieces.push(chunk.subarray(at, at + length))
          at += length
        }
        return pieces
      },
    })
    const side = taking()
    const a = muxer(left, true, { offers: () => true })
    const b = muxer(right, false, side)
    const near: Talker[] = []
    const far = new Map<number, Talker>()
    const meet = (): void => {
      for (const [protocol, pipe] of side.taken.splice(0)) {
        const stream = Number(protocol.slice(1))
        far.set(stream, new Talker(pipe, stream, 1))
      }
    }

    for (const { do: what, side, stream, size } of steps) {
      meet()
      if (what === 'open') {
        near.push(new Talker(a.openPipe(`/${near.length}`), near.length, 0))
        continue
      }
      if (what === 'turn') {
        await new Promise((resolve) => setImmediate(resolve))
        for (const talker of [...near, ...far.values()]) talker.check()
        continue
      }
      const index = stream % Math.max(1, near.length)
      const talker = side === 0 ? near[index] : far.get(index)
      if (talker === undefined) continue
      if (what === 'write') talker.write(size)
      else if (what === 'end') talker.pipe.end()
      else if (what === 'pause') talker.pipe.pause()
      else if (what === 'resume') talker.pipe.resume()
      else if (what === 'back') talker.giveBack()
      else {
        talker.destroyed = true
        talker.pipe.destroy()
      }
    }

    for (let quiet = 0; quiet < 3;) {
      meet()
      const before = a.session.streamCount + b.session.streamCount
      for (const talker of [...near, ...far.values()]) {
        talker.pipe.resume()
        talker.pipe.end()
      }
      await rest()
      quiet = a.session.streamCount + b.session.streamCount === before ? quiet + 1 : 0
    }
    for (const [stream, talker] of near.entries()) {
      const other = far.get(stream)
      talker.check()
      other?.check()
      if (talker.destroyed || (other?.destroyed ?? true)) continue
      expect([talker.reading.closes, other?.reading.closes]).toEqual([[undefined], [undefined]])
    }
    expect(
      [a.session, b.session].map(({ streamCount, heldBytes, queuedBytes }) => [
        streamCount,
        heldBytes,
        queuedBytes,
      ]),
    ).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ])
    expect([a.status, b.status]).toEqual(['open', 'open'])
  },
)
