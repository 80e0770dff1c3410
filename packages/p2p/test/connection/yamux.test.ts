import { concat } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import { FLAG, GO_AWAY, TYPE } from '../../src/connection/yamux-frame.ts'
import { ack, data, End, fin, frame, LIMITS, rst, streamOf, syn, update } from './_yamux-end.ts'
import type { Upper } from './_yamux-end.ts'

const KIB = 1024
const WINDOW = 256 * KIB

/** Carries everything between two ends until both are quiet. */
function settle(a: End, b: End): void {
  for (;;) {
    const fromA = a.take()
    const fromB = b.take()
    if (fromA.byteLength === 0 && fromB.byteLength === 0) return
    if (fromA.byteLength > 0) b.receive(fromA)
    if (fromB.byteLength > 0) a.receive(fromB)
  }
}

function pair(): [End, End, Upper, Upper] {
  const a = new End(true)
  const b = new End(false)
  const upper = a.open()
  settle(a, b)
  return [a, b, upper, b.inbound[0] as Upper]
}

describe('opening', () => {
  test('SYN travels with the first data, ACK with the first frame back', () => {
    const a = new End(true)
    const b = new End(false)
    const upper = a.open()
    a.write(upper, Uint8Array.of(1, 2, 3))
    const sent = a.take()
    expect(sent.byteLength).toBe(12 + 3)
    expect(sent[3]).toBe(FLAG.syn)
    b.receive(sent)
    const other = b.inbound[0] as Upper
    expect(other.bytes).toEqual(Uint8Array.of(1, 2, 3))
    expect(b.takeHeaders()).toEqual([])
    b.write(other, Uint8Array.of(4))
    expect(b.takeHeaders()).toMatchObject([{ type: TYPE.data, flags: FLAG.ack, length: 1 }])
  })

  test('a stream that nobody writes to is opened by a window update', () => {
    const a = new End(true)
    a.open()
    expect(a.takeHeaders()).toMatchObject([
      { type: TYPE.windowUpdate, flags: FLAG.syn, streamId: 1, length: 0 },
    ])
  })

  test('the initiator counts odd, the other side even', () => {
    const a = new End(true)
    const b = new End(false)
    expect([a.open(), a.open()].map((upper) => streamOf(upper).id)).toEqual([1, 3])
    expect([b.open(), b.open()].map((upper) => streamOf(upper).id)).toEqual([2, 4])
  })

  test('at most 256 streams are unacknowledged, the next ones wait', () => {
    const a = new End(true, { maxStreamsPerConnection: 300 })
    const uppers = Array.from({ length: 300 }, () => a.open())
    for (const upper of uppers) a.write(upper, Uint8Array.of(1))
    expect(a.takeHeaders()).toHaveLength(256)
    a.receive(ack(1), ack(3))
    expect(a.takeHeaders()).toMatchObject([
      { flags: FLAG.syn, streamId: 513 },
      { flags: FLAG.syn, streamId: 515 },
    ])
    a.session.reset(streamOf(uppers[299] as Upper))
    a.receive(rst(5))
    expect(a.takeHeaders()).toMatchObject([{ flags: FLAG.syn, streamId: 517 }])
  })

  test('past maxStreamsPerConnection no stream opens until one is over', () => {
    const a = new End(true, { maxStreamsPerConnection: 2 })
    const first = a.open()
    a.open()
    expect(() => a.open()).toThrow('opens no stream')
    a.session.reset(streamOf(first))
    a.open()
  })

  test('past maxStreamsPerConnection an inbound stream is reset, and the next one taken again', () => {
    const b = new End(false, { maxStreamsPerConnection: 2 })
    b.receive(syn(1), syn(3), syn(5))
    expect(b.inbound).toHaveLength(2)
    expect(b.takeHeaders()).toMatchObject([{ flags: FLAG.rst, streamId: 5 }])
    b.receive(rst(1), syn(7))
    expect(b.inbound).toHaveLength(3)
    expect(b.failure).toBeUndefined()
  })

  test('a stream that its owner refuses is reset, and its data skipped', () => {
    const b = new End(false)
    b.accepts = false
    b.receive(frame(TYPE.data, FLAG.syn, 1, 100), data(1, 1000))
    expect(b.takeHeaders()).toMatchObject([{ flags: FLAG.rst, streamId: 1 }])
    expect(b.session.streamCount).toBe(0)
    expect(b.failure).toBeUndefined()
  })

  test('an id may come late once, when another overtook it', () => {
    const b = new End(false)
    b.receive(syn(5), syn(1), syn(3))
    expect(b.inbound).toHaveLength(3)
    b.receive(rst(3), syn(3))
    expect(b.failure).toBe('stream id used twice')
  })

  test('the highest id is one like any other', () => {
    const b = new End(false)
    b.receive(syn(0xffff_ffff), syn(0xffff_fffd))
    expect(b.inbound).toHaveLength(2)
    expect(b.failure).toBeUndefined()
  })
})

describe('windows', () => {
  test('no more than the window is sent, and again as much once it is read', () => {
    const [a, b, upper, other] = pair()
    other.holding = true
    a.write(upper, new Uint8Array(3 * WINDOW))
    settle(a, b)
    expect(other.received).toBe(WINDOW)
    b.session.consume(streamOf(other), WINDOW / 2 - 1)
    expect(b.takeHeaders()).toEqual([])
    b.session.consume(streamOf(other), 1)
    expect(b.takeHeaders()).toMatchObject([
      { type: TYPE.windowUpdate, flags: FLAG.ack, length: WINDOW / 2 },
    ])
  })

  test('data that is read as it comes is granted again at half the window', () => {
    const [a, b, upper, other] = pair()
    a.write(upper, new Uint8Array(3 * WINDOW))
    settle(a, b)
    expect(other.received).toBe(3 * WINDOW)
  })

  test('a larger window is announced with SYN and ACK', () => {
    const a = new End(true, { streamWindowBytes: 1024 * KIB })
    const b = new End(false, { streamWindowBytes: 512 * KIB })
    a.open()
    const opening = a.take()
    b.receive(opening)
    expect(b.takeHeaders()).toMatchObject([{ flags: FLAG.ack, length: 256 * KIB }])
    const c = new End(true, { streamWindowBytes: 1024 * KIB })
    c.open()
    expect(c.takeHeaders()).toMatchObject([{ flags: FLAG.syn, length: 768 * KIB }])
  })

  test('streamWindowBytes below 256 KiB is refused', () => {
    expect(() => new End(true, { streamWindowBytes: WINDOW - 1 })).toThrow(RangeError)
  })

  test('a frame past the window ends the session, at the window it does not', () => {
    const exact = new End(false)
    exact.holding = true
    exact.receive(syn(1), data(1, WINDOW))
    expect(exact.failure).toBeUndefined()
    const over = new End(false)
    over.holding = true
    over.receive(syn(1), data(1, WINDOW - 1))
    over.receive(data(1, 2))
    expect(over.failure).toBe('window exceeded')
    expect(over.inbound[0]?.told).toEqual(['failed session'])
    expect(over.takeHeaders()).toMatchObject([{ type: TYPE.goAway, length: GO_AWAY.protocolError }])
  })

  test('no window update follows FIN or RST of the other side', () => {
    const b = new End(false)
    b.holding = true
    b.receive(syn(1), data(1, WINDOW), fin(1), syn(3), data(3, WINDOW), rst(3))
    b.session.consume(streamOf(b.inbound[0] as Upper), WINDOW)
    b.session.consume(streamOf(b.inbound[1] as Upper), WINDOW)
    expect(b.takeHeaders()).toEqual([])
    const reading = new End(false)
    reading.receive(syn(1), data(1, WINDOW), fin(1))
    expect(reading.takeHeaders()).toEqual([])
  })

  test('our own FIN does not stop window updates', () => {
    const b = new End(false)
    b.receive(syn(1))
    b.session.end(streamOf(b.inbound[0] as Upper))
    b.take()
    b.receive(data(1, WINDOW / 2))
    expect(b.takeHeaders()).toMatchObject([{ type: TYPE.windowUpdate, length: WINDOW / 2 }])
  })
})

describe('sending', () => {
  test('a frame that the window cuts is finished by itself: those behind it begin where they would have', () => {
    const a = new End(true)
    const one = a.open()
    a.write(one, new Uint8Array(400 * KIB))
    const most = 16 * KIB - 12
    const cut = WINDOW - 16 * most
    const lengths = (): number[] => a.takeHeaders().map(({ length }) => length)
    expect(lengths()).toEqual([...Array.from({ length: 16 }, () => most), cut])
    a.receive(update(1, 3 * most))
    expect(lengths()).toEqual([most - cut, most, most, cut])
    a.receive(update(1, WINDOW))
    const rest = 400 * KIB - WINDOW - 3 * most
    const whole = Math.floor((rest - (most - cut)) / most)
    expect(lengths()).toEqual([
      most - cut,
      ...Array.from({ length: whole }, () => most),
      rest - (most - cut) - whole * most,
    ])
  })

  test('frames fill one record of TLS at most and streams take turns', () => {
    const a = new End(true)
    const [one, two, small] = [a.open(), a.open(), a.open()]
    a.write(one, new Uint8Array(34 * KIB))
    a.write(two, new Uint8Array(34 * KIB))
    a.write(small, new Uint8Array(10))
    const most = 16 * KIB - 12
    const rest = 34 * KIB - 2 * most
    expect(a.takeHeaders().map(({ streamId, length }) => [streamId, length])).toEqual([
      [1, most],
      [3, most],
      [5, 10],
      [1, most],
      [3, most],
      [1, rest],
      [3, rest],
    ])
  })

  test('take gives little more than asked, and the turn goes on where it stopped', () => {
    const a = new End(true)
    const [one, two] = [a.open(), a.open()]
    a.write(one, new Uint8Array(200 * KIB))
    a.write(two, new Uint8Array(10))
    const first = concat(a.session.take(1000))
    expect(first.byteLength).toBe(16 * KIB)
    const second = concat(a.session.take(1000))
    expect(second[7]).toBe(3)
  })

  test('writes of one turn become one buffer, long ones are passed as they are', () => {
    const a = new End(true)
    const uppers = Array.from({ length: 20 }, () => a.open())
    for (const upper of uppers) a.write(upper, new Uint8Array(30))
    expect(a.session.take(Infinity).length).toBeLessThanOrEqual(3)
    const long = new Uint8Array(10_000)
    a.write(uppers[0] as Upper, long)
    expect(a.session.take(Infinity)[1]).toBe(long)
  })

  test('writers wait past 256 KiB a stream, and hear of room', () => {
    const [a, b, upper] = pair()
    expect(a.write(upper, new Uint8Array(WINDOW - 1))).toBe(true)
    expect(a.write(upper, new Uint8Array(1))).toBe(false)
    settle(a, b)
    expect(upper.told).toEqual(['drain'])
  })

  test('writers wait past maxConnectionSendBytes, and one whose bytes left goes on', () => {
    const a = new End(true, { maxConnectionSendBytes: 1000 })
    const [one, two] = [a.open(), a.open()]
    expect(a.write(one, new Uint8Array(999))).toBe(true)
    expect(a.write(two, new Uint8Array(1))).toBe(false)
    a.session.take(Infinity)
    a.session.drained()
    expect(two.told).toEqual(['drain'])
    expect(one.told).toEqual([])
  })

  test('a writer whose bytes did not leave waits while the connection is full', () => {
    const a = new End(true, { maxConnectionSendBytes: 1000 })
    const [one, two] = [a.open(), a.open()]
    a.write(one, new Uint8Array(200 * KIB))
    expect(a.write(two, new Uint8Array(100))).toBe(false)
    a.session.take(1)
    a.session.drained()
    expect([one.told, two.told]).toEqual([[], []])
    a.take()
    expect([one.told, two.told]).toEqual([['drain'], ['drain']])
  })

  test('a writer whose window is used up waits for the other side', () => {
    const a = new End(true)
    const upper = a.open()
    a.write(upper, new Uint8Array(WINDOW))
    a.take()
    expect(upper.told).toEqual([])
    a.receive(update(1, 1))
    a.take()
    expect(upper.told).toEqual(['drain'])
  })
})

describe('ends', () => {
  test('both sides half-close and the stream is gone', () => {
    const [a, b, upper, other] = pair()
    a.write(upper, Uint8Array.of(1))
    a.session.end(streamOf(upper))
    settle(a, b)
    expect(other.told).toEqual(['end'])
    b.write(other, Uint8Array.of(2, 3))
    b.session.end(streamOf(other))
    settle(a, b)
    expect(upper.bytes).toEqual(Uint8Array.of(2, 3))
    expect(upper.told).toEqual(['end', 'finished'])
    expect(other.told).toEqual(['end', 'finished'])
    expect([a.session.streamCount, b.session.streamCount]).toEqual([0, 0])
  })

  test('what is unread keeps a finished stream, and counts', () => {
    const [a, b, upper, other] = pair()
    other.holding = true
    a.write(upper, new Uint8Array(10))
    a.session.end(streamOf(upper))
    b.session.end(streamOf(other))
    settle(a, b)
    expect(upper.told).toEqual(['end', 'finished'])
    expect(other.told).toEqual(['end'])
    expect([b.session.streamCount, b.session.heldBytes]).toEqual([1, 10])
    b.session.consume(streamOf(other), 10)
    expect(other.told).toEqual(['end', 'finished'])
    expect([b.session.streamCount, b.session.heldBytes]).toEqual([0, 0])
  })

  test('a reset tells the other side, drops what is queued and frees the stream', () => {
    const [a, b, upper, other] = pair()
    a.write(upper, new Uint8Array(1000))
    a.session.reset(streamOf(upper))
    expect(a.session.queuedBytes).toBe(0)
    expect(a.takeHeaders()).toMatchObject([{ flags: FLAG.rst, streamId: 1, length: 0 }])
    b.receive(rst(1))
    expect(other.told).toEqual(['failed reset'])
    expect(upper.told).toEqual([])
    expect([a.session.streamCount, b.session.streamCount]).toEqual([0, 0])
  })

  test('a stream that the other side never heard of is reset without a word', () => {
    const a = new End(true)
    a.session.reset(streamOf(a.open()))
    expect(a.takeHeaders()).toEqual([])
  })

  test('FIN with data ends after the data, however it is cut', () => {
    const b = new End(false)
    const bytes = concat([syn(1), frame(TYPE.data, FLAG.fin, 1, 3)])
    for (const byte of bytes) b.receive(Uint8Array.of(byte))
    expect(b.inbound[0]?.received).toBe(3)
    expect(b.inbound[0]?.told).toEqual(['end'])
  })

  test('data after FIN resets the stream', () => {
    const b = new End(false)
    b.receive(syn(1), fin(1), data(1, 10))
    expect(b.inbound[0]?.received).toBe(0)
    expect(b.inbound[0]?.told).toEqual(['end', 'failed refused'])
    expect(b.takeHeaders()).toMatchObject([{ flags: FLAG.rst, streamId: 1 }])
    expect(b.failure).toBeUndefined()
  })

  test('what crosses with our reset is skipped and costs nothing', () => {
    const b = new End(false, { muxerControlBurst: 1 })
    b.receive(syn(1))
    b.session.reset(streamOf(b.inbound[0] as Upper))
    for (let i = 0; i < 4096; i++) b.receive(data(1, 64))
    expect(b.failure).toBeUndefined()
    b.receive(data(1, 64))
    b.receive(data(1, 64))
    expect(b.failure).toBe('too many frames for no stream')
  })
})

describe('the session', () => {
  test('a ping is answered with its number', () => {
    const b = new End(false)
    b.receive(frame(TYPE.ping, FLAG.syn, 0, 0xdeadbeef))
    expect(b.takeHeaders()).toMatchObject([
      { type: TYPE.ping, flags: FLAG.ack, streamId: 0, length: 0xdeadbeef },
    ])
  })

  test('an answer to our ping comes back with its number', () => {
    const a = new End(true)
    const opaque = a.session.ping() ?? -1
    expect(a.takeHeaders()).toMatchObject([{ type: TYPE.ping, flags: FLAG.syn, length: opaque }])
    a.receive(frame(TYPE.ping, FLAG.ack, 0, opaque))
    expect(a.pongs).toEqual([opaque])
  })

  test('after a normal go away of the other side streams go on and none opens', () => {
    const [a, b, upper, other] = pair()
    b.session.goAway(GO_AWAY.normal)
    settle(a, b)
    expect(a.goAways).toEqual([GO_AWAY.normal])
    expect(a.session.opens).toBe(false)
    a.write(upper, Uint8Array.of(7))
    settle(a, b)
    expect(other.bytes).toEqual(Uint8Array.of(7))
    b.receive(syn(9))
    expect(b.takeHeaders()).toMatchObject([{ flags: FLAG.rst, streamId: 9 }])
  })

  test.each([1, 2, 77])('a go away with code %d ends the session', (code) => {
    const [a, , upper] = pair()
    a.receive(frame(TYPE.goAway, 0, 0, code))
    expect(a.failure).toBe(`the other side went away with code ${code}`)
    expect(upper.told).toEqual(['failed session'])
    expect(a.takeHeaders()).toEqual([])
  })

  test('when the connection is gone every stream fails but the one that was complete', () => {
    const [a, b, upper, other] = pair()
    const open = a.open()
    other.holding = true
    a.write(upper, Uint8Array.of(1))
    a.session.end(streamOf(upper))
    b.session.end(streamOf(other))
    settle(a, b)
    a.session.lost()
    b.session.lost()
    expect(open.told).toEqual(['failed session'])
    expect(other.told).toEqual(['end'])
    b.session.consume(streamOf(other), 1)
    expect(other.told).toEqual(['end', 'finished'])
  })

  test('limits have the defaults of P2pLimits', () => {
    expect(LIMITS.streamWindowBytes).toBe(WINDOW)
  })
})
