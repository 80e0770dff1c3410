import { concat, STATUS_CODES } from '@stronghold/core'
import { heldBytes } from '@stronghold/testkit'
import { fc, test } from '@fast-check/vitest'
import { expect, test as plain, vi } from 'vitest'

import { Assembly } from '../../src/channel/flow.ts'
import {
  decodeError,
  decodePrelude,
  encodeError,
  encodeFrame,
  encodePrelude,
  FrameParser,
} from '../../src/channel/frame.ts'
import type { Side } from '../../src/channel/frame.ts'
import { Held } from '../../src/channel/held.ts'
import { isP2pError, LAYERS } from '../../src/errors.ts'
import { FIRST_MESSAGE_BLOCK_BYTES, MAX_MESSAGE_BLOCK_BYTES } from '../../src/limits.ts'

type Frame = [kind: number, flags: number, number: number, body: string]

const HELLO = encodeFrame(1, 0, 0, new Uint8Array(16))

function readAll(side: Side, chunks: readonly Uint8Array[]): Frame[] {
  const frames: Frame[] = []
  const parser = new FrameParser(side, 65_536, (kind, flags, number, body) => {
    frames.push([kind, flags, number, String(body)])
  })
  for (const chunk of chunks) parser.push(chunk)
  return frames
}

const body = fc.uint8Array({ minLength: 1, maxLength: 300 })
const frame = fc.oneof(
  fc.tuple(
    fc.constant(4),
    fc.constantFrom(0, 1, 4, 5),
    fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    body,
  ),
  fc.tuple(
    fc.constantFrom(5, 7),
    fc.constant(0),
    fc.integer({ min: 1, max: 9 }),
    fc.constant(new Uint8Array(0)),
  ),
  fc.tuple(
    fc.constant(10),
    fc.constantFrom(0, 2),
    fc.constant(0),
    fc.uint8Array({ minLength: 8, maxLength: 8 }),
  ),
)

test.prop([fc.array(frame, { maxLength: 20 }), fc.infiniteStream(fc.integer({ min: 1, max: 40 }))])(
  'however the bytes are cut, the frames are the same',
  (frames, cuts) => {
    const whole = concat([HELLO, ...frames.map(([k, f, n, b]) => encodeFrame(k, f, n, b))])
    const chunks: Uint8Array[] = []
    for (let at = 0; at < whole.byteLength;) {
      const length = cuts.next().value as number
      chunks.push(whole.slice(at, at + length))
      at += length
    }
    const expected = [
      [1, 0, 0, String(new Uint8Array(16))],
      ...frames.map(([k, f, n, b]) => [k, f, n, String(b)]),
    ]
    expect(readAll('asker', chunks)).toEqual(expected)
    expect(readAll('asker', [whole])).toEqual(expected)
  },
)

test.prop([
  fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 8 }),
  fc.infiniteStream(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 12_000 }))),
])(
  'long bodies are whole, and those called owned share their memory with nothing',
  (lengths, cuts) => {
    const whole = concat([
      HELLO,
      ...lengths.map((length, i) => encodeFrame(4, 0, i + 1, new Uint8Array(length).fill(i + 1))),
    ])
    const seen: [number, number, Uint8Array][] = []
    const parser = new FrameParser('asker', 65_536, (_kind, _flags, number, body, owned) => {
      seen.push([number, body.byteLength, body])
      if (owned) expect(body.buffer.byteLength).toBe(body.byteLength)
    })
    const chunks: Uint8Array[] = []
    for (let at = 0; at < whole.byteLength;) {
      const length = cuts.next().value as number
      chunks.push(whole.slice(at, at + length))
      at += length
    }
    for (const chunk of chunks) parser.push(chunk)
    expect(parser.heldBytes).toBe(0)
    // Looked at only now: what was handed out is not written to again.
    const found = seen.slice(1).map(([number, length, body]) => [number, length, new Set(body)])
    expect(found).toEqual(lengths.map((length, i) => [i + 1, length, new Set([i + 1])]))
  },
)

test.prop([
  fc.array(fc.integer({ min: 1, max: 6000 }), { minLength: 1, maxLength: 6 }),
  fc.infiniteStream(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 3000 }))),
])(
  'long messages are the same, however their parts are cut and however these arrive',
  (lengths, cuts) => {
    const parts = lengths.map((length, i) => new Uint8Array(length).fill(i + 1))
    const expected = concat(parts)
    for (const [side, kind] of [
      ['responder', 3],
      ['asker', 2],
    ] as const) {
      const frames = parts.map((part, i) => {
        const flags = (i > 0 ? 4 : 0) | (i < parts.length - 1 ? 1 : 0)
        return encodeFrame(kind, flags, 7, part)
      })
      const whole = concat([HELLO, ...frames, encodeFrame(kind, 0, 8, Uint8Array.of(9))])
      const held = new Held(1_000_000)
      const assemblies = [new Assembly(held, 1_000_000), new Assembly(held, 1_000_000)]
      const messages: Uint8Array[] = []
      const parser = new FrameParser(side, 65_536, (one, flags, number, body, owned) => {
        if (one === 1) return
        expect(one).toBe(kind)
        const message = assemblies[number - 7]?.push(flags, body, owned)
        if (message !== undefined) messages.push(message as Uint8Array)
      })
      for (let at = 0; at < whole.byteLength;) {
        const length = cuts.next().value as number
        parser.push(whole.slice(at, at + length))
        at += length
      }
      expect(parser.heldBytes).toBe(0)
      expect(messages).toHaveLength(2)
      expect(Buffer.compare(messages[0] as Uint8Array, expected)).toBe(0)
      expect(messages[1]).toEqual(Uint8Array.of(9))
    }
  },
)

plain('parts of a byte, between others or not, cost little more than their bytes', () => {
  const held = new Held(1_000_000)
  const chunk = new Uint8Array(1024)
  const beforeBytes = heldBytes()
  const assemblies = [[1], [1024, 1]].map((lengths) => {
    const assembly = new Assembly(held, 1_000_000)
    assembly.push(1, chunk.subarray(0, 1), false)
    while (assembly.bytes < 100_000) {
      for (const length of lengths) assembly.push(5, chunk.slice(0, length), false)
    }
    return assembly
  })
  expect(heldBytes() - beforeBytes).toBeLessThan(2_000_000)
  for (const assembly of assemblies) {
    const message = assembly.push(4, new Uint8Array(1), true)
    expect(message instanceof Uint8Array && message.byteLength).toBe(assembly.bytes)
  }
})

plain(
  'a message in parts is collected in blocks, each as long as all before it, up to the longest',
  () => {
    const assembly = new Assembly(new Held(1_000_000), 1_000_000)
    const part = new Uint8Array(1000)
    const blocks: number[] = []
    vi.stubGlobal(
      'Uint8Array',
      class extends Uint8Array {
        constructor(length: number) {
          super(length)
          blocks.push(length)
        }
      },
    )
    try {
      for (let i = 0; i < 200; i++) assembly.push(i === 0 ? 1 : 5, part, false)
    } finally {
      vi.unstubAllGlobals()
    }
    const [first, second = 0, ...more] = blocks
    expect(first).toBe(FIRST_MESSAGE_BLOCK_BYTES)
    expect(second).toBeGreaterThanOrEqual(FIRST_MESSAGE_BLOCK_BYTES)
    // A part that begins in one block ends in the next, which therefore counts it whole.
    expect(second).toBeLessThan(FIRST_MESSAGE_BLOCK_BYTES + 1000)
    expect(more.at(-1)).toBe(MAX_MESSAGE_BLOCK_BYTES)
    expect(blocks).toEqual(blocks.toSorted((a, b) => a - b))
    expect(blocks.reduce((sum, length) => sum + length)).toBeLessThan(
      200_000 + MAX_MESSAGE_BLOCK_BYTES,
    )
  },
)

plain('parts that are views of much more keep little more alive than is reserved', () => {
  const held = new Held(64 * 1024 * 1024)
  const assembly = new Assembly(held, 64 * 1024 * 1024)
  const beforeBytes = heldBytes()
  for (let i = 0; i < 200; i++) {
    const chunk = new Uint8Array(64 * 1024)
    assembly.push(i === 0 ? 1 : 5, chunk.subarray(100, 1100), false)
  }
  expect(held.bytes).toBe(200_000)
  expect(heldBytes() - beforeBytes).toBeLessThan(2_000_000)
  const message = assembly.push(4, new Uint8Array(1), true)
  expect(message instanceof Uint8Array && message.byteLength).toBe(200_001)
})

const name = fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme-ascii' })
test.prop([
  fc.record(
    {
      id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      timeoutMs: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      acked: fc.nat(2 ** 31 - 1),
      credit: fc.nat(2 ** 31 - 1),
    },
    { noNullPrototype: true },
  ),
  fc.option(fc.record({ protocol: name, method: name }, { noNullPrototype: true }), {
    nil: undefined,
  }),
  fc.uint8Array({ maxLength: 10 }),
])('a prelude comes back as it was, cut off it is a violation', (fields, named, rest) => {
  const prelude =
    named === undefined ? { ...fields, method: 7 } : { ...fields, method: 0, name: named }
  const bytes = encodePrelude(prelude)
  expect(decodePrelude(concat([bytes, rest]))).toEqual({ prelude, messageAt: bytes.byteLength })
  expect(() => decodePrelude(bytes.subarray(0, bytes.byteLength - 1))).toThrow(
    'Cannot read the channel',
  )
})

test.prop([
  fc.record(
    {
      code: fc.constantFrom(...STATUS_CODES),
      ran: fc.constantFrom('no', 'maybe', 'yes'),
      layer: fc.constantFrom(...LAYERS),
      reason: fc.option(fc.stringMatching(/^[\x20-\x7e]{1,32}$/), { nil: undefined }),
      message: fc.string({ unit: 'grapheme', maxLength: 100 }),
    },
    { noNullPrototype: true },
  ),
])('an error comes back as it was', (error) => {
  expect(decodeError(encodeError(error))).toEqual({
    ...error,
    message: error.message.toWellFormed(),
  })
})

plain('a message of more than 512 bytes is cut at a character', () => {
  const error = { code: 'internal', ran: 'yes', layer: 'handler', reason: undefined } as const
  const { message } = decodeError(encodeError({ ...error, message: '€'.repeat(200) }))
  expect(message).toBe('€'.repeat(170))
})

const LONG = process.env['STRONGHOLD_LONG'] === '1'

plain(
  `${LONG ? '5,000,000' : '200,000'} malformed frames: one clear violation each, nothing else`,
  () => {
    const count = LONG ? 5_000_000 : 200_000
    let seed = 12_345
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return (seed >>> 8) % below
    }
    // Two hundred thousand stack traces would be most of the work.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    const beforeBytes = heldBytes()
    let violations = 0
    for (let i = 0; i < count; i++) {
      const kind = random(12)
      const flags = random(4) === 0 ? random(256) : random(8)
      const length = random(3) === 0 ? random(2 ** 24) * 256 : random(40)
      const bytes = new Uint8Array(10 + Math.min(length, 64))
      bytes.set([kind, flags, random(2) * random(256), 0, 0, random(4)])
      new DataView(bytes.buffer).setUint32(6, length)
      for (let at = 10; at < bytes.byteLength; at++) bytes[at] = random(256)
      const parser = new FrameParser(
        random(2) === 0 ? 'asker' : 'responder',
        65_536,
        (k, _f, _n, b) => {
          if (k === 2) decodePrelude(b)
          if (k === 6) decodeError(b)
        },
      )
      try {
        if (random(8) > 0) parser.push(HELLO)
        parser.push(bytes.subarray(0, random(bytes.byteLength) + 1))
        parser.push(bytes)
        if (parser.heldBytes > 200) throw new Error(`held ${parser.heldBytes} bytes`)
      } catch (error) {
        if (!isP2pError(error, 'invalid_argument')) throw error
        violations += 1
      }
    }
    expect(violations).toBeGreaterThan(count / 4)
    Error.stackTraceLimit = stackTraceLimit
    expect(heldBytes() - beforeBytes).toBeLessThan(20 * 1024 * 1024)
  },
  LONG ? 3_600_000 : 60_000,
)
