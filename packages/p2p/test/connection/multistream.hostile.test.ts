import { heldBytes } from '@stronghold/testkit'
import { expect, test } from 'vitest'

import {
  encodeMessage,
  Listening,
  MessageDecoder,
  MULTISTREAM_PROTOCOL,
  Proposing,
} from '../../src/connection/multistream.ts'

const limits = {
  maxNegotiationMessageBytes: 1024,
  maxNegotiationMessages: 16,
  maxHandshakeBytes: 65_536,
}
const INPUTS = process.env['STRONGHOLD_LONG'] === '1' ? 5_000_000 : 200_000
const MIB = 1024 * 1024

/** xorshift32: the same inputs every time. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const samples = [
  MULTISTREAM_PROTOCOL,
  '/noise',
  'na',
  'ls',
  '/yamux/1.0.0',
  'x'.repeat(200),
  'y'.repeat(1023),
].map(encodeMessage)

/** A true message with a few bytes changed, cut, doubled or preceded by nonsense. */
function malformedInput(random: (below: number) => number): Uint8Array {
  const bytes = Buffer.concat([
    ...(random(2) === 0 ? [samples[0] as Uint8Array] : []),
    samples[random(samples.length)] as Uint8Array,
    samples[random(4)] as Uint8Array,
  ])
  for (let changes = 1 + random(4); changes > 0; changes--) {
    bytes[random(Math.min(bytes.byteLength, 40))] = random(256)
  }
  return bytes.subarray(random(3), bytes.byteLength - random(3))
}

test(
  `${INPUTS.toString()} malformed inputs neither crash a negotiation nor stay in memory`,
  { timeout: INPUTS },
  () => {
    const random = randomFrom(0x5eed)
    const kept: unknown[] = []
    const before = heldBytes()
    const ends: Record<string, number> = {}
    for (let count = 0; count < INPUTS; count++) {
      const input = malformedInput(random)
      const machine =
        random(2) === 0
          ? new Listening((protocol) => protocol === '/noise', limits)
          : new Proposing(['/noise'], limits)
      const cut = random(input.byteLength)
      let step = machine.feed(input.subarray(0, cut))
      if (step.end === undefined) step = machine.feed(input.subarray(cut))
      const kind = step.end?.kind ?? 'more'
      ends[kind] = (ends[kind] ?? 0) + 1
      // The last thousand stay alive, as connections in handshake would.
      kept[count % 1000] = machine
    }
    expect(heldBytes() - before).toBeLessThan(20 * MIB)
    expect(kept.length).toBe(1000)
    // The inputs reach every way out.
    expect(Object.keys(ends).sort()).toEqual(['agreed', 'malformed', 'more', 'refused'])
  },
)

test('an announced length costs nothing until it is sent', () => {
  const before = heldBytes()
  const decoders = Array.from({ length: 1000 }, () => {
    const decoder = new MessageDecoder(MIB)
    // 1 MiB announced, one byte sent.
    expect(decoder.feed(Uint8Array.of(0x80, 0x80, 0x40, 0x61))).toEqual({ kind: 'more' })
    return decoder
  })
  expect(heldBytes() - before).toBeLessThan(MIB)
  expect(decoders.length).toBe(1000)
})

test('a length without an end is refused at its ninth byte', () => {
  const decoder = new MessageDecoder(1024)
  for (let count = 0; count < 8; count++) {
    expect(decoder.feed(Uint8Array.of(0x80))).toEqual({ kind: 'more' })
  }
  expect(decoder.feed(Uint8Array.of(0x80))).toEqual({
    kind: 'malformed',
    problem: 'a length without an end',
  })
})

test('a message sent byte by byte is copied a bounded number of times', () => {
  const message = encodeMessage('x'.repeat(MIB - 1))
  const decoder = new MessageDecoder(MIB)
  const started = performance.now()
  let last: unknown
  for (let at = 0; at < message.byteLength; at++) last = decoder.feed(message.subarray(at, at + 1))
  expect(last).toMatchObject({ kind: 'message', used: 1 })
  // Quadratic copying would move half a terabyte.
  expect(performance.now() - started).toBeLessThan(5000)
})
