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
const header = encodeMessage(MULTISTREAM_PROTOCOL)
const line = (...texts: string[]): Uint8Array => Buffer.concat(texts.map(encodeMessage))
const hello = (...texts: string[]): Uint8Array => Buffer.concat([header, line(...texts)])
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

test('a message is a minimal length, the text and a newline', () => {
  expect([...encodeMessage('na')]).toEqual([3, 0x6e, 0x61, 0x0a])
  expect([...encodeMessage('x'.repeat(127)).subarray(0, 3)]).toEqual([0x80, 0x01, 0x78])
})

test('a message of exactly the limit is taken and one byte more is not', () => {
  const most = encodeMessage('x'.repeat(1023))
  expect(new MessageDecoder(1024).feed(most).kind).toBe('message')
  expect(new MessageDecoder(1024).feed(encodeMessage('x'.repeat(1024)))).toEqual({
    kind: 'malformed',
    problem: 'a message that is too long',
  })
})

test('a message is a line of text: empty, without a newline or not UTF-8 it is malformed', () => {
  for (const bytes of [[0], [1, 0x61], [2, 0xff, 0x0a]]) {
    expect(new MessageDecoder(1024).feed(Uint8Array.from(bytes)).kind).toBe('malformed')
  }
})

test('a text other than ASCII survives', () => {
  const bytes = encodeMessage('/grüße/1')
  expect(new MessageDecoder(64).feed(bytes)).toMatchObject({ kind: 'message', text: '/grüße/1' })
})

test('the listener answers what came together in one piece and gives the rest back', () => {
  const listening = new Listening((protocol) => protocol === '/b', limits)
  const { send, end } = listening.feed(Buffer.concat([hello('/a', '/b'), Uint8Array.of(1, 2)]))
  expect(same(send, hello('na', '/b'))).toBe(true)
  expect(end).toEqual({ kind: 'agreed', protocol: '/b', rest: Buffer.of(1, 2) })
  expect(listening.bytes).toBe(hello('/a', '/b').byteLength)
})

test('the listener greets a dialer that waits for the greeting', () => {
  const listening = new Listening(() => true, limits)
  expect(same(listening.feed(header).send, header)).toBe(true)
  expect(same(listening.feed(line('/a')).send, line('/a'))).toBe(true)
})

test('the listener refuses to list what it offers', () => {
  const listening = new Listening((protocol) => protocol === '/a', limits)
  const { send, end } = listening.feed(hello('ls'))
  expect(same(send, hello('na'))).toBe(true)
  expect(end).toBeUndefined()
})

test('the listener wants the greeting first', () => {
  const listening = new Listening(() => true, limits)
  expect(listening.feed(line('/a')).end?.kind).toBe('malformed')
})

test('the listener answers as many proposals as the limit says', () => {
  const listening = new Listening((protocol) => protocol === '/a', {
    ...limits,
    maxNegotiationMessages: 3,
  })
  expect(listening.feed(hello('/x', '/y')).end).toBeUndefined()
  expect(listening.feed(line('/z')).end).toEqual({
    kind: 'exhausted',
    problem: 'too many proposals',
  })
})

test('the listener takes as many bytes as the limit says', () => {
  const bytes = hello('/a')
  const exact = new Listening(() => true, { ...limits, maxHandshakeBytes: bytes.byteLength })
  expect(exact.feed(bytes).end?.kind).toBe('agreed')
  const less = new Listening(() => true, { ...limits, maxHandshakeBytes: bytes.byteLength - 1 })
  expect(less.feed(bytes).end).toEqual({ kind: 'exhausted', problem: 'too many bytes' })
})

test('the dialer proposes in order until one is echoed', () => {
  const proposing = new Proposing(['/a', '/b'], limits)
  expect(same(proposing.opening(), hello('/a'))).toBe(true)
  const first = proposing.feed(hello('na'))
  expect(same(first.send, line('/b'))).toBe(true)
  expect(first.end).toBeUndefined()
  const second = proposing.feed(Buffer.concat([line('/b'), Uint8Array.of(7)]))
  expect(second.end).toEqual({ kind: 'agreed', protocol: '/b', rest: Buffer.of(7) })
})

test('the dialer whose proposals are all refused says so', () => {
  const proposing = new Proposing(['/a'], limits)
  expect(proposing.feed(hello('na')).end).toEqual({ kind: 'refused' })
})

test('the dialer takes nothing but an echo, in its turn', () => {
  expect(new Proposing(['/a'], limits).feed(line('/a')).end?.kind).toBe('malformed')
  expect(new Proposing(['/a'], limits).feed(hello('/b')).end?.kind).toBe('malformed')
  expect(new Proposing(['/a', '/b'], limits).feed(hello('na', '/b')).end?.kind).toBe('malformed')
  expect(() => new Proposing([], limits)).toThrow(RangeError)
})

test('the dialer takes as many bytes as the limit says', () => {
  const bytes = hello('/a')
  const exact = new Proposing(['/a'], { ...limits, maxHandshakeBytes: bytes.byteLength })
  expect(exact.feed(bytes).end?.kind).toBe('agreed')
  expect(exact.bytes).toBe(bytes.byteLength)
  const less = new Proposing(['/a'], { ...limits, maxHandshakeBytes: bytes.byteLength - 1 })
  expect(less.feed(bytes).end?.kind).toBe('exhausted')
})
