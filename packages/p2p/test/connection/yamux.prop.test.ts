import { fc, test } from '@fast-check/vitest'
import { concat, equalBytes } from '@stronghold/core'
import { expect, test as plain } from 'vitest'

import {
  decodeHeader,
  encodeHeader,
  FLAG,
  FrameWriter,
  TYPE,
} from '../../src/connection/yamux-frame.ts'
import { YamuxSession } from '../../src/connection/yamux.ts'
import { FIRST_FRAME_BLOCK_BYTES, MAX_FRAME_BLOCK_BYTES } from '../../src/limits.ts'
import { headersOf, LIMITS } from './_yamux-end.ts'
import type {
  StreamFailure,
  YamuxStream,
  YamuxStreamHandler,
} from '../../src/connection/yamux-stream.ts'

const RUNS = process.env['STRONGHOLD_LONG'] === '1' ? 5000 : 500
const WINDOW = 262_144

test.prop([
  fc.record({
    version: fc.nat(255),
    type: fc.nat(255),
    flags: fc.nat(0xffff),
    streamId: fc.nat(0xffff_ffff),
    length: fc.nat(0xffff_ffff),
  }),
])('decode ∘ encode of a header is the identity', (header) => {
  expect(decodeHeader(encodeHeader(header))).toEqual(header)
})

test.prop([fc.array(fc.array(fc.nat(400), { maxLength: 40 }), { maxLength: 20 })], {
  numRuns: RUNS / 5,
})('frames written into few buffers are the frames written one by one', (turns) => {
  const writer = new FrameWriter()
  const expected: Uint8Array[] = []
  const taken: Uint8Array[] = []
  for (const turn of turns) {
    for (const length of turn) {
      const payload = new Uint8Array(length).fill(length)
      expected.push(encodeHeader({ version: 0, type: 0, flags: 4, streamId: 0xfffefdfc, length }))
      expected.push(payload)
      writer.header(0, 4, 0xfffefdfc, length)
      writer.payload(payload)
    }
    const chunks = writer.take()
    expect(chunks.every(({ byteLength }) => byteLength > 0)).toBe(true)
    taken.push(...chunks)
    expect(writer.bytes).toBe(0)
  }
  expect(equalBytes(concat(taken), concat(expected))).toBe(true)
})

plain(
  'blocks for headers begin short and grow to their longest, also between one take and the next',
  () => {
    const writer = new FrameWriter()
    const blocks = new Set<ArrayBufferLike>()
    for (let i = 0; i < 4000; i++) {
      writer.header(0, 0, 1, 0)
      if (i % 7 === 0) for (const { buffer } of writer.take()) blocks.add(buffer)
    }
    const lengths = [...blocks].map(({ byteLength }) => byteLength)
    const growing = [1, 2, 4, 8, 16, 32].map((times) => times * FIRST_FRAME_BLOCK_BYTES)
    expect(growing.at(-1)).toBe(MAX_FRAME_BLOCK_BYTES)
    expect(lengths).toEqual([...growing, ...lengths.slice(6).fill(MAX_FRAME_BLOCK_BYTES)])
    expect(lengths.length).toBeGreaterThan(6)
  },
)

/** Byte `at` of what is written on a stream by one side. */
const byteAt = (id: number, side: number, at: number): number => (at * 31 + id * 7 + side) & 255

/** One side of one stream: what it wrote, what it got, whether it reads. */
class Talker implements YamuxStreamHandler {
  readonly session: YamuxSession
  readonly side: number
  stream!: YamuxStream
  wrote = 0
  ended = false
  got = 0
  unread = 0
  holding = false
  remoteEnded = false
  over: 'finished' | StreamFailure | 'reset here' | undefined

  constructor(session: YamuxSession, side: number) {
    this.session = session
    this.side = side
  }

  write(bytes: number): void {
    if (this.ended || this.over !== undefined) return
    const chunk = new Uint8Array(bytes)
    for (let i = 0; i < bytes; i++) chunk[i] = byteAt(this.stream.id, this.side, this.wrote + i)
    this.wrote += bytes
    this.session.write(this.stream, [chunk])
  }

  end(): void {
    this.ended = true
    this.session.end(this.stream)
  }

  read(): void {
    this.holding = false
    const { unread } = this
    this.unread = 0
    if (unread > 0) this.session.consume(this.stream, unread)
  }

  data(chunk: Uint8Array): void {
    expect(this.remoteEnded || this.over !== undefined).toBe(false)
    for (const byte of chunk) {
      if (byte !== byteAt(this.stream.id, 1 - this.side, this.got)) throw new Error('wrong byte')
      this.got += 1
    }
    if (this.holding) this.unread += chunk.byteLength
  }

  drain(): void {}

  remoteEnd(): void {
    expect(this.remoteEnded).toBe(false)
    this.remoteEnded = true
  }

  finished(): void {
    expect(this.over).toBeUndefined()
    this.over = 'finished'
  }

  failed(why: StreamFailure): void {
    expect(this.over).toBeUndefined()
    this.over = why
  }
}

/** The windows of both sides, counted from the frames alone. */
class Windows {
  readonly #left = new Map<string, number>()

  see(side: number, bytes: Uint8Array): void {
    for (const { type, flags, streamId, length } of headersOf(bytes)) {
      const ours = `${streamId} ${side}`
      const theirs = `${streamId} ${1 - side}`
      if (type === TYPE.data) {
        expect(length).toBeLessThanOrEqual(65_536)
        const left = (this.#left.get(ours) ?? WINDOW) - length
        expect(left).toBeGreaterThanOrEqual(0)
        this.#left.set(ours, left)
      } else if (type === TYPE.windowUpdate) {
        if ((flags & FLAG.rst) === 0) {
          this.#left.set(theirs, (this.#left.get(theirs) ?? WINDOW) + length)
        }
        expect(this.#left.get(theirs) ?? WINDOW).toBeLessThanOrEqual(WINDOW)
      }
    }
  }
}

const step = fc.record({
  do: fc.constantFrom(
    'open',
    'write',
    'write',
    'write',
    'end',
    'reset',
    'hold',
    'read',
    'carry',
    'carry',
  ),
  side: fc.nat(1),
  stream: fc.nat(7),
  size: fc.oneof(fc.nat(100), fc.nat(120_000)),
  cut: fc.integer({ min: 1, max: 70_000 }),
})

test.prop([fc.array(step, { maxLength: 80 })], { numRuns: RUNS })(
  'whatever is opened, written, ended, reset, held and cut, every byte arrives once and in order, and nothing is left',
  (steps) => {
    const talkers: Talker[][] = [[], []]
    const windows = new Windows()
    const failures: string[] = []
    const sessions = [true, false].map((initiator, side) => {
      const session: YamuxSession = new YamuxSession({
        initiator,
        limits: LIMITS,
        nowMs: 0,
        events: {
          wake: () => {},
          opened: (stream) => {
            const talker = new Talker(session, side)
            talker.stream = stream
            talkers[side]?.push(talker)
            return talker
          },
          pong: () => {},
          goAway: () => {},
          failed: (message) => failures.push(message),
        },
      })
      return session
    }) as [YamuxSession, YamuxSession]

    /** Up to `maxBytes` from one side to the other, in pieces of `cut`. */
    const carry = (side: number, maxBytes: number, cut: number): boolean => {
      const session = sessions[side] as YamuxSession
      const bytes = concat(session.take(maxBytes))
      session.drained()
      windows.see(side, bytes)
      for (let at = 0; at < bytes.byteLength; at += cut) {
        sessions[1 - side]?.receive(bytes.subarray(at, at + cut), 0)
      }
      return bytes.byteLength > 0
    }

    for (const { do: what, side, stream, size, cut } of steps) {
      const mine = talkers[side] as Talker[]
      if (what === 'open') {
        const talker = new Talker(sessions[side] as YamuxSession, side)
        talker.stream = talker.session.open(talker) as YamuxStream
        mine.push(talker)
        continue
      }
      if (what === 'carry') {
        carry(side, size, cut)
        continue
      }
      const talker = mine[stream % Math.max(1, mine.length)]
      if (talker === undefined) continue
      if (what === 'write') talker.write(size)
      else if (what === 'end') talker.end()
      else if (what === 'hold') talker.holding = true
      else if (what === 'read') talker.read()
      else if (talker.over === undefined) {
        talker.over = 'reset here'
        talker.unread = 0
        talker.session.reset(talker.stream)
      }
    }

    // Everybody reads and ends; then all is quiet.
    for (const talker of talkers.flat()) {
      talker.read()
      talker.end()
    }
    let busy = true
    while (busy) {
      busy = [carry(0, Infinity, 4096), carry(1, Infinity, 4096)].some(Boolean)
      for (const talker of talkers.flat()) if (!talker.ended) talker.end()
    }

    expect(failures).toEqual([])
    const [first, second] = talkers as [Talker[], Talker[]]
    for (const talker of [...first, ...second]) {
      expect(talker.over).toBeDefined()
      const others = talker.side === 0 ? second : first
      const other = others.find(({ stream }) => stream.id === talker.stream.id)
      if (talker.over === 'finished') {
        expect(talker.got).toBe(other?.wrote)
        expect(talker.remoteEnded).toBe(true)
      } else if (other !== undefined) {
        expect(talker.got).toBeLessThanOrEqual(other.wrote)
      }
    }
    for (const session of sessions) {
      expect([session.streamCount, session.heldBytes, session.queuedBytes]).toEqual([0, 0, 0])
    }
  },
)
