import { concat } from '@stronghold/core'
import { heldBytes } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import {
  encodeHeader,
  FLAG,
  GO_AWAY,
  HEADER_BYTES,
  TYPE,
} from '../../src/connection/yamux-frame.ts'
import { ack, data, End, fin, frame, rst, streamOf, syn, update } from './_yamux-end.ts'
import type { Upper } from './_yamux-end.ts'

const LONG = process.env['STRONGHOLD_LONG'] === '1'
const MIB = 1024 * 1024
const WINDOW = 262_144

/** The session ended with this message, told its streams and left one go away frame last. */
function expectEnd(end: End, message: string): void {
  expect(end.failure).toBe(message)
  expect(end.session.over).toBe(true)
  const [last] = end.takeHeaders().slice(-1)
  expect(last).toMatchObject({ type: TYPE.goAway, length: GO_AWAY.protocolError })
  end.receive(syn(101), frame(TYPE.ping, FLAG.syn, 0, 1))
  expect(end.takeHeaders()).toEqual([])
  expect([end.session.streamCount, end.session.heldBytes]).toEqual([0, 0])
}

describe('a frame that no peer may send ends the session', () => {
  const header = (part: object): Uint8Array =>
    encodeHeader({ version: 0, type: 0, flags: 0, streamId: 1, length: 0, ...part })
  test.each<[string, Uint8Array, string]>([
    ['another version', header({ version: 1 }), 'unknown version'],
    ['another type', header({ type: 4 }), 'unknown type'],
    ['another flag', header({ flags: 0x10 }), 'unknown flags'],
    ['the highest flag', header({ flags: 0x8000 }), 'unknown flags'],
    ['data for the session', data(0, 1), 'stream frame for the session'],
    ['a window for the session', update(0, 1), 'stream frame for the session'],
    ['a ping for a stream', frame(TYPE.ping, FLAG.syn, 1), 'session frame for a stream'],
    ['a go away for a stream', frame(TYPE.goAway, 0, 1), 'session frame for a stream'],
    ['a ping without flags', frame(TYPE.ping, 0, 0), 'ping with other flags than SYN or ACK'],
    [
      'a ping with both flags',
      frame(TYPE.ping, FLAG.syn | FLAG.ack, 0),
      'ping with other flags than SYN or ACK',
    ],
    ['a stream with an id of ours', syn(2), 'stream id of the wrong side'],
    [
      'SYN with ACK',
      frame(TYPE.data, FLAG.syn | FLAG.ack, 1),
      'stream opened and acknowledged at once',
    ],
    ['the same SYN twice', concat([syn(1), syn(1)]), 'stream id used twice'],
    ['the id of a stream that is over', concat([syn(1), rst(1), syn(1)]), 'stream id used twice'],
    ['a length past the frame limit', header({ length: WINDOW + 1 }), 'frame too long'],
    ['the longest length', header({ length: 0xffff_ffff }), 'frame too long'],
    [
      'a window past 32 bits',
      concat([syn(1), update(1, 0xffff_ffff - WINDOW + 1)]),
      'window grown too far',
    ],
  ])('%s', (_, bytes, message) => {
    const whole = new End(false)
    whole.receive(bytes)
    expectEnd(whole, message)
    const cut = new End(false)
    for (const byte of bytes) cut.receive(Uint8Array.of(byte))
    expectEnd(cut, message)
  })

  test('a window of exactly 32 bits is one', () => {
    const end = new End(false)
    end.receive(syn(1), update(1, 0xffff_ffff - WINDOW))
    expect(end.failure).toBeUndefined()
  })

  test('maxMuxerFrameBytes counts before a byte of the frame is taken', () => {
    const end = new End(false, { maxMuxerFrameBytes: 1000 })
    end.receive(syn(1), data(1, 1000))
    expect(end.failure).toBeUndefined()
    end.receive(data(1, 1001).subarray(0, HEADER_BYTES))
    expectEnd(end, 'frame too long')
    expect(end.inbound[0]?.received).toBe(1000)
  })
})

describe('muxerControlBurst and muxerControlPerSecond bound what costs the sender nothing', () => {
  const limits = { muxerControlBurst: 5, muxerControlPerSecond: 2 }
  let id = 1
  const next = (): number => (id += 2)
  const floods: [string, () => Uint8Array, string][] = [
    ['pings', () => frame(TYPE.ping, FLAG.syn, 0, 1), 'too many pings'],
    ['answers to no ping', () => frame(TYPE.ping, FLAG.ack, 0, 1), 'too many answers to no ping'],
    [
      'streams opened and reset',
      () => ((id) => concat([syn(id), rst(id)]))(next()),
      'too many resets',
    ],
    [
      'streams opened by RST',
      () => frame(TYPE.data, FLAG.syn | FLAG.rst, next()),
      'too many resets',
    ],
    ['window updates of nothing', () => update(1, 0), 'too many empty frames'],
    ['data frames of nothing', () => data(1, 0), 'too many empty frames'],
    ['acknowledgements', () => ack(1), 'too many acknowledgements'],
    ['resets of no stream', () => rst(2), 'too many frames for no stream'],
    ['data of no stream', () => data(2, 1), 'too many frames for no stream'],
    [
      'data after FIN',
      () => ((id) => concat([syn(id), fin(id), data(id, 1)]))(next()),
      'too many failed streams',
    ],
  ]
  test.each(floods)('%s', (_, make, message) => {
    const end = new End(false, limits)
    end.receive(syn(1))
    for (let i = 0; i < 5; i++) end.receive(make())
    expect(end.failure).toBeUndefined()
    end.nowMs += 1000
    end.receive(make(), make())
    expect(end.failure).toBeUndefined()
    end.receive(make())
    expectEnd(end, message)
  })

  test('streams past maxStreamsPerConnection', () => {
    const end = new End(false, { ...limits, maxStreamsPerConnection: 10 })
    for (let i = 0; i < 15; i++) end.receive(syn(2 * i + 1))
    expect(end.inbound).toHaveLength(10)
    expect(end.failure).toBeUndefined()
    end.receive(syn(31))
    expectEnd(end, 'too many streams opened')
    expect(end.inbound.every(({ told }) => told[0] === 'failed session')).toBe(true)
  })

  test('go away frames', () => {
    const end = new End(false, limits)
    for (let i = 0; i < 6; i++) end.receive(frame(TYPE.goAway, 0, 0, GO_AWAY.normal))
    expect(end.failure).toBeUndefined()
    end.receive(frame(TYPE.goAway, 0, 0, GO_AWAY.normal))
    expectEnd(end, 'too many go away frames')
  })

  test('a clock that is set back gives nothing and takes nothing', () => {
    const end = new End(false, limits)
    end.nowMs -= 500_000
    for (let i = 0; i < 5; i++) end.receive(frame(TYPE.ping, FLAG.syn, 0))
    end.nowMs += 1000
    end.receive(frame(TYPE.ping, FLAG.syn, 0))
    expect(end.failure).toBeUndefined()
  })

  test('replies that nobody reads end the session', () => {
    const end = new End(false, { ...limits, maxStreamsPerConnection: 1 })
    for (let i = 0; end.failure === undefined && i < 1000; i++) {
      end.nowMs += 1000
      end.receive(frame(TYPE.ping, FLAG.syn, 0))
    }
    expectEnd(end, 'replies are not read')
  })
})

describe('bytes that nobody reads', () => {
  test('past maxConnectionReceiveBytes the fullest stream is reset, the others stay', () => {
    const end = new End(false, { maxConnectionReceiveBytes: 1000 })
    end.holding = true
    end.receive(syn(1), data(1, 600), syn(3), data(3, 400))
    expect(end.session.heldBytes).toBe(1000)
    end.receive(data(3, 1))
    expect(end.inbound.map(({ told }) => told)).toEqual([['failed unread'], []])
    expect(end.session.heldBytes).toBe(401)
    expect(end.takeHeaders()).toMatchObject([{ flags: FLAG.rst, streamId: 1 }])
    expect(end.failure).toBeUndefined()
  })

  test('one stream alone is reset by its own bytes', () => {
    const end = new End(false, { maxConnectionReceiveBytes: 1000 })
    end.holding = true
    end.receive(syn(1), data(1, 1001), syn(3), data(3, 1000))
    expect(end.inbound.map(({ told }) => told)).toEqual([['failed unread'], []])
  })

  test("the peer's budget counts like the connection's, and is given back", () => {
    let left = 500
    const budget = {
      reserve: (bytes: number) => bytes <= left && ((left -= bytes), true),
      release: (bytes: number) => {
        left += bytes
      },
    }
    const one = new End(false, {}, budget)
    const two = new End(false, {}, budget)
    one.holding = two.holding = true
    one.receive(syn(1), data(1, 300))
    two.receive(syn(1), data(1, 200))
    expect(left).toBe(0)
    two.receive(data(1, 1))
    expect(two.inbound[0]?.told).toEqual(['failed unread'])
    expect(left).toBe(200)
    one.session.consume(streamOf(one.inbound[0] as Upper), 100)
    one.session.lost()
    expect(left).toBe(500)
  })
})

/** Random numbers that a failing run can repeat. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

test(
  'generated frames, whole, cut and lying about their length, crash nothing and leave nothing',
  { timeout: LONG ? 3_600_000 : 30_000 },
  () => {
    const frames = LONG ? 5_000_000 : 250_000
    const below = random(Number(process.env['SEED'] ?? 7))
    const payload = new Uint8Array(2000)
    const lengths = [0, 0, 1, 5, 100, 1999, WINDOW, WINDOW + 1, 0x7fff_ffff, 0xffff_ffff]
    const pick = (list: readonly number[]): number => list[below(list.length)] as number
    let end = new End(false, { maxConnectionReceiveBytes: MIB })
    let sessions = 1
    let failures = 0
    const before = heldBytes()
    for (let i = 0; i < frames; i++) {
      if (end.failure !== undefined || i % 5000 === 0) {
        if (end.failure !== undefined) failures += 1
        expect(end.session.over ? end.session.streamCount : 0).toBe(0)
        end = new End(below(2) === 0, { maxConnectionReceiveBytes: MIB })
        end.holding = below(2) === 0
        sessions += 1
      }
      const wild = below(200) === 0
      const type = wild ? below(256) : pick([0, 0, 0, 1, 1, 2, 3])
      const bytes = encodeHeader({
        version: wild && below(2) === 0 ? below(256) : 0,
        type,
        flags: wild ? below(0x10000) : pick([0, 0, 1, 2, 4, 8, 5, 12]),
        streamId: type === 2 || type === 3 ? (wild ? 1 : 0) : below(wild ? 2 ** 32 : 64),
        length: type === 3 ? 0 : type === 0 && !wild ? pick(lengths.slice(0, 6)) : pick(lengths),
      })
      end.nowMs += below(20)
      const cut = below(8) === 0 ? below(HEADER_BYTES) : 0
      if (cut > 0) {
        end.receive(bytes.subarray(0, cut))
        end.receive(bytes.subarray(cut))
      } else {
        end.receive(bytes)
      }
      if (type === 0 && below(10) > 0) end.receive(payload.subarray(0, below(2000)))
      if (below(50) === 0) {
        for (const { stream, told } of end.inbound.splice(0, 1)) {
          if (stream !== undefined && told.length === 0) end.session.reset(stream)
        }
      }
      if (below(30) === 0) end.take()
    }
    end = new End(false)
    expect(failures).toBeGreaterThan(100)
    expect(sessions).toBeGreaterThan(failures)
    expect(heldBytes() - before).toBeLessThan(20 * MIB)
  },
)

test('one session that is flooded for long holds no more at the end than at the start', () => {
  const end = new End(false, {
    muxerControlBurst: 1e9,
    maxStreamsPerConnection: 16,
    maxConnectionReceiveBytes: MIB,
  })
  end.holding = true
  const before = heldBytes()
  for (let i = 0; i < 100_000; i++) {
    const id = 2 * i + 1
    end.receive(frame(TYPE.data, FLAG.syn, id, 10), frame(TYPE.ping, FLAG.syn, 0, i))
    if (i % 3 === 0) end.receive(rst(id))
    if (i % 5 === 0) end.receive(rst(2 * (i >>> 1) + 1), update(3, 1))
    end.inbound.length = 0
    end.take()
  }
  expect(end.failure).toBeUndefined()
  expect(heldBytes() - before).toBeLessThan(MIB)
})
