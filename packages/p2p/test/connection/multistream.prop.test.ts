import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import {
  encodeMessage,
  Listening,
  MessageDecoder,
  MULTISTREAM_PROTOCOL,
  Proposing,
} from '../../src/connection/multistream.ts'
import type { Decoded, Negotiated } from '../../src/connection/multistream.ts'

const limits = {
  maxNegotiationMessageBytes: 256,
  maxNegotiationMessages: 5,
  maxHandshakeBytes: 2048,
}
const text = fc
  .string({ unit: 'binary', maxLength: 60 })
  .filter((value) => new TextDecoder().decode(new TextEncoder().encode(value)) === value)
const cuts = fc.array(fc.integer({ min: 0, max: 4096 }), { maxLength: 12 })

function pieces(bytes: Uint8Array, at: number[]): Uint8Array[] {
  const sorted = [0, ...at.map((cut) => Math.min(cut, bytes.byteLength)), bytes.byteLength].sort(
    (a, b) => a - b,
  )
  return sorted.slice(1).map((cut, index) => bytes.subarray(sorted[index], cut))
}

/** Every message of a byte string, however it is cut, and how it ended. */
function decodeAll(chunks: Uint8Array[], maxBytes: number): { texts: string[]; bad?: string } {
  const decoder = new MessageDecoder(maxBytes)
  const texts: string[] = []
  for (const chunk of chunks) {
    let rest = chunk
    let step: Decoded = decoder.feed(rest)
    for (; step.kind === 'message'; step = decoder.feed(rest)) {
      texts.push(step.text)
      rest = rest.subarray(step.used)
    }
    if (step.kind === 'malformed') return { texts, bad: step.problem }
  }
  return { texts }
}

/** The readable reference: the whole byte string at once, slow and plain. */
function decodeReference(bytes: Uint8Array, maxBytes: number): { texts: string[]; bad?: true } {
  const texts: string[] = []
  let at = 0
  while (at < bytes.byteLength) {
    let length = 0n
    let shift = 0n
    let byte = 0x80
    let count = 0
    for (; byte >= 0x80; shift += 7n, count += 1) {
      const next = bytes[at + count]
      if (length > BigInt(maxBytes) || count === 9) return { texts, bad: true }
      if (next === undefined) return { texts }
      byte = next
      length |= BigInt(byte & 0x7f) << shift
    }
    if (length > BigInt(maxBytes) || (byte === 0 && count > 1)) return { texts, bad: true }
    const line = bytes.subarray(at + count, at + count + Number(length))
    if (line.byteLength < Number(length)) return { texts }
    const whole = Buffer.from(line).toString('utf8')
    if (!whole.endsWith('\n') || !Buffer.from(whole).equals(line)) return { texts, bad: true }
    texts.push(whole.slice(0, -1))
    at += count + Number(length)
  }
  return { texts }
}

test.prop([fc.array(text, { maxLength: 6 }), cuts])(
  'what is encoded is decoded, however it is cut',
  (texts, at) => {
    const bytes = Buffer.concat(texts.map(encodeMessage))
    expect(decodeAll(pieces(bytes, at), 1024)).toEqual({ texts })
  },
)

const nearlyMessages = fc
  .array(
    fc.oneof(
      text.map(encodeMessage),
      fc.uint8Array({ maxLength: 12 }),
      fc.constantFrom(
        Uint8Array.of(0x80, 0),
        Uint8Array.of(0x83, 0),
        new Uint8Array(10).fill(0x80),
      ),
    ),
    { maxLength: 5 },
  )
  .map((parts) => Uint8Array.from(Buffer.concat(parts)))

test.prop([nearlyMessages, cuts], { numRuns: 2000 })(
  'any bytes decode as the reference says, however they are cut',
  (bytes, at) => {
    const expected = decodeReference(bytes, 128)
    const got = decodeAll(pieces(bytes, at), 128)
    expect(got.texts).toEqual(expected.texts)
    expect(got.bad !== undefined).toBe(expected.bad === true)
  },
)

function run(machine: { feed(chunk: Uint8Array): Negotiated }, chunks: Uint8Array[]): unknown {
  const sent: Uint8Array[] = []
  const rest: Uint8Array[] = []
  let end: Negotiated['end']
  for (const chunk of chunks) {
    if (end !== undefined) {
      rest.push(chunk)
      continue
    }
    const step = machine.feed(chunk)
    sent.push(step.send)
    end = step.end
    if (end?.kind === 'agreed') rest.push(end.rest)
  }
  return {
    sent: Buffer.concat(sent).toString('hex'),
    end: end === undefined ? undefined : { ...end, rest: undefined },
    rest: end?.kind === 'agreed' ? Buffer.concat(rest).toString('hex') : undefined,
  }
}

const opening = encodeMessage(MULTISTREAM_PROTOCOL)
const conversation = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom('/a', '/b', '/c', 'na', 'ls').map(encodeMessage) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 8 }) },
    ),
    { maxLength: 8 },
  )
  .map((parts) => Uint8Array.from(Buffer.concat([opening, ...parts])))

test.prop([conversation, cuts], { numRuns: 1000 })(
  'a listener does the same however its input is cut',
  (bytes, at) => {
    const offers = (protocol: string): boolean => protocol === '/b'
    expect(run(new Listening(offers, limits), pieces(bytes, at))).toEqual(
      run(new Listening(offers, limits), [bytes]),
    )
  },
)

test.prop([conversation, cuts], { numRuns: 1000 })(
  'a dialer with one proposal does the same however its input is cut',
  (bytes, at) => {
    expect(run(new Proposing(['/b'], limits), pieces(bytes, at))).toEqual(
      run(new Proposing(['/b'], limits), [bytes]),
    )
  },
)

test.prop([
  fc.uniqueArray(fc.constantFrom<string[]>('/a', '/b', '/c', '/d'), { minLength: 1 }),
  fc.uniqueArray(fc.constantFrom<string[]>('/a', '/b', '/c', '/d')),
])('two machines agree on the first proposal that is offered, or on none', (proposals, offered) => {
  const dialer = new Proposing(proposals, limits)
  const listener = new Listening((protocol) => offered.includes(protocol), limits)
  let toListener = dialer.opening()
  let ends: (string | undefined)[] = []
  for (let turn = 0; turn < 10; turn++) {
    const answer = listener.feed(toListener)
    const next = dialer.feed(answer.send)
    ends = [answer.end, next.end].map((end) => (end?.kind === 'agreed' ? end.protocol : end?.kind))
    if (next.end !== undefined) break
    toListener = next.send
  }
  const first = proposals.find((protocol) => offered.includes(protocol))
  expect(ends).toEqual(first === undefined ? [undefined, 'refused'] : [first, first])
})
