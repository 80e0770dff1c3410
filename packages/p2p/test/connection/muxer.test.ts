import { encodeUtf8 } from '@stronghold/core'
import { manualClock } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import { FLAG, TYPE } from '../../src/connection/yamux-frame.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Pipe } from '../../src/connection/pipe.ts'
import type { Stream } from '@libp2p/interface'

import { frame, headersOf, syn } from './_yamux-end.ts'
import { muxer, muxerPair, Reading, rest, taking } from './_muxer-pair.ts'

const KIB = 1024

/** A pair where `b` takes pipes, and one stream between them. */
async function joined(highWaterBytes?: number) {
  const side = taking()
  const pair = muxerPair({ offers: () => true }, side, highWaterBytes)
  const near = pair.a.openPipe('/x/1')
  near.write([Uint8Array.of(0)])
  await rest()
  const far = side.taken[0]?.[1] as Pipe
  return { ...pair, near, far, taken: side.taken }
}

/** Frames by hand against one muxer, and what it writes. */
function byHand(side: Parameters<typeof muxer>[2] = {}) {
  const [ours, theirs] = pipePair()
  const b = muxer(theirs, false, side)
  return { b, ours, heard: new Reading(ours) }
}

describe('pipes', () => {
  test('the proposal, the stream and the first data leave in one write', async () => {
    const side = taking()
    const [left, right] = pipePair()
    const heard = new Reading(right)
    const a = muxer(left, true, side)
    a.openPipe('/x/1').write([Uint8Array.of(1, 2)])
    await rest()
    expect(heard.chunks).toHaveLength(1)
    expect(headersOf(heard.all)).toMatchObject([{ type: TYPE.data, flags: FLAG.syn }])
  })

  test('bytes go both ways, and the protocol is told', async () => {
    const { near, far, taken } = await joined()
    expect(taken[0]?.[0]).toBe('/x/1')
    const nearReading = new Reading(near)
    const farReading = new Reading(far)
    near.write([Uint8Array.of(1, 2), Uint8Array.of(3)])
    far.write([Uint8Array.of(4)])
    await rest()
    expect(farReading.all).toEqual(Uint8Array.of(0, 1, 2, 3))
    expect(nearReading.all).toEqual(Uint8Array.of(4))
  })

  test('what is written in one turn leaves in one write, whatever stream it is on', async () => {
    const { a, b, below } = muxerPair()
    const pipes = Array.from({ length: 64 }, () => a.openPipe())
    await rest()
    let writes = 0
    const { write } = below[0]
    below[0].write = (chunks) => {
      writes += 1
      expect(chunks.length).toBeLessThanOrEqual(4)
      return write.call(below[0], chunks)
    }
    for (const pipe of pipes) pipe.write([new Uint8Array(32), new Uint8Array(32)])
    await rest()
    expect(writes).toBe(1)
    expect(b.session.streamCount).toBe(64)
  })

  test('half-close: the other direction goes on', async () => {
    const { near, far, a, b } = await joined()
    const nearReading = new Reading(near)
    const farReading = new Reading(far)
    near.end()
    near.write([Uint8Array.of(9)])
    await farReading.until(() => farReading.ended)
    expect(farReading.closes).toEqual([])
    far.write([new Uint8Array(300 * KIB)])
    far.end()
    expect(await nearReading.closed()).toBeUndefined()
    expect(await farReading.closed()).toBeUndefined()
    expect(nearReading.bytes).toBe(300 * KIB)
    expect(farReading.all).toEqual(Uint8Array.of(0))
    expect([near.closed, far.closed]).toEqual([true, true])
    expect([a.session.streamCount, b.session.streamCount]).toEqual([0, 0])
  })

  test('pause stops the sender, resume loses nothing', async () => {
    const { near, far, b } = await joined()
    const reading = new Reading(far, true)
    let sent = 1
    let room = true
    while (room && sent < 10_000 * KIB) {
      room = near.write([new Uint8Array(50_000)])
      sent += 50_000
      await rest()
    }
    expect(room).toBe(false)
    expect(sent).toBeLessThan(600 * KIB)
    expect(b.session.heldBytes).toBeLessThanOrEqual(256 * KIB)
    far.resume()
    await reading.until(() => reading.bytes === sent)
    expect(b.session.heldBytes).toBe(0)
  })

  test('a listener that pauses in the middle gets no more', async () => {
    const { near, far } = await joined()
    const sizes: number[] = []
    far.listen({
      data: (chunk) => {
        sizes.push(chunk.byteLength)
        far.pause()
      },
      drain: () => {},
      end: () => {},
      close: () => {},
    })
    far.resume()
    await rest()
    near.write([Uint8Array.of(1)])
    near.write([Uint8Array.of(1, 2)])
    await rest()
    expect(sizes).toEqual([1])
    far.resume()
    await rest()
    expect(sizes).toEqual([1, 3])
  })

  test('bytes given back come first, and do not count as read twice', async () => {
    const { near, far, b } = await joined()
    near.write([Uint8Array.of(1, 2, 3)])
    await rest()
    const first = new Reading(far)
    await first.until(() => first.bytes === 4)
    far.pause()
    far.unshift(Uint8Array.of(8, 9))
    const second = new Reading(far, true)
    near.write([Uint8Array.of(4)])
    await rest()
    expect(second.bytes).toBe(0)
    far.resume()
    await rest()
    expect(second.all).toEqual(Uint8Array.of(8, 9, 4))
    expect(b.session.heldBytes).toBe(0)
  })

  test('a new listener is told of an end that the last one heard', async () => {
    const { near, far } = await joined()
    near.end()
    const first = new Reading(far)
    await first.until(() => first.ended)
    const second = new Reading(far)
    await second.until(() => second.ended)
  })

  test('a clean close waits until the reader saw the end', async () => {
    const { near, far, b } = await joined()
    const reading = new Reading(far)
    await reading.until(() => reading.bytes === 1)
    far.pause()
    near.end()
    far.end()
    new Reading(near)
    await rest()
    expect([reading.ended, reading.closes, b.session.streamCount]).toEqual([false, [], 0])
    far.resume()
    expect(await reading.closed()).toBeUndefined()
    expect(reading.ended).toBe(true)
  })

  test('destroy resets: both ends close with an error, once, and nothing is left', async () => {
    const { near, far, a, b } = await joined()
    const nearReading = new Reading(near)
    const farReading = new Reading(far)
    const error = new Error('enough')
    near.write([new Uint8Array(1000)])
    near.destroy(error)
    near.destroy(new Error('again'))
    expect(near.closed).toBe(true)
    expect(nearReading.closes).toEqual([])
    expect(await nearReading.closed()).toBe(error)
    expect(await farReading.closed()).toMatchObject({ code: 'unavailable', reason: 'reset' })
    await rest()
    expect([nearReading.closes.length, farReading.closes.length]).toEqual([1, 1])
    expect([a.session.streamCount, b.session.streamCount]).toEqual([0, 0])
  })

  test('when the connection breaks, open streams close with an error', async () => {
    const { near, far, below, a, b } = await joined()
    const readings = [new Reading(near), new Reading(far)]
    below[0].destroy()
    for (const reading of readings)
      expect(await reading.closed()).toMatchObject({ code: 'unavailable' })
    expect([a.status, b.status]).toEqual(['closed', 'closed'])
    expect(() => a.openPipe('/x/1')).toThrow('the connection is closing')
  })

  test('a small write does not wait behind bulk', async () => {
    const side = taking()
    const { a } = muxerPair({ offers: () => true }, side, 64 * KIB)
    const bulk = a.openPipe('/bulk')
    const small = a.openPipe('/small')
    bulk.write([Uint8Array.of(1)])
    small.write([Uint8Array.of(1)])
    await rest()
    const readings = side.taken.map(([, pipe]) => new Reading(pipe))
    while (bulk.write([new Uint8Array(64 * KIB)]));
    small.write([Uint8Array.of(2)])
    await (readings[1] as Reading).until(() => (readings[1] as Reading).bytes === 2)
    expect((readings[0] as Reading).bytes).toBeLessThanOrEqual(192 * KIB + 1)
  })

  test('when the pipe below is full, writers wait and nothing more is handed down', async () => {
    const limits = { maxConnectionSendBytes: 64 * KIB }
    const { a, b, below } = muxerPair({ limits }, {}, 64 * KIB)
    const streams: Stream[] = []
    b.addEventListener('stream', ({ detail }) => {
      streams.push(detail)
    })
    below[1].pause()
    const pipe = a.openPipe()
    const reading = new Reading(pipe)
    expect(pipe.write([new Uint8Array(100 * KIB)])).toBe(false)
    await rest()
    const other = a.openPipe()
    other.write([new Uint8Array(100)])
    await rest()
    expect(below[0].queuedBytes).toBeLessThan(200 * KIB)
    // All of it was handed down, and still nobody is told to write on.
    expect([pipe.queuedBytes, reading.drains, other.queuedBytes]).toEqual([0, 0, 100])
    below[1].resume()
    await rest()
    expect(other.queuedBytes).toBe(0)
    streams[0]?.addEventListener('message', () => {})
    await reading.until(() => reading.drains === 1)
  })
})

describe('libp2p streams', () => {
  test('a stream comes with its protocol, negotiated before it is announced', async () => {
    const announced: Stream[] = []
    const { a, b } = muxerPair({ offers: () => true }, { offers: (name) => name === '/x/1' })
    b.addEventListener('stream', ({ detail }) => {
      announced.push(detail)
    })
    const near = await a.createStream({ protocol: '/x/1' })
    expect(near.protocol).toBe('/x/1')
    const heard = Promise.withResolvers<Uint8Array>()
    near.addEventListener('message', ({ data }) => {
      heard.resolve(data.subarray())
    })
    near.send(Uint8Array.of(5))
    await rest()
    expect(announced.map(({ protocol, direction }) => [protocol, direction])).toEqual([
      ['/x/1', 'inbound'],
    ])
    announced[0]?.addEventListener('message', ({ data }) => {
      announced[0]?.send(data)
    })
    expect(await heard.promise).toEqual(Uint8Array.of(5))
    expect([a.streams, b.streams].map((list) => list.length)).toEqual([1, 1])
  })

  test('without a protocol the stream is not negotiated', async () => {
    const side = taking(['/x/1'])
    const { a } = muxerPair({ offers: () => true }, side)
    const near = await a.createStream()
    expect(near.protocol).toBe('')
    near.send(encodeUtf8('\x13/multistream/1.0.0\n\x05/x/1\n'))
    await rest()
    expect(side.taken.map(([protocol]) => protocol)).toEqual(['/x/1'])
  })

  test('a protocol that is not offered closes the stream with unimplemented', async () => {
    const { a, b } = muxerPair({ offers: () => true }, taking(['/x/1']))
    const reading = new Reading(a.openPipe('/y/1'))
    expect(await reading.closed()).toMatchObject({ code: 'unimplemented' })
    await rest()
    expect([a.session.streamCount, b.session.streamCount]).toEqual([0, 0])
  })

  test('onPipe may leave a stream to the event', async () => {
    const announced: string[] = []
    const { a, b } = muxerPair(
      { offers: () => true },
      { offers: () => true, onPipe: (protocol) => protocol === '/raw' },
    )
    b.addEventListener('stream', ({ detail }) => {
      announced.push(detail.protocol)
    })
    a.openPipe('/raw').write([Uint8Array.of(1)])
    a.openPipe('/stream').write([Uint8Array.of(1)])
    await rest()
    expect(announced).toEqual(['/stream'])
    expect(b.streams).toHaveLength(1)
  })

  test('streams that come before anybody listens are announced to the first listener', async () => {
    const { a, b } = muxerPair()
    a.openPipe().write([Uint8Array.of(1)])
    await rest()
    const announced: Stream[] = []
    b.addEventListener('stream', ({ detail }) => {
      announced.push(detail)
    })
    await rest()
    expect(announced).toHaveLength(1)
  })
})

describe('limits', () => {
  test('maxStreamsPerConnection: the next stream of our own is an error', async () => {
    const { a } = muxerPair({ limits: { maxStreamsPerConnection: 1 } })
    a.openPipe()
    expect(() => a.openPipe()).toThrow('too many are open')
    await expect(a.createStream()).rejects.toMatchObject({
      name: 'TooManyOutboundProtocolStreamsError',
    })
  })

  test('maxUnnegotiatedStreams: the next inbound stream is reset, the others are not', async () => {
    const { heard, ours, b } = byHand({ ...taking(), limits: { maxUnnegotiatedStreams: 2 } })
    ours.write([syn(1), syn(3), syn(5)])
    await rest()
    expect(headersOf(heard.all)).toMatchObject([{ flags: FLAG.rst, streamId: 5 }])
    expect(b.session.streamCount).toBe(2)
  })

  test('negotiationTimeoutMs: a stream that says nothing is reset, at the limit and not before', async () => {
    const { a, b, clock } = muxerPair({}, { ...taking(), limits: { negotiationTimeoutMs: 5000 } })
    const reading = new Reading(a.openPipe())
    await rest()
    clock.advance(4999)
    await rest()
    expect(b.session.streamCount).toBe(1)
    clock.advance(1)
    expect(await reading.closed()).toMatchObject({ reason: 'reset' })
    expect(b.session.streamCount).toBe(0)
    expect(clock.timers).toBe(2) // one keep-alive each
  })

  test('keepAliveIntervalMs: silence is asked for a sign of life, and one is enough', async () => {
    const { a, b, clock, below } = muxerPair()
    let writes = 0
    const { write } = below[0]
    below[0].write = (chunks) => {
      writes += 1
      return write.call(below[0], chunks)
    }
    clock.advance(14_999)
    await rest()
    expect(writes).toBe(0)
    for (let i = 0; i < 20; i++) {
      clock.advance(5000)
      await rest()
    }
    expect(writes).toBeGreaterThan(2)
    expect([a.status, b.status]).toEqual(['open', 'open'])
    expect(clock.timers).toBe(2)
  })

  test('keepAliveTimeoutMs: silence after that ends the connection, at the limit and not before', async () => {
    const clock = manualClock()
    const { b, heard } = byHand({ clock })
    clock.advance(15_000)
    await rest()
    expect(headersOf(heard.all)).toMatchObject([{ type: TYPE.ping, flags: FLAG.syn }])
    clock.advance(9999)
    await rest()
    expect(b.status).toBe('open')
    clock.advance(1)
    expect(b.status).toBe('closed')
    expect(await heard.closed()).toBeDefined()
    clock.advance(1000)
    expect(clock.timers).toBe(0)
  })

  test('any byte counts as a sign of life', async () => {
    const pair = pipePair()
    const clock = manualClock()
    const b = muxer(pair[1], false, { clock })
    for (let i = 0; i < 20; i++) {
      clock.advance(9000)
      pair[0].write([Uint8Array.of(0)])
      await rest()
      if (b.session.over) break
    }
    // Twelve zeros are an empty data frame for stream 0, which no session takes.
    expect(b.status).toBe('closed')
    expect(b.lastHeardMs).toBe(clock.nowMs())
    expect(clock.nowMs() - 1_800_000_000_000).toBe(12 * 9000)
  })
})

describe('ping', () => {
  test('gives the round trip, and concurrent calls share one', async () => {
    const clock = manualClock()
    const { b: a, heard, ours } = byHand({ clock })
    const pings = [a.ping(), a.ping()]
    await rest()
    const [ping] = headersOf(heard.all)
    expect(headersOf(heard.all)).toHaveLength(1)
    clock.advance(37)
    ours.write([frame(TYPE.ping, FLAG.ack, 0, ping?.length)])
    expect(await Promise.all(pings)).toEqual([37, 37])
    const controller = new AbortController()
    const aborted = a.ping(controller.signal)
    controller.abort(new Error('not now'))
    await expect(aborted).rejects.toThrow('not now')
    const unanswered = a.ping()
    clock.advance(10_000)
    await expect(unanswered).rejects.toMatchObject({ code: 'deadline_exceeded' })
    const lost = a.ping()
    ours.destroy()
    await expect(lost).rejects.toMatchObject({ code: 'unavailable' })
    await expect(a.ping()).rejects.toMatchObject({ code: 'unavailable' })
    expect(clock.timers).toBe(0)
  })
})

describe('ends', () => {
  test('close sends what was written, says goodbye and ends the pipe below', async () => {
    const { a, b, near, far, clock } = await joined()
    const reading = new Reading(far)
    near.write([new Uint8Array(400 * KIB)])
    await a.close()
    expect(a.status).toBe('closed')
    await reading.until(() => reading.ended)
    expect(reading.bytes).toBe(400 * KIB + 1)
    await rest()
    expect(b.status).toBe('closed')
    expect(clock.timers).toBe(0)
    await expect(a.createStream()).rejects.toMatchObject({ name: 'MuxerClosedError' })
    await a.close()
  })

  test('close does not wait for a reader that reads no more, and a signal ends the wait', async () => {
    const { a, near, clock } = await joined()
    near.write([new Uint8Array(400 * KIB)])
    await rest()
    const controller = new AbortController()
    const first = a.close({ signal: controller.signal })
    controller.abort(new Error('in a hurry'))
    await expect(first).rejects.toThrow('in a hurry')
    const second = a.close()
    await rest()
    expect(a.status).toBe('closing')
    clock.advance(10_000)
    await second
    expect(a.status).toBe('closed')
  })

  test('abort tells the other side, and the pipe below is gone soon', async () => {
    const { a, b, near, far, clock, below } = await joined()
    const readings = [new Reading(near), new Reading(far)]
    const error = new Error('enough')
    a.abort(error)
    expect(a.status).toBe('closed')
    expect(await readings[0]?.closed()).toBe(error)
    expect(await readings[1]?.closed()).toMatchObject({ code: 'unavailable' })
    expect(b.status).toBe('closed')
    await rest()
    clock.advance(500)
    expect([below[0].closed, below[1].closed]).toEqual([true, true])
    expect(clock.timers).toBe(0)
  })

  test('after go away of the other side its streams go on and we open none', async () => {
    const { b, ours, heard } = byHand()
    const streams: Stream[] = []
    b.addEventListener('stream', ({ detail }) => {
      streams.push(detail)
    })
    ours.write([syn(1), frame(TYPE.goAway, 0, 0, 0), frame(TYPE.data, 0, 1, 3)])
    await rest()
    expect(() => b.openPipe()).toThrow('the connection is closing')
    streams[0]?.addEventListener('message', ({ data }) => streams[0]?.send(data))
    await heard.until(() => heard.bytes > 0)
    expect(headersOf(heard.all)).toMatchObject([{ type: TYPE.data, flags: FLAG.ack, length: 3 }])
  })

  test('on a pipe that is closed already the muxer is closed at once', async () => {
    const [left, right] = pipePair()
    const reading = new Reading(left)
    right.destroy()
    await reading.closed()
    const a = muxer(left, true)
    await rest()
    expect(a.status).toBe('closed')
  })
})
