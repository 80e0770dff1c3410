import { multiaddrConnectionPair, streamPair } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { describe, expect, test } from 'vitest'

import { PipeConnection, PipeStream, pipeOf } from '../../src/connection/message-stream.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { MessageStream } from '@libp2p/interface'
import type { Pipe } from '../../src/connection/pipe.ts'

import { LOG, Reading, rest } from './_muxer-pair.ts'

const KIB = 1024
const remoteAddr = multiaddr('/memory/test')
const connection = (pipe: Pipe): PipeConnection =>
  new PipeConnection(pipe, { remoteAddr, direction: 'outbound', log: LOG })
const stream = (pipe: Pipe): PipeStream =>
  new PipeStream(pipe, { id: '1', direction: 'outbound', log: LOG })

/** What a message stream tells. */
function listen(target: MessageStream) {
  const told: string[] = []
  for (const type of ['remoteCloseWrite', 'end', 'close'] as const) {
    target.addEventListener(type, () => told.push(type))
  }
  return told
}

describe.each<[string, (pipe: Pipe) => MessageStream]>([
  ['PipeConnection', connection],
  ['PipeStream', stream],
])('%s', (_, present) => {
  test('gives its pipe out once, and still tells of its end', async () => {
    const [left, right] = pipePair()
    const outer = present(left)
    const told = listen(outer)
    right.write([Uint8Array.of(1, 2)])
    await rest()
    const reading = new Reading(pipeOf(outer))
    expect(() => pipeOf(outer)).toThrow('it was taken')
    await rest()
    expect(reading.all).toEqual(Uint8Array.of(1, 2))
    right.destroy()
    await reading.closed()
    expect(told).toContain('close')
    expect(outer.status).not.toBe('open')
  })

  test('sends, receives and holds back while paused', async () => {
    const [left, right] = pipePair()
    const far = new Reading(right)
    const outer = present(left)
    const got: number[] = []
    outer.addEventListener('message', ({ data }) => got.push(data.byteLength))
    outer.send(Uint8Array.of(1, 2, 3))
    right.write([Uint8Array.of(1)])
    await rest()
    expect([far.bytes, got]).toEqual([3, [1]])
    outer.pause()
    while (right.write([new Uint8Array(10 * KIB)]));
    await rest()
    expect(right.queuedBytes).toBeGreaterThanOrEqual(64 * KIB)
    expect(got).toEqual([1])
    outer.resume()
    await rest()
    expect(right.queuedBytes).toBe(0)
  })

  test('without a reader it takes one chunk at most', async () => {
    const [left, right] = pipePair()
    const outer = present(left)
    for (let i = 0; i < 10; i++) right.write([new Uint8Array(10 * KIB)])
    await rest()
    expect(outer.readBufferLength).toBeLessThanOrEqual(10 * KIB)
    let got = 0
    outer.addEventListener('message', ({ data }) => {
      got += data.byteLength
    })
    await rest()
    expect(got).toBe(100 * KIB)
  })

  test('a full pipe makes senders wait, and drain lets them go on', async () => {
    const [left, right] = pipePair()
    const outer = present(left)
    expect(outer.send(new Uint8Array(100 * KIB))).toBe(false)
    expect(outer.writableNeedsDrain).toBe(true)
    let drained = false
    void outer.onDrain().then(() => {
      drained = true
    })
    await rest()
    expect(drained).toBe(false)
    new Reading(right)
    await rest()
    expect(drained).toBe(true)
  })

  test('abort closes both directions and tells once', async () => {
    const [left, right] = pipePair()
    const far = new Reading(right)
    const outer = present(left)
    const told = listen(outer)
    outer.abort(new Error('enough'))
    expect(await far.closed()).toBeDefined()
    await rest()
    expect(outer.status).toBe('aborted')
    expect(told.filter((type) => type === 'close')).toHaveLength(1)
  })

  test('a pipe that breaks closes it with an error, once', async () => {
    const [left, right] = pipePair()
    const outer = present(left)
    const told = listen(outer)
    right.destroy(new Error('enough'))
    await rest()
    expect(['aborted', 'reset']).toContain(outer.status)
    expect(told.filter((type) => type === 'close')).toHaveLength(1)
  })
})

describe('PipeStream', () => {
  test('half-closes: the other direction goes on until both ended', async () => {
    const [left, right] = pipePair()
    const far = new Reading(right)
    const outer = stream(left)
    const told = listen(outer)
    let got = 0
    outer.addEventListener('message', ({ data }) => {
      got += data.byteLength
    })
    await outer.close()
    await far.until(() => far.ended)
    expect(outer.status).toBe('open')
    right.write([new Uint8Array(10)])
    right.end()
    expect(await far.closed()).toBeUndefined()
    await rest()
    expect([outer.status, outer.readStatus, outer.writeStatus]).toEqual([
      'closed',
      'closed',
      'closed',
    ])
    expect([got, told]).toEqual([10, ['remoteCloseWrite', 'end', 'close']])
  })

  test('closeRead drops what comes and lets the sender get to its end', async () => {
    const [left, right] = pipePair()
    const outer = stream(left)
    await outer.closeRead()
    const far = new Reading(right)
    for (let i = 0; i < 20; i++) {
      right.write([new Uint8Array(64 * KIB)])
      await rest()
    }
    right.end()
    await outer.close()
    expect(await far.closed()).toBeUndefined()
    expect(outer.status).toBe('closed')
  })
})

describe('PipeConnection', () => {
  test('the pipe of a connection that somebody reads cannot be taken', () => {
    const outer = connection(pipePair()[0])
    outer.addEventListener('message', () => {})
    expect(() => outer.takePipe()).toThrow('somebody reads')
  })

  test('close waits for the other side, and a signal ends the wait', async () => {
    const [left, right] = pipePair()
    const outer = connection(left)
    const controller = new AbortController()
    const closing = outer.close({ signal: controller.signal })
    const far = new Reading(right, true)
    await rest()
    controller.abort(new Error('too slow'))
    await expect(closing).rejects.toThrow('too slow')
    expect(await far.closed()).toBeDefined()
  })

  test('close after the pipe was taken ends with it', async () => {
    const [left, right] = pipePair()
    const outer = connection(left)
    new Reading(outer.takePipe())
    const far = new Reading(right)
    const closing = outer.close()
    await far.until(() => far.ended)
    right.end()
    await closing
    expect(outer.status).toBe('closed')
  })
})

describe('pipeOf a foreign stream', () => {
  test('bytes, half-close and end, both ways', async () => {
    const [a, b] = (await streamPair()) as [MessageStream, MessageStream]
    const [left, right] = [pipeOf(a), pipeOf(b)]
    const readings = [new Reading(left), new Reading(right)] as const
    left.write([Uint8Array.of(1), Uint8Array.of(2, 3)])
    left.end()
    await readings[1].until(() => readings[1].ended)
    expect(readings[1].all).toEqual(Uint8Array.of(1, 2, 3))
    right.write([new Uint8Array(100 * KIB)])
    right.end()
    await Promise.all(readings.map((reading) => reading.closed()))
    expect(readings[0].bytes).toBe(100 * KIB)
    expect(readings.map(({ closes }) => closes)).toEqual([[undefined], [undefined]])
  })

  test('an end is told only after what came before it, however long the pause', async () => {
    const [a, b] = (await streamPair()) as [MessageStream, MessageStream]
    const pipe = pipeOf(b)
    const reading = new Reading(pipe, true)
    a.send(new Uint8Array(5000))
    await a.close()
    await rest()
    expect([reading.bytes, reading.ended]).toEqual([0, false])
    pipe.resume()
    await reading.until(() => reading.ended)
    expect(reading.bytes).toBe(5000)
  })

  test('pause stops the sender, and a full stream makes us wait', async () => {
    const [a, b] = multiaddrConnectionPair()
    const [left, right] = [pipeOf(a), pipeOf(b)]
    const near = new Reading(left, true)
    const far = new Reading(right, true)
    let sent = 0
    let room = true
    while (room && sent < 100) {
      room = left.write([new Uint8Array(64 * KIB)])
      sent += 1
    }
    expect(room).toBe(false)
    expect(sent).toBeLessThan(20)
    await rest()
    expect(far.bytes).toBe(0)
    right.resume()
    await far.until(() => far.bytes === sent * 64 * KIB)
    await near.until(() => near.drains === 1)
  })

  test('destroy aborts the stream, and its abort closes the pipe', async () => {
    const [a, b] = (await streamPair()) as [MessageStream, MessageStream]
    const readings = [new Reading(pipeOf(a)), new Reading(pipeOf(b))] as const
    const error = new Error('enough')
    readings[0].pipe.destroy(error)
    expect(await readings[0].closed()).toBe(error)
    expect(await readings[1].closed()).toBeDefined()
    expect([a.status, b.status]).toEqual(['aborted', 'reset'])
  })

  test('the pipe of a stream that is closed already says so to its listener', async () => {
    const [a] = (await streamPair()) as [MessageStream, MessageStream]
    a.abort(new Error('enough'))
    const reading = new Reading(pipeOf(a))
    await reading.closed()
  })
})
