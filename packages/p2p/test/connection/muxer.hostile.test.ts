import { concat } from '@stronghold/core'
import { heldBytes, manualClock } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import { FLAG, GO_AWAY, TYPE } from '../../src/connection/yamux-frame.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Pipe } from '../../src/connection/pipe.ts'

import { data, frame, headersOf, rst, syn } from './_yamux-end.ts'
import { muxer, Reading, rest, taking } from './_muxer-pair.ts'
import type { Side } from './_muxer-pair.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Frames by hand against one muxer, and what it writes. */
function against(side: Side = {}) {
  const clock = manualClock()
  const [ours, theirs] = pipePair({ highWaterBytes: 1e9 })
  const b = muxer(theirs, false, { clock, ...side })
  return { b, ours, clock, heard: new Reading(ours) }
}

const proposal = (protocol: string): Uint8Array =>
  concat(
    ['/multistream/1.0.0', protocol].map((text) => {
      const bytes = new TextEncoder().encode(`${text}\n`)
      return concat([Uint8Array.of(bytes.byteLength), bytes])
    }),
  )

const payload = (flags: number, id: number, bytes: Uint8Array): Uint8Array =>
  concat([frame(TYPE.data, flags, id, bytes.byteLength).subarray(0, 12), bytes])

describe('bad frames', () => {
  test('end the connection once: a go away frame, every stream told, every timer stopped', async () => {
    const side = taking()
    const { b, ours, clock, heard } = against(side)
    ours.write([payload(FLAG.syn, 1, proposal('/x'))])
    await rest()
    const upper = new Reading(side.taken[0]?.[1] as Pipe)
    heard.chunks = []
    ours.write([frame(TYPE.ping, 0x20, 0)])
    ours.write([frame(TYPE.ping, FLAG.syn, 0)])
    await heard.until(() => heard.ended)
    expect(headersOf(heard.all)).toMatchObject([
      { type: TYPE.goAway, length: GO_AWAY.protocolError },
    ])
    expect((await upper.closed())?.message).toBe('Cannot keep the connection: unknown flags')
    expect(b.status).toBe('closed')
    clock.advance(500)
    expect(await heard.closed()).toBeDefined()
    expect(clock.timers).toBe(0)
  })

  test('a peer that reads nothing cannot keep the connection after its end', async () => {
    const { b, ours, clock } = against()
    ours.pause()
    for (let i = 0; i < 300; i++) ours.write([frame(TYPE.ping, FLAG.syn, 0, i)])
    await rest()
    expect(b.status).toBe('closed')
    clock.advance(500)
    await rest()
    expect(ours.closed).toBe(true)
    expect(clock.timers).toBe(0)
  })
})

describe('bytes that nobody reads', () => {
  test('views of one byte do not keep their buffers, and many small frames do not keep many objects', async () => {
    const { b, ours } = against({ limits: { maxStreamsPerConnection: 8 } })
    b.addEventListener('stream', ({ detail }) => {
      detail.pause()
    })
    ours.write(Array.from({ length: 8 }, (_, i) => syn(2 * i + 1)))
    await rest()
    const before = heldBytes()
    for (let stream = 0; stream < 8; stream++) {
      const one = data(2 * stream + 1, 1)
      for (let i = 0; i < 40; i++) {
        ours.write([concat(Array.from({ length: 2500 }, () => one))])
        await rest()
      }
    }
    expect(b.status).toBe('open')
    expect(b.session.heldBytes).toBe(800_000)
    expect(heldBytes() - before).toBeLessThan(3 * MIB)
  })

  test('many streams that fill their windows hold maxConnectionReceiveBytes, not more', async () => {
    const side = taking()
    const { b, ours } = against({ ...side, limits: { maxConnectionReceiveBytes: 2 * MIB } })
    const before = heldBytes()
    for (let i = 0; i < 200; i++) {
      const id = 2 * i + 1
      ours.write([payload(FLAG.syn, id, proposal('/x')), data(id, 200 * KIB)])
      await rest()
      expect(b.session.heldBytes).toBeLessThanOrEqual(2 * MIB)
    }
    expect(b.status).toBe('open')
    expect(side.taken).toHaveLength(200)
    expect(heldBytes() - before).toBeLessThan(6 * MIB)
  })
})

describe('streams that come to nothing', () => {
  test('are counted when they were reset or never agreed on a protocol, and free when they ended well', async () => {
    const side = taking(['/x'])
    const { b, ours } = against({ ...side, limits: { muxerControlBurst: 4 } })
    for (let i = 0; i < 50; i++) {
      const id = 2 * i + 1
      ours.write([payload(FLAG.syn, id, proposal('/x')), frame(TYPE.data, FLAG.fin, id)])
      await rest()
      for (const [, pipe] of side.taken.splice(0)) {
        new Reading(pipe)
        pipe.end()
      }
    }
    await rest()
    expect([b.status, b.session.streamCount]).toEqual(['open', 0])
    for (let i = 50; i < 54; i++)
      ours.write([payload(FLAG.syn | FLAG.fin, 2 * i + 1, Uint8Array.of(1, 1, 1))])
    await rest()
    expect(b.status).toBe('open')
    ours.write([payload(FLAG.syn | FLAG.fin, 109, Uint8Array.of(1, 1, 1))])
    await rest()
    expect(b.status).toBe('closed')
  })

  test('a rapid reset leaves no timer and no stream', async () => {
    const { b, ours, clock } = against(taking())
    for (let i = 0; i < 200; i++)
      ours.write([payload(FLAG.syn, 2 * i + 1, proposal('/x')), rst(2 * i + 1)])
    await rest()
    expect([b.status, b.session.streamCount, clock.timers]).toEqual(['open', 0, 1])
    for (let i = 200; i < 300; i++) ours.write([syn(2 * i + 1), rst(2 * i + 1)])
    await rest()
    expect(b.status).toBe('closed')
  })
})

test('what one connection suffers the next does not see', async () => {
  const clock = manualClock()
  const good = pipePair()
  const a = muxer(good[0], true, { clock, offers: () => true })
  const side = taking()
  muxer(good[1], false, { clock, ...side })
  const near = a.openPipe('/x')
  near.write([Uint8Array.of(1)])
  const bad = Array.from({ length: 20 }, () => against(taking()))
  for (const { ours } of bad) {
    for (let i = 0; i < 600; i++) ours.write([syn(2 * i + 1), frame(TYPE.ping, FLAG.syn, 0, i)])
  }
  await rest()
  expect(bad.map(({ b }) => b.status)).toEqual(bad.map(() => 'closed'))
  const far = new Reading(side.taken[0]?.[1] as Pipe)
  near.write([Uint8Array.of(2)])
  await far.until(() => far.bytes === 2)
  expect(a.status).toBe('open')
})
