/** Our muxer beside the stock one, both ways, over pipes in memory. */
import { yamux as stockYamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { describe, expect, test } from 'vitest'

import { PipeConnection } from '../../src/connection/message-stream.ts'
import { yamux } from '../../src/connection/muxer.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Stream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'

import { LOG, rest } from './_muxer-pair.ts'

const KIB = 1024
const remoteAddr = multiaddr('/memory/test')

type Pair = [StreamMuxer, StreamMuxer]

function between(dialer: StreamMuxerFactory, listener: StreamMuxerFactory): Pair {
  const [left, right] = pipePair()
  return [
    dialer.createStreamMuxer(
      new PipeConnection(left, { remoteAddr, direction: 'outbound', log: LOG }),
    ),
    listener.createStreamMuxer(
      new PipeConnection(right, { remoteAddr, direction: 'inbound', log: LOG }),
    ),
  ]
}

/** Everything a stream brings until the other side ends. */
async function collect(stream: Stream): Promise<number> {
  let bytes = 0
  stream.addEventListener('message', ({ data }) => {
    bytes += data.byteLength
  })
  await once(stream, 'end')
  return bytes
}

async function send(stream: Stream, chunks: number, bytes: number): Promise<void> {
  for (let i = 0; i < chunks; i++) {
    if (!stream.send(new Uint8Array(bytes))) await stream.onDrain()
  }
  await stream.close()
}

function once(target: Stream, type: 'close' | 'end' | 'remoteCloseWrite'): Promise<Event> {
  return new Promise((resolve) => {
    target.addEventListener(type, resolve, { once: true })
  })
}

function inbound(muxer: StreamMuxer): Promise<Stream> {
  return new Promise((resolve) => {
    muxer.addEventListener('stream', ({ detail }) => resolve(detail), { once: true })
  })
}

describe.each<[string, () => Pair]>([
  ['we dial', () => between(yamux(), stockYamux()())],
  ['we listen', () => between(stockYamux()(), yamux())],
  ['we talk to ourselves', () => between(yamux(), yamux())],
])('beside the stock muxer, %s', (_, make) => {
  test('streams of either side carry bulk both ways and end cleanly', async () => {
    const pair = make()
    for (const [opener, other] of [pair, [...pair].reverse() as Pair]) {
      const waiting = inbound(other)
      const near = await opener.createStream()
      const results = Promise.all([collect(near), send(near, 40, 50 * KIB)])
      const far = await waiting
      const [there] = await Promise.all([collect(far), send(far, 30, 70 * KIB)])
      expect(there).toBe(2000 * KIB)
      expect((await results)[0]).toBe(2100 * KIB)
      await rest()
      expect([near.status, far.status]).toEqual(['closed', 'closed'])
    }
    expect(pair.map(({ streams }) => streams.length)).toEqual([0, 0])
  })

  test('a hundred streams at once, each echoed', async () => {
    const [dialer, listener] = make()
    listener.addEventListener('stream', ({ detail }) => {
      detail.addEventListener('message', ({ data }) => {
        detail.send(data)
      })
      detail.addEventListener('remoteCloseWrite', () => {
        void detail.close()
      })
    })
    const sums = await Promise.all(
      Array.from({ length: 100 }, async (_none, i) => {
        const stream = await dialer.createStream()
        const collected = collect(stream)
        await send(stream, 3, 100 + i)
        return collected
      }),
    )
    expect(sums).toEqual(Array.from({ length: 100 }, (_none, i) => 3 * (100 + i)))
  })

  test('a reset on one side is one on the other, and the connection stays', async () => {
    const [dialer, listener] = make()
    const waiting = inbound(listener)
    const near = await dialer.createStream()
    near.send(Uint8Array.of(1))
    const far = await waiting
    const closed = once(near, 'close')
    far.abort(new Error('enough'))
    await closed
    expect([near.status, far.status]).toEqual(['reset', 'aborted'])
    await rest()
    expect([dialer.status, listener.status]).toEqual(['open', 'open'])
    expect([dialer, listener].map(({ streams }) => streams.length)).toEqual([0, 0])
  })

  test('pause stops the sender', async () => {
    const [dialer, listener] = make()
    const waiting = inbound(listener)
    const near = await dialer.createStream()
    near.send(Uint8Array.of(1))
    const far = await waiting
    let got = 0
    far.addEventListener('message', ({ data }) => {
      got += data.byteLength
    })
    await rest()
    far.pause()
    let sent = 1
    while (near.send(new Uint8Array(64 * KIB)) && sent < 8192 * KIB) {
      sent += 64 * KIB
      await rest()
    }
    sent += 64 * KIB
    expect(sent).toBeLessThan(1024 * KIB)
    far.resume()
    for (let i = 0; got < sent && i < 100; i++) await rest()
    expect(got).toBe(sent)
  })

  test('close on one side is seen on the other', async () => {
    const [dialer, listener] = make()
    const waiting = inbound(listener)
    const near = await dialer.createStream()
    near.send(Uint8Array.of(1))
    await waiting
    await dialer.close()
    expect(dialer.status).toBe('closed')
    for (let i = 0; i < 5; i++) await rest()
    await expect(listener.createStream()).rejects.toThrow()
  })
})
